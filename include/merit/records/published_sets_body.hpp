// The bodies of published_sets.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/nearest_name.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/published_sets.hpp"
#include "merit/records/record_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::published_sets {

inline bool has(const OrderedJson& row, std::string_view name) {
  const auto found = row.find(name);
  return found != row.end() && !found->is_null();
}

/// The fields by which a set is known, all of which its rows have.
struct Marks {
  PublishedSet set;
  std::vector<std::string_view> fields;
};

inline const std::vector<Marks>& all_marks() {
  using enum PublishedSet;
  static const std::vector<Marks> marks{
      {ultrafeedback, {"instruction", "completions"}},
      {helpsteer,
       {"prompt", "response", "helpfulness", "correctness", "coherence", "complexity", "verbosity"}},
      {helpsteer2_preference, {"prompt", "response_1", "response_2", "preference_strength"}},
      {helpsteer3, {"context", "response1", "response2", "overall_preference"}},
      {prm800k, {"question", "label"}},
      {math_shepherd, {"input", "label"}},
      {arena, {"conversation_a", "conversation_b", "winner"}},
      {arena_55k, {"prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"}},
      {orca_pairs, {"system", "question", "chosen", "rejected"}},
      {orca_pairs, {"system", "input", "chosen", "rejected"}},
      {nectar, {"prompt", "answers"}},
      {pku_safe_rlhf, {"prompt", "response_0", "response_1", "better_response_id"}},
      {shp, {"history", "human_ref_A", "human_ref_B", "labels"}},
      {webgpt, {"question", "answer_0", "answer_1", "score_0", "score_1"}}};
  return marks;
}

inline bool is_list_of(const OrderedJson& row, const char* list, const char* field) {
  const auto found = row.find(list);
  return found != row.end() && found->is_array() &&
         (found->empty() || (found->front().is_object() && found->front().contains(field)));
}

inline bool is_object_with(const OrderedJson& row, const char* object, const char* field) {
  const auto found = row.find(object);
  return found != row.end() && found->is_object() && found->contains(field);
}

constexpr std::string_view step_tag = "ки";

/// What the fields must hold where their names alone are too common.
inline bool looks_like(PublishedSet set, const OrderedJson& row) {
  switch (set) {
    case PublishedSet::ultrafeedback: return is_list_of(row, "completions", "response");
    case PublishedSet::prm800k:
      return is_object_with(row, "question", "problem") && is_object_with(row, "label", "steps");
    case PublishedSet::math_shepherd:
      return row["input"].is_string() && row["label"].is_string() &&
             row["input"].get_ref<const std::string&>().find(step_tag) != std::string::npos;
    case PublishedSet::nectar: return is_list_of(row, "answers", "answer");
    case PublishedSet::orca_pairs: return row["system"].is_string();
    case PublishedSet::webgpt: return is_object_with(row, "question", "full_text");
    case PublishedSet::arena: return row["conversation_a"].is_array() && row["conversation_b"].is_array();
    default: return true;
  }
}

/// A number, or text that spells one.
inline std::optional<double> rating_of(const OrderedJson* value) {
  if (value == nullptr) return std::nullopt;
  if (value->is_number()) return value->get<double>();
  if (!value->is_string()) return std::nullopt;
  const auto& text = value->get_ref<const std::string&>();
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc{} && end == text.data() + text.size() && std::isfinite(number);
  return whole ? std::optional(number) : std::nullopt;
}

inline const OrderedJson* member(const OrderedJson& object, const std::string& name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

inline std::string trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
}

/// What the ratings of a completion of ultrafeedback are called, "N/A" among them.
inline std::vector<std::string> names_of_ratings(const OrderedJson& completion) {
  std::vector<std::string> names;
  for (const auto& [name, value] : completion.items()) {
    if (value.is_number() || name.ends_with("_score")) names.push_back(name);
  }
  if (const OrderedJson* annotations = member(completion, "annotations");
      annotations && annotations->is_object()) {
    for (const auto& [name, aspect] : annotations->items()) {
      if (aspect.is_object() && aspect.contains("Rating")) names.push_back(name);
    }
  }
  return names;
}

