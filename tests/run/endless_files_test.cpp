// Files without end: lines and rows are read up to a limit, and refused.
#include <doctest/doctest.h>

#include <string>

#include "io/temporary.hpp"
#include "merit/core/error.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/record_source.hpp"
#include "merit/run/data_report.hpp"

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

TEST_CASE("what has no end is refused by its first line, also where bad records are skipped") {
  CHECK_THROWS_WITH_AS(
      merit::report_on_data({"/dev/zero"}, {}),
      "/dev/zero:1: record: found a line of more than 67108864 bytes, expected a shorter one",
      merit::DataError);
  CHECK_THROWS_AS(merit::report_on_data({"/dev/urandom"}, {.on_error = merit::OnError::skip}), merit::Error);
}

}  // namespace endless_files_test
