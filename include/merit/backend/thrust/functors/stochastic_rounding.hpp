// Weights in bf16 beside those in float that the optimizer moves: rounded to nearest, or up or down by chance.
#pragma once

#include <cstdint>
#include <cstring>

#include "merit/backend/operations.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// Four random words from a counter and a key: Philox4x32-10, as merit/core/rng.hpp has it for the host.
struct RandomWords {
  std::uint32_t word[4];

  static MERIT_CALLABLE RandomWords of(std::uint64_t low, std::uint64_t high, std::uint64_t key) {
    auto c0 = static_cast<std::uint32_t>(low), c1 = static_cast<std::uint32_t>(low >> 32);
    auto c2 = static_cast<std::uint32_t>(high), c3 = static_cast<std::uint32_t>(high >> 32);
    auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t a = std::uint64_t{0xD2511F53u} * c0, b = std::uint64_t{0xCD9E8D57u} * c2;
      c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0;
      c1 = static_cast<std::uint32_t>(b);
      c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
      c3 = static_cast<std::uint32_t>(a);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
  }
};

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
    RandomWords random{};
    if (rounding.by_chance) random = RandomWords::of(group, rounding.step, rounding.seed);
    for (int k = 0; k < 4; ++k) {
      const float weight = from[4 * group + static_cast<Index>(k)];
      to[4 * group + static_cast<Index>(k)] =
          rounding.by_chance ? rounded_by_chance(weight, random.word[k]) : Bf16{to_bf16(weight)};
    }
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
