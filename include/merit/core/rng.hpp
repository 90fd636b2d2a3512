// Random numbers from a counter. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// 2011): the n-th number of a stream is a pure function of (seed, stream, n), so a generator is three
// integers that can be saved, copied, split between threads, and asked for any number in any order.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Philox4x32-10: four 32-bit words from a 128-bit counter and a 64-bit key.
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  // Plain numbers: a program that is not optimised would call a function for each element of an array.
  auto [c0, c1, c2, c3] = counter;
  auto [k0, k1] = key;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(b);
    c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(a);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

/// A stream of random numbers. Its whole state is (seed, stream, position).
class Rng {
 public:
  constexpr explicit Rng(std::uint64_t seed = 0, std::uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  /// The next 64 random bits.
  constexpr std::uint64_t next() {
    const auto words =
        philox4x32({static_cast<std::uint32_t>(position_), static_cast<std::uint32_t>(position_ >> 32),
                    static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32)},
                   {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)});
    ++position_;
    return std::uint64_t{words[0]} | std::uint64_t{words[1]} << 32;
  }

  /// Uniform in [0, 1), 53 bits.
  constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  /// Uniform in {0, …, n−1} without bias (rejection). Requires n > 0.
  constexpr std::uint64_t below(std::uint64_t n) {
    const std::uint64_t limit =
        ~std::uint64_t{0} - (~std::uint64_t{0} % n + 1) % n;  // the last value that keeps n | range
    std::uint64_t x = next();
    while (x > limit) x = next();
    return x % n;
  }

  /// Standard normal (Box–Muller, one of the two values).
  double normal() {
    const double u = 1.0 - uniform();  // in (0, 1]
    const double v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }

  /// An independent generator with the same seed.
  constexpr Rng split(std::uint64_t stream) const { return Rng(seed_, stream); }

  constexpr std::uint64_t seed() const { return seed_; }
  constexpr std::uint64_t stream() const { return stream_; }
  constexpr std::uint64_t position() const { return position_; }
  constexpr void seek(std::uint64_t position) { position_ = position; }

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t position_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
