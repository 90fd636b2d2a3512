// Products of tiles in shared memory, as attention needs them, a warp for some rows of the result. In bf16 by the matrix
// fragments of the tensor cores, in float by multiply-adds; a thread's numbers lie in the same places either way:
//
//   c[r][n][i] is row 16·r + lane / 4 + 8 · (i / 2), column 8·n + 2 · (lane % 4) + i % 2.
#pragma once

#include <cstdint>

#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

/// The part of a product (16 · rows, 8 · columns) that a thread holds.
template <int rows, int columns>
struct Fragment {
  float value[rows][columns][4];
};

/// The tile of a matrix in shared memory: rows of `width` elements, further apart by 16 bytes, so that the same columns of
/// neighbouring rows lie in different banks.
template <class T, int width>
struct Tile {
  static constexpr int pack = Pack<T>::size;
  static constexpr int stride = width + pack;
  MERIT_CALLABLE static constexpr int bytes(int rows) { return rows * stride * static_cast<int>(sizeof(T)); }

  MERIT_KERNEL static int place(int row, int column) { return row * stride + column; }
};

/// Begins to copy rows [first, first + rows) and columns [0, columns) of a matrix to a tile; what is beyond `end` or
/// `columns` becomes 0. Takes all threads of the block, and is done after wait_async and sync.
template <class T, int width, class Block, class Shared>
MERIT_KERNEL void load_tile(Block& block, Shared tile, int rows, Rows<const T> from, Index first, Index end,
                            int columns) {
  constexpr int pack = Pack<T>::size, packs = width / pack;
  MERIT_KEEP_ROLLED
  for (int i = block.thread(); i < rows * packs; i += block.threads()) {
    const int row = i / packs, column = i % packs * pack;
    const int place = Tile<T, width>::place(row, column);
    const Index at = first + static_cast<Index>(row);
    const int count = at < end ? columns - column : 0;
    const T* const source = from.row(at < end ? at : first) + column;
    if (count >= pack && aligned(source)) {
      block.copy_async(tile, place, source);
    } else {
      Pack<T> values{};
      for (int k = 0; k < pack; ++k)
        if (k < count) values.value[k] = block.load(source + k);
      tile.set_pack(place, values);
    }
  }
}

/// c += a · bᵀ over all of the width: 16 · rows rows of tile a from `a_row` on, 8 · columns rows of tile b from `b_row`.
template <int width, int rows, int columns, class Block, class Shared>
MERIT_KERNEL void add_product_transposed(Block& block, Fragment<rows, columns>& c, const Shared& a, int a_row,
                                         const Shared& b, int b_row, Bf16) {
  using Layout = Tile<Bf16, width>;
  const int lane = block.thread() % warp_size;
  MERIT_UNROLL
  for (int k = 0; k < width; k += 16) {
    std::uint32_t left[rows][4];
    MERIT_UNROLL
    for (int r = 0; r < rows; ++r)
      block.load_matrices(left[r], a, Layout::place(a_row + 16 * r + lane % 16, k + lane / 16 * 8));
    MERIT_UNROLL
    for (int n = 0; n < columns; n += 2) {
      std::uint32_t right[4];
      block.load_matrices(right, b,
                          Layout::place(b_row + 8 * n + lane / 16 * 8 + lane % 8, k + lane / 8 % 2 * 8));
      MERIT_UNROLL
      for (int r = 0; r < rows; ++r) {
        block.multiply(c.value[r][n], left[r], right[0], right[1]);
        block.multiply(c.value[r][n + 1], left[r], right[2], right[3]);
      }
    }
  }
}

template <int width, int rows, int columns, class Block, class Shared>
MERIT_KERNEL void add_product_transposed(Block& block, Fragment<rows, columns>& c, const Shared& a, int a_row,
                                         const Shared& b, int b_row, float) {
  using Layout = Tile<float, width>;
  const int group = block.thread() % warp_size / 4, pair = 2 * (block.thread() % 4);
  for (int k = 0; k < width; k += 4) {
    Pack<float> left[rows][2];
    MERIT_UNROLL
    for (int r = 0; r < rows; ++r) {
      left[r][0] = a.get_pack(Layout::place(a_row + 16 * r + group, k));
      left[r][1] = a.get_pack(Layout::place(a_row + 16 * r + group + 8, k));
    }
    MERIT_UNROLL
    for (int n = 0; n < columns; ++n) {
      MERIT_UNROLL
      for (int j = 0; j < 2; ++j) {
        const Pack<float> right = b.get_pack(Layout::place(b_row + 8 * n + pair + j, k));
        MERIT_UNROLL
        for (int r = 0; r < rows; ++r) {
          MERIT_UNROLL
          for (int e = 0; e < 4; ++e) {
            c.value[r][n][j] += left[r][0].value[e] * right.value[e];
            c.value[r][n][2 + j] += left[r][1].value[e] * right.value[e];
          }
        }
      }
    }
  }
}

