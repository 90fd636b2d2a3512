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
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/utf8.hpp"

namespace merit::inline MERIT_ABI {

using Json = nlohmann::json;

/// Objects and arrays may lie this deep in each other. Copying and printing a value recurse, so the limit
/// keeps a hostile file from using up the stack.
inline constexpr Index json_depth_limit = 128;

namespace detail {

/// `text` in quotes for an error message: control characters as \xNN, at most 100 bytes.
inline std::string quote(std::string_view text) {
  constexpr Index limit = 100;
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result = "\"";
  Index used = std::min(text.size(), limit);
  while (used < text.size() && used > 0 && (static_cast<unsigned char>(text[used]) & 0xC0u) == 0x80u) --used;
  for (const char c : text.substr(0, used)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      result += c;
    } else {
      result += {'\\', 'x', digits[byte >> 4], digits[byte & 15u]};
    }
  }
  return result += used < text.size() ? "...\"" : "\"";
}

/// Walks over text and tells how far it came, so that an error can say where.
struct TrackingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at = nullptr;
  const char** reached = nullptr;

  const char& operator*() const { return *at; }
  TrackingIterator& operator++() {
    *reached = ++at;
    return *this;
  }
  TrackingIterator operator++(int) {
    TrackingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const TrackingIterator& other) const { return at == other.at; }
};

/// Receives the parser's events and builds the value, refusing repeated keys and deep nesting.
class JsonBuilder {
 public:
  JsonBuilder(std::string_view text, std::string_view where, Index max_depth)
      : text_(text), where_(where), max_depth_(max_depth), reached_(text.data()) {}

  Json build() {
    if (const Index bad = first_invalid_utf8(text_); bad != text_.size()) {
      fail(bad, "bytes that are not UTF-8");
    }
    // The library would take a zero byte for the end of the text and ignore the rest.
    if (const auto zero = text_.find('\0'); zero != text_.npos) fail(zero, "a zero byte");
    const TrackingIterator begin{text_.data(), &reached_};
    const TrackingIterator end{text_.data() + text_.size(), &reached_};
    Json::sax_parse(begin, end, this);
    return std::move(root_);
  }

