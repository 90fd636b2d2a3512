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
#include "merit/tokens/step_text.hpp"
#include "merit/tokens/tokenize_options.hpp"
#include "merit/tokens/tokenize_steps.hpp"

namespace merit {
inline namespace MERIT_ABI {

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
