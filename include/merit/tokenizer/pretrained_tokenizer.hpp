// A published tokenizer: what a tokenizer.json describes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/tokenizer/token_span.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokenizer/tokenizer_pipeline.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A tokenizer as Hugging Face's `tokenizers` 0.23 would read it from the same file: the same ids, the same
/// offsets, the same text back. A value that is cheap to copy: copies share what cannot change. Several
/// threads may use one.
///
/// Text that is not UTF-8 is taken too. A model of bytes sees all of it and gives it back by decode_bytes();
/// for others, U+FFFD takes the place of each sequence that is none.
class PretrainedTokenizer {
 public:
  /// `description` is what a tokenizer.json holds; `where` names the file in errors. Padding is ignored on
  /// purpose; truncation is kept as a number. Throws DataError for a part that is unknown, has the wrong
  /// type, or contradicts another.
  PretrainedTokenizer(const Json& description, const std::string& where)
      : shared_(std::make_shared<const detail::TokenizerPipeline>(description, where)),
        eos_(shared_->likely_eos()) {}

  /// Appends the ids of `text`, with no special tokens around it. Added tokens that stand in the text are
  /// found there.
  void encode(std::string_view text, std::vector<Token>& out) const {
    detail::Encoder(*shared_, text, false).run([&](Token id, Index, Index) { out.push_back(id); });
  }

  /// The same with the bytes of `text` that each token stands for. in_code_points() gives what Python prints.
  void encode(std::string_view text, std::vector<TokenSpan>& out) const {
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

  /// What of a prompt need not be encoded again with each completion: see the concept tokenizer. Up to the last
  /// added token or, where the parts are known to cut there, the last space between words.
  Index settled(std::string_view text) const { return shared_->cuts.settled(text, shared_->added); }

  /// The special tokens that the post-processor puts before and after a text.
  std::vector<Token> before() const { return shared_->post.before; }
  std::vector<Token> after() const { return shared_->post.after; }

  /// The text of tokens; an id that stands for nothing gives nothing. What is not UTF-8 is U+FFFD.
  std::string decode(VectorView<const Token> tokens, bool skip_special = false) const {
    return detail::to_utf8(decode_bytes(tokens, skip_special));
  }
  /// The same with bytes as the tokens spell them, which need not be UTF-8.
  std::string decode_bytes(VectorView<const Token> tokens, bool skip_special = false) const {
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

  /// The id of a piece as the file spells it, and the other way; an empty piece for an id that is none.
  std::optional<Token> find(std::string_view piece) const {
    if (const auto* added = shared_->added.find(std::string(piece))) return added->id;
    return shared_->model->vocabulary.find(piece);
  }
  std::string_view piece(Token id) const {
    if (const auto* added = shared_->added.find(id)) return added->content;
    return shared_->model->vocabulary.piece(id);
  }
  bool is_special(Token id) const {
    const auto* added = shared_->added.find(id);
    return added != nullptr && added->special;
  }

  /// One more than the highest id, added tokens included.
  Index vocabulary_size() const { return shared_->size; }

  /// The end of a sequence: what with_eos() said, else the last of after(), else a special token of a usual
  /// name. Throws ConfigError where there is none of these.
  Token eos() const {
    if (!eos_) {
      throw ConfigError(shared_->where +
                        ": the tokenizer names no token that ends a sequence: expected one of a "
                        "usual name, or a tokenizer_config.json with eos_token beside it");
    }
    return *eos_;
  }
  /// The token that begins every sequence, where with_bos() named one.
  std::optional<Token> bos() const { return bos_; }

  /// A copy with another end or beginning. Throws ConfigError for an id out of range.
  PretrainedTokenizer with_eos(Token id) const {
    PretrainedTokenizer copy = *this;
    copy.eos_ = checked(id);
    return copy;
  }
  PretrainedTokenizer with_bos(std::optional<Token> id) const {
    PretrainedTokenizer copy = *this;
    copy.bos_ = id ? std::optional(checked(*id)) : std::nullopt;
    return copy;
  }

  /// The most tokens that the file would cut a text to, special ones included. encode() cuts nothing.
  std::optional<Index> truncation() const { return shared_->truncation; }

  /// "pretrained:" and a hash of the whole description but padding and truncation: same name, same encoding.
  std::string name() const { return shared_->name; }

 private:
  Token checked(Token id) const {
    if (id >= vocabulary_size()) {
      throw ConfigError(concat(shared_->where, ": found the id ", id, ", expected one below ",
                               vocabulary_size(), ", the size of the vocabulary"));
    }
    return id;
  }

  std::shared_ptr<const detail::TokenizerPipeline> shared_;
  std::optional<Token> eos_;
  std::optional<Token> bos_;
};

static_assert(tokenizer<PretrainedTokenizer>);

}  // namespace MERIT_ABI
}  // namespace merit
