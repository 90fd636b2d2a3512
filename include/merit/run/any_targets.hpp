// What a model of the compiled set learns from a batch, whatever its loss.
#pragma once

#include <cmath>
#include <concepts>
#include <span>
#include <variant>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/batch/targets.hpp"
#include "merit/model/policy_set.hpp"
#include "merit/train/step_accuracy.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Targets of one of the losses of the compiled set.
struct AnyTargets {
  std::variant<PairTargets, RankingTargets, RegressionTargets, BinaryTargets, ClassTargets, ValueTargets,
               VerifierLoss::Targets>
      held;

  void clear();
};

/// What one loss, or each of two, is divided by; 0 where there is no second.
struct AnyNormaliser {
  double first = 0;
  double second = 0;

  AnyNormaliser() = default;
  AnyNormaliser(double only) : first(only) {}
  AnyNormaliser(const VerifierLoss::Normaliser& both) : first(both.first), second(both.second) {}
  operator double() const { return first; }
  operator VerifierLoss::Normaliser() const { return {first, second}; }

  AnyNormaliser& operator+=(const AnyNormaliser& other);
  friend bool is_positive(const AnyNormaliser& n) { return n.first > 0 || n.second > 0; }
  friend bool is_finite(const AnyNormaliser& n) { return std::isfinite(n.first) && std::isfinite(n.second); }
};

// ---- What batches and the trainer ask, by what is held ---

/// Examples from which some loss of the compiled set learns.
template <class T>
concept labelled_example = std::same_as<T, PreferenceExample> || std::same_as<T, RankingExample> ||
    std::same_as<T, OutcomeExample> || std::same_as<T, StepsExample> || std::same_as<T, RolloutExample>;

/// Nothing is appended of an example from which the loss does not learn.
template <labelled_example Example>
void append_targets(AnyTargets& any, const Example& example, const ExampleRows& rows) {
  std::visit(
      [&]<class Targets>(Targets& targets) {
        if constexpr (learns_from<Targets, Example>) append_targets(targets, example, rows);
      },
      any.held);
}

void prepare_targets(AnyTargets& any, Index outputs, Index second);

RightCount count_right(const AnyTargets& any, std::span<const float> scores, Index width);

void read_rows(const AnyHead& any, const SequenceShape& sequence, std::vector<Index>& first,
               std::vector<Index>& second);
bool reads_second_rows(const AnyHead& any);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/any_targets_body.hpp"
#endif
