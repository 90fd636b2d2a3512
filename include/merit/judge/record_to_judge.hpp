// What a judge is shown of a record of any kind, what the record says of its answers, and the record that its verdict makes.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/parse_record.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A question with its answers: one, or several.
struct RecordToJudge {
  std::string question = {};
  std::vector<std::string> answers = {};
  std::string reference = {};  // the field `reference`; empty: none

  std::optional<double> share_for_first = {};  // of two answers: the share of labels for the first
  std::vector<double> goodness = {};           // of several: higher is better; empty: nothing is said of them
  double weight = 1;

  // As they stand in the record, for the one that is written.
  OrderedJson prompt = {};
  std::vector<OrderedJson> texts = {};                           // of the answers
  std::vector<std::pair<std::string, OrderedJson>> others = {};  // fields that say something else

  /// That answer i is better than j: 1, 0, between; nothing where the record says nothing.
  std::optional<double> label(Index i, Index j) const {
    if (share_for_first) return i == 0 ? *share_for_first : 1 - *share_for_first;
    if (goodness.empty()) return std::nullopt;
    return goodness[i] > goodness[j] ? 1.0 : goodness[i] < goodness[j] ? 0.0 : 0.5;
  }
};

namespace detail::to_judge {

/// Fields that a written record has anew, or of which a verdict takes the place.
inline constexpr std::array<std::string_view, 16> rewritten{
    "prompt",     "messages",   "chosen",     "rejected",
    "response_a", "response_b", "votes",      "completions",
    "ranks",      "scores",     "label",      "probability_of_a",
    "margin",     "soft_label", "completion", "chat_template_kwargs"};

[[noreturn]] inline void refuse(const SourcePosition& at, std::string_view what) {
  throw DataError(concat(at.text(), ": found ", what));
}

/// The text of one message, which has to be all that it says.
inline std::string text_of_message(const Message& message, const SourcePosition& at) {
  if (const Value::Fields* fields = message.whole.fields()) {
    for (const ValueField& field : *fields) {
      if (field.name == "content" && beyond_text(field.value))
        refuse(at, "a content that is no text, which a judge is not shown");
      if (field.name != "role" && field.name != "content" && !says_nothing(field.value))
        refuse(at, concat('\'', field.name, "' in a message, which a judge is not shown"));
    }
  }
  return message.content;
}

/// A message alone as its text; several with who says them.
inline std::string text_of_messages(std::span<const Message> messages, const SourcePosition& at) {
  if (messages.size() == 1) return text_of_message(messages[0], at);
  std::string text;
  for (const Message& message : messages) {
    std::string role = message.role;
    if (!role.empty()) role[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(role[0])));
    text.append(text.empty() ? "" : "\n\n").append(role).append(": ").append(text_of_message(message, at));
  }
  return text;
}

inline std::string shown(const TextOrMessages& text, const SourcePosition& at) {
  if (const auto* messages = std::get_if<std::vector<Message>>(&text)) return text_of_messages(*messages, at);
  return std::get<std::string>(text);
}

/// Takes the messages with which all conversations begin out of them, but the last of each: they are the prompt.
inline std::vector<Message> take_shared(std::span<TextOrMessages* const> texts) {
  std::vector<Message> shared = std::get<1>(*texts[0]);
  shared.pop_back();
  for (TextOrMessages* text : texts) {
    const auto& messages = std::get<1>(*text);
    const auto last = messages.end() - 1;
    const auto end = std::mismatch(shared.begin(), shared.end(), messages.begin(), last).first;
    shared.erase(end, shared.end());
  }
  for (TextOrMessages* text : texts) {
    auto& messages = std::get<1>(*text);
    messages.erase(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(shared.size()));
  }
  return shared;
}

