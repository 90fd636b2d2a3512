// The functions that losses are made of, written so that neither large scores nor small differences hurt.
#pragma once

#include <cmath>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// log(1 + eˣ) without overflow. Minus infinity gives 0.
MERIT_CALLABLE inline double softplus(double x) {
  return (x < 0 ? 0.0 : x) + std::log1p(std::exp(-std::abs(x)));
}

/// 1 / (1 + e⁻ˣ) without overflow, and without losing the small side's digits. Minus infinity gives 0.
MERIT_CALLABLE inline double sigmoid(double x) {
  const double e = std::exp(-std::abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/// log Σ e^x as the largest x and what the others add to it (≥ 0). Kept apart, the small part keeps its
/// digits.
struct SplitLogSumExp {
  double largest = 0;
  double rest = 0;
};

/// Of x[0], …, x[count − 1]. Requires at least one finite number.
MERIT_CALLABLE inline SplitLogSumExp split_log_sum_exp(const double* x, Index count) {
  Index at = 0;
  for (Index i = 1; i < count; ++i) {
    if (x[at] < x[i]) at = i;
  }
  double others = 0;
  for (Index i = 0; i < count; ++i) {
    if (i != at) others += std::exp(x[i] - x[at]);
  }
  return {x[at], std::log1p(others)};
}

/// log Σ e^x. Of one number it is that number, to the bit.
MERIT_CALLABLE inline double log_sum_exp(const double* x, Index count) {
  const SplitLogSumExp sum = split_log_sum_exp(x, count);
  return sum.largest + sum.rest;
}

/// log(eᵃ + eᵇ). At most one of them may be minus infinity.
MERIT_CALLABLE inline double log_add_exp(double a, double b) {
  return (a < b ? b : a) + std::log1p(std::exp(-std::abs(a - b)));
}

}  // namespace MERIT_ABI
}  // namespace merit
