// Matrix products of the Eigen backend.
//
// Eigen's own product allocates its packed blocks on the heap and starts threads of its own accord, and its
// speed depends on how the compiler happens to schedule it. So the product here is ours, from the same
// packets: the classical three loops around a register tile (Goto & van de Geijn 2008, Van Zee & van de Geijn
// 2015), with the epilogue applied where the tile is stored. Working space lives in the handle.
//
// One element is summed over k in ascending order within blocks of k, whatever the other extents, the
// alignment and the number of threads. So a row's result does not depend on which rows it is batched with.
// (Products of at most 4 rows or columns that are dot products of rows are summed in another order, also a
// fixed one.)
#pragma once

#include <algorithm>
#include <type_traits>

#include "merit/backend/eigen/dot_product.hpp"
#include "merit/backend/eigen/packing.hpp"
#include "merit/backend/eigen/parallel.hpp"
#include "merit/backend/eigen/simd.hpp"
#include "merit/backend/eigen/tile_target.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// How element (i, k) of the left operand of a tile is addressed.
enum class Order {
  rows,     // a[i · lda + k]
  columns,  // a[i + k · lda]
};

/// The register tile: out (rows <= H, cols <= V packets) = a (H, depth) · b (depth, V packets). All H rows of
/// a and V packets of b are read, also those that are not stored.
template <class T, Index H, Index V, Order order>
void register_tile(Index depth, const T* a, Index lda, const T* b, Index ldb, const TileTarget<T>& to,
                   Index rows, Index cols) {
  using S = Simd<T>;
  constexpr Index width = S::width;
  Packet<T> sums[H][V];
  unroll<H>([&](auto i) __attribute__((always_inline)) {
    unroll<V>([&](auto j) __attribute__((always_inline)) { sums[i][j] = S::set(T{0}); });
  });
  // The place of the result is fetched meanwhile.
  for (Index i = 0; i < rows; ++i) {
    __builtin_prefetch(to.out + i * to.stride, 1);
    __builtin_prefetch(to.out + i * to.stride + cols - 1, 1);
  }
  // Rows are addressed in threes, by a pointer to the first and one distance, for there are not registers for
  // a pointer to each; the empty instruction keeps the compiler from making that of it again.
  constexpr Index base_count = (H + 2) / 3;
  const T* bases[base_count] = {};
  if (order == Order::rows) {
    unroll<base_count>([&](auto i) __attribute__((always_inline)) {
      bases[i] = a + i * 3 * lda;
      asm("" : "+r"(bases[i]));
    });
  }
  for (Index k = 0; k < depth; ++k) {
    // Both come from the second-level cache or behind it, sooner than the processor would ask by itself.
    if (order == Order::columns) __builtin_prefetch(a + 16 * lda);
    unroll<V>([&](auto j) __attribute__((always_inline)) { __builtin_prefetch(b + 8 * ldb + j * width); });
    Packet<T> right[V];
    unroll<V>([&](auto j) __attribute__((always_inline)) { right[j] = S::load(b + j * width); });
    unroll<H>([&](auto i) __attribute__((always_inline)) {
      const Packet<T> left = S::set(order == Order::rows ? bases[i / 3][i % 3 * lda] : a[i]);
      unroll<V>([&](auto j) __attribute__((always_inline)) { sums[i][j] = fma(left, right[j], sums[i][j]); });
    });
    if (order == Order::rows) {
      unroll<base_count>([&](auto i) __attribute__((always_inline)) { ++bases[i]; });
    } else {
      a += lda;
    }
    b += ldb;
  }
  // A whole tile without an epilogue, by far the most common, is stored without a question for each packet.
  if (rows == H && cols == V * width && to.bias == nullptr && to.residual == nullptr) {
    unroll<H>([&](auto i) __attribute__((always_inline)) {
      unroll<V>([&](auto j) __attribute__((always_inline)) {
        T* const place = to.out + i * to.stride + j * width;
        S::store(place, to.add ? add(sums[i][j], S::load(place)) : sums[i][j]);
      });
    });
    return;
  }
  unroll<H>([&](auto i) __attribute__((always_inline)) {
    if (i >= rows) return;
    unroll<V>([&](auto j) __attribute__((always_inline)) {
      constexpr Index col = j * width;
      if (col + width <= cols) {
        store_packet<T>(WholeLane<T>{}, sums[i][j], to, i, col);
      } else if (col < cols) {
        store_packet<T>(PartLane<T>{cols - col}, sums[i][j], to, i, col);
      }
    });
  });
}

