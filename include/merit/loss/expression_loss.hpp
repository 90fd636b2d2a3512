// Losses of your own: the mathematics of one pair, one labelled row or one ranked group, as a function. The
// slopes come from dual numbers, everything else from the base.
//
//   struct Exponential : merit::PairLoss<Exponential> {
//     auto operator()(auto chosen, auto rejected) const { return exp(rejected - chosen); }
//   };
//
// Such a loss may have settings with fields() (core/field.hpp), and a name() of its own for messages and
// model cards. Its function is called with Dual numbers (dual.hpp), keeps nothing and throws nothing; a
// device calls it where it is marked MERIT_CALLABLE.
#pragma once

#include <string_view>
#include <type_traits>

#include "merit/fwd.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/dual.hpp"
#include "merit/loss/loss.hpp"
#include "merit/loss/pair_targets.hpp"
#include "merit/loss/ranking_targets.hpp"
#include "merit/loss/regression_loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// f(chosen, rejected) of the scores of two completions, averaged over pairs by weight. The margin m of a
/// pair is taken from the chosen score, and a soft label p makes it a pair both ways round:
///
///   L = Σ w · [p · f(chosen − m, rejected) + (1 − p) · f(rejected, chosen − m)] / Σ w
template <class Self>
struct PairLoss {
  using Targets = PairTargets;
  static constexpr ScoreMeaning reads = ScoreMeaning::per_completion;
  static constexpr ScoreWidth reads_width = ScoreWidth::one;
  static constexpr std::string_view name() { return "own_pairs"; }

  double normaliser(const Targets& targets) const { return targets.weight(); }

  MERIT_CALLABLE UnitLoss term(const PairTargets::Pair& pair, double normaliser,
                               const UnitNumbers& numbers) const {
    using Number = Dual<2>;
    static_assert(std::is_invocable_r_v<Number, const Self&, Number, Number>,
                  "merit: a PairLoss is a function of two scores, expected a member "
                  "auto operator()(auto chosen, auto rejected) const.");
    const Self& f = static_cast<const Self&>(*this);
    const Number chosen = Number::variable(numbers.scores[0] - pair.margin, 0);
    const Number rejected = Number::variable(numbers.scores[1], 1);
    // A side without weight is left out, or a function that is infinite there would matter.
    Number value = pair.soft_label == 0 ? Number(f(rejected, chosen)) : Number(f(chosen, rejected));
    if (pair.soft_label != 0 && pair.soft_label != 1) {
      value = pair.soft_label * value + (1 - pair.soft_label) * Number(f(rejected, chosen));
    }
    const double share = pair.weight / normaliser;
    for (Index j = 0; j < 2; ++j) numbers.slopes[j] = share * value.slopes[j];
    return {share, value.value};
  }

  friend bool operator==(const PairLoss&, const PairLoss&) = default;
};

namespace detail {

// What RowLoss reads of targets: of labels from 0 to 1, or of any numbers.
inline double weight_of(const BinaryTargets& targets) {
  return targets.weight(Denominator::per_token);
}
inline double weight_of(const RegressionTargets& targets) {
  return targets.weight();
}
MERIT_CALLABLE inline double label_of(const LabelUnit<BinaryLabel>& unit) {
  return unit.label.label;
}
MERIT_CALLABLE inline double label_of(const RegressionTargets::Value& value) {
  return value.target;
}
MERIT_CALLABLE inline double share_of(const LabelUnit<BinaryLabel>& unit, double normaliser) {
  return unit.share(Denominator::per_token, normaliser);
}
MERIT_CALLABLE inline double share_of(const RegressionTargets::Value& value, double normaliser) {
  return value.weight / normaliser;
}

}  // namespace detail

