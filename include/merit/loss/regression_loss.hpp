// Regression: the score should be a given number, such as a rating.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/fwd.hpp"
#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Numbers for scores. Several may name one score.
struct RegressionTargets {
  struct Value {
    std::uint32_t row = 0;
    double target = 0;
    double weight = 1;
    std::uint32_t column = 0;  // of the row's scores: an attribute

    MERIT_CALLABLE Index size() const { return 1; }
    MERIT_CALLABLE ScorePlace place(Index) const { return {row, column}; }
  };
  std::vector<Value> values;
  Index columns = 0;  // of the scores that are to be predicted; 0: not known

  void clear() { values.clear(); }

  using View = UnitList<Value>;
  View view() const { return {values.data(), values.size()}; }

  Index unit_count() const { return values.size(); }
  const Value& unit(Index i) const { return values[i]; }
  /// Of all values together.
  double weight() const {
    double sum = 0;
    for (const Value& value : values) sum += value.weight;
    return sum;
  }
  /// Throws UsageError where a target is for a score that rows of `width` scores do not have.
  void check_columns(Index width) const {
    for (const Value& value : values) {
      if (value.column >= width) {
        throw UsageError(
            concat("regression: a target is for score ", value.column, " of a row, which has ", width));
      }
    }
  }
};

/// L = Σ w · ½ (score − target)² / Σ w, over all attributes of all rows.
template <ScoreMeaning Meaning>
struct RegressionLoss {
  using Targets = RegressionTargets;
  static constexpr ScoreMeaning reads = Meaning;
  static constexpr std::string_view name() { return "regression"; }

  double normaliser(const Targets& targets) const { return targets.weight(); }
  void check_columns(const Targets& targets, Index columns) const { targets.check_columns(columns); }

  MERIT_CALLABLE UnitLoss term(const RegressionTargets::Value& value, double normaliser,
                               const UnitNumbers& numbers) const {
    const double share = value.weight / normaliser;
    const double error = numbers.scores[0] - value.target;
    numbers.slopes[0] = share * error;
    return {share * error, error / 2};
  }

  friend bool operator==(const RegressionLoss&, const RegressionLoss&) = default;
};

template <ScoreMeaning Meaning>
inline constexpr bool has_device_loop<RegressionLoss<Meaning>> = true;

}  // namespace MERIT_ABI
}  // namespace merit
