// The second unit, built exactly like main.cpp.
#include "abi_name.hpp"

UnitReport report_of_second_unit() {
  return report_of_this_unit();
}
