// Shuffling and splitting: permutations, pure functions, fair.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/train/sampling.hpp"

namespace sampling_test {

using merit::epoch_order;
using merit::epoch_size;
using merit::held_out;
using merit::Index;
using merit::SetPart;
using merit::visits_of;
using Parts = std::vector<SetPart>;

/// How often each example is visited in some epochs, each of which must be of the size that was said.
std::vector<int> visits(const Parts& parts, std::uint64_t first, std::uint64_t last) {
  Index n = 0;
  for (const SetPart& part : parts) n += part.examples;
  std::vector<int> seen(n);
  for (std::uint64_t epoch = first; epoch <= last; ++epoch) {
    const std::vector<Index> order = epoch_order(n, parts, 7, epoch);
    CHECK(order.size() == epoch_size(n, parts));
    for (const Index i : order) ++seen[i];
  }
  return seen;
}

TEST_CASE("an epoch visits every example once") {
  for (const Index n : {0u, 1u, 2u, 3u, 1000u}) {
    std::vector<Index> order = epoch_order(n, 5, 0);
    std::sort(order.begin(), order.end());
    std::vector<Index> all(n);
    std::iota(all.begin(), all.end(), Index{0});
    CHECK(order == all);
  }
}

TEST_CASE("the order is a function of seed and epoch") {
  CHECK(epoch_order(100, 1, 2) == epoch_order(100, 1, 2));
  CHECK(epoch_order(100, 1, 2) != epoch_order(100, 1, 3));
  CHECK(epoch_order(100, 1, 2) != epoch_order(100, 2, 2));
  // Saved runs depend on it: these are the values of version 0.1.
  CHECK(epoch_order(8, 1, 0) == std::vector<Index>{2, 1, 6, 0, 7, 5, 3, 4});
}

TEST_CASE("parts that are visited once an epoch are a set without parts") {
  for (const std::uint64_t epoch : {0u, 1u, 5u}) {
    const std::vector<Index> order = epoch_order(30, 3, epoch);
    CHECK(epoch_order(30, Parts{}, 3, epoch) == order);
    CHECK(epoch_order(30, Parts{{10, 1}, {0, 1}, {20, 1}}, 3, epoch) == order);
    CHECK(epoch_order(30, Parts{{30, 1}, {0, 0.5}}, 3, epoch) == order);
  }
}

TEST_CASE("a part is visited as often as its epochs say") {
  const Parts parts{{10, 0.5}, {4, 2}, {3, 1}, {8, 1.25}};
  CHECK(epoch_size(25, parts) == 5 + 8 + 3 + 10);
  for (const std::uint64_t epoch : {0u, 1u, 2u, 3u}) {
    const std::vector<int> seen = visits(parts, epoch, epoch);
    for (Index i = 0; i < 25; ++i) {
      const auto [least, most] = i < 10   ? std::pair(0, 1)
                                 : i < 14 ? std::pair(2, 2)
                                 : i < 17 ? std::pair(1, 1)
                                          : std::pair(1, 2);
      CHECK((seen[i] >= least && seen[i] <= most));
    }
  }
  // What is left over in one epoch comes in the next ones, before anything comes again.
  for (const std::uint64_t epoch : {0u, 4u}) {
    const std::vector<int> seen = visits(parts, epoch, epoch + 3);
    for (Index i = 0; i < 10; ++i) CHECK(seen[i] == 2);
    for (Index i = 17; i < 25; ++i) CHECK(seen[i] == 5);
  }
  const std::vector<int> ninths = visits({{9, 1.0 / 3}}, 3, 5);
  CHECK(ninths == std::vector<int>(9, 1));
}

TEST_CASE("the order of parts is a function of seed and epoch, and each has its own") {
  const Parts half{{40, 0.5}, {40, 0.5}};
  const std::vector<Index> order = epoch_order(80, half, 1, 2);
  CHECK(order == epoch_order(80, half, 1, 2));
  CHECK(order != epoch_order(80, half, 2, 2));
  CHECK(visits({{40, 0.5}}, 0, 0) != visits({{40, 0.5}}, 2, 2));  // other halves
  std::vector<Index> first, second;
  for (const Index i : order) (i < 40 ? first : second).push_back(i % 40);
  std::ranges::sort(first);
  std::ranges::sort(second);
  CHECK(first != second);
  CHECK_FALSE(std::ranges::is_sorted(order, {}, [](Index i) { return i / 40; }));  // mixed
  // Saved runs depend on it.
  CHECK(epoch_order(6, Parts{{4, 0.5}, {2, 2}}, 1, 0) == std::vector<Index>{4, 5, 5, 0, 3, 4});
  CHECK(epoch_order(6, Parts{{4, 0.5}, {2, 2}}, 1, 1) == std::vector<Index>{5, 1, 5, 4, 2, 4});
}

TEST_CASE("visits are the nearest whole number, and one at least") {
  CHECK(visits_of({100, 0.29}) == 29);  // 0.29 · 100 is below 29 in binary
  CHECK(visits_of({5, 0.5}) == 2);      // so that two epochs have no example twice
  CHECK(visits_of({11, 0.33}) == 4);
  CHECK(visits_of({1, 0.1}) == 1);
  CHECK(visits_of({0, 3}) == 0);
  CHECK(visits_of({3, 1e6}) == 3'000'000);
  for (const double bad : {0.0, -1.0, 2e6, std::nan("")})
    CHECK_THROWS_AS(visits_of({1, bad}), merit::ConfigError);
  CHECK_THROWS_WITH_AS(
      epoch_size(7, {{5, 2}}),
      "parts of a set: found parts of 5 examples together, expected 7, as many as the set has",
      merit::ConfigError);
}

TEST_CASE("all orders of four are equally likely") {
  std::map<std::vector<Index>, int> seen;
  constexpr int epochs = 24000;
  for (int e = 0; e < epochs; ++e) ++seen[epoch_order(4, 9, static_cast<std::uint64_t>(e))];
  CHECK(seen.size() == 24);
  double chi_squared = 0;
  for (const auto& [order, count] : seen) chi_squared += std::pow(count - 1000.0, 2) / 1000.0;
  CHECK(chi_squared < 50);  // 23 degrees of freedom: above 49.7 once in a thousand seeds
}

TEST_CASE("a split holds out its fraction, and more at a larger fraction") {
  int tenth = 0;
  int half = 0;
  for (int i = 0; i < 10000; ++i) {
    const std::string key = "prompt " + std::to_string(i);
    const bool in_tenth = held_out(key, 0.1);
    const bool in_half = held_out(key, 0.5);
    CHECK((!in_tenth || in_half));
    CHECK_FALSE(held_out(key, 0));
    CHECK(held_out(key, 1));
    tenth += in_tenth;
    half += in_half;
  }
  CHECK(std::abs(tenth - 1000) < 120);  // four standard deviations
  CHECK(std::abs(half - 5000) < 200);
}

TEST_CASE("another seed is another split, independent of the first") {
  int both = 0;
  for (int i = 0; i < 10000; ++i) {
    const std::string key = std::to_string(i);
    CHECK(held_out(key, 0.5, 3) == held_out(key, 0.5, 3));
    both += held_out(key, 0.5, 3) && held_out(key, 0.5, 4);
  }
  CHECK(std::abs(both - 2500) < 180);
}

TEST_CASE("a held-out fraction that is none is an error") {
  for (const double bad : {-0.1, 1.1, std::nan("")}) CHECK_THROWS_AS(held_out("x", bad), merit::ConfigError);
}

}  // namespace sampling_test
