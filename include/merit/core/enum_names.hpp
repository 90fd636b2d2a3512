// The names of the values of an enumeration: in files, options, tables and errors, from one list.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "merit/core/error.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The names of the values 0, 1, … of an enumeration. A specialisation beside it gives it its names:
///
///   enum class Ties : std::uint8_t { efron, breslow };
///   template <>
///   inline constexpr std::array<std::string_view, 2> enum_names<Ties>{"efron", "breslow"};
template <class E>
inline constexpr std::array<std::string_view, 0> enum_names{};

template <class E>
concept named_enum = std::is_enum_v<E> &&(enum_names<E>.size() > 0);

/// The name of `value`; empty for a number that is none of the enumeration's values.
template <named_enum E>
constexpr std::string_view name_of(E value) {
  const auto number = static_cast<std::size_t>(value);
  return number < enum_names<E>.size() ? enum_names<E>[number] : std::string_view();
}

/// The value of that name; nothing for a name that none has.
template <named_enum E>
constexpr std::optional<E> value_named(std::string_view name) {
  for (std::size_t i = 0; i < enum_names<E>.size(); ++i) {
    if (enum_names<E>[i] == name) return static_cast<E>(i);
  }
  return std::nullopt;
}

/// "efron, breslow"
template <named_enum E>
std::string list_of_names() {
  std::string list;
  for (const std::string_view name : enum_names<E>) list.append(list.empty() ? "" : ", ").append(name);
  return list;
}

/// The value of that name. Throws ConfigError that lists the known ones; `what` says what is named.
template <named_enum E>
E value_from_name(std::string_view what, std::string_view name) {
  if (const auto value = value_named<E>(name)) return *value;
  throw ConfigError(concat("found ", what, " \"", name, "\", expected one of: ", list_of_names<E>()));
}

}  // namespace MERIT_ABI
}  // namespace merit
