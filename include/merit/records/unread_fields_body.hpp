// The bodies of unread_fields.hpp.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/records/unread_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE bool is_field_of(RecordKind kind, std::string_view name) {
  const auto one_of = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (one_of({"prompt", "prompt_ids", "weight", "tools", "chat_template_kwargs"})) return true;
  const auto in_any_form = [&](std::string_view field) {
    return name.starts_with(field) && one_of({field, concat(field, "_ids"), concat(field, "_features")});
  };
  switch (kind) {
    case RecordKind::preference:
      return in_any_form("chosen") || in_any_form("rejected") || one_of({"margin", "soft_label"});
    case RecordKind::judge:
      return in_any_form("response_a") || in_any_form("response_b") || name == "votes" ||
             name == "probability_of_a";
    case RecordKind::ranking: return in_any_form("completions") || name == "ranks";
    case RecordKind::ratings: return in_any_form("completions") || name == "scores";
    case RecordKind::outcome: return in_any_form("completion") || name == "label";
    case RecordKind::steps: return in_any_form("completions") || name == "labels";
    case RecordKind::rollout: return in_any_form("completion") || one_of({"reward", "rewards", "values"});
  }
  return false;
}

MERIT_INLINE void UnreadFields::add(const OrderedJson& record, RecordKind kind, std::string_view also_read) {
  ++records_;
  bool has_text = false;
  for (const auto& [name, value] : record.items()) {
    if (value.is_null()) continue;
    if (is_field_of(kind, name)) {
      has_text |= !name.ends_with("_ids") && !name.ends_with("_features");
    } else if (name != also_read && (fields_.size() < most_fields || fields_.contains(name))) {
      ++fields_[name];
    }
  }
  const auto prompt = record.find("prompt");
  const bool conversation =
      record.contains("chosen") && record["chosen"].is_array();  // its beginning is the prompt
  if (!has_text || conversation || record.contains("prompt_ids") ||
      (prompt != record.end() && !prompt->is_null())) {
    return;
  }
  if (record.contains("chosen_ids") || record.contains("chosen_features")) return;
  ++without_prompt_;
  const std::string other = detail::prompt_by_another_name(record);
  if (!other.empty()) ++prompts_[other];
}

MERIT_INLINE void UnreadFields::add_to_score(const OrderedJson& record) {
  const auto has = [&](std::string_view name) {
    const auto in = [&](const std::string& field) {
      return record.contains(field) && !record.at(field).is_null();
    };
    return in(std::string(name)) || in(concat(name, "_ids")) || in(concat(name, "_features"));
  };
  RecordKind kind = RecordKind::outcome;
  if (has("chosen")) {
    kind = RecordKind::preference;
  } else if (has("response_a")) {
    kind = RecordKind::judge;
  } else if (has("completions")) {
    kind = has("labels") ? RecordKind::steps : has("scores") ? RecordKind::ratings : RecordKind::ranking;
  }
  to_score_ = true;
  add(record, kind, "messages");
}

MERIT_INLINE std::vector<std::string> UnreadFields::sentences() const {
  std::vector<std::string> said;
  if (without_prompt_ != 0 && (!to_score_ || !prompts_.empty())) {
    std::string text = concat(without_prompt_, " of ", records_, records_ == 1 ? " record" : " records",
                              without_prompt_ == 1 ? " has no prompt" : " have no prompt");
    for (const auto& [name, count] : prompts_) {
      text += concat("; --rename ", name, "=prompt reads '", name, "' as it, which ", count,
                     count == 1 ? " has" : " have");
    }
    said.push_back(std::move(text));
  }
  if (fields_.empty()) return said;
  std::string list;
  Index shown = 0;
  for (const auto& [name, count] : fields_) {
    if (++shown > 20) {
      list += concat(" and ", fields_.size() == most_fields ? "at least " : "", fields_.size() - 20, " more");
      break;
    }
    list += concat(list.empty() ? "" : ", ", detail::quote(name), " (in ", count, ')');
  }
  said.push_back(
      concat(fields_.size() == 1 ? "field that is not read: " : "fields that are not read: ", list));
  return said;
}

}  // namespace MERIT_ABI
}  // namespace merit
