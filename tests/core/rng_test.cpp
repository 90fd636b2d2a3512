// The counter-based generator: known answers, range, and that its state is three integers.
#include "merit/core/rng.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace rng_test {

using namespace merit;

using Words = std::array<std::uint32_t, 4>;

/// Pearson's statistic of counts against equal frequencies.
double chi_squared(const std::vector<int>& counts) {
  double total = 0;
  for (const int count : counts) total += count;
  const double expected = total / static_cast<double>(counts.size());
  double sum = 0;
  for (const int count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

/// The statistic's mean is the number of bins less one, k, and its variance 2k: five deviations above. Seeds
/// are fixed, so a test that passes once passes always.
double bound(std::size_t bins) {
  const double k = static_cast<double>(bins) - 1;
  return k + 5 * std::sqrt(2 * k);
}

TEST_CASE("Philox4x32-10 gives the known answers of its authors") {
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr std::uint32_t ones = 0xffffffff;
  CHECK(philox4x32({ones, ones, ones, ones}, {ones, ones}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a stream's numbers are the generator's first two words at (position, stream) under the seed") {
  Rng rng(0x299f31d0a4093822, 0x0370734413198a2e);
  rng.seek(0x85a308d3243f6a88);
  CHECK(rng.next() == 0x94fdccebd16cfe09);
  CHECK(rng.position() == 0x85a308d3243f6a89);
  CHECK(Rng().next() == 0xe169c58d6627e8d5);
}

TEST_CASE("seek goes to any number of a stream") {
  Rng rng(7, 3);
  std::vector<std::uint64_t> numbers(100);
  for (std::uint64_t& number : numbers) number = rng.next();
  CHECK(rng.position() == 100);
  for (const std::size_t i : {99u, 0u, 50u, 51u}) {
    rng.seek(i);
    CHECK(rng.next() == numbers[i]);
  }
  Rng again(rng.seed(), rng.stream());
  again.seek(rng.position());
  CHECK(again.next() == rng.next());
}

TEST_CASE("split begins another stream of the same seed and leaves the first alone") {
  Rng rng(7);
  rng.next();
  Rng branch = rng.split(5);
  CHECK(branch.seed() == 7);
  CHECK(branch.stream() == 5);
  CHECK(branch.position() == 0);
  CHECK(rng.position() == 1);
  Rng same(7, 5);
  CHECK(branch.next() == same.next());
  std::vector<std::uint64_t> all;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (std::uint64_t stream = 0; stream < 10; ++stream) {
      Rng one(seed, stream);
      for (int i = 0; i < 100; ++i) all.push_back(one.next());
    }
  }
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());  // 64 bits: no two alike
}

TEST_CASE("below stays below and is uniform") {
  for (const std::uint64_t n : {1u, 2u, 3u, 6u, 7u, 100u, 256u}) {
    CAPTURE(n);
    Rng rng(11, n);
    std::vector<int> counts(n, 0);
    bool inside = true;
    for (int i = 0; i < 20000; ++i) {
      const std::uint64_t x = rng.below(n);
      inside = inside && x < n;
      if (x < n) ++counts[x];
    }
    CHECK(inside);
    if (n > 1) CHECK(chi_squared(counts) < bound(n));
  }
}

TEST_CASE("below has no bias where a remainder would have much") {
  // Of three quarters of 2^64 the remainder alone would give the first third twice as often.
  const std::uint64_t n = std::uint64_t{3} << 62;
  Rng rng(12);
  std::vector<int> counts(3, 0);
  for (int i = 0; i < 30000; ++i) {
    const std::uint64_t x = rng.below(n);
    REQUIRE(x < n);
    ++counts[x >> 62];
  }
  CHECK(chi_squared(counts) < bound(3));
  CHECK(rng.position() > 35000);  // a quarter is rejected
  CHECK(rng.position() < 45000);
  // A power of two rejects nothing, not even the largest.
  Rng power(13);
  for (int i = 0; i < 1000; ++i) power.below(std::uint64_t{1} << 63);
  CHECK(power.position() == 1000);
}

TEST_CASE("uniform fills [0, 1) evenly") {
  Rng rng(14);
  std::vector<int> counts(64, 0);
  for (int i = 0; i < 64000; ++i) {
    const double u = rng.uniform();
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    ++counts[static_cast<std::size_t>(u * 64)];
  }
  CHECK(chi_squared(counts) < bound(64));
}

TEST_CASE("normal has the moments of the standard normal distribution and is finite") {
  Rng rng(15);
  const int n = 100000;
  double sum = 0, square = 0, cube = 0, fourth = 0;
  for (int i = 0; i < n; ++i) {
    const double x = rng.normal();
    REQUIRE(std::isfinite(x));
    sum += x;
    square += x * x;
    cube += x * x * x;
    fourth += x * x * x * x;
  }
  // Within five standard errors: the variances of x, x², x³, x⁴ are 1, 2, 15, 96.
  CHECK(std::abs(sum / n) < 5 * std::sqrt(1.0 / n));
  CHECK(std::abs(square / n - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::abs(cube / n) < 5 * std::sqrt(15.0 / n));
  CHECK(std::abs(fourth / n - 3) < 5 * std::sqrt(96.0 / n));
}

}  // namespace rng_test
