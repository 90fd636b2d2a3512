// The bodies of pretrained_tokenizer.hpp.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"
#include "merit/tokenizer/token_span.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokenizer/tokenizer_pipeline.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE PretrainedTokenizer::PretrainedTokenizer(const Json& description, const std::string& where)
    : shared_(std::make_shared<const detail::TokenizerPipeline>(description, where)),
      eos_(shared_->likely_eos()) {}

MERIT_INLINE void PretrainedTokenizer::encode(std::string_view text, std::vector<Token>& out) const {
  detail::Encoder(*shared_, text, false).run([&](Token id, Index, Index) { out.push_back(id); });
}

MERIT_INLINE void PretrainedTokenizer::encode(std::string_view text, std::vector<TokenSpan>& out) const {
  const Index first = out.size();
  std::vector<detail::EdgeSpaces> spaces;
  detail::Encoder encoder(*shared_, text, true);
  encoder.run([&](Token id, Index begin, Index end) {
    out.push_back({id, begin, end});
    if (!shared_->post.trims.empty()) spaces.push_back(encoder.edge_spaces());
  });
  for (const bool keeps_first : shared_->post.trims) {
    for (Index i = 0; i < spaces.size(); ++i) {
      detail::trim(text, spaces[i], keeps_first && (i == 0 || out[first + i].begin == 0), out[first + i]);
    }
  }
}

MERIT_INLINE Index PretrainedTokenizer::settled(std::string_view text) const {
  return shared_->cuts.settled(text, shared_->added);
}

MERIT_INLINE std::vector<Token> PretrainedTokenizer::before() const {
  return shared_->post.before;
}

MERIT_INLINE std::vector<Token> PretrainedTokenizer::between() const {
  return shared_->post.between;
}

MERIT_INLINE std::vector<Token> PretrainedTokenizer::after() const {
  return shared_->post.after;
}

MERIT_INLINE std::string PretrainedTokenizer::decode(VectorView<const Token> tokens,
                                                     bool skip_special) const {
  return detail::to_utf8(decode_bytes(tokens, skip_special));
}

MERIT_INLINE std::string PretrainedTokenizer::decode_bytes(VectorView<const Token> tokens,
                                                           bool skip_special) const {
  std::vector<std::string> pieces;
  pieces.reserve(tokens.size);
  for (Index i = 0; i < tokens.size; ++i) {
    const Token id = tokens.data[i];
    if (const detail::AddedToken* added = shared_->added.find(id)) {
      if (!skip_special || !added->special) pieces.emplace_back(shared_->added.decoded(*added));
    } else if (shared_->model->vocabulary.contains(id)) {
      pieces.emplace_back(shared_->model->vocabulary.piece(id));
    }
  }
  for (const auto& decoder : shared_->decoders) decoder->apply(pieces);
  std::string text;
  for (Index i = 0; i < pieces.size(); ++i) {
    if (i != 0 && !shared_->has_decoder) text += ' ';
    text += pieces[i];
  }
  return text;
}

MERIT_INLINE std::optional<Token> PretrainedTokenizer::find(std::string_view piece) const {
  if (const auto* added = shared_->added.find(std::string(piece))) return added->id;
  return shared_->model->vocabulary.find(piece);
}

MERIT_INLINE std::string_view PretrainedTokenizer::piece(Token id) const {
  if (const auto* added = shared_->added.find(id)) return added->content;
  return shared_->model->vocabulary.piece(id);
}

MERIT_INLINE bool PretrainedTokenizer::is_special(Token id) const {
  const auto* added = shared_->added.find(id);
  return added != nullptr && added->special;
}

MERIT_INLINE Index PretrainedTokenizer::vocabulary_size() const {
  return shared_->size;
}

MERIT_INLINE Token PretrainedTokenizer::eos() const {
  if (!eos_) {
    throw ConfigError(shared_->where +
                      ": the tokenizer names no token that ends a sequence: expected one of a "
                      "usual name, or a tokenizer_config.json with eos_token beside it");
  }
  return *eos_;
}

MERIT_INLINE PretrainedTokenizer PretrainedTokenizer::with_eos(Token id) const {
  PretrainedTokenizer copy = *this;
  copy.eos_ = checked(id);
  return copy;
}

MERIT_INLINE PretrainedTokenizer PretrainedTokenizer::with_bos(std::optional<Token> id) const {
  PretrainedTokenizer copy = *this;
  copy.bos_ = id ? std::optional(checked(*id)) : std::nullopt;
  return copy;
}

MERIT_INLINE std::optional<Index> PretrainedTokenizer::truncation() const {
  return shared_->truncation;
}

MERIT_INLINE std::string PretrainedTokenizer::name() const {
  return shared_->name;
}

MERIT_INLINE Token PretrainedTokenizer::checked(Token id) const {
  if (id >= vocabulary_size()) {
    throw ConfigError(concat(shared_->where, ": found the id ", id, ", expected one below ",
                             vocabulary_size(), ", the size of the vocabulary"));
  }
  return id;
}

}  // namespace MERIT_ABI
}  // namespace merit
