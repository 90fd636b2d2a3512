// Conversations as plain text, by one fixed template.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The plain template: every message is "role: content" and an empty line. It is prefix-stable: the rendering
/// of the first messages of a conversation begins the rendering of the whole.
inline std::string render_plain(std::span<const Message> messages) {
  std::string text;
  for (const Message& message : messages) {
    text.append(message.role).append(": ").append(message.content).append("\n\n");
  }
  return text;
}

/// The plain template where a template is asked for. A generation prompt is the header "assistant: ".
class PlainTemplate final : public ConversationTemplate {
 public:
  /// Throws DataError for what it would leave out: tools, and fields of messages other than role and a
  /// content that is text.
  std::string render(std::span<const Message> messages, const RenderOptions& options) const override {
    if (!is_empty(options.tools)) refuse("the tools of the conversation");
    for (const Message& message : messages) {
      const Value::Fields* fields = message.whole.fields();
      if (fields == nullptr) continue;
      for (const ValueField& field : *fields) {
        const bool read =
            field.name == "role" || (field.name == "content" && field.value.string() != nullptr);
        if (!read && !is_empty(field.value)) {
          refuse(concat("the field '", field.name, "' of a message of the role '", message.role, '\''));
        }
      }
    }
    std::string text = render_plain(messages);
    if (options.continue_final_message && !messages.empty()) text.resize(text.size() - 2);  // the empty line
    if (options.add_generation_prompt) text += "assistant: ";
    return text;
  }
  std::string name() const override { return "plain"; }

 private:
  static bool is_empty(const Value& value) {
    return value.is_none() || (value.list() != nullptr && value.list()->empty()) ||
           (value.fields() != nullptr && value.fields()->empty()) ||
           (value.string() != nullptr && value.string()->empty());
  }
  [[noreturn]] static void refuse(const std::string& what) {
    throw DataError("the plain template has no place for " + what +
                    ": expected a model with a chat template, or messages of role and text alone");
  }
};

}  // namespace MERIT_ABI
}  // namespace merit
