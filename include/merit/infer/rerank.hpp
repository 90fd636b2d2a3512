// Completions of a prompt in the order of their scores, and the best of them, with a model of any kind.
#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

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

/// How rows become one score a completion. Of a model of whole completions the score is taken as it is, and
/// none of this but the budget matters.
struct RerankOptions {
  Aggregation aggregation = Aggregation::product;
  AggregateOptions aggregate = {};
  ProbabilityOptions probabilities = {};
  Index token_budget = 8192;
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

/// A completion's place in the given list, and its score.
struct RankedCompletion {
  Index index = 0;
  double score = 0;
};

/// The completions of one prompt, best first; equal scores in their given order.
template <class Model>
std::vector<RankedCompletion> rerank(Model& model, std::span<const Sequence> completions,
                                     const RerankOptions& options = {}) {
  const std::vector<double> scores = score_candidates(model, completions, options);
  std::vector<RankedCompletion> ranked;
  for (const Index i : order_by_score(scores)) ranked.push_back({i, scores[i]});
  return ranked;
}

/// The best of N completions of one prompt, and which tie with it.
template <class Model>
Pick best_of_n(Model& model, std::span<const Sequence> completions, const RerankOptions& options = {}) {
  return pick_best(score_candidates(model, completions, options));
}

}  // namespace MERIT_ABI
}  // namespace merit
