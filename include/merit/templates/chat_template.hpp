// A chat template: the Jinja text by which a published model writes a conversation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/io/utf8.hpp"
#include "merit/jinja/parser.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/templates/interpreter.hpp"
#include "merit/templates/message.hpp"
#include "merit/templates/unwritten.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The value of a field; nothing where there is none or it is None.
inline const Value* given_field(const Value& fields, std::string_view name) {
  const Value* value = fields.find(name);
  return value == nullptr || value->is_none() ? nullptr : value;
}

inline void set_field(Value& fields, std::string_view name, const Value& value) {
  for (ValueField& field : *fields.fields()) {
    if (field.name != name) continue;
    field.value = value;
    return;
  }
  fields.fields()->push_back({std::string(name), value});
}

/// A message as transformers gives it to a template: without fields that are None, and with its reasoning
/// under the names that templates read.
inline Value template_message(const Message& message) {
  if (message.whole.is_none()) return Value::object({{"role", message.role}, {"content", message.content}});
  if (message.whole.fields() == nullptr) throw DataError("a message is no object of fields");
  Value::Fields fields;
  for (const ValueField& field : *message.whole.fields()) {
    if (!field.value.is_none()) fields.push_back(field);
  }
  Value result(std::move(fields));
  for (const std::string_view name : reasoning_fields) {
    const Value* found = given_field(result, name);
    if (found == nullptr) continue;
    const Value reasoning = *found;
    // The field `thinking` comes first, as there, for templates that write out whole messages.
    const Value* thinking = result.find("thinking");
    Value::Fields ordered = {{"thinking", thinking == nullptr ? reasoning : *thinking}};
    for (const ValueField& field : *result.fields()) {
      if (field.name != "thinking") ordered.push_back(field);
    }
    result = Value(std::move(ordered));
    set_field(result, "reasoning_content", reasoning);
    break;
  }
  return result;
}

/// Puts the text of parts in their place, where all of them are text.
inline void join_parts(Value::List& messages) {
  for (Value& message : messages) {
    const Value* content = message.find("content");
    if (content == nullptr) continue;
    if (const auto text = text_of_parts(*content)) set_field(message, "content", *text);
  }
}

/// The kinds of conversations that a template was seen to write, for all threads.
class WrittenKinds {
 public:
  bool holds(std::uint64_t kind) const {
    const std::lock_guard lock(mutex_);
    return kinds_.contains(kind);
  }
  void add(std::uint64_t kind) {
    const std::lock_guard lock(mutex_);
    kinds_.insert(kind);
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_set<std::uint64_t> kinds_;
};

/// Marks the end of the text that is to be continued, and finds it in what was rendered.
class Continuation {
 public:
  /// Adds the mark to the content of the last message: to the text, or to the last part that has one.
  explicit Continuation(Value::List& messages) {
    const Value* content = messages.empty() ? nullptr : given_field(messages.back(), "content");
    if (content == nullptr) throw DataError("the last message has no content to continue");
    Value marked = *content;
    if (Value::List* parts = marked.list()) {
      for (auto part = parts->rbegin(); part != parts->rend() && !found_; ++part) {
        if (const Value* text = part->find("text")) set_field(*part, "text", mark(*text));
      }
    } else {
      marked = mark(marked);
    }
    if (!found_) throw DataError("the last message has no text to continue");
    set_field(messages.back(), "content", marked);
  }

  /// The rendered text up to the mark.
  std::string cut(const std::string& text) const {
    const std::string_view bare = tag.substr(0, tag.size() - 1);
    const Index place = text.rfind(bare);
    if (place == text.npos || text.find(jinja::stripped(text_, nullptr, true, true)) == text.npos) {
      throw DataError(
          "the chat template does not write the whole text of the last message, so it cannot be continued");
    }
    if (std::string_view(text).substr(place, tag.size()) == tag) return text.substr(0, place);
    // The template took off the space behind the mark, so what stands before it has lost its own, too.
    return std::string(jinja::without_trailing_space(std::string_view(text).substr(0, place)));
  }

 private:
  static constexpr std::string_view tag = "CONTINUE_FINAL_MESSAGE_TAG ";
  Value mark(const Value& text) {
    if (text.string() == nullptr) throw DataError("the content of the last message is no text to continue");
    found_ = true;
    text_ = *text.string();
    return text_ + std::string(tag);
  }
  std::string text_;
  bool found_ = false;
};

}  // namespace detail

