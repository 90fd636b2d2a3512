// SentencePiece's .model file: what it holds, and a reader of its protocol buffer.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a piece is, with the numbers of the file (GGUF has the same).
enum class PieceType { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// A vocabulary with scores, as SentencePiece trains it. The defaults are those of its format.
struct SentencePieceModel {
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::normal;
  };
  enum class Kind { unigram = 1, bpe = 2, word = 3, character = 4 };

  std::vector<Piece> pieces;
  Kind kind = Kind::unigram;
  bool byte_fallback = false;  // what has no piece becomes the pieces of its bytes
  bool treat_whitespace_as_suffix = false;
  std::string precompiled_charsmap;      // how characters are replaced; empty: they are not
  bool add_dummy_prefix = true;          // a text gets a space before it
  bool remove_extra_whitespaces = true;  // spaces at both ends go, and of several in a row one stays
  bool escape_whitespaces = true;        // a space is written as U+2581
  // Ids, or none where the file says -1. What is no control piece does not count.
  std::optional<Token> bos;
  std::optional<Token> eos;
  std::optional<Token> pad;
};

namespace detail {

/// Reads the fields of one message. Every length is checked against what is left.
class ProtoReader {
 public:
  ProtoReader(std::string_view bytes, std::string_view where, Index offset = 0)
      : bytes_(bytes), where_(where), offset_(offset) {}

  /// Goes to the next field; false at the end of the message.
  bool next() {
    if (at_ == bytes_.size()) return false;
    const std::uint64_t key = varint();
    field_ = key >> 3;
    type_ = static_cast<unsigned>(key & 7u);
    if (field_ == 0) fail("a field with the number 0");
    number_ = 0;
    text_ = {};
    switch (type_) {
      case 0: number_ = varint(); break;
      case 1: number_ = fixed(8); break;
      case 2: {
        const std::uint64_t length = varint();
        if (length > bytes_.size() - at_) {
          fail(concat("a length of ", length, " where ", bytes_.size() - at_, " bytes are left"));
        }
        text_offset_ = offset_ + at_;
        text_ = bytes_.substr(at_, static_cast<Index>(length));
        at_ += static_cast<Index>(length);
        break;
      }
      case 5: number_ = fixed(4); break;
      default: fail(concat("a field of wire type ", type_));
    }
    return true;
  }

  std::uint64_t field() const { return field_; }
  bool boolean() const { return expect(0, "a truth value"), number_ != 0; }
  /// An int32, negative ones included.
  std::int32_t integer() const {
    expect(0, "an integer");
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(number_));
  }
  float real() const {
    expect(5, "a float");
    return std::bit_cast<float>(static_cast<std::uint32_t>(number_));
  }
  std::string_view text() const { return expect(2, "text"), text_; }
  ProtoReader message() const { return expect(2, "a message"), ProtoReader(text_, where_, text_offset_); }

  [[noreturn]] void fail(const std::string& found) const {
    throw DataError(
        concat(where_, ": not a SentencePiece model: found ", found, " before byte ", offset_ + at_));
  }

 private:
  void expect(unsigned type, const char* what) const {
    if (type_ != type) fail(concat("field ", field_, " with wire type ", type_, ", expected ", what));
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (at_ == bytes_.size()) fail("the end of the message within a number");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      if (shift == 63 && byte > 1) fail("a number of more than 64 bits");
      value |= static_cast<std::uint64_t>(byte & 0x7Fu) << shift;
      if (byte < 0x80) return value;
    }
    fail("a number of more than ten bytes");
  }

  std::uint64_t fixed(Index size) {
    if (bytes_.size() - at_ < size) fail("the end of the message within a number");
    std::uint64_t value = 0;
    for (Index i = 0; i < size; ++i) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes_[at_ + i])) << (8 * i);
    }
    at_ += size;
    return value;
  }

  std::string_view bytes_;
  std::string_view where_;
  Index offset_;  // of bytes_ in the file
  Index at_ = 0;
  std::uint64_t field_ = 0;
  unsigned type_ = 0;
  std::uint64_t number_ = 0;
  std::string_view text_;
  Index text_offset_ = 0;
};

