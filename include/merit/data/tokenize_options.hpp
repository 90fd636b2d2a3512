// What is asked of tokenizing: lengths, and what the labels of each kind of record become.
#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

#include "merit/core/error.hpp"
#include "merit/core/reading_rule.hpp"
#include "merit/core/view.hpp"
#include "merit/data/names.hpp"
#include "merit/text/conversation_template.hpp"

namespace merit::inline MERIT_ABI {

/// What is done with sequences of more than `max_tokens` tokens. The policy is saved with a model.
enum class Truncation {
  drop,             // the record is left out
  cut_left,         // the first tokens go
  cut_right,        // the last tokens go, an end of sequence among them
  keep_completion,  // the first tokens of the prompt go; a completion too long by itself is left out
  error,            // DataError
};

/// What the numbers among step labels mean.
enum class StepScale {
  automatic,  // as detect_step_scale() finds; for a record by itself, a 0 is an error
  binary,     // the probability that the step is good
  ternary,    // -1 bad, 0 neutral, 1 good
};

/// What is done with the probability that a step is neutral.
enum class NeutralSteps {
  keep,
  as_good,     // added to good (PRM800K counts neutral as good)
  as_bad,      // added to bad
  unlabelled,  // left out, the rest scaled to sum to 1; a step that is only neutral has no label
};

/// How prompt and steps are put together.
enum class StepLayout {
  /// The separator behind each step, and behind a prompt that is plain text and does not end in it: the
  /// first step begins as all do.
  separated,
  /// As PRMTrainer of TRL 0.12 to 1.13: the token that begins a sequence, where the tokenizer names one, the
  /// prompt as it stands, the separator behind each step; no end of sequence.
  trl,
  chat_turns,  // as RLHFlow: each step is a user's message, which the assistant answers with "+"
};

namespace detail {

inline constexpr NameTable<StepLayout, 3> step_layout_names{
    {{StepLayout::separated, "separated"}, {StepLayout::trl, "trl"}, {StepLayout::chat_turns, "chat_turns"}}};
inline constexpr NameTable<Truncation, 5> truncation_names{{{Truncation::drop, "drop"},
                                                            {Truncation::cut_left, "cut_left"},
                                                            {Truncation::cut_right, "cut_right"},
                                                            {Truncation::keep_completion, "keep_completion"},
                                                            {Truncation::error, "error"}}};
inline constexpr NameTable<StepScale, 3> step_scale_names{
    {{StepScale::automatic, "automatic"}, {StepScale::binary, "binary"}, {StepScale::ternary, "ternary"}}};
inline constexpr NameTable<NeutralSteps, 4> neutral_steps_names{{{NeutralSteps::keep, "keep"},
                                                                 {NeutralSteps::as_good, "as_good"},
                                                                 {NeutralSteps::as_bad, "as_bad"},
                                                                 {NeutralSteps::unlabelled, "unlabelled"}}};

}  // namespace detail

/// "drop", "cut_left", "cut_right", "keep_completion" or "error".
inline std::string name_of(Truncation truncation) {
  return detail::name_in(detail::truncation_names, "truncation policy", truncation);
}
/// The policy of that name. Throws ConfigError that lists the known ones.
inline Truncation truncation_from_name(std::string_view name) {
  return detail::value_in(detail::truncation_names, "truncation policy", name);
}

/// "automatic", "binary" or "ternary".
inline std::string name_of(StepScale scale) {
  return detail::name_in(detail::step_scale_names, "step scale", scale);
}
/// The scale of that name. Throws ConfigError that lists the known ones.
inline StepScale step_scale_from_name(std::string_view name) {
  return detail::value_in(detail::step_scale_names, "step scale", name);
}

/// "keep", "as_good", "as_bad" or "unlabelled".
inline std::string name_of(NeutralSteps neutral) {
  return detail::name_in(detail::neutral_steps_names, "policy for neutral steps", neutral);
}
/// The policy of that name. Throws ConfigError that lists the known ones.
inline NeutralSteps neutral_steps_from_name(std::string_view name) {
  return detail::value_in(detail::neutral_steps_names, "policy for neutral steps", name);
}

/// "separated", "trl" or "chat_turns".
inline std::string name_of(StepLayout layout) {
  return detail::name_in(detail::step_layout_names, "step layout", layout);
}
/// The layout of that name. Throws ConfigError that lists the known ones.
inline StepLayout step_layout_from_name(std::string_view name) {
  return detail::value_in(detail::step_layout_names, "step layout", name);
}

/// By how much the better of two completions should win: of its rating, the other's, and by how many ranks it
/// is better. The rating is the sum over attributes; without ratings both are 0.
using RankingMargin = std::function<double(double rating_better, double rating_worse, Index rank_difference)>;

struct TokenizeOptions {
  Index max_tokens = std::numeric_limits<Index>::max();  // of a sequence, prompt and end of sequence included
  Truncation truncation = Truncation::drop;
  bool without_prompt = false;  // ablation: keep the completion's tokens only, so that no prompt is seen
  bool append_eos = true;       // end plain text completions with the end of sequence
  ReadingRule reading = {};     // where the model reads a score; applied before anything is cut

  // Conversations become text by this; none: by the plain template.
  std::shared_ptr<const ConversationTemplate> conversation = {};
  // A prompt and a completion that are strings are a user's message and the assistant's answer, not plain
  // text.
  bool strings_as_chat = false;

  // Rankings and ratings.
  RankingMargin margin = {};         // none: no margins
  bool keep_single_ratings = false;  // a rated completion alone is no comparison, but a target of regression

  // Steps. The policies are applied in this order, before anything is cut.
  std::string step_separator = "\n";  // its tokens end each step, the last of them is the step's place
  StepLayout step_layout = StepLayout::separated;
  std::string step_split = {};  // what divides a text into steps where that is something else
  StepScale step_scale = StepScale::automatic;
  NeutralSteps neutral = NeutralSteps::keep;
  bool stop_at_first_error = false;  // no labels after the first step that is bad with more than one half
  bool last_step_only = false;       // only the last label that there is

  // Rollouts: returns are discounted by γ, and with values mixed by λ.
  double gamma = 1;
  double lambda = 0.95;
};

namespace detail {

inline void check_options(const TokenizeOptions& options) {
  if (options.max_tokens == 0) throw ConfigError("max_tokens: found 0, expected 1 or more");
  const auto check = [](std::string_view name, double value) {
    if (!(value >= 0 && value <= 1)) throw ConfigError(concat(name, ": found ", value, ", expected 0 to 1"));
  };
  check("gamma", options.gamma);
  check("lambda", options.lambda);
}

}  // namespace detail

}  // namespace merit::inline MERIT_ABI
