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

inline SourcePosition request_position(Index entry) {
  return {.file = "the request", .line = entry + 1};
}

inline RecordToScore completion_of(std::optional<std::string> prompt, std::string completion) {
  CompletionRecord record;
  record.source = request_position(0);
  if (prompt) record.prompt = std::move(*prompt);
  record.completion = std::move(completion);
  return record;
}

inline RecordToScore completions_of(std::string prompt, const std::vector<std::string>& completions) {
  CompletionsRecord record;
  record.source = request_position(0);
  record.prompt = std::move(prompt);
  record.completions.assign(completions.begin(), completions.end());
  return record;
}

/// A record as merit_score reads it.
inline RecordToScore record_of_request(const OrderedJson& object, Index entry) {
  const SourcePosition at = request_position(entry);
  if (object.is_object()) return parse_record_to_score(object, at);
  throw DataError(concat(at.text(), ": found ", describe(object), ", expected a record, which is an object"));
}

/// The texts in "input", each by itself, or the conversation in "messages".
inline std::vector<RecordToScore> records_of_input(const OrderedJson& body) {
  std::vector<RecordToScore> records;
  if (find_field(body, "messages") != nullptr) {
    records.push_back(record_of_request(body, 0));
    return records;
  }
  for (std::string& text : texts_field(body, {"input"}))
    records.push_back(completion_of(std::nullopt, std::move(text)));
  return records;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
