// A file without end: its first line is read up to a limit, and refused.
#include <doctest/doctest.h>

#include "merit/core/error.hpp"
#include "merit/records/on_error.hpp"
#include "merit/run/data_report.hpp"

namespace endless_files_test {

TEST_CASE("what has no end is refused by its first line, also where bad records are skipped") {
  CHECK_THROWS_WITH_AS(
      merit::report_on_data({"/dev/zero"}, {}),
      "/dev/zero:1: record: found a line of more than 67108864 bytes, expected a shorter one",
      merit::DataError);
  CHECK_THROWS_AS(merit::report_on_data({"/dev/urandom"}, {.on_error = merit::OnError::skip}), merit::Error);
}

}  // namespace endless_files_test
