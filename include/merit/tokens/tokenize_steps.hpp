// Completions in reasoning steps to examples: where each step ends, and what its label means.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/records/record.hpp"
#include "merit/templates/message.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokens/data_counts.hpp"
#include "merit/tokens/rendering.hpp"
#include "merit/tokens/sequences.hpp"
#include "merit/tokens/step_text.hpp"
#include "merit/tokens/step_turns.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The tokens of a prompt and steps, before any cut. Each step is tokenized by itself and the tokens of the
/// separator are appended to it, so that the place of a step, the last of them, never depends on how text
/// merges across a border. A separator that the step has itself is not repeated (bare_step).
///
/// A prompt that is not empty and does not end in the separator gets its tokens too, as part of the prompt:
/// the first step then begins as all others do; options.step_layout has other ways. A conversation as the
/// prompt gets the header of the assistant's message in place of that, and is ended by its template, with no
/// end of sequence.
///
/// Throws ConfigError for a separator without tokens, DataError where the template cannot render the prompt.
template <tokenizer Tokenizer>
Sequence sequence_of_steps(const TextOrMessages& prompt, const TemplateInputs& inputs,
                           std::span<const std::string> steps, const Tokenizer& tokenizer,
                           const TokenizeOptions& options, const SourcePosition& at) {
  if (options.step_layout == StepLayout::chat_turns) {
    return sequence_of_turns(prompt, inputs, steps, tokenizer, options, at);
  }
  const std::string& separator = options.step_separator;
  std::vector<Token> separator_tokens;
  tokenizer.encode(separator, separator_tokens);
  if (separator_tokens.empty()) {
    throw ConfigError(
        concat("steps without separators: found ", separator.empty() ? "an empty" : "a",
               " step_separator that tokenizer ", tokenizer.name(),
               " gives no tokens, expected one with at least one token, where the step's score is read"));
  }
  Sequence sequence;
  const auto append_separator = [&] {
    sequence.tokens.insert(sequence.tokens.end(), separator_tokens.begin(), separator_tokens.end());
  };
  const bool as_trl = options.step_layout == StepLayout::trl;
  std::optional<detail::Surroundings> around;
  if (const auto* messages = std::get_if<std::vector<Message>>(&prompt)) {
    around = detail::surroundings(*messages, inputs, options, at);
  } else if (const std::string& text = std::get<std::string>(prompt); options.strings_as_chat) {
    around = detail::surroundings({{"user", text}}, inputs, options, at);
  } else if (as_trl) {
    if (const std::optional<Token> bos = bos_of(tokenizer)) sequence.tokens.push_back(*bos);
    tokenizer.encode(text, sequence.tokens);
  } else {
    sequence.tokens = tokens_before(tokenizer);
    tokenizer.encode(text, sequence.tokens);
    if (!text.empty() && !text.ends_with(separator)) append_separator();
  }
  if (around) tokenizer.encode(around->before, sequence.tokens);
  // TRL puts that token before any prompt, one that begins with it among them.
  if (!as_trl) detail::check_beginning(sequence.tokens, tokenizer, at);
  sequence.completion_begin = sequence.tokens.size();
  for (const std::string& step : steps) {
    tokenizer.encode(bare_step(step, separator), sequence.tokens);
    append_separator();
    sequence.step_ends.push_back(sequence.tokens.size() - 1);
  }
  if (around) {
    tokenizer.encode(around->after, sequence.tokens);
    return sequence;
  }
  if (as_trl) return sequence;
  for (const Token token : tokens_after(tokenizer)) sequence.tokens.push_back(token);
  if (options.append_eos && (sequence.tokens.empty() || sequence.tokens.back() != tokenizer.eos())) {
    sequence.tokens.push_back(tokenizer.eos());
  }
  return sequence;
}

