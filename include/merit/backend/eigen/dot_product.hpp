// Products of a few rows or a few columns, as dot products of rows: packing would cost more than the product.
#pragma once

#include <algorithm>
#include <type_traits>

#include "merit/backend/eigen/parallel.hpp"
#include "merit/backend/eigen/quantized_packets.hpp"
#include "merit/backend/eigen/simd.hpp"
#include "merit/backend/eigen/tile_target.hpp"
#include "merit/core/quantized.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// So many rows or columns are few.
inline constexpr Index few_rows = 4;

/// Rows of the right operand that are read together.
template <class T>
inline constexpr Index rows_together = Simd<T>::many_registers ? 4 : 2;

/// Puts out the sum at (i, j).
template <class T>
void put_sum(const TileTarget<T>& to, Index i, Index j, T value) {
  if (to.bias != nullptr) value += to.bias[j];
  if (to.residual != nullptr) value += to.residual[i * to.residual_stride + j];
  T& place = to.out[i * to.stride + j];
  place = to.add ? place + value : value;
}

/// out(i, j) = a.row(i) · b.row(j), of a plain type.
template <class T, class Stored>
void plain_dot_product(Index threads, MatrixView<const T> a, MatrixView<const Stored> b,
                       const TileTarget<T>& to, Index rows, Index cols, Index depth) {
  const Index work = rows * cols * depth;
  if (rows >= cols) {
    parallel_ranges(threads, rows, 16, work, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        for (Index j = 0; j < cols; ++j) put_sum(to, i, j, dot(depth, a.row(i), b.row(j)));
      }
    });
  } else {
    constexpr Index together = rows_together<T>;
    parallel_ranges(threads, cols, 16, work, [&](Index begin, Index end) {
      Index j = begin;
      for (; j + together <= end; j += together) {
        for (Index i = 0; i < rows; ++i) {
          T values[together];
          dots<together>(depth, a.row(i), b.row(j), b.stride, values);
          for (Index r = 0; r < together; ++r) put_sum(to, i, j + r, values[r]);
        }
      }
      for (; j < end; ++j) {
        for (Index i = 0; i < rows; ++i) put_sum(to, i, j, dot(depth, a.row(i), b.row(j)));
      }
    });
  }
}

/// The part of a quantised product at (i, j): at most few_rows rows, `together` columns. Rows of b become floats
/// run by run, each run once for all rows, and are summed as those of a plain type are.
template <Index together, class T>
void quantized_dots(MatrixView<const T> a, const QuantizedRows& b, const TileTarget<T>& to, Index i,
                    Index rows, Index j, Index depth) {
  static_assert(quantized_run % DotSums<together, T>::unit == 0);
  float numbers[together][quantized_run];
  DotSums<together, T> sums[few_rows];
  for (Index k = 0; k < depth; k += quantized_run) {
    const Index run = std::min(quantized_run, depth - k);
    for (Index r = 0; r < together; ++r) read_numbers(b, j + r, k, run, numbers[r]);
    for (Index row = 0; row < rows; ++row) {
      sums[row].add_products(run, a.row(i + row) + k, numbers[0], quantized_run);
    }
  }
  for (Index row = 0; row < rows; ++row) {
    T values[together];
    sums[row].totals(values);
    for (Index r = 0; r < together; ++r) put_sum(to, i + row, j + r, values[r]);
  }
}

/// out(0, j) = a · b.row(j), of a quantised type.
inline void quantized_row_product(Index threads, const float* a, const QuantizedRows& b,
                                  const TileTarget<float>& to, Index cols, Index depth) {
  const QuantizedDot dot_of = quantized_dot(b);
  parallel_ranges(threads, cols, 16, cols * depth, [&](Index begin, Index end) {
    for (Index j = begin; j < end; ++j) put_sum(to, 0, j, dot_of(depth, a, b, j));
  });
}

/// out(i, j) = a.row(i) · b.row(j), of a quantised type.
template <class T>
void quantized_dot_product(Index threads, MatrixView<const T> a, const WeightView<>& b,
                           const TileTarget<T>& to, Index rows, Index cols, Index depth) {
  const QuantizedRows right(b);
  if constexpr (std::is_same_v<T, float>) {
    if (rows == 1) return quantized_row_product(threads, a.row(0), right, to, cols, depth);
  }
  constexpr Index together = rows_together<T>;
  const auto part = [&](Index row_begin, Index row_end, Index col_begin, Index col_end) {
    for (Index i = row_begin; i < row_end; i += few_rows) {
      const Index count = std::min(few_rows, row_end - i);
      Index j = col_begin;
      for (; j + together <= col_end; j += together)
        quantized_dots<together>(a, right, to, i, count, j, depth);
      for (; j < col_end; ++j) quantized_dots<1>(a, right, to, i, count, j, depth);
    }
  };
  const Index work = rows * cols * depth;
  if (rows >= cols) {
    parallel_ranges(threads, rows, 16, work, [&](Index begin, Index end) { part(begin, end, 0, cols); });
  } else {
    parallel_ranges(threads, cols, 16, work, [&](Index begin, Index end) { part(0, rows, begin, end); });
  }
}

/// out(i, j) = a.row(i) · b.row(j).
template <class T>
void dot_product(Index threads, MatrixView<const T> a, const WeightView<>& b, const TileTarget<T>& to,
                 Index rows, Index cols, Index depth) {
  if (is_quantized(b.dtype)) return quantized_dot_product(threads, a, b, to, rows, cols, depth);
  visit_stored(b, [&](auto stored) { plain_dot_product<T>(threads, a, stored, to, rows, cols, depth); });
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
