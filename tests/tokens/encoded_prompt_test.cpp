// What the completions of a record share is encoded once, and what is kept takes no spare room.
#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/forest/reading_rule.hpp"
#include "merit/templates/message.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"
#include "merit/tokens/tokenize_pairs.hpp"
#include "merit/tokens/tokenize_rankings.hpp"
#include "shown_pairs.hpp"

namespace encoded_prompt_test {

using merit::DataCounts;
using merit::Index;
using merit::PreferenceRecord;
using merit::Sequence;
using merit::Token;
using merit::TokenizeOptions;
using merit::Truncation;
using Messages = std::vector<merit::Message>;

using merit_test::bytes;
using merit_test::show;
using merit_test::text_record;

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
  record.rejected = Messages{{"assistant", "no"}};
  const auto example = merit::tokenize(record, Surrounding{}, {}, counts).value();
  CHECK(show(example.chosen) == "|<yes$");
  CHECK(show(example.rejected) == "|assistant: no//");
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

}  // namespace encoded_prompt_test
