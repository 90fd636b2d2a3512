// The bodies of value.hpp.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "merit/core/value.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE Value Value::object(std::initializer_list<std::pair<std::string, Value>> fields) {
  Fields list;
  for (const auto& [name, value] : fields) list.push_back({name, value});
  return Value(std::move(list));
}

MERIT_INLINE bool operator==(const Value& a, const Value& b) {
  const Value::Fields* left = a.fields();
  const Value::Fields* right = b.fields();
  if (left == nullptr || right == nullptr) return a.held_ == b.held_;
  if (left->size() != right->size()) return false;
  for (const ValueField& field : *left) {
    const Value* other = b.find(field.name);
    if (other == nullptr || !(*other == field.value)) return false;
  }
  return true;
}

namespace detail {

inline void append_text(const Value& value, std::string& out) {
  const auto append_string = [&out](std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += '"';
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        out += '\\';
        out += c;
      } else if (byte < 0x20) {
        out += "\\u00";
        out += {digits[byte >> 4], digits[byte & 15u]};
      } else {
        out += c;
      }
    }
    out += '"';
  };
  if (value.is_none()) {
    out += "null";
  } else if (const bool* boolean = value.boolean()) {
    out += *boolean ? "true" : "false";
  } else if (const std::int64_t* integer = value.integer()) {
    out += std::to_string(*integer);
  } else if (const double* number = value.number()) {
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, *number).ptr;
    out.append(digits, end);
  } else if (const std::string* string = value.string()) {
    append_string(*string);
  } else if (const Value::List* list = value.list()) {
    out += '[';
    for (const Value& item : *list) {
      if (&item != list->data()) out += ", ";
      append_text(item, out);
    }
    out += ']';
  } else if (const Value::Fields* fields = value.fields()) {
    out += '{';
    for (const ValueField& field : *fields) {
      if (&field != fields->data()) out += ", ";
      append_string(field.name);
      out += ": ";
      append_text(field.value, out);
    }
    out += '}';
  }
}

}  // namespace detail

MERIT_INLINE std::string text_of(const Value& value) {
  std::string text;
  detail::append_text(value, text);
  return text;
}

}  // namespace MERIT_ABI
}  // namespace merit