/// The lowest register tile that holds `rows` rows: a few heights are enough.
template <class T, Index V, Order order>
void register_tile_of_height(Index depth, const T* a, Index lda, const T* b, Index ldb,
                             const TileTarget<T>& to, Index rows, Index cols) {
  constexpr Index full = Simd<T>::tile_rows;
  if (rows <= 2) return register_tile<T, 2, V, order>(depth, a, lda, b, ldb, to, rows, cols);
  if (rows <= 4) return register_tile<T, 4, V, order>(depth, a, lda, b, ldb, to, rows, cols);
  if constexpr (full > 8) {
    if (rows <= 8) return register_tile<T, 8, V, order>(depth, a, lda, b, ldb, to, rows, cols);
  }
  register_tile<T, full, V, order>(depth, a, lda, b, ldb, to, rows, cols);
}

/// The operands of a block product in cache: the left one in tiles of Simd::tile_rows rows, `tile_step`
/// elements apart; the right one in panels of Simd::panel columns, `panel_step` elements apart. Reads whole
/// tiles of rows (see `register_tile`) and whole packets of columns.
template <class T>
struct BlockOperands {
  const T* a;
  Index lda;
  Index tile_step;
  const T* b;
  Index ldb;
  Index panel_step;
};

/// target (rows, cols) = a (rows, depth) · b (depth, cols), operands in cache.
template <class T, Order order>
void block_product(Index rows, Index cols, Index depth, const BlockOperands<T>& operands,
                   const TileTarget<T>& to) {
  constexpr Index height = Simd<T>::tile_rows, panel = Simd<T>::panel;
  const T* b = operands.b;
  for (Index j = 0; j < cols; j += panel, b += operands.panel_step) {
    const Index tile_cols = std::min(panel, cols - j);
    const T* a = operands.a;
    for (Index i = 0; i < rows; i += height, a += operands.tile_step) {
      const Index tile_rows = std::min(height, rows - i);
      if (tile_cols > Simd<T>::width) {
        register_tile_of_height<T, 2, order>(depth, a, operands.lda, b, operands.ldb, to.at(i, j), tile_rows,
                                             tile_cols);
      } else {
        register_tile_of_height<T, 1, order>(depth, a, operands.lda, b, operands.ldb, to.at(i, j), tile_rows,
                                             tile_cols);
      }
    }
  }
}

/// The block sizes of a product, and where its packed blocks lie in a handle's working space.
template <class T>
struct GemmSpace {
  // A block of the left operand (row_block x depth_block) stays in the second-level cache, while a panel of
  // the right one (depth_block x panel) is read from the first or second, out of blocks (depth_block x
  // columns, together at most depth_block x col_block) in the third. So the left operand is packed once where
  // the product has no more than col_block columns.
  static constexpr Index depth_block = 1536 / sizeof(T);
  static constexpr Index row_block = 144;  // whole register tiles
  static constexpr Index col_block = 3072;
  static_assert(row_block % Simd<T>::tile_rows == 0 && col_block % Simd<T>::panel == 0);

  static constexpr Index left_block = aligned_count<T>(row_block * depth_block + packing_overrun<T>);
  static constexpr Index right_block = depth_block * col_block;

  /// How many elements it is laid out in.
  static Index size(Index threads) { return threads * left_block + 2 * right_block; }

  GemmSpace(Index threads, T* working_space)
      : left(working_space), right(working_space + threads * left_block) {}

  T* left;   // one block for each thread
  T* right;  // two blocks shared by all, filled in turn so that one barrier for each block is enough
};

/// A product's k in blocks of equal size, at most `largest`.
struct DepthBlocks {
  DepthBlocks(Index whole, Index largest)
      : depth(whole),
        count(std::max<Index>(1, (depth + largest - 1) / largest)),
        step((depth + count - 1) / count) {}

  struct Block {
    Index begin, size;
  };
  Block operator[](Index i) const {
    const Index begin = std::min(depth, i * step);
    return {begin, std::min(step, depth - begin)};
  }

  Index depth, count, step;
};

