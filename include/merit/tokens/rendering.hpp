// The text that a prompt and a completion are, by the template of the conversation or as they stand.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/records/record.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/templates/plain_template.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// A text, where in it the completion begins, and whether a template made it: then it has the special tokens
/// that it is to have, and ends as the template ends it.
struct RecordText {
  RenderedText text;
  bool conversation = false;
};

/// The messages of a prompt; none for a string.
inline const std::vector<Message>* messages_of(const std::optional<TextOrMessages>& text) {
  return text ? std::get_if<std::vector<Message>>(&*text) : nullptr;
}

/// Calls f with the template; an error in rendering gets the place of the record.
template <class F>
auto with_template(const TokenizeOptions& options, const SourcePosition& at, const F& f) {
  static const PlainTemplate plain;
  try {
    return f(options.conversation ? *options.conversation : static_cast<const ConversationTemplate&>(plain));
  } catch (const DataError& error) {
    throw DataError(concat(at.text(), ": ", error.what()));
  }
}

/// Prompt and completion of a record as one text.
inline RecordText render(const std::optional<TextOrMessages>& prompt, const TextOrMessages& completion,
                         const TemplateInputs& inputs, const TokenizeOptions& options,
                         const SourcePosition& at) {
  const std::vector<Message>* before = messages_of(prompt);
  const auto* after = std::get_if<std::vector<Message>>(&completion);
  const bool as_chat = options.strings_as_chat && prompt && before == nullptr && after == nullptr;
  if (before == nullptr && after == nullptr && !as_chat) {
    const std::string& text = std::get<std::string>(completion);
    if (!prompt) return {{text, 0}, false};
    const std::string& prompt_text = std::get<std::string>(*prompt);
    return {{prompt_text + text, prompt_text.size()}, false};
  }
  std::vector<Message> asked;
  std::vector<Message> answered;
  if (before == nullptr && as_chat) {
    asked = {{"user", std::get<std::string>(*prompt)}};
    before = &asked;
  }
  if (after == nullptr) {  // a string under a conversation is the assistant's next message
    answered = {{"assistant", std::get<std::string>(completion)}};
    after = &answered;
  }
  const RenderOptions render_options{.tools = inputs.tools, .variables = inputs.variables};
  return with_template(options, at, [&](const ConversationTemplate& with) -> RecordText {
    return {
        render_apart(with, before != nullptr ? std::span<const Message>(*before) : std::span<const Message>{},
                     *after, render_options),
        true};
  });
}

/// The text around the assistant's answer to a prompt that is a conversation, or a string taken as one: what
/// comes before it, and what comes after it.
struct Surroundings {
  std::string before;
  std::string after;
};
inline Surroundings surroundings(const std::vector<Message>& prompt, const TemplateInputs& inputs,
                                 const TokenizeOptions& options, const SourcePosition& at) {
  // A word that no template changes and no conversation holds marks the place of the answer.
  std::string mark = "merit-answer";
  for (const Message& message : prompt) {
    while (message.content.find(mark) != std::string::npos) mark += "-x";
  }
  std::vector<Message> all = prompt;
  all.push_back({"assistant", mark});
  const RenderOptions render_options{.tools = inputs.tools, .variables = inputs.variables};
  return with_template(options, at, [&](const ConversationTemplate& with) -> Surroundings {
    const std::string text = render_all(with, all, render_options);
    const auto place = text.rfind(mark);
    if (place == std::string::npos) {
      throw DataError(
          "the chat template does not write out the assistant's answer, so that its steps have no place");
    }
    return {text.substr(0, place), text.substr(place + mark.size())};
  });
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
