// A prompt and its completion as the two segments that encoders read.
#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/forest/forest.hpp"
#include "merit/io/json.hpp"
#include "merit/tokens/tokenize.hpp"
#include "stored.hpp"

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

const SegmentMarks marks{{'C'}, {'S', 'S'}, {'E'}};

std::string text_of(const Sequence& sequence) {
  return {sequence.tokens.begin(), sequence.tokens.end()};
}

TEST_CASE("segments stand apart, with what the tokenizer puts around and between them") {
  DataCounts counts;
  TokenizeOptions options;
  options.segments = marks;
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

  options.max_tokens = 7;
  CHECK(!tokenize(record, Letters{}, options, counts).has_value());
  CHECK(counts.dropped_over_long == 1);
}

/// What is left of a completion, or nothing where the record is left out.
std::string left_of(const std::string& first, const std::string& second, const TokenizeOptions& options) {
  CompletionRecord record;
  if (!first.empty()) record.prompt = first;
  record.completion = second;
  DataCounts counts;
  const TokenizedCompletion result = tokenize(record, Letters{}, options, counts);
  CHECK(counts.longest == first.size() + second.size() + (first.empty() ? 2 : 4));
  if (result.fate != CompletionFate::kept) return {};
  CHECK(result.sequence.tokens.size() <= options.max_tokens);
  CHECK(counts.cut_left + counts.cut_left_together + counts.cut_right + counts.cut_prompt ==
        (result.sequence.cut ? 1 : 0));
  const Index begin = result.sequence.completion_begin;
  CHECK((begin == 0 || result.sequence.tokens[begin - 1] == 'S'));
  return text_of(result.sequence);
}

TEST_CASE("segments that are too long are cut as transformers cuts them, and keep their marks") {
  const Json rows = read_json(merit_test::stored("tokenizers/pair_cuts.json"));
  REQUIRE(rows.size() > 100);
  for (const Json& row : rows) {
    INFO(row.dump());
    const TokenizeOptions options{.max_tokens = row.at("max_tokens").get<Index>(),
                                  .truncation = truncation_from_name(row.at("policy").get<std::string>()),
                                  .segments = marks};
    CHECK(left_of(row.at("first").get<std::string>(), row.at("second").get<std::string>(), options) ==
          row.at("left").get<std::string>());
  }
}

TEST_CASE("where a segment is used up, the other is alone or the record is left out") {
  const auto cut = [](const char* first, const char* second, Index limit, Truncation policy) {
    return left_of(first, second, {.max_tokens = limit, .truncation = policy, .segments = marks});
  };
  CHECK(cut("abc", "vwxyz", 9, Truncation::cut_left) ==
        "CvwxyzE");  // no room for a prompt's token and two marks
  CHECK(cut("abc", "vwxyz", 9, Truncation::keep_completion) == "CvwxyzE");
  CHECK(cut("abc", "vwxyz", 6, Truncation::cut_left) == "CwxyzE");
  CHECK(cut("abc", "vwxyz", 6, Truncation::cut_left_together) == "CwxyzE");
  CHECK(cut("abc", "vwxyz", 6, Truncation::keep_completion).empty());
  CHECK(cut("abc", "vwxyz", 7, Truncation::cut_right).empty());  // nothing is left of the completion
  CHECK(cut("abc", "vwxyz", 4, Truncation::cut_left).empty());   // nor room beside the marks
  CHECK(cut("", "vwxyz", 2, Truncation::cut_right).empty());

  // Together the prompts lose the same; a completion that is too long by itself leaves the pair out.
  const PreferenceRecord record{.prompt = "abcdef", .chosen = "uvwxyz", .rejected = "z"};
  DataCounts counts;
  TokenizeOptions options{.max_tokens = 12, .truncation = Truncation::cut_left_together, .segments = marks};
  auto example = tokenize(record, Letters{}, options, counts);
  REQUIRE(example.has_value());
  CHECK(text_of(example->chosen) == "CefSSuvwxyzE");
  CHECK(text_of(example->rejected) == "CefSSzE");
  options.truncation = Truncation::cut_left;
  example = tokenize(record, Letters{}, options, counts);
  CHECK(text_of(example->chosen) == "CefSSuvwxyzE");
  CHECK(text_of(example->rejected) == "CabcdefSSzE");
  options.truncation = Truncation::keep_completion;
  options.max_tokens = 7;
  CHECK(!tokenize(record, Letters{}, options, counts).has_value());

  // The ablation keeps what stands before a text.
  options = {.without_prompt = true, .segments = marks};
  CHECK(text_of(tokenize(record, Letters{}, options, counts)->chosen) == "CuvwxyzE");
}

TEST_CASE("ids are cut by the marks in them, steps and states not at all") {
  CompletionRecord ids;
  ids.form = RecordForm::ids;
  ids.prompt_ids = std::vector<Token>{'C', 'a', 'b', 'S', 'S'};
  ids.completion_ids = {'c', 'd', 'E'};
  TokenizeOptions options{.max_tokens = 7, .truncation = Truncation::cut_right, .segments = marks};
  DataCounts counts;
  CHECK(text_of(tokenize(ids, Letters{}, options, counts).sequence) == "CabSScE");
  ids.completion_ids = {'c', 'd', 'd'};
  CHECK_THROWS_WITH_AS(tokenize(ids, Letters{}, options, counts),
                       doctest::Contains("does not begin with the tokens [67] and end with [69]"), DataError);

  RolloutRecord rollout;
  CHECK_THROWS_WITH_AS(tokenize(rollout, Letters{}, options, counts),
                       doctest::Contains("found cut_right, expected drop or error"), ConfigError);
  CHECK_THROWS_WITH_AS(tokenize(StepsRecord{}, Letters{}, options, counts),
                       doctest::Contains("found cut_right, expected drop or error"), ConfigError);
  options = {.truncation = Truncation::longest_first};
  CHECK_THROWS_WITH_AS(tokenize(ids, Letters{}, options, counts),
                       doctest::Contains("found longest_first, expected another policy"), ConfigError);
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
