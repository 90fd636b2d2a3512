// A line that says nothing of a kind, told by its fields: what may be scored of it.
#pragma once

#include <string>
#include <variant>

#include "merit/io/json.hpp"
#include "merit/records/record.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A record whose completions are scored, whatever is said of them: RecordScorer takes each.
using RecordToScore =
    std::variant<CompletionRecord, CompletionsRecord, PreferenceRecord, JudgeRecord, StepsRecord>;

/// Reads one: preferences by "chosen", judged pairs by "response_a", steps by "labels" of "completions",
/// several answers by "completions", else one answer. With `to_order`, several answers alone. Throws DataError.
RecordToScore parse_record_to_score(const OrderedJson& object, const SourcePosition& at,
                                    bool to_order = false);

/// A conversation as a chat template takes it.
struct ConversationToRender {
  std::vector<Message> messages;
  RenderOptions options;
};

/// Reads {"messages": [...], "tools": [...], "add_generation_prompt": true, ...}. Throws DataError.
ConversationToRender parse_conversation(const OrderedJson& object, const SourcePosition& at);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/record_to_score_body.hpp"
#endif
