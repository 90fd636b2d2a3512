// The order in which examples are visited, and which of them are held out: pure functions of a seed.
#pragma once

#include <cstdint>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/rng.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

// Numbers of random streams, apart from one another and from those of small numbers.
inline constexpr std::uint64_t shuffle_stream = std::uint64_t{0x53485546} << 32;  // "SHUF"
inline constexpr std::uint64_t split_stream = std::uint64_t{0x53504C54} << 32;    // "SPLT"

}  // namespace detail

/// The numbers 0 to n−1 in the order of one epoch (Fisher–Yates). Depends on its arguments alone, so that a
/// run that was stopped in the middle of an epoch finds the same order again.
inline std::vector<Index> epoch_order(Index n, std::uint64_t seed, std::uint64_t epoch) {
  std::vector<Index> order(n);
  std::iota(order.begin(), order.end(), Index{0});
  Rng rng(seed, detail::shuffle_stream + epoch);
  for (Index left = n; left > 1; --left) {
    std::swap(order[left - 1], order[static_cast<Index>(rng.below(left))]);
  }
  return order;
}

/// Whether the records with this key are held out: a `fraction` of all keys is. Depends on the key and the
/// seed alone, so that a record keeps its side when others come and go. Give the prompt as the key, and the
/// pairs of one prompt stay together. What is held out at one fraction is also held out at every larger one.
/// Throws ConfigError for a fraction outside [0, 1].
inline bool held_out(std::string_view key, double fraction, std::uint64_t seed = 0) {
  if (!(fraction >= 0 && fraction <= 1)) {
    throw ConfigError(concat("held-out fraction: found ", fraction, ", expected a number of 0 to 1"));
  }
  return Rng(seed ^ detail::split_stream, fnv1a(key)).uniform() < fraction;
}

}  // namespace MERIT_ABI
}  // namespace merit
