// From the JSON of one line to the record of each kind.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
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
inline RecordForm form_of(const Fields& fields, std::span<const std::string_view> names) {
  // The first field that is there in each form.
  std::array<std::string, 3> first;
  const auto note = [&](RecordForm form, const std::string& name) {
    std::string& seen = first[static_cast<Index>(form)];
    if (seen.empty() && fields.has(name)) seen = name;
  };
  for (const std::string_view name : names) {
    note(RecordForm::text, std::string(name));
    note(RecordForm::ids, concat(name, "_ids"));
    note(RecordForm::features, concat(name, "_features"));
  }
  note(RecordForm::text, "prompt");
  note(RecordForm::ids, "prompt_ids");

  RecordForm result = RecordForm::text;
  std::string chosen_by = first[0];
  for (const RecordForm form : {RecordForm::ids, RecordForm::features}) {
    const std::string& name = first[static_cast<Index>(form)];
    if (name.empty()) continue;
    if (!chosen_by.empty()) {
      fields.fail(name, concat("it beside '", chosen_by, "'"),
                  "a record of text, of ids, or of features alone");
    }
    result = form;
    chosen_by = name;
  }
  return result;
}

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

inline void check_feature_count(const Fields& fields, std::string_view name, Index count,
                                std::string_view first_name, Index first) {
  if (count == first) return;
  fields.fail(name, concat(count, " numbers"), concat(first, " as in '", first_name, "'"));
}

/// One completion of a record: the field it is read from and where it goes.
struct Side {
  std::string_view name;  // "chosen"; its ids are in "chosen_ids", its features in "chosen_features"
  TextOrMessages* text;
  std::vector<Token>* ids;
  std::vector<float>* features;
  bool may_be_empty = false;  // as text
};

/// Reads the prompt and the completions of a record with a field for each, in whichever form it has.
template <class Record>
void parse_sides(const Fields& fields, std::span<const Side> sides, PromptField prompt, Record& record) {
  std::vector<std::string_view> names;
  for (const Side& side : sides) names.push_back(side.name);
  record.form = form_of(fields, names);
  parse_prompt(fields, prompt, record);
  const Side& first = sides[0];
  for (const Side& side : sides) {
    switch (record.form) {
      case RecordForm::text:
        *side.text = fields.text(side.name, side.may_be_empty);
        take_out_prompt(record.prompt, *side.text);
        check_sort(fields, record, side.name, *side.text, first.name, *first.text);
        break;
      case RecordForm::ids: *side.ids = fields.ids(concat(side.name, "_ids"), false); break;
      case RecordForm::features:
        *side.features = fields.features(concat(side.name, "_features"));
        check_feature_count(fields, concat(side.name, "_features"), side.features->size(),
                            concat(first.name, "_features"), first.features->size());
        break;
    }
  }
}

/// Reads the prompt and the list `completions`, in whichever form it has.
inline void parse_completions(const Fields& fields, CompletionsRecord& record) {
  constexpr std::array<std::string_view, 1> names{"completions"};
  record.form = form_of(fields, names);
  parse_prompt(fields, PromptField::needed, record);
  const auto each = [&](const std::string& name, std::string_view items, const auto& read) {
    const OrderedJson& list = fields.need_list(name, items);
    if (list.empty()) fields.fail(name, "an empty list", "at least one completion");
    Index i = 0;
    for (const OrderedJson& item : list) read(item, concat(name, '[', i++, ']'));
  };
  switch (record.form) {
    case RecordForm::text:
      each("completions", "completions", [&](const OrderedJson& item, const std::string& where) {
        record.completions.push_back(fields.text_at(item, where, false));
        take_out_prompt(record.prompt, record.completions.back());
        check_sort(fields, record, where, record.completions.back(), "completions[0]", record.completions[0]);
      });
      break;
    case RecordForm::ids:
      each("completions_ids", "lists of token ids", [&](const OrderedJson& item, const std::string& where) {
        record.completions_ids.push_back(fields.ids_at(item, where, false));
      });
      break;
    case RecordForm::features:
      each("completions_features", "lists of numbers",
           [&](const OrderedJson& item, const std::string& where) {
             record.completions_features.push_back(fields.features_at(item, where));
             check_feature_count(fields, where, record.completions_features.back().size(),
                                 "completions_features[0]", record.completions_features[0].size());
           });
      break;
  }
  record.weight = fields.weight();
}

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