inline SentencePieceModel::Piece read_sentencepiece(ProtoReader reader, Index id) {
  SentencePieceModel::Piece piece;
  while (reader.next()) {
    switch (reader.field()) {
      case 1: piece.text = reader.text(); break;
      case 2: piece.score = reader.real(); break;
      case 3: {
        const std::int32_t type = reader.integer();
        if (type < 1 || type > 6) reader.fail(concat("piece ", id, " of type ", type, ", expected 1 to 6,"));
        piece.type = static_cast<PieceType>(type);
        break;
      }
      default: break;
    }
  }
  if (piece.text.empty()) reader.fail(concat("piece ", id, " without text"));
  if (!std::isfinite(piece.score)) reader.fail(concat("piece ", id, " with the score ", piece.score));
  return piece;
}

}  // namespace detail

/// Reads the bytes of a .model file. Fields that do not bear on encoding are passed over. Throws DataError
/// that says what was found at which byte: bytes that are no protocol buffer or end too early, no piece, a
/// piece without text, of an unknown type or with a score that is no number.
inline SentencePieceModel parse_sentencepiece(std::string_view bytes, std::string_view where) {
  SentencePieceModel model;
  std::string bos = "<s>";
  std::string eos = "</s>";
  std::string pad = "<pad>";
  std::int32_t bos_id = 1;
  std::int32_t eos_id = 2;
  std::int32_t pad_id = -1;
  detail::ProtoReader reader(bytes, where);
  while (reader.next()) {
    if (reader.field() == 1) {
      model.pieces.push_back(detail::read_sentencepiece(reader.message(), model.pieces.size()));
    } else if (reader.field() == 2) {  // how it was trained
      detail::ProtoReader trainer = reader.message();
      while (trainer.next()) {
        switch (trainer.field()) {
          case 3: {
            const std::int32_t kind = trainer.integer();
            if (kind < 1 || kind > 4) trainer.fail(concat("model type ", kind, ", expected 1 to 4,"));
            model.kind = static_cast<SentencePieceModel::Kind>(kind);
            break;
          }
          case 24: model.treat_whitespace_as_suffix = trainer.boolean(); break;
          case 35: model.byte_fallback = trainer.boolean(); break;
          case 41: bos_id = trainer.integer(); break;
          case 42: eos_id = trainer.integer(); break;
          case 43: pad_id = trainer.integer(); break;
          case 46: bos = trainer.text(); break;
          case 47: eos = trainer.text(); break;
          case 48: pad = trainer.text(); break;
          default: break;
        }
      }
    } else if (reader.field() == 3) {  // how texts are normalised
      detail::ProtoReader normalizer = reader.message();
      while (normalizer.next()) {
        switch (normalizer.field()) {
          case 2: model.precompiled_charsmap = normalizer.text(); break;
          case 3: model.add_dummy_prefix = normalizer.boolean(); break;
          case 4: model.remove_extra_whitespaces = normalizer.boolean(); break;
          case 5: model.escape_whitespaces = normalizer.boolean(); break;
          default: break;
        }
      }
    }
  }
  if (model.pieces.empty()) {
    throw DataError(concat(where, ": not a SentencePiece model: no piece in ", bytes.size(), " bytes"));
  }
  // The package looks for these tokens by their text; the ids say only whether there are any.
  const auto find = [&](std::int32_t id, const std::string& text) -> std::optional<Token> {
    if (id < 0) return std::nullopt;
    for (Index i = 0; i < model.pieces.size(); ++i) {
      if (model.pieces[i].type == PieceType::control && model.pieces[i].text == text) {
        return static_cast<Token>(i);
      }
    }
    return std::nullopt;
  };
  model.bos = find(bos_id, bos);
  model.eos = find(eos_id, eos);
  model.pad = find(pad_id, pad);
  return model;
}

}  // namespace MERIT_ABI
}  // namespace merit
