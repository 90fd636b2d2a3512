// Completions of a prompt in the order of their scores, and the best of them, with a model of any kind.
#pragma once

#include <algorithm>
#include <array>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/temporary.hpp"
#include "merit/infer/probabilities.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Completions of one prompt. They are scored as one tree: what they share is computed once. A view; the
/// sequences stay where they are.
struct PromptCompletions {
  std::span<const Sequence> completions;

  PromptCompletions() = default;
  PromptCompletions(std::span<const Sequence> sequences) : completions(sequences) {}
  template <ends_with_the_call Sequences>
  PromptCompletions(Sequences&& sequences) = delete;
};

template <class F>
void for_each_sequence(const PromptCompletions& prompt, const F& f) {
  for (const Sequence& sequence : prompt.completions) f(sequence);
}

/// Where completions stand that a limit on length cut, of which the model did not read all.
enum class RankCut {
  last,       // below all that were read whole
  as_scored,  // by their scores, as if they had been
};

template <>
inline constexpr std::array<std::string_view, 2> enum_names<RankCut>{"last", "as_scored"};

/// How rows become one score a completion. Of a model of whole completions the score is taken as it is, and
/// the aggregation and probabilities do not matter.
struct RerankOptions {
  Aggregation aggregation = Aggregation::product;
  AggregateOptions aggregate = {};
  ProbabilityOptions probabilities = {};
  Index token_budget = 8192;
  RankCut rank_cut = RankCut::last;
};

/// The scores of each prompt's completions. A model of whole completions gives its (merged) score, a model of
/// tokens or steps the aggregated probabilities. Throws DataError for a completion without rows.
template <class Model>
std::vector<std::vector<double>> score_candidates(Model& model, std::span<const PromptCompletions> prompts,
                                                  const RerankOptions& options = {},
                                                  const OnProgress& on_progress = {}) {
  std::vector<double> scores;
  if constexpr (Model::HeadType::meaning == ScoreMeaning::per_completion) {
    scores = score(model, prompts, options.token_budget, on_progress);
  } else {
    for (const auto& probabilities :
         score_probabilities(model, prompts, options.probabilities, options.token_budget, on_progress)) {
      scores.push_back(aggregate(probabilities, options.aggregation, options.aggregate));
    }
  }
  std::vector<std::vector<double>> result;
  auto next = scores.begin();
  for (const PromptCompletions& prompt : prompts) {
    const auto end = next + static_cast<std::ptrdiff_t>(prompt.completions.size());
    result.emplace_back(next, end);
    next = end;
  }
  return result;
}

/// The same for one prompt.
template <class Model>
std::vector<double> score_candidates(Model& model, std::span<const Sequence> completions,
                                     const RerankOptions& options = {}) {
  const PromptCompletions prompt{completions};
  return std::move(score_candidates(model, std::span(&prompt, 1), options)[0]);
}

/// Positions by descending score; equal scores in their given order. Throws DataError when there are none or
/// one is not finite.
inline std::vector<Index> order_by_score(std::span<const double> scores) {
  detail::require_scores("order_by_score", scores);
  std::vector<Index> order(scores.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return scores[a] > scores[b]; });
  return order;
}

/// The same with cut completions where `rank_cut` says. Throws UsageError when there are not as many marks.
inline std::vector<Index> order_by_score(std::span<const double> scores, const std::vector<bool>& cut,
                                         RankCut rank_cut = RankCut::last) {
  if (cut.size() != scores.size()) {
    throw UsageError(concat("order_by_score: found ", cut.size(), " marks of what was cut, expected ",
                            scores.size(), ", one a score"));
  }
  std::vector<Index> order = order_by_score(scores);
  if (rank_cut == RankCut::last) {
    std::stable_partition(order.begin(), order.end(), [&](Index i) { return !cut[i]; });
  }
  return order;
}

/// The ranks of an order: 0 for the best, equal ones where neither scores nor marks differ, none left out.
inline std::vector<Index> ranks_of_order(std::span<const Index> order, std::span<const double> scores,
                                         const std::vector<bool>& cut, RankCut rank_cut = RankCut::last) {
  std::vector<Index> ranks(scores.size(), 0);
  for (Index k = 1; k < order.size(); ++k) {
    const Index here = order[k];
    const Index before = order[k - 1];
    const bool apart = rank_cut == RankCut::last && cut[here] != cut[before];
    ranks[here] = ranks[before] + (scores[here] != scores[before] || apart ? 1 : 0);
  }
  return ranks;
}

/// Numbers that order completions as the best of them is chosen, higher is better: by score, cut ones below all
/// that were read whole.
inline std::vector<double> choice_keys(std::span<const double> scores, const std::vector<bool>& cut) {
  std::vector<double> keys;
  for (const Index rank : ranks_of_order(order_by_score(scores, cut), scores, cut))
    keys.push_back(-static_cast<double>(rank));
  return keys;
}

namespace detail {

inline std::vector<bool> marks_of_cut(std::span<const Sequence> completions) {
  std::vector<bool> cut;
  for (const Sequence& sequence : completions) cut.push_back(sequence.cut);
  return cut;
}

}  // namespace detail

/// A completion's place in the given list, and its score.
struct RankedCompletion {
  Index index = 0;
  double score = 0;
};

/// The completions of one prompt, best first; equal scores in their given order, cut ones last unless asked
/// otherwise.
template <class Model>
std::vector<RankedCompletion> rerank(Model& model, std::span<const Sequence> completions,
                                     const RerankOptions& options = {}) {
  const std::vector<double> scores = score_candidates(model, completions, options);
  std::vector<RankedCompletion> ranked;
  for (const Index i : order_by_score(scores, detail::marks_of_cut(completions), options.rank_cut)) {
    ranked.push_back({i, scores[i]});
  }
  return ranked;
}

/// The best of N completions of one prompt, and which tie with it: of those that were read whole, where there
/// is one and nothing else is asked.
template <class Model>
Pick best_of_n(Model& model, std::span<const Sequence> completions, const RerankOptions& options = {}) {
  const std::vector<double> scores = score_candidates(model, completions, options);
  const std::vector<bool> cut = detail::marks_of_cut(completions);
  const std::vector<Index> order = order_by_score(scores, cut, options.rank_cut);
  const std::vector<Index> ranks = ranks_of_order(order, scores, cut, options.rank_cut);
  Pick pick{order.front(), {}};
  for (Index i = 0; i < ranks.size(); ++i) {
    if (ranks[i] == 0) pick.tied.push_back(i);
  }
  return pick;
}

}  // namespace MERIT_ABI
}  // namespace merit
