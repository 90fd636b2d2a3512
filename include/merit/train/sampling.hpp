// The order in which examples are visited, and which of them are held out: pure functions of a seed.
#pragma once

#include <cmath>
#include <cstddef>
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
inline constexpr std::uint64_t part_stream = std::uint64_t{0x50415254} << 32;     // "PART"

/// Fisher–Yates.
inline void shuffle(std::vector<Index>& numbers, Rng rng) {
  for (Index left = numbers.size(); left > 1; --left) {
    std::swap(numbers[left - 1], numbers[static_cast<Index>(rng.below(left))]);
  }
}

}  // namespace detail

/// Examples of a set that follow one another, such as those of one file, and how often an epoch visits them: 2 is each
/// of them twice, 0.5 one half of them, and the other half in the next epoch.
struct SetPart {
  Index examples = 0;
  double epochs = 1;

  friend bool operator==(const SetPart&, const SetPart&) = default;
};

/// The largest SetPart::epochs.
inline constexpr double most_epochs_of_part = 1e6;

/// How many examples of a part an epoch visits, each as often as it does: examples · epochs to the nearest whole number,
/// a half down, and one at least of a part that has any. Throws ConfigError where epochs is not above 0 and at most
/// most_epochs_of_part.
inline Index visits_of(const SetPart& part) {
  if (!(part.epochs > 0 && part.epochs <= most_epochs_of_part)) {
    throw ConfigError(
        concat("epochs of a part: found ", part.epochs, ", expected a number above 0, 1e6 at most"));
  }
  if (part.examples == 0) return 0;
  const double visits = std::ceil(static_cast<double>(part.examples) * part.epochs - 0.5);
  return visits < 1 ? 1 : static_cast<Index>(visits);
}

/// How many examples an epoch visits of a set of n in these parts; no parts: each example once. Throws ConfigError where
/// the parts are not of n examples.
inline Index epoch_size(Index n, const std::vector<SetPart>& parts) {
  if (parts.empty()) return n;
  Index examples = 0, visits = 0;
  for (const SetPart& part : parts) {
    examples += part.examples;
    visits += visits_of(part);
  }
  if (examples == n) return visits;
  throw ConfigError(concat("parts of a set: found parts of ", examples, " examples together, expected ", n,
                           ", as many as the set has"));
}

/// The order of one epoch: which of the numbers 0 to n−1 is visited when. Depends on its arguments alone, so that a run
/// that was stopped in the middle of an epoch finds the same order again.
///
/// A part is taken whole as often as its epochs say. Where less than the whole is left, it comes from an order of the
/// part that lasts for as many epochs as it can, before another is drawn: 0.25 visits different quarters in four epochs.
inline std::vector<Index> epoch_order(Index n, const std::vector<SetPart>& parts, std::uint64_t seed,
                                      std::uint64_t epoch) {
  std::vector<Index> order;
  order.reserve(epoch_size(n, parts));
  const auto take_all = [&order](Index begin, Index count) {
    order.resize(order.size() + count);
    std::iota(order.end() - static_cast<std::ptrdiff_t>(count), order.end(), begin);
  };
  if (parts.empty()) take_all(0, n);
  Index begin = 0;
  for (Index p = 0; p < parts.size(); ++p) {
    const Index size = parts[p].examples;
    const Index visits = visits_of(parts[p]);
    for (Index left = visits; left >= size && left != 0; left -= size) take_all(begin, size);
    if (const Index some = size == 0 ? 0 : visits % size; some != 0) {
      const Index lasts = size / some;  // epochs
      std::vector<Index> own(size);
      std::iota(own.begin(), own.end(), begin);
      detail::shuffle(own, Rng(seed, detail::part_stream + epoch / lasts * parts.size() + p));
      const auto first = own.begin() + static_cast<std::ptrdiff_t>(epoch % lasts * some);
      order.insert(order.end(), first, first + static_cast<std::ptrdiff_t>(some));
    }
    begin += size;
  }
  detail::shuffle(order, Rng(seed, detail::shuffle_stream + epoch));
  return order;
}

/// The same of a set that has no parts: each of the numbers once.
inline std::vector<Index> epoch_order(Index n, std::uint64_t seed, std::uint64_t epoch) {
  return epoch_order(n, {}, seed, epoch);
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