inline void parse_record(const OrderedJson& object, PreferenceRecord& record) {
  const Fields fields(object, record.source, RecordKind::preference);
  const std::array<Side, 2> sides{
      {{"chosen", &record.chosen, &record.chosen_ids, &record.chosen_features},
       {"rejected", &record.rejected, &record.rejected_ids, &record.rejected_features}}};
  parse_sides(fields, sides, PromptField::optional, record);
  constexpr double max = std::numeric_limits<double>::max();
  record.margin = fields.number("margin", -max, max, "a number");
  record.weight = fields.weight();
  record.soft_label = fields.number("soft_label", 0, 1, "a probability of 0 to 1");
}

inline void parse_record(const OrderedJson& object, JudgeRecord& record) {
  const Fields fields(object, record.source, RecordKind::judge);
  const std::array<Side, 2> sides{
      {{"response_a", &record.response_a, &record.response_a_ids, &record.response_a_features, true},
       {"response_b", &record.response_b, &record.response_b_ids, &record.response_b_features, true}}};
  parse_sides(fields, sides, PromptField::needed, record);
  const OrderedJson& votes = fields.need_list("votes", "votes: a, b or tie");
  if (votes.empty()) fields.fail("votes", "an empty list", "at least one vote: a, b or tie");
  for (const OrderedJson& item : votes) {
    const std::string vote = item.is_string() ? item.get<std::string>() : "";
    if (vote != "a" && vote != "b" && vote != "tie") {
      fields.fail(concat("votes[", record.votes.size(), ']'), describe(item), "a, b or tie");
    }
    record.votes.push_back(vote == "a" ? JudgeVote::a : vote == "b" ? JudgeVote::b : JudgeVote::tie);
  }
  record.weight = fields.weight();
}

inline void parse_record(const OrderedJson& object, RankingRecord& record) {
  const Fields fields(object, record.source, RecordKind::ranking);
  parse_completions(fields, record);
  for (const OrderedJson& item : need_one_each(fields, "ranks", record.size(), "completion")) {
    // A rank that was read without its sign would be a very large one.
    if (!item.is_number_unsigned() && !(item.is_number_integer() && item.get<std::int64_t>() >= 0)) {
      fields.fail(concat("ranks[", record.ranks.size(), ']'), describe(item),
                  "an integer of 0 or more, 0 for the best");
    }
    record.ranks.push_back(item.get<Index>());
  }
}

inline void parse_record(const OrderedJson& object, RatingsRecord& record) {
  const Fields fields(object, record.source, RecordKind::ratings);
  parse_completions(fields, record);
  constexpr double max = std::numeric_limits<double>::max();
  const OrderedJson& scores = need_one_each(fields, "scores", record.size(), "completion");
  const bool several = scores[0].is_array();
  Index i = 0;
  for (const OrderedJson& item : scores) {
    const std::string where = concat("scores[", i, ']');
    if (!several) {
      record.scores.push_back(
          fields.number_at(item, where, -max, max, i == 0 ? "a number or a list of numbers" : "a number"));
    } else {
      const std::vector<double> ratings = fields.numbers_at(item, where);
      if (i == 0) record.attributes = ratings.size();
      check_feature_count(fields, where, ratings.size(), "scores[0]", record.attributes);
      record.scores.insert(record.scores.end(), ratings.begin(), ratings.end());
    }
    ++i;
  }
}

inline void parse_record(const OrderedJson& object, CompletionRecord& record) {
  const Fields fields(object, record.source);
  if (fields.has("messages") && !fields.has("completion")) {  // a whole conversation
    if (fields.has("prompt"))
      fields.fail("messages", "it beside 'prompt'", "one of the two, or a 'completion'");
    record.completion = fields.text("messages", false);
    if (record.completion.index() != 1) fields.fail("messages", "a string", "a list of messages");
    record.inputs = fields.template_inputs();
    return;
  }
  const std::array<Side, 1> sides{
      {{"completion", &record.completion, &record.completion_ids, &record.completion_features}}};
  parse_sides(fields, sides, PromptField::optional, record);
}

