// How close two computations of the same numbers must be: the one place with these figures.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "merit/core/dtype.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Relative tolerances by the type that computed.
template <class T>
struct Tolerance;

template <>
struct Tolerance<double> {
  static constexpr double value = 1e-10;
  static constexpr double gradient = 1e-10;
};

template <>
struct Tolerance<float> {
  static constexpr double value = 1e-5;
  static constexpr double gradient = 1e-4;  // sums over a batch lose a digit
};

/// How far a number is from itself rounded to bfloat16, at most: half of the last of 8 binary digits.
inline constexpr double bf16_rounding = 0x1p-8;

/// What is computed in float and rounded to bfloat16, of numbers that bfloat16 holds.
template <>
struct Tolerance<Bf16> {
  static constexpr double value = bf16_rounding;  // of the result
  static constexpr double gradient =
      2 * bf16_rounding;  // and of the forward's result, which it is computed from
};

/// Central differences with a step of about 1e-5 in double, which are themselves no better than this.
inline constexpr double difference_tolerance = 1e-7;

/// The largest |a − b| over the largest magnitude in either; 0 when both are all zero or empty. Infinite when
/// the sizes differ or a number is not finite, so that a comparison with a tolerance fails.
template <class A, class B>
double relative_error(VectorView<const A> a, VectorView<const B> b) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (a.size != b.size) return infinity;
  double difference = 0;
  double scale = 0;
  for (Index i = 0; i < a.size; ++i) {
    const double x = static_cast<double>(a[i]);
    const double y = static_cast<double>(b[i]);
    if (!std::isfinite(x) || !std::isfinite(y)) return infinity;
    difference = std::max(difference, std::abs(x - y));
    scale = std::max({scale, std::abs(x), std::abs(y)});
  }
  return difference == 0 ? 0 : difference / scale;
}

template <class A, class B>
double relative_error(const std::vector<A>& a, const std::vector<B>& b) {
  return relative_error(VectorView<const A>(a), VectorView<const B>(b));
}

}  // namespace MERIT_ABI
}  // namespace merit
