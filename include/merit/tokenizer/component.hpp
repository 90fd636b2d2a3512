// What the parts of a tokenizer.json have in common: a type, fields, and sequences of parts.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// One object of a tokenizer.json and the path to it, for errors.
class Component {
 public:
  Component(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) throw DataError(concat(where_, ": expected an object, found ", describe(json)));
  }

  const std::string& where() const { return where_; }
  const Json& json() const { return json_; }
  bool has(std::string_view name) const {
    const auto entry = json_.find(name);
    return entry != json_.end() && !entry->is_null();
  }
  std::string type() const { return require<std::string>(json_, "type", where_); }
  template <class T>
  T get(std::string_view name) const {
    return require<T>(json_, name, where_);
  }
  template <class T>
  T get(std::string_view name, T otherwise) const {
    return optional<T>(json_, name, where_).value_or(std::move(otherwise));
  }

  /// A field that holds exactly one character.
  char32_t character(std::string_view name) const {
    const std::string text = get<std::string>(name);
    Index at = 0;
    const char32_t code = text.empty() ? 0 : next_character(text, at);
    if (text.empty() || at != text.size()) {
      throw DataError(
          concat(where_, ": field ", quote(name), ": found ", quote(text), ", expected one character"));
    }
    return code;
  }

  /// The field `name`, not copied.
  const Json& field(std::string_view name) const {
    const auto entry = json_.find(name);
    if (entry == json_.end()) throw DataError(concat(where_, ": the field ", quote(name), " is missing"));
    return *entry;
  }
  const Json& array(std::string_view name) const {
    const Json& value = field(name);
    if (!value.is_array()) throw_field(where_, name, "an array", value);
    return value;
  }

  [[noreturn]] void refuse_type(std::string_view kind, std::string_view known) const {
    throw DataError(concat(where_, ": found the ", kind, " ", quote(type()), ", expected one of: ", known));
  }

 private:
  const Json& json_;
  std::string where_;
};

/// Calls `each(component)` for a part, or for every part of a Sequence (whose parts are in the field `list`),
/// also of one in another.
template <class Each>
void each_component(const Component& component, std::string_view list, const Each& each, int depth = 0) {
  if (component.type() != "Sequence") return each(component);
  if (depth == 16)
    throw DataError(concat(component.where(), ": found sequences in each other deeper than 16"));
  const Json& parts = component.array(list);
  for (Index i = 0; i < parts.size(); ++i) {
    each_component(Component(parts[i], concat(component.where(), ".", list, "[", i, "]")), list, each,
                   depth + 1);
  }
}

/// The pattern of a Split or Replace: {"String": text} or {"Regex": text}; bare text is a string.
struct Pattern {
  std::string text;
  bool literal = true;

  static Pattern read(const Component& component) {
    const Json pattern = component.get<Json>("pattern");
    if (pattern.is_string()) return {pattern.get<std::string>(), true};
    const std::string where = component.where() + ".pattern";
    const Component fields(pattern, where);
    if (fields.has("String")) return {fields.get<std::string>("String"), true};
    if (fields.has("Regex")) return {fields.get<std::string>("Regex"), false};
    throw DataError(
        concat(where, ": found ", describe(pattern), ", expected {\"String\": …} or {\"Regex\": …}"));
  }
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
