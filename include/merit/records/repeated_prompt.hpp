// A prompt that stands apart and again inside the conversations: some published sets give both.
#pragma once

#include <optional>

#include "merit/records/record.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Whether two messages say the same: in all of their fields, but for those that say nothing. Parts of text are
/// their text.
bool same_turn(const Message& a, const Message& b);

/// Takes out of a completion what it repeats of the prompt, so that no turn is read twice. `given` is the prompt
/// as the record has it, `prompt` what the record's completions so far have made of it. A prompt that is a
/// string is repeated where a user first says it, but in the last message: it becomes the conversation up to
/// there. A prompt that is a conversation is repeated where the completion begins with its last turns. A
/// completion that is nothing else stays as it is.
///
/// False where the conversation up to a prompt that is a string is not that of the completions before: then
/// there is no one prompt.
bool take_out_prompt(const std::optional<TextOrMessages>& given, std::optional<TextOrMessages>& prompt,
                     TextOrMessages& completion);

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/records/repeated_prompt_body.hpp"
#endif
