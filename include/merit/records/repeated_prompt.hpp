// A prompt that stands apart and again inside the conversations: some published sets give both.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/records/record.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

inline bool same_turn(const Message& a, const Message& b) {
  return a.role == b.role && a.content == b.content;
}

/// Takes out of a completion what it repeats of the prompt, so that no turn is read twice. A prompt that is a
/// string is repeated where a user says it, but in the last message: it becomes the conversation up to there. A
/// prompt that is a conversation is repeated where the completion begins with its last turns. A completion that
/// is nothing else stays as it is.
inline void take_out_prompt(std::optional<TextOrMessages>& prompt, TextOrMessages& completion) {
  auto* turns = std::get_if<std::vector<Message>>(&completion);
  if (!prompt || turns == nullptr || turns->empty()) return;
  if (const auto* text = std::get_if<std::string>(&*prompt)) {
    const auto says_it = [&](const Message& turn) { return turn.role == "user" && turn.content == *text; };
    const auto last = std::find_if(turns->rbegin() + 1, turns->rend(), says_it);
    if (last == turns->rend()) return;
    std::vector<Message> before(turns->begin(), last.base());
    turns->erase(turns->begin(), last.base());
    prompt = std::move(before);
    return;
  }
  const auto& asked = std::get<std::vector<Message>>(*prompt);
  for (Index count = std::min(asked.size(), turns->size() - 1); count > 0; --count) {
    const auto length = static_cast<std::ptrdiff_t>(count);
    if (!std::equal(asked.end() - length, asked.end(), turns->begin(), same_turn)) continue;
    turns->erase(turns->begin(), turns->begin() + length);
    return;
  }
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
