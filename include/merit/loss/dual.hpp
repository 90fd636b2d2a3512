// Dual numbers: a value with its slopes by N variables, carried through arithmetic (forward differentiation).
#pragma once

#include <cmath>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"
#include "merit/loss/numerics.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A number that knows its derivative by each of N variables. A plain number is a constant. The functions
/// below are found without naming where they are from, so what is written for double
///
///   using std::exp;
///   return exp(rejected - chosen);
///
/// is right for both. Comparisons are of values alone. Where a function has a kink, its slope is of one side:
/// of the first argument of max and min where both are equal, and 0 for abs at 0.
template <Index N>
struct Dual {
  double value = 0;
  double slopes[N] = {};

  constexpr Dual() = default;
  MERIT_CALLABLE constexpr Dual(double constant) : value(constant) {}  // NOLINT: implicit on purpose

  /// Variable number `which`, of slope 1 by itself.
  MERIT_CALLABLE static Dual variable(double value, Index which) {
    Dual x(value);
    x.slopes[which] = 1;
    return x;
  }
  /// f(x), of which the value and the derivative at x are given.
  MERIT_CALLABLE static Dual chain(double value, double derivative, const Dual& x) {
    Dual y(value);
    for (Index i = 0; i < N; ++i) y.slopes[i] = derivative * x.slopes[i];
    return y;
  }

  MERIT_CALLABLE Dual& operator+=(const Dual& b) {
    value += b.value;
    for (Index i = 0; i < N; ++i) slopes[i] += b.slopes[i];
    return *this;
  }
  MERIT_CALLABLE Dual& operator-=(const Dual& b) {
    value -= b.value;
    for (Index i = 0; i < N; ++i) slopes[i] -= b.slopes[i];
    return *this;
  }
  MERIT_CALLABLE Dual& operator*=(const Dual& b) { return *this = *this * b; }
  MERIT_CALLABLE Dual& operator/=(const Dual& b) { return *this = *this / b; }

  MERIT_CALLABLE friend Dual operator+(Dual a) { return a; }
  MERIT_CALLABLE friend Dual operator-(const Dual& a) { return chain(-a.value, -1, a); }
  MERIT_CALLABLE friend Dual operator+(Dual a, const Dual& b) { return a += b; }
  MERIT_CALLABLE friend Dual operator-(Dual a, const Dual& b) { return a -= b; }
  MERIT_CALLABLE friend Dual operator*(const Dual& a, const Dual& b) {
    Dual y(a.value * b.value);
    for (Index i = 0; i < N; ++i) y.slopes[i] = a.slopes[i] * b.value + a.value * b.slopes[i];
    return y;
  }
  MERIT_CALLABLE friend Dual operator/(const Dual& a, const Dual& b) {
    Dual y(a.value / b.value);
    for (Index i = 0; i < N; ++i) y.slopes[i] = (a.slopes[i] - y.value * b.slopes[i]) / b.value;
    return y;
  }

  MERIT_CALLABLE friend bool operator==(const Dual& a, const Dual& b) { return a.value == b.value; }
  MERIT_CALLABLE friend bool operator<(const Dual& a, const Dual& b) { return a.value < b.value; }
  MERIT_CALLABLE friend bool operator>(const Dual& a, const Dual& b) { return a.value > b.value; }
  MERIT_CALLABLE friend bool operator<=(const Dual& a, const Dual& b) { return a.value <= b.value; }
  MERIT_CALLABLE friend bool operator>=(const Dual& a, const Dual& b) { return a.value >= b.value; }

  MERIT_CALLABLE friend Dual exp(const Dual& x) {
    const double y = std::exp(x.value);
    return chain(y, y, x);
  }
  MERIT_CALLABLE friend Dual log(const Dual& x) { return chain(std::log(x.value), 1 / x.value, x); }
  MERIT_CALLABLE friend Dual log1p(const Dual& x) { return chain(std::log1p(x.value), 1 / (1 + x.value), x); }
  MERIT_CALLABLE friend Dual sqrt(const Dual& x) {
    const double y = std::sqrt(x.value);
    return chain(y, 1 / (2 * y), x);
  }
  MERIT_CALLABLE friend Dual tanh(const Dual& x) {
    const double y = std::tanh(x.value);
    return chain(y, (1 - y) * (1 + y), x);
  }
  /// The exponent is a constant.
  MERIT_CALLABLE friend Dual pow(const Dual& x, double exponent) {
    const double slope = exponent == 0 ? 0.0 : exponent * std::pow(x.value, exponent - 1);
    return chain(std::pow(x.value, exponent), slope, x);
  }
  MERIT_CALLABLE friend Dual abs(const Dual& x) {
    return chain(std::abs(x.value), x.value < 0 ? -1 : x.value > 0 ? 1 : 0, x);
  }
  MERIT_CALLABLE friend Dual max(const Dual& a, const Dual& b) { return a.value < b.value ? b : a; }
  MERIT_CALLABLE friend Dual min(const Dual& a, const Dual& b) { return b.value < a.value ? b : a; }
  MERIT_CALLABLE friend Dual softplus(const Dual& x) {
    return chain(merit::softplus(x.value), merit::sigmoid(x.value), x);
  }
  MERIT_CALLABLE friend Dual sigmoid(const Dual& x) {
    const double y = merit::sigmoid(x.value);
    return chain(y, y * merit::sigmoid(-x.value), x);
  }
};

}  // namespace MERIT_ABI
}  // namespace merit
