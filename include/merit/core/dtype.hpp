// Element types as they are named in files, and the conversions between them.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The element types a checkpoint may hold: plain numbers, and the quantised types of GGUF files, in which some
/// elements of a row lie together in a block.
enum class Dtype : std::uint8_t {
  f64,
  f32,
  f16,
  bf16,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  tq2_0,
  mxfp4
};

/// How a type is stored: so many elements lie together in so many bytes. A plain number lies alone.
struct DtypeLayout {
  std::string_view name;  // in files: of safetensors "F64", "F32", "F16", "BF16"; of GGUF also the others
  std::size_t elements;
  std::size_t bytes;
};

/// In the order of Dtype.
inline constexpr std::array<DtypeLayout, 18> dtype_layouts{{
    {"F64", 1, 8},
    {"F32", 1, 4},
    {"F16", 1, 2},
    {"BF16", 1, 2},
    {"Q4_0", 32, 18},
    {"Q4_1", 32, 20},
    {"Q5_0", 32, 22},
    {"Q5_1", 32, 24},
    {"Q8_0", 32, 34},
    {"Q2_K", 256, 84},
    {"Q3_K", 256, 110},
    {"Q4_K", 256, 144},
    {"Q5_K", 256, 176},
    {"Q6_K", 256, 210},
    {"IQ4_NL", 32, 18},
    {"IQ4_XS", 256, 136},
    {"TQ2_0", 256, 66},
    {"MXFP4", 32, 17},
}};

constexpr const DtypeLayout& layout_of(Dtype dtype) {
  return dtype_layouts[static_cast<std::size_t>(dtype)];
}
constexpr std::string_view name_of(Dtype dtype) {
  return layout_of(dtype).name;
}
/// Whether elements lie in blocks, and none has an address.
constexpr bool is_quantized(Dtype dtype) {
  return layout_of(dtype).elements > 1;
}
/// Bytes of one element of a plain type.
constexpr std::size_t size_of(Dtype plain) {
  return layout_of(plain).bytes;
}
/// Bytes of `count` elements, whole blocks of them.
constexpr std::size_t stored_bytes(Dtype dtype, std::size_t count) {
  return count / layout_of(dtype).elements * layout_of(dtype).bytes;
}
/// The type of a name in files.
constexpr std::optional<Dtype> dtype_named(std::string_view name) {
  for (std::size_t i = 0; i < dtype_layouts.size(); ++i) {
    if (dtype_layouts[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

/// Elements that are stored in 16 bits and computed with in more.
struct F16 {
  std::uint16_t bits = 0;
};
struct Bf16 {
  std::uint16_t bits = 0;
};

/// The dtype of an element.
template <class T>
constexpr Dtype dtype_of() {
  if constexpr (std::is_same_v<T, F16>) {
    return Dtype::f16;
  } else if constexpr (std::is_same_v<T, Bf16>) {
    return Dtype::bf16;
  } else {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "merit computes in float or double");
    return std::is_same_v<T, double> ? Dtype::f64 : Dtype::f32;
  }
}

/// bfloat16 bits to float: exact.
constexpr float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

/// float to bfloat16 bits, to nearest, ties to even; a NaN stays a NaN.
constexpr std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

/// IEEE binary16 bits to float: exact, but for subnormal numbers where a program has the processor take those
/// for zero (-ffast-math). Without a branch, so that loops over it become vectors.
constexpr float from_f16(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16;
  const std::uint32_t rest = std::uint32_t{bits & 0x7FFFu} << 13;  // exponent and mantissa in their places
  // The exponent's bias is 127 instead of 15; subnormal numbers become normal on the way.
  const auto finite = std::bit_cast<std::uint32_t>(std::bit_cast<float>(rest) * 0x1.0p112f);
  const std::uint32_t magnitude = rest >= 0x0F800000u ? rest | 0x7F800000u : finite;
  return std::bit_cast<float>(sign | magnitude);
}

/// float to IEEE binary16 bits, to nearest, ties to even; overflow gives infinity, a NaN stays a NaN.
constexpr std::uint16_t to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<std::uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // rounds to 65520 or more
  if (magnitude <
      0x38800000u) {  // below 2^-14: adding 0.5 aligns the mantissa so that the hardware rounds it
    const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x3F000000u));
  }
  const std::uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

/// A stored element as a number to compute with: exact, but for f64 in float.
template <class T, class Stored>
constexpr T number(Stored stored) {
  if constexpr (std::is_same_v<Stored, F16>) {
    return static_cast<T>(from_f16(stored.bits));
  } else if constexpr (std::is_same_v<Stored, Bf16>) {
    return static_cast<T>(from_bf16(stored.bits));
  } else {
    return static_cast<T>(stored);
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
