// What the fields of a request hold: texts, conversations, records.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/run/record_to_score.hpp"
#include "merit/serve/known_fields.hpp"
#include "merit/templates/message.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

[[noreturn]] inline void refuse_field(std::string_view field, const OrderedJson& found,
                                      std::string_view expected) {
  throw DataError(
      concat("the request: field '", field, "': found ", describe(found), ", expected ", expected));
}

inline bool flag_field(const OrderedJson& body, const char* name, bool usual = false) {
  const OrderedJson* found = find_field(body, name);
  if (found == nullptr) return usual;
  if (!found->is_boolean()) refuse_field(name, *found, "true or false");
  return found->get<bool>();
}

inline std::optional<Index> number_field(const OrderedJson& body, const char* name) {
  const OrderedJson* found = find_field(body, name);
  if (found == nullptr) return std::nullopt;
  const auto number = whole_number(*found);
  if (!number || *number < 1) refuse_field(name, *found, "a whole number of at least 1");
  return static_cast<Index>(*number);
}

/// The texts of the first of the fields that is there: one string, or a list, of strings or of objects with "text".
inline std::vector<std::string> texts_field(const OrderedJson& body,
                                            std::initializer_list<const char*> names) {
  constexpr const char* expected = "a string, or a list of at least one string";
  for (const char* name : names) {
    const OrderedJson* found = find_field(body, name);
    if (found == nullptr) continue;
    if (found->is_string()) return {found->get<std::string>()};
    if (!found->is_array() || found->empty()) refuse_field(name, *found, expected);
    std::vector<std::string> texts;
    for (const OrderedJson& one : *found) {
      const OrderedJson* text = one.is_object() ? find_field(one, "text") : &one;
      if (text == nullptr || !text->is_string()) refuse_field(name, one, "a string in each entry");
      texts.push_back(text->get<std::string>());
    }
    return texts;
  }
  throw DataError(concat("the request: field '", *names.begin(), "' is missing, expected ", expected));
}

/// Where a record stands: in an entry of a field's list, or in a field or the request as a whole.
inline SourcePosition request_position(std::string_view field, Index entry) {
  return {.file = concat("the request: field '", field, "', entry ", entry)};
}
inline SourcePosition request_position(std::string_view field = {}) {
  return {.file = field.empty() ? "the request" : concat("the request: field '", field, "'")};
}

inline RecordToScore completion_of(SourcePosition at, std::optional<std::string> prompt,
                                   std::string completion) {
  CompletionRecord record;
  record.source = std::move(at);
  if (prompt) record.prompt = std::move(*prompt);
  record.completion = std::move(completion);
  return record;
}

inline RecordToScore completions_of(SourcePosition at, std::string prompt,
                                    const std::vector<std::string>& completions) {
  CompletionsRecord record;
  record.source = std::move(at);
  record.prompt = std::move(prompt);
  record.completions.assign(completions.begin(), completions.end());
  return record;
}

/// A record as merit_score reads it, without a field that is not read; `also` are fields of the request that it stands in.
inline RecordToScore record_of_request(const OrderedJson& object, const SourcePosition& at,
                                       const FieldNames& also = {}) {
  if (!object.is_object()) {
    throw DataError(
        concat(at.text(), ": found ", describe(object), ", expected a record, which is an object"));
  }
  refuse_unknown_in_record(object, at.text(), also);
  if (has_any_field(object, {"messages"}) &&
      has_any_field(
          object, {"completion", "completion_ids", "completions", "completions_ids", "chosen", "response_a"}))
    throw DataError(at.text() + ": field 'messages': found it beside completions, expected one of the two");
  return parse_record_to_score(object, at);
}

/// Refuses what asks for another text than the model's chat template writes, or for another encoding than JSON's.
inline void refuse_other_forms(const OrderedJson& body) {
  for (const char* name : {"add_generation_prompt", "continue_final_message"}) {
    if (flag_field(body, name)) {
      throw DataError(
          concat("the request: field '", name,
                 "': found true, expected false: a conversation is scored as its template ends it"));
    }
  }
  if (const OrderedJson* found = find_field(body, "chat_template"))
    refuse_field("chat_template", *found, "none: a conversation is written by the model's own");
  const OrderedJson* format = find_field(body, "encoding_format");
  if (format != nullptr && *format != "float") refuse_field("encoding_format", *format, "\"float\"");
}

/// Whether scores are asked for as the head gives them: by vLLM's names for what makes probabilities of them.
inline bool without_activation(const OrderedJson& body) {
  bool without = false;
  for (const char* name : {"use_activation", "activation", "softmax"})
    without = !flag_field(body, name, true) || without;
  return without;
}

/// The texts in "input", each by itself, or the conversation in "messages".
inline std::vector<RecordToScore> records_of_input(const OrderedJson& body) {
  refuse_misspelt(
      body, {"input", "messages", "tools", "chat_template_kwargs", "use_activation", "activation", "softmax",
             "encoding_format", "add_generation_prompt", "continue_final_message", "chat_template"});
  refuse_other_forms(body);
  std::vector<RecordToScore> records;
  if (find_field(body, "messages") != nullptr) {
    if (const OrderedJson* input = find_field(body, "input"))
      refuse_field("input", *input, "none beside 'messages'");
    OrderedJson record;
    for (const char* name : {"messages", "tools", "chat_template_kwargs"}) {
      if (const OrderedJson* found = find_field(body, name)) record[name] = *found;
    }
    records.push_back(parse_record_to_score(record, request_position()));
    return records;
  }
  for (std::string& text : texts_field(body, {"input"}))
    records.push_back(
        completion_of(request_position("input", records.size()), std::nullopt, std::move(text)));
  return records;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
