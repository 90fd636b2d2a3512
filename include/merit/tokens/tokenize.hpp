// From records to examples: tokenize() for every kind of record, and all records of a reader at once.
#pragma once

#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/forest/example.hpp"
#include "merit/records/record.hpp"
#include "merit/records/split_key.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokens/data_counts.hpp"
#include "merit/tokens/tokenize_completions.hpp"
#include "merit/tokens/tokenize_options.hpp"
#include "merit/tokens/tokenize_pairs.hpp"
#include "merit/tokens/tokenize_rankings.hpp"
#include "merit/tokens/tokenize_steps.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

// The example that a record becomes.
PreferenceExample example_type(const PreferenceRecord&);
PreferenceExample example_type(const JudgeRecord&);
RankingExample example_type(const RankingRecord&);
RankingExample example_type(const RatingsRecord&);
OutcomeExample example_type(const OutcomeRecord&);
StepsExample example_type(const StepsRecord&);
RolloutExample example_type(const RolloutRecord&);

template <class Reader>
using RecordOf = std::remove_cvref_t<decltype(*std::declval<Reader&>().next())>;

}  // namespace detail

/// What tokenize() makes of a record: PreferenceExample of PreferenceRecord and JudgeRecord, RankingExample
/// of RankingRecord and RatingsRecord, and so on. A CompletionRecord has no target and becomes no example.
template <class Record>
using ExampleOf = decltype(detail::example_type(std::declval<const Record&>()));

/// Tokenizes all records that `reader.next()` gives, one at a time; only the examples are held.
template <class Reader, tokenizer Tokenizer>
std::vector<ExampleOf<detail::RecordOf<Reader>>> read_examples(Reader& reader, const Tokenizer& tokenizer,
                                                               const TokenizeOptions& options,
                                                               DataCounts& counts) {
  std::vector<ExampleOf<detail::RecordOf<Reader>>> examples;
  while (const auto record = reader.next()) {
    if (auto example = tokenize(*record, tokenizer, options, counts)) examples.push_back(std::move(*example));
  }
  return examples;
}

/// Tokenizes records that a program has made, one example each, in order:
///
///   const std::vector<PreferenceRecord> mine = {{.prompt = "2+2?", .chosen = "4", .rejected = "5"}};
///   const auto pairs = tokenize(mine, ByteTokenizer{});
///
/// Throws DataError that names the first record that gives no example, and why; read_examples() counts such
/// records and goes on.
template <std::ranges::input_range Records, tokenizer Tokenizer>
std::vector<ExampleOf<std::ranges::range_value_t<Records>>> tokenize(const Records& records,
                                                                     const Tokenizer& tokenizer,
                                                                     const TokenizeOptions& options = {}) {
  std::vector<ExampleOf<std::ranges::range_value_t<Records>>> examples;
  Index number = 0;
  for (const auto& given : records) {
    auto record = given;
    ++number;
    if (record.source.file.empty()) record.source = {"record", number};
    DataCounts counts;
    auto example = tokenize(record, tokenizer, options, counts);
    if (!example) throw DataError(record.source.text() + ": gives no example: " + counts.sentence());
    examples.push_back(std::move(*example));
  }
  return examples;
}

}  // namespace MERIT_ABI
}  // namespace merit