namespace detail {

/// The same in ids, which are taken as they are: each step ends in its separator already.
template <tokenizer Tokenizer>
Sequence sequence_of_step_ids(const StepsRecord& record, const Tokenizer& tokenizer) {
  Sequence sequence;
  const auto append = [&](const std::vector<Token>& ids, std::string_view field) {
    check_ids(ids, field, tokenizer, record.source);
    sequence.tokens.insert(sequence.tokens.end(), ids.begin(), ids.end());
  };
  if (record.prompt_ids) append(*record.prompt_ids, "prompt_ids");
  sequence.completion_begin = sequence.tokens.size();
  for (Index i = 0; i < record.completions_ids.size(); ++i) {
    const std::string field = concat("completions_ids[", i, ']');
    append(record.completions_ids[i], field);
    sequence.step_ends.push_back(sequence.tokens.size() - 1);
  }
  return sequence;
}

/// Where the reading rule looks for tags, the steps end at those and not at their separators. Throws
/// DataError where there are not as many as steps.
inline void read_tags(Index steps, const TokenizeOptions& options, Sequence& sequence,
                      const SourcePosition& at) {
  using Kind = ReadingRule::Kind;
  if (options.reading.kind != Kind::tag && options.reading.kind != Kind::before_tag) return;
  apply_reading(options, sequence, at);
  if (sequence.step_ends.size() == steps) return;
  throw DataError(concat(at.text(), ": the reading rule ", name_of(options.reading), " finds ",
                         sequence.step_ends.size(), " places in the completion, expected ", steps,
                         ", one in each step"));
}

/// The meaning of one label as written.
inline std::optional<StepLabel> step_label(const WrittenStepLabel& written, StepScale scale, Index step,
                                           const SourcePosition& at) {
  constexpr StepLabel bad{1, 0, 0};
  constexpr StepLabel neutral{0, 1, 0};
  constexpr StepLabel good{0, 0, 1};
  if (std::holds_alternative<std::monostate>(written)) return std::nullopt;
  if (const auto* label = std::get_if<StepLabel>(&written)) return *label;
  if (const auto* right = std::get_if<bool>(&written)) return *right ? good : bad;
  const double number = std::get<double>(written);
  const auto fail = [&](std::string_view expected) {
    throw DataError(
        concat(at.text(), ": field 'labels[", step, "]': found ", number, ", expected ", expected));
  };
  if (scale == StepScale::ternary || (scale == StepScale::automatic && number == -1)) {
    if (number == -1) return bad;
    if (number == 0) return neutral;
    if (number != 1) fail("-1, 0 or 1, the numbers of the step scale ternary");
    return good;
  }
  if (scale == StepScale::automatic && number == 0) {
    fail("a step scale, binary where 0 is bad or ternary where 0 is neutral, rather than automatic");
  }
  if (!(number >= 0 && number <= 1)) fail("a probability of 0 to 1, the numbers of the step scale binary");
  return StepLabel{1 - number, 0, number};
}

inline std::optional<StepLabel> without_neutral(const StepLabel& label, NeutralSteps neutral) {
  switch (neutral) {
    case NeutralSteps::keep: return label;
    case NeutralSteps::as_good: return StepLabel{label.bad, 0, label.good + label.neutral};
    case NeutralSteps::as_bad: return StepLabel{label.bad + label.neutral, 0, label.good};
    case NeutralSteps::unlabelled: {
      const double rest = label.bad + label.good;
      if (rest <= 0) return std::nullopt;
      return StepLabel{label.bad / rest, 0, label.good / rest};
    }
  }
  return label;
}

/// Leaves of the labels of all steps those that are to be learned from.
inline void limit_labels(std::vector<std::optional<StepLabel>>& labels, const TokenizeOptions& options) {
  bool stopped = false;
  for (std::optional<StepLabel>& label : labels) {
    if (stopped) label.reset();
    stopped = stopped || (options.stop_at_first_error && label && label->bad > 0.5);
  }
  if (options.last_step_only) {
    bool found = false;
    for (Index i = labels.size(); i-- > 0;) {
      if (found) labels[i].reset();
      found = found || labels[i].has_value();
    }
  }
}

/// The labels of all steps after the policies.
inline std::vector<std::optional<StepLabel>> step_labels(const StepsRecord& record,
                                                         const TokenizeOptions& options) {
  std::vector<std::optional<StepLabel>> labels;
  for (Index i = 0; i < record.labels.size(); ++i) {
    labels.push_back(step_label(record.labels[i], options.step_scale, i, record.source));
    if (labels.back()) labels.back() = without_neutral(*labels.back(), options.neutral);
  }
  limit_labels(labels, options);
  return labels;
}

/// Whether a step is cut into several at the separator, which is not empty.
inline bool holds_inside(std::string_view step, std::string_view separator) {
  while (step.starts_with(separator)) step.remove_prefix(separator.size());
  while (step.ends_with(separator)) step.remove_suffix(separator.size());
  return step.find(separator) != step.npos;
}

inline Index label_count(std::span<const std::optional<StepLabel>> labels) {
  return static_cast<Index>(
      std::count_if(labels.begin(), labels.end(), [](const auto& label) { return label.has_value(); }));
}

}  // namespace detail

