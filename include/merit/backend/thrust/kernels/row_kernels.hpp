// Rows that are moved: gathered from a table, and added back to the rows of one.
#pragma once

#include <cstdint>

#include "merit/backend/thrust/functors/rows.hpp"
#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/backend/thrust/kernels/elementwise_kernels.hpp"
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

/// out[id] += the rows of that id, one after the other, by the sorted places of ids (PlaceOfId of functors/rows.hpp): the
/// thread of the first of an id's places adds all that comes to its columns, so an id that occurs often takes long.
template <class T, class Out>
struct ScatterAddRowsKernel {
  Index count = 0, cols = 0;              // ids; columns
  const std::uint64_t* places = nullptr;  // (N), sorted
  Rows<const T> rows;                     // (N, d)
  Rows<Out> out;                          // (V, d)

  static constexpr int most_threads = run_threads;
  static constexpr int least_blocks = 4;
  static constexpr int n = numbers_at_once<T>;
  Grid grid() const { return grid_of_runs<n>(count, cols); }

  template <class Block>
  MERIT_KERNEL void operator()(Block& block) const {
    using detail::device::id_of, detail::device::index_of;
    with_own_run<n>(block, count, cols, [&](Index i, Index j, int width) {
      const Index id = id_of(block.load(places + i));
      if (i > 0 && id_of(block.load(places + i - 1)) == id) return;
      Out* const to = out.row(id) + j;
      Numbers<n> sum = load_numbers<n>(block, static_cast<const Out*>(to), width);
      // Rows are asked for a few at a time, so that they come together, and are added in their order.
      constexpr int ahead = 4;
      for (bool more = true; more; i += ahead) {
        Numbers<n> row[ahead];
        bool of_id[ahead];
        MERIT_UNROLL
        for (int r = 0; r < ahead; ++r) {
          const Index next = i + static_cast<Index>(r);
          const std::uint64_t place = next < count ? block.load(places + next) : 0;
          of_id[r] = next < count && id_of(place) == id;
          if (of_id[r]) row[r] = load_numbers<n>(block, rows.row(index_of(place)) + j, width);
        }
        MERIT_UNROLL
        for (int r = 0; r < ahead; ++r) {
          if (!of_id[r]) continue;
          MERIT_UNROLL
          for (int k = 0; k < n; ++k) sum.value[k] += row[r].value[k];
        }
        more = of_id[ahead - 1];
      }
      store_numbers(block, to, width, sum);
    });
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
