// The Plackett–Luce loss over rankings of several completions of one prompt.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/field.hpp"
#include "merit/loss/loss.hpp"
#include "merit/loss/numerics.hpp"
#include "merit/loss/ranking_targets.hpp"

namespace merit::inline MERIT_ABI {

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

  double normaliser(const Targets& targets) const {
    double sum = 0;
    for (const RankingTargets::Group& group : targets.groups) {
      if (group.size() >= 2) sum += group.weight;
    }
    return sum;
  }

  /// scores (R, 1). Ties that begin among the first `top` count whole. Time is linear in the completions.
  template <class Score>
  double value_and_gradient(MatrixView<const Score> scores, const Targets& targets, double normaliser,
                            MatrixView<Score> gradient) const {
    for (Index i = 0; i < gradient.rows; ++i) gradient(i, 0) = 0;
    thread_local std::vector<double> values;  // both kept, so that a step asks for no memory
    thread_local std::vector<Level> levels;
    double total = 0;
    for (const RankingTargets::Group& group : targets.groups) {
      const Index size = group.size();
      if (size < 2) continue;
      const auto items = targets.items_of(group);
      values.clear();
      for (const RankingTargets::Item& item : items) {
        values.push_back(static_cast<double>(scores(item.row, 0)));
      }
      find_levels(items, values, levels);

      double choices = static_cast<double>(size - 1);
      if (top != 0 && top < size - 1) choices = static_cast<double>(top);
      const double share = group.weight / (divide_by_choices ? choices * normaliser : normaliser);
      // `arriving`: of the choices so far, the probability that each gave to this level and those under it,
      // summed. A level takes its part of that and hands on the rest, so no choice is visited twice.
      double arriving = 0;
      double loss = 0;
      for (const Level& level : levels) {
        const auto count = static_cast<double>(level.end - level.begin);
        const bool chosen = top == 0 || level.begin < top;
        double passed = 0;  // summed over the choices made here: the probability of something worse
        if (chosen) {
          for (Index l = 0; l < level.end - level.begin; ++l) {
            const double factor = ties == Ties::efron ? std::log1p(-static_cast<double>(l) / count) : 0.0;
            const double behind = level.below - (level.sum + factor);
            loss += softplus(behind) + factor;
            passed += sigmoid(behind);
          }
        }
        const double kept = arriving * sigmoid(level.sum - level.below);
        for (Index i = level.begin; i < level.end; ++i) {
          const double part = std::exp(values[i] - level.sum);  // of this level's
          double slope = part * kept;
          if (chosen) {
            loss += level.sum - values[i];
            // part · (count − passed) − 1, so written that a sure choice keeps its digits.
            slope += (count * part - 1) - part * passed;
          }
          gradient(items[i].row, 0) += static_cast<Score>(share * slope);
        }
        arriving = arriving * sigmoid(level.below - level.sum) + passed;
      }
      total += share * loss;
    }
    return total;
  }

  friend bool operator==(const PlackettLuceLoss&, const PlackettLuceLoss&) = default;

 private:
  /// Completions of one rank, [begin, end) of a group.
  struct Level {
    Index begin = 0;
    Index end = 0;
    double sum = 0;    // log Σ exp(r) over them
    double below = 0;  // log Σ exp(r) over all that are worse; minus infinity if none is
  };

  static void find_levels(std::span<const RankingTargets::Item> items, std::span<const double> values,
                          std::vector<Level>& levels) {
    levels.clear();
    for (Index begin = 0; begin < items.size(); begin = levels.back().end) {
      Index end = begin + 1;
      while (end < items.size() && items[end].rank == items[begin].rank) ++end;
      levels.push_back({begin, end, log_sum_exp(values.subspan(begin, end - begin)), 0});
    }
    double below = -std::numeric_limits<double>::infinity();
    for (Index i = levels.size(); i-- > 0;) {
      levels[i].below = below;
      below = log_add_exp(below, levels[i].sum);
    }
  }
};

}  // namespace merit::inline MERIT_ABI
