// Two losses of one model, weighted.
#pragma once

#include <string_view>
#include <vector>

#include "merit/core/field.hpp"
#include "merit/loss/evaluate_loss.hpp"
#include "merit/loss/loss.hpp"

namespace merit::inline MERIT_ABI {

template <class First, class Second>
struct JointTargets {
  First first;
  Second second;
  Index first_columns = 0;  // the scores of a JointHead's first part; 0: both losses read all of them

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

  /// scores (R, a + b) of a JointHead, or (R, k).
  template <class Score>
  double value_and_gradient(MatrixView<const Score> scores, const Targets& targets,
                            const Normaliser& normaliser, MatrixView<Score> gradient) const {
    const Index a = targets.first_columns;
    if (a != 0) {
      const Index b = scores.cols - a;
      return part(first, first_weight, scores.col_block(0, a), targets.first, normaliser.first,
                  gradient.col_block(0, a)) +
             part(second, second_weight, scores.col_block(a, b), targets.second, normaliser.second,
                  gradient.col_block(a, b));
    }
    thread_local std::vector<Score> storage;  // kept, so that a step asks for no memory
    storage.resize(scores.rows * scores.cols);
    const MatrixView<Score> other(storage.data(), scores.rows, scores.cols);
    const double value = part(first, first_weight, scores, targets.first, normaliser.first, gradient) +
                         part(second, second_weight, scores, targets.second, normaliser.second, other);
    for (Index i = 0; i < scores.rows; ++i) {
      for (Index j = 0; j < scores.cols; ++j) gradient(i, j) += other(i, j);
    }
    return value;
  }

  friend bool operator==(const JointLoss&, const JointLoss&) = default;

 private:
  template <class Loss, class Score>
  static double part(const Loss& loss, double weight, MatrixView<const Score> scores,
                     const typename Loss::Targets& targets, const NormaliserOf<Loss>& normaliser,
                     MatrixView<Score> gradient) {
    const bool learns = is_positive(normaliser);
    thread_local std::vector<double> scratch;  // kept, so that a step asks for no memory
    scratch.resize(scratch_size(loss, targets));
    const double value =
        learns ? evaluate_loss(loss, targets, normaliser, LossArrays<Score>{scores, gradient, scratch}) : 0.0;
    for (Index i = 0; i < gradient.rows; ++i) {
      for (Index j = 0; j < gradient.cols; ++j) {
        gradient(i, j) = learns ? static_cast<Score>(weight * static_cast<double>(gradient(i, j))) : Score{0};
      }
    }
    return weight * value;
  }
};

/// Whether a loss is a JointLoss.
template <class Loss>
inline constexpr bool is_joint_loss = false;
template <class First, class Second>
inline constexpr bool is_joint_loss<JointLoss<First, Second>> = true;

}  // namespace merit::inline MERIT_ABI
