// Steps as turns of a conversation: each is said by the user, and the assistant says whether it is good.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/data/record.hpp"
#include "merit/data/rendering.hpp"
#include "merit/data/sequences.hpp"
#include "merit/data/tokenize_options.hpp"
#include "merit/text/conversation_template.hpp"
#include "merit/text/message.hpp"
#include "merit/text/tokenizer.hpp"

namespace merit::inline MERIT_ABI {

/// What the assistant says to each step, whatever the step is worth: the model is read one token before it,
/// where it would say it.
inline constexpr std::string_view good_turn = "+";

/// The tokens of a prompt and steps as RLHFlow's process reward models see them: the prompt, a space and the
/// first step are one user's message, each further step is the next; between them the assistant says
/// good_turn. The place of a step is the last token of the header of the assistant's answer to it, and the
/// last of them ends the sequence. The completion begins where the tokens of the prompt alone first differ.
///
/// Throws ConfigError without a chat template, DataError where the template cannot render the conversation,
/// or renders the beginning of it as something that does not begin the whole.
template <tokenizer Tokenizer>
Sequence sequence_of_turns(const TextOrMessages& prompt, const TemplateInputs& inputs,
                           std::span<const std::string> steps, const Tokenizer& tokenizer,
                           const TokenizeOptions& options, const SourcePosition& at) {
  if (!options.conversation) {
    throw ConfigError(
        "the step layout chat_turns needs a chat template: the model's folder has none, expected one");
  }
  std::vector<Message> messages;
  if (const auto* given = std::get_if<std::vector<Message>>(&prompt)) {
    messages = *given;
  } else {
    messages = {{"user", std::get<std::string>(prompt)}};
  }
  const auto rendered = [&] {
    const RenderOptions render_options{
        .add_generation_prompt = true, .tools = inputs.tools, .variables = inputs.variables};
    return detail::with_template(
        options, at, [&](const ConversationTemplate& with) { return with.render(messages, render_options); });
  };
  std::vector<Token> alone;
  if (!messages.empty()) tokenizer.encode(rendered(), alone);

  Sequence sequence;
  std::string text;  // all that is tokenized already
  for (const std::string& step : steps) {
    if (!sequence.step_ends.empty()) messages.push_back({"assistant", std::string(good_turn)});
    if (!messages.empty() && messages.back().role == "user") {
      messages.back().content += (messages.back().content.empty() ? "" : " ") + step;
    } else {
      messages.push_back({"user", step});
    }
    std::string longer = rendered();
    if (!longer.starts_with(text)) {
      throw DataError(detail::concat(at.text(), ": the chat template renders the first ",
                                     sequence.step_ends.size(), " steps as a text that ends in ",
                                     detail::tail_of(text),
                                     ", which does not begin that of one step more; steps as turns have no "
                                     "place in it"));
    }
    tokenizer.encode(std::string_view(longer).substr(text.size()), sequence.tokens);
    sequence.step_ends.push_back(sequence.tokens.size() - 1);
    text = std::move(longer);
  }
  detail::check_beginning(sequence.tokens, tokenizer, at);
  sequence.completion_begin = detail::common_prefix(alone, sequence.tokens);
  return sequence;
}

}  // namespace merit::inline MERIT_ABI
