// What a conversation says and a template does not write, found by rendering it with marks in it.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The names under which a message's reasoning is given; templates read the first.
inline constexpr std::string_view reasoning_fields[] = {"reasoning_content", "thinking", "reasoning"};

/// A word that no template changes and that no conversation is likely to hold.
std::string mark_of(Index number);

/// Messages as text; throws DataError where they cannot be rendered.
using Rendering = std::function<std::string(std::span<const Message>)>;

/// Something that a message says.
struct Unwritten {
  Index message = 0;
  std::string where;  // "messages[1].tool_calls[0].function.name"
  std::string why;    // the error of a template that fails with it; else empty
};

/// The first thing that `messages` say and that the rendered text does not depend on. What a template writes of
/// the last turn and leaves out of earlier ones, such as reasoning, is written. Not asked for are the role, ids,
/// the name of a tool's answer, which the call tells that it answers, and the types "text" and "function". Where
/// the template fails, a part that is no text is named; without one the error goes on.
std::optional<Unwritten> find_unwritten(std::span<const Message> messages, const Rendering& render);

/// A text that is equal for messages of equal kinds: of the same roles and fields, whatever these hold.
std::string kind_of_conversation(std::span<const Message> messages);

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/templates/unwritten_body.hpp"
#endif
