// The Bradley–Terry loss over pairs of a chosen and a rejected completion.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "merit/core/field.hpp"
#include "merit/loss/loss.hpp"
#include "merit/loss/numerics.hpp"

namespace merit::inline MERIT_ABI {

/// Pairs of rows. A row may take part in any number of pairs.
struct PairTargets {
  struct Pair {
    std::uint32_t chosen = 0;
    std::uint32_t rejected = 0;
    double margin = 0;      // by how much the chosen one should win, in scores
    double weight = 1;      // of this pair among all
    double soft_label = 1;  // probability that `chosen` is the better one; a tie is 0.5
  };
  std::vector<Pair> pairs;

  void clear() { pairs.clear(); }
};

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
      const auto chosen = static_cast<double>(scores(pair.chosen, 0));
      const auto rejected = static_cast<double>(scores(pair.rejected, 0));
      const double x = scale * (chosen - rejected) - pair.margin;
      const double p = pair.soft_label * (1 - label_smoothing) + (1 - pair.soft_label) * label_smoothing;
      const double share = pair.weight / normaliser;
      const double sum = chosen + rejected;
      total += share * (p * softplus(-x) + (1 - p) * softplus(x) + centering * sum * sum);
      // d/dx [p softplus(−x) + (1−p) softplus(x)] = σ(x) − p, written so that neither tail cancels.
      const double slope = share * scale * ((1 - p) * sigmoid(x) - p * sigmoid(-x));
      const double pull = share * 2 * centering * sum;
      gradient(pair.chosen, 0) += static_cast<Score>(slope + pull);
      gradient(pair.rejected, 0) += static_cast<Score>(pull - slope);
    }
    return total;
  }

  friend bool operator==(const PairwiseLoss&, const PairwiseLoss&) = default;
};

}  // namespace merit::inline MERIT_ABI
