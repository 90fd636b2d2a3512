// The element types of GGUF files and their numbers as floats, bit for bit those of the `gguf` package.
//
// A quantised tensor is a row of blocks; a block holds a few scales and small integers. The K types have
// blocks of 256 in groups of 16 or 32, each with a scale of its own (and, for some, a minimum).
//
// No sum here rounds a product before it: scales have at most 17 significant bits and integers at most 5, so
// that a compiler may fuse multiply and add without changing a bit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "merit/core/dtype.hpp"
#include "merit/core/view.hpp"
#include "merit/io/ggml_blocks.hpp"
#include "merit/io/tensor_info.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// One element type of GGUF files.
struct GgmlType {
  std::uint32_t number;  ///< in the file
  std::string_view name;
  Index block_elements;  ///< how many elements lie together, along a row
  Index block_bytes;
  /// Writes the elements of one block as floats; null for types that are not read, and for those that are
  /// plain numbers.
  void (*block)(const std::byte* bytes, float* out) = nullptr;

  /// The plain numbers of this type, if it is one of them.
  std::optional<Dtype> dtype() const {
    for (const Dtype plain : {Dtype::f64, Dtype::f32, Dtype::f16, Dtype::bf16}) {
      if (name_of(plain) == name) return plain;
    }
    return std::nullopt;
  }
  bool is_read() const { return block != nullptr || dtype().has_value(); }
};

/// All types that files of today hold; those without a function are known by size and name only.
inline constexpr std::array<GgmlType, 34> ggml_types{{
    {0, "F32", 1, 4},
    {1, "F16", 1, 2},
    {2, "Q4_0", 32, 18, detail::block_q4_0},
    {3, "Q4_1", 32, 20, detail::block_q4_1},
    {6, "Q5_0", 32, 22, detail::block_q5_0},
    {7, "Q5_1", 32, 24, detail::block_q5_1},
    {8, "Q8_0", 32, 34, detail::block_q8_0},
    {9, "Q8_1", 32, 40},
    {10, "Q2_K", 256, 84, detail::block_q2_k},
    {11, "Q3_K", 256, 110, detail::block_q3_k},
    {12, "Q4_K", 256, 144, detail::block_q4_k},
    {13, "Q5_K", 256, 176, detail::block_q5_k},
    {14, "Q6_K", 256, 210, detail::block_q6_k},
    {15, "Q8_K", 256, 292},
    {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98},
    {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18, detail::block_iq4_nl},
    {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136, detail::block_iq4_xs},
    {24, "I8", 1, 1},
    {25, "I16", 1, 2},
    {26, "I32", 1, 4},
    {27, "I64", 1, 8},
    {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},
    {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66, detail::block_tq2_0},
    {39, "MXFP4", 32, 17, detail::block_mxfp4},
    {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18},
}};

/// The type with a number in files, or null.
constexpr const GgmlType* find_ggml_type(std::uint32_t number) {
  for (const GgmlType& type : ggml_types) {
    if (type.number == number) return &type;
  }
  return nullptr;
}

namespace detail {

/// "F32, F16, Q4_0, …"
inline std::string readable_ggml_types() {
  std::string names;
  for (const GgmlType& type : ggml_types) {
    if (type.is_read()) names.append(names.empty() ? "" : ", ").append(type.name);
  }
  return names;
}

}  // namespace detail

/// `count` elements, whole blocks of them, of a type that is read, as T (float or double).
template <class T>
void dequantize(const GgmlType& type, const std::byte* bytes, T* out, Index count) {
  if (const auto plain = type.dtype()) {
    detail::decode(*plain, bytes, out, count);
    return;
  }
  for (Index done = 0; done < count; done += type.block_elements, bytes += type.block_bytes) {
    if constexpr (std::is_same_v<T, float>) {
      type.block(bytes, out + done);
    } else {
      float block[256];
      type.block(bytes, block);
      for (Index i = 0; i < type.block_elements; ++i) out[done + i] = block[i];
    }
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
