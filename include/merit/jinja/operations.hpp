// Slices, sums and numbers, as in Python.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/python_text.hpp"
#include "merit/jinja/questions.hpp"
#include "merit/jinja/syntax.hpp"
#include "merit/jinja/value.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

// Parts of strings and lists.

/// The bytes of characters `begin` to `end` of a string.
inline std::pair<Index, Index> byte_range(const String& string, Index begin, Index end) {
  if (string.ascii()) return {begin, end};
  Index at = 0;
  Index count = 0;
  const auto walk = [&](Index to) {
    while (count < to && at < string.text.size()) {
      do ++at;
      while (at < string.text.size() && !is_boundary(string.text, at));
      ++count;
    }
    return at;
  };
  const Index first = walk(begin);
  return {first, walk(end)};
}
/// Characters `begin` to `end` as a string.
inline std::string part_of(Heap& heap, const String& string, Index begin, Index end) {
  heap.charge_text(string.ascii() ? 0 : string.text.size());
  if (begin >= end) return {};
  const auto [first, last] = byte_range(string, begin, end);
  return string.text.substr(first, last - first);
}

/// The item `which` of a list, string or range, counted from the end where it is negative; missing where
/// there is none.
inline Value item_at(Heap& heap, const Value& value, std::int64_t which) {
  const auto size = static_cast<std::int64_t>(length_of(value).value_or(0));
  if (which < 0) which += size;
  if (which < 0 || which >= size) return {};
  const auto at = static_cast<Index>(which);
  if (value.is_string())
    return heap.text(part_of(heap, value.as<String>(), at, at + 1), value.as<String>().markup);
  if (value.is(Kind::range)) return value.as<Range>().at(at);
  return value.items()[at];
}

/// Python's slice of a string, list, tuple or range. Bounds that are missing or None are open.
inline Value slice_of(Heap& heap, const Value& value, const Value& start, const Value& stop,
                      const Value& by) {
  require_defined(value);
  if (!value.is_string() && !value.is(Kind::list) && !value.is(Kind::tuple) && !value.is(Kind::range)) {
    fail("a value of the type ", type_name(value), " cannot be sliced");
  }
  const auto size = static_cast<std::int64_t>(*length_of(value));
  const auto given = [](const Value& bound) { return !bound.is_missing() && !bound.is(Kind::none); };
  for (const Value& bound : {start, stop, by}) {
    if (given(bound) && !bound.is_integer()) fail("expected integers in a slice, found ", type_name(bound));
  }
  const std::int64_t step = given(by) ? by.integer() : 1;
  if (step == 0) fail("the step of a slice is 0");
  const std::int64_t lowest = step < 0 ? -1 : 0;
  const std::int64_t highest = step < 0 ? size - 1 : size;
  const auto bound_of = [&](const Value& bound, std::int64_t open) {
    if (!given(bound)) return open;
    const std::int64_t at = bound.integer() < 0 ? bound.integer() + size : bound.integer();
    return std::clamp(at, std::min(lowest, highest), highest);
  };
  const std::int64_t begin = bound_of(start, step < 0 ? highest : lowest);
  const std::int64_t end = bound_of(stop, step < 0 ? lowest : highest);
  if (value.is_string() && step == 1) {
    const auto first = static_cast<Index>(begin);
    return heap.text(part_of(heap, value.as<String>(), first, static_cast<Index>(std::max(begin, end))),
                     value.as<String>().markup);
  }
  std::vector<Value> items;
  std::string text;
  std::vector<Value> characters;
  if (value.is_string()) characters = all_of(heap, value);
  for (std::int64_t at = begin; step < 0 ? at > end : at < end;) {
    const auto place = static_cast<Index>(at);
    if (value.is_string()) {
      text += characters[place].text();
    } else {
      items.push_back(value.is(Kind::range) ? value.as<Range>().at(place) : value.items()[place]);
    }
    if (step > size || step < -size) break;  // at + step may be no integer
    at += step;
  }
  if (value.is_string()) return heap.text(std::move(text));
  return heap.sequence(value.is(Kind::tuple) ? Kind::tuple : Kind::list, std::move(items));
}

// Arithmetic.

inline Value escape(Heap& heap, const Value& value) {
  if (value.is_string() && value.as<String>().markup) return value;
  std::string out;
  for (const char c : text_of(heap, value)) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return heap.text(std::move(out), true);
}

[[noreturn]] inline void refuse_operands(const char* sign, const Value& a, const Value& b) {
  fail("values of the types ", type_name(a), " and ", type_name(b), " have no ", sign);
}

