// What optimizers do to the trained weights, an element at a time, and the sums that they need.
#pragma once

#include <cmath>
#include <limits>

#include "merit/backend/thrust/functors/element.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// A long sum is one of parts of this many elements, in double: the same whatever the number of threads.
inline constexpr Index sum_part = 4096;

struct SquaresOfPart {
  const float* data;
  Index size;
  double* sums;

  MERIT_CALLABLE void operator()(Index part) const {
    const Index begin = part * sum_part, end = begin + sum_part < size ? begin + sum_part : size;
    double sum = 0;
    for (Index i = begin; i < end; ++i) sum += static_cast<double>(data[i]) * static_cast<double>(data[i]);
    sums[part] = sum;
  }
};

/// to = the sum of `count` numbers in their order; called once.
template <class T>
struct SumInOrder {
  const T* from;
  Index count;
  double* to;

  MERIT_CALLABLE void operator()(Index) const {
    double sum = 0;
    for (Index i = 0; i < count; ++i) sum += static_cast<double>(from[i]);
    *to = sum;
  }
};

template <class B>
struct AdamW {
  AdamWArguments<B> a;
  float beta1, beta2, rest1, rest2, keep, rate, root_correction2, epsilon, gradient_scale;

  explicit AdamW(const AdamWArguments<B>& arguments)
      : a(arguments),
        beta1(static_cast<float>(a.step.beta1)),
        beta2(static_cast<float>(a.step.beta2)),
        rest1(static_cast<float>(1 - a.step.beta1)),
        rest2(static_cast<float>(1 - a.step.beta2)),
        keep(static_cast<float>(1 - a.step.learning_rate * a.step.weight_decay)),
        rate(static_cast<float>(a.step.learning_rate / a.step.bias_correction1)),
        root_correction2(static_cast<float>(std::sqrt(a.step.bias_correction2))),
        epsilon(static_cast<float>(a.step.epsilon)),
        gradient_scale(static_cast<float>(a.step.gradient_scale)) {}

  MERIT_CALLABLE void operator()(Index i) const {
    const float gradient = gradient_scale * a.gradients.data[i];
    const float first = beta1 * a.first.data[i] + rest1 * gradient;
    const float second = beta2 * a.second.data[i] + rest2 * gradient * gradient;
    const float denominator = std::sqrt(second) / root_correction2 + epsilon;
    a.first.data[i] = first;
    a.second.data[i] = second;
    a.parameters.data[i] = keep * a.parameters.data[i] - rate * first / denominator;
  }
};

template <class B>
struct Momentum {
  MomentumArguments<B> a;

  MERIT_CALLABLE void operator()(Index i) const {
    const MomentumStep& step = a.step;
    const float before = step.keep_out == 0 && step.penalty == 0 ? 0.0f : a.out.data[i];
    const float m = a.momentum.empty() ? 0.0f : a.momentum.data[i];
    const float g = static_cast<float>(step.gradient_scale) * a.gradients.data[i] +
                    static_cast<float>(step.penalty) * before;
    float direction =
        static_cast<float>(step.momentum_weight) * m + static_cast<float>(step.gradient_weight) * g;
    if (step.sign) direction = static_cast<float>((direction > 0) - (direction < 0));
    if (!a.momentum.empty())
      a.momentum.data[i] = static_cast<float>(step.keep) * m + static_cast<float>(step.add) * g;
    a.out.data[i] = static_cast<float>(step.keep_out) * before - static_cast<float>(step.rate) * direction;
  }
};

/// moment += share · (mean of squares − moment), of a row or of a column, in double.
template <class B>
struct AdafactorMoment {
  AdafactorArguments<B> a;
  bool of_columns;

  MERIT_CALLABLE void operator()(Index at) const {
    const Index count = of_columns ? a.gradients.rows : a.gradients.cols;
    double sum = 0;
    for (Index i = 0; i < count; ++i) {
      const float* const g = of_columns ? a.gradients.row(i) + at : a.gradients.row(at) + i;
      const double value = a.step.gradient_scale * static_cast<double>(*g);
      sum += value * value;
    }
    float& moment = (of_columns ? a.columns : a.rows).data[at];
    const auto old = static_cast<double>(moment);
    moment = static_cast<float>(old + a.step.share * (sum / static_cast<double>(count) - old));
  }
};

template <class B>
struct AdafactorDirection {
  AdafactorArguments<B> a;
  const double* rows_total;  // Σ of the rows' moments

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / a.gradients.cols, j = e % a.gradients.cols;
    const double squared = a.step.epsilon * a.step.epsilon;
    // A square that float cannot hold would let a gradient of zero become 0 / 0.
    constexpr double smallest = static_cast<double>(std::numeric_limits<float>::min());
    const double least = squared > smallest ? squared : smallest;
    double estimate = static_cast<double>(a.columns.data[j]);
    if (!a.rows.empty()) {
      const double mean = *rows_total / static_cast<double>(a.gradients.rows);
      estimate *= static_cast<double>(a.rows.data[i]) / (mean > a.step.epsilon ? mean : a.step.epsilon);
    }
    float& g = a.gradients.row(i)[j];
    g = static_cast<float>(a.step.gradient_scale * static_cast<double>(g) /
                           std::sqrt(estimate > least ? estimate : least));
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
