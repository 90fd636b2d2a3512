// The blocks of each quantised type of GGUF files, in groups of 32 elements: small integers, and the scale and the
// minimum that make floats of them, bit for bit those of the `gguf` package. Where numbers lie in a block is a
// fact of the format: https://github.com/ggml-org/ggml.
//
// An element is scale · integer + minimum. No such sum rounds a product before it: scales have at most 17
// significant bits and integers at most 8, those with a minimum 5, so that a compiler may fuse multiply and add
// without changing a bit.
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

/// Elements of a group: every block is some whole groups.
inline constexpr Index block_group = 32;

/// 32 elements of a block: element i is scale[i / 16] · integers[i] + minimum[i / 16].
struct BlockGroup {
  alignas(32) std::int8_t integers[block_group];
  float scale[2];    // of each half
  float minimum[2];  // where the type has one

  /// The same for both halves.
  void set_scale(float both) { scale[0] = scale[1] = both; }
  void set_minimum(float both) { minimum[0] = minimum[1] = both; }
};

/// A quantised type: whether its groups have a minimum, where in a block the float16 scales begin, and how a group is
/// read.
template <Dtype dtype>
struct BlockFormat;

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
  const auto bits = quant_integer<std::uint16_t>(block, at);
#ifdef __F16C__
  // One instruction where from_f16 takes ten, which cost as much as the 32 integers of a block do.
  using Halves = short __attribute__((vector_size(16)));
  return __builtin_ia32_vcvtph2ps(Halves{static_cast<short>(bits)})[0];
#else
  return from_f16(bits);
#endif
}

// Integers are unpacked in vectors of 16 bytes, which GCC and clang spell alike on every machine: loops over bytes
// become vector instructions by luck alone.

using SixteenBytes = std::uint8_t __attribute__((vector_size(16)));

inline SixteenBytes read_sixteen(const std::byte* from) {
  SixteenBytes bytes;
  std::memcpy(&bytes, from, 16);
  return bytes;
}

/// Some bits of each of 16 bytes: (byte >> shift) & mask, where mask < 2^(8 - shift). Shifted in pairs, for processors
/// shift no bytes; what comes over from the neighbour is masked.
inline SixteenBytes read_bits(const std::byte* from, int shift, std::uint8_t mask) {
  using Pairs = std::uint16_t __attribute__((vector_size(16)));
  return std::bit_cast<SixteenBytes>(std::bit_cast<Pairs>(read_sixteen(from)) >> shift) & mask;
}

/// The integers of a group, less `offset`, from 0 to 255.
inline void put_integers(SixteenBytes first, SixteenBytes second, std::uint8_t offset, BlockGroup& out) {
  first -= offset;
  second -= offset;
  std::memcpy(out.integers, &first, 16);
  std::memcpy(out.integers + 16, &second, 16);
}

/// Two integers of 4 bits to a byte, 16 bytes: the low halves are elements 0 to 15, the high ones 16 to 31.
inline void read_four_bits(const std::byte* quants, std::uint8_t offset, BlockGroup& out) {
  put_integers(read_bits(quants, 0, 15), read_bits(quants, 4, 15), offset, out);
}

