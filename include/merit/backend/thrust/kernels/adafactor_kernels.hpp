// Adafactor's second moments of a matrix of gradients, and what becomes of the gradients, as AdafactorArguments of
// merit/backend/operations.hpp say. In order: the rows' moments, the squares of the columns, the columns' moments, the mean
// of the rows' (TotalKernel of optimizer_kernels.hpp, with scale 1 / M), the gradients. Without rows, two of them.
#pragma once

#include <cmath>
#include <cstdint>

#include "merit/backend/operations.hpp"
#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/backend/thrust/kernels/elementwise_kernels.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

MERIT_KERNEL inline double square_of(float g, double scale) {
  const double value = scale * static_cast<double>(g);
  return value * value;
}
MERIT_KERNEL inline float moved_moment(float moment, double mean, double share) {
  return static_cast<float>(static_cast<double>(moment) + share * (mean - static_cast<double>(moment)));
}

/// rows[i] moves to the mean of the squares of row i; a warp for each.
struct AdafactorRowsKernel {
  Index rows_count = 0, cols = 0;
  Rows<const float> gradients;          // (M, N)
  float* rows = nullptr;                // (M)
  const AdafactorStep* step = nullptr;  // on the device

  static constexpr int most_threads = 128;
  static constexpr int least_blocks = 8;
  Grid grid() const { return {.columns = divide_up(rows_count, most_threads / warp_size)}; }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const Index i =
        block.column() * (most_threads / warp_size) + static_cast<Index>(block.thread() / warp_size);
    if (i >= rows_count) return;
    const AdafactorStep s = block.load(step);
    double sum = 0;
    for_each_run_of_lane<4>(block, cols, [&](Index j, int count) {
      const Numbers<4> g = load_numbers<4>(block, gradients.row(i) + j, count);
      MERIT_UNROLL
      for (int k = 0; k < 4; ++k) sum += square_of(g.value[k], s.gradient_scale);
    });
    sum = sum_over_warp(block, sum);
    if (block.thread() % warp_size == 0)
      block.store(rows + i, moved_moment(block.load(static_cast<const float*>(rows) + i),
                                         sum / static_cast<double>(cols), s.share));
  }
};

/// sums[p][j] = the squares of column j over the rows of part p.
struct AdafactorSquaresKernel {
  Index rows_count = 0, cols = 0;
  Rows<const float> gradients;          // (M, N)
  double* sums = nullptr;               // (parts, N)
  const AdafactorStep* step = nullptr;  // on the device

  static constexpr int most_threads = 128;
  static constexpr int least_blocks = 8;

  /// Of the number of rows alone, so that a sum's bits are the same everywhere.
  static constexpr Index parts(Index rows) {
    const Index most = 132;
    return rows < most * 16 ? divide_up(rows, 16) : most;
  }
  Grid grid() const { return {.columns = parts(rows_count), .rows = divide_up(cols, most_threads)}; }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const Index j = block.row() * most_threads + static_cast<Index>(block.thread());
    if (j >= cols) return;
    const double scale = block.load(step).gradient_scale;
    const Index share = divide_up(rows_count, block.columns());
    const Index begin = block.column() * share, end = smaller(begin + share, rows_count);
    double sum = 0;
    for (Index i = begin; i < end; ++i) sum += square_of(block.load(gradients.row(i) + j), scale);
    block.store(sums + block.column() * cols + j, sum);
  }
};

/// columns[j] moves to the mean of the squares of column j.
struct AdafactorColumnsKernel {
  Index rows_count = 0, cols = 0, parts = 0;
  const double* sums = nullptr;         // (parts, N)
  float* columns = nullptr;             // (N)
  const AdafactorStep* step = nullptr;  // on the device

  static constexpr int most_threads = 128;
  static constexpr int least_blocks = 8;
  Grid grid() const { return {.columns = divide_up(cols, most_threads)}; }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const Index j = block.column() * most_threads + static_cast<Index>(block.thread());
    if (j >= cols) return;
    double sum = 0;
    for (Index p = 0; p < parts; ++p) sum += block.load(sums + p * cols + j);
    block.store(columns + j, moved_moment(block.load(static_cast<const float*>(columns) + j),
                                          sum / static_cast<double>(rows_count), block.load(step).share));
  }
};

/// The gradients become g / sqrt(rows[i] · columns[j] / mean of rows); without rows, g / sqrt(columns[j]).
struct AdafactorScaleKernel {
  Index rows_count = 0, cols = 0;
  Rows<float> gradients;                // (M, N)
  const float* rows = nullptr;          // (M), optional
  const double* rows_mean = nullptr;    // on the device, where there are rows
  const float* columns = nullptr;       // (N)
  const AdafactorStep* step = nullptr;  // on the device

  static constexpr int most_threads = run_threads;
  static constexpr int least_blocks = 4;
  Grid grid() const { return grid_of_runs<4>(rows_count, cols); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_run<4>(block, rows_count, cols, [&](Index i, Index j, int count) {
      const AdafactorStep s = block.load(step);
      // A square that float cannot hold would let a gradient of zero become 0 / 0.
      const double tiny = 1.17549435e-38;  // the least normal float
      const double least = s.epsilon * s.epsilon > tiny ? s.epsilon * s.epsilon : tiny;
      double of_row = 1;
      if (rows != nullptr) {
        const double mean = block.load(rows_mean);
        of_row = static_cast<double>(block.load(rows + i)) / (mean > s.epsilon ? mean : s.epsilon);
      }
      Numbers<4> g = load_numbers<4>(block, static_cast<const float*>(gradients.row(i)) + j, count);
      const Numbers<4> column = load_numbers<4>(block, columns + j, count);
      MERIT_UNROLL
      for (int k = 0; k < 4; ++k) {
        const double estimate = of_row * static_cast<double>(column.value[k]);
        const double value = s.gradient_scale * static_cast<double>(g.value[k]);
        g.value[k] = static_cast<float>(value / std::sqrt(estimate > least ? estimate : least));
      }
      store_numbers(block, gradients.row(i) + j, count, g);
    });
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
