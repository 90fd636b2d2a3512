// The bodies of parse_record.hpp.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/parse_record.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/records/repeated_prompt.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

MERIT_INLINE RecordForm form_of(const Fields& fields, std::span<const std::string_view> names) {
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

MERIT_INLINE void check_feature_count(const Fields& fields, std::string_view name, Index count,
                                      std::string_view first_name, Index first) {
  if (count == first) return;
  fields.fail(name, concat(count, " numbers"), concat(first, " as in '", first_name, "'"));
}

MERIT_INLINE void check_prompt(const Fields& fields, std::string_view name, bool one,
                               std::string_view first_name) {
  if (one) return;
  fields.fail(name, concat("another conversation up to the prompt than in '", first_name, "'"),
              "the same turns before the prompt in both");
}

MERIT_INLINE void parse_completions(const Fields& fields, CompletionsRecord& record) {
  constexpr std::array<std::string_view, 1> names{"completions"};
  record.form = form_of(fields, names);
  parse_prompt(fields, PromptField::needed, record);
  const std::optional<TextOrMessages> given = record.prompt;
  const auto each = [&](const std::string& name, std::string_view items, const auto& read) {
    const OrderedJson& list = fields.need_list(name, items);
    if (list.empty()) fields.fail(name, "an empty list", "at least one completion");
    Index i = 0;
    for (const OrderedJson& item : list) read(item, concat(name, '[', i++, ']'));
  };
  switch (record.form) {
    case RecordForm::text:
      each("completions", "completions", [&](const OrderedJson& item, const std::string& where) {
        record.completions.push_back(fields.text_at(item, where, true));
        check_prompt(fields, where, take_out_prompt(given, record.prompt, record.completions.back()),
                     "completions[0]");
        check_sort(fields, record, where, record.completions.back(), "completions[0]", record.completions[0]);
      });
      break;
    case RecordForm::ids:
      each("completions_ids", "lists of token ids", [&](const OrderedJson& item, const std::string& where) {
        record.completions_ids.push_back(fields.ids_at(item, where, true));
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

MERIT_INLINE void parse_record(const OrderedJson& object, PreferenceRecord& record) {
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

MERIT_INLINE void parse_record(const OrderedJson& object, JudgeRecord& record) {
  const Fields fields(object, record.source, RecordKind::judge);
  const std::array<Side, 2> sides{
      {{"response_a", &record.response_a, &record.response_a_ids, &record.response_a_features},
       {"response_b", &record.response_b, &record.response_b_ids, &record.response_b_features}}};
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
  record.probability_of_a = fields.number("probability_of_a", 0, 1, "a probability of 0 to 1");
  record.weight = fields.weight();
}

MERIT_INLINE void parse_record(const OrderedJson& object, RankingRecord& record) {
  const Fields fields(object, record.source, RecordKind::ranking);
  parse_completions(fields, record);
  for (const OrderedJson& item : need_one_each(fields, "ranks", record.size(), "completion")) {
    const std::optional<std::int64_t> rank = whole_number(item);
    if (!rank || *rank < 0) {
      fields.fail(concat("ranks[", record.ranks.size(), ']'), describe(item),
                  "an integer of 0 or more, 0 for the best");
    }
    record.ranks.push_back(static_cast<Index>(*rank));
  }
}

MERIT_INLINE void parse_record(const OrderedJson& object, RatingsRecord& record) {
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

MERIT_INLINE void parse_record(const OrderedJson& object, CompletionRecord& record) {
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

MERIT_INLINE void parse_record(const OrderedJson& object, OutcomeRecord& record) {
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

MERIT_INLINE void parse_record(const OrderedJson& object, RolloutRecord& record) {
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

MERIT_INLINE void parse_record(const OrderedJson& object, StepsRecord& record) {
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
      record.completions.push_back(fields.string_at(step, where, true));
    } else {
      record.completions_ids.push_back(fields.ids_at(step, where, true));
    }
  }
  for (const OrderedJson& label : need_one_each(fields, "labels", steps.size(), "step")) {
    record.labels.push_back(parse_step_label(fields, label, concat("labels[", record.labels.size(), ']')));
  }
  record.weight = fields.weight();
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