/// A chat template as published models have it: the language of Jinja as transformers sets it up (a sandbox
/// whose lists and dicts cannot be changed, white space around blocks trimmed, `generation`, `break` and
/// `continue`, `tojson` without escapes for HTML), with the same text and errors where transformers has
/// errors. What is not there: integers beyond 64 bits, templates that include others, `lipsum`, and the
/// filters filesizeformat, pprint, random, striptags, urlencode, urlize, wordwrap and xmlattr.
///
/// Copies share the parsed template, which does not change.
class ChatTemplate final : public ConversationTemplate {
 public:
  struct Settings {
    std::map<std::string, std::string> tokens = {};  // "bos_token", "eos_token", …: variables of the template
    std::function<std::time_t()> clock = {};         // of strftime_now; none: the system's
    Index max_steps = 10'000'000;                    // what a rendering may cost; about a second
    Index max_depth = 200;                           // nesting of the source, and of calls of macros
    Index max_output = Index{64} << 20;              // bytes, of each text on the way, too
  };
  /// Parses. Throws DataError "where:line:column: …", where columns count bytes.
  ChatTemplate(std::string source, const std::string& where)
      : ChatTemplate(std::move(source), where, Settings()) {}
  ChatTemplate(std::string source, const std::string& where, Settings settings)
      : parsed_(parse(std::move(source), where, settings.max_depth)), settings_(std::move(settings)) {}

  /// Throws DataError "where:line:column: …" for what the template cannot do, its own raise_exception, and
  /// limits that are exceeded.
  std::string render(std::span<const Message> messages, const RenderOptions& options) const override {
    return render_with_spans(messages, options).text;
  }

  struct Rendered {
    std::string text;
    /// The bytes that blocks {% generation %} wrote, which an assistant is to learn; of a block within a
    /// macro those that transformers counts.
    std::vector<std::pair<Index, Index>> generated;
  };
  Rendered render_with_spans(std::span<const Message> messages, const RenderOptions& options) const {
    try {
      return render_checked(messages, options);
    } catch (const DataError& error) {
      const std::string_view text = error.what();
      if (text.starts_with(parsed_->where)) throw;
      throw DataError(parsed_->where + ": " + error.what());
    }
  }

  /// Renders with marks in what the conversation says, once for each kind of conversation: what is true of one
  /// holds for all that have the same roles and fields. Contents are looked for in each.
  std::string render_whole(std::span<const Message> messages, const RenderOptions& options) const override {
    const auto rendered = [&](std::span<const Message> some) {
      RenderOptions with = options;
      if (some.size() < messages.size()) with.continue_final_message = false;
      return render(some, with);
    };
    const auto require = [&](const std::optional<detail::Unwritten>& found) {
      if (!found) return;
      const std::string why = found->why.empty() ? "" : concat(", which fails with it: ", found->why);
      refuse(concat(found->where, " of the role '", messages[found->message].role, '\''), why);
    };
    const bool tools = !detail::says_nothing(options.tools);
    const std::uint64_t kind =
        fnv1a(concat(options.add_generation_prompt ? 'p' : '-', options.continue_final_message ? 'c' : '-',
                     options.adapt_contents ? 'a' : '-', tools ? 't' : '-', text_of(options.variables),
                     detail::kind_of_conversation(messages)));
    if (!written_->holds(kind)) {
      require(detail::find_unwritten(messages, rendered));
      if (tools && !writes_tools(messages, options)) refuse("'tools'", "");
      written_->add(kind);
    }
    std::string text = render(messages, options);
    require(detail::find_unwritten_content(messages, text, rendered));
    return text;
  }

  std::string name() const override {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text = "chat:";
    for (int shift = 60; shift >= 0; shift -= 4) text += digits[(parsed_->hash >> shift) & 15u];
    return text;
  }

 private:
  struct Parsed {
    std::string where;
    std::uint64_t hash = 0;  // of the source as it was given
    bool names_content = false;
    detail::jinja::Tree tree;
  };

  static std::shared_ptr<const Parsed> parse(std::string source, const std::string& where, Index max_depth) {
    constexpr Index max_source = Index{16} << 20;
    auto parsed = std::make_shared<Parsed>();
    parsed->where = where;
    parsed->hash = fnv1a(source);
    parsed->names_content = source.find("content") != source.npos;
    if (source.size() > max_source) {
      throw DataError(
          concat(where, ": a chat template of ", source.size(), " bytes, the most are ", max_source));
    }
    if (const Index bad = first_invalid_utf8(source); bad != source.size()) {
      throw DataError(detail::jinja::place_in(where, source, bad) + "bytes that are not UTF-8");
    }
    parsed->tree.source = detail::jinja::normal_source(source);
    try {
      detail::jinja::Parser::parse(parsed->tree, max_depth);
    } catch (const detail::jinja::SyntaxFailure& failure) {
      throw DataError(detail::jinja::place_in(where, parsed->tree.source, failure.at) + failure.text);
    }
    return parsed;
  }

