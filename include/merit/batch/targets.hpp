// What a loss learns from an example: one function for each pair of targets and example that makes sense.
//
// append_targets(targets, example, rows) adds an example's targets. rows(s) are the forest's rows that the
// head reads in the example's sequence number s, in its order. An overload beside a type of your own makes it
// part of this.
#pragma once

#include <algorithm>
#include <limits>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/forest/example.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/loss/joint_loss.hpp"
#include "merit/loss/language_model_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/loss/ranking_targets.hpp"
#include "merit/loss/regression_loss.hpp"
#include "merit/loss/value_loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Where the sequences of a batch are read: the rows of each, for a head of one part or of two.
struct RowTable {
  std::vector<std::uint32_t> tokens;  // read, sequence by sequence; rows once the forest is finished
  std::vector<Index> begin{0};        // (sequences + 1)

  std::span<const std::uint32_t> of(Index sequence) const {
    return std::span(tokens).subspan(begin[sequence], begin[sequence + 1] - begin[sequence]);
  }
  void clear() {
    tokens.clear();
    begin.assign(1, 0);
  }
};

/// The rows of one example's sequences.
class ExampleRows {
 public:
  ExampleRows(const RowTable& first, const RowTable& second, Index first_sequence)
      : first_(&first), second_(&second), first_sequence_(first_sequence) {}

  std::span<const std::uint32_t> operator()(Index sequence) const {
    return first_->of(first_sequence_ + sequence);
  }
  /// The rows of the first loss alone, also for each part of a loss that has parts itself.
  ExampleRows first() const { return {*first_, *first_, first_sequence_}; }
  /// The rows of the second loss: those of a JointHead's second part, or the same.
  ExampleRows second() const { return {*second_, *second_, first_sequence_}; }

 private:
  const RowTable* first_;
  const RowTable* second_;
  Index first_sequence_;
};

// ---- Pairs and rankings ---

inline void append_targets(PairTargets& targets, const PreferenceExample& example, const ExampleRows& rows) {
  targets.pairs.push_back({rows(0)[0], rows(1)[0], example.margin, example.weight, example.soft_label});
}

namespace detail {

/// Throws DataError where a ranking has not `expected` of what a loss reads.
inline void check_count(const char* what, Index found, Index expected, Index completions) {
  if (found == expected) return;
  throw DataError(
      concat("a ranking of ", completions, " completions has ", found, ' ', what, ", expected ", expected));
}

}  // namespace detail

/// Every ordered pair of a group, balanced: each weighs 1 / C(K, 2) of its prompt (Ouyang et al. 2022). With
/// PairwiseLoss that is L = Σ over prompts of 1/C(K, 2) Σ softplus(−Δ), over Σ weights. Ties are no
/// preference and make no pair; a prompt weighs less by their share of its pairs. Throws DataError for a group
/// of more than most_completions_in_pairs.
inline void append_targets(PairTargets& targets, const RankingExample& example, const ExampleRows& rows) {
  Index first = 0;
  for (const RankedGroup& group : example.groups) {
    const Index size = group.completions.size();
    detail::check_count("ranks", group.ranks.size(), size, size);
    if (!group.margins.empty())
      detail::check_count("margins", group.margins.size(), size * (size - 1) / 2, size);
    if (size > most_completions_in_pairs) {
      throw DataError(concat("a ranking has ", size, " completions, expected at most ",
                             most_completions_in_pairs,
                             " for a loss over pairs; the loss plackett_luce takes any number"));
    }
    const double weight = group.weight / (static_cast<double>(size) * static_cast<double>(size - 1) / 2);
    Index pair = 0;
    for (Index i = 0; i < size; ++i) {
      for (Index j = i + 1; j < size; ++j, ++pair) {
        if (group.ranks[i] == group.ranks[j]) continue;
        const bool ordered = group.ranks[i] < group.ranks[j];
        const double margin = group.margins.empty() ? 0.0 : group.margins[pair];
        targets.pairs.push_back(
            {rows(first + (ordered ? i : j))[0], rows(first + (ordered ? j : i))[0], margin, weight, 1});
      }
    }
    first += size;
  }
}

/// A ranking of two. Throws DataError for a margin or a soft label, which rankings do not have.
inline void append_targets(RankingTargets& targets, const PreferenceExample& example,
                           const ExampleRows& rows) {
  if (example.margin != 0 || example.soft_label != 1) {
    throw DataError("a preference has a margin or a soft label, expected neither for a loss over rankings");
  }
  targets.items.push_back({rows(0)[0], 0});
  targets.items.push_back({rows(1)[0], 1});
  targets.groups.push_back({targets.items.size() - 2, targets.items.size(), example.weight});
}

