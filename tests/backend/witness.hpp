// The witnesses of an operation with a backward: the reference backend, central differences, the adjoint
// identity, and that `add` adds what `assign` assigns.
//
// An operation under test is a struct with
//   Index inputs() const;                                          how many numbers it is differentiated by
//   template <class B> Numbers forward(const Numbers& x) const;
//   template <class B> Numbers backward(const Numbers& x, const Numbers& dy, Write, double before) const;
// where backward returns what its targets hold after they held `before` everywhere. With Write::assign,
// targets that the operation always adds to start at 0 instead.
#pragma once

#include <algorithm>
#include <cmath>

#include "backend/backends.hpp"

namespace merit_test {

inline double dot(const Numbers& a, const Numbers& b) {
  REQUIRE(a.size() == b.size());
  double sum = 0;
  for (Index i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// x + step · direction.
inline Numbers moved(Numbers x, double step, const Numbers& direction) {
  for (Index i = 0; i < x.size(); ++i) x[i] += step * direction[i];
  return x;
}

template <class B, class Operation>
void check_witnesses(const Operation& operation, const Numbers& values, Rng& rng) {
  using T = typename B::Activation;
  REQUIRE(values.size() == operation.inputs());
  const Numbers x = held<B>(values);
  const Numbers y = operation.template forward<B>(x);
  const Numbers dy = held<B>(random_numbers(rng, y.size()));
  const Numbers dx = operation.template backward<B>(x, dy, Write::assign, 77.0);

  // The reference backend in double.
  CHECK(relative_error(y, operation.template forward<Arbiter>(x)) <= Tolerance<T>::value);
  CHECK(relative_error(dx, operation.template backward<Arbiter>(x, dy, Write::assign, 77.0)) <=
        Tolerance<T>::gradient);

  // The same bits twice.
  CHECK(y == operation.template forward<B>(x));
  CHECK(dx == operation.template backward<B>(x, dy, Write::assign, 55.0));

  // Adding, to a number about as large as what is added, so that neither hides the other's digits.
  double largest = 0;
  for (const double value : dx) largest = std::max(largest, std::abs(value));
  const double before = largest > 0 ? std::exp2(std::round(std::log2(largest))) : 1.0;
  Numbers added = operation.template backward<B>(x, dy, Write::add, before);
  for (double& value : added) value -= before;
  CHECK(relative_error(dx, added) <= Tolerance<T>::gradient);

  if constexpr (std::is_same_v<T, double>) {
    // Every coordinate of the gradient of <dy, f(x)> by central differences.
    Numbers differences(x.size());
    for (Index i = 0; i < x.size(); ++i) {
      Numbers axis(x.size());
      axis[i] = 1;
      const double step = 1e-5 * std::max(1.0, std::abs(x[i]));
      const double up = dot(dy, operation.template forward<B>(moved(x, step, axis)));
      const double down = dot(dy, operation.template forward<B>(moved(x, -step, axis)));
      differences[i] = (up - down) / (2 * step);
    }
    CHECK(relative_error(dx, differences) <= difference_tolerance);

    // <J v, w> = <v, Jᵀ w>.
    const Numbers v = random_numbers(rng, x.size());
    const Numbers up = operation.template forward<B>(moved(x, 1e-5, v));
    const Numbers down = operation.template forward<B>(moved(x, -1e-5, v));
    Numbers jv(y.size());
    for (Index i = 0; i < y.size(); ++i) jv[i] = (up[i] - down[i]) / 2e-5;
    const double scale = std::sqrt(dot(jv, jv) * dot(dy, dy)) + 1e-300;
    CHECK(std::abs(dot(jv, dy) - dot(v, dx)) <= difference_tolerance * scale);
  }
}

}  // namespace merit_test
