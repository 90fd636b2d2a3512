// The bodies of unwritten.hpp.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/concat.hpp"
#include "merit/core/error.hpp"
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/templates/message.hpp"
#include "merit/templates/unwritten.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

MERIT_INLINE std::string mark_of(Index number) {
  return concat("merit-mark-", number, "-end");
}

/// A string, a number, or true or false inside of a message.
struct Said {
  Index message = 0;
  std::vector<Index> path;  // the places of the items and fields on the way to it
  std::string where;
};

inline Value& value_at(Value& message, const Said& said) {
  Value* value = &message;
  for (const Index place : said.path) {
    value = value->list() != nullptr ? &(*value->list())[place] : &(*value->fields())[place].value;
  }
  return *value;
}

/// Whether a field says something about the message and not in it. `depth` is 0 for the message's own fields, 1
/// for those of its parts and calls; deeper ones may be what a tool is called with.
inline bool says_about(const ValueField& field, Index depth, std::string_view role) {
  const auto is = [&](std::string_view text) {
    return field.value.string() != nullptr && *field.value.string() == text;
  };
  if (depth == 0) {
    return field.name == "role" || field.name == "id" || field.name == "tool_call_id" ||
           (field.name == "name" && (role == "tool" || role == "function"));
  }
  return depth == 1 && (field.name == "id" || (field.name == "type" && (is("text") || is("function"))));
}

/// Appends all that `value` says, which stands at `at`.
inline void add_said(const Value& value, const Said& at, Index depth, std::string_view role,
                     std::vector<Said>& all) {
  if (says_nothing(value)) return;
  const auto inside = [&](Index place, const std::string& name) {
    Said next = at;
    next.path.push_back(place);
    next.where += name;
    return next;
  };
  if (const Value::List* list = value.list()) {
    for (Index i = 0; i < list->size(); ++i)
      add_said((*list)[i], inside(i, concat('[', i, ']')), depth, role, all);
  } else if (const Value::Fields* fields = value.fields()) {
    for (Index i = 0; i < fields->size(); ++i) {
      const ValueField& field = (*fields)[i];
      if (!says_about(field, depth, role))
        add_said(field.value, inside(i, '.' + field.name), depth + 1, role, all);
    }
  } else {
    all.push_back(at);
  }
}

/// The message with its fields apart, and with a reasoning that it gives under two names once.
inline Message with_fields(const Message& message) {
  if (message.whole.is_none()) {
    return {message.role, message.content,
            Value::object({{"role", message.role}, {"content", message.content}})};
  }
  Message result = message;
  Value::Fields* fields = result.whole.fields();
  if (fields == nullptr) return result;
  std::vector<Value> reasons;
  for (const std::string_view name : reasoning_fields) {
    const Value* reason = result.whole.find(name);
    if (reason == nullptr) continue;
    if (std::find(reasons.begin(), reasons.end(), *reason) == reasons.end()) {
      reasons.push_back(*reason);
    } else {
      std::erase_if(*fields, [&](const ValueField& field) { return field.name == name; });
    }
  }
  return result;
}

/// Whether the rendered text is another one where something else is said. An error is a dependence, too.
inline bool depends_on(std::vector<Message> messages, const Said& said, const Rendering& render,
                       const std::string& text) {
  Value& value = value_at(messages[said.message].whole, said);
  value = value.boolean() != nullptr ? Value(!*value.boolean()) : Value(mark_of(0));
  try {
    return render(messages) != text;
  } catch (const DataError&) {
    return true;
  }
}

/// The first part that is no text in the content of the message `i`.
inline std::optional<Unwritten> part_beyond_text(std::span<const Message> messages, Index i) {
  const Value* content = messages[i].whole.find("content");
  const auto beyond = content != nullptr ? beyond_text(*content) : std::nullopt;
  if (!beyond) return std::nullopt;
  return Unwritten{i, concat("messages[", i, "].content", *beyond), ""};
}

/// The text of the messages, or in `failed` what a template that fails cannot have a place for.
inline std::string rendered_or(std::span<const Message> messages, const Rendering& render,
                               std::optional<Unwritten>& failed) {
  try {
    return render(messages);
  } catch (const DataError& error) {
    for (Index i = 0; i < messages.size() && !failed; ++i) failed = part_beyond_text(messages, i);
    if (!failed) throw;
    failed->why = error.what();
    return "";
  }
}

MERIT_INLINE std::optional<Unwritten> find_unwritten(std::span<const Message> messages,
                                                     const Rendering& render) {
  std::vector<Message> given;
  for (const Message& message : messages) given.push_back(with_fields(message));
  std::optional<Unwritten> failed;
  const std::string text = rendered_or(given, render, failed);
  if (failed) return failed;
  std::vector<Said> all;
  for (Index i = 0; i < given.size(); ++i) {
    add_said(given[i].whole, {i, {}, concat("messages[", i, ']')}, 0, given[i].role, all);
  }
  // All marked at once: one rendering tells of most templates that they write everything.
  std::vector<Message> marked = given;
  for (Index k = 0; k < all.size(); ++k) {
    Value& value = value_at(marked[all[k].message].whole, all[k]);
    value = (value.string() != nullptr ? *value.string() : "") + mark_of(k);
  }
  std::string with_marks;
  try {
    with_marks = render(marked);
  } catch (const DataError&) {  // a template that looks into what is marked; then each by itself
  }
  for (Index k = 0; k < all.size(); ++k) {
    const Said& said = all[k];
    const bool in_part = said.where.find("].content[") != std::string::npos;
    const std::string mark = mark_of(k);
    const bool found = with_marks.find(mark) != std::string::npos;
    // A list of parts that is printed as Python prints it has not been looked into.
    const bool printed = in_part && with_marks.find(mark + '\'') != std::string::npos;
    if (found && !printed) continue;
    if (!printed && depends_on(given, said, render, text)) continue;
    if (!printed && said.message + 1 < given.size()) {
      const auto end = given.begin() + static_cast<std::ptrdiff_t>(said.message + 1);
      std::vector<Message> until(given.begin(), end);
      try {
        const std::string last = render(until);
        if (depends_on(std::move(until), said, render, last)) continue;
      } catch (const DataError&) {  // then it is not written there either
      }
    }
    // Where parts are not looked into, the one that is no text is why.
    const auto part = in_part ? part_beyond_text(given, said.message) : std::nullopt;
    return part ? *part : Unwritten{said.message, said.where, ""};
  }
  return std::nullopt;
}

inline void add_kind(const Value& value, std::string& kind) {
  if (says_nothing(value)) {
    kind += '-';
  } else if (const Value::List* list = value.list()) {
    kind += '[';
    for (const Value& item : *list) add_kind(item, kind);
    kind += ']';
  } else if (const Value::Fields* fields = value.fields()) {
    kind += '{';
    for (const ValueField& field : *fields) {
      kind += field.name + '\0';
      // Templates do this or that by these.
      const bool tells = (field.name == "role" || field.name == "type") && field.value.string() != nullptr;
      if (tells) {
        kind += *field.value.string() + '\0';
      } else {
        add_kind(field.value, kind);
      }
    }
    kind += '}';
  } else {
    kind += value.string() != nullptr ? 's' : 'v';
  }
}

MERIT_INLINE std::string kind_of_conversation(std::span<const Message> messages) {
  std::string kind;
  for (const Message& message : messages) {
    kind += message.role + '\0';
    if (message.whole.is_none()) {
      kind += message.content.empty() ? '-' : 's';
    } else {
      add_kind(message.whole, kind);
    }
  }
  return kind;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
