// What files of tensors say about one of them, and numbers between bytes and floats.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/quantized.hpp"
#include "merit/core/sizes.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

static_assert(std::endian::native == std::endian::little, "files of tensors are little-endian");

/// What to do with infinities and NaNs in tensors.
enum class NonFinite : std::uint8_t { reject, allow };

/// What a file says about one tensor.
struct TensorInfo {
  std::string name;
  std::string dtype_name;      ///< as in the file: "F32", "I64", "BOOL", …
  std::optional<Dtype> dtype;  ///< nothing for a type that is not read: integers, booleans, 8 bits and fewer
  std::vector<Index> shape;    ///< empty for a single number
  Index elements = 0;          ///< the product of the shape
  Index begin = 0;             ///< first byte, counted from the beginning of the file
  Index end = 0;               ///< one past the last byte
};

namespace detail {

/// The number of elements, or nothing when it does not fit.
inline std::optional<Index> element_count(const std::vector<Index>& shape) {
  Index product = 1;
  for (const Index size : shape) {
    const auto next = checked_product(product, size);
    if (!next) return std::nullopt;
    product = *next;
  }
  return product;
}

/// "[2, 3]"
inline std::string shape_text(const std::vector<Index>& shape) {
  std::string text = "[";
  for (const Index size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

/// Numbers are converted in blocks of this many elements, so that memory does not grow with the tensor.
inline constexpr Index conversion_block = 16384;

template <class Stored>
Stored load(const std::byte* bytes, Index i) {
  Stored value;
  std::memcpy(&value, bytes + i * sizeof(Stored), sizeof(Stored));
  return value;
}

/// `count` stored numbers, of a quantised type whole blocks of them, as T.
template <class T>
void decode(Dtype dtype, const std::byte* bytes, T* out, Index count) {
  switch (dtype) {
    case Dtype::f64:
      for (Index i = 0; i < count; ++i) out[i] = static_cast<T>(load<double>(bytes, i));
      return;
    case Dtype::f32:
      for (Index i = 0; i < count; ++i) out[i] = static_cast<T>(load<float>(bytes, i));
      return;
    case Dtype::f16:
      for (Index i = 0; i < count; ++i) out[i] = static_cast<T>(from_f16(load<std::uint16_t>(bytes, i)));
      return;
    case Dtype::bf16:
      for (Index i = 0; i < count; ++i) out[i] = static_cast<T>(from_bf16(load<std::uint16_t>(bytes, i)));
      return;
    default: return dequantize(dtype, bytes, out, count);
  }
}

/// The inverse of decode: rounds to the nearest number the type has (a double goes to 16 bits by way of
/// float).
template <class T>
void encode(Dtype dtype, const T* in, std::byte* bytes, Index count) {
  const auto store = [bytes](auto value, Index i) {
    std::memcpy(bytes + i * sizeof value, &value, sizeof value);
  };
  switch (dtype) {
    case Dtype::f64:
      for (Index i = 0; i < count; ++i) store(static_cast<double>(in[i]), i);
      return;
    case Dtype::f32:
      for (Index i = 0; i < count; ++i) store(static_cast<float>(in[i]), i);
      return;
    case Dtype::f16:
      for (Index i = 0; i < count; ++i) store(to_f16(static_cast<float>(in[i])), i);
      return;
    case Dtype::bf16:
      for (Index i = 0; i < count; ++i) store(to_bf16(static_cast<float>(in[i])), i);
      return;
    default: throw UsageError(concat("numbers are not written as ", name_of(dtype)));
  }
}

/// The position of the first infinity or NaN, or `count`. Elements may be 16 bits that are stored.
template <class T>
Index first_non_finite(const T* values, Index count) {
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t,
                                  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint16_t>>;
  // An infinity or NaN is a number whose exponent has all bits set; without its sign it is at least this.
  constexpr Bits infinity = std::is_same_v<T, F16>    ? Bits{0x7C00}
                            : std::is_same_v<T, Bf16> ? Bits{0x7F80}
                            : sizeof(T) == 4          ? static_cast<Bits>(0x7F800000u)
                                                      : static_cast<Bits>(0x7FF0000000000000u);
  const auto magnitude = [](T value) {
    return static_cast<Bits>(std::bit_cast<Bits>(value) & (std::numeric_limits<Bits>::max() / 2));
  };
  constexpr Index block = 1024;
  Index begin = 0;
  for (; count - begin >= block; begin += block) {
    Bits largest = 0;  // of a fixed number, without a way out of the loop: it becomes vector instructions
    for (Index i = 0; i < block; ++i) largest = std::max(largest, magnitude(values[begin + i]));
    if (largest >= infinity) break;
  }
  while (begin < count && magnitude(values[begin]) < infinity) ++begin;
  return begin;
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
