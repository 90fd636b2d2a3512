// Weights in bf16 beside those in float that the optimizer moves: rounded to nearest, or up or down by chance.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "merit/backend/operations.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/rng.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// Four random words of a place in a stream: the host's generator, which nvcc compiles for devices, too (--expt-relaxed-constexpr).
inline MERIT_CALLABLE std::array<std::uint32_t, 4> random_words(std::uint64_t low, std::uint64_t high,
                                                                std::uint64_t key) {
  return philox4x32({static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(low >> 32),
                     static_cast<std::uint32_t>(high), static_cast<std::uint32_t>(high >> 32)},
                    {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
}

/// x with 16 random bits added below bf16's last and cut off there: up with the probability that the rest has.
inline MERIT_CALLABLE Bf16 rounded_by_chance(float x, std::uint32_t random) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  if ((bits & 0x7F800000u) != 0x7F800000u) {
    bits += random & 0xFFFFu;
  } else if ((bits & 0x007FFFFFu) != 0) {
    bits |= 0x00400000u;  // a NaN stays one
  }
  return Bf16{static_cast<std::uint16_t>(bits >> 16)};
}

/// to (count) = from, rounded, four at a time: they share a draw.
struct RoundWeights {
  Index count;
  const float* from;
  WeightRounding rounding;
  Bf16* to;

  MERIT_CALLABLE void operator()(Index group) const {
    std::array<std::uint32_t, 4> random{};
    if (rounding.by_chance) random = random_words(group, rounding.step, rounding.seed);
    for (int k = 0; k < 4; ++k) {
      const float weight = from[4 * group + static_cast<Index>(k)];
      to[4 * group + static_cast<Index>(k)] =
          rounding.by_chance ? rounded_by_chance(weight, random[static_cast<std::size_t>(k)])
                             : Bf16{to_bf16(weight)};
    }
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
