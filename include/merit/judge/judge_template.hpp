// What a judge is asked: texts with named slots for the question and the answers, ours or a user's own.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/visible.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/judge/judge_wording.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What is asked: which of two answers is better, or how good one is.
enum class JudgeTask : std::uint8_t { pairwise, rating };

/// How a verdict is read: in the words that the judge writes, or off the logits of two words, of which none is written.
enum class JudgeReading : std::uint8_t { words, logits };
template <>
inline constexpr std::array<std::string_view, 2> enum_names<JudgeReading>{"words", "logits"};

/// What fills the slots of a template; those that it does not have are passed over.
struct JudgeSlots {
  std::string_view question = {};
  std::string_view answer_a = {}, answer_b = {};  // of a comparison, in the order in which they are shown
  std::string_view answer = {};                   // of a rating
  std::string_view reference = {};                // an answer that is known to be right
};

/// A conversation to which the judge replies, and how its reply begins.
struct JudgePrompt {
  std::vector<Message> messages = {};
  std::string reply =
      {};  // behind the header of the judge's message; what is written, or read, comes behind it
};

/// Messages with slots: {question}, {answer_a} and {answer_b}, {answer}, {reference}. Other braces are text.
class JudgeTemplate {
 public:
  static constexpr std::array<std::string_view, 5> slots{"question", "answer_a", "answer_b", "answer",
                                                         "reference"};

  /// `words`: those whose logits are compared, of answer A and B, or of good and bad. Empty ones: A and B, or yes and no.
  /// `where` names the template in errors. Throws ConfigError for slots of other names and for those of no task, and for what
  /// is no UTF-8.
  JudgeTemplate(std::vector<Message> messages, std::string reply, const std::string& where,
                std::array<std::string, 2> words = {})
      : messages_(std::move(messages)), reply_(std::move(reply)), words_(std::move(words)) {
    std::array<bool, slots.size()> found{};
    for (const Message& message : messages_) {
      require_utf8(message.content, where);
      walk(
          message.content, [](std::string_view) {},
          [&](std::string_view name) { found[number_of(name, where)] = true; });
    }
    const bool a = found[1], b = found[2], one = found[3];
    if ((a && b) == one || a != b) {
      std::string list;
      for (Index i = 0; i < slots.size(); ++i) {
        if (found[i]) list.append(list.empty() ? "" : ", ").append(concat('{', slots[i], '}'));
      }
      throw ConfigError(concat(where, ": found ", list.empty() ? "no slots" : "the slots " + list,
                               ", expected {answer_a} and {answer_b} to compare, or {answer} to rate"));
    }
    task_ = one ? JudgeTask::rating : JudgeTask::pairwise;
    wants_question_ = found[0];
    wants_reference_ = found[4];
    const bool compares = task_ == JudgeTask::pairwise;
    if (words_[0].empty() && words_[1].empty()) words_ = {compares ? "A" : "yes", compares ? "B" : "no"};
    if (words_[0].empty() || words_[1].empty() || words_[0] == words_[1]) {
      throw ConfigError(concat(where, ": found the words \"", words_[0], "\" and \"", words_[1],
                               "\", expected two different words"));
    }
  }

  JudgeTask task() const { return task_; }
  bool wants_question() const { return wants_question_; }
  bool wants_reference() const { return wants_reference_; }
  const std::array<std::string, 2>& words() const { return words_; }

  /// In one pass: what fills a slot is not looked through for others.
  JudgePrompt fill(const JudgeSlots& with) const {
    const std::array<std::string_view, slots.size()> texts{with.question, with.answer_a, with.answer_b,
                                                           with.answer, with.reference};
    JudgePrompt prompt{.messages = {}, .reply = reply_};
    for (const Message& message : messages_) {
      std::string text;
      walk(
          message.content, [&](std::string_view part) { text += part; },
          [&](std::string_view name) { text += texts[number_of(name, "")]; });
      prompt.messages.push_back({message.role, std::move(text)});
    }
    return prompt;
  }

