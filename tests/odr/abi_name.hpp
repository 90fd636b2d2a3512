// The names of the inline namespaces as text, so that units can compare what they were built as.
#pragma once

#include <string>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/core/rng.hpp"

#define MERIT_TEST_TEXT_OF(x) #x
#define MERIT_TEST_TEXT(x) MERIT_TEST_TEXT_OF(x)

/// What a unit saw and did: its inline namespace, a number drawn, and the threads of a backend asked for two.
struct UnitReport {
  std::string abi_name;
  unsigned long long number = 0;
  merit::Index threads = 0;
};

UnitReport report_of_second_unit();
UnitReport report_of_unit_without_openmp();

namespace {
UnitReport report_of_this_unit() {
  merit::EigenBackend<float>::Handle handle({.threads = 2});
  return {MERIT_TEST_TEXT(MERIT_ABI), merit::Rng(7).next(), handle.threads()};
}
}  // namespace
