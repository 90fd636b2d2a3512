// Steps as turns of a conversation: the user says each, and the model is read where the assistant answers it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/reading_rule.hpp"
#include "merit/records/record.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/templates/message.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokens/rendering.hpp"
#include "merit/tokens/sequences.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What the assistant says to each step, whatever the step is worth: the model is read one token before it,
/// where it would say it.
inline constexpr std::string_view good_turn = "+";

namespace detail {

/// The conversation of a prompt and steps in turns, and how much of its text stands before each answer.
struct TurnsText {
  std::string text;
  std::vector<Index> answers;  // bytes
  std::string prompt;          // the prompt alone, with the header of an answer; empty: there is none
};

inline TurnsText render_turns(const TextOrMessages& prompt, const TemplateInputs& inputs,
                              std::span<const std::string> steps, const TokenizeOptions& options,
                              const SourcePosition& at) {
  std::vector<Message> messages;
  if (const auto* given = std::get_if<std::vector<Message>>(&prompt)) {
    messages = *given;
  } else {
    messages = {{"user", std::get<std::string>(prompt)}};
  }
  const auto rendered = [&](bool header) {
    const RenderOptions render_options{
        .add_generation_prompt = header, .tools = inputs.tools, .variables = inputs.variables};
    return with_template(options, at, [&](const ConversationTemplate& with) {
      return render_all(with, messages, render_options);
    });
  };
  TurnsText turns;
  if (!messages.empty()) turns.prompt = rendered(true);
  std::vector<std::string> beginnings;
  for (const std::string& step : steps) {
    if (!messages.empty() && messages.back().role == "user") {
      append_text(messages.back(), (messages.back().content.empty() ? "" : " ") + step);
    } else {
      messages.push_back({"user", step});
    }
    beginnings.push_back(rendered(true));
    messages.push_back({"assistant", std::string(good_turn)});
  }
  turns.text = rendered(false);
  for (Index k = 0; k < steps.size(); ++k) {
    const std::string& beginning = beginnings[k];
    std::string_view rest = turns.text;
    const bool begins = rest.starts_with(beginning);
    if (begins) rest.remove_prefix(beginning.size());
    while (begins && !rest.empty() && (rest.front() == ' ' || rest.front() == '\n')) rest.remove_prefix(1);
    if (!begins || !rest.starts_with(good_turn) || (k > 0 && beginning.size() <= turns.answers.back())) {
      throw DataError(concat(at.text(), ": the chat template has no place for the answer to step ", k + 1,
                             " of ", steps.size(), ": with the header of that answer it gives ",
                             tail_of(beginning), ", expected a text that the whole goes on from with ", "\"",
                             good_turn, "\""));
    }
    turns.answers.push_back(beginning.size());
  }
  return turns;
}

}  // namespace detail

/// The tokens of a prompt and steps as RLHFlow's process reward models see them: the prompt, a space and the
/// first step are one user's message, each further step is the next; between them the assistant says
/// good_turn. The whole is tokenized at once; the place of a step is the last token before those of the
/// answer to it, and the last of them ends the sequence. The completion begins where the tokens of the prompt
/// alone first differ.
///
/// Throws ConfigError without a chat template and with a reading rule that looks for tags, DataError where
/// the template cannot render the conversation or has no place for an answer.
template <tokenizer Tokenizer>
Sequence sequence_of_turns(const TextOrMessages& prompt, const TemplateInputs& inputs,
                           std::span<const std::string> steps, const Tokenizer& tokenizer,
                           const TokenizeOptions& options, const SourcePosition& at) {
  if (!options.conversation) {
    throw ConfigError("the step layout chat_turns needs a chat template, and the model has none");
  }
  if (options.reading.kind == ReadingRule::Kind::tag ||
      options.reading.kind == ReadingRule::Kind::before_tag) {
    throw ConfigError(
        "the step layout chat_turns says itself where steps are read, before the answer to each: "
        "found the reading rule " +
        name_of(options.reading) + ", expected last");
  }
  const detail::TurnsText turns = detail::render_turns(prompt, inputs, steps, options, at);
  const auto tokens_of = [&](std::string_view text) {
    std::vector<Token> tokens;
    tokenizer.encode(text, tokens);
    return tokens;
  };
  Sequence sequence;
  sequence.tokens = tokens_of(turns.text);
  for (const Index answer : turns.answers) {
    const std::vector<Token> before = tokens_of(std::string_view(turns.text).substr(0, answer));
    const Index count = detail::common_prefix(before, sequence.tokens);
    if (count == 0 || (!sequence.step_ends.empty() && count - 1 <= sequence.step_ends.back())) {
      throw DataError(concat(at.text(), ": step ", sequence.step_ends.size() + 1, " of ", steps.size(),
                             " adds no token before the answer to it, where its score "
                             "is read, expected one or more"));
    }
    sequence.step_ends.push_back(count - 1);
  }
  detail::check_beginning(sequence.tokens, tokenizer, at);
  sequence.tokens.resize(sequence.step_ends.back() + 1);
  sequence.completion_begin = detail::common_prefix(tokens_of(turns.prompt), sequence.tokens);
  return sequence;
}

}  // namespace MERIT_ABI
}  // namespace merit