/// f(score, label) of a row, averaged over labelled rows by weight. RowTargets say what a label is: a
/// probability of being good (BinaryTargets), or any number, such as a rating (RegressionTargets).
///
///   struct Brier : merit::RowLoss<Brier, merit::ScoreMeaning::per_step> {
///     auto operator()(auto score, double label) const { return pow(sigmoid(score) - label, 2); }
///   };
template <class Self, ScoreMeaning Meaning, class RowTargets>
struct RowLoss {
  using Targets = RowTargets;
  static constexpr ScoreMeaning reads = Meaning;
  static constexpr ScoreWidth reads_width =
      std::is_same_v<RowTargets, RegressionTargets> ? ScoreWidth::any : ScoreWidth::one;
  static constexpr std::string_view name() { return "own_rows"; }

  double normaliser(const Targets& targets) const { return detail::weight_of(targets); }
  /// Throws UsageError where a target is for a score that rows do not have.
  void check_columns(const Targets& targets, Index columns) const {
    if constexpr (requires { targets.check_columns(columns); }) targets.check_columns(columns);
  }

  template <class Unit>
  MERIT_CALLABLE UnitLoss term(const Unit& unit, double normaliser, const UnitNumbers& numbers) const {
    using Number = Dual<1>;
    static_assert(std::is_invocable_r_v<Number, const Self&, Number, double>,
                  "merit: a RowLoss is a function of a score and its label, expected a member "
                  "auto operator()(auto score, double label) const.");
    const Self& f = static_cast<const Self&>(*this);
    const Number value = f(Number::variable(numbers.scores[0], 0), detail::label_of(unit));
    const double share = detail::share_of(unit, normaliser);
    numbers.slopes[0] = share * value.slopes[0];
    return {share, value.value};
  }

  friend bool operator==(const RowLoss&, const RowLoss&) = default;
};

/// The completions of one prompt as a GroupLoss sees them, best first.
template <class Number>
struct RankedScores {
  const RankingTargets::Unit& group;
  const double* scores;
  Index first;     // the slopes by scores first, first + 1, … are asked for
  Index together;  // so many of them

  MERIT_CALLABLE Index size() const { return group.size(); }
  MERIT_CALLABLE Number score(Index i) const {
    const bool asked = i >= first && i - first < together;
    return asked ? Number::variable(scores[i], i - first) : Number(scores[i]);
  }
  /// 0 is best; equal ranks are a tie.
  MERIT_CALLABLE Index rank(Index i) const { return group.items[i].rank; }
};

/// f(group) of the ranked completions of a prompt, averaged over groups by weight; a group of fewer than two
/// says nothing and is not counted. The function is called once for every four completions, with the slopes
/// by those.
///
///   struct BestAboveMean : merit::GroupLoss<BestAboveMean> {
///     auto operator()(const auto& group) const {
///       auto others = 0 * group.score(0);
///       for (merit::Index i = 1; i < group.size(); ++i) others += group.score(i);
///       return softplus(others / static_cast<double>(group.size() - 1) - group.score(0));
///     }
///   };
template <class Self>
struct GroupLoss {
  using Targets = RankingTargets;
  static constexpr ScoreMeaning reads = ScoreMeaning::per_completion;
  static constexpr ScoreWidth reads_width = ScoreWidth::one;
  static constexpr std::string_view name() { return "own_groups"; }

  double normaliser(const Targets& targets) const { return targets.weight(); }

  MERIT_CALLABLE UnitLoss term(const RankingTargets::Unit& group, double normaliser,
                               const UnitNumbers& numbers) const {
    constexpr Index together = 4;
    using Number = Dual<together>;
    using Group = RankedScores<Number>;
    static_assert(std::is_invocable_r_v<Number, const Self&, const Group&>,
                  "merit: a GroupLoss is a function of a ranked group, expected a member "
                  "auto operator()(const auto& group) const.");
    const Self& f = static_cast<const Self&>(*this);
    const double share = group.weight / normaliser;
    double loss = 0;
    for (Index first = 0; first < group.size(); first += together) {
      const Number value = f(Group{group, numbers.scores, first, together});
      loss = value.value;
      for (Index j = 0; j < together && first + j < group.size(); ++j) {
        numbers.slopes[first + j] = share * value.slopes[j];
      }
    }
    return {share, loss};
  }

  friend bool operator==(const GroupLoss&, const GroupLoss&) = default;
};

}  // namespace MERIT_ABI
}  // namespace merit
