// A completion that is one text, cut into the steps that a step model scores.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/records/record.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A completion cut into the steps that a step model scores: at each separator, which is left out; empty
/// parts are no steps.
inline std::vector<std::string> split_steps(std::string_view text, std::string_view separator) {
  std::vector<std::string> steps;
  while (!text.empty()) {
    const auto at = separator.empty() ? text.npos : text.find(separator);
    const std::string_view step = text.substr(0, at);
    if (!step.empty()) steps.emplace_back(step);
    if (at == text.npos) break;
    text.remove_prefix(at + separator.size());
  }
  return steps;
}

/// A completion in text as a record of steps, all labelled as if good, for a model that scores steps. Throws
/// DataError for a record in another form, or without a step.
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
  if (steps.completions.empty()) {
    throw DataError(record.source.text() + ": field 'completion': found no step, expected at least one");
  }
  steps.labels.assign(steps.completions.size(), true);  // a record without labels would be left out
  return steps;
}

}  // namespace MERIT_ABI
}  // namespace merit
