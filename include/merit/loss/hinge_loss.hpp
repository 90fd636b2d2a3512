// The hinge over pairs of a chosen and a rejected completion: a large-margin ranking loss.
#pragma once

#include <string_view>

#include "merit/core/field.hpp"
#include "merit/loss/loss.hpp"
#include "merit/loss/pairwise_loss.hpp"

namespace merit::inline MERIT_ABI {

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

  double normaliser(const Targets& targets) const {
    double sum = 0;
    for (const PairTargets::Pair& pair : targets.pairs) sum += pair.weight;
    return sum;
  }

  /// scores (R, 1); the pairs in their order, in double.
  template <class Score>
  double value_and_gradient(MatrixView<const Score> scores, const Targets& targets, double normaliser,
                            MatrixView<Score> gradient) const {
    for (Index i = 0; i < gradient.rows; ++i) gradient(i, 0) = 0;
    double total = 0;
    for (const PairTargets::Pair& pair : targets.pairs) {
      const double difference =
          static_cast<double>(scores(pair.chosen, 0)) - static_cast<double>(scores(pair.rejected, 0));
      const double x = scale * difference - pair.margin;
      const double share = pair.weight / normaliser;
      double slope = 0;  // by x
      if (x < margin) {
        total += share * pair.soft_label * (margin - x);
        slope -= pair.soft_label;
      }
      if (x > -margin) {
        total += share * (1 - pair.soft_label) * (margin + x);
        slope += 1 - pair.soft_label;
      }
      gradient(pair.chosen, 0) += static_cast<Score>(share * scale * slope);
      gradient(pair.rejected, 0) -= static_cast<Score>(share * scale * slope);
    }
    return total;
  }

  friend bool operator==(const HingeLoss&, const HingeLoss&) = default;
};

}  // namespace merit::inline MERIT_ABI
