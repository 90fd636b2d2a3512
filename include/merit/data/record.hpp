// Records as they stand in a file: text, ids or features, before anything is tokenized.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/text/plain_template.hpp"

namespace merit::inline MERIT_ABI {

/// Where a record came from. Every error about it begins with text().
struct SourcePosition {
  std::string file;
  Index line = 0;  // from 1

  /// "file:line".
  std::string text() const { return detail::concat(file, ':', line); }
};

/// Plain text, or a conversation.
using TextOrMessages = std::variant<std::string, std::vector<Message>>;

/// Which of its three forms a record is in.
enum class RecordForm { text, ids, features };

/// Two completions of which one was preferred. Its form says which fields are filled; the others are empty.
///
/// - text: `chosen`, `rejected`, and `prompt` if it was given apart. Both completions are strings or both are
///   conversations. A conversation as the prompt may go with either; a string as the prompt goes with
///   strings. Without a prompt, each of the two is a whole sequence and their common prefix is the prompt.
/// - ids: the same in tokens.
/// - features: one vector per completion, computed elsewhere, of equal lengths.
struct PreferenceRecord {
  RecordForm form = RecordForm::text;

  std::optional<TextOrMessages> prompt;
  TextOrMessages chosen;
  TextOrMessages rejected;

  std::optional<std::vector<Token>> prompt_ids;
  std::vector<Token> chosen_ids;
  std::vector<Token> rejected_ids;

  std::vector<float> chosen_features;
  std::vector<float> rejected_features;

  std::optional<double> margin;      // finite
  std::optional<double> weight;      // finite, 0 or more
  std::optional<double> soft_label;  // in [0, 1]: the probability that `chosen` is the better one

  SourcePosition source;
};

/// One completion to be scored. The forms are those of PreferenceRecord; without a prompt, `completion` is
/// the whole sequence.
struct CompletionRecord {
  RecordForm form = RecordForm::text;

  std::optional<TextOrMessages> prompt;
  TextOrMessages completion;

  std::optional<std::vector<Token>> prompt_ids;
  std::vector<Token> completion_ids;

  std::vector<float> completion_features;

  SourcePosition source;
};

}  // namespace merit::inline MERIT_ABI
