// Every header again, in a unit built without OpenMP.
#ifdef _OPENMP
#error "this unit must be compiled without OpenMP"
#endif
#include "abi_name.hpp"
#include "all_headers.hpp"

UnitReport report_of_unit_without_openmp() {
  return {MERIT_TEST_TEXT(MERIT_ABI), merit::Rng(7).next()};
}
