// Parsing JSON strictly, and writing it: the bodies of json.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/value.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/utf8.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

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

[[noreturn]] MERIT_INLINE void throw_field(std::string_view where, std::string_view field,
                                           std::string_view expected, const Json& found) {
  throw DataError(
      concat(where, ": field ", quote(field), ": expected ", expected, ", found ", describe(found)));
}

}  // namespace detail

MERIT_INLINE Json parse_json(std::string_view text, std::string_view where, Index max_depth) {
  return detail::JsonBuilder<Json>(text, where, max_depth).build();
}

MERIT_INLINE OrderedJson parse_ordered_json(std::string_view text, std::string_view where, Index max_depth) {
  return detail::JsonBuilder<OrderedJson>(text, where, max_depth).build();
}

MERIT_INLINE Value parse_value(std::string_view text, std::string_view where, Index max_depth) {
  return value_of(parse_ordered_json(text, where, max_depth));
}

MERIT_INLINE Json read_json(const std::filesystem::path& path) {
  return parse_json(read_file(path), path.string());
}

MERIT_INLINE std::string json_text(const Json& value, std::string_view where, int indent) {
  try {
    return value.dump(indent);
  } catch (const Json::exception&) {
    throw DataError(concat(where, ": cannot be written as JSON: a string in it is not UTF-8"));
  }
}

MERIT_INLINE void write_json(const std::filesystem::path& path, const Json& value) {
  write_file_atomically(path, json_text(value, path.string()) + "\n");
}

}  // namespace MERIT_ABI
}  // namespace merit