  Rendered render_checked(std::span<const Message> messages, const RenderOptions& options) const {
    if (messages.empty()) throw DataError("a chat template renders at least one message, found none");
    if (options.continue_final_message && options.add_generation_prompt) {
      throw DataError(
          "a final message cannot be continued behind a generation prompt: choose one of the two");
    }
    Value::List list;
    for (const Message& message : messages) list.push_back(detail::template_message(message));
    if (options.adapt_contents && !reads_parts(list, options)) detail::join_parts(list);
    std::optional<detail::Continuation> continuation;
    if (options.continue_final_message) {
      if (!parsed_->names_content)
        throw DataError("the chat template never reads the content that is to be continued");
      continuation.emplace(list);
    }
    Rendered result = run_with_contents(std::move(list), options);
    if (continuation) {
      result.text = continuation->cut(result.text);
      result.generated.clear();  // transformers has no spans of a text that goes on
    }
    return result;
  }

  /// Whether the template writes the parts of contents that are lists of text, each by itself: tried with marks
  /// in their place. One that prints the list as Python does has not looked into it.
  bool reads_parts(const Value::List& messages, const RenderOptions& options) const {
    const auto in_parts = [](const Value& message) {
      const Value* content = message.find("content");
      return content != nullptr && text_of_parts(*content).has_value();
    };
    if (std::none_of(messages.begin(), messages.end(), in_parts)) return true;
    Value::List marked = messages;
    Index marks = 0;
    for (Value& message : marked) {
      if (!in_parts(message)) continue;
      Value parts = *message.find("content");
      for (Value& part : *parts.list()) {
        const std::string mark = detail::mark_of(marks++);
        if (part.string() != nullptr) {
          part = mark;
        } else {
          detail::set_field(part, "text", mark);
        }
      }
      detail::set_field(message, "content", parts);
    }
    try {
      const std::string text = run_with_contents(std::move(marked), options).text;
      for (Index k = 0; k < marks; ++k) {
        const Index place = text.find(detail::mark_of(k));
        if (place == text.npos || (place > 0 && text[place - 1] == '\'')) return false;
      }
      return true;
    } catch (const DataError&) {
      return false;
    }
  }

  /// As transformers, without contents that are None. A template that fails so is given, where contents are adapted,
  /// None in their place, then an empty text: many published ones put the content of a message that only calls tools behind others.
  Rendered run_with_contents(Value::List messages, const RenderOptions& options) const {
    if (!options.adapt_contents) return run(Value(std::move(messages)), options);
    std::vector<Value*> silent;
    for (Value& message : messages) {
      if (message.find("content") == nullptr) silent.push_back(&message);
    }
    if (silent.empty()) return run(Value(std::move(messages)), options);
    const auto filled = [&](const Value& content) {
      for (Value* message : silent) detail::set_field(*message, "content", content);
      return run(Value(messages), options);
    };
    try {
      return run(Value(messages), options);
    } catch (const DataError&) {
    }
    try {
      return filled(Value());
    } catch (const DataError&) {
    }
    return filled("");
  }

  Rendered run(const Value& messages, const RenderOptions& options) const {
    const Value prompt(options.add_generation_prompt);
    const Value none;
    std::vector<Value> tokens;
    tokens.reserve(settings_.tokens.size());
    detail::jinja::Interpreter::Variables variables = {{"messages", &messages},
                                                       {"tools", &options.tools},
                                                       {"documents", &none},
                                                       {"add_generation_prompt", &prompt}};
    for (const auto& [name, text] : settings_.tokens) {
      tokens.emplace_back(text);
      variables.emplace_back(name, &tokens.back());
    }
    if (const Value::Fields* fields = options.variables.fields()) {
      for (const ValueField& field : *fields) variables.emplace_back(field.name, &field.value);
    } else if (!options.variables.is_none()) {
      throw DataError("the variables of a chat template are no object of fields");
    }
    const detail::jinja::Limits limits{settings_.max_steps, settings_.max_depth, settings_.max_output};
    auto result =
        detail::jinja::Interpreter(parsed_->tree, parsed_->where, limits, settings_.clock).run(variables);
    return {std::move(result.text), std::move(result.generated)};
  }

  bool writes_tools(std::span<const Message> messages, const RenderOptions& options) const {
    const std::string text = render(messages, options);
    RenderOptions without = options;
    without.tools = {};
    try {
      return render(messages, without) != text;
    } catch (const DataError&) {  // it cannot do without them
      return true;
    }
  }

  [[noreturn]] void refuse(const std::string& what, const std::string& why) const {
    throw DataError(concat(parsed_->where, ": ", what, " is not written by the chat template", why,
                           ": expected a template that writes it, or a conversation without it"));
  }

  std::shared_ptr<const Parsed> parsed_;
  Settings settings_;
  std::shared_ptr<detail::WrittenKinds> written_ = std::make_shared<detail::WrittenKinds>();
};

}  // namespace MERIT_ABI
}  // namespace merit