inline Value add(Heap& heap, const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) {
    const bool markup = a.as<String>().markup || b.as<String>().markup;
    const std::string& left = markup ? escape(heap, a).text() : a.text();
    const std::string& right = markup ? escape(heap, b).text() : b.text();
    heap.charge_text(left.size() + right.size());
    return heap.text(left + right, markup);
  }
  if (a.kind() == b.kind() && (a.is(Kind::list) || a.is(Kind::tuple))) {
    std::vector<Value> items = a.items();
    items.insert(items.end(), b.items().begin(), b.items().end());
    return heap.sequence(a.kind(), std::move(items));
  }
  refuse_operands("'+'", a, b);
}

inline Value repeat(Heap& heap, const Value& value, std::int64_t times) {
  if (times < 0) times = 0;
  const Index count = static_cast<Index>(times);
  const Index size = value.is_string() ? value.text().size() : value.items().size();
  if (size != 0 && count > std::numeric_limits<Index>::max() / 2 / size) fail("the repetition is too long");
  if (value.is_string()) {
    heap.charge_text(size * count);
    if (size == 1) return heap.text(std::string(count, value.text()[0]), value.as<String>().markup);
    std::string text;
    text.reserve(size * count);
    for (Index i = 0; i < count && size != 0; ++i) text += value.text();
    return heap.text(std::move(text), value.as<String>().markup);
  }
  heap.charge(size * count);
  std::vector<Value> items;
  items.reserve(size * count);
  for (Index i = 0; i < count && size != 0; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return heap.sequence(value.kind(), std::move(items));
}

[[noreturn]] inline void refuse_overflow() {
  fail("an integer does not fit 64 bits");
}

inline Value integer_power(std::int64_t base, std::int64_t power) {
  std::int64_t result = 1;
  while (power > 0) {
    if ((power & 1) != 0 && __builtin_mul_overflow(result, base, &result)) refuse_overflow();
    power >>= 1;
    if (power > 0 && __builtin_mul_overflow(base, base, &base)) refuse_overflow();
  }
  return Value::integer(result);
}

inline Value integer_arithmetic(Operator operation, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (operation) {
    case Operator::add:
      if (__builtin_add_overflow(a, b, &result)) refuse_overflow();
      return Value::integer(result);
    case Operator::subtract:
      if (__builtin_sub_overflow(a, b, &result)) refuse_overflow();
      return Value::integer(result);
    case Operator::multiply:
      if (__builtin_mul_overflow(a, b, &result)) refuse_overflow();
      return Value::integer(result);
    case Operator::divide:
      if (b == 0) fail("division by zero");
      return Value::number(static_cast<double>(a) / static_cast<double>(b));
    case Operator::floor_divide:
    case Operator::modulo: {
      if (b == 0) fail("division by zero");
      if (b == -1) {  // the one quotient that may not fit
        if (operation == Operator::modulo) return Value::integer(0);
        return integer_arithmetic(Operator::subtract, 0, a);
      }
      const std::int64_t rest = a % b;
      const bool down = rest != 0 && (rest < 0) != (b < 0);
      return Value::integer(operation == Operator::modulo ? rest + (down ? b : 0) : a / b - (down ? 1 : 0));
    }
    default:
      if (b >= 0) return integer_power(a, b);
      if (a == 0) fail("zero to a negative power");
      return Value::number(std::pow(static_cast<double>(a), static_cast<double>(b)));
  }
}

inline Value number_arithmetic(Operator operation, double a, double b) {
  switch (operation) {
    case Operator::add: return Value::number(a + b);
    case Operator::subtract: return Value::number(a - b);
    case Operator::multiply: return Value::number(a * b);
    case Operator::divide:
      if (b == 0) fail("division by zero");
      return Value::number(a / b);
    case Operator::floor_divide:
    case Operator::modulo: {
      if (b == 0) fail("division by zero");
      double rest = std::fmod(a, b);
      double quotient = (a - rest) / b;
      if (rest != 0 && (rest < 0) != (b < 0)) {
        rest += b;
        quotient -= 1;
      } else if (rest == 0) {
        rest = std::copysign(0.0, b);
      }
      if (operation == Operator::modulo) return Value::number(rest);
      if (quotient == 0) return Value::number(std::copysign(0.0, a / b));
      const double floor = std::floor(quotient);
      return Value::number(quotient - floor > 0.5 ? floor + 1 : floor);
    }
    default: {
      if (a == 0 && b < 0) fail("zero to a negative power");
      const double result = std::pow(a, b);
      if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) fail("the power is no real number");
      if (std::isinf(result) && !std::isinf(a) && !std::isinf(b)) fail("the power is too large");
      return Value::number(result);
    }
  }
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
