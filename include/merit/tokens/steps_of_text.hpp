// A completion that is one text, cut into the steps that a step model scores.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/records/record.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokens/data_counts.hpp"
#include "merit/tokens/tokenize_options.hpp"
#include "merit/tokens/tokenize_steps.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// `text` with every CRLF as a line feed, unless the separator tells the two apart.
inline std::string with_line_feeds(std::string_view text, std::string_view separator) {
  std::string result;
  const bool tells_apart = separator.find('\r') != separator.npos;
  for (Index i = 0; i < text.size(); ++i) {
    const bool of_pair = text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    if (!of_pair || tells_apart) result += text[i];
  }
  return result;
}

/// A step as a step model reads it before the separator that ends it: line ends are line feeds, and a separator
/// that the step itself begins or ends with is not there twice.
inline std::string bare_step(std::string_view step, std::string_view separator) {
  std::string text = with_line_feeds(step, separator);
  if (separator.empty()) return text;
  std::string_view bare = text;
  while (bare.starts_with(separator)) bare.remove_prefix(separator.size());
  while (bare.ends_with(separator)) bare.remove_suffix(separator.size());
  return std::string(bare);
}

/// A completion cut into the steps that a step model scores: at each separator, which is left out. CRLF is a line
/// end; parts of white space alone are no steps.
inline std::vector<std::string> split_steps(std::string_view text, std::string_view separator) {
  const std::string lines = with_line_feeds(text, separator);
  std::string_view rest = lines;
  std::vector<std::string> steps;
  while (!rest.empty()) {
    const auto at = separator.empty() ? rest.npos : rest.find(separator);
    const std::string_view step = rest.substr(0, at);
    if (step.find_first_not_of(" \t\r\n\f\v") != step.npos) steps.emplace_back(step);
    if (at == rest.npos) break;
    rest.remove_prefix(at + separator.size());
  }
  return steps;
}

/// A completion in text as a record of steps, all labelled as if good, for a model that scores steps; a text
/// without a step has none. Throws DataError for a record in another form.
inline StepsRecord as_steps(const CompletionRecord& record, const TokenizeOptions& options) {
  StepsRecord steps;
  steps.source = record.source;
  steps.prompt = record.prompt;
  steps.inputs = record.inputs;
  const auto* text = std::get_if<std::string>(&record.completion);
  if (record.form != RecordForm::text || text == nullptr) {
    throw DataError(record.source.text() +
                    ": found a completion that is no string, expected one, which a model of steps cuts at "
                    "its separator; or a record with the steps in 'completions'");
  }
  steps.completions =
      split_steps(*text, options.step_split.empty() ? options.step_separator : options.step_split);
  steps.labels.assign(steps.completions.size(), true);  // a record without labels would be left out
  return steps;
}

/// Tokenizes a completion in text for a model that scores steps. Gives nothing where it is dropped: also for
/// a text without a step, and for one of which a cut leaves no step.
template <tokenizer Tokenizer>
std::optional<StepsExample> tokenize_as_steps(const CompletionRecord& record, const Tokenizer& tokenizer,
                                              const TokenizeOptions& options, DataCounts& counts) {
  const StepsRecord steps = as_steps(record, options);
  if (steps.completions.empty()) {
    ++counts.records;
    ++counts.dropped_empty;
    return std::nullopt;
  }
  TokenizeOptions to_score = options;
  to_score.to_judge = false;
  return tokenize(steps, tokenizer, to_score, counts);
}

}  // namespace MERIT_ABI
}  // namespace merit