/// 16 where bit i of two bytes is set, else 0.
inline SixteenBytes spread_fifth_bits(const std::byte* two) {
  using Halves = std::uint64_t __attribute__((vector_size(16)));
  constexpr std::uint64_t each = 0x0101010101010101;  // of eight bytes
  const Halves copies{each * static_cast<std::uint64_t>(quant_byte(two, 0)),
                      each * static_cast<std::uint64_t>(quant_byte(two, 1))};
  constexpr SixteenBytes bit{1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  return std::bit_cast<SixteenBytes>((std::bit_cast<SixteenBytes>(copies) & bit) == bit) & std::uint8_t{16};
}

/// Integers of 4 bits with a fifth bit each: bit i of `high`, 4 bytes, for element i.
inline void read_five_bits(const std::byte* high, const std::byte* quants, std::uint8_t offset,
                           BlockGroup& out) {
  put_integers(read_bits(quants, 0, 15) | spread_fifth_bits(high),
               read_bits(quants, 4, 15) | spread_fifth_bits(high + 2), offset, out);
}

/// Integers of 2 bits of a block of 8 groups: each half of it is 32 bytes, whose bit pairs are four groups.
inline void read_bit_pairs(const std::byte* quants, Index group, std::uint8_t offset, BlockGroup& out) {
  const std::byte* half = quants + group / 4 * 32;
  const int shift = static_cast<int>(group % 4 * 2);
  put_integers(read_bits(half, shift, 3), read_bits(half + 16, shift, 3), offset, out);
}

/// What integers of 4 bits stand for by a table.
inline void read_table(const std::byte* quants, const std::int8_t (&table)[16], BlockGroup& out) {
  read_four_bits(quants, 0, out);
  for (std::int8_t& integer : out.integers) integer = table[integer];
}

template <>
struct BlockFormat<Dtype::q4_0> {
  static constexpr bool has_minimum = false;
  static constexpr std::array<std::uint8_t, 1> scale_places{0};
  static void read(const std::byte* block, Index, BlockGroup& out) {
    out.set_scale(quant_scale(block, 0));
    read_four_bits(block + 2, 8, out);
  }
};

template <>
struct BlockFormat<Dtype::q4_1> {
  static constexpr bool has_minimum = true;
  static constexpr std::array<std::uint8_t, 2> scale_places{0, 2};
  static void read(const std::byte* block, Index, BlockGroup& out) {
    out.set_scale(quant_scale(block, 0));
    out.set_minimum(quant_scale(block, 2));
    read_four_bits(block + 4, 0, out);
  }
};

template <>
struct BlockFormat<Dtype::q5_0> {
  static constexpr bool has_minimum = false;
  static constexpr std::array<std::uint8_t, 1> scale_places{0};
  static void read(const std::byte* block, Index, BlockGroup& out) {
    out.set_scale(quant_scale(block, 0));
    read_five_bits(block + 2, block + 6, 16, out);
  }
};

template <>
struct BlockFormat<Dtype::q5_1> {
  static constexpr bool has_minimum = true;
  static constexpr std::array<std::uint8_t, 2> scale_places{0, 2};
  static void read(const std::byte* block, Index, BlockGroup& out) {
    out.set_scale(quant_scale(block, 0));
    out.set_minimum(quant_scale(block, 2));
    read_five_bits(block + 4, block + 8, 0, out);
  }
};

template <>
struct BlockFormat<Dtype::q8_0> {
  static constexpr bool has_minimum = false;
  static constexpr std::array<std::uint8_t, 1> scale_places{0};
  static void read(const std::byte* block, Index, BlockGroup& out) {
    out.set_scale(quant_scale(block, 0));
    std::memcpy(out.integers, block + 2, 32);
  }
};

/// Integers of 2 bits; scales and minima of 4.
template <>
struct BlockFormat<Dtype::q2_k> {
  static constexpr bool has_minimum = true;
  static constexpr std::array<std::uint8_t, 2> scale_places{80, 82};
  static void read(const std::byte* block, Index group, BlockGroup& out) {
    const float d = quant_scale(block, 80);
    const float d_min = quant_scale(block, 82);
    for (Index half = 0; half < 2; ++half) {
      const int scales = quant_byte(block, 2 * group + half);
      out.scale[half] = d * static_cast<float>(scales & 15);
      out.minimum[half] = -(d_min * static_cast<float>(scales >> 4));
    }
    read_bit_pairs(block + 16, group, 0, out);
  }
};

/// Integers of 2 bits as those of Q2_K, less 4 where the mask's bit is 0; scales of 6 bits.
template <>
struct BlockFormat<Dtype::q3_k> {
  static constexpr bool has_minimum = false;
  static constexpr std::array<std::uint8_t, 1> scale_places{108};
  static void read(const std::byte* block, Index group, BlockGroup& out) {
    const float d = quant_scale(block, 108);
    const std::byte* scales = block + 96;
    for (Index half = 0; half < 2; ++half) {
      const Index at = 2 * group + half;
      const int low = quant_byte(scales, at % 8) >> (at / 8 * 4) & 15;
      const int high = quant_byte(scales, 8 + at % 4) >> (at / 4 * 2) & 3;
      out.scale[half] = d * static_cast<float>((low | high << 4) - 32);
    }
    const std::byte* quants = block + 32 + group / 4 * 32;
    const int shift = static_cast<int>(group % 4 * 2), bit = static_cast<int>(group);
    put_integers(read_bits(quants, shift, 3) + 4 * read_bits(block, bit, 1),
                 read_bits(quants + 16, shift, 3) + 4 * read_bits(block + 16, bit, 1), 4, out);
  }
};

/// Sets the scale and the minimum, of 6 bits each, of one of the 8 groups of a Q4_K or Q5_K block.
inline void read_six_bits(const std::byte* block, Index group, BlockGroup& out) {
  const std::byte* packed = block + 4;
  int scale, minimum;
  if (group < 4) {
    scale = quant_byte(packed, group) & 63;
    minimum = quant_byte(packed, group + 4) & 63;
  } else {
    const int low = quant_byte(packed, group + 4);
    scale = (low & 15) | (quant_byte(packed, group - 4) >> 2 & 48);
    minimum = (low >> 4) | (quant_byte(packed, group) >> 2 & 48);
  }
  out.set_scale(quant_scale(block, 0) * static_cast<float>(scale));
  out.set_minimum(-(quant_scale(block, 2) * static_cast<float>(minimum)));
}

template <>
struct BlockFormat<Dtype::q4_k> {
  static constexpr bool has_minimum = true;
  static constexpr std::array<std::uint8_t, 2> scale_places{0, 2};
  static void read(const std::byte* block, Index group, BlockGroup& out) {
    read_six_bits(block, group, out);
    const std::byte* quants = block + 16 + group / 2 * 32;
    const int shift = static_cast<int>(group % 2 * 4);
    put_integers(read_bits(quants, shift, 15), read_bits(quants + 16, shift, 15), 0, out);
  }
};

template <>
struct BlockFormat<Dtype::q5_k> {
  static constexpr bool has_minimum = true;
  static constexpr std::array<std::uint8_t, 2> scale_places{0, 2};
  static void read(const std::byte* block, Index group, BlockGroup& out) {
    read_six_bits(block, group, out);
    const std::byte* high = block + 16;
    const std::byte* quants = block + 48 + group / 2 * 32;
    const int shift = static_cast<int>(group % 2 * 4), bit = static_cast<int>(group);
    put_integers(read_bits(quants, shift, 15) + 16 * read_bits(high, bit, 1),
                 read_bits(quants + 16, shift, 15) + 16 * read_bits(high + 16, bit, 1), 0, out);
  }
};

/// Integers of 6 bits, less 32. Half a block is 64 bytes of low halves, two groups in each nibble, and 32 bytes of
/// bit pairs.
template <>
struct BlockFormat<Dtype::q6_k> {
  static constexpr bool has_minimum = false;
  static constexpr std::array<std::uint8_t, 1> scale_places{208};
  static void read(const std::byte* block, Index group, BlockGroup& out) {
    const float d = quant_scale(block, 208);
    for (Index half = 0; half < 2; ++half) {
      const auto scale = static_cast<std::int8_t>(quant_byte(block, 192 + 2 * group + half));
      out.scale[half] = d * static_cast<float>(scale);
    }
    const std::byte* low = block + group / 4 * 64 + group % 2 * 32;
    const std::byte* high = block + 128 + group / 4 * 32;
    const int low_shift = static_cast<int>(group % 4 / 2 * 4), high_shift = static_cast<int>(group % 4 * 2);
    put_integers(read_bits(low, low_shift, 15) + 16 * read_bits(high, high_shift, 3),
                 read_bits(low + 16, low_shift, 15) + 16 * read_bits(high + 16, high_shift, 3), 32, out);
  }
};

/// What the 4 bits of the IQ4 types stand for: steps that grow away from zero.
inline constexpr std::int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

template <>
struct BlockFormat<Dtype::iq4_nl> {
  static constexpr bool has_minimum = false;
  static constexpr std::array<std::uint8_t, 1> scale_places{0};
  static void read(const std::byte* block, Index, BlockGroup& out) {
    out.set_scale(quant_scale(block, 0));
    read_table(block + 2, iq4_values, out);
  }
};

/// Scales of 6 bits.
template <>
struct BlockFormat<Dtype::iq4_xs> {
  static constexpr bool has_minimum = false;
  static constexpr std::array<std::uint8_t, 1> scale_places{0};
  static void read(const std::byte* block, Index group, BlockGroup& out) {
    const int low = quant_byte(block, 4 + group / 2) >> (group % 2 * 4) & 15;
    const int high = quant_integer<std::uint16_t>(block, 2) >> (group * 2) & 3;
    out.set_scale(quant_scale(block, 0) * static_cast<float>((low | high << 4) - 32));
    read_table(block + 8 + group * 16, iq4_values, out);
  }
};

/// −1, 0 or 1 times one scale.
template <>
struct BlockFormat<Dtype::tq2_0> {
  static constexpr bool has_minimum = false;
  static constexpr std::array<std::uint8_t, 1> scale_places{64};
  static void read(const std::byte* block, Index group, BlockGroup& out) {
    out.set_scale(quant_scale(block, 64));
    read_bit_pairs(block, group, 1, out);
  }
};

/// Twice the numbers that 4 bits hold as one of sign, two of exponent and one of mantissa.
inline constexpr std::int8_t fp4_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// A power of two as the scale, from a byte of exponent alone; half of it, as the numbers are doubled.
template <>
struct BlockFormat<Dtype::mxfp4> {
  static constexpr bool has_minimum = false;
  static constexpr std::array<std::uint8_t, 0> scale_places{};
  static void read(const std::byte* block, Index, BlockGroup& out) {
    const auto exponent = static_cast<std::uint32_t>(quant_byte(block, 0));
    out.set_scale(
        std::bit_cast<float>(exponent < 2 ? std::uint32_t{0x00200000} << exponent : (exponent - 1) << 23));
    read_table(block + 1, fp4_doubled, out);
  }
};

/// The 32 numbers of a group.
inline void group_numbers(const BlockGroup& group, bool has_minimum, float* __restrict out) {
  for (Index i = 0; i < block_group; ++i)
    out[i] = group.scale[i / 16] * static_cast<float>(group.integers[i]);
  if (!has_minimum) return;  // no "+ 0", which would make a −0 a +0
  for (Index i = 0; i < block_group; ++i) out[i] += group.minimum[i / 16];
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
