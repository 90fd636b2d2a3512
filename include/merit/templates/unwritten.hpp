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

/// The first thing that `messages` say and that the rendered text does not depend on. Reasoning that a template writes
/// of the last turn and leaves out of earlier ones is written. Not asked for are the role, ids,
/// the name of a tool's answer, which the call tells that it answers, and the types "text" and "function". Where
/// the template fails, a part that is no text is named; without one the error goes on.
std::optional<Unwritten> find_unwritten(std::span<const Message> messages, const Rendering& render);

/// The first content of `messages` that is not in `text`, as which they were rendered: a template may write a content or
/// not by what it and its neighbours hold, so that this is asked of each conversation. A content is there where it
/// stands in the text, without the white space around it or as JSON spells it, in a place of its own; or where no
/// letter at its ends and in its middle can be another without changing the text. Reasoning within a content, which
/// ends in </think>, may be left out of earlier turns as find_unwritten has it.
std::optional<Unwritten> find_unwritten_content(std::span<const Message> messages, const std::string& text,
                                                const Rendering& render);

/// A text that is equal for messages of equal kinds: of the same roles and fields, and of values that are true or not
/// in the same places, whatever else they hold.
std::string kind_of_conversation(std::span<const Message> messages);

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/templates/unwritten_body.hpp"
#endif
