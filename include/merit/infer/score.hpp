// Scores of many sequences: packed under a token budget, each the sequence's own whatever it is packed with.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/forest/pack_by_budget.hpp"
#include "merit/head/joint_head.hpp"

namespace merit {
inline namespace MERIT_ABI {

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

/// The scores of one sequence, a row for each place where the head reads it: (rows, width).
struct RowScores {
  std::vector<double> values;
  Index width = 1;

  Index rows() const { return values.size() / width; }
  std::span<const double> row(Index i) const { return std::span(values).subspan(i * width, width); }
};

namespace detail {

/// The row that the head's only score of a completion is in, as doubles; of a JointHead the first part.
template <class Model, class Scores>
void append_row(const Model& model, const Scores& scores, Index row, std::vector<double>& out) {
  const Index stride = model.outputs();
  for (Index k = 0; k < model.outputs(); ++k) {
    out.push_back(static_cast<double>(scores[row * stride + k]));
  }
}

/// The head whose scores are the reward: of a JointHead the first part.
template <class Head>
const auto& reward_head(const Head& head) {
  if constexpr (is_joint_head<Head>) {
    return reward_head(head.first);
  } else {
    return head;
  }
}

/// One number of a completion's rows, which are one but for a head that says otherwise: the score itself, or
/// what the head merges of its rows' scores.
template <class Model, class Scores>
double completion_score(const Model& model, const Scores& scores, std::span<const std::uint32_t> rows) {
  if constexpr (requires(std::span<const double> s) { reward_head(model.head()).merge(s); }) {
    std::vector<double> values;
    for (const std::uint32_t row : rows) append_row(model, scores, row, values);
    return reward_head(model.head()).merge(values);
  } else {
    if (model.outputs() != 1) {
      throw UsageError(
          concat("the head gives ", model.outputs(),
                 " scores a completion and no merge() that makes one of them, expected one score"));
    }
    return static_cast<double>(scores[rows[0] * model.outputs()]);
  }
}

}  // namespace detail

/// The scores of every sequence of every example, in order, for any head: rows are its completions' ends,
/// tokens, steps or states; of a JointHead the first part.
template <class Model, class Example>
std::vector<RowScores> score_rows(Model& model, std::span<const Example> examples, Index token_budget = 8192,
                                  const OnProgress& on_progress = {}) {
  std::vector<RowScores> result;
  for_each_scored(
      model, examples, token_budget,
      [&](Index i, const BatchBuilder<Model>& builder, Index number, auto scores) {
        for_each_sequence(examples[i], [&](const Sequence&) {
          RowScores rows{{}, model.outputs()};
          for (const std::uint32_t row : builder.rows(number)) {
            detail::append_row(model, scores, row, rows.values);
          }
          result.push_back(std::move(rows));
          ++number;
        });
      },
      on_progress);
  return result;
}

/// One score for every sequence of every example, in order, for a head that scores completions; with several
/// attributes, merged.
template <class Model, class Example>
std::vector<double> score_completions(Model& model, std::span<const Example> examples,
                                      Index token_budget = 8192, const OnProgress& on_progress = {}) {
  static_assert(
      Model::HeadType::meaning == ScoreMeaning::per_completion,
      "merit: score_completions gives one score a completion, but this model's head scores tokens or steps: "
      "aggregate what score_rows gives.");
  std::vector<double> result;
  for_each_scored(
      model, examples, token_budget,
      [&](Index i, const BatchBuilder<Model>& builder, Index number, auto scores) {
        for_each_sequence(examples[i], [&](const Sequence&) {
          result.push_back(detail::completion_score(model, scores, builder.rows(number)));
          ++number;
        });
      },
      on_progress);
  return result;
}

/// One score a sequence, as the model computes it, for a head that gives one a completion.
template <class Model>
std::vector<typename Model::Score> score_sequences(Model& model, std::span<const Sequence> sequences,
                                                   Index token_budget = 8192) {
  static_assert(
      Model::HeadType::meaning == ScoreMeaning::per_completion,
      "merit: score_sequences gives one score a completion, but this model's head scores tokens or steps.");
  std::vector<typename Model::Score> result(sequences.size());
  for_each_scored(model, sequences, token_budget,
                  [&](Index i, const BatchBuilder<Model>& builder, Index number, auto scores) {
                    result[i] = static_cast<typename Model::Score>(
                        detail::completion_score(model, scores, builder.rows(number)));
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
        result[i] = {detail::completion_score(model, scores, builder.rows(number)),
                     detail::completion_score(model, scores, builder.rows(number + 1))};
      },
      on_progress);
  return result;
}

}  // namespace MERIT_ABI
}  // namespace merit
