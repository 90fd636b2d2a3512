// Floats to the K types of GGUF files: blocks of 256 in groups of 16 or 32, each with a scale of few bits, and of some types
// a minimum. Where numbers lie in a block is a fact of the format (https://github.com/ggml-org/ggml); how they are chosen is
// ours: of a few scales for a group, the one whose integers, by least squares, are nearest to the group.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "merit/core/dtype.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Writes `scale` as the float16 at `at`, and gives what it is there.
inline float put_rounded_scale(std::byte* block, Index at, float scale) {
  const std::uint16_t bits = to_f16(scale);
  std::memcpy(block + at, &bits, sizeof bits);
  return from_f16(bits);
}

/// The whole number nearest to value / unit, within [low, high]; 0 where there is no unit.
inline int nearest_level(float value, float unit, int low, int high) {
  if (unit == 0) return std::clamp(0, low, high);
  const float level = value / unit;
  return static_cast<int>(std::lround(std::clamp(level, static_cast<float>(low), static_cast<float>(high))));
}

inline constexpr int scale_trials =
    8;  // on each side of the one that spans a group, an eighth of a level apart

/// The scale by which integers from -levels to levels - 1 are nearest to `count` numbers. The number furthest from 0
/// becomes -levels or nearly, which has no opposite.
inline float fit_scale(const float* in, Index count, int levels) {
  float extreme = 0;
  for (Index i = 0; i < count; ++i) {
    if (std::abs(in[i]) > std::abs(extreme)) extreme = in[i];
  }
  if (extreme == 0) return 0;
  float best = 0;
  double most = -1;  // what a scale takes off the sum of squares
  for (int trial = -scale_trials; trial <= scale_trials; ++trial) {
    const float unit = extreme / (-static_cast<float>(levels) + static_cast<float>(trial) / 8);
    double xq = 0, qq = 0;
    for (Index i = 0; i < count; ++i) {
      const auto q = static_cast<double>(nearest_level(in[i], unit, -levels, levels - 1));
      xq += double{in[i]} * q;
      qq += q * q;
    }
    if (qq == 0 || xq * xq / qq <= most) continue;
    most = xq * xq / qq;
    best = static_cast<float>(xq / qq);
  }
  return best;
}

/// A group as scale · q - minimum, with q from 0 to `top` and a minimum that is not negative.
struct ScaleAndMinimum {
  float scale = 0, minimum = 0;
};

inline ScaleAndMinimum fit_scale_and_minimum(const float* in, Index count, int top) {
  const auto [lowest, highest] = std::minmax_element(in, in + count);
  const float low = std::min(*lowest, 0.0f), high = *highest;
  if (high <= low) return {0, -low};
  ScaleAndMinimum best;
  double least = -1;
  const auto n = static_cast<double>(count);
  for (int trial = -scale_trials; trial <= scale_trials; ++trial) {
    const float unit = (high - low) / (static_cast<float>(top) + static_cast<float>(trial) / 8);
    double q1 = 0, q2 = 0, x1 = 0, xq = 0;
    for (Index i = 0; i < count; ++i) {
      const auto q = static_cast<double>(nearest_level(in[i] - low, unit, 0, top));
      q1 += q;
      q2 += q * q;
      x1 += double{in[i]};
      xq += double{in[i]} * q;
    }
    // The line through (q, x); without an offset where that would be above 0.
    const double spread = n * q2 - q1 * q1;
    double scale = spread > 0 ? (n * xq - q1 * x1) / spread : 0, offset = (x1 - scale * q1) / n;
    if (offset > 0 || spread <= 0) {
      scale = q2 > 0 ? xq / q2 : 0;
      offset = 0;
    }
    if (scale <= 0) continue;
    // The sum of squares of what is left, but for that of the numbers themselves.
    const double left =
        scale * scale * q2 + 2 * scale * offset * q1 + n * offset * offset - 2 * scale * xq - 2 * offset * x1;
    if (least != -1 && left >= least) continue;
    least = left;
    best = {static_cast<float>(scale), static_cast<float>(-offset)};
  }
  return least == -1 ? ScaleAndMinimum{0, -low} : best;
}

/// A block of groups with a scale and a minimum each: their integers, which have `bits`, and those of the elements.
template <Index groups>
struct GroupLevels {
  std::array<int, groups> scales{}, minima{};
  std::array<int, 256> q{};
};

/// `d` and `d_min` are written as float16 at those places.
template <Index groups>
GroupLevels<groups> levels_from_minima(const float* in, int top, int most, std::byte* block, Index d,
                                       Index d_min) {
  constexpr Index width = 256 / groups;
  std::array<ScaleAndMinimum, groups> fits;
  float scale = 0, minimum = 0;
  for (Index g = 0; g < groups; ++g) {
    fits[g] = fit_scale_and_minimum(in + g * width, width, top);
    scale = std::max(scale, fits[g].scale);
    minimum = std::max(minimum, fits[g].minimum);
  }
  scale = put_rounded_scale(block, d, scale / static_cast<float>(most));
  minimum = put_rounded_scale(block, d_min, minimum / static_cast<float>(most));
  GroupLevels<groups> levels;
  for (Index g = 0; g < groups; ++g) {
    levels.scales[g] = nearest_level(fits[g].scale, scale, 0, most);
    levels.minima[g] = nearest_level(fits[g].minimum, minimum, 0, most);
    const float unit = scale * static_cast<float>(levels.scales[g]);
    const float offset = minimum * static_cast<float>(levels.minima[g]);
    for (Index i = g * width; i < (g + 1) * width; ++i)
      levels.q[i] = nearest_level(in[i] + offset, unit, 0, top);
  }
  return levels;
}

