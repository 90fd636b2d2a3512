// A completion that is one text, cut into the steps that a step model scores.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record.hpp"
#include "merit/templates/message.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokens/data_counts.hpp"
#include "merit/tokens/step_text.hpp"
#include "merit/tokens/step_turns.hpp"
#include "merit/tokens/tokenize_options.hpp"
#include "merit/tokens/tokenize_steps.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// The steps' text of a conversation, which is its last answer; what stands before that becomes the prompt.
inline std::string answer_with_steps(const CompletionRecord& record, const TokenizeOptions& options,
                                     std::optional<TextOrMessages>& prompt) {
  const auto& said = std::get<std::vector<Message>>(record.completion);
  const auto refuse = [&](const std::string& found, const char* expected) {
    throw DataError(concat(record.source.text(), ": found a conversation ", found, ", expected ", expected));
  };
  std::vector<Message> before;
  if (record.prompt) {
    const auto* turns = std::get_if<std::vector<Message>>(&*record.prompt);
    if (turns == nullptr) refuse("under a prompt that is a string", "a prompt that is a list of messages");
    before = *turns;
  }
  if (said.empty()) refuse("without messages", "one that ends in an answer");
  before.insert(before.end(), said.begin(), said.end() - 1);
  if (said.back().role != "assistant") {
    refuse(concat("that ends with the role ", quote(said.back().role)),
           "the assistant's answer, in which a model of steps scores each step");
  }
  if (before.empty()) refuse("of an answer alone", "the messages that it answers before it");
  if (options.step_layout == StepLayout::chat_turns && said.back().content == good_turn) {
    refuse(
        concat("whose answer is \"", good_turn, "\", which the step layout chat_turns puts behind each step"),
        "all the steps in the last answer");
  }
  prompt = std::move(before);
  return said.back().content;
}

}  // namespace detail

/// A completion as a record of steps, all labelled as if good, for a model that scores steps: in text, or the last answer
/// of a conversation, to what stands before it. A text without a step has none. Throws DataError for a record in another
/// form, and for a conversation that does not end in an answer.
inline StepsRecord as_steps(const CompletionRecord& record, const TokenizeOptions& options) {
  StepsRecord steps;
  steps.source = record.source;
  steps.prompt = record.prompt;
  steps.inputs = record.inputs;
  if (record.form != RecordForm::text) {
    throw DataError(record.source.text() +
                    ": found a completion that is no text, expected one, which a model of steps cuts at "
                    "its separator; or a record with the steps in 'completions'");
  }
  const auto* given = std::get_if<std::string>(&record.completion);
  const std::string text =
      given != nullptr ? *given : detail::answer_with_steps(record, options, steps.prompt);
  // A text that has the separator already is cut where it says.
  const bool by_separator =
      options.step_split.empty() ||
      (!options.step_separator.empty() && text.find(options.step_separator) != std::string::npos);
  steps.completions = split_steps(text, by_separator ? options.step_separator : options.step_split);
  steps.labels.assign(steps.completions.size(), true);  // a record without labels would be left out
  return steps;
}

/// Tokenizes such a completion for a model that scores steps. Gives nothing where it is dropped: also for
/// a text without a step, and for one of which a cut leaves no step unless options.to_judge. The labels that
/// as_steps() puts there are not counted: the record has none.
template <tokenizer Tokenizer>
std::optional<StepsExample> tokenize_as_steps(const CompletionRecord& record, const Tokenizer& tokenizer,
                                              const TokenizeOptions& options, DataCounts& counts) {
  const StepsRecord steps = as_steps(record, options);
  if (steps.completions.empty()) {
    ++counts.records;
    ++counts.dropped_empty;
    return std::nullopt;
  }
  const DataCounts before = counts;
  auto example = tokenize(steps, tokenizer, options, counts);
  counts.labels = before.labels;
  counts.labels_lost = before.labels_lost;
  return example;
}

}  // namespace MERIT_ABI
}  // namespace merit
