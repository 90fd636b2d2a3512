// Several completions of one prompt to examples: rankings and ratings.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/records/record.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokens/data_counts.hpp"
#include "merit/tokens/sequences.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// The sum over attributes of each completion. (K)
inline std::vector<double> total_ratings(std::span<const double> ratings, Index attributes) {
  std::vector<double> totals(ratings.size() / attributes, 0.0);
  for (Index i = 0; i < ratings.size(); ++i) totals[i / attributes] += ratings[i];
  return totals;
}

/// 0 for the highest rating, no rank left out. Ratings that differ by rounding alone (a sum of the same
/// attributes in another order) are equal. (K)
inline std::vector<Index> ranks_of_ratings(std::span<const double> totals) {
  std::vector<Index> order(totals.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return totals[a] > totals[b]; });
  std::vector<Index> ranks(totals.size(), 0);
  Index rank = 0;
  for (Index i = 1; i < order.size(); ++i) {
    const double before = totals[order[i - 1]];
    const double here = totals[order[i]];
    if (before - here > 1e-12 * std::max(std::abs(before), std::abs(here))) ++rank;
    ranks[order[i]] = rank;
  }
  return ranks;
}

/// Whether no completion is better than another; one alone is not tied.
inline bool all_tied(std::span<const Index> ranks) {
  return ranks.size() > 1 &&
         std::all_of(ranks.begin(), ranks.end(), [&](Index rank) { return rank == ranks[0]; });
}

/// The margins of the pairs (0,1), (0,2), … (1,2), …; ties have 0. `totals` may be empty.
inline std::vector<double> margins_of(const RankingMargin& margin, std::span<const Index> ranks,
                                      std::span<const double> totals, const SourcePosition& at) {
  std::vector<double> margins;
  if (!margin) return margins;
  if (ranks.size() > most_completions_in_pairs) {
    throw DataError(concat(at.text(), ": found ", ranks.size(), " completions, expected at most ",
                           most_completions_in_pairs, " where each pair has a margin"));
  }
  const auto rating = [&](Index i) { return totals.empty() ? 0.0 : totals[i]; };
  for (Index i = 0; i < ranks.size(); ++i) {
    for (Index j = i + 1; j < ranks.size(); ++j) {
      const Index better = ranks[i] < ranks[j] ? i : j;
      const Index worse = better == i ? j : i;
      const Index difference = ranks[worse] - ranks[better];
      margins.push_back(difference == 0 ? 0.0 : margin(rating(better), rating(worse), difference));
      if (!std::isfinite(margins.back())) {
        throw DataError(concat(at.text(), ": the margin of completions ", better, " and ", worse, " is ",
                               margins.back(), ", expected a finite number"));
      }
    }
  }
  return margins;
}

/// The completions of a record before any cut.
template <tokenizer Tokenizer>
std::vector<Sequence> sequences_of_group(const CompletionsRecord& record, const Tokenizer& tokenizer,
                                         const TokenizeOptions& options) {
  check_options(options);
  const Index size = record.size();
  if (size == 0) {
    throw DataError(record.source.text() +
                    ": field 'completions': found an empty list, expected at least one completion");
  }
  std::vector<Sequence> sequences(size);
  EncodedPrompt prompt;
  for (Index i = 0; i < size; ++i) {
    Sequence& sequence = sequences[i];
    switch (record.form) {
      case RecordForm::text:
        sequence = sequence_of_text(record.prompt, record.completions[i], record.inputs, tokenizer, options,
                                    record.source, prompt);
        break;
      case RecordForm::ids:
        sequence = sequence_of_ids(record.prompt_ids, record.completions_ids[i],
                                   concat("completions_ids[", i, ']'), tokenizer, options, record.source);
        break;
      case RecordForm::features: sequence.features = record.completions_features[i]; break;
    }
  }
  return sequences;
}

