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
#include "merit/infer/session_paths.hpp"
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

inline constexpr std::string_view incomplete =
    "\xEF\xBF\xBD";  // what a decoder writes for a part of a character

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

inline constexpr const char* nothing = "there is nothing to write behind: the prompt has no tokens";

/// The text of tokens without special ones.
inline std::string text_of(const AnyTokenizer& tokenizer, const std::vector<Token>& tokens) {
  if (const auto* pretrained = tokenizer.get_if<PretrainedTokenizer>())
    return pretrained->decode(tokens, true);
  if (std::optional<std::string> text = tokenizer.decode(tokens)) return *std::move(text);
  throw ConfigError(
      concat("the tokenizer ", tokenizer.name(), " makes no text of tokens, expected one that does"));
}

/// The text of tokens that come one by one, of which only the last are decoded again: from before the last whole character
/// on, so that a decoder finds the neighbours that it looks at.
class GrowingTokens {
 public:
  /// The text of all tokens up to this one.
  std::string grow(const AnyTokenizer& tokenizer, Token token) {
    tokens_.push_back(token);
    const std::string before = text_of(tokenizer, part(begin_, known_));
    std::string text = text_of(tokenizer, part(begin_, tokens_.size()));
    if (!text.starts_with(before)) {  // the token changes what stood before it
      text_ = text_of(tokenizer, tokens_);
      begin_ = known_ = 0;
      return std::exchange(text_, {});
    }
    text.erase(0, before.size());
    if (text.empty() || text.ends_with(incomplete)) return text_ + text;
    begin_ = std::exchange(known_, tokens_.size());
    return text_ += text;
  }

 private:
  std::vector<Token> part(Index begin, Index end) const {
    return {tokens_.begin() + static_cast<std::ptrdiff_t>(begin),
            tokens_.begin() + static_cast<std::ptrdiff_t>(end)};
  }
  std::vector<Token> tokens_;
  std::string text_;             // of those that are known
  Index begin_ = 0, known_ = 0;  // tokens: those before `known_` end in whole characters
};

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
    begin({});
    if (prompt.empty()) throw DataError(detail::text_writer::nothing);
    const SessionNode node = session->extend({}, prompt);
    try {
      std::vector<WrittenText> written;
      for (auto& [text, generated] : write_behind(std::span(&node, 1), options, on_text, false))
        written.push_back(std::move(text));
      session->release(node);
      return written;
    } catch (...) {
      session->release(node);
      throw;
    }
  }

  std::vector<WrittenText> write_each(std::span<const std::vector<Token>> prompts,
                                      const WriteOptions& options, const OnText& on_text) {
    begin(prompts);
    for (const std::vector<Token>& prompt : prompts)
      if (prompt.empty()) throw DataError(detail::text_writer::nothing);
    try {
      std::vector<SessionNode> nodes;
      for (const Index path : paths->extend(prompts, [](Index, Index) {}))
        nodes.push_back((*paths)[path].node);
      std::vector<WrittenText> written;
      for (auto& [text, generated] : write_behind(nodes, options, on_text, true)) {
        if (generated.node != SessionNode{}) paths->add({session->tokens(generated.node), generated.node});
        written.push_back(std::move(text));
      }
      return written;
    } catch (...) {
      paths->keep({});  // and what was written behind
      throw;
    }
  }

  SavedModel saved;
  Model model;
  std::optional<Session<Model>> session;  // made when it is first needed
  std::optional<SessionPaths<Session<Model>>> paths;

 private:
  struct Written {
    WrittenText text;
    Generation generated;
  };

  /// Of what is kept only what these prompts begin with stays.
  void begin(std::span<const std::vector<Token>> prompts) {
    if (!session) paths.emplace(session.emplace(model));
    paths->keep(prompts);
  }

  std::vector<Written> write_behind(std::span<const SessionNode> prompts, const WriteOptions& options,
                                    const OnText& on_text, bool keep) {
    GenerateOptions generating{.sampling = options.sampling,
                               .branches = options.branches,
                               .max_tokens = options.max_tokens,
                               .ends = saved.ends,
                               .seed = options.seed,
                               .first_stream = options.first_stream,
                               .seeds = options.seeds,
                               .keep = keep,
                               .lookup = options.lookup};
    if (generating.ends.empty()) generating.ends.push_back(saved.tokenizer->eos());
    generating.ends.insert(generating.ends.end(), options.stop_tokens.begin(), options.stop_tokens.end());
    const Index count = prompts.size() * options.branches;
    std::vector<detail::text_writer::GrowingText> texts(count,
                                                        detail::text_writer::GrowingText(options.stops));
    std::vector<detail::text_writer::GrowingTokens> tokens(count);
    std::vector<Written> written;
    for (Generation& branch : generate(*session, prompts, generating, [&](Index b, Token token) {
           const std::string_view piece = texts[b].grow(tokens[b].grow(*saved.tokenizer, token));
           if (on_text && !piece.empty()) on_text(b, piece);
           return !texts[b].stopped();
         })) {
      const Index b = written.size();
      const std::string_view rest = texts[b].rest();
      if (on_text && !rest.empty()) on_text(b, rest);
      written.push_back({{texts[b].text(), branch.tokens, branch.end, branch.log_probability, branch.proposed,
                          branch.accepted},
                         std::move(branch)});
    }
    return written;
  }
};

