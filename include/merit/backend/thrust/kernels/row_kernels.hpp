// Rows that are moved: gathered from a table, and added back to the rows of one.
#pragma once

#include <cstdint>

#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/backend/thrust/kernels/elementwise_kernels.hpp"
#include "merit/backend/thrust/kernels/inverse_index.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

/// out[i] = table[ids[i]], or added to it; without ids, table[i]. A table may be stored in any type.
template <class Stored, class T>
struct GatherRowsKernel {
  Index rows = 0, cols = 0;
  Rows<const Stored> table;            // (V, d)
  const std::uint32_t* ids = nullptr;  // (N), optional
  bool add = false;
  Rows<T> out;  // (N, d)

  static constexpr int most_threads = run_threads;
  static constexpr int least_blocks = 4;
  // Whole packs of both.
  static constexpr int n = sizeof(T) < sizeof(Stored) ? numbers_at_once<T> : numbers_at_once<Stored>;
  Grid grid() const { return grid_of_runs<n>(rows, cols); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_run<n>(block, rows, cols, [&](Index i, Index j, int count) {
      const Index from = ids == nullptr ? i : Index{block.load(ids + i)};
      store_numbers(block, out.row(i) + j, count, load_numbers<n>(block, table.row(from) + j, count), add);
    });
  }
};

/// out[ids[u]] += the rows named by sources[begin[u]] to sources[begin[u + 1]], one after the other. Of an InverseIndex. A
/// thread adds all that comes to its columns of a row, so an id that occurs often takes long.
template <class T, class Out>
struct ScatterAddRowsKernel {
  Index count = 0, cols = 0;               // ids; columns
  const std::uint32_t* ids = nullptr;      // (U)
  const std::uint32_t* begin = nullptr;    // (U + 1)
  const std::uint32_t* sources = nullptr;  // (N)
  Rows<const T> rows;                      // (N, d)
  Rows<Out> out;                           // (V, d)

  static constexpr int most_threads = run_threads;
  static constexpr int least_blocks = 4;
  static constexpr int n = numbers_at_once<T>;
  Grid grid() const { return grid_of_runs<n>(count, cols); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    with_own_run<n>(block, count, cols, [&](Index u, Index j, int width) {
      Out* const to = out.row(block.load(ids + u)) + j;
      Numbers<n> sum = load_numbers<n>(block, static_cast<const Out*>(to), width);
      const std::uint32_t end = block.load(begin + u + 1);
      for (std::uint32_t s = block.load(begin + u); s < end; ++s) {
        const Numbers<n> row = load_numbers<n>(block, rows.row(block.load(sources + s)) + j, width);
        MERIT_UNROLL
        for (int k = 0; k < n; ++k) sum.value[k] += row.value[k];
      }
      store_numbers(block, to, width, sum);
    });
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
