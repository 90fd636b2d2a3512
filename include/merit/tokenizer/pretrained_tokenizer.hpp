// A published tokenizer: what a tokenizer.json describes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/tokenizer/token_span.hpp"
#include "merit/tokenizer/tokenizer.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {
struct TokenizerPipeline;
}  // namespace detail

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
  PretrainedTokenizer(const Json& description, const std::string& where);

  /// Appends the ids of `text`, with no special tokens around it. Added tokens that stand in the text are
  /// found there.
  void encode(std::string_view text, std::vector<Token>& out) const;

  /// The same with the bytes of `text` that each token stands for. in_code_points() gives what Python prints.
  void encode(std::string_view text, std::vector<TokenSpan>& out) const;

  /// What of a prompt need not be encoded again with each completion: see the concept tokenizer. Up to the last
  /// added token or, where the parts are known to cut there, the last space between words.
  Index settled(std::string_view text) const;

  /// The special tokens that the post-processor puts before and after a text.
  std::vector<Token> before() const;
  std::vector<Token> after() const;
  /// Those between a text and a second one; empty where the tokenizer does not tell them apart.
  std::vector<Token> between() const;

  /// The text of tokens; an id that stands for nothing gives nothing. What is not UTF-8 is U+FFFD.
  std::string decode(VectorView<const Token> tokens, bool skip_special = false) const;
  /// The same with bytes as the tokens spell them, which need not be UTF-8.
  std::string decode_bytes(VectorView<const Token> tokens, bool skip_special = false) const;

  /// The id of a piece as the file spells it, and the other way; an empty piece for an id that is none.
  std::optional<Token> find(std::string_view piece) const;
  std::string_view piece(Token id) const;
  bool is_special(Token id) const;

  /// One more than the highest id, added tokens included.
  Index vocabulary_size() const;

  /// The end of a sequence: what with_eos() said, else the last of after(), else a special token of a usual
  /// name. Throws ConfigError where there is none of these.
  Token eos() const;
  /// The token that begins every sequence, where with_bos() named one.
  std::optional<Token> bos() const { return bos_; }

  /// A copy with another end or beginning. Throws ConfigError for an id out of range.
  PretrainedTokenizer with_eos(Token id) const;
  PretrainedTokenizer with_bos(std::optional<Token> id) const;

  /// The most tokens that the file would cut a text to, special ones included. encode() cuts nothing.
  std::optional<Index> truncation() const;

  /// "pretrained:" and a hash of the whole description but padding and truncation: same name, same encoding.
  std::string name() const;

 private:
  Token checked(Token id) const;

  std::shared_ptr<const detail::TokenizerPipeline> shared_;
  std::optional<Token> eos_;
  std::optional<Token> bos_;
};

static_assert(tokenizer<PretrainedTokenizer>);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/tokenizer/pretrained_tokenizer_body.hpp"
#endif
