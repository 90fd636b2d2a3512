// The passes over parameters and their gradients: the norm, and what optimizers do.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "merit/backend/eigen/parallel.hpp"
#include "merit/backend/eigen/rows.hpp"
#include "merit/backend/eigen/simd.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// In double, in 256 parts that depend on the size alone, added in order.
template <class T>
double sum_of_squares(Index threads, VectorView<const T> v) {
  constexpr Index parts = 256;
  double sums[parts] = {};
  const Index step = (v.size + parts - 1) / parts;
  parallel_ranges(threads, parts, 1, v.size, [&](Index begin, Index end) {
    for (Index p = begin; p < end; ++p) {
      const Index first = std::min(v.size, p * step), last = std::min(v.size, first + step);
      double lanes[8] = {};
      Index i = first;
      for (; i + 8 <= last; i += 8) {
        for (Index c = 0; c < 8; ++c) {
          const double value = static_cast<double>(v[i + c]);
          lanes[c] += value * value;
        }
      }
      for (; i < last; ++i) lanes[0] += static_cast<double>(v[i]) * static_cast<double>(v[i]);
      for (const double lane : lanes) sums[p] += lane;
    }
  });
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

template <class T>
void adamw(Index threads, VectorView<T> parameters, VectorView<const T> gradients, VectorView<T> first,
           VectorView<T> second, const AdamWStep& step) {
  using S = Simd<T>;
  const auto constant = [](double value) { return S::set(static_cast<T>(value)); };
  const Packet<T> beta1 = constant(step.beta1), rest1 = constant(1 - step.beta1);
  const Packet<T> beta2 = constant(step.beta2), rest2 = constant(1 - step.beta2);
  const Packet<T> keep = constant(1 - step.learning_rate * step.weight_decay);
  const Packet<T> rate = constant(-step.learning_rate / step.bias_correction1);
  const Packet<T> correction2 = constant(1 / std::sqrt(step.bias_correction2));
  const Packet<T> epsilon = constant(step.epsilon), gradient_scale = constant(step.gradient_scale);
  parallel_ranges(threads, parameters.size, column_unit<T>, 4 * parameters.size, [&](Index begin, Index end) {
    sweep<T>(end - begin, [&](Index offset, auto lane) {
      const Index i = begin + offset;
      const Packet<T> gradient = mul(gradient_scale, lane.load(gradients.data + i));
      const Packet<T> m = fma(beta1, lane.load(first.data + i), mul(rest1, gradient));
      const Packet<T> v = fma(beta2, lane.load(second.data + i), mul(rest2, mul(gradient, gradient)));
      const Packet<T> denominator = fma(square_root<T>(v), correction2, epsilon);
      const Packet<T> change = div(mul(rate, m), denominator);
      lane.store(first.data + i, m);
      lane.store(second.data + i, v);
      lane.store(parameters.data + i, fma(keep, lane.load(parameters.data + i), change));
    });
  });
}

template <class T>
void momentum(Index threads, VectorView<const T> gradients, VectorView<T> momentum, VectorView<T> out,
              const MomentumStep& step) {
  using S = Simd<T>;
  const auto constant = [](double value) { return S::set(static_cast<T>(value)); };
  const Packet<T> zero = constant(0), one = constant(1), minus_one = constant(-1);
  const Packet<T> gradient_scale = constant(step.gradient_scale), penalty = constant(step.penalty);
  const Packet<T> of_momentum = constant(step.momentum_weight), of_gradient = constant(step.gradient_weight);
  const Packet<T> keep = constant(step.keep), share = constant(step.add);
  const Packet<T> keep_out = constant(step.keep_out), rate = constant(-step.rate);
  const bool reads_out = step.keep_out != 0 || step.penalty != 0;
  parallel_ranges(threads, out.size, column_unit<T>, 4 * out.size, [&](Index begin, Index end) {
    sweep<T>(end - begin, [&](Index offset, auto lane) {
      const Index i = begin + offset;
      const Packet<T> before = reads_out ? lane.load(out.data + i) : zero;
      const Packet<T> g = fma(penalty, before, mul(gradient_scale, lane.load(gradients.data + i)));
      Packet<T> direction = mul(of_gradient, g);
      if (!momentum.empty()) {
        const Packet<T> m = lane.load(momentum.data + i);
        direction = fma(of_momentum, m, direction);
        lane.store(momentum.data + i, fma(keep, m, mul(share, g)));
      }
      if (step.sign) {
        using Eigen::internal::pcmp_lt, Eigen::internal::pselect;
        direction =
            pselect(pcmp_lt(zero, direction), one, pselect(pcmp_lt(direction, zero), minus_one, zero));
      }
      lane.store(out.data + i, fma(rate, direction, mul(keep_out, before)));
    });
  });
}

/// moment += share · (mean − moment), in double.
template <class T>
inline void move_moment(T& moment, double share, double mean) {
  moment = static_cast<T>(static_cast<double>(moment) + share * (mean - static_cast<double>(moment)));
}

template <class T>
void adafactor(Index threads, MatrixView<T> gradients, VectorView<T> rows, VectorView<T> columns,
               const AdafactorStep& step) {
  const auto height = static_cast<double>(gradients.rows), width = static_cast<double>(gradients.cols);
  const double scale = step.gradient_scale;
  const Index work = 2 * gradients.rows * gradients.cols;
  constexpr Index block = column_unit<T>;
  parallel_ranges(threads, gradients.cols, block, work, [&](Index begin, Index end) {
    for (Index first = begin; first < end; first += block) {
      const Index count = std::min(block, end - first);
      double sums[block] = {};
      for (Index i = 0; i < gradients.rows; ++i) {
        const T* const row = gradients.row(i) + first;
        for (Index j = 0; j < count; ++j) {
          const double g = scale * static_cast<double>(row[j]);
          sums[j] += g * g;
        }
      }
      for (Index j = 0; j < count; ++j) move_moment(columns[first + j], step.share, sums[j] / height);
    }
  });
  parallel_ranges(threads, rows.size, 1, work, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const VectorView<const T> row(gradients.row(i), gradients.cols);
      move_moment(rows[i], step.share, scale * scale * sum_of_squares(Index{1}, row) / width);
    }
  });
  double total = 0;
  for (Index i = 0; i < rows.size; ++i) total += static_cast<double>(rows[i]);
  const double mean = std::max(total / height, step.epsilon);
  // A square that T cannot hold would let a gradient of zero become 0 / 0.
  using S = Simd<T>;
  const Packet<T> least =
      S::set(std::max(static_cast<T>(step.epsilon * step.epsilon), std::numeric_limits<T>::min()));
  const Packet<T> factor = S::set(static_cast<T>(scale));
  const auto divide = [&](Index i, Index begin, Index end) {
    const Packet<T> of_row =
        S::set(rows.empty() ? T{1} : static_cast<T>(static_cast<double>(rows[i]) / mean));
    T* const row = gradients.row(i) + begin;
    sweep<T>(end - begin, [&](Index j, auto lane) {
      const Packet<T> estimate = larger(mul(of_row, lane.load(columns.data + begin + j)), least);
      lane.store(row + j, div(mul(factor, lane.load(row + j)), square_root<T>(estimate)));
    });
  };
  if (gradients.rows == 1) {
    parallel_ranges(threads, gradients.cols, block, work,
                    [&](Index begin, Index end) { divide(0, begin, end); });
  } else {
    parallel_ranges(threads, gradients.rows, 1, work, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) divide(i, 0, gradients.cols);
    });
  }
}

/// out = scale · out [+ c_scale · c].
template <class T>
void scale_and_add(Index threads, MatrixView<T> out, double scale, MatrixView<const T> c, double c_scale) {
  if (scale == 1 && c.empty()) return;
  const Packet<T> factor = Simd<T>::set(static_cast<T>(scale));
  const Packet<T> c_factor = Simd<T>::set(static_cast<T>(c_scale));
  parallel_ranges(threads, out.rows, 1, 2 * out.rows * out.cols, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      T* const row = out.row(i);
      sweep<T>(out.cols, [&](Index j, auto lane) {
        const Packet<T> value = mul(factor, lane.load(row + j));
        lane.store(row + j, c.empty() ? value : fma(c_factor, lane.load(c.row(i) + j), value));
      });
    }
  });
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