/// "one of: a, b", and which of them was probably meant.
template <class Names>
std::string one_of(const std::string& given, const Names& names) {
  std::string text = "one of: ";
  for (const std::string& name : names) text += concat(text.ends_with(": ") ? "" : ", ", name);
  const std::string nearest = nearest_name(given, names);
  return nearest.empty() ? text : concat(text, " (did you mean ", nearest, "?)");
}

/// A list of texts, one a turn, some of them null; also written as text.
inline OrderedJson turns_of(const Fields& fields, const char* name, const SourcePosition& at) {
  constexpr std::string_view expected = "a JSON list of texts, one a turn";
  const OrderedJson& value = fields.need(name, expected);
  OrderedJson turns = value.is_string() ? parse_ordered_json(value.get_ref<const std::string&>(),
                                                             concat(at.text(), ": field '", name, "'"))
                                        : value;
  if (!turns.is_array() || turns.empty()) fields.fail(name, describe(turns), expected);
  for (Index i = 0; i < turns.size(); ++i) {
    if (turns[i].is_string() || turns[i].is_null()) continue;
    fields.fail(concat(name, '[', i, ']'), describe(turns[i]), "a string or null");
  }
  return turns;
}

/// A message list of which `count` messages are left out.
inline OrderedJson messages_from(const OrderedJson& messages, Index count) {
  OrderedJson rest = OrderedJson::array();
  for (Index i = count; i < messages.size(); ++i) rest.push_back(messages[i]);
  return rest;
}

}  // namespace detail::published_sets

MERIT_INLINE std::optional<PublishedSet> detect_published_set(const OrderedJson& row,
                                                              const SourcePosition& at) {
  namespace sets = detail::published_sets;
  std::optional<PublishedSet> found;
  for (const sets::Marks& marks : sets::all_marks()) {
    const bool there = std::all_of(marks.fields.begin(), marks.fields.end(),
                                   [&](std::string_view name) { return sets::has(row, name); });
    if (!there || !sets::looks_like(marks.set, row)) continue;
    if (found && *found != marks.set) {
      detail::throw_found(at, "row",
                          concat("the fields of ", name_of(*found), " and of ", name_of(marks.set)),
                          "those of one published set: leave one out by --rename");
    }
    found = marks.set;
  }
  return found;
}

MERIT_INLINE std::string partly_published(const OrderedJson& row) {
  namespace sets = detail::published_sets;
  for (const sets::Marks& marks : sets::all_marks()) {
    std::string there, missing;
    Index count = 0;
    for (const std::string_view name : marks.fields) {
      const bool common = name == "prompt" || name == "question" || name == "input" || name == "label" ||
                          name == "labels" || name == "system" || name == "completions";
      if (sets::has(row, name)) {
        count += common ? 0 : 1;
        there += concat(there.empty() ? "" : ", ", name);
      } else {
        missing += concat(missing.empty() ? "" : ", ", name);
      }
    }
    if (count < 2 || missing.empty()) continue;
    return concat("it has ", there, " of the published set ", name_of(marks.set), " but not ", missing);
  }
  return {};
}

MERIT_INLINE std::optional<PublishedRows::Record> PublishedRows::next() {
  if (given_.empty()) return std::nullopt;
  Record record = std::move(given_.front());
  given_.pop_front();
  return record;
}

MERIT_INLINE void PublishedRows::end() {
  if (open_) given_.push_back(*std::move(open_));
  open_.reset();
  if (ratings_there_.empty()) return;
  for (const std::string& name : ratings_) {
    if (ratings_there_.contains(name)) continue;
    throw ConfigError(concat(file_, ": --rating ", name,
                             ": found no row with a rating of that name, expected ",
                             detail::published_sets::one_of(name, ratings_there_)));
  }
}

