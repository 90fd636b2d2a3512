// Two losses of one model, weighted.
#pragma once

#include <string_view>

#include "merit/core/field.hpp"
#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

template <class First, class Second>
struct JointTargets {
  First first;
  Second second;

  void clear() {
    first.clear();
    second.clear();
  }
};

/// What each of two losses is divided by.
template <class First, class Second>
struct JointNormaliser {
  First first = {};
  Second second = {};

  JointNormaliser& operator+=(const JointNormaliser& other) {
    first += other.first;
    second += other.second;
    return *this;
  }
  friend bool is_positive(const JointNormaliser& n) { return is_positive(n.first) || is_positive(n.second); }
  friend bool is_finite(const JointNormaliser& n) { return is_finite(n.first) && is_finite(n.second); }
};

/// L = first_weight · L₁ + second_weight · L₂, each with its own normaliser. With a JointHead each loss reads
/// the scores of its head, as Cobbe et al. 2021 train a verifier beside the language model; with any other
/// head both read the same scores. A loss without anything to learn from in a step is 0 there.
template <class First, class Second>
struct JointLoss {
  First first = {};
  Second second = {};
  double first_weight = 1;
  double second_weight = 1;

  using Targets = JointTargets<typename First::Targets, typename Second::Targets>;
  using Normaliser = JointNormaliser<NormaliserOf<First>, NormaliserOf<Second>>;
  static constexpr ScoreMeaning reads = First::reads;
  static constexpr std::string_view name() { return "joint"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"first", &JointLoss::first, {}, "the loss of the first scores"});
    visit(Field{"second", &JointLoss::second, {}, "the loss of the second scores"});
    visit(Field{"first_weight", &JointLoss::first_weight, at_least(0),
                "weight of the first loss, the reward's", "--reward-weight"});
    visit(Field{"second_weight", &JointLoss::second_weight, at_least(0),
                "weight of the second loss, the language model's", "--language-model-weight"});
  }

  Normaliser normaliser(const Targets& targets) const {
    return {first.normaliser(targets.first), second.normaliser(targets.second)};
  }

  friend bool operator==(const JointLoss&, const JointLoss&) = default;
};

}  // namespace MERIT_ABI
}  // namespace merit
