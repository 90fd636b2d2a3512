// Links units built alike and units built differently, and checks that they stay apart where they must.
#include <cstdio>

#include "abi_name.hpp"

int main() {
  const UnitReport first = report_of_this_unit();
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
  check(first.threads == 2 && second.threads == 2 && third.threads == 1,
        "a unit without OpenMP has one thread");
  std::printf("%d passed, %d failed\n", 4 - failed, failed);
  return failed == 0 ? 0 : 1;
}
