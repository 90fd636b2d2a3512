// Floats to quantised types of GGUF files: what a block holds is chosen for the block alone. Of the simpler types it is
// bit for bit what the `gguf` package makes; that makes no K types, which quantize_k.hpp has. Format:
// https://github.com/ggml-org/ggml.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/quantize_k.hpp"
#include "merit/io/tensor_info.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

inline void put_scale(std::byte* block, Index at, float scale) {
  const std::uint16_t bits = to_f16(scale);
  std::memcpy(block + at, &bits, sizeof bits);
}

/// 1 / d, or 0 for a block of zeros.
inline float inverse_scale(float d) {
  return d == 0 ? 0.0f : 1.0f / d;
}

/// 32 integers of 4 bits, or of 5 with their fifth bits in `high`, after the scales.
inline void put_nibbles(const int (&q)[32], std::byte* quants, std::byte* high) {
  std::uint32_t fifth = 0;
  for (Index i = 0; i < 32; ++i) fifth |= static_cast<std::uint32_t>(q[i] >> 4) << i;
  if (high != nullptr) std::memcpy(high, &fifth, sizeof fifth);
  for (Index i = 0; i < 16; ++i) quants[i] = static_cast<std::byte>((q[i] & 15) | (q[i + 16] & 15) << 4);
}

/// Q4_0 (largest 16) and Q5_0 (32): the number furthest from 0 becomes the lowest integer, which has no
/// opposite.
inline void quantize_symmetric(const float* in, int levels, std::byte* block, std::byte* quants,
                               std::byte* high) {
  float extreme = 0;
  for (Index i = 0; i < 32; ++i) {
    if (std::abs(in[i]) > std::abs(extreme)) extreme = in[i];
  }
  const float d = extreme / static_cast<float>(-levels / 2), inverse = inverse_scale(d);
  put_scale(block, 0, d);
  int q[32];
  for (Index i = 0; i < 32; ++i) {
    // Rounded to float where the package does, and never fused: the product of two floats is exact in double.
    const auto level = static_cast<float>(double{in[i]} * double{inverse} + (levels / 2 + 0.5));
    q[i] = std::clamp(static_cast<int>(level), 0, levels - 1);
  }
  put_nibbles(q, quants, high);
}

/// Q4_1 and Q5_1: from the lowest number to the highest.
inline void quantize_from_minimum(const float* in, int levels, std::byte* block, std::byte* quants,
                                  std::byte* high) {
  const auto [low, most] = std::minmax_element(in, in + 32);
  const float minimum = *low, d = (*most - minimum) / static_cast<float>(levels - 1),
              inverse = inverse_scale(d);
  put_scale(block, 0, d);
  put_scale(block, 2, minimum);
  int q[32];
  for (Index i = 0; i < 32; ++i) {
    const auto product = static_cast<float>(double{in[i] - minimum} * double{inverse});
    q[i] = std::clamp(static_cast<int>(static_cast<float>(double{product} + 0.5)), 0, levels - 1);
  }
  put_nibbles(q, quants, high);
}

inline void quantize_q8_0(const float* in, std::byte* block) {
  float most = 0;
  for (Index i = 0; i < 32; ++i) most = std::max(most, std::abs(in[i]));
  const float d = most / 127, inverse = inverse_scale(d);
  put_scale(block, 0, d);
  for (Index i = 0; i < 32; ++i) {
    block[2 + i] =
        static_cast<std::byte>(static_cast<int>(std::round(in[i] * inverse)));  // halves away from 0
  }
}

}  // namespace detail

/// The quantised types that quantize() writes.
constexpr bool can_quantize(Dtype dtype) {
  switch (dtype) {
    case Dtype::q8_0:
    case Dtype::q4_0:
    case Dtype::q4_1:
    case Dtype::q5_0:
    case Dtype::q5_1:
    case Dtype::q2_k:
    case Dtype::q3_k:
    case Dtype::q4_k:
    case Dtype::q5_k:
    case Dtype::q6_k: return true;
    default: return false;
  }
}

/// `count` finite floats, whole blocks of them, as stored numbers of a plain type or one that can_quantize().
/// UsageError for another type. A number too large for a float16 scale becomes an infinity.
inline void quantize(Dtype dtype, const float* in, std::byte* out, Index count) {
  if (!is_quantized(dtype)) return detail::encode(dtype, in, out, count);
  const DtypeLayout layout = layout_of(dtype);
  for (Index done = 0; done < count; done += layout.elements, out += layout.bytes) {
    const float* const from = in + done;
    switch (dtype) {
      case Dtype::q8_0: detail::quantize_q8_0(from, out); break;
      case Dtype::q4_0: detail::quantize_symmetric(from, 16, out, out + 2, nullptr); break;
      case Dtype::q5_0: detail::quantize_symmetric(from, 32, out, out + 6, out + 2); break;
      case Dtype::q4_1: detail::quantize_from_minimum(from, 16, out, out + 4, nullptr); break;
      case Dtype::q5_1: detail::quantize_from_minimum(from, 32, out, out + 8, out + 4); break;
      case Dtype::q2_k: detail::quantize_q2_k(from, out); break;
      case Dtype::q3_k: detail::quantize_q3_k(from, out); break;
      case Dtype::q4_k: detail::quantize_q4_k(from, out); break;
      case Dtype::q5_k: detail::quantize_q5_k(from, out); break;
      case Dtype::q6_k: detail::quantize_q6_k(from, out); break;
      default: throw UsageError(concat("numbers are not written as ", name_of(dtype)));
    }
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
