// The bodies of record_fields.hpp.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

[[noreturn]] MERIT_INLINE void throw_found(const SourcePosition& at, std::string_view where,
                                           std::string_view found, std::string_view expected) {
  const bool said = where == "record" && at.record != 0;  // by the place
  throw DataError(
      concat(at.text(), said ? "" : ": ", said ? "" : where, ": found ", found, ", expected ", expected));
}

MERIT_INLINE std::string prompt_by_another_name(const OrderedJson& object) {
  for (const std::string_view name :
       {"question", "instruction", "problem", "query", "context", "input", "history", "task", "user",
        "user_prompt", "input_text", "Prompt", "PROMPT", "Question", "Instruction", "prompts"}) {
    const auto it = object.find(name);
    if (it != object.end() && (it->is_string() || it->is_array()) && !it->empty()) return std::string(name);
  }
  return {};
}

inline std::optional<FoundKind> find_kind(const OrderedJson& object) {
  const auto there = [&](std::string_view name) -> std::string {
    for (const std::string_view suffix : {"", "_ids", "_features"}) {
      const auto it = object.find(concat(name, suffix));
      if (it != object.end() && !it->is_null()) return concat(name, suffix);
    }
    return {};
  };
  for (const KindFields& fields : kind_fields) {
    std::string first = there(fields.completion);
    std::string second = there(fields.said_of_it);
    if (!first.empty() && !second.empty()) return FoundKind{fields.kind, std::move(first), std::move(second)};
  }
  return std::nullopt;
}

[[noreturn]] MERIT_INLINE void Fields::fail(std::string_view name, std::string_view found,
                                            std::string_view expected) const {
  throw_found(at_, concat("field '", name, "'"), found, expected);
}

MERIT_INLINE const OrderedJson& Fields::need(std::string_view name, std::string_view expected) const {
  if (const OrderedJson* value = find(name)) return *value;
  if (object_.contains(name)) fail(name, "null", expected);
  const std::optional<FoundKind> other = find_kind(object_);
  if (!other || other->kind == kind_) fail(name, concat("no such field", other_name(name)), expected);
  fail(name,
       concat("no such field but the fields ", other->first, " and ", other->second, " of a record of kind ",
              name_of(other->kind)),
       concat(expected, kind_ ? concat(" in a record of kind ", name_of(*kind_)) : ""));
}

MERIT_INLINE std::string Fields::other_name(std::string_view name) const {
  if (name != "prompt") return {};
  const std::string other = prompt_by_another_name(object_);
  if (other.empty()) return {};
  return concat(" but '", other, "' (--rename ", other, "=prompt reads it)");
}

MERIT_INLINE const OrderedJson& Fields::need_list(std::string_view name, std::string_view items) const {
  const OrderedJson& value = need(name, concat("a list of ", items));
  if (!value.is_array()) fail(name, describe(value), concat("a list of ", items));
  return value;
}

MERIT_INLINE std::optional<double> Fields::number(std::string_view name, double low, double high,
                                                  std::string_view expected) const {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  return number_at(*value, name, low, high, expected);
}

MERIT_INLINE double Fields::number_at(const OrderedJson& value, std::string_view where, double low,
                                      double high, std::string_view expected) const {
  if (!value.is_number()) fail(where, describe(value), expected);
  const double number = value.get<double>();
  constexpr double largest = 1e15;  // what is computed with in 32 bits must have room for squares and sums
  if (high > largest && !(std::abs(number) <= largest)) {
    fail(where, describe(value), "a number of at most 1e15 in size");
  }
  if (!(number >= low && number <= high)) fail(where, describe(value), expected);
  return number;
}

MERIT_INLINE TextOrMessages Fields::text_at(const OrderedJson& value, std::string_view name,
                                            bool may_be_empty) const {
  if (value.is_string()) return string_at(value, name, may_be_empty);
  if (!value.is_array()) fail(name, describe(value), "a string or a list of messages");
  if (value.empty()) fail(name, "an empty list of messages", "at least one message");
  std::vector<Message> messages;
  messages.reserve(value.size());
  for (const OrderedJson& item : value) {
    const std::string where = concat(name, '[', messages.size(), ']');
    messages.push_back(message_at(item, where));
  }
  return messages;
}

