// Reading the tokenizer and the chat template of a folder or a file.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "merit/core/error.hpp"
#include "merit/io/gguf.hpp"
#include "merit/model/gguf_config.hpp"
#include "merit/run/model_text.hpp"
#include "merit/run/read_model_text.hpp"
#include "merit/templates/chat_template.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/text/text_files.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// A model's usual template, and another one for conversations with tools, as transformers chooses between
/// them.
class TemplateChoice final : public ConversationTemplate {
 public:
  TemplateChoice(ChatTemplate usual, std::optional<ChatTemplate> with_tools)
      : usual_(std::move(usual)), with_tools_(std::move(with_tools)) {}
  std::string render(std::span<const Message> messages, const RenderOptions& options) const override {
    return chosen(options).render(messages, options);
  }
  std::string render_whole(std::span<const Message> messages, const RenderOptions& options) const override {
    return chosen(options).render_whole(messages, options);
  }
  std::string name() const override {
    return with_tools_ ? usual_.name() + "+" + with_tools_->name() : usual_.name();
  }

 private:
  const ChatTemplate& chosen(const RenderOptions& options) const {
    return with_tools_ && !options.tools.is_none() ? *with_tools_ : usual_;
  }
  ChatTemplate usual_;
  std::optional<ChatTemplate> with_tools_;
};

inline ModelText model_text_of(const TextFiles& text, const std::string& where) {
  ModelText result{.tokenizer = text.tokenizer, .ends = text.ends};
  for (auto& [name, bytes] : saved_text_files(text)) result.files.push_back({name, std::move(bytes)});
  ChatTemplate::Settings settings;
  settings.tokens = text.token_texts;
  const auto named = [&](const char* name) -> std::optional<ChatTemplate> {
    const auto found = text.chat_templates.find(name);
    if (found == text.chat_templates.end()) return std::nullopt;
    return ChatTemplate(found->second, concat(where, ": chat template"), settings);
  };
  std::optional<ChatTemplate> usual = named("default");
  if (usual)
    result.conversation = std::make_shared<const TemplateChoice>(*std::move(usual), named("tool_use"));
  return result;
}

}  // namespace detail

MERIT_INLINE std::optional<ModelText> read_model_text(const std::filesystem::path& place) {
  std::error_code ignored;
  if (std::filesystem::is_directory(place, ignored)) {
    if (const std::optional<TextFiles> text = read_text_files(place))
      return detail::model_text_of(*text, place.string());
  }
  if (const auto file = find_gguf(place)) {
    return detail::model_text_of(text_files_of_gguf(GgufFile(*file)), file->string());
  }
  return std::nullopt;
}

MERIT_INLINE ModelText text_named(const std::string& name) {
  std::error_code ignored;
  if (!std::filesystem::exists(name, ignored)) return {.tokenizer = make_tokenizer(name)};
  std::optional<ModelText> text = read_model_text(name);
  if (!text) throw ConfigError(name + ": found no tokenizer, expected tokenizer.json or another vocabulary");
  return *std::move(text);
}

}  // namespace MERIT_ABI
}  // namespace merit
