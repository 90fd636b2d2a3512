// The fields of one record in JSON, with errors that name file, line and field.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
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
[[noreturn]] void throw_found(const SourcePosition& at, std::string_view where, std::string_view found,
                              std::string_view expected);

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

/// The field that is probably the prompt of an object that has none by that name; empty: none looks like it.
std::string prompt_by_another_name(const OrderedJson& object);

/// The names of an object's fields, for "found the fields …": the first and how many more there are.
template <class Tree>
std::string names_of_fields(const Tree& object) {
  if (object.empty()) return "of an empty object";
  constexpr Index shown = 20;
  std::string names;
  Index count = 0;
  for (const auto& [name, value] : object.items()) {
    if (count++ < shown) names += concat(names.empty() ? "" : ", ", name);
  }
  return count > shown ? concat(names, " and ", count - shown, " more") : names;
}

/// The field; null where there is none. A field that holds null counts as absent, as tables exported with a column for
/// every field write it.
inline const OrderedJson* find_field(const OrderedJson& object, std::string_view name) {
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}
inline bool has_any_field(const OrderedJson& object, std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view name) { return find_field(object, name) != nullptr; });
}

/// The fields of one record, with errors that name them.
class Fields {
 public:
  /// `kind` is the kind of record that is read; nothing for a completion to be scored.
  Fields(const OrderedJson& object, const SourcePosition& at, std::optional<RecordKind> kind = std::nullopt)
      : object_(object), at_(at), kind_(kind) {}

  const OrderedJson* find(std::string_view name) const { return find_field(object_, name); }
  bool has(std::string_view name) const { return find(name) != nullptr; }

  [[noreturn]] void fail(std::string_view name, std::string_view found, std::string_view expected) const;

  /// The field, which must be there. The error of a record of another kind names both kinds.
  const OrderedJson& need(std::string_view name, std::string_view expected) const;

  /// The field, which must be a list of at least one of `items`.
  const OrderedJson& need_list(std::string_view name, std::string_view items) const;

  /// A finite number in [low, high], if the field is there.
  std::optional<double> number(std::string_view name, double low, double high,
                               std::string_view expected) const;

  double number_at(const OrderedJson& value, std::string_view where, double low, double high,
                   std::string_view expected) const;

  /// The field `weight`.
  std::optional<double> weight() const {
    return number("weight", 0, std::numeric_limits<double>::max(), "a number of 0 or more");
  }

  /// A string or a list of messages. An empty string where `may_be_empty` says so; no list may be empty.
  TextOrMessages text(std::string_view name, bool may_be_empty) const {
    return text_at(need(name, "a string or a list of messages"), name, may_be_empty);
  }

  TextOrMessages text_at(const OrderedJson& value, std::string_view name, bool may_be_empty) const;

  /// `tools` and `chat_template_kwargs`. Tables that hold tools as text hold JSON.
  TemplateInputs template_inputs() const;

  std::string string_at(const OrderedJson& value, std::string_view name, bool may_be_empty) const;

  /// A list of token ids.
  std::vector<Token> ids(std::string_view name, bool may_be_empty) const {
    return ids_at(need(name, "a list of token ids"), name, may_be_empty);
  }

  std::vector<Token> ids_at(const OrderedJson& value, std::string_view name, bool may_be_empty) const;

  /// A list of numbers that fit a float.
  std::vector<float> features(std::string_view name) const {
    return features_at(need(name, "a list of numbers"), name);
  }

  std::vector<float> features_at(const OrderedJson& value, std::string_view name) const;

  /// A list of finite numbers.
  std::vector<double> numbers(std::string_view name) const {
    return numbers_at(need(name, "a list of numbers"), name);
  }

  std::vector<double> numbers_at(const OrderedJson& value, std::string_view name) const;

 private:
  Message message_at(const OrderedJson& item, const std::string& where) const;

  /// For the error about a missing field: what it may be called here, and how that is read.
  std::string other_name(std::string_view name) const;

  const OrderedJson& object_;
  const SourcePosition& at_;
  std::optional<RecordKind> kind_;
};

}  // namespace detail

/// The kind of record that an object has the fields of; nothing when it is none of them.
std::optional<RecordKind> kind_of(const OrderedJson& object);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/records/record_fields_body.hpp"
#endif
