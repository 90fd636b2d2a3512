// Numbers as the programs write them.
#pragma once

#include <charconv>
#include <cstdio>
#include <string>

namespace programs {

/// A number as short as it can be so that reading it gives the same bits.
template <class T>
std::string text_of(T value) {
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

}  // namespace programs
