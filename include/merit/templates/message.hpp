// A turn of a conversation.
#pragma once

#include <optional>
#include <string>

#include "merit/core/value.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// One turn of a conversation.
struct Message {
  std::string role;  // "system", "user", "assistant", "tool", …
  std::string content;
  /// The whole message as it was given, role and content included, where it has more than these two or a
  /// content that is no string: tool calls, a name, reasoning, parts. None for all others. What templates
  /// see.
  Value whole = {};

  bool operator==(const Message&) const = default;
};

/// The text of a content that is a list of parts, one behind the other, where all of them are text: strings,
/// or objects {"type": "text", "text": …}. Nothing where a part is anything else.
inline std::optional<std::string> text_of_parts(const Value& content) {
  if (content.list() == nullptr) return std::nullopt;
  std::string text;
  for (const Value& part : *content.list()) {
    const Value* type = part.find("type");
    const Value* inside = part.find("text");
    const bool typed = type == nullptr || (type->string() != nullptr && *type->string() == "text");
    const std::string* piece = part.string();
    if (piece == nullptr && typed && inside != nullptr) piece = inside->string();
    if (piece == nullptr) return std::nullopt;
    text += *piece;
  }
  return text;
}

}  // namespace MERIT_ABI
}  // namespace merit