MERIT_INLINE void PublishedRows::add_pair(const OrderedJson& prompt, const OrderedJson& first,
                                          const OrderedJson& second, double first_by, OrderedJson extra,
                                          const SourcePosition& at) {
  OrderedJson record{{"prompt", prompt},
                     {"chosen", first_by < 0 ? second : first},
                     {"rejected", first_by < 0 ? first : second}};
  if (first_by == 0) record["soft_label"] = 0.5;
  if (!extra.is_null()) record.update(extra);
  give(std::move(record), at);
}

MERIT_INLINE void PublishedRows::add(const OrderedJson& row, const SourcePosition& at) {
  const detail::Fields fields(row, at);
  const auto need = [&](const char* name) -> const OrderedJson& {
    return fields.need(name, concat("a field of the published set ", name_of(set_)));
  };
  switch (set_) {
    case PublishedSet::ultrafeedback: return add_ultrafeedback(row, at);
    case PublishedSet::helpsteer: return add_helpsteer(row, at);
    case PublishedSet::helpsteer2_preference:
      return add_strength(row, at, "prompt", "response_1", "response_2", "preference_strength");
    case PublishedSet::helpsteer3:
      return add_strength(row, at, "context", "response1", "response2", "overall_preference");
    case PublishedSet::prm800k: return add_prm800k(row, at);
    case PublishedSet::math_shepherd: return add_math_shepherd(row, at);
    case PublishedSet::arena: return add_arena(row, at);
    case PublishedSet::arena_55k: return add_arena_55k(row, at);
    case PublishedSet::nectar: return add_nectar(row, at);
    case PublishedSet::orca_pairs: {
      const bool question = fields.has("question");
      const OrderedJson& asked = need(question ? "question" : "input");
      OrderedJson prompt = OrderedJson::array();
      if (fields.has("system") && row["system"] != "") {
        prompt.push_back({{"role", "system"}, {"content", row["system"]}});
      }
      prompt.push_back({{"role", "user"}, {"content", asked}});
      return give({{"prompt", prompt}, {"chosen", need("chosen")}, {"rejected", need("rejected")}}, at);
    }
    case PublishedSet::pku_safe_rlhf: {
      const auto better = whole_number(need("better_response_id"));
      if (!better || *better < 0 || *better > 1) {
        fields.fail("better_response_id", detail::describe(row["better_response_id"]), "0 or 1");
      }
      return add_pair(need("prompt"), need("response_0"), need("response_1"), *better == 0 ? 1 : -1, {}, at);
    }
    case PublishedSet::shp: {
      const auto first = whole_number(need("labels"));
      if (!first || *first < 0 || *first > 1) {
        fields.fail("labels", detail::describe(row["labels"]), "1 where human_ref_A is better, else 0");
      }
      return add_pair(need("history"), need("human_ref_A"), need("human_ref_B"), *first == 1 ? 1 : -1, {},
                      at);
    }
    case PublishedSet::webgpt: {
      const double by = fields.number_at(need("score_0"), "score_0", -1, 1, "a number of -1 to 1") -
                        fields.number_at(need("score_1"), "score_1", -1, 1, "a number of -1 to 1");
      const OrderedJson* text = detail::published_sets::member(need("question"), "full_text");
      if (text == nullptr) fields.fail("question.full_text", "no such field", "a string");
      return add_pair(*text, need("answer_0"), need("answer_1"), by,
                      {{"score_chosen", std::abs(by) / 2}, {"score_rejected", -std::abs(by) / 2}}, at);
    }
  }
}