/// out = op(a) · op(b) through packed blocks.
template <class T>
void blocked_product(const GemmSpace<T>& space, Index threads, Transpose transpose_a, MatrixView<const T> a,
                     Transpose transpose_b, const WeightView<>& b, const TileTarget<T>& target, Index rows,
                     Index cols, Index depth) {
  using Space = GemmSpace<T>;
  constexpr Index height = Simd<T>::tile_rows, panel = Simd<T>::panel;
  const DepthBlocks blocks(depth, Space::depth_block);
  const bool a_transposed = transpose_a == Transpose::yes, b_transposed = transpose_b == Transpose::yes;

  // The left operand can be read where it lies; packing pays only where it is read for many columns, or where
  // its rows are pages apart and so compete for the same lines of the first-level cache.
  const bool direct_left = cols <= 128 && a.stride * sizeof(T) % 4096 != 0;
  // The other way round: a right operand that lies in order is read in place if there are few rows to read it
  // for.
  const bool direct_right =
      b.dtype == dtype_of<T>() && !b_transposed && rows <= 2 * height && cols % Simd<T>::width == 0;
  const T* const right_data = static_cast<const T*>(b.data);  // read if direct

  parallel(useful_threads(threads, rows * cols * depth), [&](Index id, Index team) {
    // The rows are divided among the threads, or the columns where there are too few rows.
    const Index row_tiles = (rows + height - 1) / height;
    const bool by_rows = row_tiles >= 2 * team;
    const Index row_begin = by_rows ? row_tiles * id / team * height : 0;
    const Index row_end = by_rows ? std::min(rows, row_tiles * (id + 1) / team * height) : rows;
    T* const left = space.left + id * Space::left_block;
    const Index other_block = team > 1 ? 1 : 0;  // alone a thread fills one block again and again
    Index turn = 0;
    for (Index j = 0; j < cols; j += Space::col_block) {
      const Index block_cols = std::min(Space::col_block, cols - j);
      const Index panels = (block_cols + panel - 1) / panel;
      const Index panel_begin = panels * id / team, panel_end = panels * (id + 1) / team;
      const Index first_panel = by_rows ? 0 : panel_begin, last_panel = by_rows ? panels : panel_end;
      const Index first_col = first_panel * panel;
      const Index part_cols = std::min(block_cols, last_panel * panel) - std::min(block_cols, first_col);
      // As many blocks of k at a time as find room, so that the threads seldom wait for each other; in the
      // second-level cache where each is read once for all rows.
      const Index block_size = panels * panel * blocks.step;
      const Index room = a_transposed ? Space::right_block / 4 : Space::right_block;
      const Index group = std::max<Index>(1, room / std::max<Index>(1, block_size));
      for (Index first_step = 0; first_step < blocks.count; first_step += group, turn ^= other_block) {
        const Index last_step = std::min(blocks.count, first_step + group);
        T* const right = space.right + turn * Space::right_block;
        if (!direct_right && panel_begin < panel_end) {
          const Index col = j + panel_begin * panel;
          const Index count = std::min(cols, j + panel_end * panel) - col;
          for (Index step = first_step; step < last_step; ++step) {
            const auto [k, block_depth] = blocks[step];
            T* const to = right + (step - first_step) * block_size + panel_begin * panel * block_depth;
            pack_right(b, b_transposed, k, col, block_depth, count, to);
          }
        }
        // Also where each thread reads only the panels it packed itself: their places in the block change
        // with its size, so a thread must not be two steps ahead of another.
        if (team > 1) barrier();
        if (part_cols == 0) continue;
        const auto block = [&](Index i, Index step) {
          const auto [k, block_depth] = blocks[step];
          BlockOperands<T> operands{};
          operands.b = direct_right ? right_data + k * b.stride + j + first_col
                                    : right + (step - first_step) * block_size + first_col * block_depth;
          operands.ldb = direct_right ? b.stride : panel;
          operands.panel_step = direct_right ? panel : panel * block_depth;
          const TileTarget<T> to = target.at(i, j + first_col).of_step(step);
          // The whole tiles of the block are read where they are, or all of it is packed.
          const Index block_rows = std::min(Space::row_block, row_end - i);
          const Index direct_rows = direct_left ? block_rows / height * height : 0;
          const Index packed_rows = block_rows - direct_rows;
          operands.lda = a.stride;
          if (a_transposed) {
            operands.a = a.row(k) + i;
            operands.tile_step = height;
            block_product<T, Order::columns>(direct_rows, part_cols, block_depth, operands, to);
            pack_straight<height>(packed_rows, block_depth, operands.a + direct_rows, a.stride, left);
          } else {
            operands.a = a.row(i) + k;
            operands.tile_step = height * a.stride;
            block_product<T, Order::rows>(direct_rows, part_cols, block_depth, operands, to);
            pack_transposed<height>(packed_rows, block_depth, a.row(i + direct_rows) + k, a.stride, left);
          }
          operands.a = left;
          operands.lda = height;
          operands.tile_step = height * block_depth;
          block_product<T, Order::columns>(packed_rows, part_cols, block_depth, operands,
                                           to.at(direct_rows, 0));
        };
        // What lies together of the left operand is read together: rows of it, or of its transpose.
        if (a_transposed) {
          for (Index step = first_step; step < last_step; ++step) {
            for (Index i = row_begin; i < row_end; i += Space::row_block) block(i, step);
          }
        } else {
          for (Index i = row_begin; i < row_end; i += Space::row_block) {
            for (Index step = first_step; step < last_step; ++step) block(i, step);
          }
        }
      }
    }
  });
}

