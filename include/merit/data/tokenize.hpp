// From records to examples: tokenize() for every kind of record, and all records of a reader at once.
#pragma once

#include <type_traits>
#include <utility>
#include <vector>

#include "merit/data/data_counts.hpp"
#include "merit/data/example.hpp"
#include "merit/data/record.hpp"
#include "merit/data/split_key.hpp"
#include "merit/data/tokenize_completions.hpp"
#include "merit/data/tokenize_options.hpp"
#include "merit/data/tokenize_pairs.hpp"
#include "merit/data/tokenize_rankings.hpp"
#include "merit/data/tokenize_steps.hpp"
#include "merit/text/tokenizer.hpp"

namespace merit::inline MERIT_ABI {

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

}  // namespace merit::inline MERIT_ABI