/// c += p · b, where p is a fragment whose columns are the rows of tile b from `b_row` on, rounded to the tile's type, and
/// c has b's columns from `b_column` on.
template <int width, int rows, int depth, int columns, class Block, class Shared>
MERIT_KERNEL void add_product(Block& block, Fragment<rows, columns>& c, const Fragment<rows, depth>& p,
                              const Shared& b, int b_row, int b_column, Bf16) {
  using Layout = Tile<Bf16, width>;
  const int lane = block.thread() % warp_size;
  MERIT_UNROLL
  for (int k = 0; k < depth; k += 2) {
    std::uint32_t left[rows][4];
    MERIT_UNROLL
    for (int r = 0; r < rows; ++r) {
      left[r][0] = block.round_pair(p.value[r][k][0], p.value[r][k][1]);
      left[r][1] = block.round_pair(p.value[r][k][2], p.value[r][k][3]);
      left[r][2] = block.round_pair(p.value[r][k + 1][0], p.value[r][k + 1][1]);
      left[r][3] = block.round_pair(p.value[r][k + 1][2], p.value[r][k + 1][3]);
    }
    MERIT_UNROLL
    for (int n = 0; n < columns; n += 2) {
      std::uint32_t right[4];
      block.load_matrices_transposed(
          right, b, Layout::place(b_row + 8 * k + lane % 16, b_column + 8 * n + lane / 16 * 8));
      MERIT_UNROLL
      for (int r = 0; r < rows; ++r) {
        block.multiply(c.value[r][n], left[r], right[0], right[1]);
        block.multiply(c.value[r][n + 1], left[r], right[2], right[3]);
      }
    }
  }
}

/// The four threads that hold a row of p show each other its numbers.
template <int width, int rows, int depth, int columns, class Block, class Shared>
MERIT_KERNEL void add_product(Block& block, Fragment<rows, columns>& c, const Fragment<rows, depth>& p,
                              const Shared& b, int b_row, int b_column, float) {
  using Layout = Tile<float, width>;
  const int lane = block.thread() % warp_size, first = lane / 4 * 4, pair = 2 * (lane % 4);
  MERIT_UNROLL
  for (int k = 0; k < depth; ++k) {
    MERIT_UNROLL
    for (int j = 0; j < 8; ++j) {
      float left[rows][2];
      MERIT_UNROLL
      for (int r = 0; r < rows; ++r) {
        left[r][0] = block.from_lane(p.value[r][k][j % 2], first + j / 2);
        left[r][1] = block.from_lane(p.value[r][k][2 + j % 2], first + j / 2);
      }
      MERIT_UNROLL
      for (int n = 0; n < columns; ++n) {
        const int place = Layout::place(b_row + 8 * k + j, b_column + 8 * n + pair);
        const float right[2] = {b.get(place), b.get(place + 1)};
        MERIT_UNROLL
        for (int r = 0; r < rows; ++r) {
          c.value[r][n][0] += left[r][0] * right[0];
          c.value[r][n][1] += left[r][0] * right[1];
          c.value[r][n][2] += left[r][1] * right[0];
          c.value[r][n][3] += left[r][1] * right[1];
        }
      }
    }
  }
}

/// Two neighbours of a row.
template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T first, second;
};

/// Writes a fragment, times a factor for each of its rows, to rows from `first` on below `end` and to columns below
/// `width` of a matrix. factor(r, half) is of row 16·r + lane / 4 + 8·half.
template <class T, int rows, int columns, class Block, class Factor>
MERIT_KERNEL void store_fragment(Block& block, const Fragment<rows, columns>& c, Rows<T> to, Index first,
                                 Index end, int width, bool add, Factor&& factor) {
  const int group = block.thread() % warp_size / 4, pair = 2 * (block.thread() % 4);
  MERIT_UNROLL
  for (int r = 0; r < rows; ++r) {
    MERIT_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Index row = first + static_cast<Index>(16 * r + group + 8 * half);
      if (row >= end) continue;
      const float by = factor(r, half);
      MERIT_UNROLL
      for (int n = 0; n < columns; ++n) {
        T* const at = to.row(row) + 8 * n + pair;
        const bool one = 8 * n + pair < width, both = 8 * n + pair + 1 < width;
        float low = c.value[r][n][2 * half] * by, high = c.value[r][n][2 * half + 1] * by;
        if (add && one) low += to_float(block.load(static_cast<const T*>(at)));
        if (add && both) high += to_float(block.load(static_cast<const T*>(at) + 1));
        if (both && reinterpret_cast<std::uintptr_t>(at) % sizeof(Pair<T>) == 0) {
          block.store(reinterpret_cast<Pair<T>*>(at),
                      Pair<T>{rounded<T>(block, low), rounded<T>(block, high)});
        } else {
          if (one) block.store(at, rounded<T>(block, low));
          if (both) block.store(at + 1, rounded<T>(block, high));
        }
      }
    }
  }
}

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
