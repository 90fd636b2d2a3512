// The functions that losses are made of, written so that neither large scores nor small differences hurt.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "merit/core/view.hpp"

namespace merit::inline MERIT_ABI {

/// log(1 + eˣ) without overflow. Minus infinity gives 0.
inline double softplus(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

/// 1 / (1 + e⁻ˣ) without overflow, and without losing the small side's digits. Minus infinity gives 0.
inline double sigmoid(double x) {
  const double e = std::exp(-std::abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/// log Σ e^x as the largest x and what the others add to it (≥ 0). Kept apart, the small part keeps its
/// digits.
struct SplitLogSumExp {
  double largest = 0;
  double rest = 0;
};

/// Requires at least one finite number.
inline SplitLogSumExp split_log_sum_exp(std::span<const double> x) {
  const Index at = static_cast<Index>(std::max_element(x.begin(), x.end()) - x.begin());
  double others = 0;
  for (Index i = 0; i < x.size(); ++i) {
    if (i != at) others += std::exp(x[i] - x[at]);
  }
  return {x[at], std::log1p(others)};
}

/// log Σ e^x. Of one number it is that number, to the bit.
inline double log_sum_exp(std::span<const double> x) {
  const SplitLogSumExp sum = split_log_sum_exp(x);
  return sum.largest + sum.rest;
}

/// log(eᵃ + eᵇ). At most one of them may be minus infinity.
inline double log_add_exp(double a, double b) {
  return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

}  // namespace merit::inline MERIT_ABI