inline void append_targets(RankingTargets& targets, const RankingExample& example, const ExampleRows& rows) {
  Index first = 0;
  for (const RankedGroup& group : example.groups) {
    detail::check_count("ranks", group.ranks.size(), group.completions.size(), group.completions.size());
    if (!group.margins.empty()) {
      throw DataError("a ranking has margins, expected none for a loss over rankings");
    }
    targets.begin_group(group.weight);
    for (Index i = 0; i < group.completions.size(); ++i) targets.append({rows(first + i)[0], group.ranks[i]});
    targets.end_group();
    first += group.completions.size();
  }
}

// ---- Numbers ---

/// The ratings of each completion; with several attributes, one for each of the head's outputs.
inline void append_targets(RegressionTargets& targets, const RankingExample& example,
                           const ExampleRows& rows) {
  Index first = 0;
  for (const RankedGroup& group : example.groups) {
    if (group.ratings.empty()) {
      throw DataError("a ranking has ranks alone, expected ratings for a loss that predicts them");
    }
    if (targets.columns != 0 && targets.columns != group.attributes) {
      throw DataError(concat("ratings have ", group.attributes, " attributes, expected ", targets.columns,
                             ", one for each of the head's scores"));
    }
    detail::check_count("ratings", group.ratings.size(), group.completions.size() * group.attributes,
                        group.completions.size());
    for (Index i = 0; i < group.completions.size(); ++i) {
      for (Index a = 0; a < group.attributes; ++a) {
        targets.values.push_back({rows(first + i)[0], group.ratings[i * group.attributes + a], group.weight,
                                  static_cast<std::uint32_t>(a)});
      }
    }
    first += group.completions.size();
  }
}

/// The label, of every row of the completion.
inline void append_targets(RegressionTargets& targets, const OutcomeExample& example,
                           const ExampleRows& rows) {
  for (const std::uint32_t row : rows(0)) targets.values.push_back({row, example.label, example.weight, 0});
}

namespace detail {

/// Calls f(row, i) for the state before each completion token i that has one.
template <class F>
void for_each_state(const RolloutExample& example, const ExampleRows& rows, const F& f) {
  const auto states = rows(0);
  const Index count = example.returns.size();
  // Where there is no prompt, the first token has nothing before it.
  const Index skipped = example.sequence.completion_begin == 0 && count != 0 ? 1 : 0;
  if (states.size() + skipped != count) {
    throw DataError(concat("a rollout has ", count, " returns for ", states.size(),
                           " states, expected one for each token of the completion"));
  }
  for (Index i = 0; i < states.size(); ++i) f(states[i], skipped + i);
}

}  // namespace detail

inline void append_targets(RegressionTargets& targets, const RolloutExample& example,
                           const ExampleRows& rows) {
  detail::for_each_state(example, rows, [&](std::uint32_t row, Index i) {
    targets.values.push_back({row, example.returns[i], example.weight, 0});
  });
}

inline void append_targets(ValueTargets& targets, const RolloutExample& example, const ExampleRows& rows) {
  const bool old = !example.old_values.empty();
  if (old && example.old_values.size() != example.returns.size()) {
    throw DataError(concat("a rollout has ", example.returns.size(), " returns and ",
                           example.old_values.size(), " old values, expected as many or none"));
  }
  constexpr double unknown = std::numeric_limits<double>::quiet_NaN();  // which a loss that clips refuses
  detail::for_each_state(example, rows, [&](std::uint32_t row, Index i) {
    targets.values.push_back(
        {row, example.returns[i], old ? example.old_values[i] : unknown, example.weight});
  });
}

// ---- Labels ---

/// The outcome, on every row of the completion.
inline void append_targets(BinaryTargets& targets, const OutcomeExample& example, const ExampleRows& rows) {
  targets.begin_sequence(example.weight);
  for (const std::uint32_t row : rows(0)) targets.add(row, example.label);
}

namespace detail {

/// Calls f(row, label) for each labelled step.
template <class F>
void for_each_labelled_step(const StepsExample& example, const ExampleRows& rows, const F& f) {
  const auto steps = rows(0);
  if (steps.size() != example.labels.size()) {
    throw DataError(concat("a completion has ", steps.size(), " steps and ", example.labels.size(),
                           " labels, expected as many"));
  }
  for (Index i = 0; i < steps.size(); ++i) {
    if (example.labels[i]) f(steps[i], *example.labels[i]);
  }
}

}  // namespace detail