inline void parse_record(const OrderedJson& object, OutcomeRecord& record) {
  const Fields fields(object, record.source, RecordKind::outcome);
  const std::array<Side, 1> sides{
      {{"completion", &record.completion, &record.completion_ids, &record.completion_features}}};
  parse_sides(fields, sides, PromptField::needed, record);
  constexpr std::string_view expected = "true, false or a probability of 0 to 1";
  const OrderedJson& label = fields.need("label", expected);
  record.label =
      label.is_boolean() ? (label.get<bool>() ? 1.0 : 0.0) : fields.number_at(label, "label", 0, 1, expected);
  record.weight = fields.weight();
}

inline void refuse_features(const Fields& fields, RecordForm form, std::string_view name,
                            std::string_view why) {
  if (form == RecordForm::features) fields.fail(name, "features", concat("text or ids, for ", why));
}

inline void parse_record(const OrderedJson& object, RolloutRecord& record) {
  const Fields fields(object, record.source, RecordKind::rollout);
  const std::array<Side, 1> sides{
      {{"completion", &record.completion, &record.completion_ids, &record.completion_features}}};
  parse_sides(fields, sides, PromptField::needed, record);
  refuse_features(fields, record.form, "completion_features", "a rollout has a value for each token");
  constexpr double max = std::numeric_limits<double>::max();
  if (fields.has("rewards")) {
    if (fields.has("reward")) fields.fail("reward", "it beside 'rewards'", "one of the two");
    record.rewards = fields.numbers("rewards");
  } else {
    constexpr std::string_view expected = "a number here, or one for each token in 'rewards'";
    record.reward = fields.number_at(fields.need("reward", expected), "reward", -max, max, expected);
  }
  if (fields.has("values")) record.values = fields.numbers("values");
  record.weight = fields.weight();
}

inline constexpr std::string_view step_label_expected =
    "true, false, -1, a number of 0 to 1, the three probabilities of bad, neutral and good, or null";

inline WrittenStepLabel parse_step_label(const Fields& fields, const OrderedJson& value,
                                         const std::string& where) {
  if (value.is_null()) return std::monostate{};
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_array()) {
    if (value.size() != 3) {
      fields.fail(where, concat(value.size(), " numbers"),
                  "three, the probabilities of bad, neutral and good");
    }
    std::array<double, 3> p{};
    for (Index i = 0; i < 3; ++i) {
      p[i] = fields.number_at(value[i], concat(where, '[', i, ']'), 0, 1, "a probability of 0 to 1");
    }
    const double sum = p[0] + p[1] + p[2];
    // Written with three digits, thirds sum to 0.999.
    if (!(std::abs(sum - 1) <= 2e-3)) {
      fields.fail(where, concat("probabilities that sum to ", sum), "a sum of 1");
    }
    return StepLabel{p[0] / sum, p[1] / sum, p[2] / sum};
  }
  const double number = fields.number_at(value, where, -1, 1, step_label_expected);
  if (number < 0 && number != -1) fields.fail(where, describe(value), step_label_expected);
  return number;
}

inline void parse_record(const OrderedJson& object, StepsRecord& record) {
  const Fields fields(object, record.source, RecordKind::steps);
  constexpr std::array<std::string_view, 1> names{"completions"};
  record.form = form_of(fields, names);
  refuse_features(fields, record.form, "completions_features", "a step's place is a token");
  parse_prompt(fields, PromptField::needed, record);
  const bool text = record.form == RecordForm::text;
  const std::string name = text ? "completions" : "completions_ids";
  const OrderedJson& steps = fields.need_list(name, text ? "steps, strings" : "steps, lists of token ids");
  if (steps.empty()) fields.fail(name, "an empty list", "at least one step");
  Index i = 0;
  for (const OrderedJson& step : steps) {
    const std::string where = concat(name, '[', i++, ']');
    if (text) {
      record.completions.push_back(fields.string_at(step, where, false));
    } else {
      record.completions_ids.push_back(fields.ids_at(step, where, false));
    }
  }
  for (const OrderedJson& label : need_one_each(fields, "labels", steps.size(), "step")) {
    record.labels.push_back(parse_step_label(fields, label, concat("labels[", record.labels.size(), ']')));
  }
  record.weight = fields.weight();
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