MERIT_INLINE void PublishedRows::add_ultrafeedback(const OrderedJson& row, const SourcePosition& at) {
  using detail::published_sets::member;
  using detail::published_sets::rating_of;
  const detail::Fields fields(row, at);
  const OrderedJson& prompt = fields.need("instruction", "a string");
  OrderedJson completions = OrderedJson::array(), scores = OrderedJson::array();
  file_ = at.file;
  const OrderedJson& all = fields.need_list("completions", "completions");
  for (Index i = 0; i < all.size(); ++i) {
    const OrderedJson& one = all[i];
    const std::string where = concat("completions[", i, ']');
    const OrderedJson* response = member(one, "response");
    if (response == nullptr) fields.fail(where + ".response", "no such field", "a string");
    const auto rating = [&](const std::string& name) {
      if (const auto direct = rating_of(member(one, name))) return direct;
      const OrderedJson* annotations = member(one, "annotations");
      const OrderedJson* aspect = annotations != nullptr ? member(*annotations, name) : nullptr;
      return aspect != nullptr ? rating_of(member(*aspect, "Rating")) : std::nullopt;
    };
    std::vector<std::optional<double>> read;
    if (ratings_.empty()) {
      read = {rating("overall_score")};
      if (!read[0]) read[0] = rating("fine-grained_score");
    } else {
      for (const std::string& name : detail::published_sets::names_of_ratings(one))
        ratings_there_.insert(name);
    }
    for (const std::string& name : ratings_) {
      if (one.contains(name)) ratings_there_.insert(name);
      read.push_back(rating(name));
    }
    std::vector<double> values;
    for (const auto& value : read) {
      if (value) values.push_back(*value);
    }
    if (values.size() != read.size()) continue;
    completions.push_back(*response);
    scores.push_back(values.size() == 1 ? OrderedJson(values[0]) : OrderedJson(values));
  }
  if (completions.empty()) {
    return leave_out(all.empty() ? "no completions" : "no completion with a rating that is a number");
  }
  unrated_ += all.size() - completions.size();
  give({{"prompt", prompt}, {"completions", completions}, {"scores", scores}}, at);
}

MERIT_INLINE void PublishedRows::add_helpsteer(const OrderedJson& row, const SourcePosition& at) {
  static const std::vector<std::string> all{"helpfulness", "correctness", "coherence", "complexity",
                                            "verbosity"};
  const detail::Fields fields(row, at);
  const OrderedJson& prompt = fields.need("prompt", "a string");
  const OrderedJson& response = fields.need("response", "a string");
  OrderedJson scores = OrderedJson::array();
  for (const std::string& name : ratings_.empty() ? all : ratings_) {
    if (!row.contains(name)) fields.fail(name, "no such rating", detail::published_sets::one_of(name, all));
    scores.push_back(fields.number_at(fields.need(name, "a rating"), name, -1e6, 1e6, "a rating"));
  }
  if (scores.size() == 1) scores = OrderedJson(scores[0]);
  if (open_ && open_->object["prompt"] != prompt) end();
  if (!open_) {
    open_ = Record{
        {{"prompt", prompt}, {"completions", OrderedJson::array()}, {"scores", OrderedJson::array()}}, at};
  }
  open_->object["completions"].push_back(response);
  open_->object["scores"].push_back(scores);
}

MERIT_INLINE void PublishedRows::add_strength(const OrderedJson& row, const SourcePosition& at,
                                              const char* prompt, const char* first, const char* second,
                                              const char* strength) {
  const detail::Fields fields(row, at);
  const std::string_view expected = "a number of -3 to 3, above 0 where the second answer is better";
  const double by = fields.number_at(fields.need(strength, expected), strength, -3, 3, expected);
  add_pair(fields.need(prompt, "a string or a list of messages"), fields.need(first, "a string"),
           fields.need(second, "a string"), -by, {{"preference_strength", std::abs(by)}}, at);
}

MERIT_INLINE void PublishedRows::add_arena(const OrderedJson& row, const SourcePosition& at) {
  const detail::Fields fields(row, at);
  const OrderedJson& a = fields.need_list("conversation_a", "messages");
  const OrderedJson& b = fields.need_list("conversation_b", "messages");
  const OrderedJson& winner = fields.need("winner", "the name of a side, or tie");
  const std::string won = winner.is_string() ? winner.get<std::string>() : std::string();
  const bool tie = won.starts_with("tie") || won == "both_bad" || won == "bothbad";
  if (!tie && won != "model_a" && won != "model_b") {
    fields.fail("winner", detail::describe(winner), "model_a, model_b or tie");
  }
  if (!add_judged(a, b, tie ? "tie" : won == "model_a" ? "a" : "b", at)) {
    fields.fail("conversation_b", "another first message than in conversation_a",
                "two conversations that begin alike and go on");
  }
}

