// Scores of many sequences: packed under a token budget, each the sequence's own whatever it is packed with.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "merit/data/packing.hpp"
#include "merit/infer/batch.hpp"

namespace merit::inline MERIT_ABI {

/// Called after each batch with how many examples are done.
using OnProgress = std::function<void(Index done, Index total)>;

/// Runs `visit(i, builder, number, scores)` for every example, in order, in batches of at most `token_budget`
/// tokens after sharing. `builder.rows(number)` gives the rows, in `scores`, of the example's first sequence;
/// others follow.
template <class Model, class Example, class Visit>
void for_each_scored(Model& model, std::span<const Example> examples, Index token_budget, Visit visit,
                     const OnProgress& on_progress = {}) {
  BatchBuilder<Model> builder(model);
  std::vector<Index> costs;
  for (const Example& example : examples) costs.push_back(shared_tokens(example));
  const std::vector<Index> cuts = pack_by_budget(costs, token_budget);
  std::vector<Index> numbers;
  for (Index g = 0; g + 1 < cuts.size(); ++g) {
    builder.clear();
    numbers.clear();
    for (Index i = cuts[g]; i < cuts[g + 1]; ++i) numbers.push_back(builder.add(examples[i]));
    builder.finish();
    const auto scores = model.score(builder.forest());
    for (Index i = cuts[g]; i < cuts[g + 1]; ++i) visit(i, builder, numbers[i - cuts[g]], scores);
    if (on_progress) on_progress(cuts[g + 1], examples.size());
  }
}

/// One score a sequence, for a head that gives one a completion.
template <class Model>
std::vector<typename Model::Score> score_sequences(Model& model, std::span<const Sequence> sequences,
                                                   Index token_budget = 8192) {
  static_assert(
      Model::HeadType::meaning == ScoreMeaning::per_completion,
      "merit: score_sequences gives one score a completion, but this model's head scores tokens or steps.");
  std::vector<typename Model::Score> result(sequences.size());
  for_each_scored(model, sequences, token_budget,
                  [&](Index i, const BatchBuilder<Model>& builder, Index number, auto scores) {
                    result[i] = scores[builder.rows(number)[0]];
                  });
  return result;
}

/// The scores of both sides of a pair.
struct PairScores {
  double chosen = 0;
  double rejected = 0;
};

/// The scores of every pair, in order.
template <class Model>
std::vector<PairScores> score_pairs(Model& model, std::span<const PreferenceExample> examples,
                                    Index token_budget = 8192, const OnProgress& on_progress = {}) {
  std::vector<PairScores> result(examples.size());
  for_each_scored(
      model, examples, token_budget,
      [&](Index i, const BatchBuilder<Model>& builder, Index number, auto scores) {
        result[i] = {static_cast<double>(scores[builder.rows(number)[0]]),
                     static_cast<double>(scores[builder.rows(number + 1)[0]])};
      },
      on_progress);
  return result;
}

}  // namespace merit::inline MERIT_ABI
