// The bodies of repeated_prompt.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/records/record.hpp"
#include "merit/records/repeated_prompt.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The fields of a message that say something, beside its role and its text.
inline Value further_fields(const Message& message) {
  Value::Fields further;
  if (const Value::Fields* fields = message.whole.fields()) {
    for (const ValueField& field : *fields) {
      const bool text =
          field.name == "content" && (field.value.string() != nullptr || text_of_parts(field.value));
      if (field.name != "role" && !text && !says_nothing(field.value)) further.push_back(field);
    }
  }
  return further;
}

MERIT_INLINE bool same_turn(const Message& a, const Message& b) {
  return a.role == b.role && a.content == b.content && further_fields(a) == further_fields(b);
}

inline bool same_turns(const std::vector<Message>& a, const std::vector<Message>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_turn);
}

/// Of a prompt that is a string.
inline bool take_out_text(const std::string& text, std::optional<TextOrMessages>& prompt,
                          std::vector<Message>& turns) {
  const auto says_it = [&](const Message& turn) { return turn.role == "user" && turn.content == text; };
  const auto first = std::find_if(turns.begin(), turns.end() - 1, says_it);
  const bool repeats = first != turns.end() - 1;
  const auto* others = std::get_if<std::vector<Message>>(&*prompt);
  std::vector<Message> before = {{"user", text}};
  if (repeats) {
    before.assign(turns.begin(), first + 1);
    turns.erase(turns.begin(), first + 1);
  }
  if (others != nullptr) return same_turns(before, *others);
  if (repeats) prompt = std::move(before);
  return true;
}

MERIT_INLINE bool take_out_prompt(const std::optional<TextOrMessages>& given,
                                  std::optional<TextOrMessages>& prompt, TextOrMessages& completion) {
  auto* turns = std::get_if<std::vector<Message>>(&completion);
  if (!given || turns == nullptr || turns->empty()) return true;
  if (const auto* text = std::get_if<std::string>(&*given)) return take_out_text(*text, prompt, *turns);
  const auto& asked = std::get<std::vector<Message>>(*given);
  for (Index count = std::min(asked.size(), turns->size() - 1); count > 0; --count) {
    const auto length = static_cast<std::ptrdiff_t>(count);
    if (!std::equal(asked.end() - length, asked.end(), turns->begin(), same_turn)) continue;
    turns->erase(turns->begin(), turns->begin() + length);
    return true;
  }
  return true;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
