// What can be asked of any value: truth, length, what is in it, and which of two is less. As in Python.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/jinja/python_text.hpp"
#include "merit/jinja/syntax.hpp"
#include "merit/jinja/text_search.hpp"
#include "merit/jinja/value.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

/// How many values there are; nothing where Python's len is an error.
inline std::optional<Index> length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined: return 0;
    case Kind::string: return value.as<String>().characters;
    case Kind::list:
    case Kind::tuple: return value.items().size();
    case Kind::dict: return value.as<Dict>().entries.size();
    case Kind::view: return value.as<View>().dict->entries.size();
    case Kind::range: return value.as<Range>().size;
    default: return std::nullopt;
  }
}

inline bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::none:
    case Kind::missing: return false;
    case Kind::boolean:
    case Kind::integer: return value.integer() != 0;
    case Kind::number: return value.number() != 0;
    default: return length_of(value).value_or(1) != 0;
  }
}

/// Walks over the values in a value. Throws Failure where there is nothing to walk over.
class Iterator {
 public:
  Iterator(Heap& heap, const Value& value) : heap_(&heap), value_(value) {
    if (!is_iterable(value)) fail("a value of the type ", type_name(value), " cannot be iterated over");
  }
  static bool is_iterable(const Value& value) {
    return length_of(value).has_value() || value.is(Kind::generator);
  }

  /// The next value; false at the end.
  bool next(Value& out) {
    heap_->charge(1);
    switch (value_.kind()) {
      case Kind::string: {
        const std::string& text = value_.text();
        if (at_ == text.size()) return false;
        const Index begin = at_;
        next_character(text, at_);
        at_ = std::min(at_, text.size());
        out = heap_->text(text.substr(begin, at_ - begin));
        return true;
      }
      case Kind::list:
      case Kind::tuple:
        if (at_ >= value_.items().size()) return false;
        out = value_.items()[at_++];
        return true;
      case Kind::dict:
        if (at_ >= value_.as<Dict>().entries.size()) return false;
        out = value_.as<Dict>().entries[at_++].key;
        return true;
      case Kind::view: return next_of(value_.as<View>(), out);
      case Kind::range:
        if (at_ >= value_.as<Range>().size) return false;
        out = value_.as<Range>().at(at_++);
        return true;
      case Kind::generator: {
        const Heap::Nesting nesting(*heap_);
        auto& generator = value_.as<Generator>();
        if (std::exchange(generator.running, true)) fail("a generator asks itself for its values");
        const bool found = generator.next(out);
        generator.running = false;
        return found;
      }
      default: return false;
    }
  }

 private:
  bool next_of(const View& view, Value& out) {
    if (at_ >= view.dict->entries.size()) return false;
    const Dict::Entry& entry = view.dict->entries[at_++];
    out = view.part == View::keys     ? entry.key
          : view.part == View::values ? entry.value
                                      : heap_->tuple({entry.key, entry.value});
    return true;
  }
  Heap* heap_;
  Value value_;
  Index at_ = 0;
};

/// All values in a value.
inline std::vector<Value> all_of(Heap& heap, const Value& value) {
  std::vector<Value> items;
  Iterator iterator(heap, value);
  for (Value item; iterator.next(item);) items.push_back(item);
  return items;
}

// Comparison.

inline bool less(Heap& heap, const Value& a, const Value& b, Index depth = 0) {
  check_value_depth(depth);
  heap.charge(1);
  require_defined(a);
  require_defined(b);
  if (a.is_integer() && b.is_integer()) return a.integer() < b.integer();
  if (a.is_numeric() && b.is_numeric()) return a.number() < b.number();
  if (a.is_string() && b.is_string()) {
    heap.charge(std::min(a.text().size(), b.text().size()) / 64);
    return a.text() < b.text();  // UTF-8 sorts as its code points
  }
  if (a.kind() == b.kind() && (a.is(Kind::list) || a.is(Kind::tuple))) {
    const auto& left = a.items();
    const auto& right = b.items();
    for (Index i = 0; i < left.size() && i < right.size(); ++i) {
      if (!equal_values(heap, left[i], right[i], depth + 1)) return less(heap, left[i], right[i], depth + 1);
    }
    return left.size() < right.size();
  }
  fail("values of the types ", type_name(a), " and ", type_name(b), " have no order");
}

inline bool less_or_equal(Heap& heap, const Value& a, const Value& b) {
  if (a.is(Kind::number) || b.is(Kind::number)) {
    if (a.is_numeric() && b.is_numeric()) return a.number() <= b.number();  // not so for NaN
  }
  return !less(heap, b, a);
}

/// Python's `in`.
inline bool contains(Heap& heap, const Value& container, const Value& item) {
  if (container.is_string()) {
    require_defined(item);
    if (!item.is_string()) fail("a value of the type ", type_name(item), " cannot be in a string");
    heap.charge_text(container.text().size());
    return TextSearch(item.text()).find(container.text()) != std::string::npos;
  }
  if (container.is(Kind::dict)) return container.as<Dict>().find(heap, item) != nullptr;
  if (container.is(Kind::view) && container.as<View>().part == View::keys) {
    return container.as<View>().dict->find(heap, item) != nullptr;
  }
  Iterator iterator(heap, container);
  for (Value one; iterator.next(one);) {
    if (equal(heap, one, item)) return true;
  }
  return false;
}

inline bool compare(Heap& heap, Operator operation, const Value& a, const Value& b) {
  switch (operation) {
    case Operator::equal: return equal(heap, a, b);
    case Operator::not_equal: return !equal(heap, a, b);
    case Operator::less: return less(heap, a, b);
    case Operator::less_equal: return less_or_equal(heap, a, b);
    case Operator::greater: return less(heap, b, a);
    case Operator::greater_equal: return less_or_equal(heap, b, a);
    case Operator::in: return contains(heap, b, a);
    case Operator::not_in: return !contains(heap, b, a);
    default: return false;
  }
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
