// Views: a pointer and a shape. They never own, never allocate, and carry their memory space in the type, so
// that a host loop cannot be handed device memory.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Counts, sizes and offsets in memory.
using Index = std::size_t;

/// A token's number in the vocabulary. Also the type of every index into a forest.
using Token = std::uint32_t;

struct HostSpace {};
struct DeviceSpace {};

namespace detail {

/// T is a constant Element.
template <class T, class Element>
concept constant_of = std::is_same_v<const Element, T> && !std::is_same_v<Element, T>;

}  // namespace detail

/// A contiguous run of `size` elements.
template <class T, class Space = HostSpace>
struct VectorView {
  T* data = nullptr;
  Index size = 0;

  constexpr VectorView() = default;
  constexpr VectorView(T* pointer, Index count) : data(pointer), size(count) {}

  /// From any contiguous container that gives up its pointer (std::vector, std::array, std::span): its memory
  /// is the host's.
  template <class Container>
  requires std::is_same_v<Space, HostSpace> && requires(Container& c) {
    { c.data() } -> std::convertible_to<T*>;
    c.size();
  }
  constexpr VectorView(Container& c) : data(c.data()), size(c.size()) {}  // NOLINT: implicit on purpose

  /// A view of mutable elements is a view of constant ones.
  template <class Element>
  requires detail::constant_of<T, Element>
  constexpr VectorView(const VectorView<Element, Space>& other)  // NOLINT: implicit on purpose
      : data(other.data), size(other.size) {}

  constexpr bool empty() const { return size == 0; }
  constexpr VectorView subview(Index begin, Index count) const { return {data + begin, count}; }

  constexpr T& operator[](Index i) const requires std::is_same_v<Space, HostSpace> { return data[i]; }
  constexpr T* begin() const requires std::is_same_v<Space, HostSpace> { return data; }
  constexpr T* end() const requires std::is_same_v<Space, HostSpace> { return data + size; }
};

/// A row-major matrix whose rows lie `stride` elements apart: (rows, cols). A column block of a wider matrix
/// is one.
template <class T, class Space = HostSpace>
struct MatrixView {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;

  constexpr MatrixView() = default;
  constexpr MatrixView(T* pointer, Index row_count, Index col_count)
      : data(pointer), rows(row_count), cols(col_count), stride(col_count) {}
  constexpr MatrixView(T* pointer, Index row_count, Index col_count, Index row_stride)
      : data(pointer), rows(row_count), cols(col_count), stride(row_stride) {}

  /// As of a vector.
  template <class Element>
  requires detail::constant_of<T, Element>
  constexpr MatrixView(const MatrixView<Element, Space>& other)  // NOLINT: implicit on purpose
      : data(other.data), rows(other.rows), cols(other.cols), stride(other.stride) {}

  constexpr bool empty() const { return rows == 0 || cols == 0; }
  constexpr bool contiguous() const { return stride == cols; }
  constexpr MatrixView row_block(Index begin, Index count) const {
    return {data + begin * stride, count, cols, stride};
  }
  constexpr MatrixView col_block(Index begin, Index count) const {
    return {data + begin, rows, count, stride};
  }

  /// All elements in one run. Requires contiguous().
  constexpr VectorView<T, Space> flat() const { return {data, rows * cols}; }

  constexpr T* row(Index i) const { return data + i * stride; }
  constexpr T& operator()(Index i, Index j) const requires std::is_same_v<Space, HostSpace> {
    return data[i * stride + j];
  }
};

/// A matrix of weights (rows, cols) in the type it is stored in; rows lie `stride` elements apart. Operations
/// that take one convert what they read, so that a checkpoint in 16 bits is never held in 32. Of a quantised
/// type, rows are whole blocks: cols and stride are multiples of its elements.
template <class Space = HostSpace>
struct WeightView {
  const void* data = nullptr;
  Dtype dtype = Dtype::f32;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;

  constexpr WeightView() = default;
  constexpr WeightView(const void* pointer, Dtype type, Index row_count, Index col_count, Index row_stride)
      : data(pointer), dtype(type), rows(row_count), cols(col_count), stride(row_stride) {}
  template <class T>
  constexpr WeightView(MatrixView<T, Space> m)  // NOLINT: implicit on purpose
      : data(m.data),
        dtype(dtype_of<std::remove_const_t<T>>()),
        rows(m.rows),
        cols(m.cols),
        stride(m.stride) {}

  constexpr bool empty() const { return rows == 0 || cols == 0; }
  /// One row.
  WeightView row(Index i) const {
    return {static_cast<const std::byte*>(data) + stored_bytes(dtype, i * stride), dtype, 1, cols, stride};
  }
};

/// Calls f with the weights, of a plain type, as a MatrixView of their stored elements, which number<T>() makes
/// numbers of. Those of a quantised type have none: whoever may be given them asks is_quantized() first and
/// reads them by quantized.hpp.
template <class F>
decltype(auto) visit_stored(const WeightView<HostSpace>& weight, F&& f) {
  const auto view = [&]<class Stored>(Stored) {
    return MatrixView<const Stored>{static_cast<const Stored*>(weight.data), weight.rows, weight.cols,
                                    weight.stride};
  };
  switch (weight.dtype) {
    case Dtype::f64: return f(view(double{}));
    case Dtype::f16: return f(view(F16{}));
    case Dtype::bf16: return f(view(Bf16{}));
    case Dtype::f32: return f(view(float{}));
    default: throw UsageError("weights of a quantised type were asked for one element");
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
