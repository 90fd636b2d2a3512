// The loss of a value function: the return that followed each token, with changes held back as in PPO.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/field.hpp"
#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Returns for rows, a row being the token before an action: the state in which it is taken. Several may name
/// one row.
struct ValueTargets {
  struct Value {
    std::uint32_t row = 0;
    double target = 0;  // the return R that followed
    /// What the value function said when the rollout was made, NaN if unknown; read where clip > 0.
    double old_value = 0;
    double weight = 1;

    MERIT_CALLABLE Index size() const { return 1; }
    MERIT_CALLABLE ScorePlace place(Index) const { return {row, 0}; }
  };
  std::vector<Value> values;

  void clear() { values.clear(); }

  using View = UnitList<Value>;
  View view() const { return {values.data(), values.size()}; }

  Index unit_count() const { return values.size(); }
  const Value& unit(Index i) const { return values[i]; }
};

/// Half the mean squared error of V to the return R, by weight. With clip = ε > 0 the larger of it and that
/// of V held within ε of the old value, so that a step gains nothing by going further (Schulman et al.'s PPO
/// code, 2017):
///
///   L = Σ w · ½ max[(V − R)², (old + clamp(V − old, −ε, ε) − R)²] / Σ w
struct ValueLoss {
  double clip = 0;  // ε

  using Targets = ValueTargets;
  static constexpr ScoreMeaning reads = ScoreMeaning::per_state;
  static constexpr ScoreWidth reads_width = ScoreWidth::one;
  static constexpr std::string_view name() { return "value"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"clip", &ValueLoss::clip, at_least(0),
                "a value may not move further from the old one; 0: it may", "--value-clip"});
  }

  double normaliser(const Targets& targets) const {
    double sum = 0;
    for (const ValueTargets::Value& value : targets.values) {
      if (clip > 0 && std::isnan(value.old_value)) {
        throw DataError("value: a rollout has no old values, expected them where clip is above 0");
      }
      sum += value.weight;
    }
    return sum;
  }

  MERIT_CALLABLE UnitLoss term(const ValueTargets::Value& value, double normaliser,
                               const UnitNumbers& numbers) const {
    const double share = value.weight / normaliser;
    const double v = numbers.scores[0];
    double error = v - value.target;
    double slope = error;
    if (clip > 0 && std::abs(v - value.old_value) > clip) {
      const double low = value.old_value - clip;
      const double high = value.old_value + clip;
      const double held = (v < low ? low : high < v ? high : v) - value.target;
      if (std::abs(held) > std::abs(error)) {
        error = held;
        slope = 0;  // held back: it does not move with V
      }
    }
    numbers.slopes[0] = share * slope;
    return {share * error, error / 2};
  }

  friend bool operator==(const ValueLoss&, const ValueLoss&) = default;
};

template <>
inline constexpr bool has_device_loop<ValueLoss> = true;

}  // namespace MERIT_ABI
}  // namespace merit
