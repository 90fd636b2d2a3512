// The bodies of text_writer.hpp.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/core/error.hpp"
#include "merit/head/language_model_head.hpp"
#include "merit/infer/session.hpp"
#include "merit/loss/language_model_loss.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/run/any_backbone.hpp"
#include "merit/run/read_saved_model.hpp"
#include "merit/run/text_writer.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::text_writer {

/// A text as it becomes known: where it stops, and how much of it is certain.
class GrowingText {
 public:
  explicit GrowingText(std::span<const std::string> stops) : stops_(stops) {}

  /// The text is now this; the piece that is new and certain. An incomplete character is not, nor is what may become a stop.
  std::string_view grow(std::string text) {
    text_ = std::move(text);
    for (const std::string& stop : stops_) {
      const auto place = text_.find(stop);
      if (place == std::string::npos) continue;
      text_.resize(place);
      stopped_ = true;
    }
    return piece_to(stopped_ ? text_.size() : certain());
  }
  /// No more follows.
  std::string_view rest() { return piece_to(text_.size()); }

  bool stopped() const { return stopped_; }
  const std::string& text() const { return text_; }

 private:
  Index certain() const {
    std::string_view known = text_;
    constexpr std::string_view incomplete = "\xEF\xBF\xBD";  // as what a decoder writes for it
    while (known.ends_with(incomplete)) known.remove_suffix(incomplete.size());
    Index held_back = 0;
    for (const std::string_view stop : stops_) {
      for (Index length = std::min(stop.size(), known.size()); length > held_back; --length) {
        if (known.ends_with(stop.substr(0, length))) held_back = length;
      }
    }
    return known.size() - held_back;
  }
  std::string_view piece_to(Index end) {
    const Index begin = std::min(said_, end);
    said_ = std::max(said_, end);
    return std::string_view(text_).substr(begin, end - begin);
  }

  std::span<const std::string> stops_;
  std::string text_;
  Index said_ = 0;
  bool stopped_ = false;
};

/// The text of tokens without special ones.
inline std::string text_of(const AnyTokenizer& tokenizer, const std::vector<Token>& tokens) {
  if (const auto* pretrained = tokenizer.get_if<PretrainedTokenizer>())
    return pretrained->decode(tokens, true);
  if (std::optional<std::string> text = tokenizer.decode(tokens)) return *std::move(text);
  throw ConfigError(
      concat("the tokenizer ", tokenizer.name(), " makes no text of tokens, expected one that does"));
}

/// The backbone as a language model's.
inline AnyBackbone with_unembedding(BackboneConfig config) {
  std::visit(
      [](auto& backbone) {
        if constexpr (requires { backbone.tied_embedding; }) backbone.unembedding = !backbone.tied_embedding;
      },
      config);
  return {std::move(config)};
}

}  // namespace detail::text_writer

struct TextWriter::State {
  using Model = RewardModel<AnyBackbone, LanguageModelHead, LanguageModelLoss, EigenBackend<float>>;

  State(SavedModel described, const OpenOptions& options)
      : saved(std::move(described)),
        model({.backbone = detail::text_writer::with_unembedding(saved.backbone),
               .backend = {.threads = options.threads},
               .initial = Initial::from_file,
               .scores_only = true,
               .adapters = saved.adapters}) {
    if (options.backend != BackendChoice::eigen) {
      throw ConfigError("text is written on the host alone: expected the backend eigen");
    }
    load_model_parameters(saved.place, model, {.base = saved.base, .on_progress = options.on_progress});
  }

  std::vector<WrittenText> write(std::span<const Token> prompt, const WriteOptions& options,
                                 const OnText& on_text) {
    if (prompt.empty()) throw DataError("there is nothing to write behind: the prompt has no tokens");
    if (!session) session.emplace(model);
    const SessionNode node = session->extend({}, prompt);
    GenerateOptions generating{.sampling = options.sampling,
                               .branches = options.branches,
                               .max_tokens = options.max_tokens,
                               .ends = saved.ends,
                               .seed = options.seed};
    if (generating.ends.empty()) generating.ends.push_back(saved.tokenizer->eos());
    generating.ends.insert(generating.ends.end(), options.stop_tokens.begin(), options.stop_tokens.end());
    std::vector<detail::text_writer::GrowingText> texts(options.branches,
                                                        detail::text_writer::GrowingText(options.stops));
    std::vector<std::vector<Token>> tokens(options.branches);
    std::vector<WrittenText> written;
    try {
      for (Generation& branch : generate(*session, node, generating, [&](Index b, Token token) {
             tokens[b].push_back(token);
             const std::string_view piece =
                 texts[b].grow(detail::text_writer::text_of(*saved.tokenizer, tokens[b]));
             if (on_text && !piece.empty()) on_text(b, piece);
             return !texts[b].stopped();
           })) {
        written.push_back({{}, std::move(branch.tokens), branch.end, branch.log_probability});
      }
    } catch (...) {
      session->release(node);
      throw;
    }
    session->release(node);
    for (Index b = 0; b < written.size(); ++b) {
      const std::string_view rest = texts[b].rest();
      if (on_text && !rest.empty()) on_text(b, rest);
      written[b].text = texts[b].text();
    }
    return written;
  }

  SavedModel saved;
  Model model;
  std::optional<Session<Model>> session;  // made when it is first needed
};

MERIT_INLINE TextWriter::TextWriter(SavedModel saved, const OpenOptions& options)
    : state_(std::make_unique<State>(std::move(saved), options)) {}
MERIT_INLINE TextWriter::TextWriter(TextWriter&&) noexcept = default;
MERIT_INLINE TextWriter& TextWriter::operator=(TextWriter&&) noexcept = default;
MERIT_INLINE TextWriter::~TextWriter() = default;

MERIT_INLINE std::vector<WrittenText> TextWriter::write(std::span<const Message> conversation,
                                                        const WriteOptions& options, const OnText& on_text,
                                                        const TemplateInputs& inputs) {
  const auto& with = about().tokenize.conversation;
  if (!with) {
    throw DataError(concat(about().place.string(),
                           ": the model has no chat template, expected a prompt that is plain text"));
  }
  const std::string text =
      render_all(*with, conversation,
                 {.add_generation_prompt = true, .tools = inputs.tools, .variables = inputs.variables});
  std::vector<Token> tokens;
  about().tokenizer->encode(text, tokens);
  return state_->write(tokens, options, on_text);
}

MERIT_INLINE std::vector<WrittenText> TextWriter::write(std::string_view prompt, const WriteOptions& options,
                                                        const OnText& on_text) {
  std::vector<Token> tokens = about().tokenizer->before();
  about().tokenizer->encode(prompt, tokens);
  return state_->write(tokens, options, on_text);
}

MERIT_INLINE std::vector<WrittenText> TextWriter::write(std::span<const Token> prompt,
                                                        const WriteOptions& options, const OnText& on_text) {
  return state_->write(prompt, options, on_text);
}

MERIT_INLINE const SavedModel& TextWriter::about() const {
  return state_->saved;
}
MERIT_INLINE SessionCounts TextWriter::counts() const {
  return state_->session ? state_->session->counts() : SessionCounts{};
}

MERIT_INLINE TextWriter open_writer(const std::filesystem::path& place, const OpenOptions& options) {
  OpenOptions described = options;
  described.makes_head = true;  // whatever its own is
  return TextWriter(read_saved_model(place, described), options);
}

}  // namespace MERIT_ABI
}  // namespace merit
