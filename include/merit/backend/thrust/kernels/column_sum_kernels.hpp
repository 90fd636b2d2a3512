// Sums over the rows of a matrix, in two launches: each block sums some rows, then the sums of the blocks are added in
// their order. No two threads add to one place, so the bits are the same each run.
#pragma once

#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

/// sums[p][j] = the sum of x over the rows of part p.
template <class T>
struct ColumnSumKernel {
  Index rows = 0, cols = 0;
  Rows<const T> x;        // (M, d)
  float* sums = nullptr;  // (parts, d)

  static constexpr int most_threads = 128;
  static constexpr int least_blocks = 8;
  static constexpr int n = numbers_at_once<T>;

  /// How many blocks divide `rows` rows. Of the number of rows alone, so that a sum's bits are the same everywhere.
  static constexpr Index parts(Index rows) {
    const Index most = 264;  // two blocks for each multiprocessor of an H100
    return rows < most * 8 ? divide_up(rows, 8) : most;
  }

  Grid grid() const { return {.columns = parts(rows), .rows = divide_up(cols, Index{most_threads} * n)}; }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const Index j = (block.row() * most_threads + static_cast<Index>(block.thread())) * n;
    if (j >= cols) return;
    const int count = static_cast<int>(smaller(cols - j, Index{n}));
    const Index share = divide_up(rows, block.columns());
    const Index begin = block.column() * share, end = smaller(begin + share, rows);
    Numbers<n> total{};
    for (Index i = begin; i < end; ++i) {
      const Numbers<n> a = load_numbers<n>(block, x.row(i) + j, count);
      MERIT_UNROLL
      for (int k = 0; k < n; ++k) total.value[k] += a.value[k];
    }
    store_numbers(block, sums + block.column() * cols + j, count, total);
  }
};

/// out[j] = the sum of sums[p][j] over the parts, in their order; with `add`, onto what out holds.
struct ColumnTotalsKernel {
  Index parts = 0, cols = 0;
  const float* sums = nullptr;  // (parts, d)
  bool add = false;
  float* out = nullptr;  // (d)

  static constexpr int most_threads = 128;
  static constexpr int least_blocks = 8;

  Grid grid() const { return {.columns = divide_up(cols, most_threads)}; }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    const Index j = block.column() * most_threads + static_cast<Index>(block.thread());
    if (j >= cols) return;
    float total = 0;
    for (Index p = 0; p < parts; ++p) total += block.load(sums + p * cols + j);
    block.store(out + j, add ? block.load(static_cast<const float*>(out) + j) + total : total);
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
