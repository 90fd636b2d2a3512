// What optimizers do to the trained weights, an element at a time, and the sums that they need.
#pragma once

#include "merit/backend/thrust/functors/arithmetic.hpp"
#include "merit/backend/thrust/functors/element.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// A long sum is one of parts of this many elements, in double: the same whatever the number of threads.
inline constexpr Index sum_part = 4096;

/// What sum_of_squares() asks for: *total, on the device, becomes the sum in double.
struct SumOfSquares {
  VectorView<const float, DeviceSpace> numbers;
  double* total;
};

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
  AdamWUpdate update;

  explicit AdamW(const AdamWArguments<B>& arguments) : a(arguments), update(a.step) {}

  MERIT_CALLABLE void operator()(Index i) const {
    update(a.gradients.data[i], a.parameters.data[i], a.first.data[i], a.second.data[i]);
  }
};

template <class B>
struct Momentum {
  MomentumArguments<B> a;
  MomentumUpdate update;

  explicit Momentum(const MomentumArguments<B>& arguments) : a(arguments), update(a.step) {}

  MERIT_CALLABLE void operator()(Index i) const {
    float out = update.reads_out ? a.out.data[i] : 0.0f;
    float momentum = a.momentum.empty() ? 0.0f : a.momentum.data[i];
    update(a.gradients.data[i], momentum, out);
    if (!a.momentum.empty()) a.momentum.data[i] = momentum;
    a.out.data[i] = out;
  }
};

/// moment += share · (mean of squares − moment), of a row or of a column, in double.
template <class B>
struct AdafactorMoment {
  AdafactorArguments<B> a;
  bool of_columns;

  MERIT_CALLABLE void operator()(Index at) const {
    const Index count = of_columns ? a.gradients.rows : a.gradients.cols;
    const AdafactorUpdate update{a.step};
    double sum = 0;
    for (Index i = 0; i < count; ++i)
      sum += update.square(of_columns ? a.gradients.row(i)[at] : a.gradients.row(at)[i]);
    float& moment = (of_columns ? a.columns : a.rows).data[at];
    moment = update.moved(moment, sum / static_cast<double>(count));
  }
};

template <class B>
struct AdafactorDirection {
  AdafactorArguments<B> a;
  const double* rows_total;  // Σ of the rows' moments

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / a.gradients.cols, j = e % a.gradients.cols;
    const AdafactorUpdate update{a.step};
    double estimate = static_cast<double>(a.columns.data[j]);
    if (!a.rows.empty())
      estimate *= update.of_row(a.rows.data[i], *rows_total / static_cast<double>(a.gradients.rows));
    float& g = a.gradients.row(i)[j];
    g = update.scaled(g, estimate);
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
