// The operators of arithmetic for values of all types, as in Python.
#pragma once

#include "merit/jinja/operations.hpp"
#include "merit/jinja/value.hpp"
#include "merit/templates/format.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

/// `a operation b`, where the operation is one from add to power. Throws Failure for types that do not have
/// it.
inline Value arithmetic(Heap& heap, Operator operation, const Value& a, const Value& b) {
  static constexpr const char* signs[] = {"'+'", "'-'", "'*'", "'/'", "'//'", "'%'", "'**'"};
  require_defined(a);
  if (!(operation == Operator::modulo && a.is_string())) require_defined(b);
  if (a.is_integer() && b.is_integer()) return integer_arithmetic(operation, a.integer(), b.integer());
  if (a.is_numeric() && b.is_numeric()) return number_arithmetic(operation, a.number(), b.number());
  if (operation == Operator::add) return add(heap, a, b);
  if (operation == Operator::modulo && a.is_string()) return format_percent(heap, a, b);
  const auto repeatable = [](const Value& value) {
    return value.is_string() || value.is(Kind::list) || value.is(Kind::tuple);
  };
  if (operation == Operator::multiply) {
    if (repeatable(a) && b.is_integer()) return repeat(heap, a, b.integer());
    if (a.is_integer() && repeatable(b)) return repeat(heap, b, a.integer());
  }
  refuse_operands(signs[static_cast<int>(operation)], a, b);
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
