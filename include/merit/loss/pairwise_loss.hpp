// The Bradley–Terry loss over pairs of a chosen and a rejected completion.
#pragma once

#include <string_view>

#include "merit/core/field.hpp"
#include "merit/loss/loss.hpp"
#include "merit/loss/numerics.hpp"
#include "merit/loss/pair_targets.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The negative log-likelihood of the preferences under Bradley & Terry 1952, −log σ(Δ) with Δ = r_chosen −
/// r_rejected (Ouyang et al. 2022), which is log(1 + e^−Δ) (Askell et al. 2021), averaged over pairs by
/// weight:
///
///   x = scale · Δ − margin                         (the margin inside σ, Llama 2)
///   p = soft_label · (1 − ε) + (1 − soft_label) · ε,   ε = label_smoothing
///   L = Σ w · [p · softplus(−x) + (1 − p) · softplus(x) + centering · (r_chosen + r_rejected)²] / Σ w
struct PairwiseLoss {
  double label_smoothing = 0;  // ε
  double scale = 1;            // β
  double centering = 0;        // Eisenstein et al. 2023; TRL's center_rewards_coefficient

  using Targets = PairTargets;
  static constexpr ScoreMeaning reads = ScoreMeaning::per_completion;
  static constexpr ScoreWidth reads_width = ScoreWidth::one;
  static constexpr std::string_view name() { return "pairwise"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"label_smoothing", &PairwiseLoss::label_smoothing, between(0, 0.5),
                "share of pairs taken to be labelled the wrong way round"});
    visit(
        Field{"scale", &PairwiseLoss::scale, above(0), "factor on the difference of scores", "--loss-scale"});
    visit(Field{"centering", &PairwiseLoss::centering, at_least(0),
                "weight of the squared sum of a pair's scores; 0.01 is usual"});
  }

  double normaliser(const Targets& targets) const { return targets.weight(); }

  MERIT_CALLABLE UnitLoss term(const PairTargets::Pair& pair, double normaliser,
                               const UnitNumbers& numbers) const {
    const double chosen = numbers.scores[0];
    const double rejected = numbers.scores[1];
    const double x = scale * (chosen - rejected) - pair.margin;
    const double p = pair.soft_label * (1 - label_smoothing) + (1 - pair.soft_label) * label_smoothing;
    const double share = pair.weight / normaliser;
    const double sum = chosen + rejected;
    // d/dx [p softplus(−x) + (1−p) softplus(x)] = σ(x) − p, written so that neither tail cancels.
    const double slope = share * scale * ((1 - p) * sigmoid(x) - p * sigmoid(-x));
    const double pull = share * 2 * centering * sum;
    numbers.slopes[0] = slope + pull;
    numbers.slopes[1] = pull - slope;
    return {share, p * softplus(-x) + (1 - p) * softplus(x) + centering * sum * sum};
  }

  friend bool operator==(const PairwiseLoss&, const PairwiseLoss&) = default;
};

template <>
inline constexpr bool has_device_loop<PairwiseLoss> = true;

}  // namespace MERIT_ABI
}  // namespace merit
