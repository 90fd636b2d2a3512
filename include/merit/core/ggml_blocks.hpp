// One block of each quantised type of GGUF files as floats, bit for bit those of the `gguf` package. Where
// numbers lie in a block is a fact of the format: https://github.com/ggml-org/ggml.
//
// A block holds a few scales and small integers. The K types have blocks of 256 in groups of 16 or 32, each
// with a scale of its own (and, for some, a minimum).
//
// No sum here rounds a product before it: scales have at most 17 significant bits and integers at most 5, so
// that a compiler may fuse multiply and add without changing a bit.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "merit/core/dtype.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The byte at `at` as an integer from 0 to 255.
inline int quant_byte(const std::byte* block, Index at) {
  return std::to_integer<int>(block[at]);
}

/// The integer that begins at byte `at`, wherever that lies.
template <class Integer>
Integer quant_integer(const std::byte* block, Index at) {
  Integer value;
  std::memcpy(&value, block + at, sizeof value);
  return value;
}

/// The float16 that begins at byte `at`.
inline float quant_scale(const std::byte* block, Index at) {
  return from_f16(quant_integer<std::uint16_t>(block, at));
}

/// Two integers of 4 bits to a byte, 16 bytes: the low halves are elements 0 to 15, the high ones 16 to 31.
/// `value` makes a float of one.
template <class Value>
void block_of_nibbles(const std::byte* quants, float* __restrict out, const Value& value) {
  std::uint8_t bytes[32];
  std::memcpy(bytes, quants, 16);
  std::memcpy(bytes + 16, quants, 16);
  for (Index i = 0; i < 32; ++i) out[i] = value(i < 16 ? bytes[i] & 15 : bytes[i] >> 4);
}

/// The same with a fifth bit for each element, bit i of `high` for element i.
template <class Value>
void block_of_five_bits(const std::byte* quants, std::uint32_t high, float* __restrict out,
                        const Value& value) {
  std::uint8_t bytes[32];
  std::memcpy(bytes, quants, 16);
  std::memcpy(bytes + 16, quants, 16);
  for (std::uint32_t i = 0; i < 32; ++i) {
    const auto fifth = static_cast<int>((high >> i & 1u) << 4);
    out[i] = value((i < 16 ? bytes[i] & 15 : bytes[i] >> 4) | fifth);
  }
}

// What is written never lies in the block: __restrict says so, for without it a byte could be part of any float,
// and loops would not become vector instructions. Nor do loops of 16 steps, which compilers unroll.

// A type without a minimum has no "+ 0" either: that would make a −0 a +0.

inline void block_q4_0(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 0);
  block_of_nibbles(block + 2, out, [d](int q) { return d * static_cast<float>(q - 8); });
}

inline void block_q4_1(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 0);
  const float minimum = quant_scale(block, 2);
  block_of_nibbles(block + 4, out, [=](int q) { return d * static_cast<float>(q) + minimum; });
}

inline void block_q5_0(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 0);
  block_of_five_bits(block + 6, quant_integer<std::uint32_t>(block, 2), out,
                     [d](int q) { return d * static_cast<float>(q - 16); });
}

inline void block_q5_1(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 0);
  const float minimum = quant_scale(block, 2);
  block_of_five_bits(block + 8, quant_integer<std::uint32_t>(block, 4), out,
                     [=](int q) { return d * static_cast<float>(q) + minimum; });
}

inline void block_q8_0(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 0);
  for (Index i = 0; i < 32; ++i) {
    out[i] = d * static_cast<float>(static_cast<std::int8_t>(quant_byte(block, 2 + i)));
  }
}

/// 16 groups of 16: d · scale · q − dmin · minimum, both of 4 bits, q of 2.
inline void block_q2_k(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 80);
  const float d_min = quant_scale(block, 82);
  for (Index group = 0; group < 16; ++group) {
    const int scales = quant_byte(block, group);
    const float scale = d * static_cast<float>(scales & 15);
    const float minimum = d_min * static_cast<float>(scales >> 4);
    // Half a block is 32 bytes, whose bit pairs are four runs of 32 elements.
    const std::byte* quants = block + 16 + group / 8 * 32 + group % 2 * 16;
    const Index shift = group / 2 % 4 * 2;
    for (Index i = 0; i < 16; ++i) {
      out[group * 16 + i] = scale * static_cast<float>(quant_byte(quants, i) >> shift & 3) - minimum;
    }
  }
}

/// 16 groups of 16: d · (scale − 32) · (q − 4 where the mask's bit is 0), q of 2 bits.
inline void block_q3_k(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 108);
  const std::byte* scales = block + 96;
  for (Index group = 0; group < 16; ++group) {
    const int low = quant_byte(scales, group % 8) >> (group / 8 * 4) & 15;
    const int high = quant_byte(scales, 8 + group % 4) >> (group / 4 * 2) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const std::byte* quants = block + 32 + group / 8 * 32 + group % 2 * 16;
    const std::byte* mask = block + group % 2 * 16;
    const Index shift = group / 2 % 4 * 2;
    const Index bit = group / 2;
    for (Index i = 0; i < 16; ++i) {
      const int set = quant_byte(mask, i) >> bit & 1;
      const int q = (quant_byte(quants, i) >> shift & 3) - 4 * (1 - set);
      out[group * 16 + i] = scale * static_cast<float>(q);
    }
  }
}

