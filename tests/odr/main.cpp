// Links units built alike and units built differently, and checks that they stay apart where they must.
#include <cstdio>

#include "abi_name.hpp"
#include "all_headers.hpp"

int main() {
  const UnitReport first{MERIT_TEST_TEXT(MERIT_ABI), merit::Rng(7).next()};
  const UnitReport second = report_of_second_unit();
  const UnitReport third = report_of_unit_without_openmp();

  int failed = 0;
  const auto check = [&failed](bool holds, const char* sentence) {
    if (holds) return;
    std::printf("FAILED: %s\n", sentence);
    ++failed;
  };
  check(first.abi_name == second.abi_name, "units built alike share one inline namespace");
  check(first.abi_name != third.abi_name, "a unit without OpenMP has an inline namespace of its own");
  check(first.number == second.number && first.number == third.number, "all units draw the same number");
  std::printf("%d passed, %d failed\n", 3 - failed, failed);
  return failed == 0 ? 0 : 1;
}
