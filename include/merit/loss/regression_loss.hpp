// Regression: the score should be a given number, such as a rating.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "merit/fwd.hpp"
#include "merit/loss/loss.hpp"

namespace merit::inline MERIT_ABI {

/// Numbers for rows. Several may name one row.
struct RegressionTargets {
  struct Value {
    std::uint32_t row = 0;
    double target = 0;
    double weight = 1;
  };
  std::vector<Value> values;

  void clear() { values.clear(); }
};

/// L = Σ w · ½ (score − target)² / Σ w.
template <ScoreMeaning Meaning>
struct RegressionLoss {
  using Targets = RegressionTargets;
  static constexpr ScoreMeaning reads = Meaning;
  static constexpr std::string_view name() { return "regression"; }

  void validate() const {}

  double normaliser(const Targets& targets) const {
    double sum = 0;
    for (const RegressionTargets::Value& value : targets.values) sum += value.weight;
    return sum;
  }

  /// scores (R, 1).
  template <class Score>
  double value_and_gradient(MatrixView<const Score> scores, const Targets& targets, double normaliser,
                            MatrixView<Score> gradient) const {
    for (Index i = 0; i < gradient.rows; ++i) gradient(i, 0) = 0;
    double total = 0;
    for (const RegressionTargets::Value& value : targets.values) {
      const double share = value.weight / normaliser;
      const double error = static_cast<double>(scores(value.row, 0)) - value.target;
      total += share * error * error / 2;
      gradient(value.row, 0) += static_cast<Score>(share * error);
    }
    return total;
  }

  friend bool operator==(const RegressionLoss&, const RegressionLoss&) = default;
};

}  // namespace merit::inline MERIT_ABI
