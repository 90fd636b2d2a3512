// A chat template: the Jinja text by which a published model writes a conversation.
#pragma once

#include <algorithm>
#include <ctime>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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

/// The names under which a message's reasoning is given; templates read the first.
inline constexpr std::string_view reasoning_fields[] = {"reasoning_content", "thinking", "reasoning"};

/// The fields of a message that say something to a model. Others, such as an id or a time, say something about
/// the message; the name of a tool's answer is told by the call that it answers.
inline constexpr std::string_view saying_fields[] = {"tool_calls", "function_call", "reasoning_content",
                                                     "thinking",   "reasoning",     "name"};

/// Whether the source of a template looks into contents that are lists of parts.
inline bool reads_parts(std::string_view source) {
  for (const std::string_view sign :
       {"is string", "is not string", "is iterable", "is not iterable", "is sequence", "is mapping",
        "in content", "in message.content", "in message['content']", "in message[\"content\"]",
        "in m.content", "in m['content']", "in msg.content", "in msg['content']", "tojson", "{{ message",
        "{{message"}) {
    if (source.find(sign) != source.npos) return true;
  }
  return false;
}

/// A message as transformers gives it to a template: without fields that are None, and with its reasoning
/// under the names that templates read. Where the template does not look into parts, their text is the content.
inline Value template_message(const Message& message, bool parts_are_read) {
  if (message.whole.is_none()) return Value::object({{"role", message.role}, {"content", message.content}});
  if (message.whole.fields() == nullptr) throw DataError("a message is no object of fields");
  Value::Fields fields;
  for (const ValueField& field : *message.whole.fields()) {
    if (!field.value.is_none()) fields.push_back(field);
  }
  Value result(std::move(fields));
  if (const Value* content = result.find("content"); content != nullptr && !parts_are_read) {
    if (const auto text = text_of_parts(*content)) set_field(result, "content", *text);
  }
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

  /// What the source of the template does not name it does not write out.
  void refuse_unread(std::span<const Message> messages, const RenderOptions& options) const override {
    const std::string_view source = parsed_->tree.source;
    const auto names = [&](std::string_view field) {
      return source.find(field) != source.npos || parsed_->writes_messages;
    };
    const auto refuse = [&](const std::string& what) {
      throw DataError(concat(parsed_->where, ": the chat template has no place for ", what,
                             ": expected a template that reads it, or a conversation without it"));
    };
    if (!detail::says_nothing(options.tools) && !names("tools")) refuse("the tools of the conversation");
    for (const Message& message : messages) {
      const auto of_message = [&](std::string_view what) {
        return concat(what, " of a message of the role '", message.role, '\'');
      };
      for (const std::string_view field : detail::saying_fields) {
        const Value* value = detail::given_field(message.whole, field);
        if (value == nullptr || detail::says_nothing(*value)) continue;
        const bool reasoning =
            std::find(std::begin(detail::reasoning_fields), std::end(detail::reasoning_fields), field) !=
            std::end(detail::reasoning_fields);
        if (field == "name" && (message.role == "tool" || message.role == "function")) continue;
        if (reasoning ? names("reasoning") || names("thinking") : names(field)) continue;
        refuse(of_message(concat("the field '", field, '\'')));
      }
      const Value* content = detail::given_field(message.whole, "content");
      if (content != nullptr && content->list() != nullptr && !parsed_->reads_parts &&
          !text_of_parts(*content)) {
        refuse(of_message("parts other than text in the content"));
      }
    }
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
    bool reads_parts = false;      // looks into contents that are lists
    bool writes_messages = false;  // may write whole messages with all of their fields
    detail::jinja::Tree tree;
  };

  static std::shared_ptr<const Parsed> parse(std::string source, const std::string& where, Index max_depth) {
    constexpr Index max_source = Index{16} << 20;
    auto parsed = std::make_shared<Parsed>();
    parsed->where = where;
    parsed->hash = fnv1a(source);
    parsed->names_content = source.find("content") != source.npos;
    parsed->reads_parts = detail::reads_parts(source);
    for (const std::string_view sign :
         {"message | tojson", "message|tojson", "messages | tojson", "messages|tojson", "{{ message }}",
          "{{message}}", "{{ messages", "{{messages"}) {
      parsed->writes_messages |= source.find(sign) != source.npos;
    }
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
    for (const Message& message : messages)
      list.push_back(detail::template_message(message, parsed_->reads_parts));
    std::optional<detail::Continuation> continuation;
    if (options.continue_final_message) {
      if (!parsed_->names_content)
        throw DataError("the chat template never reads the content that is to be continued");
      continuation.emplace(list);
    }
    const Value given(std::move(list));
    const Value prompt(options.add_generation_prompt);
    const Value none;
    std::vector<Value> tokens;
    tokens.reserve(settings_.tokens.size());
    detail::jinja::Interpreter::Variables variables = {{"messages", &given},
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
    if (continuation) {
      result.text = continuation->cut(result.text);
      result.generated.clear();  // transformers has no spans of a text that goes on
    }
    return {std::move(result.text), std::move(result.generated)};
  }

  std::shared_ptr<const Parsed> parsed_;
  Settings settings_;
};

}  // namespace MERIT_ABI
}  // namespace merit
