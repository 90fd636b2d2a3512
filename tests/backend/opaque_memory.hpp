// Memory whose addresses no process has, and the views that a host would have of it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "merit/core/view.hpp"
#include "merit/forest/forest_view.hpp"

namespace merit_test {

using namespace merit;

struct OpaqueSpace {};

namespace opaque {

/// An address that no process has, and back. Nothing stays nothing.
template <class T>
T* disguised(T* pointer) {
  constexpr std::uintptr_t mask = std::uintptr_t{1} << 63;
  return pointer == nullptr ? nullptr
                            : reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(pointer) ^ mask);
}

template <class T>
VectorView<T> revealed(const VectorView<T, OpaqueSpace>& v) {
  return {disguised(v.data), v.size};
}
template <class T>
MatrixView<T> revealed(const MatrixView<T, OpaqueSpace>& m) {
  return {disguised(m.data), m.rows, m.cols, m.stride};
}
inline WeightView<> revealed(const WeightView<OpaqueSpace>& w) {
  return {disguised(static_cast<const std::byte*>(w.data)), w.dtype, w.rows, w.cols, w.stride};
}
inline ForestView<HostSpace> revealed(const ForestView<OpaqueSpace>& f) {
  return {.tokens = revealed(f.tokens),
          .positions = revealed(f.positions),
          .subtree_end = revealed(f.subtree_end),
          .rows = revealed(f.rows),
          .row_positions = revealed(f.row_positions),
          .row_roots = revealed(f.row_roots),
          .places = revealed(f.places),
          .types = revealed(f.types),
          .tree_begin = revealed(f.tree_begin),
          .tree_segment_begin = revealed(f.tree_segment_begin),
          .segment_begin = revealed(f.segment_begin),
          .segment_span_begin = revealed(f.segment_span_begin),
          .span_begin = revealed(f.span_begin),
          .span_end = revealed(f.span_end),
          .features = revealed(f.features),
          .depth = f.depth};
}

}  // namespace opaque

}  // namespace merit_test
