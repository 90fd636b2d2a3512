// What records of one prompt share, how much room their sequences take, and records that a program makes.
#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"
#include "stored.hpp"

namespace shared_prompts_test {

using merit::DataCounts;
using merit::Index;
using merit::PreferenceExample;
using merit::PreferenceRecord;
using merit::Sequence;
using merit::Token;
using merit::TokenizeOptions;
using merit::Truncation;

const merit::ByteTokenizer bytes;

PreferenceRecord text_record(std::optional<std::string> prompt, std::string chosen, std::string rejected) {
  PreferenceRecord record;
  if (prompt) record.prompt = *prompt;
  record.chosen = std::move(chosen);
  record.rejected = std::move(rejected);
  return record;
}

/// The bytes of a sequence as text.
std::string text_of(const Sequence& sequence) {
  std::string text;
  for (const Token token : sequence.tokens) {
    if (token != bytes.eos()) text.push_back(static_cast<char>(token));
  }
  return text;
}

TEST_CASE(
    "records made in a program become one example each, or an error that names the first that does not") {
  std::vector<PreferenceRecord> mine = {{.prompt = "2+2?", .chosen = "4", .rejected = "5"},
                                        {.prompt = "1+1?", .chosen = "2", .rejected = "3"}};
  const std::vector<PreferenceExample> pairs = merit::tokenize(mine, bytes);
  REQUIRE(pairs.size() == 2);
  for (Index i = 0; i < 2; ++i) {
    DataCounts counts;
    const auto alone = merit::tokenize(mine[i], bytes, {}, counts).value();
    CHECK(pairs[i].chosen.tokens == alone.chosen.tokens);
    CHECK(pairs[i].rejected.tokens == alone.rejected.tokens);
    CHECK(pairs[i].chosen.completion_begin == 4);
  }
  mine[1].rejected = "2";
  CHECK_THROWS_WITH_AS(
      merit::tokenize(mine, bytes),
      doctest::Contains(
          "record:2: gives no example: Of 1 record, 0 were kept, 1 dropped as both sides were equal"),
      merit::DataError);
  mine[1].source = {"here.jsonl", 7};
  CHECK_THROWS_WITH_AS(merit::tokenize(mine, bytes), doctest::Contains("here.jsonl:7: gives no example"),
                       merit::DataError);
}

/// A tokenizer of bytes that counts what it is given; without `Settled` it does not say where it can be cut.
struct CountedBytes {
  Index* encoded;

  void encode(std::string_view text, std::vector<Token>& out) const {
    *encoded += text.size();
    bytes.encode(text, out);
  }
  Token eos() const { return bytes.eos(); }
  Index vocabulary_size() const { return bytes.vocabulary_size(); }
  std::string name() const { return "counted"; }
};
struct CountedSettledBytes : CountedBytes {
  Index settled(std::string_view text) const { return text.size(); }
};

TEST_CASE("a prompt is encoded once for all completions of a record") {
  merit::RankingRecord ranking;
  ranking.prompt = std::string(1000, 'p');
  for (Index i = 0; i < 9; ++i) {
    ranking.completions.emplace_back(std::string(50, static_cast<char>('a' + i)));
    ranking.ranks.push_back(i);
  }
  Index encoded = 0;
  DataCounts counts;
  const auto once = merit::tokenize(ranking, CountedSettledBytes{{&encoded}}, {}, counts).value();
  CHECK(encoded == 1000 + 9 * 50);
  // A tokenizer that may join text across any border reads it with each completion, and once alone.
  encoded = 0;
  const auto joined = merit::tokenize(ranking, CountedBytes{&encoded}, {}, counts).value();
  CHECK(encoded == 1000 + 9 * (1000 + 50));
  for (Index i = 0; i < 9; ++i) {
    const Sequence& sequence = once.groups[0].completions[i];
    CHECK(sequence.completion_begin == 1000);
    CHECK(sequence.tokens == joined.groups[0].completions[i].tokens);
  }
  encoded = 0;
  const auto pair = text_record(std::string(1000, 'p'), "yes", "no");
  CHECK(merit::tokenize(pair, CountedSettledBytes{{&encoded}}, {}, counts).has_value());
  CHECK(encoded == 1000 + 3 + 2);
}

TEST_CASE("a prompt without text has the special tokens of each side's form, not those of the other") {
  struct Surrounding : merit::ByteTokenizer {
    std::vector<Token> before() const { return {'<'}; }
  };
  DataCounts counts;
  PreferenceRecord record = text_record({}, "yes", "");
  record.rejected = std::vector<merit::Message>{{"assistant", "no"}};
  const auto example = merit::tokenize(record, Surrounding{}, {}, counts).value();
  CHECK(text_of(example.chosen) == "<yes");
  CHECK(text_of(example.rejected) == "assistant: no\n\n");
}

TEST_CASE("sequences take no more room than their tokens") {
  DataCounts counts;
  const auto check = [&](const PreferenceRecord& record, const TokenizeOptions& options) {
    const auto example = merit::tokenize(record, bytes, options, counts).value();
    CHECK(example.chosen.tokens.capacity() == example.chosen.tokens.size());
    CHECK(example.rejected.tokens.capacity() == example.rejected.tokens.size());
  };
  check(text_record("Q: ", std::string(100, 'a'), "b"), {});
  check(text_record("Q: ", std::string(100, 'a'), "b"),
        {.max_tokens = 20, .truncation = Truncation::cut_left});
  check(text_record("Q: ", std::string(100, 'a'), "b"),
        {.reading = merit::reading_rule_from_name("appended:7")});
}

}  // namespace shared_prompts_test
