// Binary cross-entropy: a label from 0 to 1 on each of some rows.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include "merit/core/error.hpp"
#include "merit/core/field.hpp"
#include "merit/fwd.hpp"
#include "merit/loss/label_targets.hpp"
#include "merit/loss/loss.hpp"
#include "merit/loss/numerics.hpp"

namespace merit {
inline namespace MERIT_ABI {

struct BinaryLabel {
  std::uint32_t row = 0;
  double label = 1;  // 0 to 1: the probability of being good
  double weight = 1;
  std::uint32_t sequence = 0;  // the completion it belongs to
};

struct BinaryTargets : LabelTargets<BinaryLabel> {
  void add(std::uint32_t row, double label, double weight = 1) {
    if (!(label >= 0 && label <= 1)) {
      throw DataError(concat("a label is ", label, ", expected 0 to 1"));
    }
    append({row, label, weight});
  }
};

/// The cross-entropy of a label with σ(z), z the score: Cobbe et al. 2021's verifier for tokens (the label
/// of the answer on each of its tokens), a process model with one logit for steps.
///
///   y = label · (1 − ε) + ε / 2,     ε = label_smoothing (as CrossEntropyLoss smooths two classes)
///   l = positive_weight · y · σ(−z)^γ · softplus(−z) + (1 − y) · σ(z)^γ · softplus(z)
///
/// γ, `focal`, turns from what is already right (Lin et al. 2017); 0 is plain cross-entropy. The average over
/// labels is by weight and `denominator`; positive_weight and γ are not part of what it divides by.
template <ScoreMeaning Meaning>
struct BinaryCrossEntropyLoss {
  Denominator denominator = Denominator::per_token;
  double positive_weight = 1;
  double focal = 0;            // γ
  double label_smoothing = 0;  // ε

  using Targets = BinaryTargets;
  static constexpr ScoreMeaning reads = Meaning;
  static constexpr ScoreWidth reads_width = ScoreWidth::one;
  static constexpr std::string_view name() { return "binary_cross_entropy"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    using Loss = BinaryCrossEntropyLoss;
    visit(detail::denominator_field(&Loss::denominator));
    visit(Field{"positive_weight", &Loss::positive_weight, above(0), "how much more a good label counts"});
    visit(Field{"focal", &Loss::focal, at_least(0), "turns from what is already right; 2 is usual"});
    visit(detail::label_smoothing_field(&Loss::label_smoothing));
  }

  double normaliser(const Targets& targets) const { return targets.weight(denominator); }

  MERIT_CALLABLE UnitLoss term(const LabelUnit<BinaryLabel>& unit, double normaliser,
                               const UnitNumbers& numbers) const {
    const double z = numbers.scores[0];
    const double share = unit.share(denominator, normaliser);
    const double y = unit.label.label * (1 - label_smoothing) + label_smoothing / 2;
    const Side good = side(z);
    const Side bad = side(-z);
    const double slope = (1 - y) * bad.push - positive_weight * y * good.push;
    numbers.slopes[0] = share * slope;
    return {share, positive_weight * y * good.value + (1 - y) * bad.value};
  }

  friend bool operator==(const BinaryCrossEntropyLoss&, const BinaryCrossEntropyLoss&) = default;

 private:
  struct Side {
    double value = 0;
    double push = 0;  // minus the derivative by z: how strongly z is pushed up
  };

  /// σ(−z)^γ · softplus(−z).
  MERIT_CALLABLE Side side(double z) const {
    const double wrong = sigmoid(-z);
    const double surprise = softplus(-z);
    if (focal == 0) return {surprise, wrong};
    const double factor = std::pow(wrong, focal);
    return {factor * surprise, factor * (wrong + focal * sigmoid(z) * surprise)};
  }
};

template <ScoreMeaning Meaning>
inline constexpr bool has_device_loop<BinaryCrossEntropyLoss<Meaning>> = true;

}  // namespace MERIT_ABI
}  // namespace merit
