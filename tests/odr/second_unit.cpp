// The second unit with every header, built exactly like main.cpp.
#include "abi_name.hpp"
#include "all_headers.hpp"

UnitReport report_of_second_unit() {
  return {MERIT_TEST_TEXT(MERIT_ABI), merit::Rng(7).next()};
}