/// Tokenizes one completion in steps with its labels. Gives nothing when it is dropped: too long, no token
/// left, in ids a step without any, or no label left. Labels of steps whose last token was cut off are lost to training, and stand in
/// labels_before and labels_behind; a step that lost only its first tokens keeps its label. With
/// options.to_judge a solution that a cut left without a label stays too, and without a step: it is to be
/// judged by what was not seen. Both are counted, as are steps that hold the separator inside: they are one
/// step with one label here, and several where a program cuts their text at the separator.
///
/// Throws DataError for a label that is not of the scale, ConfigError for a separator without tokens.
template <tokenizer Tokenizer>
std::optional<StepsExample> tokenize(const StepsRecord& record, const Tokenizer& tokenizer,
                                     const TokenizeOptions& options, DataCounts& counts) {
  detail::check_options_of_parts(options);
  if (record.form == RecordForm::features) {
    throw DataError(record.source.text() + ": record: found features, expected text or ids of steps");
  }
  const bool text = record.form == RecordForm::text;
  const Index steps = text ? record.completions.size() : record.completions_ids.size();
  if (steps == 0) {
    throw DataError(record.source.text() +
                    ": field 'completions': found an empty list, expected at least one step");
  }
  detail::check_one_each("labels", record.labels.size(), steps, record.source);
  const auto is_empty = [](const std::vector<Token>& step) { return step.empty(); };
  if (std::any_of(record.completions_ids.begin(), record.completions_ids.end(), is_empty)) {
    ++counts.records;
    ++counts.dropped_empty;  // in ids a step without any has no separator to be read at, either
    counts.labels_lost += detail::label_count(detail::step_labels(record, options));
    return std::nullopt;
  }

  StepsExample example;
  Sequence& sequence = example.sequence;
  sequence = text ? sequence_of_steps(record.prompt.value_or(TextOrMessages{}), record.inputs,
                                      record.completions, tokenizer, options, record.source)
                  : detail::sequence_of_step_ids(record, tokenizer);
  detail::read_tags(steps, options, sequence, record.source);
  example.labels = detail::step_labels(record, options);
  example.weight = record.weight.value_or(1);

  // Where the steps are, counted from the first token of the completion, to tell what a cut takes of them.
  std::vector<Index> ends = sequence.step_ends;
  for (Index& end : ends) end -= std::min(end, sequence.completion_begin);  // a rule may read before it
  const Index tokens = sequence.tokens.size() - sequence.completion_begin;
  const Index labels = detail::label_count(example.labels);

  const std::array<Sequence*, 1> sequences{&sequence};
  const auto [kept, cut] = detail::shorten(sequences, options, record.source, counts);
  if (!kept) {
    counts.labels_lost += labels;
    return std::nullopt;
  }
  const Index left = sequence.tokens.size() - sequence.completion_begin;
  const bool right_cut = options.truncation == Truncation::cut_right;
  const auto seen = static_cast<std::ptrdiff_t>(sequence.step_ends.size());
  std::vector<std::optional<StepLabel>> all = std::move(example.labels);
  if (right_cut) {
    example.labels.assign(all.begin(), all.begin() + seen);
    example.labels_behind.assign(all.begin() + seen, all.end());
  } else {
    example.labels_before.assign(all.begin(), all.end() - seen);
    example.labels.assign(all.end() - seen, all.end());
  }
  const Index labels_left = detail::label_count(example.labels);
  counts.labels_lost += labels - labels_left;
  if (labels_left == 0 && (labels == 0 || !options.to_judge)) {
    ++(labels > 0 && example.labels.empty() ? counts.dropped_cut : counts.dropped_unlabelled);
    return std::nullopt;
  }
  counts.labels += labels_left;
  counts.unlabelled += example.labels.size() - labels_left;
  for (Index k = 0; k < steps; ++k) {
    const Index begin = k == 0 ? 0 : ends[k - 1] + 1;
    if (right_cut ? ends[k] >= left : begin < tokens - left) ++counts.steps_cut;
  }
  if (options.step_layout != StepLayout::chat_turns) {
    for (const std::string& step : record.completions) {  // of ids there are none
      if (detail::holds_inside(step, options.step_separator)) ++counts.steps_with_separator;
    }
  }
  detail::count_kept(sequences, cut, options, counts);
  return example;
}

}  // namespace MERIT_ABI
}  // namespace merit
