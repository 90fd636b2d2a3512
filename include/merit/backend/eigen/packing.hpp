// Packing: the operands of a matrix product in the order in which the register tile reads them. What is
// stored in another type than the product computes in is converted here, once for each block.
#pragma once

#include <algorithm>

#include "merit/backend/eigen/simd.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// to = the transpose of a square of packets. `first` is its first row: the packet type is deduced from it,
/// because g++ warns when a vector type is written as a template argument.
template <class T, class P, class Stored>
inline void transpose_square(const P& first, const Stored* from, Index stride, T* to, Index to_stride) {
  constexpr Index side = Simd<T>::width;
  Eigen::internal::PacketBlock<P, static_cast<int>(side)> block;
  block.packet[0] = first;
  for (Index r = 1; r < side; ++r) block.packet[r] = Simd<T>::load(from + r * stride);
  Eigen::internal::ptranspose(block);
  for (Index r = 0; r < side; ++r) Simd<T>::store(to + r * to_stride, block.packet[r]);
}

/// to (depth, unit) = the transpose of from (count <= unit, depth); missing columns become zero.
template <Index unit, class T, class Stored>
void pack_transposed_tile(Index count, Index depth, const Stored* from, Index stride, T* to) {
  constexpr Index side = Simd<T>::width;
  Index i = 0;
  for (; i + side <= count; i += side) {
    Index k = 0;
    for (; k + side <= depth; k += side) {
      const Stored* const corner = from + i * stride + k;
      transpose_square<T>(Simd<T>::load(corner), corner, stride, to + k * unit + i, unit);
    }
    for (; k < depth; ++k) {
      for (Index r = 0; r < side; ++r) to[k * unit + i + r] = number<T>(from[(i + r) * stride + k]);
    }
  }
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
      for (Index j = 0; j < unit; ++j) tile[j] = number<T>(from[i + j]);
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

/// The block of op(b) at (k, col), `depth` by `count`, in panels of Simd<T>::panel columns.
template <class T>
void pack_right(const WeightView<>& b, bool transposed, Index k, Index col, Index depth, Index count, T* to) {
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
