// The fields of one record in JSON, with errors that name file, line and field.
#pragma once

#include <array>
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

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// Throws "file:line: WHERE: found FOUND, expected EXPECTED".
[[noreturn]] inline void throw_found(const SourcePosition& at, std::string_view where, std::string_view found,
                                     std::string_view expected) {
  throw DataError(concat(at.text(), ": ", where, ": found ", found, ", expected ", expected));
}

/// Two fields that no other kind of record has together. The first may be there as ids or features.
struct KindFields {
  RecordKind kind;
  std::string_view completion;
  std::string_view said_of_it;
};

inline constexpr std::array<KindFields, 8> kind_fields{{{RecordKind::preference, "chosen", "rejected"},
                                                        {RecordKind::ranking, "completions", "ranks"},
                                                        {RecordKind::ratings, "completions", "scores"},
                                                        {RecordKind::steps, "completions", "labels"},
                                                        {RecordKind::outcome, "completion", "label"},
                                                        {RecordKind::rollout, "completion", "rewards"},
                                                        {RecordKind::rollout, "completion", "reward"},
                                                        {RecordKind::judge, "response_a", "response_b"}}};

/// The kind that an object has the fields of, and the names of two of them.
struct FoundKind {
  RecordKind kind;
  std::string first;
  std::string second;
};

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

/// The fields of one record, with errors that name them. A field that is null counts as absent, as tables
/// exported with a column for every field write it.
class Fields {
 public:
  /// `kind` is the kind of record that is read; nothing for a completion to be scored.
  Fields(const OrderedJson& object, const SourcePosition& at, std::optional<RecordKind> kind = std::nullopt)
      : object_(object), at_(at), kind_(kind) {}

  const OrderedJson* find(std::string_view name) const {
    const auto it = object_.find(name);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  bool has(std::string_view name) const { return find(name) != nullptr; }

  [[noreturn]] void fail(std::string_view name, std::string_view found, std::string_view expected) const {
    throw_found(at_, concat("field '", name, "'"), found, expected);
  }

  /// The field, which must be there. The error of a record of another kind names both kinds.
  const OrderedJson& need(std::string_view name, std::string_view expected) const {
    if (const OrderedJson* value = find(name)) return *value;
    if (object_.contains(name)) fail(name, "null", expected);
    const std::optional<FoundKind> other = find_kind(object_);
    if (!other || other->kind == kind_) fail(name, "no such field", expected);
    fail(name,
         concat("no such field but the fields ", other->first, " and ", other->second,
                " of a record of kind ", name_of(other->kind)),
         concat(expected, kind_ ? concat(" in a record of kind ", name_of(*kind_)) : ""));
  }

  /// The field, which must be a list of at least one of `items`.
  const OrderedJson& need_list(std::string_view name, std::string_view items) const {
    const OrderedJson& value = need(name, concat("a list of ", items));
    if (!value.is_array()) fail(name, describe(value), concat("a list of ", items));
    return value;
  }

  /// A finite number in [low, high], if the field is there.
  std::optional<double> number(std::string_view name, double low, double high,
                               std::string_view expected) const {
    const OrderedJson* value = find(name);
    if (value == nullptr) return std::nullopt;
    return number_at(*value, name, low, high, expected);
  }

  double number_at(const OrderedJson& value, std::string_view where, double low, double high,
                   std::string_view expected) const {
    if (!value.is_number()) fail(where, describe(value), expected);
    const double number = value.get<double>();
    if (!(number >= low && number <= high)) fail(where, describe(value), expected);
    return number;
  }

  /// The field `weight`.
  std::optional<double> weight() const {
    return number("weight", 0, std::numeric_limits<double>::max(), "a number of 0 or more");
  }

  /// A string or a list of messages. An empty string where `may_be_empty` says so; no list may be empty.
  TextOrMessages text(std::string_view name, bool may_be_empty) const {
    return text_at(need(name, "a string or a list of messages"), name, may_be_empty);
  }

  TextOrMessages text_at(const OrderedJson& value, std::string_view name, bool may_be_empty) const {
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

  /// `tools` and `chat_template_kwargs`. Tables that hold tools as text hold JSON.
  TemplateInputs template_inputs() const {
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

  std::string string_at(const OrderedJson& value, std::string_view name, bool may_be_empty) const {
    if (!value.is_string()) fail(name, describe(value), "a string");
    if (value.get_ref<const std::string&>().empty() && !may_be_empty) {
      fail(name, "an empty string", "at least one character");
    }
    return value.get<std::string>();
  }

  /// A list of token ids.
  std::vector<Token> ids(std::string_view name, bool may_be_empty) const {
    return ids_at(need(name, "a list of token ids"), name, may_be_empty);
  }

  std::vector<Token> ids_at(const OrderedJson& value, std::string_view name, bool may_be_empty) const {
    if (!value.is_array()) fail(name, describe(value), "a list of token ids");
    if (value.empty() && !may_be_empty) fail(name, "an empty list", "at least one token id");
    std::vector<Token> ids;
    ids.reserve(value.size());
    for (const OrderedJson& item : value) {
      const bool fits = item.is_number_integer() &&  // a negative one becomes too large
                        item.get<std::uint64_t>() <= std::numeric_limits<Token>::max();
      if (!fits) {
        fail(concat(name, '[', ids.size(), ']'), describe(item), "an integer of 0 to 4294967295");
      }
      ids.push_back(item.get<Token>());
    }
    return ids;
  }

  /// A list of numbers that fit a float.
  std::vector<float> features(std::string_view name) const {
    return features_at(need(name, "a list of numbers"), name);
  }

  std::vector<float> features_at(const OrderedJson& value, std::string_view name) const {
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

  /// A list of finite numbers.
  std::vector<double> numbers(std::string_view name) const {
    return numbers_at(need(name, "a list of numbers"), name);
  }

  std::vector<double> numbers_at(const OrderedJson& value, std::string_view name) const {
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

 private:
  Message message_at(const OrderedJson& item, const std::string& where) const {
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

  const OrderedJson& object_;
  const SourcePosition& at_;
  std::optional<RecordKind> kind_;
};

}  // namespace detail

/// The kind of record that an object has the fields of; nothing when it is none of them.
inline std::optional<RecordKind> kind_of(const OrderedJson& object) {
  if (!object.is_object()) return std::nullopt;
  const auto found = detail::find_kind(object);
  return found ? std::optional(found->kind) : std::nullopt;
}

}  // namespace MERIT_ABI
}  // namespace merit
