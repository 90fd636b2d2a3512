// Blocks of memory that a device backend keeps.
#include "merit/backend/thrust/block_pool.hpp"

#include <doctest/doctest.h>

#include <new>
#include <vector>

namespace block_pool_test {

using merit::Index;
using merit::detail::device::BlockPool;

/// Memory of which there is not more than `left`; every block that was asked for stays in the list.
struct Memory {
  Index left = 1 << 30;
  Index asked = 0;
  std::vector<std::pair<std::byte*, Index>> blocks;

  std::byte* allocate(Index bytes) {
    ++asked;
    if (bytes > left) throw std::bad_alloc();
    left -= bytes;
    blocks.emplace_back(new std::byte[1], bytes);
    return blocks.back().first;
  }
  void release(std::byte* data) noexcept {
    for (auto& [block, bytes] : blocks) {
      if (block != data) continue;
      delete[] block;
      block = nullptr;
      left += bytes;
    }
  }
};
struct Source {
  Memory* memory;
  std::byte* allocate(Index bytes) { return memory->allocate(bytes); }
  void release(std::byte* data) noexcept { memory->release(data); }
};

TEST_CASE("a block that was given back serves again, the smallest that is large enough") {
  Memory memory;
  BlockPool<Source> pool(Source{&memory});
  std::byte* const large = pool.take(400000);
  std::byte* const small = pool.take(100000);
  CHECK(memory.asked == 2);
  pool.give_back(large);
  pool.give_back(small);
  CHECK(pool.take(90000) == small);
  CHECK(pool.take(90000) == large);
  CHECK(memory.asked == 2);
  pool.give_back(nullptr);
  CHECK(pool.take(1) != small);
}

TEST_CASE("a large block is not taken for little") {
  Memory memory;
  BlockPool<Source> pool(Source{&memory});
  std::byte* const large = pool.take(Index{64} << 20);
  pool.give_back(large);
  CHECK(pool.take(8) != large);
  CHECK(pool.take(Index{21} << 20) == large);
  CHECK(memory.asked == 2);
}

TEST_CASE("where memory has run out, what is free is given up, and what is used stays") {
  Memory memory;
  memory.left = 300000;
  BlockPool<Source> pool(Source{&memory});
  std::byte* const used = pool.take(100000);
  std::byte* const free = pool.take(100000);
  pool.give_back(free);
  CHECK_THROWS_AS(pool.take(250000), std::bad_alloc);  // not even without the free one
  CHECK(memory.blocks[1].first == nullptr);
  CHECK(memory.blocks[0].first == used);
  CHECK(pool.take(120000) != used);
  CHECK_THROWS_AS(pool.take(120000), std::bad_alloc);  // nothing is free
}

}  // namespace block_pool_test
