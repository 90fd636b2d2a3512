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

/// With this many digits behind the point; what has more than twelve before it by an exponent.
inline std::string fixed(double value, int digits) {
  char buffer[64];
  const bool large = value >= 1e12 || value <= -1e12;  // not so of what is no number
  std::snprintf(buffer, sizeof buffer, large ? "%.*e" : "%.*f", digits, value);
  return buffer;
}

}  // namespace MERIT_ABI
}  // namespace merit
