// The Plackett–Luce loss over rankings of several completions of one prompt.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "merit/core/enum_names.hpp"
#include "merit/core/field.hpp"
#include "merit/loss/loss.hpp"
#include "merit/loss/numerics.hpp"
#include "merit/loss/ranking_targets.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What equal ranks mean, named as in Cox regression, where they are deaths at the same time.
enum class Ties : std::uint8_t {
  efron,   // each of the tied leaves the pool as an average of them all (Efron 1977)
  breslow  // all of them are chosen from the whole pool (Breslow 1974)
};
template <>
inline constexpr std::array<std::string_view, 2> enum_names<Ties>{"efron", "breslow"};

/// The negative log-likelihood of choosing the best of a group, then the best of what is left, and so on
/// (Luce 1959, Plackett 1975; Cao et al. 2007 call it ListMLE), averaged over groups by weight. For a group
/// ranked σ(0), σ(1), … (best first):
///
///   L = Σ_{k < K−1} [log Σ_{j ≥ k} exp(r_σ(j)) − r_σ(k)]
///
/// g tied completions T with the worse ones W are g choices, l = 0 … g−1, together
///
///   Σ_l log(f_l · Σ_T exp(r) + Σ_W exp(r)) − Σ_T r,      f_l = 1 − l/g (efron) or 1 (breslow)
///
/// as in Cox regression, also where nothing is worse than they are. Two completions without a tie give
/// PairwiseLoss{} to the bit. A group of fewer than two says nothing and is not counted.
struct PlackettLuceLoss {
  Index top = 0;  // only the first `top` choices count, the rest is what they were chosen from; 0: all
  Ties ties = Ties::efron;
  bool divide_by_choices = false;  // a group's loss by its K−1 choices (`top` if that is fewer)

  using Targets = RankingTargets;
  static constexpr ScoreMeaning reads = ScoreMeaning::per_completion;
  static constexpr ScoreWidth reads_width = ScoreWidth::one;
  static constexpr Index scratch_per_score = 2;
  static constexpr std::string_view name() { return "plackett_luce"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"top", &PlackettLuceLoss::top, any_value(), "only the first N choices count; 0: all"});
    visit(Field{"ties", &PlackettLuceLoss::ties, {}, "what equal ranks mean"});
    visit(Field{"divide_by_choices",
                &PlackettLuceLoss::divide_by_choices,
                {},
                "a group's loss is divided by its choices"});
  }

  double normaliser(const Targets& targets) const { return targets.weight(); }

  /// Ties that begin among the first `top` count whole. Time is linear in the completions.
  MERIT_CALLABLE UnitLoss term(const RankingTargets::Unit& group, double normaliser,
                               const UnitNumbers& numbers) const {
    const Index size = group.size();
    const double* const scores = numbers.scores;
    // A level is the completions of one rank, [begin, end) of the group. At its `begin` stand
    double* const sums = numbers.scratch;           // log Σ exp(r) over it
    double* const belows = numbers.scratch + size;  // log Σ exp(r) over all that are worse; −∞ if none is
    for (Index begin = 0, end = 0; begin < size; begin = end) {
      end = group.end_of_tie(begin);
      sums[begin] = log_sum_exp(scores + begin, end - begin);
    }
    double worse = -HUGE_VAL;  // infinity, in the form that a device knows
    for (Index i = size; i-- > 0;) {
      if (i > 0 && group.items[i].rank == group.items[i - 1].rank) continue;
      belows[i] = worse;
      worse = log_add_exp(worse, sums[i]);
    }

    double choices = static_cast<double>(size - 1);
    if (top != 0 && top < size - 1) choices = static_cast<double>(top);
    const double share = group.weight / (divide_by_choices ? choices * normaliser : normaliser);
    // `arriving`: of the choices so far, the probability that each gave to this level and those under it,
    // summed. A level takes its part of that and hands on the rest, so no choice is visited twice.
    double arriving = 0;
    double loss = 0;
    for (Index begin = 0, end = 0; begin < size; begin = end) {
      end = group.end_of_tie(begin);
      const double sum = sums[begin];
      const double below = belows[begin];
      const auto count = static_cast<double>(end - begin);
      const bool chosen = top == 0 || begin < top;
      double passed = 0;  // summed over the choices made here: the probability of something worse
      if (chosen) {
        for (Index l = 0; l < end - begin; ++l) {
          const double factor = ties == Ties::efron ? std::log1p(-static_cast<double>(l) / count) : 0.0;
          const double behind = below - (sum + factor);
          loss += softplus(behind) + factor;
          passed += sigmoid(behind);
        }
      }
      const double kept = arriving * sigmoid(sum - below);
      for (Index i = begin; i < end; ++i) {
        const double part = std::exp(scores[i] - sum);  // of this level's
        double slope = part * kept;
        if (chosen) {
          loss += sum - scores[i];
          // part · (count − passed) − 1, so written that a sure choice keeps its digits.
          slope += (count * part - 1) - part * passed;
        }
        numbers.slopes[i] = share * slope;
      }
      arriving = arriving * sigmoid(below - sum) + passed;
    }
    return {share, loss};
  }

  friend bool operator==(const PlackettLuceLoss&, const PlackettLuceLoss&) = default;
};

template <>
inline constexpr bool has_device_loop<PlackettLuceLoss> = true;

}  // namespace MERIT_ABI
}  // namespace merit