/// Fills question and answers from a record's prompt and completions. `originals`: these as they stand in the file.
template <class Record>
void take_texts(const OrderedJson& object, Record& record, std::vector<TextOrMessages*> texts,
                std::vector<OrderedJson> originals, RecordToJudge& to_judge) {
  const SourcePosition& at = record.source;
  if (record.form == RecordForm::ids) refuse(at, "token ids, expected text, which a judge reads");
  if (record.form == RecordForm::features) refuse(at, "features, expected text, which a judge reads");
  if (!says_nothing(record.inputs.tools)) refuse(at, "'tools', which a judge is not shown");
  to_judge.texts = std::move(originals);
  if (record.prompt) {
    to_judge.question = shown(*record.prompt, at);
    if (find_field(object, "prompt") != nullptr) to_judge.prompt = object["prompt"];
  } else if (texts[0]->index() == 1) {
    const std::vector<Message> shared = take_shared(texts);
    if (!shared.empty()) to_judge.question = text_of_messages(shared, at);
    to_judge.prompt = OrderedJson::array();
    for (Index i = 0; i < shared.size(); ++i) to_judge.prompt.push_back(to_judge.texts[0][i]);
  }
  if (to_judge.prompt.is_null() || to_judge.prompt.empty())
    refuse(at, "no 'prompt', expected the question that was answered");
  for (const TextOrMessages* text : texts) to_judge.answers.push_back(shown(*text, at));
  if constexpr (requires { record.weight; }) to_judge.weight = record.weight.value_or(1);
}

template <class Record>
void take_completions(const OrderedJson& object, Record& record, RecordToJudge& to_judge) {
  std::vector<TextOrMessages*> texts;
  for (TextOrMessages& text : record.completions) texts.push_back(&text);
  std::vector<OrderedJson> originals;
  if (record.form == RecordForm::text)
    originals.assign(object["completions"].begin(), object["completions"].end());
  take_texts(object, record, std::move(texts), std::move(originals), to_judge);
}

inline void take_answers(const OrderedJson& object, const SourcePosition& at, RecordToJudge& to_judge) {
  const auto has = [&](std::string_view name) { return find_field(object, name) != nullptr; };
  const auto original = [&](const char* name) { return has(name) ? object[name] : OrderedJson(); };
  if (has_any_field(object, {"chosen", "chosen_ids", "chosen_features"})) {
    auto record = parsed_record<PreferenceRecord>(object, at);
    take_texts(object, record, {&record.chosen, &record.rejected}, {original("chosen"), original("rejected")},
               to_judge);
    to_judge.share_for_first = record.soft_label.value_or(1);
  } else if (has_any_field(object, {"response_a", "response_a_ids", "response_a_features"})) {
    OrderedJson judged = object;
    if (!has("votes")) judged["votes"] = {"tie"};
    auto record = parsed_record<JudgeRecord>(judged, at);
    take_texts(object, record, {&record.response_a, &record.response_b},
               {original("response_a"), original("response_b")}, to_judge);
    if (has("votes")) to_judge.share_for_first = share_for_a(record);
  } else if (has_any_field(object, {"completions", "completions_ids", "completions_features"})) {
    if (has("labels"))
      refuse(at, "steps with labels, expected whole answers, which a judge compares or rates");
    if (has("ranks")) {
      auto record = parsed_record<RankingRecord>(object, at);
      take_completions(object, record, to_judge);
      for (const Index rank : record.ranks) to_judge.goodness.push_back(-static_cast<double>(rank));
    } else if (has("scores")) {
      auto record = parsed_record<RatingsRecord>(object, at);
      take_completions(object, record, to_judge);
      for (auto score = record.scores.begin(); score != record.scores.end();) {
        const auto end = score + static_cast<std::ptrdiff_t>(record.attributes);
        to_judge.goodness.push_back(std::accumulate(score, end, 0.0));
        score = end;
      }
    } else {
      CompletionsRecord record;
      record.source = at;
      parse_completions(Fields(object, record.source), record);
      take_completions(object, record, to_judge);
    }
  } else {
    auto record = parsed_record<CompletionRecord>(object, at);
    take_texts(object, record, {&record.completion},
               {original(has("completion") ? "completion" : "messages")}, to_judge);
  }
}

