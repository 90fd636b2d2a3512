// What the system says of its memory.
#include "merit/core/free_memory.hpp"

#include <doctest/doctest.h>

#include <new>
#include <optional>
#include <string>

#include "merit/core/buffer.hpp"

namespace free_memory_test {

using merit::Index;
using merit::detail::free_memory;

const std::string machine = "MemTotal:  2000 kB\nMemFree:  10 kB\nMemAvailable:  100 kB\nSwapFree:   20 kB\n";

TEST_CASE("free memory is the machine's, and in a control group what its limit leaves") {
  CHECK(free_memory(machine, "", "", "") == Index{120 * 1024});
  CHECK(free_memory(machine, "max\n", "5000\n", "") == Index{120 * 1024});
  CHECK(free_memory(machine, "9000\n", "5000\n", "anon 4000\ninactive_file 1000\n") == Index{5000});
  CHECK(free_memory(machine, "9000\n", "9500\n", "anon 9500\n") == Index{0});
  CHECK(free_memory(machine, "900000\n", "5000\n", "") == Index{120 * 1024});
  CHECK(free_memory("", "9000\n", "5000\n", "active_file 1\n") == Index{4000});
  CHECK(free_memory("MemTotal: 5 kB\n", "", "", "") == std::nullopt);
  CHECK(free_memory("MemAvailable: x\n", "", "", "") == std::nullopt);
}

#if defined(__linux__)
TEST_CASE("a block larger than the memory there is is refused and not promised") {
  const std::optional<Index> bytes = merit::free_memory();
  REQUIRE(bytes);
  CHECK(*bytes > Index{1} << 20);
  CHECK_THROWS_AS(merit::Buffer<char>(*bytes + (Index{4} << 30)), std::bad_alloc);
  CHECK(merit::Buffer<char>(1000).size() == 1000);
}
#endif

}  // namespace free_memory_test
