// Host memory: aligned, zeroed, and up to a size only what is written of it is there.
#include "merit/core/buffer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <vector>

#include "resident.hpp"

namespace buffer_test {

using merit::Buffer;
using merit::Index;

TEST_CASE("every block begins on a cache line and is zero, also where memory is used again") {
  for (int round = 0; round < 3; ++round) {
    std::vector<Buffer<float>> blocks;
    for (const Index count :
         {Index{1}, Index{15}, Index{16}, Index{17}, Index{1000}, Index{100'000}, Index{3'000'000}}) {
      Buffer<float>& block = blocks.emplace_back(count);
      CHECK(reinterpret_cast<std::uintptr_t>(block.data()) % merit::alignment == 0);
      CHECK(std::all_of(block.data(), block.data() + count, [](float value) { return value == 0; }));
      std::fill_n(block.data(), count, 7.0F);
    }
  }
  CHECK(Buffer<float>(0).data() == nullptr);
}

TEST_CASE("more bytes than can be counted are refused") {
  CHECK_THROWS_AS(Buffer<double>(~Index{0}), std::bad_alloc);
  CHECK_THROWS_AS(Buffer<char>(~Index{0}), std::bad_alloc);
  CHECK_THROWS_AS(Buffer<char>(~Index{0} - 8), std::bad_alloc);
}

#if defined(__linux__)
TEST_CASE("what is never written takes no memory") {
  const Index before = merit_test::resident_bytes();
  Buffer<char> block(Index{200} << 20);
  CHECK(merit_test::resident_bytes() <
        before + (Index{60} << 20));  // the address sanitizer keeps an eighth beside it
  std::fill_n(block.data(), Index{100} << 20, '\1');
  CHECK(merit_test::resident_bytes() > before + (Index{90} << 20));
}

TEST_CASE("a block of which there may not be a second is taken at once") {
  const Index before = merit_test::resident_bytes();
  const Buffer<char> block(merit::small_block + 1);
  CHECK(merit_test::resident_bytes() > before + merit::small_block / 10 * 9);
}
#endif

}  // namespace buffer_test