/// The scale and the minimum, of 6 bits each, of one of the 8 groups of 32 of a Q4_K or Q5_K block.
struct SixBits {
  int scale, minimum;
};
inline SixBits six_bits(const std::byte* packed, Index group) {
  if (group < 4) return {quant_byte(packed, group) & 63, quant_byte(packed, group + 4) & 63};
  const int low = quant_byte(packed, group + 4);
  return {(low & 15) | (quant_byte(packed, group - 4) >> 2 & 48),
          (low >> 4) | (quant_byte(packed, group) >> 2 & 48)};
}

inline void block_q4_k(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 0);
  const float d_min = quant_scale(block, 2);
  for (Index pair = 0; pair < 4; ++pair, out += 64) {  // of groups: the halves of 32 bytes
    const SixBits low = six_bits(block + 4, 2 * pair), high = six_bits(block + 4, 2 * pair + 1);
    const float scale = d * static_cast<float>(low.scale), minimum = d_min * static_cast<float>(low.minimum);
    const float high_scale = d * static_cast<float>(high.scale);
    const float high_minimum = d_min * static_cast<float>(high.minimum);
    const std::byte* quants = block + 16 + pair * 32;
    for (Index i = 0; i < 32; ++i) out[i] = scale * static_cast<float>(quant_byte(quants, i) & 15) - minimum;
    for (Index i = 0; i < 32; ++i)
      out[32 + i] = high_scale * static_cast<float>(quant_byte(quants, i) >> 4) - high_minimum;
  }
}

inline void block_q5_k(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 0);
  const float d_min = quant_scale(block, 2);
  for (Index group = 0; group < 8; ++group) {
    const SixBits bits = six_bits(block + 4, group);
    const float scale = d * static_cast<float>(bits.scale);
    const float minimum = d_min * static_cast<float>(bits.minimum);
    const std::byte* high = block + 16;
    const std::byte* quants = block + 48 + group / 2 * 32;
    const Index shift = group % 2 * 4;
    for (Index i = 0; i < 32; ++i) {
      const int q = (quant_byte(quants, i) >> shift & 15) | (quant_byte(high, i) >> group & 1) << 4;
      out[group * 32 + i] = scale * static_cast<float>(q) - minimum;
    }
  }
}

/// 16 groups of 16: d · scale · (q − 32), q of 6 bits.
inline void block_q6_k(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 208);
  const auto scale_of = [&](Index group) {
    return d * static_cast<float>(static_cast<std::int8_t>(quant_byte(block, 192 + group)));
  };
  for (Index run = 0; run < 8; ++run) {  // of two groups
    // Half a block is 64 bytes of low halves, two runs of 32 in each nibble, and 32 bytes of bit pairs.
    const std::byte* low = block + run / 4 * 64 + run % 2 * 32;
    const std::byte* high = block + 128 + run / 4 * 32;
    const int low_shift = run % 4 < 2 ? 0 : 4, high_shift = static_cast<int>(run % 4) * 2;
    const float first = scale_of(2 * run), second = scale_of(2 * run + 1);
    for (Index i = 0; i < 32; ++i) {
      const int q = (quant_byte(low, i) >> low_shift & 15) | (quant_byte(high, i) >> high_shift & 3) << 4;
      out[run * 32 + i] = (i < 16 ? first : second) * static_cast<float>(q - 32);
    }
  }
}

/// What the 4 bits of the IQ4 types stand for: steps that grow away from zero.
inline constexpr float iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};

inline void block_iq4_nl(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 0);
  block_of_nibbles(block + 2, out, [d](int q) { return d * iq4_values[q]; });
}

/// 8 groups of 32, each with a scale of 6 bits.
inline void block_iq4_xs(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 0);
  const int high_bits = quant_integer<std::uint16_t>(block, 2);
  for (Index group = 0; group < 8; ++group) {
    const int low = quant_byte(block, 4 + group / 2) >> (group % 2 * 4) & 15;
    const int high = high_bits >> (group * 2) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    block_of_nibbles(block + 8 + group * 16, out + group * 32,
                     [scale](int q) { return scale * iq4_values[q]; });
  }
}

/// −1, 0 or 1 times one scale, in bit pairs that lie as in Q2_K.
inline void block_tq2_0(const std::byte* block, float* __restrict out) {
  const float d = quant_scale(block, 64);
  for (Index run = 0; run < 8; ++run) {
    for (Index i = 0; i < 32; ++i) {
      const int q = quant_byte(block, run / 4 * 32 + i) >> (run % 4 * 2) & 3;
      out[run * 32 + i] = d * static_cast<float>(q - 1);
    }
  }
}

/// Twice the numbers that 4 bits hold as one of sign, two of exponent and one of mantissa.
inline constexpr float fp4_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// A power of two as the scale, from a byte of exponent alone; half of it, as the numbers are doubled.
inline void block_mxfp4(const std::byte* block, float* __restrict out) {
  const auto exponent = static_cast<std::uint32_t>(quant_byte(block, 0));
  const float d =
      std::bit_cast<float>(exponent < 2 ? std::uint32_t{0x00200000} << exponent : (exponent - 1) << 23);
  block_of_nibbles(block + 1, out, [d](int q) { return d * fp4_doubled[q]; });
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
