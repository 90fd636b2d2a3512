// Conversations as plain text, by one fixed template.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// A role that plain text can tell from what a message says: lower-case letters, digits, - and _.
inline bool is_plain_role_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/// Whether `text` begins, after any backslashes, as a message of the plain template does.
inline bool begins_as_message(std::string_view text) {
  while (text.starts_with('\\')) text.remove_prefix(1);
  Index role = 0;
  while (role < text.size() && is_plain_role_character(text[role])) ++role;
  return role != 0 && text.substr(role).starts_with(": ");
}

/// Appends a content. What would read as the next message, "role: " behind an empty line, gets a backslash.
inline void append_plain(std::string_view content, std::string& text) {
  for (Index i = 0; i < content.size(); ++i) {
    text += content[i];
    const bool empty_line = i > 0 && content[i] == '\n' && content[i - 1] == '\n';
    if (empty_line && begins_as_message(content.substr(i + 1))) text += '\\';
  }
}

}  // namespace detail

/// The plain template: every message is "role: content" and an empty line. A content in which an empty line
/// and what looks like the role of a message follow each other has a backslash between the two, so that
/// conversations of roles in lower case never give the same text. It is prefix-stable: the rendering of the
/// first messages of a conversation begins the rendering of the whole.
inline std::string render_plain(std::span<const Message> messages) {
  std::string text;
  for (const Message& message : messages) {
    text.append(message.role).append(": ");
    detail::append_plain(message.content, text);
    text.append("\n\n");
  }
  return text;
}

/// The plain template where a template is asked for. A generation prompt is the header "assistant: ". A
/// content in parts is their text.
class PlainTemplate final : public ConversationTemplate {
 public:
  /// Throws DataError for what it would leave out: tools, and fields of messages other than role and a
  /// content that is text; and for a role that could be part of what is said.
  std::string render(std::span<const Message> messages, const RenderOptions& options) const override {
    if (!detail::says_nothing(options.tools)) refuse("the tools of the conversation");
    for (const Message& message : messages) {
      if (message.role.empty() ||
          !std::all_of(message.role.begin(), message.role.end(), detail::is_plain_role_character)) {
        throw DataError(concat("the plain template cannot write the role ", detail::tail_of(message.role),
                               ": expected lower-case letters, digits, - and _, such as user"));
      }
      const Value::Fields* fields = message.whole.fields();
      if (fields == nullptr) continue;
      for (const ValueField& field : *fields) {
        const std::optional<std::string> beyond = detail::beyond_text(field.value);
        const bool text = field.value.string() != nullptr || field.value.list() != nullptr;
        if (field.name == "role" || detail::says_nothing(field.value)) continue;
        if (field.name == "content" && text && !beyond) continue;
        const std::string name = field.name + (field.name == "content" ? beyond.value_or("") : "");
        refuse(concat("the field '", name, "' of a message of the role '", message.role, '\''));
      }
    }
    std::string text = render_plain(messages);
    if (options.continue_final_message && !messages.empty()) text.resize(text.size() - 2);  // the empty line
    if (options.add_generation_prompt) text += "assistant: ";
    return text;
  }
  std::string name() const override { return "plain"; }

 private:
  [[noreturn]] static void refuse(const std::string& what) {
    throw DataError("the plain template has no place for " + what +
                    ": expected a model with a chat template, or messages of role and text alone");
  }
};

}  // namespace MERIT_ABI
}  // namespace merit
