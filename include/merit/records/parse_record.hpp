// From the JSON of one line to the record of each kind.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/records/repeated_prompt.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// The form of a record whose completions are in fields of these names, in text, or of them with "_ids" or
/// "_features". Throws DataError when the forms are mixed.
RecordForm form_of(const Fields& fields, std::span<const std::string_view> names);

enum class PromptField { optional, needed };

/// Reads the prompt in the form of the record.
template <class Record>
void parse_prompt(const Fields& fields, PromptField prompt, Record& record) {
  const bool needed = prompt == PromptField::needed;
  if (record.form == RecordForm::text && (needed || fields.has("prompt"))) {
    record.prompt = fields.text("prompt", true);
  }
  if (record.form == RecordForm::text) record.inputs = fields.template_inputs();
  if (record.form == RecordForm::ids && (needed || fields.has("prompt_ids"))) {
    record.prompt_ids = fields.ids("prompt_ids", true);
  }
}

/// Checks that a completion goes with the prompt, and is of the same kind as the first one.
template <class Record>
void check_sort(const Fields& fields, const Record& record, std::string_view name, const TextOrMessages& text,
                std::string_view first_name, const TextOrMessages& first) {
  const bool messages = text.index() == 1;
  if (messages && record.prompt && record.prompt->index() == 0) {
    fields.fail(name, "a list of messages under a prompt that is a string",
                "a string, or a prompt that is a list of messages");
  }
  if (text.index() != first.index()) {
    fields.fail(name,
                concat(messages ? "a list of messages" : "a string", " beside '", first_name,
                       messages ? "' that is a string" : "' that is a list of messages"),
                "both of one kind");
  }
}

/// Fails where the completions have no one prompt.
void check_prompt(const Fields& fields, std::string_view name, bool one, std::string_view first_name);

void check_feature_count(const Fields& fields, std::string_view name, Index count,
                         std::string_view first_name, Index first);

/// One completion of a record: the field it is read from and where it goes. It may be empty: whether there is
/// a token to score is known with the tokenizer.
struct Side {
  std::string_view name;  // "chosen"; its ids are in "chosen_ids", its features in "chosen_features"
  TextOrMessages* text;
  std::vector<Token>* ids;
  std::vector<float>* features;
};

/// Reads the prompt and the completions of a record with a field for each, in whichever form it has.
template <class Record>
void parse_sides(const Fields& fields, std::span<const Side> sides, PromptField prompt, Record& record) {
  std::vector<std::string_view> names;
  for (const Side& side : sides) names.push_back(side.name);
  record.form = form_of(fields, names);
  parse_prompt(fields, prompt, record);
  const std::optional<TextOrMessages> given = record.prompt;
  const Side& first = sides[0];
  for (const Side& side : sides) {
    switch (record.form) {
      case RecordForm::text:
        *side.text = fields.text(side.name, true);
        check_prompt(fields, side.name, take_out_prompt(given, record.prompt, *side.text), first.name);
        check_sort(fields, record, side.name, *side.text, first.name, *first.text);
        break;
      case RecordForm::ids: *side.ids = fields.ids(concat(side.name, "_ids"), true); break;
      case RecordForm::features:
        *side.features = fields.features(concat(side.name, "_features"));
        check_feature_count(fields, concat(side.name, "_features"), side.features->size(),
                            concat(first.name, "_features"), first.features->size());
        break;
    }
  }
}

/// Reads the prompt and the list `completions`, in whichever form it has.
void parse_completions(const Fields& fields, CompletionsRecord& record);

/// The list `name`, which must have one entry for each of `count` completions or steps.
inline const OrderedJson& need_one_each(const Fields& fields, std::string_view name, Index count,
                                        std::string_view of_what) {
  const OrderedJson& list = fields.need_list(name, concat("one for each ", of_what));
  if (list.size() != count) {
    fields.fail(name, concat(list.size(), list.size() == 1 ? " entry" : " entries"),
                concat(count, ", one for each ", of_what));
  }
  return list;
}

void parse_record(const OrderedJson& object, PreferenceRecord& record);

void parse_record(const OrderedJson& object, JudgeRecord& record);

void parse_record(const OrderedJson& object, RankingRecord& record);

void parse_record(const OrderedJson& object, RatingsRecord& record);

void parse_record(const OrderedJson& object, CompletionRecord& record);

void parse_record(const OrderedJson& object, OutcomeRecord& record);

void parse_record(const OrderedJson& object, RolloutRecord& record);

inline constexpr std::string_view step_label_expected =
    "true, false, -1, a number of 0 to 1, the three probabilities of bad, neutral and good, or null";

void parse_record(const OrderedJson& object, StepsRecord& record);

/// The record that an object is. Throws DataError.
template <class Record>
Record parsed_record(const OrderedJson& object, const SourcePosition& at) {
  Record record;
  record.source = at;
  parse_record(object, record);
  return record;
}

// How many features each of its completions has; 0 for a record of text or ids.

inline Index feature_width(const PreferenceRecord& record) {
  return record.chosen_features.size();
}
inline Index feature_width(const JudgeRecord& record) {
  return record.response_a_features.size();
}
inline Index feature_width(const CompletionsRecord& record) {
  return record.completions_features.empty() ? 0 : record.completions_features[0].size();
}
inline Index feature_width(const CompletionRecord& record) {
  return record.completion_features.size();
}
inline Index feature_width(const StepsRecord&) {
  return 0;
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/records/parse_record_body.hpp"
#endif
