// Reading rules: their names, what they make of a sequence, and that tokenizing applies them.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "merit/forest/apply_reading.hpp"
#include "merit/forest/reading_rule.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"

namespace reading_rule_test {

using namespace merit;
using Tokens = std::vector<Token>;
using Ends = std::vector<Index>;

Sequence read(const std::string& rule, Tokens tokens, Index completion_begin, Ends step_ends = {}) {
  Sequence sequence{
      .tokens = std::move(tokens), .completion_begin = completion_begin, .step_ends = std::move(step_ends)};
  apply(reading_rule_from_name(rule), sequence);
  Sequence again = sequence;
  apply(reading_rule_from_name(rule), again);
  CHECK(again.tokens == sequence.tokens);
  CHECK(again.completion_begin == sequence.completion_begin);
  CHECK(again.step_ends == sequence.step_ends);
  return sequence;
}

TEST_CASE("a rule's name is read back, and a wrong one is an error that lists the known ones") {
  for (const std::string name :
       {"last", "last_not_pad:7", "before_first_pad:0", "appended:92527", "tag:12902", "tag:4,5,6",
        "before_tag:10", "before_first_pad:3;gate:128009,128006", "last;gate:5"}) {
    INFO(name);
    CHECK(name_of(reading_rule_from_name(name)) == name);
  }
  CHECK(name_of(ReadingRule{}) == "last");
  for (const std::string name : {"", "first", "last:1", "last_not_pad", "last_not_pad:", "last_not_pad:x",
                                 "last_not_pad:-1", "last_not_pad:1,2", "appended:4294967296", "tag",
                                 "tag:1,", "tag:1 2", "tag:,1", "last;gate:", "last;gate:5;gate:6", "Last"}) {
    INFO(name);
    CHECK_THROWS_WITH_AS(
        reading_rule_from_name(name),
        doctest::Contains(("found reading rule \"" + name + "\", expected one of: last, ").c_str()),
        ConfigError);
  }
}

TEST_CASE("last leaves a sequence as it is") {
  const Sequence same = read("last", {1, 2, 2}, 1, {1, 2});
  CHECK(same.tokens == Tokens{1, 2, 2});
  CHECK(same.completion_begin == 1);
  CHECK(same.step_ends == Ends{1, 2});
}

TEST_CASE("the last that is not the pad is read, whatever stands before it") {
  CHECK(read("last_not_pad:2", {1, 2, 3, 2, 2}, 1).tokens == Tokens{1, 2, 3});
  CHECK(read("last_not_pad:2", {1, 2, 3}, 1).tokens == Tokens{1, 2, 3});
  // All of it is the pad: transformers reads the first token.
  CHECK(read("last_not_pad:2", {2, 2, 2}, 1).tokens == Tokens{2});
  // An answer that is only its end: the prompt's last token is read for it, and no record is dropped.
  const Sequence empty = read("last_not_pad:2", {1, 5, 2}, 2);
  CHECK(empty.tokens == Tokens{1, 5});
  CHECK(empty.completion_begin == 1);
  // One that has no token at all stays so.
  CHECK(read("last_not_pad:2", {1, 2}, 2).completion_begin == 1);
  CHECK(read("last_not_pad:9", {1, 2}, 2).completion_begin == 2);
  CHECK(read("last_not_pad:2", {}, 0).tokens.empty());
}

TEST_CASE("the token before the first pad is read, and with none or a leading one the last") {
  CHECK(read("before_first_pad:2", {1, 3, 2, 4, 2}, 1).tokens == Tokens{1, 3});
  CHECK(read("before_first_pad:2", {1, 3, 4}, 1).tokens == Tokens{1, 3, 4});
  CHECK(read("before_first_pad:2", {2, 3, 2, 4}, 1).tokens == Tokens{2, 3, 2, 4});
  const Sequence prompt = read("before_first_pad:2", {1, 3, 2, 4, 5}, 3);
  CHECK(prompt.tokens == Tokens{1, 3});
  CHECK(prompt.completion_begin == 1);
}

TEST_CASE("a token is appended where it is missing") {
  CHECK(read("appended:9", {1, 3}, 1).tokens == Tokens{1, 3, 9});
  CHECK(read("appended:9", {1, 9}, 1).tokens == Tokens{1, 9});
  CHECK(read("appended:9", {1, 9, 3}, 1).tokens == Tokens{1, 9, 3, 9});
}

TEST_CASE("tags are found in the completion, also those of several tokens") {
  CHECK(read("tag:7", {7, 1, 3, 7, 4, 7, 5}, 2, {2}).step_ends == Ends{3, 5});
  CHECK(read("tag:7", {7, 1, 3}, 2).step_ends.empty());
  CHECK(read("tag:7,8", {7, 8, 7, 7, 8, 8, 7}, 2).step_ends == Ends{4});
  CHECK(read("tag:7,8", {1, 7, 8, 3}, 2).step_ends == Ends{2});  // it ends in the completion
  CHECK(read("tag:7,8", {8}, 0).step_ends.empty());
  CHECK(read("before_tag:7", {7, 1, 7, 4, 7}, 2).step_ends == Ends{1, 3});
  CHECK(read("before_tag:7", {7, 7}, 0).step_ends == Ends{0});
  CHECK(read("before_tag:6,7", {6, 7, 1, 7, 6, 7}, 0).step_ends == Ends{0, 4});
  CHECK(read("tag:7", {1, 7}, 1).tokens == Tokens{1, 7});
}

TEST_CASE("a gate is read where the last turn of the assistant begins, which must be there") {
  const Sequence gated = read("before_first_pad:2;gate:5,6", {5, 6, 1, 5, 6, 3, 2, 5, 6}, 6);
  CHECK(gated.tokens == Tokens{5, 6, 1, 5, 6, 3});
  CHECK(gated.step_ends == Ends{3});
  CHECK(read("last;gate:5,6", {5, 5, 6}, 1).step_ends == Ends{1});
  CHECK_THROWS_WITH_AS(read("last;gate:5,6", {5, 1, 6}, 1),
                       "found no turn of the assistant, which begins with the tokens 5,6, expected one: the "
                       "model's gate is read there",
                       DataError);
}

TEST_CASE("a pad that also ends answers is worth a sentence") {
  const Tokens eos{2, 5};
  const auto note = [&](const char* rule) { return note_about(reading_rule_from_name(rule), eos); };
  CHECK(!note("last"));
  CHECK(!note("last_not_pad:3"));
  CHECK(!note("appended:5"));
  CHECK(note("last_not_pad:5").value() ==
        "token 5 is both the pad and the end of sequence: as in transformers the score is read at the last "
        "token that is not it, so an answer's own end is not read; the reading rule \"last\" reads it");
  CHECK(note("before_first_pad:2").value().find("the token before the first of it") != std::string::npos);
}

TEST_CASE("tokenizing reads by the rule, in text and in ids") {
  const ByteTokenizer tokenizer;
  const Token eos = tokenizer.eos();
  TokenizeOptions options;
  DataCounts counts;
  CompletionRecord record;
  record.prompt = "ab";
  record.completion = "cd";
  CHECK(tokenize(record, tokenizer, options, counts).sequence.tokens == Tokens{'a', 'b', 'c', 'd', eos});
  options.reading = reading_rule_from_name("last_not_pad:" + std::to_string(eos));
  CHECK(tokenize(record, tokenizer, options, counts).sequence.tokens == Tokens{'a', 'b', 'c', 'd'});
  record.completion = "";  // scored at the prompt's last token, as transformers does
  const TokenizedCompletion empty = tokenize(record, tokenizer, options, counts);
  CHECK(empty.fate == CompletionFate::kept);
  CHECK(empty.sequence.tokens == Tokens{'a', 'b'});

  CompletionRecord ids;
  ids.form = RecordForm::ids;
  ids.prompt_ids = Tokens{1, 2};
  ids.completion_ids = {3, eos, eos};
  CHECK(tokenize(ids, tokenizer, options, counts).sequence.tokens == Tokens{1, 2, 3});
  options.reading = reading_rule_from_name("last;gate:9");
  ids.source = {"x.jsonl", 4};
  CHECK_THROWS_WITH_AS(tokenize(ids, tokenizer, options, counts),
                       doctest::Contains("found no turn of the assistant"), DataError);
  CHECK_THROWS_WITH_AS(tokenize(ids, tokenizer, options, counts), doctest::Contains("x.jsonl"), DataError);

  PreferenceRecord pair;
  pair.form = RecordForm::ids;
  pair.chosen_ids = {1, 2, 9};
  pair.rejected_ids = {1, 3, 9};
  options.reading = reading_rule_from_name("last_not_pad:9");
  const auto example = tokenize(pair, tokenizer, options, counts);
  REQUIRE(example);
  CHECK(example->chosen.tokens == Tokens{1, 2});
  CHECK(example->rejected.tokens == Tokens{1, 3});
}

TEST_CASE("steps end at their tags, of which each has one") {
  const ByteTokenizer tokenizer;
  TokenizeOptions options{.append_eos = false, .reading = reading_rule_from_name("tag:36")};  // $
  options.step_separator = "$\n";
  DataCounts counts;
  StepsRecord record;
  record.prompt = "p\n";
  record.completions = {"ab", "c"};
  record.labels = {true, false};
  record.source = {"x.jsonl", 7};
  auto example = tokenize(record, tokenizer, options, counts);
  REQUIRE(example);
  const Tokens& tokens = example->sequence.tokens;
  CHECK(std::string(tokens.begin(), tokens.end()) == "p\n$\nab$\nc$\n");
  CHECK(example->sequence.completion_begin == 4);
  CHECK(example->sequence.step_ends == Ends{6, 9});
  CHECK(example->labels.size() == 2);
  record.completions = {"a$b", "c"};
  CHECK_THROWS_WITH_AS(tokenize(record, tokenizer, options, counts),
                       doctest::Contains("the reading rule tag:36 finds 3 places in the completion, expected "
                                         "2, one in each step"),
                       DataError);
}

}  // namespace reading_rule_test
