// What is asked of tokenizing: lengths, and what the labels of each kind of record become.
#pragma once

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/reading_rule.hpp"
#include "merit/templates/conversation_template.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What is done with sequences of more than `max_tokens` tokens. The policy is saved with a model.
enum class Truncation {
  drop,               // the record is left out
  cut_left,           // the first tokens go, of each sequence by itself
  cut_left_together,  // the first tokens go, of all sequences of a record as many of the prompt
  cut_right,          // the last tokens go, an end of sequence among them
  keep_completion,    // the first tokens of the prompt go; a completion too long by itself is left out
  error,              // DataError
  longest_first,  // of two segments the last tokens of the longer go, until both are as long, then of both
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

template <>
inline constexpr std::array<std::string_view, 7> enum_names<Truncation>{
    "drop", "cut_left", "cut_left_together", "cut_right", "keep_completion", "error", "longest_first"};
template <>
inline constexpr std::array<std::string_view, 3> enum_names<StepScale>{"automatic", "binary", "ternary"};
template <>
inline constexpr std::array<std::string_view, 4> enum_names<NeutralSteps>{"keep", "as_good", "as_bad",
                                                                          "unlabelled"};
template <>
inline constexpr std::array<std::string_view, 3> enum_names<StepLayout>{"separated", "trl", "chat_turns"};

// The value of a name. Each throws ConfigError that lists the known ones.
inline Truncation truncation_from_name(std::string_view name) {
  return value_from_name<Truncation>("truncation policy", name);
}
inline StepScale step_scale_from_name(std::string_view name) {
  return value_from_name<StepScale>("step scale", name);
}
inline NeutralSteps neutral_steps_from_name(std::string_view name) {
  return value_from_name<NeutralSteps>("policy for neutral steps", name);
}
inline StepLayout step_layout_from_name(std::string_view name) {
  return value_from_name<StepLayout>("step layout", name);
}

/// By how much the better of two completions should win: of its rating, the other's, and by how many ranks it
/// is better. The rating is the sum over attributes; without ratings both are 0.
using RankingMargin = std::function<double(double rating_better, double rating_worse, Index rank_difference)>;

/// What a tokenizer puts around and between two texts that an encoder reads as two segments.
struct SegmentMarks {
  std::vector<Token> before, between, after;
};

struct TokenizeOptions {
  Index max_tokens = std::numeric_limits<Index>::max();  // of a sequence, prompt and end of sequence included
  Truncation truncation = Truncation::drop;
  /// For figures: what has nothing to teach is kept to be counted, as sides that are equal or that a cut made
  /// equal, and a solution of which a cut left no labelled step.
  bool to_judge = false;
  bool without_prompt = false;  // ablation: keep the completion's tokens only, so that no prompt is seen
  bool append_eos = true;       // end plain text completions with the end of sequence
  /// A prompt and its completion are two segments, with these marks, as encoders read them. Cuts leave the marks.
  std::optional<SegmentMarks> segments = {};
  ReadingRule reading = {};  // where the model reads a score; applied before anything is cut

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
  std::string step_split = {};  // what divides a text into steps where that is something else, and not in it
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
  if (options.truncation == Truncation::longest_first && !options.segments) {
    throw ConfigError(
        "truncation: found longest_first, expected another policy: it is for encoders, which read a prompt and a "
        "completion as two segments");
  }
  const auto check = [](std::string_view name, double value) {
    if (!(value >= 0 && value <= 1)) throw ConfigError(concat(name, ": found ", value, ", expected 0 to 1"));
  };
  check("gamma", options.gamma);
  check("lambda", options.lambda);
}

/// The same where labels belong to single tokens: which of them a cut inside segments takes is not followed.
inline void check_options_of_parts(const TokenizeOptions& options) {
  check_options(options);
  if (options.segments && options.truncation != Truncation::drop && options.truncation != Truncation::error) {
    throw ConfigError(concat("truncation: found ", name_of(options.truncation),
                             ", expected drop or error: steps and states in two segments are not cut"));
  }
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
