// Where one text ends and the next begins: words at the end of a prompt, and the separators that steps have
// themselves.
#include <doctest/doctest.h>

#include <string>
#include <variant>
#include <vector>

#include "merit/tokenizer/any_tokenizer.hpp"
#include "merit/tokenizer/word_tokenizer.hpp"
#include "merit/tokens/steps_of_text.hpp"
#include "merit/tokens/tokenize.hpp"
#include "shown_pairs.hpp"
#include "shown_steps.hpp"

namespace borders_test {

using merit::AnyTokenizer;
using merit::DataCounts;
using merit::Token;
using merit::WordHashTokenizer;
using merit_test::bytes;
using merit_test::show;

const WordHashTokenizer words{65536};

std::vector<Token> ids(const std::vector<std::string>& of) {
  std::vector<Token> result;
  for (const std::string& word : of) result.push_back(words.id_of(word));
  result.push_back(words.eos());
  return result;
}

TEST_CASE("a prompt ends the word that it ends in, for pairs, rankings and completions alike") {
  for (const AnyTokenizer& tokenizer : {AnyTokenizer(words), merit::make_tokenizer("words:65536")}) {
    DataCounts counts;
    const auto pair =
        merit::tokenize(merit_test::text_record("Write to ada", "good", "bad"), tokenizer, {}, counts)
            .value();
    CHECK(pair.chosen.tokens == ids({"write", "to", "ada", "good"}));
    CHECK(pair.chosen.completion_begin == 3);
    CHECK(pair.rejected.tokens == ids({"write", "to", "ada", "bad"}));
    CHECK(pair.rejected.completion_begin == 3);

    merit::RankingRecord ranking;
    ranking.prompt = "It is";
    ranking.completions = {"so", "not so", "n't"};
    ranking.ranks = {0, 1, 2};
    const auto group = merit::tokenize(ranking, tokenizer, {}, counts).value().groups[0];
    CHECK(group.completions[0].tokens == ids({"it", "is", "so"}));
    CHECK(group.completions[1].tokens == ids({"it", "is", "not", "so"}));
    CHECK(group.completions[2].tokens == ids({"it", "is", "n't"}));

    merit::OutcomeRecord outcome;
    outcome.prompt = "2+2=";
    outcome.completion = "4";
    const auto one = merit::tokenize(outcome, tokenizer, {}, counts).value();
    CHECK(one.sequence.tokens == ids({"2", "+", "2", "=", "4"}));
  }
}

TEST_CASE("two sides without a prompt have no border to end a word") {
  DataCounts counts;
  const auto pair =
      merit::tokenize(merit_test::text_record({}, "a good", "a goodly"), words, {}, counts).value();
  CHECK(pair.chosen.tokens == ids({"a", "good"}));
  CHECK(pair.rejected.tokens == ids({"a", "goodly"}));
  CHECK(pair.chosen.completion_begin == 1);
}

TEST_CASE("steps of words end at their borders") {
  DataCounts counts;
  const auto example = merit::tokenize(merit_test::steps_record("Sum", {"one", "two"}, {true, true}), words,
                                       {.step_separator = "."}, counts)
                           .value();
  CHECK(example.sequence.tokens == ids({"sum", ".", "one", ".", "two", "."}));
}

TEST_CASE("a text is cut at its separators; white space alone is no step and CRLF is a line end") {
  using Steps = std::vector<std::string>;
  for (const char* text : {"good step\n\n\nbad thing", "good step\nbad thing", "good step\r\n\r\nbad thing",
                           "good step\n \nbad thing", "good step\n\nbad thing\n\n",
                           "good step\n\nbad thing\n\n ", "\r\ngood step\n\t\r\nbad thing\r\n"}) {
    CAPTURE(text);
    CHECK(merit::split_steps(text, "\n") == Steps{"good step", "bad thing"});
  }
  CHECK(merit::split_steps("a\r\n\r\nb\nc", "\n\n") == Steps{"a", "b\nc"});
  CHECK(merit::split_steps("a\r\nb\nc", "\r\n") == Steps{"a", "b\nc"});  // a separator that tells them apart
  CHECK(merit::split_steps(" \r\n\t", "\n").empty());
  CHECK(merit::split_steps("  a\n  b", "\n") == Steps{"  a", "  b"});  // indentation is part of a step
}

TEST_CASE("a step that has its separator already is read as in a text that is cut") {
  const auto shown = [](const std::vector<std::string>& steps, const std::string& separator) {
    DataCounts counts;
    const auto example = merit::tokenize(merit_test::steps_record("Q", steps, {true, true}), bytes,
                                         {.step_separator = separator}, counts)
                             .value();
    return show(example.sequence);
  };
  const std::string bare = shown({"one", "two"}, "\n");
  CHECK(bare == "Q/|one/'two/'$");
  CHECK(shown({"one\n", "two\n"}, "\n") == bare);
  CHECK(shown({"one\r\n", "two\r\n\r\n"}, "\n") == bare);
  CHECK(shown({"one", "\ntwo"}, "\n") == bare);
  CHECK(shown({"one\n\n", "two"}, "\n\n") == shown({"one", "two"}, "\n\n"));
  CHECK(shown({"one;", "two"}, ";") == "Q;|one;'two;'$");
  CHECK(shown({"o\nne", "two"}, "\n") == "Q/|o/ne/'two/'$");  // inside, a step keeps it
  merit::CompletionRecord text;
  text.prompt = "Q";
  text.completion = "one\r\n \r\ntwo\n";
  DataCounts counts;
  const auto cut = merit::tokenize(merit::as_steps(text, {}), bytes, {}, counts).value();
  CHECK(show(cut.sequence) == bare);
}

TEST_CASE("the steps of a conversation are those of its last answer, to what stands before it") {
  merit::CompletionRecord record;
  record.source = {"here.jsonl", 3};
  record.prompt = std::vector<merit::Message>{{"system", "S"}};
  record.completion = std::vector<merit::Message>{{"user", "Q"}, {"assistant", "one\ntwo"}};
  const merit::StepsRecord steps = merit::as_steps(record, {});
  CHECK(steps.completions == std::vector<std::string>{"one", "two"});
  CHECK(std::get<std::vector<merit::Message>>(*steps.prompt) ==
        std::vector<merit::Message>{{"system", "S"}, {"user", "Q"}});
  const auto refused = [&](const char* sentence) {
    CHECK_THROWS_WITH_AS(merit::as_steps(record, {}), sentence, merit::DataError);
  };
  record.completion = std::vector<merit::Message>{{"user", "Q"}};
  refused(
      "here.jsonl:3: found a conversation that ends with the role \"user\", expected the assistant's answer, in which a "
      "model of steps scores each step");
  record.completion = std::vector<merit::Message>{};
  refused("here.jsonl:3: found a conversation without messages, expected one that ends in an answer");
  record.prompt = "Q";
  refused(
      "here.jsonl:3: found a conversation under a prompt that is a string, expected a prompt that is a list of messages");
}

TEST_CASE("a text that has the separator is cut there, and else where paragraphs are divided") {
  merit::CompletionRecord record;
  const merit::TokenizeOptions options{.step_separator = "#", .step_split = "\n\n"};
  for (const char* text : {"a\n\nb", "a#b#"}) {
    record.completion = text;
    CHECK(merit::as_steps(record, options).completions == std::vector<std::string>{"a", "b"});
  }
}

}  // namespace borders_test
