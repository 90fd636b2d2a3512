// JSON, strictly: every error names the file, the line, the column and the cause; a key may occur once; deep
// nesting is refused; a field has the type that was asked for or there is an error. Thin helpers over
// nlohmann::json, which does the parsing.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/core/visible.hpp"
#include "merit/io/file.hpp"
#include "merit/io/utf8.hpp"

namespace merit {
inline namespace MERIT_ABI {

using Json = nlohmann::json;
/// The same with the fields of objects in the order in which they stand, which chat templates write out.
using OrderedJson = nlohmann::ordered_json;

/// Objects and arrays may lie this deep in each other. Copying and printing a value recurse, so the limit
/// keeps a hostile file from using up the stack.
inline constexpr Index json_depth_limit = 128;

namespace detail {

/// `text` in quotes for an error message: visible(), at most 100 of its bytes.
inline std::string quote(std::string_view text) {
  constexpr Index limit = 100;
  Index used = std::min(text.size(), limit);
  while (used < text.size() && used > 0 && (static_cast<unsigned char>(text[used]) & 0xC0u) == 0x80u) --used;
  return concat('"', visible(text.substr(0, used)), used < text.size() ? "...\"" : "\"");
}

/// A value in a few words, for "found …".
template <class Tree>
std::string describe(const Tree& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return value.empty() ? "an empty array" : concat("an array of ", value.size());
  if (value.is_string()) return quote(value.template get_ref<const std::string&>());
  if (value.is_number_float() && !std::isfinite(value.template get<double>()))
    return concat(value.template get<double>());
  return value.dump();
}

/// The number if it is whole, also when it is written as 1.0, as tables with a gap in a column do; nothing for all
/// else and for what does not fit.
template <class Tree>
std::optional<std::int64_t> whole_number(const Tree& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.template get<std::uint64_t>();
    return std::in_range<std::int64_t>(number) ? std::optional(static_cast<std::int64_t>(number))
                                               : std::nullopt;
  }
  if (value.is_number_integer()) return value.template get<std::int64_t>();
  if (!value.is_number()) return std::nullopt;
  const double number = value.template get<double>();
  constexpr double exact = 9007199254740992.0;  // 2^53, to which doubles hold every whole number
  if (!(std::abs(number) <= exact) || number != std::floor(number)) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

[[noreturn]] void throw_field(std::string_view where, std::string_view field, std::string_view expected,
                              const Json& found);

template <class T>
struct JsonReader {
  static_assert(std::is_arithmetic_v<T>, "a field is a bool, number, string, vector, map or Json");

  static T read(const Json& value, std::string_view where, std::string_view field) {
    if constexpr (std::is_same_v<T, bool>) {
      if (!value.is_boolean()) throw_field(where, field, "true or false", value);
      return value.get<bool>();
    } else if constexpr (std::is_integral_v<T>) {
      using Limits = std::numeric_limits<T>;
      if (value.is_number_unsigned() && std::in_range<T>(value.get<std::uint64_t>())) {
        return static_cast<T>(value.get<std::uint64_t>());  // also what is beyond 63 bits
      }
      const std::optional<std::int64_t> whole = whole_number(value);
      if (!whole || !std::in_range<T>(*whole)) {
        throw_field(where, field, concat("a whole number from ", +Limits::min(), " to ", +Limits::max()),
                    value);
      }
      return static_cast<T>(*whole);
    } else {
      if (!value.is_number()) throw_field(where, field, "a number", value);
      const double number = value.get<double>();
      // Written so that a NaN fails the comparison.
      if (!(std::abs(number) <= static_cast<double>(std::numeric_limits<T>::max()))) {
        throw_field(where, field, concat("a finite number within ±", std::numeric_limits<T>::max()), value);
      }
      return static_cast<T>(number);
    }
  }
};

template <>
struct JsonReader<std::string> {
  static std::string read(const Json& value, std::string_view where, std::string_view field) {
    if (!value.is_string()) throw_field(where, field, "a string", value);
    return value.get<std::string>();
  }
};

template <>
struct JsonReader<Json> {
  static Json read(const Json& value, std::string_view, std::string_view) { return value; }
};

template <class T>
struct JsonReader<std::vector<T>> {
  static std::vector<T> read(const Json& value, std::string_view where, std::string_view field) {
    if (!value.is_array()) throw_field(where, field, "an array", value);
    std::vector<T> result;
    result.reserve(value.size());
    for (const Json& item : value) {
      result.push_back(JsonReader<T>::read(item, where, concat(field, "[", result.size(), "]")));
    }
    return result;
  }
};

template <class T>
struct JsonReader<std::map<std::string, T>> {
  static std::map<std::string, T> read(const Json& value, std::string_view where, std::string_view field) {
    if (!value.is_object()) throw_field(where, field, "an object", value);
    std::map<std::string, T> result;
    for (const auto& [name, item] : value.items()) {
      result.emplace(name, JsonReader<T>::read(item, where, concat(field, ".", name)));
    }
    return result;
  }
};

}  // namespace detail

// A value in a few words, for errors of programs too.
using detail::describe;
using detail::whole_number;

/// Parses JSON text. `where` names the source in errors: a file, or file and line of a record. Throws
/// DataError with line (unless there is but one), column (in bytes) and cause: a syntax error, text that is
/// not UTF-8, a key that occurs twice in one object, a number out of range, or nesting deeper than
/// `max_depth`.
Json parse_json(std::string_view text, std::string_view where, Index max_depth = json_depth_limit);

/// The same with the fields of objects in their order.
OrderedJson parse_ordered_json(std::string_view text, std::string_view where,
                               Index max_depth = json_depth_limit);

/// JSON as a Value. An integer too large for 64 bits becomes a number.
template <class Tree>
Value value_of(const Tree& json) {
  if (json.is_boolean()) return json.template get<bool>();
  if (json.is_number_unsigned()) return json.template get<std::uint64_t>();
  if (json.is_number_integer()) return json.template get<std::int64_t>();
  if (json.is_number()) return json.template get<double>();
  if (json.is_string()) return json.template get<std::string>();
  if (json.is_array()) {
    Value::List list;
    list.reserve(json.size());
    for (const Tree& item : json) list.push_back(value_of(item));
    return list;
  }
  if (!json.is_object()) return {};
  Value::Fields fields;
  fields.reserve(json.size());
  for (const auto& [name, item] : json.items()) fields.push_back({name, value_of(item)});
  return fields;
}

/// Parses JSON text as a Value, which keeps the order of fields.
Value parse_value(std::string_view text, std::string_view where, Index max_depth = json_depth_limit);

/// Parses a JSON file. Throws IoError when it cannot be read, DataError as parse_json.
Json read_json(const std::filesystem::path& path);

/// JSON as text, `indent` spaces a level (negative: one line). Throws DataError on a string that is not
/// UTF-8.
std::string json_text(const Json& value, std::string_view where, int indent = 2);

/// Replaces a JSON file, all or nothing.
void write_json(const std::filesystem::path& path, const Json& value);

/// The field `name` of an object if it is there and not null, else nothing. T is bool, an integer, float,
/// double, std::string, Json, or a std::vector or std::map<std::string, …> of these. Throws DataError
/// beginning with `where` when the value is not exactly that: a fraction or a negative number for an unsigned
/// integer, a number that does not fit T, a string for a number, a NaN.
template <class T>
std::optional<T> optional(const Json& object, std::string_view name, std::string_view where) {
  if (!object.is_object()) {
    throw DataError(concat(where, ": expected an object with the field ", detail::quote(name), ", found ",
                           detail::describe(object)));
  }
  const auto entry = object.find(name);
  if (entry == object.end() || entry->is_null()) return std::nullopt;
  return detail::JsonReader<T>::read(*entry, where, name);
}

/// The field `name`, which must be there. Errors as optional().
template <class T>
T require(const Json& object, std::string_view name, std::string_view where) {
  std::optional<T> value = optional<T>(object, name, where);
  if (!value) {
    throw DataError(concat(where, ": the field ", detail::quote(name), " is ",
                           object.contains(name) ? "null" : "missing"));
  }
  return *std::move(value);
}

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/io/json_body.hpp"
#endif
