// What a model of the compiled set does by the library's batches and scoring, on any backend.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/comm/agree.hpp"
#include "merit/comm/comm.hpp"
#include "merit/core/error.hpp"
#include "merit/infer/score.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/run/any_model.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Whether the labels of an example are about what the head scores.
template <class Example>
bool is_about(ScoreMeaning meaning) {
  if (std::is_same_v<Example, StepsExample>) return meaning == ScoreMeaning::per_step;
  if (std::is_same_v<Example, RolloutExample>) return meaning == ScoreMeaning::per_state;
  if (std::is_same_v<Example, OutcomeExample> && meaning == ScoreMeaning::per_token) return true;
  return meaning == ScoreMeaning::per_completion;
}

/// Whether a model learns from such examples. A head with a gate reads two rows of a completion and learns
/// from none.
template <class Example>
bool learns(const AnyModel& model) {
  return is_about<Example>(model.meaning()) && !std::holds_alternative<GatedRegressionHead>(model.head()) &&
         std::visit([]<class Loss>(const Loss&) { return learns_from<typename Loss::Targets, Example>; },
                    model.loss());
}

/// The rows that all ranks have computed, those of the first rank first.
inline std::vector<RowScores> gather_rows(Comm& comm, std::vector<RowScores> own, Index width) {
  if (comm.size() == 1) return own;
  std::vector<Index> counts;
  std::vector<double> values;
  for (const RowScores& rows : own) {
    counts.push_back(rows.values.size());
    values.insert(values.end(), rows.values.begin(), rows.values.end());
  }
  counts = gather_lists(comm, counts);
  values = gather_lists(comm, values);
  std::vector<RowScores> all;
  auto at = values.begin();
  for (const Index count : counts) {
    const auto end = at + static_cast<std::ptrdiff_t>(count);
    all.push_back({{at, end}, width});
    at = end;
  }
  return all;
}

/// The rows of every sequence, and the loss, of examples from which the model learns.
template <class Example>
ScoredSet measure_learned(AnyModel& model, const std::vector<Example>& examples, Index token_budget,
                          const OnProgress& on_progress, Comm& comm) {
  // What the loss divides by is counted first, as in training.
  BatchBuilder<AnyModel> counter(model);
  AnyNormaliser normaliser;
  for (const Example& example : examples) {
    counter.clear();
    counter.add(example);
    counter.finish();
    normaliser += model.normaliser(counter.targets());
  }
  ScoredSet set;
  std::vector<double> losses;  // of batches
  const auto visit = [&](Index i, const BatchBuilder<AnyModel>& builder, Index number, auto scores) {
    const bool first_of_batch = number == 0;
    for_each_sequence(examples[i], [&](const Sequence&) {
      RowScores& rows = set.rows.emplace_back(RowScores{{}, model.outputs()});
      for (const std::uint32_t row : builder.rows(number)) append_row(model, scores, row, rows.values);
      ++number;
    });
    if (first_of_batch) losses.push_back(model.loss_of_scored(builder.targets(), normaliser));
  };
  fail_together(comm, [&] {
    for_each_scored(model, std::span<const Example>(examples), token_budget, visit, on_progress,
                    {comm.rank(), comm.size()});
  });
  losses = gather_lists(comm, losses);
  set.loss = std::accumulate(losses.begin(), losses.end(), 0.0);
  set.rows = gather_rows(comm, std::move(set.rows), model.outputs());
  return set;
}

/// Whether the model's loss can be told of these examples: over pairs it cannot of very long rankings.
template <class Example>
bool tells_loss(const AnyModel& model, const std::vector<Example>& examples) {
  if (!learns<Example>(model)) return false;
  if constexpr (std::is_same_v<Example, RankingExample>) {
    const auto is_long = [](const RankedGroup& group) {
      return group.completions.size() > most_completions_in_pairs;
    };
    return !reads_pairs(model.loss()) ||
           std::none_of(examples.begin(), examples.end(), [&](const RankingExample& example) {
             return std::any_of(example.groups.begin(), example.groups.end(), is_long);
           });
  }
  return true;
}

/// Whether a cut took all that is scored of an example, so that there is nothing to read.
template <class Example>
bool has_no_row(const Example& example, ScoreMeaning meaning) {
  if constexpr (std::is_same_v<Example, PreferenceExample> || std::is_same_v<Example, RankingExample>) {
    return false;  // each completion has a token to be read
  } else {
    const Sequence& sequence = example.sequence;
    if (!sequence.cut) return false;
    if (meaning == ScoreMeaning::per_step) return sequence.step_ends.empty();
    // A state has a token of the completion behind it.
    const bool first_alone = meaning == ScoreMeaning::per_state && sequence.tokens.size() == 1;
    return sequence.completion_begin == sequence.tokens.size() || first_alone;
  }
}

