// Reading what is scored or rendered.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "merit/core/error.hpp"
#include "merit/records/parse_record.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/run/record_to_score.hpp"

namespace merit {
inline namespace MERIT_ABI {
MERIT_INLINE RecordToScore parse_record_to_score(const OrderedJson& object, const SourcePosition& at,
                                                 bool to_order) {
  const bool several =
      detail::has_any_field(object, {"completions", "completions_ids", "completions_features"});
  if (to_order && !several) {
    throw DataError(at.text() + ": found a record without 'completions', expected several to put in order");
  }
  if (detail::has_any_field(object, {"chosen", "chosen_ids", "chosen_features"}))
    return detail::parsed_record<PreferenceRecord>(object, at);
  if (detail::has_any_field(object, {"response_a", "response_a_ids", "response_a_features"})) {
    if (detail::has_any_field(object, {"votes"})) return detail::parsed_record<JudgeRecord>(object, at);
    OrderedJson judged = object;
    judged["votes"] = {"tie"};  // scored, not judged: they need not be there
    return detail::parsed_record<JudgeRecord>(judged, at);
  }
  if (!several) return detail::parsed_record<CompletionRecord>(object, at);
  if (!to_order && detail::has_any_field(object, {"labels"}))
    return detail::parsed_record<StepsRecord>(object, at);
  CompletionsRecord record;  // of one prompt, without anything said of them
  record.source = at;
  detail::parse_completions(detail::Fields(object, record.source), record);
  return record;
}

MERIT_INLINE ConversationToRender parse_conversation(const OrderedJson& object, const SourcePosition& at) {
  const detail::Fields fields(object, at);
  TextOrMessages messages = fields.text("messages", false);
  if (messages.index() != 1) fields.fail("messages", "a string", "a list of messages");
  const auto flag = [&](const char* field) {
    const OrderedJson* found = fields.find(field);
    if (found == nullptr) return false;
    if (!found->is_boolean()) fields.fail(field, detail::describe(*found), "true or false");
    return found->get<bool>();
  };
  const TemplateInputs inputs = fields.template_inputs();
  return {.messages = std::get<1>(std::move(messages)),
          .options = {.add_generation_prompt = flag("add_generation_prompt"),
                      .continue_final_message = flag("continue_final_message"),
                      .tools = inputs.tools,
                      .variables = inputs.variables}};
}

}  // namespace MERIT_ABI
}  // namespace merit