 private:
  /// Calls text(part) and slot(name) in the order in which they stand. A slot is a name of letters and _ in braces.
  template <class Text, class Slot>
  static void walk(std::string_view all, const Text& text, const Slot& slot) {
    while (!all.empty()) {
      const auto open = all.find('{');
      const auto end =
          open == all.npos ? all.npos : all.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", open + 1);
      if (end == all.npos) return text(all);
      const bool is_slot = end > open + 1 && all[end] == '}';
      text(all.substr(0, is_slot ? open : end));
      if (is_slot) slot(all.substr(open + 1, end - open - 1));
      all.remove_prefix(is_slot ? end + 1 : end);
    }
  }
  static void require_utf8(std::string_view text, std::string_view where) {
    for (Index i = 0, length = 0; i < text.size(); i += length) {
      length = utf8_sequence(text, i);
      if (length == 0)
        throw ConfigError(concat(where, ": byte ", i, " is no UTF-8, expected a template of text"));
    }
  }
  static Index number_of(std::string_view name, std::string_view where) {
    for (Index i = 0; i < slots.size(); ++i) {
      if (slots[i] == name) return i;
    }
    std::string list;
    for (const std::string_view slot : slots) list.append(list.empty() ? "" : ", ").append(slot);
    throw ConfigError(concat(where, ": found the slot {", name, "}, expected one of: ", list));
  }

  std::vector<Message> messages_;
  std::string reply_;
  std::array<std::string, 2> words_;
  JudgeTask task_ = JudgeTask::pairwise;
  bool wants_question_ = false, wants_reference_ = false;
};

namespace detail {

/// {"messages": [{"role": …, "content": …}], "reply": "…", "words": ["…", "…"]}, the last two where they are wanted.
inline JudgeTemplate json_judge_template(const std::string& file) {
  const Json json = read_json(file);
  const auto known = [&](const Json& object, const std::string& where,
                         std::initializer_list<std::string_view> names) {
    for (const auto& [name, value] : object.items()) {
      if (std::find(names.begin(), names.end(), name) == names.end())
        throw ConfigError(
            concat(where, ": found the field \"", visible(name), "\", which is none of a template's"));
    }
  };
  const auto entries = require<std::vector<Json>>(json, "messages", file);
  known(json, file, {"messages", "reply", "words"});
  std::vector<Message> messages;
  for (const Json& entry : entries) {
    const std::string where = concat(file, ": messages[", messages.size(), ']');
    messages.push_back(
        {require<std::string>(entry, "role", where), require<std::string>(entry, "content", where)});
    known(entry, where, {"role", "content"});
  }
  std::array<std::string, 2> words;
  if (const auto given = optional<std::vector<std::string>>(json, "words", file)) {
    if (given->size() != 2)
      throw ConfigError(concat(file, ": found ", given->size(), " words, expected two"));
    words = {(*given)[0], (*given)[1]};
  }
  return JudgeTemplate(std::move(messages), optional<std::string>(json, "reply", file).value_or(""), file,
                       words);
}

}  // namespace detail

/// The template of ours by its name (pairwise, rating, reference: a comparison beside an answer that is known to be right), or
/// that of a file: a text, which is a user's message, or where its name ends in .json messages. Throws ConfigError for a name
/// that is neither, and for what is no template; IoError, DataError.
inline JudgeTemplate judge_template(const std::string& name, JudgeReading reading) {
  const bool words = reading == JudgeReading::words;
  const auto ours = [&](std::string_view task, std::string_view ending, std::string_view reply) {
    return JudgeTemplate({{"user", std::string(task).append(ending)}}, std::string(reply), name);
  };
  if (name == "pairwise") {
    return ours(wording::pairwise, words ? wording::vote_in_words : wording::vote_at_once, words ? "" : "[[");
  }
  if (name == "reference") {
    return ours(wording::reference, words ? wording::vote_in_words : wording::vote_at_once,
                words ? "" : "[[");
  }
  if (name == "rating")
    return ours(wording::rating, words ? wording::rating_in_words : wording::yes_or_no, "");
  std::error_code ignored;
  if (!std::filesystem::exists(name, ignored)) {
    throw ConfigError(
        concat("found the template \"", name, "\", expected pairwise, rating, reference or a file"));
  }
  if (name.ends_with(".json")) return detail::json_judge_template(name);
  return JudgeTemplate({{"user", read_file(name)}}, "", name);
}

}  // namespace MERIT_ABI
}  // namespace merit
