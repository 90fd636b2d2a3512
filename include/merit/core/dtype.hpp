// Element types as they are named in files, and the conversions between them.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The element types a checkpoint may hold.
enum class Dtype : std::uint8_t { f64, f32, f16, bf16 };

/// Bytes of one element.
constexpr std::size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64: return 8;
    case Dtype::f32: return 4;
    case Dtype::f16:
    case Dtype::bf16: return 2;
  }
  return 0;
}

/// "F64", "F32", "F16", "BF16": the names of the safetensors format.
constexpr std::string_view name_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64: return "F64";
    case Dtype::f32: return "F32";
    case Dtype::f16: return "F16";
    case Dtype::bf16: return "BF16";
  }
  return "?";
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