MERIT_INLINE TemplateInputs Fields::template_inputs() const {
  TemplateInputs inputs;
  if (const OrderedJson* tools = find("tools")) {
    inputs.tools = tools->is_string() && !tools->get_ref<const std::string&>().empty()
                       ? parse_value(tools->get_ref<const std::string&>(), at_.text() + ": field 'tools'")
                       : value_of(*tools);
    if (inputs.tools.list() == nullptr) fail("tools", describe(*tools), "a list of tools");
  }
  if (const OrderedJson* variables = find("chat_template_kwargs")) {
    if (!variables->is_object()) fail("chat_template_kwargs", describe(*variables), "an object");
    inputs.variables = value_of(*variables);
  }
  return inputs;
}

MERIT_INLINE std::string Fields::string_at(const OrderedJson& value, std::string_view name,
                                           bool may_be_empty) const {
  if (!value.is_string()) fail(name, describe(value), "a string");
  if (value.get_ref<const std::string&>().empty() && !may_be_empty) {
    fail(name, "an empty string", "at least one character");
  }
  return value.get<std::string>();
}

MERIT_INLINE std::vector<Token> Fields::ids_at(const OrderedJson& value, std::string_view name,
                                               bool may_be_empty) const {
  if (!value.is_array()) fail(name, describe(value), "a list of token ids");
  if (value.empty() && !may_be_empty) fail(name, "an empty list", "at least one token id");
  std::vector<Token> ids;
  ids.reserve(value.size());
  for (const OrderedJson& item : value) {
    const std::optional<std::int64_t> id = whole_number(item);
    if (!id || *id < 0 || *id > std::int64_t{std::numeric_limits<Token>::max()}) {
      fail(concat(name, '[', ids.size(), ']'), describe(item), "an integer of 0 to 4294967295");
    }
    ids.push_back(static_cast<Token>(*id));
  }
  return ids;
}

MERIT_INLINE std::vector<float> Fields::features_at(const OrderedJson& value, std::string_view name) const {
  if (!value.is_array()) fail(name, describe(value), "a list of numbers");
  if (value.empty()) fail(name, "an empty list", "at least one number");
  std::vector<float> features;
  features.reserve(value.size());
  for (const OrderedJson& item : value) {
    const bool fits =
        item.is_number() && std::abs(item.get<double>()) <= double{std::numeric_limits<float>::max()};
    if (!fits) {
      fail(concat(name, '[', features.size(), ']'), describe(item), "a number that fits 32-bit floats");
    }
    features.push_back(static_cast<float>(item.get<double>()));
  }
  return features;
}

MERIT_INLINE std::vector<double> Fields::numbers_at(const OrderedJson& value, std::string_view name) const {
  constexpr double max = std::numeric_limits<double>::max();
  if (!value.is_array()) fail(name, describe(value), "a list of numbers");
  if (value.empty()) fail(name, "an empty list", "at least one number");
  std::vector<double> numbers;
  numbers.reserve(value.size());
  for (const OrderedJson& item : value) {
    numbers.push_back(number_at(item, concat(name, '[', numbers.size(), ']'), -max, max, "a number"));
  }
  return numbers;
}

MERIT_INLINE Message Fields::message_at(const OrderedJson& item, const std::string& where) const {
  if (!item.is_object()) fail(where, describe(item), "a message with role and content");
  Message message;
  const auto role = item.find("role");
  if (role == item.end()) fail(where + ".role", "no such field", "a string");
  if (!role->is_string()) fail(where + ".role", describe(*role), "a string");
  message.role = role->get<std::string>();
  if (message.role.empty()) fail(where + ".role", "an empty string", "the name of a role");
  const auto content = item.find("content");
  const bool text = content != item.end() && content->is_string();
  if (text) {
    message.content = content->get<std::string>();
  } else if (content == item.end() && item.size() == 1) {
    fail(where + ".content", "no such field", "a string");
  } else if (content != item.end() && !content->is_null() && !content->is_array()) {
    fail(where + ".content", describe(*content), "a string, a list of parts, or null");
  }
  if (!text || item.size() > 2) message.whole = value_of(item);
  if (content != item.end() && content->is_array()) {
    message.content = text_of_parts(*message.whole.find("content")).value_or("");
  }
  return message;
}

}  // namespace detail

MERIT_INLINE std::optional<RecordKind> kind_of(const OrderedJson& object) {
  if (!object.is_object()) return std::nullopt;
  const auto found = detail::find_kind(object);
  return found ? std::optional(found->kind) : std::nullopt;
}

}  // namespace MERIT_ABI
}  // namespace merit
