// Packing: the operands of a matrix product in the order in which the register tile reads them. What is
// stored in another type than the product computes in is converted here, once for each block.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "merit/backend/eigen/quantized_packets.hpp"
#include "merit/backend/eigen/simd.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/quantized.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// to = the transpose of a square of packets of which `rows` are there; the others count as zero. `first` is
/// its first row: the packet type is deduced from it, because g++ warns when a vector type is written as a
/// template argument.
template <Index rows, class T, class P, class Stored>
inline void transpose_square(const P& first, const Stored* from, Index stride, T* to, Index to_stride) {
  constexpr Index side = Simd<T>::width;
  Eigen::internal::PacketBlock<P, static_cast<int>(side)> block;
  block.packet[0] = first;
  unroll<side - 1>([&](auto r) __attribute__((always_inline)) {
    block.packet[r + 1] = r + 1 < rows ? Simd<T>::load(from + (r + 1) * stride) : Simd<T>::set(T{0});
  });
  Eigen::internal::ptranspose(block);
  for (Index r = 0; r < side; ++r) Simd<T>::store(to + r * to_stride, block.packet[r]);
}

/// A block of packed tiles may be written this far past its end.
template <class T>
inline constexpr Index packing_overrun = Simd<T>::width;

/// Columns [column, column + rows) of to (depth, unit) = the transpose of the rows from `column` on of from.
/// Where they are fewer than a packet, what stands behind them in `to` is overwritten, too.
template <Index unit, Index rows, class T, class Stored>
void pack_transposed_rows(Index column, Index depth, const Stored* from, Index stride, T* to) {
  constexpr Index side = Simd<T>::width;
  from += column * stride;
  to += column;
  Index k = 0;
  for (; k + side <= depth; k += side) {
    transpose_square<rows>(Simd<T>::load(from + k), from + k, stride, to + k * unit, unit);
  }
  for (; k < depth; ++k) {
    for (Index r = 0; r < rows; ++r) to[k * unit + r] = number<T>(from[r * stride + k]);
  }
}

/// to (depth, unit) = the transpose of from (count <= unit, depth); missing columns become zero.
template <Index unit, class T, class Stored>
void pack_transposed_tile(Index count, Index depth, const Stored* from, Index stride, T* to) {
  constexpr Index side = Simd<T>::width, rest = unit % side;
  if (count == unit) {
    // The last columns first: what they overwrite of the next row is written after them.
    if constexpr (rest != 0) pack_transposed_rows<unit, rest>(unit - rest, depth, from, stride, to);
    for (Index i = 0; i + side <= unit; i += side) {
      pack_transposed_rows<unit, side>(i, depth, from, stride, to);
    }
    return;
  }
  Index i = 0;
  for (; i + side <= count; i += side) pack_transposed_rows<unit, side>(i, depth, from, stride, to);
  for (; i < count; ++i) {
    for (Index k = 0; k < depth; ++k) to[k * unit + i] = number<T>(from[i * stride + k]);
  }
  for (; i < unit; ++i) {
    for (Index k = 0; k < depth; ++k) to[k * unit + i] = T{0};
  }
}

/// Tiles of (depth, unit), one after another, from (depth, count); the columns missing from the last become
/// zero.
template <Index unit, class T, class Stored>
void pack_straight(Index count, Index depth, const Stored* from, Index stride, T* to) {
  const Index whole = count / unit * unit;
  for (Index k = 0; k < depth; ++k, from += stride, to += unit) {
    T* tile = to;
    for (Index i = 0; i < whole; i += unit, tile += unit * depth) {
      if constexpr (std::is_same_v<T, Stored>) {
        std::memcpy(tile, from + i, unit * sizeof(T));  // g++ makes no vector instructions of the loop
      } else {
        for (Index j = 0; j < unit; ++j) tile[j] = number<T>(from[i + j]);
      }
    }
    if (whole == count) continue;
    for (Index j = 0; j < unit; ++j) tile[j] = whole + j < count ? number<T>(from[whole + j]) : T{0};
  }
}

/// Tiles of (depth, unit), one after another, from the transpose of from (count, depth); the columns missing
/// from the last become zero.
template <Index unit, class T, class Stored>
void pack_transposed(Index count, Index depth, const Stored* from, Index stride, T* to) {
  for (Index i = 0; i < count; i += unit, from += unit * stride, to += unit * depth) {
    pack_transposed_tile<unit>(std::min(unit, count - i), depth, from, stride, to);
  }
}

/// pack_straight of the block (depth, count) at (k, col) of quantised rows.
template <Index unit, class T>
void pack_quantized_straight(const QuantizedRows& from, Index k, Index col, Index depth, Index count, T* to) {
  float numbers[quantized_run];
  for (Index row = 0; row < depth; ++row) {
    // Column c of the block is column c mod unit of tile c / unit.
    const auto place = [&](Index c) { return to + c / unit * unit * depth + row * unit + c % unit; };
    from.for_each_run(col, col + count, [&](Index first, Index begin, Index end) {
      read_numbers(from, k + row, first, from.whole_blocks(first, end), numbers);
      for (Index c = begin - col; c < end - col;) {
        const Index run = std::min(end - col - c, unit - c % unit);
        std::copy_n(numbers + (col + c - first), run, place(c));
        c += run;
      }
    });
    if (count % unit != 0) std::fill_n(place(count), unit - count % unit, T{0});
  }
}

/// pack_transposed of the block (count, depth) at (col, k) of quantised rows.
template <Index unit, class T>
void pack_quantized_transposed(const QuantizedRows& from, Index k, Index col, Index depth, Index count,
                               T* to) {
  float numbers[unit][quantized_run];
  for (Index i = 0; i < count; i += unit, to += unit * depth) {
    const Index lines = std::min(unit, count - i);
    from.for_each_run(k, k + depth, [&](Index first, Index begin, Index end) {
      const Index size = from.whole_blocks(first, end);
      for (Index line = 0; line < lines; ++line)
        read_numbers(from, col + i + line, first, size, numbers[line]);
      pack_transposed_tile<unit>(lines, end - begin, numbers[0] + (begin - first), quantized_run,
                                 to + (begin - k) * unit);
    });
  }
}

/// The block of op(b) at (k, col), `depth` by `count`, in panels of Simd<T>::panel columns.
template <class T>
void pack_right(const WeightView<>& b, bool transposed, Index k, Index col, Index depth, Index count, T* to) {
  if (is_quantized(b.dtype)) {
    const auto pack = transposed ? pack_quantized_transposed<Simd<T>::panel, T>
                                 : pack_quantized_straight<Simd<T>::panel, T>;
    return pack(QuantizedRows(b), k, col, depth, count, to);
  }
  visit_stored(b, [&](auto stored) {
    if (transposed) {
      pack_transposed<Simd<T>::panel>(count, depth, stored.row(col) + k, stored.stride, to);
    } else {
      pack_straight<Simd<T>::panel>(count, depth, stored.row(k) + col, stored.stride, to);
    }
  });
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
