// llama2.c's vocabulary, such as tok512.bin: pieces with the scores by which they are merged.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/text/sentencepiece_description.hpp"
#include "merit/text/sentencepiece_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Reads a vocabulary of llama2.c: int32 longest piece, and then for each piece a float score, an int32
/// length and the bytes, all little-endian. Ids 0, 1 and 2 are the unknown, the first and the last token
/// (written "\n<s>\n" and "\n</s>\n" in such files), the next 256 the single bytes. A space stands as it is;
/// a text gets one before it. Throws DataError: a file that ends within a piece, a length below 1 or beyond
/// the longest, fewer than 259 pieces, other pieces where the bytes are expected.
inline SentencePieceModel parse_llama2c_vocabulary(std::string_view bytes, const std::string& where) {
  Index at = 0;
  const auto number = [&](const char* what) {
    if (bytes.size() - at < 4) {
      throw DataError(concat(where, ": the file ends at byte ", bytes.size(), " within ", what));
    }
    std::uint32_t value = 0;
    for (Index i = 0; i < 4; ++i) {
      value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
    }
    at += 4;
    return value;
  };
  const std::uint32_t longest = number("the length of the longest piece");
  SentencePieceModel model;
  model.kind = SentencePieceModel::Kind::bpe;
  model.byte_fallback = true;
  model.remove_extra_whitespaces = false;
  model.escape_whitespaces = false;
  while (at < bytes.size()) {
    const Index id = model.pieces.size();
    SentencePieceModel::Piece piece;
    piece.score = std::bit_cast<float>(number("a score"));
    const std::uint32_t length = number("a length");
    if (!std::isfinite(piece.score) || length == 0 || length > longest || length > bytes.size() - at) {
      throw DataError(concat(where, ": piece ", id, " has the score ", piece.score, " and the length ",
                             length, ", expected a number and a length from 1 to ", longest, " of the ",
                             bytes.size() - at, " bytes that are left"));
    }
    piece.text = bytes.substr(at, length);
    at += length;
    if (id == 1 && piece.text == "\n<s>\n") piece.text = "<s>";
    if (id == 2 && piece.text == "\n</s>\n") piece.text = "</s>";
    if (id == 0) {
      piece.type = PieceType::unknown;
    } else if (id < 3) {
      piece.type = PieceType::control;
    } else if (id < 259) {
      constexpr std::string_view digits = "0123456789ABCDEF";
      const std::string expected = {'<', '0', 'x', digits[(id - 3) / 16], digits[(id - 3) % 16], '>'};
      if (piece.text != expected) {
        throw DataError(concat(where, ": piece ", id, " is ", detail::quote_bytes(piece.text), ", expected ",
                               expected, " as in a vocabulary of llama2.c"));
      }
      piece.type = PieceType::byte;
    }
    model.pieces.push_back(std::move(piece));
  }
  if (model.pieces.size() < 259) {
    throw DataError(concat(where, ": ", model.pieces.size(), " pieces, expected 259 and more"));
  }
  model.bos = 1;
  model.eos = 2;
  return model;
}

/// Its description: a text is encoded as llama2.c does, with <s> before it.
inline Json describe_llama2c_vocabulary(std::string_view bytes, const std::string& where) {
  return describe_sentencepiece(parse_llama2c_vocabulary(bytes, where), where, {.add_bos = true});
}

}  // namespace MERIT_ABI
}  // namespace merit
