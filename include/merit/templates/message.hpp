// A turn of a conversation.
#pragma once

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

}  // namespace MERIT_ABI
}  // namespace merit
