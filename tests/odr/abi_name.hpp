// The names of the inline namespaces as text, so that units can compare what they were built as.
#pragma once

#include <string>

#define MERIT_TEST_TEXT_OF(x) #x
#define MERIT_TEST_TEXT(x) MERIT_TEST_TEXT_OF(x)

/// Each unit says which inline namespace it saw and draws one number through an inline function.
struct UnitReport {
  std::string abi_name;
  unsigned long long number = 0;
};

UnitReport report_of_second_unit();
UnitReport report_of_unit_without_openmp();
