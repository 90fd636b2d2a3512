// What tells the records of one prompt from those of another, for splitting a set.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/records/record.hpp"
#include "merit/templates/plain_template.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

inline std::string key_part(const TextOrMessages& text) {
  const auto* messages = std::get_if<std::vector<Message>>(&text);
  if (messages == nullptr) return std::get<std::string>(text);
  std::string key = render_plain(*messages);
  for (const Message& message : *messages) {  // what the plain template leaves out tells them apart too
    if (!message.whole.is_none()) key += text_of(message.whole);
  }
  return key;
}
template <class T>
std::string key_part(const std::vector<T>& list) {
  std::string text;
  if constexpr (std::is_arithmetic_v<T>) {
    for (const T& item : list) text += concat(item, ' ');
  } else {
    for (const T& item : list) text.append(text.empty() ? "" : "\x1E").append(key_part(item));
  }
  return text;
}

/// The prompt if there is one that is not empty, else the completions one after another.
template <class Record, class Texts, class Ids, class Features>
std::string key_of(const Record& record, const Texts& texts, const Ids& ids, const Features& features) {
  if (record.form == RecordForm::features) return features();
  const bool text = record.form == RecordForm::text;
  std::string prompt = text ? (record.prompt ? key_part(*record.prompt) : "")
                            : (record.prompt_ids ? key_part(*record.prompt_ids) : "");
  if (!prompt.empty()) return prompt;
  return text ? texts() : ids();
}

template <class T>
std::string key_of_two(const T& first, const T& second) {
  return key_part(first) + '\x1E' + key_part(second);
}

}  // namespace detail

// What held_out() in sampling.hpp is given for a record: its prompt, so that the records of one prompt stay
// together; without a prompt, or with an empty one, all of its completions.

inline std::string split_key(const PreferenceRecord& r) {
  return detail::key_of(
      r, [&] { return detail::key_of_two(r.chosen, r.rejected); },
      [&] { return detail::key_of_two(r.chosen_ids, r.rejected_ids); },
      [&] { return detail::key_of_two(r.chosen_features, r.rejected_features); });
}
inline std::string split_key(const JudgeRecord& r) {
  return detail::key_of(
      r, [&] { return detail::key_of_two(r.response_a, r.response_b); },
      [&] { return detail::key_of_two(r.response_a_ids, r.response_b_ids); },
      [&] { return detail::key_of_two(r.response_a_features, r.response_b_features); });
}
/// Rankings and ratings.
inline std::string split_key(const CompletionsRecord& r) {
  return detail::key_of(
      r, [&] { return detail::key_part(r.completions); }, [&] { return detail::key_part(r.completions_ids); },
      [&] { return detail::key_part(r.completions_features); });
}
/// Completions, outcomes and rollouts.
inline std::string split_key(const CompletionRecord& r) {
  return detail::key_of(
      r, [&] { return detail::key_part(r.completion); }, [&] { return detail::key_part(r.completion_ids); },
      [&] { return detail::key_part(r.completion_features); });
}
inline std::string split_key(const StepsRecord& r) {
  const auto nothing = [] { return std::string(); };
  const auto texts = [&] {
    std::string text;
    for (const std::string& step : r.completions) text += step + '\x1E';
    return text;
  };
  return detail::key_of(
      r, texts, [&] { return detail::key_part(r.completions_ids); }, nothing);
}

}  // namespace MERIT_ABI
}  // namespace merit
