// A turn of a conversation.
#pragma once

#include <optional>
#include <string>
#include <string_view>

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

/// The text of a content that is a list of parts, one behind the other, where all of them are text and nothing
/// else: strings, or objects {"type": "text", "text": …}. Nothing where a part says anything more.
std::optional<std::string> text_of_parts(const Value& content);

/// Puts `text` behind what the message says.
void append_text(Message& message, std::string_view text);

namespace detail {

/// Whether a value says nothing: none, or an empty list, object or string.
bool says_nothing(const Value& value);

/// Where in a content that is a list of parts something first stands that is no text: "[1].image_url". Nothing
/// where there is none.
std::optional<std::string> beyond_text(const Value& content);

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/templates/message_body.hpp"
#endif
