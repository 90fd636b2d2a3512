// What optimizers beside AdamW ask of the reference backend, as plain loops.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "merit/backend/operations.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

template <class B>
void momentum(const MomentumArguments<B>& a) {
  using T = typename B::Stat;
  const MomentumStep& step = a.step;
  for (Index i = 0; i < a.out.size; ++i) {
    const T before = step.keep_out == 0 && step.penalty == 0 ? T{0} : a.out[i];
    const T m = a.momentum.empty() ? T{0} : a.momentum[i];
    const T g = static_cast<T>(step.gradient_scale) * a.gradients[i] + static_cast<T>(step.penalty) * before;
    T direction = static_cast<T>(step.momentum_weight) * m + static_cast<T>(step.gradient_weight) * g;
    if (step.sign) direction = static_cast<T>((direction > 0) - (direction < 0));
    if (!a.momentum.empty()) a.momentum[i] = static_cast<T>(step.keep) * m + static_cast<T>(step.add) * g;
    a.out[i] = static_cast<T>(step.keep_out) * before - static_cast<T>(step.rate) * direction;
  }
}

template <class B>
void adafactor(const AdafactorArguments<B>& a) {
  using T = typename B::Stat;
  const MatrixView<T> g = a.gradients;
  const auto square = [&](Index i, Index j) {
    const double value = a.step.gradient_scale * static_cast<double>(g(i, j));
    return value * value;
  };
  const auto move = [&](T& moment, double mean) {
    moment =
        static_cast<T>(static_cast<double>(moment) + a.step.share * (mean - static_cast<double>(moment)));
  };
  double rows_total = 0;
  for (Index i = 0; i < a.rows.size; ++i) {
    double sum = 0;
    for (Index j = 0; j < g.cols; ++j) sum += square(i, j);
    move(a.rows[i], sum / static_cast<double>(g.cols));
    rows_total += static_cast<double>(a.rows[i]);
  }
  for (Index j = 0; j < g.cols; ++j) {
    double sum = 0;
    for (Index i = 0; i < g.rows; ++i) sum += square(i, j);
    move(a.columns[j], sum / static_cast<double>(g.rows));
  }
  const double rows_mean = std::max(rows_total / static_cast<double>(g.rows), a.step.epsilon);
  // A square that T cannot hold would let a gradient of zero become 0 / 0.
  const double least =
      std::max(a.step.epsilon * a.step.epsilon, static_cast<double>(std::numeric_limits<T>::min()));
  for (Index i = 0; i < g.rows; ++i) {
    const double of_row = a.rows.empty() ? 1 : static_cast<double>(a.rows[i]) / rows_mean;
    for (Index j = 0; j < g.cols; ++j) {
      const double estimate = std::max(of_row * static_cast<double>(a.columns[j]), least);
      g(i, j) = static_cast<T>(a.step.gradient_scale * static_cast<double>(g(i, j)) / std::sqrt(estimate));
    }
  }
}

template <class B>
void product(const ProductArguments<B>& a) {
  using T = typename B::Stat;
  const bool flip_a = a.transpose_a == Transpose::yes, flip_b = a.transpose_b == Transpose::yes;
  const Index depth = flip_a ? a.a.rows : a.a.cols;
  for (Index i = 0; i < a.out.rows; ++i) {
    for (Index j = 0; j < a.out.cols; ++j) {
      T sum = 0;
      for (Index k = 0; k < depth; ++k)
        sum += (flip_a ? a.a(k, i) : a.a(i, k)) * (flip_b ? a.b(j, k) : a.b(k, j));
      sum *= static_cast<T>(a.scale);
      if (!a.c.empty()) sum += static_cast<T>(a.c_scale) * a.c(i, j);
      a.out(i, j) = sum;
    }
  }
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
