// Where a product puts what it has summed, and what it adds on the way.
#pragma once

#include "merit/backend/eigen/simd.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// Where a tile goes, and what is added to it on the way: [+ bias (cols)] [+ residual] [+ what is there].
template <class T>
struct TileTarget {
  T* out = nullptr;
  Index stride = 0;
  const T* bias = nullptr;
  const T* residual = nullptr;
  Index residual_stride = 0;
  bool add = false;

  /// The target of the tile that begins at (row, col).
  TileTarget at(Index row, Index col) const {
    TileTarget tile = *this;
    tile.out += row * stride + col;
    if (bias != nullptr) tile.bias += col;
    if (residual != nullptr) tile.residual += row * residual_stride + col;
    return tile;
  }

  /// The target of the given block of k: the first brings what is added once, the others add to it.
  TileTarget of_step(Index step) const {
    if (step == 0) return *this;
    TileTarget later = *this;
    later.add = true;
    later.bias = later.residual = nullptr;
    return later;
  }
};

/// Stores one row of a tile.
template <class T, class Lane>
inline void store_packet(const Lane& lane, Packet<T> value, const TileTarget<T>& to, Index row, Index col) {
  if (to.bias != nullptr) value = add(value, lane.load(to.bias + col));
  if (to.residual != nullptr) value = add(value, lane.load(to.residual + row * to.residual_stride + col));
  T* const place = to.out + row * to.stride + col;
  if (to.add) value = add(value, lane.load(place));
  lane.store(place, value);
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
