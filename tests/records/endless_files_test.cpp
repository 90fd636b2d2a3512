// A table without end: its row is read up to a limit, and refused.
#include <doctest/doctest.h>

#include <cstddef>
#include <string>

#include "io/temporary.hpp"
#include "merit/core/error.hpp"
#include "merit/records/record_source.hpp"

namespace endless_files_test {

TEST_CASE("a table whose row does not end is refused once") {
  const merit_test::TemporaryDirectory folder;
  const std::string path = (folder / "endless.csv").string();
  merit_test::put(path, std::string((std::size_t{64} << 20) + 2, 'x'));
  merit::RecordSource source(path);
  CHECK_THROWS_WITH_AS(
      source.next(),
      doctest::Contains(
          ":1: row: found more than 67108864 bytes, expected a shorter one: a quote may be missing"),
      merit::IoError);
}

}  // namespace endless_files_test
