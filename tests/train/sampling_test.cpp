// Shuffling and splitting: permutations, pure functions, fair.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/train/sampling.hpp"

namespace sampling_test {

using merit::epoch_order;
using merit::held_out;
using merit::Index;

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
