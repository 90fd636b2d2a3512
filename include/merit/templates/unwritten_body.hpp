// The bodies of unwritten.hpp.
#pragma once

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
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
#include "merit/templates/string_methods.hpp"
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

/// AValue: a Value, constant or not.
template <class AValue>
AValue& value_at(AValue& message, const Said& said) {
  AValue* value = &message;
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

/// The conversation as it was when the message `last` was its last.
inline std::vector<Message> messages_until(std::span<const Message> messages, Index last) {
  return {messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(last + 1)};
}

inline bool is_reasoning(std::span<const Message> messages, const Said& said) {
  const std::string& field = (*messages[said.message].whole.fields())[said.path.front()].name;
  return std::find(std::begin(reasoning_fields), std::end(reasoning_fields), field) !=
         std::end(reasoning_fields);
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
  // All marked at once: one rendering tells of most templates that they write everything. Flags and numbers stay
  // what they are, as templates do this or that by them.
  std::vector<Message> marked = given;
  for (Index k = 0; k < all.size(); ++k) {
    Value& value = value_at(marked[all[k].message].whole, all[k]);
    if (value.string() != nullptr) value = *value.string() + mark_of(k);
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
    if (!printed && is_reasoning(given, said) && said.message + 1 < given.size()) {
      std::vector<Message> until = messages_until(given, said.message);
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

// ---- Contents ---

/// A stretch of a text within a content, without white space around it.
struct ContentPiece {
  Said said;
  Index begin = 0, size = 0;
  bool reasoning = false;  // </think> stands behind it

  std::string_view in(const std::vector<Message>& messages) const {
    return std::string_view(*value_at(messages[said.message].whole, said).string()).substr(begin, size);
  }
};

/// The texts of contents, cut where reasoning begins and ends, which templates take apart there.
inline std::vector<ContentPiece> content_pieces(const std::vector<Message>& messages) {
  std::vector<Said> all;
  for (Index i = 0; i < messages.size(); ++i) {
    const Value::Fields* fields = messages[i].whole.fields();
    for (Index k = 0; fields != nullptr && k < fields->size(); ++k) {
      if ((*fields)[k].name == "content")
        add_said((*fields)[k].value, {i, {k}, concat("messages[", i, "].content")}, 1, "", all);
    }
  }
  constexpr std::string_view opened = "<think>", closed = "</think>";
  std::vector<ContentPiece> pieces;
  for (const Said& said : all) {
    // The content itself, a part that is a string, or the text of a part.
    const std::string* text = value_at(messages[said.message].whole, said).string();
    if (text == nullptr || said.path.size() > 3 || (said.path.size() == 3 && !said.where.ends_with(".text")))
      continue;
    for (Index begin = 0; begin < text->size();) {
      const Index open = std::min(text->find(opened, begin), text->size());
      const Index close = std::min(text->find(closed, begin), text->size());
      const Index end = std::min(open, close);
      const std::string_view whole = std::string_view(*text).substr(begin, end - begin);
      const std::string_view piece = jinja::stripped(whole, nullptr, true, true);
      if (!piece.empty()) {
        pieces.push_back({said, static_cast<Index>(piece.data() - text->data()), piece.size(), close < open});
      }
      begin = end + (close < open ? closed.size() : opened.size());
    }
  }
  return pieces;
}

/// Whether another letter at either end and in the middle of the piece makes another text, each by itself.
inline bool each_end_counts(const std::vector<Message>& messages, const ContentPiece& piece,
                            const std::string& text, const Rendering& render) {
  for (Index place : {Index{0}, piece.size / 2, piece.size - 1}) {
    std::vector<Message> changed = messages;
    Value& value = value_at(changed[piece.said.message].whole, piece.said);
    std::string content = *value.string();
    const auto inside = [&](Index at) { return (static_cast<unsigned char>(content[at]) & 0xC0u) == 0x80u; };
    Index begin = piece.begin + place;
    while (begin > piece.begin && inside(begin)) --begin;
    Index end = begin + 1;
    while (end < content.size() && inside(end)) ++end;
    content.replace(begin, end - begin, content[begin] == 'x' ? "y" : "x");
    value = std::move(content);
    try {
      if (render(changed) == text) return false;
    } catch (const DataError&) {  // that it is looked at does not say that it is written
      return false;
    }
  }
  return true;
}

MERIT_INLINE std::optional<Unwritten> find_unwritten_content(std::span<const Message> messages,
                                                             const std::string& text,
                                                             const Rendering& render) {
  std::vector<Message> given;
  for (const Message& message : messages) given.push_back(with_fields(message));
  std::vector<ContentPiece> pieces = content_pieces(given);
  // The longest first, and each in a place of its own: a short one may stand within another, too.
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const auto& a, const auto& b) { return a.size > b.size; });
  std::string rest = text;
  std::set<std::string_view> found;
  for (const ContentPiece& piece : pieces) {
    const std::string_view said = piece.in(given);
    std::string spelled = text_of(Value(said));
    spelled = spelled.substr(1, spelled.size() - 2);
    Index place = rest.find(said);
    Index size = said.size();
    if (place == rest.npos) {
      place = rest.find(spelled);
      size = spelled.size();
    }
    if (place != rest.npos) {
      std::fill_n(rest.begin() + static_cast<std::ptrdiff_t>(place), size, '\xFF');  // in no text
      found.insert(said);
      continue;
    }
    // A template that wrote the same elsewhere as it stands has no other way of writing it.
    if (!found.contains(said) && each_end_counts(given, piece, text, render)) continue;
    if (piece.reasoning && piece.said.message + 1 < given.size()) {
      try {
        if (render(messages_until(given, piece.said.message)).find(said) != std::string::npos) continue;
      } catch (const DataError&) {  // then it is not written there either
      }
    }
    return Unwritten{piece.said.message, piece.said.where, ""};
  }
  return std::nullopt;
}

// ---- Kinds ---

/// Whether a template that asks takes the value for true.
inline bool is_true(const Value& value) {
  if (value.boolean() != nullptr) return *value.boolean();
  if (value.integer() != nullptr) return *value.integer() != 0;
  return value.number() == nullptr || *value.number() != 0;
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
    kind += value.string() != nullptr ? 's' : is_true(value) ? 'v' : '0';
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
