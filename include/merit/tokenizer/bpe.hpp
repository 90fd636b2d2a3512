// Byte pair encoding (Sennrich et al., 2016): neighbours are merged, the most frequent pair of the training
// first.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/tokenizer/byte_alphabet.hpp"
#include "merit/tokenizer/component.hpp"
#include "merit/tokenizer/merge_table.hpp"
#include "merit/tokenizer/token_model.hpp"
#include "merit/tokenizer/word_cache.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// What a BPE model says of itself besides pieces and merges.
struct BpeSettings {
  std::optional<Token> unknown;
  std::string prefix;  // before each symbol of a word but the first
  std::string suffix;  // behind the last symbol of a word
  bool fuse_unknown = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  // a word that is a piece is that piece
  bool bytes = false;          // words come as bytes, which the pieces spell in the alphabet of bytes
};

class BpeModel final : public TokenModel {
 public:
  BpeModel(Vocabulary pieces, MergeTable merges, BpeSettings settings)
      : TokenModel(std::move(pieces)), merges_(std::move(merges)), settings_(std::move(settings)) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string character;
    for (Index byte = 0; byte < 256; ++byte) {
      const std::string name{'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
      fallback_[byte] = settings_.byte_fallback ? find_or_none(name) : none;
      character.clear();
      append_character(character, byte_characters[byte]);
      bytes_[byte] = find_or_none(character);
    }
    plain_ = settings_.prefix.empty() && settings_.suffix.empty();
    if (!settings_.bytes && plain_) {
      characters_.resize(0x3000);
      for (char32_t c = 0; c < characters_.size(); ++c) {
        character.clear();
        append_character(character, c);
        characters_[c] = find_or_none(character);
      }
    }
    lengths_.resize(vocabulary.size());
    for (Index id = 0; id < vocabulary.size(); ++id) {
      const std::string_view piece = vocabulary.piece(static_cast<Token>(id));
      lengths_[id] = static_cast<std::uint32_t>(settings_.bytes ? count_characters(piece) : piece.size());
    }
    if (settings_.bytes && settings_.ignore_merges) spell_pieces();
    cuts_ = !settings_.bytes && plain_ && vocabulary.find(space) && !crosses_space();
  }

  void encode(std::string_view piece, std::vector<Unit>& out) const override {
    if (settings_.ignore_merges) {
      if (const auto whole = settings_.bytes ? byte_pieces_.find(piece) : vocabulary.find(piece)) {
        out.push_back({*whole, 0, static_cast<std::uint32_t>(piece.size())});
        return;
      }
    }
    std::uint32_t at = 0;
    if (!cuts_) return encode_word(piece, at, out);
    Index begin = 0;
    for (Index next = piece.find(space, 1); next != piece.npos;
         next = piece.find(space, next + space.size())) {
      if (next >= space.size() && piece.substr(next - space.size(), space.size()) == space) continue;
      if (next == begin) continue;
      encode_word(piece.substr(begin, next - begin), at, out);
      begin = next;
    }
    encode_word(piece.substr(begin), at, out);
  }

  bool takes_bytes() const { return settings_.bytes; }

 private:
  static constexpr Token none = ~Token{0};
  static constexpr std::string_view space = "\xE2\x96\x81";  // U+2581, SentencePiece's space

  Token find_or_none(std::string_view piece) const { return vocabulary.find(piece).value_or(none); }

  /// The bytes that the pieces spell. Pieces that spell none are left out: no text gives them.
  void spell_pieces() {
    for (Index i = 0; i < vocabulary.size(); ++i) {
      const auto id = static_cast<Token>(i);
      if (!vocabulary.contains(id)) continue;
      if (const auto bytes = bytes_of(vocabulary.piece(id))) byte_pieces_.add(*bytes, id);
    }
    byte_pieces_.finish();
  }

  /// Whether a piece has SentencePiece's space behind another character. Where none has, no merge goes over
  /// the beginning of a word, and words can be merged one by one.
  bool crosses_space() const {
    for (Index id = 0; id < vocabulary.size(); ++id) {
      const std::string_view piece = vocabulary.piece(static_cast<Token>(id));
      for (Index at = piece.find(space); at != piece.npos; at = piece.find(space, at + space.size())) {
        if (at != 0 && (at < space.size() || piece.substr(at - space.size(), space.size()) != space))
          return true;
      }
    }
    return false;
  }

  /// Appends the tokens of a word whose first token begins at `at`, and moves that to the word's end.
  void encode_word(std::string_view word, std::uint32_t& at, std::vector<Unit>& out) const {
    const auto put = [&](Token id, std::uint32_t length) {
      out.push_back({id, at, at + length});
      at += length;
    };
    if (plain_ && cache_.find(word, [&](Token id) { put(id, lengths_[id]); })) return;
    std::vector<Symbol> symbols;
    symbols.reserve(word.size());
    const bool known =
        settings_.bytes ? byte_symbols(word, false, symbols) : character_symbols(word, symbols);
    if (!known && settings_.bytes) return encode_partly(word, at, out);
    merge_symbols(merges_, symbols);
    for (const Symbol& symbol : symbols) put(symbol.id, symbol.length);
    if (known && plain_) cache_.put(word, symbols.data(), symbols.size());
  }