/// The prompt, what `fill` puts behind it, and the record's other fields.
template <class Fill>
OrderedJson written(const RecordToJudge& record, const Fill& fill) {
  OrderedJson json = OrderedJson::object();
  json["prompt"] = record.prompt;
  fill(json);
  for (const auto& [name, value] : record.others) json[name] = value;
  return json;
}

inline void require_answers(const RecordToJudge& record, Index count) {
  if (record.answers.size() == count) return;
  throw UsageError(concat("judge: found a record of ", record.answers.size(), " answers, expected ", count));
}

}  // namespace detail::to_judge

/// Reads preferences, judged pairs with or without votes, several completions with or without ranks or scores, one completion
/// with or without a label: in text. Throws DataError for all else, and for what a judge is not shown.
inline RecordToJudge record_to_judge(const OrderedJson& object, const SourcePosition& at) {
  RecordToJudge record;
  detail::to_judge::take_answers(object, at, record);
  const detail::Fields fields(object, at);
  if (fields.has("reference")) {
    record.reference = fields.string_at(*fields.find("reference"), "reference", false);
  }
  for (const auto& [name, value] : object.items()) {
    const auto& anew = detail::to_judge::rewritten;
    if (std::find(anew.begin(), anew.end(), name) == anew.end()) record.others.emplace_back(name, value);
  }
  return record;
}

// ---- What a verdict makes of a record ---

/// As files have it: a, b or tie.
inline std::string_view name_of_vote(JudgeVote vote) {
  return vote == JudgeVote::a ? "a" : vote == JudgeVote::b ? "b" : "tie";
}

/// Kind judge, of two answers: the votes.
inline OrderedJson record_of_votes(const RecordToJudge& record, std::span<const JudgeVote> votes) {
  detail::to_judge::require_answers(record, 2);
  return detail::to_judge::written(record, [&](OrderedJson& json) {
    json["response_a"] = record.texts[0];
    json["response_b"] = record.texts[1];
    json["votes"] = OrderedJson::array();
    for (const JudgeVote vote : votes) json["votes"].push_back(name_of_vote(vote));
  });
}

/// Kind preference, of two answers: the likelier is chosen, its probability the soft label. Throws UsageError for a ½.
inline OrderedJson record_of_preference(const RecordToJudge& record, double probability_of_a) {
  detail::to_judge::require_answers(record, 2);
  if (probability_of_a == 0.5)
    throw UsageError("judge: found no preference, expected a probability other than 0.5");
  const bool a = probability_of_a > 0.5;
  return detail::to_judge::written(record, [&](OrderedJson& json) {
    json["chosen"] = record.texts[a ? 0 : 1];
    json["rejected"] = record.texts[a ? 1 : 0];
    json["soft_label"] = a ? probability_of_a : 1 - probability_of_a;
  });
}

/// Kind ratings: a score for each answer; those without one are left out.
inline OrderedJson record_of_scores(const RecordToJudge& record,
                                    std::span<const std::optional<double>> scores) {
  detail::to_judge::require_answers(record, scores.size());
  return detail::to_judge::written(record, [&](OrderedJson& json) {
    json["completions"] = OrderedJson::array();
    json["scores"] = OrderedJson::array();
    for (Index i = 0; i < scores.size(); ++i) {
      if (!scores[i]) continue;
      json["completions"].push_back(record.texts[i]);
      json["scores"].push_back(*scores[i]);
    }
  });
}

/// Kind outcome, of one answer: the probability of being good.
inline OrderedJson record_of_label(const RecordToJudge& record, double label) {
  detail::to_judge::require_answers(record, 1);
  return detail::to_judge::written(record, [&](OrderedJson& json) {
    json["completion"] = record.texts[0];
    json["label"] = label;
  });
}

}  // namespace MERIT_ABI
}  // namespace merit
