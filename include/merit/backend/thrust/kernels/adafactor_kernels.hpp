// Adafactor's second moments of a matrix of gradients, and what becomes of the gradients, as AdafactorArguments of
// merit/backend/operations.hpp say. In order: the rows' moments, the squares of the columns, the columns' moments, the mean
// of the rows' (TotalKernel of optimizer_kernels.hpp, with scale 1 / M), the gradients. Without rows, two of them.
#pragma once

#include <cmath>
#include <cstdint>

#include "merit/backend/operations.hpp"
#include "merit/backend/thrust/functors/arithmetic.hpp"
#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/backend/thrust/kernels/elementwise_kernels.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

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
    const detail::device::AdafactorUpdate update{block.load(step)};
    double sum = 0;
    for_each_run_of_lane<4>(block, cols, [&](Index j, int count) {
      const Numbers<4> g = load_numbers<4>(block, gradients.row(i) + j, count);
      MERIT_UNROLL
      for (int k = 0; k < 4; ++k) sum += update.square(g.value[k]);
    });
    sum = sum_over_warp(block, sum);
    if (block.thread() % warp_size == 0)
      block.store(rows + i, update.moved(block.load(static_cast<const float*>(rows) + i),
                                         sum / static_cast<double>(cols)));
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
    const detail::device::AdafactorUpdate update{block.load(step)};
    const Index share = divide_up(rows_count, block.columns());
    const Index begin = block.column() * share, end = smaller(begin + share, rows_count);
    double sum = 0;
    for (Index i = begin; i < end; ++i) sum += update.square(block.load(gradients.row(i) + j));
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
    const detail::device::AdafactorUpdate update{block.load(step)};
    block.store(columns + j, update.moved(block.load(static_cast<const float*>(columns) + j),
                                          sum / static_cast<double>(rows_count)));
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
      const detail::device::AdafactorUpdate update{block.load(step)};
      const double of_row = rows == nullptr ? 1 : update.of_row(block.load(rows + i), block.load(rows_mean));
      Numbers<4> g = load_numbers<4>(block, static_cast<const float*>(gradients.row(i)) + j, count);
      const Numbers<4> column = load_numbers<4>(block, columns + j, count);
      MERIT_UNROLL
      for (int k = 0; k < 4; ++k)
        g.value[k] = update.scaled(g.value[k], of_row * static_cast<double>(column.value[k]));
      store_numbers(block, gradients.row(i) + j, count, g);
    });
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
