// The bodies of message.hpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "merit/core/concat.hpp"
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

MERIT_INLINE bool says_nothing(const Value& value) {
  return value.is_none() || (value.list() != nullptr && value.list()->empty()) ||
         (value.fields() != nullptr && value.fields()->empty()) ||
         (value.string() != nullptr && value.string()->empty());
}

/// Where in a part something stands that is no text; nothing where all of it is text.
inline std::optional<std::string> beyond_text_of_part(const Value& part) {
  if (part.string() != nullptr) return std::nullopt;
  if (part.fields() == nullptr) return "";
  for (const ValueField& field : *part.fields()) {
    if (field.name != "type" && field.name != "text" && !says_nothing(field.value)) return '.' + field.name;
  }
  const Value* type = part.find("type");
  if (type != nullptr && (type->string() == nullptr || *type->string() != "text")) return ".type";
  const Value* text = part.find("text");
  if (text == nullptr || text->string() == nullptr) return ".text";
  return std::nullopt;
}

MERIT_INLINE std::optional<std::string> beyond_text(const Value& content) {
  if (content.list() == nullptr) return std::nullopt;
  Index i = 0;
  for (const Value& part : *content.list()) {
    if (const auto beyond = beyond_text_of_part(part)) return concat('[', i, ']', *beyond);
    ++i;
  }
  return std::nullopt;
}

}  // namespace detail

MERIT_INLINE std::optional<std::string> text_of_parts(const Value& content) {
  if (content.list() == nullptr || detail::beyond_text(content)) return std::nullopt;
  std::string text;
  for (const Value& part : *content.list()) {
    text += part.string() != nullptr ? *part.string() : *part.find("text")->string();
  }
  return text;
}

MERIT_INLINE void append_text(Message& message, std::string_view text) {
  message.content += text;
  Value::Fields* fields = message.whole.fields();
  if (fields == nullptr) return;
  for (ValueField& field : *fields) {
    if (field.name != "content") continue;
    if (Value::List* parts = field.value.list()) {
      parts->push_back(Value::object({{"type", "text"}, {"text", text}}));
    } else {
      field.value = message.content;
    }
    return;
  }
  fields->push_back({"content", message.content});
}

}  // namespace MERIT_ABI
}  // namespace merit