/// Fills the completions of `group` and counts. False when the record is dropped.
template <tokenizer Tokenizer>
bool tokenize_group(const CompletionsRecord& record, bool keep_single, const Tokenizer& tokenizer,
                    const TokenizeOptions& options, DataCounts& counts, RankedGroup& group) {
  const Index size = record.size();
  if (size == 1 && !keep_single) {
    ++counts.records;
    ++counts.dropped_single;
    return false;
  }
  group.weight = record.weight.value_or(1);
  group.completions = sequences_of_group(record, tokenizer, options);
  std::vector<Sequence*> sequences;
  for (Sequence& sequence : group.completions) sequences.push_back(&sequence);
  const auto same = [](const Sequence& a, const Sequence& b) {
    return a.tokens == b.tokens && a.features == b.features;
  };
  if (record.form == RecordForm::features) {
    const bool equal = all_equal(sequences);
    const bool kept = !equal || options.to_judge;
    ++counts.records;
    ++(kept ? counts.kept : counts.dropped_equal);
    counts.kept_equal += kept && equal ? 1 : 0;
    if (!kept) return false;
  } else if (!enforce_limit(sequences, options, record.source, counts)) {
    return false;
  }
  // Sorted, so that equal ones are neighbours: looking at every pair takes minutes where they are many.
  const auto before = [](const Sequence* a, const Sequence* b) {
    return std::tie(a->tokens, a->features) < std::tie(b->tokens, b->features);
  };
  std::sort(sequences.begin(), sequences.end(), before);
  for (Index i = 1; i < size; ++i) {
    if (same(*sequences[i - 1], *sequences[i])) ++counts.equal_completions;
  }
  return true;
}

}  // namespace detail

/// Tokenizes the completions of one ranking, which keep sharing what is left of the prompt after a cut. Gives
/// nothing when it is dropped: of one completion, too long, all completions equal, or one without a token.
/// Completions that are equal among others stay, as the ranking has them, and are counted, as is a ranking
/// that ties all of them.
///
/// Margins, if options.margin is given, are computed with ratings of 0.
template <tokenizer Tokenizer>
std::optional<RankingExample> tokenize(const RankingRecord& record, const Tokenizer& tokenizer,
                                       const TokenizeOptions& options, DataCounts& counts) {
  detail::check_one_each("ranks", record.ranks.size(), record.size(), record.source);
  RankedGroup group;
  if (!detail::tokenize_group(record, false, tokenizer, options, counts, group)) return std::nullopt;
  group.ranks = record.ranks;
  counts.all_tied += detail::all_tied(group.ranks) ? 1 : 0;
  group.margins = detail::margins_of(options.margin, group.ranks, {}, record.source);
  return RankingExample{{std::move(group)}};
}

/// Tokenizes rated completions as a ranking is. Ranks are by descending rating, the sum over attributes, and
/// equal ratings are ties; the ratings are kept. One completion alone is dropped unless
/// options.keep_single_ratings.
template <tokenizer Tokenizer>
std::optional<RankingExample> tokenize(const RatingsRecord& record, const Tokenizer& tokenizer,
                                       const TokenizeOptions& options, DataCounts& counts) {
  if (record.attributes == 0) {
    throw DataError(record.source.text() + ": field 'scores': found no attributes, expected at least one");
  }
  detail::check_one_each("scores", record.scores.size(), record.size() * record.attributes, record.source);
  RankedGroup group;
  if (!detail::tokenize_group(record, options.keep_single_ratings, tokenizer, options, counts, group)) {
    return std::nullopt;
  }
  const std::vector<double> totals = detail::total_ratings(record.scores, record.attributes);
  for (Index i = 0; i < totals.size(); ++i) {
    if (std::isfinite(totals[i])) continue;
    throw DataError(concat(record.source.text(), ": field 'scores': the ratings of completion ", i,
                           " sum to ", totals[i], ", expected a finite number"));
  }
  group.ranks = detail::ranks_of_ratings(totals);
  counts.all_tied += detail::all_tied(group.ranks) ? 1 : 0;
  group.ratings = record.scores;
  group.attributes = record.attributes;
  group.margins = detail::margins_of(options.margin, group.ranks, totals, record.source);
  return RankingExample{{std::move(group)}};
}

}  // namespace MERIT_ABI
}  // namespace merit
