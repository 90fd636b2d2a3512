// Numbers as text, in reports and sentences.
#pragma once

#include <charconv>
#include <cstdio>
#include <string>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A number as short as it can be so that reading it gives the same bits.
template <class T>
std::string shortest(T value) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, result.ptr);
}

/// With this many digits behind the point.
inline std::string fixed(double value, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  return buffer;
}

}  // namespace MERIT_ABI
}  // namespace merit