MERIT_INLINE TextWriter::TextWriter(SavedModel saved, const OpenOptions& options)
    : state_(std::make_unique<State>(std::move(saved), options)) {}
MERIT_INLINE TextWriter::TextWriter(TextWriter&&) noexcept = default;
MERIT_INLINE TextWriter& TextWriter::operator=(TextWriter&&) noexcept = default;
MERIT_INLINE TextWriter::~TextWriter() = default;

MERIT_INLINE std::vector<WrittenText> TextWriter::write(std::span<const Message> conversation,
                                                        const WriteOptions& options, const OnText& on_text,
                                                        const TemplateInputs& inputs) {
  return state_->write(tokens_of(conversation, inputs), options, on_text);
}

MERIT_INLINE std::vector<WrittenText> TextWriter::write(std::string_view prompt, const WriteOptions& options,
                                                        const OnText& on_text) {
  return state_->write(tokens_of(prompt), options, on_text);
}

MERIT_INLINE std::vector<Token> TextWriter::tokens_of(std::span<const Message> conversation,
                                                      const TemplateInputs& inputs,
                                                      std::string_view begun) const {
  const auto& with = about().tokenize.conversation;
  if (!with) {
    throw DataError(concat(about().place.string(),
                           ": the model has no chat template, expected a prompt that is plain text"));
  }
  std::string text =
      render_all(*with, conversation,
                 {.add_generation_prompt = true, .tools = inputs.tools, .variables = inputs.variables});
  text += begun;
  std::vector<Token> tokens;
  about().tokenizer->encode(text, tokens);
  return tokens;
}

MERIT_INLINE std::vector<Token> TextWriter::tokens_of(std::string_view prompt, std::string_view begun) const {
  std::vector<Token> tokens = about().tokenizer->before();
  about().tokenizer->encode(concat(prompt, begun), tokens);
  return tokens;
}

MERIT_INLINE std::vector<WrittenText> TextWriter::write_each(std::span<const std::vector<Token>> prompts,
                                                             const WriteOptions& options,
                                                             const OnText& on_text) {
  return state_->write_each(prompts, options, on_text);
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
  SavedModel saved = read_saved_model(place, described);
  if (saved.card && saved.has_head) {
    throw ConfigError(concat(saved.place.string(),
                             ": found a reward model that merit trained, with the head ", name_of(saved.head),
                             ", expected a language model, which writes text"));
  }
  if (saved.adapters.size() > 1) {
    throw ConfigError(concat("found ", saved.adapters.size(),
                             " adapters, expected one at most, with which text is written"));
  }
  return TextWriter(std::move(saved), options);
}

}  // namespace MERIT_ABI
}  // namespace merit