  bool null() { return put(nullptr) != nullptr; }
  bool boolean(bool value) { return put(value) != nullptr; }
  bool number_integer(std::int64_t value) { return put(value) != nullptr; }
  bool number_unsigned(std::uint64_t value) { return put(value) != nullptr; }
  bool number_float(double value, const std::string&) { return put(value) != nullptr; }
  bool string(std::string& value) { return put(std::move(value)) != nullptr; }
  bool binary(Json::binary_t&) { return false; }  // does not occur in text
  bool start_object(std::size_t) { return open(Json::value_t::object); }
  bool start_array(std::size_t) { return open(Json::value_t::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    auto [entry, fresh] = open_.back()->get_ref<Json::object_t&>().try_emplace(name);
    if (!fresh) fail(offset(), concat("the key ", quote(name), " occurs twice in one object"));
    slot_ = &entry->second;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception& error) {
    const Index at = position == 0 ? 0 : position - 1;  // the library counts from 1
    if (dynamic_cast<const Json::out_of_range*>(&error) != nullptr) {
      fail(at, "a number too large for a double");
    }
    // The library says "[json.exception…] parse error at line 1, column 2: syntax error …; last read: …". We
    // keep the middle: fail() tells the place, and what was read may be long.
    std::string_view cause = error.what();
    if (cause.ends_with("; expected end of input")) fail(at, "more text after the end of the value");
    if (const auto begin = cause.find("syntax error "); begin != cause.npos) cause.remove_prefix(begin);
    cause = cause.substr(0, cause.find("; last read"));
    // JSON has no such numbers, yet programs write them. The parser stops at their first or second letter.
    const bool in_string = cause.find("invalid string") != cause.npos;
    for (Index begin = at == 0 ? 0 : at - 1; !in_string && begin <= at && begin < text_.size(); ++begin) {
      for (const std::string_view literal : {"NaN", "Infinity", "nan", "inf"}) {
        if (!text_.substr(begin).starts_with(literal)) continue;
        fail(begin, concat(literal, ", which JSON does not have"));
      }
    }
    if (at >= text_.size()) fail(at, concat("the text ends before its JSON does (", cause, ")"));
    fail(at, std::string(cause));
  }

 private:
  Index offset() const { return static_cast<Index>(reached_ - text_.data()); }

  [[noreturn]] void fail(Index offset, const std::string& cause) const {
    const std::string_view before = text_.substr(0, std::min(offset, text_.size()));
    const auto line_begin = before.rfind('\n') + 1;  // npos + 1 == 0
    std::string line;
    if (text_.find('\n') != text_.npos) {
      line = concat("line ", std::count(before.begin(), before.end(), '\n') + 1, ", ");
    }
    throw DataError(
        concat(where_, ": not valid JSON at ", line, "column ", before.size() - line_begin + 1, ": ", cause));
  }

  template <class Value>
  Json* put(Value&& value) {
    Json* place = &root_;
    if (!open_.empty() && open_.back()->is_array()) {
      place = &open_.back()->emplace_back();
    } else if (!open_.empty()) {
      place = slot_;
    }
    *place = Json(std::forward<Value>(value));
    return place;
  }

  bool open(Json::value_t kind) {
    if (open_.size() == max_depth_) {
      fail(offset(), concat("objects and arrays are nested deeper than ", max_depth_, " levels"));
    }
    open_.push_back(put(kind));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  std::string_view where_;
  Index max_depth_;
  const char* reached_;  // just after the last byte the parser took
  Json root_;
  std::vector<Json*> open_;  // the containers around the present place, outermost first
  Json* slot_ = nullptr;     // the value of the last key
};

/// A value in a few words, for "found …".
inline std::string describe(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return value.empty() ? "an empty array" : concat("an array of ", value.size());
  if (value.is_string()) return quote(value.get_ref<const std::string&>());
  if (value.is_number_float() && !std::isfinite(value.get<double>())) return concat(value.get<double>());
  return value.dump();
}

[[noreturn]] inline void throw_field(std::string_view where, std::string_view field,
                                     std::string_view expected, const Json& found) {
  throw DataError(
      concat(where, ": field ", quote(field), ": expected ", expected, ", found ", describe(found)));
}

template <class T>
struct JsonReader {
  static_assert(std::is_arithmetic_v<T>, "a field is a bool, number, string, vector, map or Json");

  static T read(const Json& value, std::string_view where, std::string_view field) {
    if constexpr (std::is_same_v<T, bool>) {
      if (!value.is_boolean()) throw_field(where, field, "true or false", value);
      return value.get<bool>();
    } else if constexpr (std::is_integral_v<T>) {
      using Limits = std::numeric_limits<T>;
      const bool fits = value.is_number_unsigned()  ? std::in_range<T>(value.get<std::uint64_t>())
                        : value.is_number_integer() ? std::in_range<T>(value.get<std::int64_t>())
                                                    : false;
      if (!fits) {
        throw_field(where, field, concat("a whole number from ", +Limits::min(), " to ", +Limits::max()),
                    value);
      }
      return static_cast<T>(value.is_number_unsigned()
                                ? value.get<std::uint64_t>()
                                : static_cast<std::uint64_t>(value.get<std::int64_t>()));
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

/// Parses JSON text. `where` names the source in errors: a file, or file and line of a record. Throws
/// DataError with line (unless there is but one), column (in bytes) and cause: a syntax error, text that is
/// not UTF-8, a key that occurs twice in one object, a number out of range, or nesting deeper than
/// `max_depth`.
inline Json parse_json(std::string_view text, std::string_view where, Index max_depth = json_depth_limit) {
  return detail::JsonBuilder(text, where, max_depth).build();
}

/// Parses a JSON file. Throws IoError when it cannot be read, DataError as parse_json.
inline Json read_json(const std::filesystem::path& path) {
  return parse_json(read_file(path), path.string());
}

/// JSON as text, `indent` spaces a level (negative: one line). Throws DataError on a string that is not
/// UTF-8.
inline std::string json_text(const Json& value, std::string_view where, int indent = 2) {
  try {
    return value.dump(indent);
  } catch (const Json::exception&) {
    throw DataError(detail::concat(where, ": cannot be written as JSON: a string in it is not UTF-8"));
  }
}

/// Replaces a JSON file, all or nothing.
inline void write_json(const std::filesystem::path& path, const Json& value) {
  write_file_atomically(path, json_text(value, path.string()) + "\n");
}

/// The field `name` of an object if it is there and not null, else nothing. T is bool, an integer, float,
/// double, std::string, Json, or a std::vector or std::map<std::string, …> of these. Throws DataError
/// beginning with `where` when the value is not exactly that: a fraction or a negative number for an unsigned
/// integer, a number that does not fit T, a string for a number, a NaN.
template <class T>
std::optional<T> optional(const Json& object, std::string_view name, std::string_view where) {
  if (!object.is_object()) {
    throw DataError(detail::concat(where, ": expected an object with the field ", detail::quote(name),
                                   ", found ", detail::describe(object)));
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
    throw DataError(detail::concat(where, ": the field ", detail::quote(name), " is ",
                                   object.contains(name) ? "null" : "missing"));
  }
  return *std::move(value);
}

}  // namespace merit::inline MERIT_ABI
