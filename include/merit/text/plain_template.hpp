// Conversations as plain text, by one fixed template.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit::inline MERIT_ABI {

/// One turn of a conversation.
struct Message {
  std::string role;  // "system", "user", "assistant", …
  std::string content;

  bool operator==(const Message&) const = default;
};

/// A text and where in it the completion begins.
struct RenderedText {
  std::string text;
  Index completion_begin = 0;  // bytes; text before it is the prompt
};

namespace detail {

inline void append_plain(std::span<const Message> messages, std::string& out) {
  for (const Message& message : messages) {
    out.append(message.role).append(": ").append(message.content).append("\n\n");
  }
}

}  // namespace detail

/// The plain template: every message is "role: content" and an empty line. It is prefix-stable: the rendering
/// of the first messages of a conversation begins the rendering of the whole.
inline std::string render_plain(std::span<const Message> messages) {
  std::string text;
  detail::append_plain(messages, text);
  return text;
}

/// A conversation given as prompt and completion apart, rendered together. The completion begins after the
/// prompt's messages and, where its first message is the assistant's, after the header "assistant: ", which a
/// generating model would be given.
inline RenderedText render_plain(std::span<const Message> prompt, std::span<const Message> completion) {
  RenderedText rendered;
  detail::append_plain(prompt, rendered.text);
  rendered.completion_begin = rendered.text.size();
  if (!completion.empty() && completion.front().role == "assistant") {
    rendered.completion_begin += std::string_view("assistant: ").size();
  }
  detail::append_plain(completion, rendered.text);
  return rendered;
}

}  // namespace merit::inline MERIT_ABI
