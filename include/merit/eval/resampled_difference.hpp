// Whether one way of learning is better than another, from a few folds whose training sets overlap.
#pragma once

#include <cmath>
#include <limits>
#include <span>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/eval/bootstrap.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The regularised incomplete beta function I_x(a, b), by its continued fraction (modified Lentz).
inline double incomplete_beta(double a, double b, double x) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, 1 - x);  // where it converges quickly
  constexpr double tiny = 1e-300;
  const auto apart = [](double value) { return std::abs(value) < tiny ? tiny : value; };
  double c = 1, d = 1 / apart(1 - (a + b) * x / (a + 1)), fraction = d;
  for (int m = 1; m < 1000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / apart(1 + even * d);
    c = apart(1 + even / c);
    fraction *= c * d;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / apart(1 + odd * d);
    c = apart(1 + odd / c);
    fraction *= c * d;
    if (std::abs(c * d - 1) < 1e-15) break;
  }
  const double logarithm =
      std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x);
  return std::exp(logarithm) * fraction / a;
}

}  // namespace detail

/// The t that a variable with Student's distribution of so many degrees of freedom is below with this
/// probability, from ½ up.
inline double student_t_quantile(double probability, double freedom) {
  if (!(probability >= 0.5 && probability < 1 && freedom > 0))
    throw UsageError("student_t_quantile: expected a probability from 0.5 to below 1, and freedom");
  const auto below = [&](double t) {
    return 1 - 0.5 * detail::incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t));
  };
  double low = 0, high = 1;
  while (below(high) < probability) high *= 2;
  for (int halving = 0; halving < 100; ++halving) {
    const double middle = low + (high - low) / 2;
    (below(middle) < probability ? low : high) = middle;
  }
  return high;
}

/// The mean of a value that each of several folds gave, with its 95% interval by the corrected resampled t-test:
/// training sets that overlap make folds agree more than new data would, so the variance is multiplied by
/// 1/n + test/train in place of 1/n (Nadeau and Bengio, Inference for the Generalization Error, 2003).
/// `test_to_train`: the size of a fold's held-out part over that of its training part. Of one fold the
/// interval is everything.
inline Estimate corrected_resampled_mean(std::span<const double> values, double test_to_train) {
  if (values.empty()) throw UsageError("corrected_resampled_mean: there are no values");
  const auto n = static_cast<double>(values.size());
  double mean = 0;
  for (const double value : values) mean += value / n;
  if (values.size() == 1) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    return {mean, -infinity, infinity};
  }
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double half =
      student_t_quantile(0.975, n - 1) * std::sqrt((1 / n + test_to_train) * squares / (n - 1));
  return {mean, mean - half, mean + half};
}

}  // namespace MERIT_ABI
}  // namespace merit
