// Weights in bf16 beside those in float that the optimizer moves. Rounded up or down by chance, with the mean that the
// weight has, steps smaller than bf16's digits are not lost; the draw is a function of the seed, the step and the place.
#pragma once

#include <cstdint>
#include <cstring>

#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

/// Four random words from a counter and a key: Philox4x32-10, as merit/core/rng.hpp has it for the host.
struct RandomWords {
  std::uint32_t word[4];

  MERIT_KERNEL static RandomWords of(std::uint64_t low, std::uint64_t high, std::uint64_t key) {
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
MERIT_CALLABLE inline Bf16 rounded_by_chance(float x, std::uint32_t random) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  if ((bits & 0x7F800000u) != 0x7F800000u) {
    bits += random & 0xFFFFu;
  } else if ((bits & 0x007FFFFFu) != 0) {
    bits |= 0x00400000u;  // a NaN stays one
  }
  return Bf16{static_cast<std::uint16_t>(bits >> 16)};
}

/// The weights in bf16; none where `weights` is null. With a draw {seed, step}, rounded by chance, else to nearest.
struct RoundedWeights {
  Bf16* weights = nullptr;
  const std::uint64_t* draw = nullptr;  // (2) on the device; optional
  Index first = 0;                      // of all weights, where these begin: a multiple of 4

  template <class Block>
  MERIT_KERNEL void store(Block& block, Index i, int count, const Numbers<4>& values) const {
    if (weights == nullptr) return;
    RandomWords random{};
    if (draw != nullptr) random = RandomWords::of((first + i) / 4, block.load(draw + 1), block.load(draw));
    MERIT_UNROLL
    for (int k = 0; k < 4; ++k) {
      if (k >= count) break;
      block.store(weights + i + k, draw != nullptr ? rounded_by_chance(values.value[k], random.word[k])
                                                   : rounded<Bf16>(block, values.value[k]));
    }
  }
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