/// Neutral counts as good (Lightman et al. 2023).
inline void append_targets(BinaryTargets& targets, const StepsExample& example, const ExampleRows& rows) {
  targets.begin_sequence(example.weight);
  detail::for_each_labelled_step(example, rows, [&](std::uint32_t row, const StepLabel& label) {
    targets.add(row, std::clamp(label.neutral + label.good, 0.0, 1.0));
  });
}

/// Two classes, wrong and right, on every row of the completion.
inline void append_targets(ClassTargets& targets, const OutcomeExample& example, const ExampleRows& rows) {
  if (targets.classes != 2) {
    throw UsageError(
        concat("outcomes have labels of 2 classes, wrong and right; the head has ", targets.classes));
  }
  const double both[2] = {1 - example.label, example.label};
  targets.begin_sequence(example.weight);
  for (const std::uint32_t row : rows(0)) targets.add(row, both);
}

/// Three classes: bad, neutral, good. Two: bad, and good with neutral.
inline void append_targets(ClassTargets& targets, const StepsExample& example, const ExampleRows& rows) {
  if (targets.classes != 2 && targets.classes != 3) {
    throw UsageError(concat("steps have labels of 2 or 3 classes, the head has ", targets.classes));
  }
  targets.begin_sequence(example.weight);
  detail::for_each_labelled_step(example, rows, [&](std::uint32_t row, const StepLabel& label) {
    const double three[3] = {label.bad, label.neutral, label.good};
    const double two[2] = {label.bad, label.neutral + label.good};
    targets.add(row, targets.classes == 3 ? std::span<const double>(three) : std::span<const double>(two));
  });
}

// ---- The next token ---

namespace detail {

inline void append_next(NextTokenTargets& targets, const Sequence& sequence,
                        std::span<const std::uint32_t> rows, double weight) {
  const Index first =
      sequence.tokens.size() - rows.size();  // the tokens that follow the rows end the sequence
  for (Index i = 0; i < rows.size(); ++i)
    targets.next.push_back({rows[i], sequence.tokens[first + i], weight});
}

}  // namespace detail

/// Of a preference the chosen side, of a ranking the best completions, of anything else all of it.
inline void append_targets(NextTokenTargets& targets, const PreferenceExample& example,
                           const ExampleRows& rows) {
  detail::append_next(targets, example.chosen, rows(0), example.weight);
}
inline void append_targets(NextTokenTargets& targets, const RankingExample& example,
                           const ExampleRows& rows) {
  Index first = 0;
  for (const RankedGroup& group : example.groups) {
    detail::check_count("ranks", group.ranks.size(), group.completions.size(), group.completions.size());
    if (group.completions.empty()) {
      throw DataError("a ranking has no completions, expected at least one, whose tokens are predicted");
    }
    const Index best = *std::min_element(group.ranks.begin(), group.ranks.end());
    for (Index i = 0; i < group.completions.size(); ++i) {
      if (group.ranks[i] == best)
        detail::append_next(targets, group.completions[i], rows(first + i), group.weight);
    }
    first += group.completions.size();
  }
}
inline void append_targets(NextTokenTargets& targets, const OutcomeExample& example,
                           const ExampleRows& rows) {
  detail::append_next(targets, example.sequence, rows(0), example.weight);
}
inline void append_targets(NextTokenTargets& targets, const StepsExample& example, const ExampleRows& rows) {
  detail::append_next(targets, example.sequence, rows(0), example.weight);
}
inline void append_targets(NextTokenTargets& targets, const RolloutExample& example,
                           const ExampleRows& rows) {
  detail::append_next(targets, example.sequence, rows(0), example.weight);
}

// ---- Two losses ---

template <class First, class Second, class Example>
requires requires(First& first, Second& second, const Example& example, const ExampleRows& rows) {
  append_targets(first, example, rows);
  append_targets(second, example, rows);
}
void append_targets(JointTargets<First, Second>& targets, const Example& example, const ExampleRows& rows) {
  append_targets(targets.first, example, rows.first());
  append_targets(targets.second, example, rows.second());
}

/// Whether a loss with these targets learns from this example.
template <class Targets, class Example>
concept learns_from = requires(Targets& targets, const Example& example, const ExampleRows& rows) {
  append_targets(targets, example, rows);
};

}  // namespace MERIT_ABI
}  // namespace merit
