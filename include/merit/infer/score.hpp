// Scores of many sequences: packed under a token budget, each the sequence's own whatever it is packed with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/forest/pack_by_budget.hpp"
#include "merit/head/joint_head.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Called after each batch with how many examples are done.
using OnProgress = std::function<void(Index done, Index total)>;

/// Which of the batches of a list one of several computes: a run of about as many as the others.
struct BatchRun {
  Index number = 0;  // from 0
  Index count = 1;

  Index begin(Index batches) const { return batches * number / count; }
  Index end(Index batches) const { return batches * (number + 1) / count; }
};

/// Runs `visit(i, builder, number, scores)` for every example, or those of a run of batches, in order, in batches of at most
/// `token_budget` tokens after sharing. `builder.rows(number)` gives the rows, in `scores`, of the example's first sequence;
/// others follow.
template <class Model, std::ranges::contiguous_range Examples, class Visit>
void for_each_scored(Model& model, const Examples& list, Index token_budget, Visit visit,
                     const OnProgress& on_progress = {}, const BatchRun& run = {}) {
  const std::span examples(list);
  BatchBuilder<Model> builder(model);
  std::vector<Index> costs;
  for (const auto& example : examples) costs.push_back(shared_tokens(example, sharing_of(model)));
  const std::vector<Index> cuts = pack_by_budget(costs, token_budget);
  std::vector<Index> numbers;
  const Index batches = cuts.size() - 1;
  for (Index g = run.begin(batches); g < run.end(batches); ++g) {
    builder.clear();
    numbers.clear();
    for (Index i = cuts[g]; i < cuts[g + 1]; ++i) numbers.push_back(builder.add(examples[i]));
    builder.finish();
    // Of sequences in which the head reads nothing, as no state of an empty completion, there are no scores.
    const bool reads = builder.forest().row_count() != 0;
    const auto scores = reads ? model.score(builder.forest()) : decltype(model.score(builder.forest())){};
    for (Index i = cuts[g]; i < cuts[g + 1]; ++i) visit(i, builder, numbers[i - cuts[g]], scores);
    if (on_progress)  // the others are about as far
      on_progress(std::min(examples.size(), (cuts[g + 1] - cuts[run.begin(batches)]) * run.count),
                  examples.size());
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

/// The scores of both sides of a pair.
struct PairScores {
  double chosen = 0;
  double rejected = 0;
};

/// The rows of every sequence of every example, in order, for any head: its completions' ends, tokens, steps or
/// states; of a JointHead the first part.
template <class Model, std::ranges::contiguous_range Examples>
std::vector<RowScores> score_rows(Model& model, const Examples& examples, Index token_budget = 8192,
                                  const OnProgress& on_progress = {}, const BatchRun& run = {}) {
  std::vector<RowScores> result;
  for_each_scored(
      model, examples, token_budget,
      [&](Index i, const BatchBuilder<Model>& builder, Index number, auto scores) {
        for_each_sequence(std::ranges::data(examples)[i], [&](const Sequence&) {
          RowScores rows{{}, model.outputs()};
          for (const std::uint32_t row : builder.rows(number)) {
            detail::append_row(model, scores, row, rows.values);
          }
          result.push_back(std::move(rows));
          ++number;
        });
      },
      on_progress, run);
  return result;
}

/// The scores of sequences or of any examples, which are a vector, a span, an array.
///
/// - A head of completions gives one number for every sequence of every example, in order; several attributes
///   are merged. Of pairs they come as PairScores.
/// - A head of tokens, steps or states gives its rows, as score_rows() does: infer/aggregate.hpp makes one
///   number of them.
template <class Model, std::ranges::contiguous_range Examples>
auto score(Model& model, const Examples& examples, Index token_budget = 8192,
           const OnProgress& on_progress = {}) {
  if constexpr (Model::HeadType::meaning != ScoreMeaning::per_completion) {
    return score_rows(model, examples, token_budget, on_progress);
  } else {
    std::vector<double> scores;
    for_each_scored(
        model, examples, token_budget,
        [&](Index i, const BatchBuilder<Model>& builder, Index number, auto values) {
          for_each_sequence(std::ranges::data(examples)[i], [&](const Sequence&) {
            scores.push_back(detail::completion_score(model, values, builder.rows(number)));
            ++number;
          });
        },
        on_progress);
    if constexpr (std::is_same_v<std::ranges::range_value_t<Examples>, PreferenceExample>) {
      std::vector<PairScores> pairs;
      for (Index i = 0; i + 1 < scores.size(); i += 2) pairs.push_back({scores[i], scores[i + 1]});
      return pairs;
    } else {
      return scores;
    }
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
