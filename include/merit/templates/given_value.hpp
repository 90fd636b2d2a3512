// What the calling program gives to a template, as values of the template.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/io/utf8.hpp"
#include "merit/jinja/value.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

inline const std::string& checked_text(const std::string& text) {
  if (first_invalid_utf8(text) != text.size()) fail("a text given to the template is not UTF-8");
  return text;
}

/// A value as it was given. Its nesting is that of parsed JSON, or was made by the calling program.
inline Value value_of(Heap& heap, const merit::Value& given, Index depth = 0) {
  if (depth > 512) fail("the values given to the template are nested deeper than 512 levels");
  if (const bool* boolean = given.boolean()) return Value::boolean(*boolean);
  if (const std::int64_t* integer = given.integer()) return Value::integer(*integer);
  if (const double* number = given.number()) return Value::number(*number);
  if (const std::string* string = given.string()) return heap.text(checked_text(*string));
  if (const merit::Value::List* list = given.list()) {
    std::vector<Value> items;
    items.reserve(list->size());
    for (const merit::Value& item : *list) items.push_back(value_of(heap, item, depth + 1));
    return heap.list(std::move(items));
  }
  if (const merit::Value::Fields* fields = given.fields()) {
    auto& dict = heap.make<Dict>();
    for (const ValueField& field : *fields) {
      dict.set(heap, heap.text(checked_text(field.name)), value_of(heap, field.value, depth + 1));
    }
    return Value(Kind::dict, &dict);
  }
  return Value::none();
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