/// The rows of examples of which some have none.
template <class Example>
ScoredSet measure_seen(AnyModel& model, const std::vector<Example>& examples, Index token_budget,
                       const OnProgress& on_progress) {
  const auto unseen = [&](const Example& one) { return has_no_row(one, model.meaning()); };
  std::vector<Example> seen;
  for (const Example& one : examples) {
    if (!unseen(one)) seen.push_back(one);
  }
  ScoredSet of_seen;
  if (!seen.empty()) of_seen = model.measure(Examples(std::move(seen)), token_budget, on_progress);
  ScoredSet set{.rows = {}, .loss = of_seen.loss};
  Index next = 0;
  for (const Example& one : examples) {
    set.rows.push_back(unseen(one) ? RowScores{{}, model.outputs()} : std::move(of_seen.rows[next++]));
  }
  return set;
}

}  // namespace detail

MERIT_INLINE double AnyModel::merged(std::span<const double> rows) const {
  return std::visit(
      [&](const auto& head) {
        if constexpr (requires { head.merge(rows); }) {
          return head.merge(rows);
        } else {
          return rows[0];
        }
      },
      config_.head);
}

MERIT_INLINE ModelCard AnyModel::described(const ModelCard& card) const {
  return merit::described(*this, card);
}

MERIT_INLINE std::vector<RowScores> AnyModel::score_families(std::span<const Family> families,
                                                             Index token_budget,
                                                             const OnProgress& on_progress) {
  return score_rows(*this, families, token_budget, on_progress);
}

MERIT_INLINE ScoredSet AnyModel::measure(const Examples& examples, Index token_budget,
                                         const OnProgress& on_progress) {
  Comm& comm = this->comm();
  return std::visit(
      [&]<class Example>(const std::vector<Example>& list) -> ScoredSet {
        const auto unseen = [&](const Example& one) { return detail::has_no_row(one, meaning()); };
        if (std::any_of(list.begin(), list.end(), unseen)) {
          return detail::measure_seen(*this, list, token_budget, on_progress);
        }
        if (detail::tells_loss(*this, list)) {
          return detail::measure_learned(*this, list, token_budget, on_progress, comm);
        }
        std::vector<Family> families;
        for (const Example& example : list) {
          Family& family = families.emplace_back();
          for_each_sequence(example, [&](const Sequence& sequence) { family.members.push_back(&sequence); });
        }
        std::vector<RowScores> own;
        fail_together(comm, [&] {
          own = score_rows(*this, families, token_budget, on_progress, {comm.rank(), comm.size()});
        });
        return {.rows = detail::gather_rows(comm, std::move(own), outputs()), .loss = {}};
      },
      examples);
}

namespace detail {

inline void require_learning(bool learns, const AnyLoss& loss) {
  if (!learns) throw ConfigError("the loss " + name_of(loss) + " does not learn from this kind of record");
}

}  // namespace detail

MERIT_INLINE std::unique_ptr<AnyRun> AnyModel::train(const Examples& examples, const TrainOptions& options) {
  detail::require_learning(
      std::visit([&]<class Example>(const std::vector<Example>&) { return detail::learns<Example>(*this); },
                 examples),
      config_.loss);
  return make_run(examples, options);
}

MERIT_INLINE std::unique_ptr<AnyRun> AnyModel::train(const StoredExampleSet& examples,
                                                     const TrainOptions& options) {
  detail::require_learning(
      std::visit(
          [&]<class Example>(const StoredExamples<Example>&) { return detail::learns<Example>(*this); },
          examples),
      config_.loss);
  return make_run(examples, options);
}

MERIT_INLINE AnyNormaliser AnyModel::normaliser(const AnyTargets& targets) const {
  return std::visit(
      [&]<class Loss>(const Loss& loss) -> AnyNormaliser {
        return loss.normaliser(std::get<typename Loss::Targets>(targets.held));
      },
      config_.loss);
}

MERIT_INLINE AnyTargets targets_for(const AnyModel& model) {
  return std::visit([]<class Loss>(const Loss&) { return AnyTargets{typename Loss::Targets{}}; },
                    model.loss());
}

}  // namespace MERIT_ABI
}  // namespace merit
