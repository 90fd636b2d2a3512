// Records as they stand in a file: text, ids or features, before anything is tokenized.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/forest/record_kind.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Where a record came from. Every error about it begins with text().
struct SourcePosition {
  std::string file = {};
  Index line = 0;    // from 1; 0: `file` says all, of what has no lines
  Index record = 0;  // of several elements of a JSON array in one line: its number in the array, from 1

  /// "file:line", or "file:line: record 2".
  std::string text() const {
    return concat(file, line == 0 ? std::string() : concat(':', line),
                  record == 0 ? std::string() : concat(": record ", record));
  }
};

/// Plain text, or a conversation.
using TextOrMessages = std::variant<std::string, std::vector<Message>>;

/// What the template of a conversation is given beside its messages.
struct TemplateInputs {
  Value tools = {};      // `tools`: a list of them as JSON schemas; none: no tools
  Value variables = {};  // `chat_template_kwargs`: fields, such as enable_thinking
};

/// Which of its three forms a record is in.
enum class RecordForm { text, ids, features };

/// The kind of that name. Throws ConfigError that lists the known ones.
inline RecordKind record_kind_from_name(std::string_view name) {
  return value_from_name<RecordKind>("kind of record", name);
}

/// Two completions of which one was preferred. Its form says which fields are filled; the others are empty.
///
/// - text: `chosen`, `rejected`, and `prompt` if it was given apart. Both completions are strings or both are
///   conversations. A conversation as the prompt may go with either; a string as the prompt goes with
///   strings. Without a prompt, each of the two is a whole sequence and their common prefix is the prompt.
/// - ids: the same in tokens.
/// - features: one vector per completion, computed elsewhere, of equal lengths.
struct PreferenceRecord {
  RecordForm form = RecordForm::text;

  std::optional<TextOrMessages> prompt = {};
  TemplateInputs inputs = {};
  TextOrMessages chosen = {};
  TextOrMessages rejected = {};

  std::optional<std::vector<Token>> prompt_ids = {};
  std::vector<Token> chosen_ids = {};
  std::vector<Token> rejected_ids = {};

  std::vector<float> chosen_features = {};
  std::vector<float> rejected_features = {};

  std::optional<double> margin = {};      // finite
  std::optional<double> weight = {};      // finite, 0 or more
  std::optional<double> soft_label = {};  // in [0, 1]: the probability that `chosen` is the better one

  SourcePosition source = {};
};

/// What a judge said of two answers.
enum class JudgeVote { a, b, tie };

/// The share of votes for a; a tie is half a vote for each.
inline double share_for_a(std::span<const JudgeVote> votes) {
  double for_a = 0;
  for (const JudgeVote vote : votes) for_a += vote == JudgeVote::a ? 1.0 : vote == JudgeVote::tie ? 0.5 : 0.0;
  return for_a / static_cast<double>(votes.size());
}

/// Two answers to one prompt, and the votes of people or models who compared them. The forms are those of
/// PreferenceRecord, but the prompt is given. In text an answer may be empty: a model may have said nothing.
struct JudgeRecord {
  RecordForm form = RecordForm::text;

  std::optional<TextOrMessages> prompt = {};  // always there but for features
  TemplateInputs inputs = {};
  TextOrMessages response_a = {};
  TextOrMessages response_b = {};

  std::optional<std::vector<Token>> prompt_ids = {};
  std::vector<Token> response_a_ids = {};
  std::vector<Token> response_b_ids = {};

  std::vector<float> response_a_features = {};
  std::vector<float> response_b_features = {};

  std::vector<JudgeVote> votes = {};            // at least one
  std::optional<double> probability_of_a = {};  // in [0, 1]: that `response_a` is the better one
  std::optional<double> weight = {};            // finite, 0 or more

  SourcePosition source = {};
};

/// The share for a: its probability where there is one, which says more than the votes, else its share of these.
inline double share_for_a(const JudgeRecord& record) {
  return record.probability_of_a ? *record.probability_of_a : share_for_a(record.votes);
}

/// Several completions of one prompt. The forms are those of PreferenceRecord, but the prompt is given; all
/// completions are strings or all are conversations.
struct CompletionsRecord {
  RecordForm form = RecordForm::text;

  std::optional<TextOrMessages> prompt = {};  // always there but for features
  TemplateInputs inputs = {};
  std::vector<TextOrMessages> completions = {};

  std::optional<std::vector<Token>> prompt_ids = {};
  std::vector<std::vector<Token>> completions_ids = {};

  std::vector<std::vector<float>> completions_features = {};

  std::optional<double> weight = {};  // finite, 0 or more

  SourcePosition source = {};

  /// How many there are, in whichever form.
  Index size() const {
    switch (form) {
      case RecordForm::text: return completions.size();
      case RecordForm::ids: return completions_ids.size();
      case RecordForm::features: return completions_features.size();
    }
    return 0;
  }
};

/// Completions in an order of preference.
struct RankingRecord : CompletionsRecord {
  // One a completion: 0 is best, equal ranks are a tie, numbers may be left out.
  std::vector<Index> ranks = {};
};

/// Completions with ratings, higher ones better.
struct RatingsRecord : CompletionsRecord {
  std::vector<double> scores = {};  // (completions, attributes), finite
  Index attributes = 1;             // how many numbers a completion has
};

/// One completion to be scored. The forms are those of PreferenceRecord; without a prompt, `completion` is
/// the whole sequence.
struct CompletionRecord {
  RecordForm form = RecordForm::text;

  std::optional<TextOrMessages> prompt = {};
  TemplateInputs inputs = {};
  TextOrMessages completion = {};

  std::optional<std::vector<Token>> prompt_ids = {};
  std::vector<Token> completion_ids = {};

  std::vector<float> completion_features = {};

  SourcePosition source = {};
};

/// A completion that is right or wrong. The prompt is given, but for features.
struct OutcomeRecord : CompletionRecord {
  double label = 1;                   // the probability of being right
  std::optional<double> weight = {};  // finite, 0 or more
};

/// A completion with what a policy was paid for it. The prompt is given; text or ids.
struct RolloutRecord : CompletionRecord {
  std::vector<double> rewards = {};   // one a token of the completion; empty: `reward` is there
  std::optional<double> reward = {};  // of the completion, at its last token
  std::vector<double> values = {};    // of the state before each token of the completion; empty: not known
  std::optional<double> weight = {};  // finite, 0 or more
};

/// A step's label as written: null, true or false, a number, or the probabilities of bad, neutral and good.
/// A number is -1 or in [0, 1]; what 0 means depends on the scale of the file (StepScale).
using WrittenStepLabel = std::variant<std::monostate, bool, double, StepLabel>;

/// A completion in reasoning steps with a label each. The prompt is given; text or ids. Steps in ids end in
/// their separators already.
struct StepsRecord {
  RecordForm form = RecordForm::text;

  std::optional<TextOrMessages> prompt = {};
  TemplateInputs inputs = {};
  std::vector<std::string> completions = {};  // the steps, without separators

  std::optional<std::vector<Token>> prompt_ids = {};
  std::vector<std::vector<Token>> completions_ids = {};  // the steps, with them

  std::vector<WrittenStepLabel> labels = {};  // one a step
  std::optional<double> weight = {};          // finite, 0 or more

  SourcePosition source = {};
};

}  // namespace MERIT_ABI
}  // namespace merit
