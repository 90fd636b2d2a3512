// Jinja's tests: `value is name(arguments)`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/jinja/access.hpp"
#include "merit/jinja/operations.hpp"
#include "merit/jinja/value.hpp"
#include "merit/templates/arithmetic.hpp"
#include "merit/templates/letter_case.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

/// Python's `is`, where equal numbers are taken for one object.
inline bool is_same(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  if (a.is(Kind::none)) return true;
  if (a.is_integer()) return a.integer() == b.integer();
  if (a.is(Kind::number)) return a.number() == b.number();
  if (a.is_string()) return a.text() == b.text();
  return a.object() == b.object();
}

/// The tests that compare with one argument; false where `name` is none of them.
inline bool find_comparison(std::string_view name, Operator& operation) {
  struct Entry {
    std::string_view name;
    Operator operation;
  };
  static constexpr Entry table[] = {{"==", Operator::equal},         {"eq", Operator::equal},
                                    {"equalto", Operator::equal},    {"!=", Operator::not_equal},
                                    {"ne", Operator::not_equal},     {">", Operator::greater},
                                    {"gt", Operator::greater},       {"greaterthan", Operator::greater},
                                    {">=", Operator::greater_equal}, {"ge", Operator::greater_equal},
                                    {"<", Operator::less},           {"lt", Operator::less},
                                    {"lessthan", Operator::less},    {"<=", Operator::less_equal},
                                    {"le", Operator::less_equal},    {"in", Operator::in}};
  for (const Entry& entry : table) {
    if (entry.name != name) continue;
    operation = entry.operation;
    return true;
  }
  return false;
}

inline bool apply_test(Heap& heap, const std::string& name, const Value& value, const Arguments& arguments) {
  Operator operation{};
  if (find_comparison(name, operation)) {
    return compare(heap, operation, value, Bound(name, arguments, {"other"}, 1)[0]);
  }
  if (name == "sameas") return is_same(value, Bound(name, arguments, {"other"}, 1)[0]);
  if (name == "divisibleby") {
    const Value rest = arithmetic(heap, Operator::modulo, value, Bound(name, arguments, {"num"}, 1)[0]);
    return equal(heap, rest, Value::integer(0));
  }
  Bound(name, arguments, {});
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is(Kind::none);
  if (name == "boolean") return value.is(Kind::boolean);
  if (name == "true") return value.is(Kind::boolean) && value.integer() != 0;
  if (name == "false") return value.is(Kind::boolean) && value.integer() == 0;
  if (name == "integer") return value.is(Kind::integer);
  if (name == "float") return value.is(Kind::number);
  if (name == "number") return value.is_numeric();
  if (name == "string") return value.is_string();
  if (name == "mapping") return value.is(Kind::dict);
  if (name == "iterable") return Iterator::is_iterable(value);
  if (name == "sequence") {
    return value.is_string() || value.is(Kind::list) || value.is(Kind::tuple) || value.is(Kind::dict) ||
           value.is(Kind::range) || value.is_undefined();
  }
  if (name == "callable") {
    return value.is(Kind::function) || value.is(Kind::macro) || value.is(Kind::loop) ||
           value.is(Kind::joiner) || value.is_undefined();
  }
  if (name == "escaped") return value.is_string() && value.as<String>().markup;
  if (name == "upper") return all_cased(text_of(heap, value), true);
  if (name == "lower") return all_cased(text_of(heap, value), false);
  if (name == "odd" || name == "even") {
    const Value rest = arithmetic(heap, Operator::modulo, value, Value::integer(2));
    return equal(heap, rest, Value::integer(name == "odd" ? 1 : 0));
  }
  if (name == "filter" || name == "test") {
    hash_of(heap, value);
    return value.is_string() && (name == "filter" ? is_filter(value.text()) : is_test(value.text()));
  }
  fail("there is no test '", name, "'");
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
