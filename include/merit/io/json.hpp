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

/// The names of one open object, to find a repeated one without walking over all fields.
class KeysSeen {
 public:
  /// False when the name was there before.
  bool add(const std::string& name) { return names_.insert(name).second; }

 private:
  std::unordered_set<std::string> names_;
};

/// A new field of an object; nothing when there is one of that name. `seen` holds the object's names.
inline Json* add_field(Json& object, const std::string& name, KeysSeen&) {
  auto [entry, fresh] = object.get_ref<Json::object_t&>().try_emplace(name);
  return fresh ? &entry->second : nullptr;
}
inline OrderedJson* add_field(OrderedJson& object, const std::string& name, KeysSeen& seen) {
  if (!seen.add(name)) return nullptr;
  auto& fields = object.get_ref<OrderedJson::object_t&>();  // a vector: at its end without a search
  return &static_cast<OrderedJson::object_t::Container&>(fields).emplace_back(name, OrderedJson()).second;
}

/// Receives the parser's events and builds the value, refusing repeated keys and deep nesting.
template <class Tree>
class JsonBuilder {
 public:
  JsonBuilder(std::string_view text, std::string_view where, Index max_depth)
      : text_(text), where_(where), max_depth_(max_depth), reached_(text.data()) {}

  Tree build() {
    if (const Index bad = first_invalid_utf8(text_); bad != text_.size()) {
      fail(bad, "bytes that are not UTF-8");
    }
    // The library would take a zero byte for the end of the text and ignore the rest.
    if (const auto zero = text_.find('\0'); zero != text_.npos) fail(zero, "a zero byte");
    const TrackingIterator begin{text_.data(), &reached_};
    const TrackingIterator end{text_.data() + text_.size(), &reached_};
    Tree::sax_parse(begin, end, this);
    return std::move(root_);
  }

  bool null() { return put(nullptr) != nullptr; }
  bool boolean(bool value) { return put(value) != nullptr; }
  bool number_integer(std::int64_t value) { return put(value) != nullptr; }
  bool number_unsigned(std::uint64_t value) { return put(value) != nullptr; }
  bool number_float(double value, const std::string&) { return put(value) != nullptr; }
  bool string(std::string& value) { return put(std::move(value)) != nullptr; }
  bool binary(typename Tree::binary_t&) { return false; }  // does not occur in text
  bool start_object(std::size_t) { return open(Tree::value_t::object); }
  bool start_array(std::size_t) { return open(Tree::value_t::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    slot_ = add_field(*open_.back(), name, keys_.back());
    if (slot_ == nullptr) fail(offset(), concat("the key ", quote(name), " occurs twice in one object"));
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const typename Tree::exception& error) {
    const Index at = position == 0 ? 0 : position - 1;  // the library counts from 1
    if (dynamic_cast<const typename Tree::out_of_range*>(&error) != nullptr) {
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
    return false;  // not reached
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
  Tree* put(Value&& value) {
    Tree* place = &root_;
    if (!open_.empty() && open_.back()->is_array()) {
      place = &open_.back()->emplace_back();
    } else if (!open_.empty()) {
      place = slot_;
    }
    *place = Tree(std::forward<Value>(value));
    return place;
  }

  bool open(typename Tree::value_t kind) {
    if (open_.size() == max_depth_) {
      fail(offset(), concat("objects and arrays are nested deeper than ", max_depth_, " levels"));
    }
    open_.push_back(put(kind));
    keys_.emplace_back();
    return true;
  }

  bool close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }

  std::string_view text_;
  std::string_view where_;
  Index max_depth_;
  const char* reached_;  // just after the last byte the parser took
  Tree root_;
  std::vector<Tree*> open_;     // the containers around the present place, outermost first
  std::vector<KeysSeen> keys_;  // one for each of them
  Tree* slot_ = nullptr;        // the value of the last key
};

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

// A value in a few words, for errors of programs too.
using detail::describe;

/// Parses JSON text. `where` names the source in errors: a file, or file and line of a record. Throws
/// DataError with line (unless there is but one), column (in bytes) and cause: a syntax error, text that is
/// not UTF-8, a key that occurs twice in one object, a number out of range, or nesting deeper than
/// `max_depth`.
inline Json parse_json(std::string_view text, std::string_view where, Index max_depth = json_depth_limit) {
  return detail::JsonBuilder<Json>(text, where, max_depth).build();
}

/// The same with the fields of objects in their order.
inline OrderedJson parse_ordered_json(std::string_view text, std::string_view where,
                                      Index max_depth = json_depth_limit) {
  return detail::JsonBuilder<OrderedJson>(text, where, max_depth).build();
}

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
inline Value parse_value(std::string_view text, std::string_view where, Index max_depth = json_depth_limit) {
  return value_of(parse_ordered_json(text, where, max_depth));
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
    throw DataError(concat(where, ": cannot be written as JSON: a string in it is not UTF-8"));
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