/// The same for integers about 0, from -levels to levels - 1, and scales from -most to most - 1.
inline GroupLevels<16> levels_about_zero(const float* in, int levels, int most, std::byte* block, Index d) {
  GroupLevels<16> result;
  std::array<float, 16> scales;
  float extreme = 0;
  for (Index g = 0; g < 16; ++g) {
    scales[g] = fit_scale(in + g * 16, 16, levels);
    if (std::abs(scales[g]) > std::abs(extreme)) extreme = scales[g];
  }
  const float unit = put_rounded_scale(block, d, extreme / static_cast<float>(-most));
  for (Index g = 0; g < 16; ++g) {
    result.scales[g] = nearest_level(scales[g], unit, -most, most - 1);
    const float of_group = unit * static_cast<float>(result.scales[g]);
    for (Index i = g * 16; i < (g + 1) * 16; ++i)
      result.q[i] = nearest_level(in[i], of_group, -levels, levels - 1);
  }
  return result;
}

/// Sets bits of a byte that are 0.
inline void add_bits(std::byte& byte, int bits) {
  byte |= static_cast<std::byte>(bits);
}

inline void quantize_q2_k(const float* in, std::byte* block) {
  const auto levels = levels_from_minima<16>(in, 3, 15, block, 80, 82);
  std::memset(block, 0, 80);
  for (Index g = 0; g < 16; ++g) {
    add_bits(block[g], levels.scales[g] | levels.minima[g] << 4);
    for (Index i = 0; i < 16; ++i)
      add_bits(block[16 + g / 8 * 32 + g % 2 * 16 + i], levels.q[g * 16 + i] << (g / 2 % 4 * 2));
  }
}

inline void quantize_q3_k(const float* in, std::byte* block) {
  const auto levels = levels_about_zero(in, 4, 32, block, 108);
  std::memset(block, 0, 108);
  std::byte* const scales = block + 96;
  for (Index g = 0; g < 16; ++g) {
    const int scale = levels.scales[g] + 32;
    add_bits(scales[g % 8], (scale & 15) << (g / 8 * 4));
    add_bits(scales[8 + g % 4], scale >> 4 << (g / 4 * 2));
    for (Index i = 0; i < 16; ++i) {
      const int q = levels.q[g * 16 + i] + 4;
      add_bits(block[g % 2 * 16 + i], q >> 2 << (g / 2));
      add_bits(block[32 + g / 8 * 32 + g % 2 * 16 + i], (q & 3) << (g / 2 % 4 * 2));
    }
  }
}

/// The scales and minima of 8 groups, of 6 bits each, in 12 bytes.
inline void put_six_bits(const GroupLevels<8>& levels, std::byte* packed) {
  std::memset(packed, 0, 12);
  for (Index g = 0; g < 4; ++g) {
    add_bits(packed[g], levels.scales[g] | levels.scales[g + 4] >> 4 << 6);
    add_bits(packed[g + 4], levels.minima[g] | levels.minima[g + 4] >> 4 << 6);
    add_bits(packed[g + 8], (levels.scales[g + 4] & 15) | (levels.minima[g + 4] & 15) << 4);
  }
}

inline void quantize_q4_k(const float* in, std::byte* block) {
  const auto levels = levels_from_minima<8>(in, 15, 63, block, 0, 2);
  put_six_bits(levels, block + 4);
  for (Index i = 0; i < 128; ++i) {
    const Index low = i / 32 * 64 + i % 32;
    block[16 + i] = static_cast<std::byte>(levels.q[low] | levels.q[low + 32] << 4);
  }
}

inline void quantize_q5_k(const float* in, std::byte* block) {
  const auto levels = levels_from_minima<8>(in, 31, 63, block, 0, 2);
  put_six_bits(levels, block + 4);
  std::memset(block + 16, 0, 32);
  for (Index i = 0; i < 256; ++i) add_bits(block[16 + i % 32], levels.q[i] >> 4 << (i / 32));
  for (Index i = 0; i < 128; ++i) {
    const Index low = i / 32 * 64 + i % 32;
    block[48 + i] = static_cast<std::byte>((levels.q[low] & 15) | (levels.q[low + 32] & 15) << 4);
  }
}

inline void quantize_q6_k(const float* in, std::byte* block) {
  const auto levels = levels_about_zero(in, 32, 128, block, 208);
  std::memset(block, 0, 192);
  for (Index i = 0; i < 256; ++i) {
    const Index run = i / 32;
    const int q = levels.q[i] + 32;
    add_bits(block[run / 4 * 64 + run % 2 * 32 + i % 32], (q & 15) << (run % 4 < 2 ? 0 : 4));
    add_bits(block[128 + run / 4 * 32 + i % 32], q >> 4 << (run % 4 * 2));
  }
  for (Index g = 0; g < 16; ++g) block[192 + g] = static_cast<std::byte>(levels.scales[g]);
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
