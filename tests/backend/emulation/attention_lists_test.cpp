// The lists of the batches that live, as they are written for a device.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "allocations.hpp"
#include "merit/backend/thrust/attention_lists.hpp"
#include "merit/core/rng.hpp"
#include "merit/forest/forest.hpp"
#include "merit/testing/random_forest.hpp"

namespace attention_lists_test {

using namespace merit;
using kernels::AttentionTiles;
using kernels::HostTileLists;
using kernels::TileLists;

void check_side(const TileLists& found, const HostTileLists& expected, const HostTileLists& other) {
  const auto check = [](const std::uint32_t* list, const std::vector<std::uint32_t>& right) {
    CHECK(std::vector<std::uint32_t>(list, list + right.size()) == right);
  };
  CHECK(found.tiles == expected.order.size());
  check(found.begin, expected.begin);
  check(found.entries, expected.entries);
  check(found.order, expected.order);
  check(found.bounds, expected.bounds);
  check(found.other_bounds, other.bounds);
}

TEST_CASE(
    "lists of attention are found by a batch's tokens and rows, and cost no memory once their sizes were met") {
  Rng rng(1);
  ForestBuilder builder;
  const ForestView<HostSpace> forest = random_forest(rng, {.depth = 4, .run = 40}).build(builder).view();
  detail::device::AttentionLists lists;
  lists.build(forest);
  std::vector<std::byte> memory(lists.bytes());
  const std::uint32_t tokens = 0, rows = 0;
  lists.write(memory.data(), memory.data(), &tokens, &rows);
  for (const bool pruned : {false, true}) {
    AttentionTiles tiles;
    tiles.build(forest, pruned ? forest.rows : VectorView<const std::uint32_t>{});
    const auto* const sides = lists.find(&tokens, pruned ? &rows : nullptr);
    REQUIRE(sides != nullptr);
    check_side(sides->of_queries, tiles.of_queries(), tiles.of_keys());
    check_side(sides->of_keys, tiles.of_keys(), tiles.of_queries());
  }
  CHECK(lists.find(&rows, nullptr) == nullptr);

  lists.remove(&tokens);
  CHECK(lists.find(&tokens, nullptr) == nullptr);
  if (!merit_test::can_count()) return;
  CHECK(merit_test::counted([&] {
          lists.build(forest);
          lists.write(memory.data(), memory.data(), &tokens, &rows);
        }) == 0);
}

}  // namespace attention_lists_test