  /// The same of a word of bytes of which some have no token. Their places are those of Hugging Face's
  /// tokenizers, where a lost byte moves all behind it: they are counted in bytes of the characters that the
  /// bytes are spelled with, and a token takes each byte of the text that its count touches.
  void encode_partly(std::string_view word, std::uint32_t& at, std::vector<Unit>& out) const {
    std::vector<Symbol> symbols;
    byte_symbols(word, true, symbols);
    merge_symbols(merges_, symbols);
    std::vector<std::uint32_t> bytes;  // of each byte as it is spelled, the byte of the word
    for (Index i = 0; i < word.size(); ++i) {
      bytes.insert(bytes.end(), spelled_length(word[i]), static_cast<std::uint32_t>(i));
    }
    std::uint32_t begin = 0;
    for (const Symbol& symbol : symbols) {
      const std::uint32_t end = begin + symbol.length;
      out.push_back({symbol.id, at + bytes[begin], at + bytes[end - 1] + 1});
      begin = end;
    }
    at += static_cast<std::uint32_t>(word.size());
  }

  /// How many bytes the character has that a byte is spelled with.
  static std::uint32_t spelled_length(char byte) {
    return byte_characters[static_cast<unsigned char>(byte)] < 0x80 ? 1 : 2;
  }

  /// The symbols of a word of bytes, as long as the bytes are spelled or each of length 1. False where one
  /// was unknown.
  bool byte_symbols(std::string_view word, bool spelled, std::vector<Symbol>& symbols) const {
    bool known = true;
    Pending pending;
    for (const char c : word) {
      const Token id = bytes_[static_cast<unsigned char>(c)];
      const std::uint32_t length = spelled ? spelled_length(c) : 1;
      if (id != none) {
        pending.flush(symbols);
        symbols.push_back({id, length});
      } else {
        known = false;
        std::string character;
        append_character(character, byte_characters[static_cast<unsigned char>(c)]);
        unknown_symbol(character, length, pending, symbols);
      }
    }
    pending.flush(symbols);
    return known;
  }

  /// The symbols of a word of characters. False where one was unknown.
  bool character_symbols(std::string_view word, std::vector<Symbol>& symbols) const {
    bool known = true;
    Pending pending;
    std::string spelled;
    for (Index at = 0; at < word.size();) {
      const Index begin = at;
      const char32_t code = next_character(word, at);
      const auto length = static_cast<std::uint32_t>(at - begin);
      std::string_view symbol = word.substr(begin, length);
      if (!plain_) {
        spelled = begin == 0 ? "" : settings_.prefix;
        spelled += symbol;
        if (at == word.size()) spelled += settings_.suffix;
        symbol = spelled;
      }
      const Token id = code < characters_.size() ? characters_[code] : find_or_none(symbol);
      if (id != none) {
        pending.flush(symbols);
        symbols.push_back({id, length});
      } else {
        known = false;
        unknown_symbol(symbol, length, pending, symbols);
      }
    }
    pending.flush(symbols);
    return known;
  }

  /// An unknown symbol that waits for more of its kind.
  struct Pending {
    std::optional<Symbol> symbol;
    void flush(std::vector<Symbol>& symbols) {
      if (symbol) symbols.push_back(*symbol);
      symbol.reset();
    }
  };

  void unknown_symbol(std::string_view text, std::uint32_t length, Pending& pending,
                      std::vector<Symbol>& symbols) const {
    bool spelled = settings_.byte_fallback;
    for (const char c : text) spelled = spelled && fallback_[static_cast<unsigned char>(c)] != none;
    if (spelled) {
      for (const char c : text) symbols.push_back({fallback_[static_cast<unsigned char>(c)], 1});
      return;
    }
    if (!settings_.unknown) return;  // without a token for it, the symbol is lost
    if (pending.symbol && settings_.fuse_unknown) {
      pending.symbol->length += length;
    } else {
      pending.flush(symbols);
      pending.symbol = {*settings_.unknown, length};
    }
  }

  MergeTable merges_;
  BpeSettings settings_;
  std::array<Token, 256> fallback_{};
  std::array<Token, 256> bytes_{};
  std::vector<Token> characters_;  // of the first code points
  std::vector<std::uint32_t> lengths_;
  Vocabulary byte_pieces_;
  WordCache cache_;
  bool plain_ = true;
  bool cuts_ = false;
};

/// The BPE model that `c` describes; `bytes`: words come as bytes, where the model can take them so.
inline std::unique_ptr<const TokenModel> read_bpe(const Component& c, bool bytes) {
  if (c.get<double>("dropout", 0.0) != 0.0) {
    throw DataError(concat(c.where(), ": field \"dropout\": found ", c.get<double>("dropout"),
                           ", expected null or 0: with dropout the same text has other tokens each time"));
  }
  Vocabulary vocabulary = read_vocabulary(c.field("vocab"), c.where() + ".vocab");
  BpeSettings settings;
  settings.prefix = c.get<std::string>("continuing_subword_prefix", "");
  settings.suffix = c.get<std::string>("end_of_word_suffix", "");
  settings.fuse_unknown = c.get<bool>("fuse_unk", false);
  settings.byte_fallback = c.get<bool>("byte_fallback", false);
  settings.ignore_merges = c.get<bool>("ignore_merges", false);
  settings.bytes = bytes && settings.prefix.empty() && settings.suffix.empty();
  if (c.has("unk_token")) {
    const auto name = c.get<std::string>("unk_token");
    settings.unknown = vocabulary.find(name);
    if (!settings.unknown && !name.empty()) {
      throw DataError(concat(c.where(), ": field \"unk_token\": found ", quote(name),
                             ", which is not in the vocabulary"));
    }
  }
  MergeTable merges = read_merges(c.array("merges"), vocabulary, settings.prefix, c.where() + ".merges");
  return std::make_unique<BpeModel>(std::move(vocabulary), std::move(merges), std::move(settings));
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
