// The stored reports of tests/golden and what compares with them.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "merit/eval/bootstrap.hpp"
#include "stored.hpp"

namespace merit_test {

using merit::Estimate;

inline nlohmann::json golden(const char* part) {
  std::ifstream file(stored("reports.json"));
  REQUIRE(file.good());
  return nlohmann::json::parse(file).at(part);
}

inline void check_near(double found, const nlohmann::json& expected) {
  CHECK(std::abs(found - expected.get<double>()) <= 1e-12);
}

/// An estimate of the stored value, with an interval around it.
inline void check_near(const Estimate& found, const nlohmann::json& expected) {
  check_near(found.value, expected);
  CHECK(found.low < found.value);
  CHECK(found.value < found.high);
}
inline void check_near(const std::optional<Estimate>& found, const nlohmann::json& expected) {
  REQUIRE(found.has_value());
  check_near(*found, expected);
}

}  // namespace merit_test
