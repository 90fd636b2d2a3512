// A prompt and its completion as the two segments that encoders read.
#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/forest/forest.hpp"
#include "merit/tokens/tokenize.hpp"

namespace segments_test {

using namespace merit;

/// A token for each letter; 'C' before a text, "SS" between two, 'E' behind.
struct Letters {
  void encode(std::string_view text, std::vector<Token>& out) const {
    for (const char c : text) out.push_back(static_cast<Token>(c));
  }
  Token eos() const { return 'E'; }
  Index vocabulary_size() const { return 128; }
  std::string name() const { return "letters"; }
  std::vector<Token> before() const { return {'C'}; }
  std::vector<Token> after() const { return {'E'}; }
  std::vector<Token> between() const { return {'S', 'S'}; }
};

std::string text_of(const Sequence& sequence) {
  return {sequence.tokens.begin(), sequence.tokens.end()};
}

TEST_CASE("segments stand apart, with what the tokenizer puts around and between them") {
  DataCounts counts;
  TokenizeOptions options;
  options.segments = true;
  const PreferenceRecord record{.prompt = "ab", .chosen = "cd", .rejected = "e"};
  const auto example = tokenize(record, Letters{}, options, counts);
  REQUIRE(example.has_value());
  CHECK(text_of(example->chosen) == "CabSScdE");
  CHECK(text_of(example->rejected) == "CabSSeE");
  CHECK(example->chosen.completion_begin == 5);

  // Without a prompt there is one segment.
  const auto alone = tokenize(PreferenceRecord{.chosen = "cd", .rejected = "e"}, Letters{}, options, counts);
  REQUIRE(alone.has_value());
  CHECK(text_of(alone->chosen) == "CcdE");

  // What is too long is dropped: a cut would take the first token.
  options.max_tokens = 7;
  CHECK(!tokenize(record, Letters{}, options, counts).has_value());
  CHECK(counts.dropped_over_long == 1);
  options.truncation = Truncation::cut_left;
  CHECK_THROWS_WITH_AS(detail::check_options(options),
                       doctest::Contains("found cut_left, expected drop or error"), ConfigError);
}

TEST_CASE("the second segment of a tree begins behind its first separator") {
  ForestBuilder builder(Sharing::no, 'S');
  const std::vector<Token> pair = {'C', 'a', 'S', 'b', 'S'}, single = {'C', 'a'};
  const std::vector<std::span<const Token>> both = {pair, single};
  builder.add_tree(both);
  builder.want_row(builder.index(0, 0, 4));
  builder.want_row(builder.index(0, 1, 1));
  const Forest& forest = builder.finish();
  CHECK(forest.types == std::vector<std::uint32_t>{0, 0, 0, 1, 1, 0, 0});
  CHECK(forest.row_roots == std::vector<std::uint32_t>{0, 5});

  ForestBuilder sharing;
  const std::vector<Token> more = {'C', 'a', 'x'};
  const std::vector<std::span<const Token>> tree = {more, pair};
  sharing.add_tree(tree);
  sharing.want_row(sharing.index(0, 1, 3));
  sharing.finish();
  CHECK(sharing.forest().row_roots == std::vector<std::uint32_t>{0});
  CHECK(sharing.forest().types == std::vector<std::uint32_t>(6, 0));
  CHECK_THROWS_WITH_AS(ForestBuilder(Sharing::yes, 'S'), doctest::Contains("expected Sharing::no"),
                       UsageError);
}

}  // namespace segments_test