/// One row times a matrix (depth, cols) that lies in order, cols in whole packets, read as it lies. Summed as
/// blocked_product does.
template <class T>
void row_product(Index threads, const T* a, MatrixView<const T> b, const TileTarget<T>& target, Index cols,
                 Index depth) {
  constexpr Index width = Simd<T>::width, wide = 8;
  const DepthBlocks blocks(depth, GemmSpace<T>::depth_block);
  parallel_ranges(threads, cols, wide * width, cols * depth, [&](Index begin, Index end) {
    for (Index j = begin; j < end; j += wide * width) {
      for (Index step = 0; step < blocks.count; ++step) {
        const auto [k, size] = blocks[step];
        const TileTarget<T> to = target.at(0, j).of_step(step);
        const T* const right = b.row(k) + j;
        if (j + wide * width <= end) {
          register_tile<T, 1, wide, Order::rows>(size, a + k, 0, right, b.stride, to, 1, wide * width);
          continue;
        }
        for (Index rest = 0; j + rest < end; rest += width) {
          register_tile<T, 1, 1, Order::rows>(size, a + k, 0, right + rest, b.stride, to.at(0, rest), 1,
                                              width);
        }
      }
    }
  });
}

#ifdef EIGEN_USE_BLAS
/// out = op(a) · op(b) by the BLAS that Eigen was told to use. BLAS counts in columns, so it is asked for the
/// transpose: outᵀ = op(b)ᵀ · op(a)ᵀ. The rest of the epilogue goes into `out` first.
template <class T>
void blas_product(Index threads, Transpose transpose_a, MatrixView<const T> a, Transpose transpose_b,
                  MatrixView<const T> b, const TileTarget<T>& to, Index rows, Index cols, Index depth) {
  const bool prefilled = to.add || to.bias != nullptr || to.residual != nullptr;
  if (to.bias != nullptr || to.residual != nullptr) {
    parallel_ranges(threads, rows, 1, rows * cols, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        sweep<T>(cols, [&](Index j, auto lane) { store_packet<T>(lane, Simd<T>::set(T{0}), to, i, j); });
      }
    });
  }
  const char op_a = transpose_a == Transpose::yes ? 'T' : 'N',
             op_b = transpose_b == Transpose::yes ? 'T' : 'N';
  const int m = static_cast<int>(cols), n = static_cast<int>(rows), k = static_cast<int>(depth);
  const int lda = static_cast<int>(std::max<Index>(1, a.stride)),
            ldb = static_cast<int>(std::max<Index>(1, b.stride));
  const int ldc = static_cast<int>(to.stride);
  const T one{1}, beta{prefilled ? T{1} : T{0}};
  if constexpr (std::is_same_v<T, float>) {
    sgemm_(&op_b, &op_a, &m, &n, &k, &one, b.data, &ldb, a.data, &lda, &beta, to.out, &ldc);
  } else {
    dgemm_(&op_b, &op_a, &m, &n, &k, &one, b.data, &ldb, a.data, &lda, &beta, to.out, &ldc);
  }
}
#endif

/// out (M, N) = op(a) · op(b) [+ bias on each row] [+ residual] [+ out if add].
template <class T>
void gemm(const GemmSpace<T>& space, Index threads, Transpose transpose_a, MatrixView<const T> a,
          Transpose transpose_b, WeightView<> b, Write write, MatrixView<T> out, VectorView<const T> bias,
          MatrixView<const T> residual) {
  if (out.empty()) return;
  const Index depth = transpose_a == Transpose::yes ? a.rows : a.cols;
  TileTarget<T> to{out.data, out.stride, nullptr, nullptr, 0, write == Write::add};
  if (!bias.empty()) to.bias = bias.data;
  if (!residual.empty()) {
    to.residual = residual.data;
    to.residual_stride = residual.stride;
  }
  // A column that lies in one run is the row of its transpose.
  if (transpose_b == Transpose::no && out.cols == 1 && b.stride == 1) {
    b = {b.data, b.dtype, 1, depth, depth};
    transpose_b = Transpose::yes;
  }
  constexpr Index few = few_rows;
  if (transpose_a == Transpose::no && transpose_b == Transpose::yes && (out.rows <= few || out.cols <= few)) {
    return dot_product(threads, a, b, to, out.rows, out.cols, depth);
  }
  if (transpose_a == Transpose::no && transpose_b == Transpose::no && out.rows == 1 &&
      b.dtype == dtype_of<T>() && out.cols % Simd<T>::width == 0) {
    const MatrixView<const T> right{static_cast<const T*>(b.data), b.rows, b.cols, b.stride};
    return row_product(threads, a.data, right, to, out.cols, depth);
  }
#ifdef EIGEN_USE_BLAS
  if (b.dtype == dtype_of<T>()) {  // BLAS knows no other
    const MatrixView<const T> right{static_cast<const T*>(b.data), b.rows, b.cols, b.stride};
    return blas_product(threads, transpose_a, a, transpose_b, right, to, out.rows, out.cols, depth);
  }
#endif
  blocked_product(space, threads, transpose_a, a, transpose_b, b, to, out.rows, out.cols, depth);
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