MERIT_INLINE void PublishedRows::add_arena_55k(const OrderedJson& row, const SourcePosition& at) {
  namespace sets = detail::published_sets;
  const detail::Fields fields(row, at);
  const OrderedJson asked = sets::turns_of(fields, "prompt", at);
  const auto conversation = [&](const char* name) {
    const OrderedJson answers = sets::turns_of(fields, name, at);
    if (answers.size() != asked.size()) {
      fields.fail(name, concat(answers.size(), answers.size() == 1 ? " turn" : " turns"),
                  concat(asked.size(), " as in 'prompt'"));
    }
    OrderedJson messages = OrderedJson::array();
    for (Index i = 0; i < asked.size(); ++i) {
      messages.push_back({{"role", "user"}, {"content", asked[i]}});
      messages.push_back({{"role", "assistant"}, {"content", answers[i]}});
    }
    return messages;
  };
  const OrderedJson a = conversation("response_a"), b = conversation("response_b");
  const char* vote = nullptr;
  for (const auto& [name, as] :
       {std::pair("winner_model_a", "a"), std::pair("winner_model_b", "b"), std::pair("winner_tie", "tie")}) {
    const auto won = whole_number(fields.need(name, "0 or 1"));
    if (!won || *won < 0 || *won > 1) fields.fail(name, detail::describe(row[name]), "0 or 1");
    if (*won == 0) continue;
    if (vote != nullptr) fields.fail(name, "1 beside another one", "1 in one of the three");
    vote = as;
  }
  if (vote == nullptr) fields.fail("winner_tie", "0 as in the others", "1 in one of the three");
  const auto is_without_text = [](const OrderedJson& message) { return message["content"].is_null(); };
  if (std::any_of(a.begin(), a.end(), is_without_text) || std::any_of(b.begin(), b.end(), is_without_text)) {
    return leave_out("a turn without text");
  }
  add_judged(a, b, vote, at);
}

MERIT_INLINE bool PublishedRows::add_judged(const OrderedJson& a, const OrderedJson& b, const char* vote,
                                            const SourcePosition& at) {
  // The turns that both have; where the models answered before, they part at the first answer.
  Index same = 0;
  while (same + 1 < std::min(a.size(), b.size()) && a[same] == b[same]) ++same;
  if (same == 0) return false;
  OrderedJson prompt = OrderedJson::array();
  for (Index i = 0; i < same; ++i) prompt.push_back(a[i]);
  give({{"prompt", prompt},
        {"response_a", detail::published_sets::messages_from(a, same)},
        {"response_b", detail::published_sets::messages_from(b, same)},
        {"votes", {vote}}},
       at);
  return true;
}

MERIT_INLINE void PublishedRows::add_nectar(const OrderedJson& row, const SourcePosition& at) {
  using detail::published_sets::member;
  const detail::Fields fields(row, at);
  OrderedJson completions = OrderedJson::array(), ranks = OrderedJson::array();
  for (const OrderedJson& one : fields.need_list("answers", "answers")) {
    const std::string where = concat("answers[", completions.size(), ']');
    const OrderedJson* answer = member(one, "answer");
    const OrderedJson* rank = member(one, "rank");
    if (answer == nullptr) fields.fail(where + ".answer", "no such field", "a string");
    const auto place = rank != nullptr ? whole_number(*rank) : std::nullopt;
    if (!place || *place < 1) {
      fields.fail(where + ".rank", rank != nullptr ? detail::describe(*rank) : "no such field",
                  "an integer of 1 or more, 1 for the best");
    }
    completions.push_back(*answer);
    ranks.push_back(*place - 1);
  }
  if (completions.empty()) return leave_out("no answers");
  give({{"prompt", fields.need("prompt", "a string")}, {"completions", completions}, {"ranks", ranks}}, at);
}

}  // namespace MERIT_ABI
}  // namespace merit
