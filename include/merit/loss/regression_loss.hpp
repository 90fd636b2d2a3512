// Regression: the score should be a given number, such as a rating.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/fwd.hpp"
#include "merit/loss/loss.hpp"

namespace merit::inline MERIT_ABI {

/// Numbers for scores. Several may name one score.
struct RegressionTargets {
  struct Value {
    std::uint32_t row = 0;
    double target = 0;
    double weight = 1;
    std::uint32_t column = 0;  // of the row's scores: an attribute
  };
  std::vector<Value> values;
  Index columns = 0;  // of the scores that are to be predicted; 0: not known

  void clear() { values.clear(); }
};

/// L = Σ w · ½ (score − target)² / Σ w, over all attributes of all rows.
template <ScoreMeaning Meaning>
struct RegressionLoss {
  using Targets = RegressionTargets;
  static constexpr ScoreMeaning reads = Meaning;
  static constexpr std::string_view name() { return "regression"; }

  double normaliser(const Targets& targets) const {
    double sum = 0;
    for (const RegressionTargets::Value& value : targets.values) sum += value.weight;
    return sum;
  }

  /// scores (R, k). Throws UsageError where a target is for a column that there is not.
  template <class Score>
  double value_and_gradient(MatrixView<const Score> scores, const Targets& targets, double normaliser,
                            MatrixView<Score> gradient) const {
    for (Index i = 0; i < gradient.rows; ++i) {
      for (Index j = 0; j < gradient.cols; ++j) gradient(i, j) = 0;
    }
    double total = 0;
    for (const RegressionTargets::Value& value : targets.values) {
      if (value.column >= scores.cols) {
        throw UsageError(detail::concat("regression: a target is for score ", value.column,
                                        " of a row, which has ", scores.cols));
      }
      const double share = value.weight / normaliser;
      const double error = static_cast<double>(scores(value.row, value.column)) - value.target;
      total += share * error * error / 2;
      gradient(value.row, value.column) += static_cast<Score>(share * error);
    }
    return total;
  }

  friend bool operator==(const RegressionLoss&, const RegressionLoss&) = default;
};

}  // namespace merit::inline MERIT_ABI
