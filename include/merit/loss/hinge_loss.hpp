// The hinge over pairs of a chosen and a rejected completion: a large-margin ranking loss.
#pragma once

#include <string_view>

#include "merit/core/field.hpp"
#include "merit/loss/loss.hpp"
#include "merit/loss/pair_targets.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The chosen completion should win by `margin`; a pair that does pulls no more (Joachims 2002, ranking SVM;
/// Zhao et al. 2023, SLiC-HF). With Δ = r_chosen − r_rejected, averaged over pairs by weight:
///
///   x = scale · Δ − the pair's own margin
///   L = Σ w · [p · max(0, margin − x) + (1 − p) · max(0, margin + x)] / Σ w,     p = soft_label
///
/// At the kink, where x is exactly ±margin, the sub-gradient is 0.
struct HingeLoss {
  double margin = 1;
  double scale = 1;

  using Targets = PairTargets;
  static constexpr ScoreMeaning reads = ScoreMeaning::per_completion;
  static constexpr ScoreWidth reads_width = ScoreWidth::one;
  static constexpr std::string_view name() { return "hinge"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"margin", &HingeLoss::margin, above(0), "by how much each pair should be won",
                "--hinge-margin"});
    visit(Field{"scale", &HingeLoss::scale, above(0), "factor on the difference of scores", "--loss-scale"});
  }

  double normaliser(const Targets& targets) const { return targets.weight(); }

  MERIT_CALLABLE UnitLoss term(const PairTargets::Pair& pair, double normaliser,
                               const UnitNumbers& numbers) const {
    const double x = scale * (numbers.scores[0] - numbers.scores[1]) - pair.margin;
    const double share = pair.weight / normaliser;
    double value = 0;
    double slope = 0;      // by x
    if (!(x >= margin)) {  // also of a score that is no number, which must not look like a pair well won
      value += pair.soft_label * (margin - x);
      slope -= pair.soft_label;
    }
    if (!(x <= -margin)) {
      value += (1 - pair.soft_label) * (margin + x);
      slope += 1 - pair.soft_label;
    }
    numbers.slopes[0] = share * scale * slope;
    numbers.slopes[1] = -numbers.slopes[0];
    return {share, value};
  }

  friend bool operator==(const HingeLoss&, const HingeLoss&) = default;
};

template <>
inline constexpr bool has_device_loop<HingeLoss> = true;

}  // namespace MERIT_ABI
}  // namespace merit
