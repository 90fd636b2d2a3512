// Names of the values of an enumeration, for options and files.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "merit/core/error.hpp"

namespace merit::inline MERIT_ABI {

namespace detail {

template <class E, std::size_t N>
using NameTable = std::array<std::pair<E, std::string_view>, N>;

/// The name of `value`; `what` is in the error for a value that is not in the table.
template <class E, std::size_t N>
std::string name_in(const NameTable<E, N>& table, std::string_view what, E value) {
  for (const auto& [known, name] : table) {
    if (known == value) return std::string(name);
  }
  throw UsageError(concat("found a ", what, " that is none of the ", N));
}

/// The value of that name. Throws ConfigError that lists the known ones.
template <class E, std::size_t N>
E value_in(const NameTable<E, N>& table, std::string_view what, std::string_view name) {
  std::string names;
  for (const auto& [value, known] : table) {
    if (known == name) return value;
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  throw ConfigError(concat("found ", what, " \"", name, "\", expected one of: ", names));
}

}  // namespace detail

}  // namespace merit::inline MERIT_ABI
