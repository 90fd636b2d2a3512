// The same in a unit built without OpenMP.
#ifdef _OPENMP
#error "this unit must be compiled without OpenMP"
#endif
#include "abi_name.hpp"

UnitReport report_of_unit_without_openmp() {
  return report_of_this_unit();
}
