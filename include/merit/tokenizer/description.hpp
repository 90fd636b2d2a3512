// Descriptions of tokenizers: the parts, in the schema of a tokenizer.json, from which the readers of all
// other vocabulary formats put one together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/utf8.hpp"
#include "merit/tokenizer/byte_alphabet.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A piece that is found in a text as a whole, before the model of the tokenizer sees the text.
struct WholePiece {
  std::string content;
  Token id = 0;
  bool special = true;      // a mark of the format and no text; decoding may leave it out
  bool normalized = false;  // looked for in the normalised text
  bool lstrip = false;      // takes the white space before it
  bool rstrip = false;      // takes the white space after it
  bool single_word = false;
};

/// Two pieces that become one. Which come first in a list of merges are merged first.
using MergePair = std::pair<std::string, std::string>;

namespace detail {

/// Pieces of published vocabularies have at most some hundred characters. The bound keeps the work that a
/// hostile file asks for, each way to cut each piece in two, linear in its size.
inline constexpr Index piece_size_limit = 1024;

inline constexpr std::string_view sentencepiece_space = "\xE2\x96\x81";  // U+2581, what stands for a space

/// The text of a file, which is no pointer that Git LFS left in its place.
inline std::string read_text_file(const std::filesystem::path& path) {
  std::string text = read_file(path);
  if (text.starts_with("version https://git-lfs.github.com/spec/")) {
    throw DataError(
        concat(path.string(),
               ": found a Git LFS pointer in place of the file, expected the file itself (fetch it with "
               "git lfs pull, or download it)"));
  }
  return text;
}

inline Json piece_json(const WholePiece& piece) {
  return Json{{"id", piece.id},          {"content", piece.content}, {"single_word", piece.single_word},
              {"lstrip", piece.lstrip},  {"rstrip", piece.rstrip},   {"normalized", piece.normalized},
              {"special", piece.special}};
}

/// Several parts in their order, as one; `field` is what the schema calls the list.
inline Json sequence_of(std::string_view field, std::vector<Json> parts) {
  if (parts.empty()) return nullptr;
  if (parts.size() == 1) return std::move(parts.front());
  return Json{{"type", "Sequence"}, {std::string(field), std::move(parts)}};
}

inline Json replace_string(std::string_view from, std::string_view to) {
  return Json{{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}
inline Json replace_regex(std::string_view from, std::string_view to) {
  return Json{{"type", "Replace"}, {"pattern", {{"Regex", from}}}, {"content", to}};
}

/// Splits a text at what `rule` matches; both the matches and what lies between them are pieces.
inline Json split_by(std::string_view rule) {
  return Json{{"type", "Split"}, {"pattern", {{"Regex", rule}}}, {"behavior", "Isolated"}, {"invert", false}};
}
inline Json split_digits(bool one_by_one) {
  return Json{{"type", "Digits"}, {"individual_digits", one_by_one}};
}
/// Bytes as letters; with `split`, after GPT-2's split rule.
inline Json byte_level(bool split, bool add_prefix_space = false) {
  return Json{{"type", "ByteLevel"},
              {"add_prefix_space", add_prefix_space},
              {"trim_offsets", true},
              {"use_regex", split}};
}

using NamedToken = std::pair<std::string, Token>;

/// Puts `before` before a text and `after` after it; of a pair of texts the second gets `before` only if
/// `second_has_before` (BERT has one [CLS] and two [SEP]).
inline Json template_of(const std::optional<NamedToken>& before, const std::optional<NamedToken>& after,
                        bool second_has_before = true) {
  const auto special = [](const NamedToken& token, int type) {
    return Json{{"SpecialToken", {{"id", token.first}, {"type_id", type}}}};
  };
  const auto text = [](const char* name, int type) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  Json single = Json::array();
  Json tokens = Json::object();
  for (const auto* token : {&before, &after}) {
    if (!*token) continue;
    const auto& [name, id] = **token;
    tokens[name] = Json{{"id", name}, {"ids", Json::array({id})}, {"tokens", Json::array({name})}};
  }
  if (before) single.push_back(special(*before, 0));
  single.push_back(text("A", 0));
  if (after) single.push_back(special(*after, 0));
  Json pair = single;
  if (before && second_has_before) pair.push_back(special(*before, 1));
  pair.push_back(text("B", 1));
  if (after) pair.push_back(special(*after, 1));
  return Json{{"type", "TemplateProcessing"},
              {"single", std::move(single)},
              {"pair", std::move(pair)},
              {"special_tokens", std::move(tokens)}};
}

/// The parts of a tokenizer.json beside its model; null where there is none.
struct DescriptionParts {
  std::vector<WholePiece> whole;
  Json normalizer = nullptr;
  Json pre_tokenizer = nullptr;
  Json post_processor = nullptr;
  Json decoder = nullptr;
  Json model = nullptr;
};

inline Json description_of(DescriptionParts parts) {
  Json whole = Json::array();
  for (const WholePiece& piece : parts.whole) whole.push_back(piece_json(piece));
  return Json{{"version", "1.0"},
              {"truncation", nullptr},
              {"padding", nullptr},
              {"added_tokens", std::move(whole)},
              {"normalizer", std::move(parts.normalizer)},
              {"pre_tokenizer", std::move(parts.pre_tokenizer)},
              {"post_processor", std::move(parts.post_processor)},
              {"decoder", std::move(parts.decoder)},
              {"model", std::move(parts.model)}};
}

/// Bytes that may be no text, for an error message.
inline std::string quote_bytes(std::string_view bytes) {
  std::string shown;
  for (const char c : bytes.substr(0, 40)) shown += static_cast<unsigned char>(c) < 0x80 ? c : '?';
  return quote(shown);
}

/// Refuses a piece that is not UTF-8, which no tokenizer.json can hold, or too long.
inline void check_piece(std::string_view piece, Index id, std::string_view where) {
  if (piece.size() > piece_size_limit) {
    throw DataError(
        concat(where, ": piece ", id, " has ", piece.size(), " bytes, expected at most ", piece_size_limit));
  }
  if (first_invalid_utf8(piece) != piece.size()) {
    throw DataError(concat(where, ": piece ", id, " is ", quote_bytes(piece), ", expected UTF-8"));
  }
}

/// A vocabulary under construction, as the object {piece: id}. Every error begins with `where`.
class VocabularyJson {
 public:
  explicit VocabularyJson(std::string where) : where_(std::move(where)) {}

  void add(const std::string& piece, Index id) {
    check_piece(piece, id, where_);
    if (id > std::numeric_limits<Token>::max()) {
      throw DataError(concat(where_, ": piece ", quote(piece), " has the id ", id, ", expected at most ",
                             std::numeric_limits<Token>::max()));
    }
    const auto [entry, fresh] = pieces_.try_emplace(piece, id);
    if (!fresh) {
      throw DataError(concat(where_, ": the piece ", quote(piece), " occurs twice, as ", entry->second.dump(),
                             " and as ", id));
    }
  }
  bool contains(const std::string& piece) const { return pieces_.contains(piece); }
  std::optional<Token> find(const std::string& piece) const {
    const auto entry = pieces_.find(piece);
    if (entry == pieces_.end()) return std::nullopt;
    return entry->second.get<Token>();
  }
  Index size() const { return pieces_.size(); }
  Json take() && { return Json(std::move(pieces_)); }

 private:
  std::string where_;
  Json::object_t pieces_;
};

/// Merges as a tokenizer.json lists them: "left right" where no piece has a space, else pairs.
inline Json merges_json(const std::vector<MergePair>& merges) {
  bool spaces = false;
  for (const auto& [left, right] : merges) {
    spaces = spaces || left.find(' ') != left.npos || right.find(' ') != right.npos || left.empty() ||
             right.empty() || left.starts_with("#version");
  }
  Json::array_t list;
  list.reserve(merges.size());
  for (const auto& [left, right] : merges) {
    if (spaces) {
      list.push_back(Json::array({left, right}));
    } else {
      list.push_back(left + " " + right);
    }
  }
  return Json(std::move(list));
}

/// A model that merges pairs of pieces; without an unknown token, as byte-level vocabularies have none.
inline Json bpe_model(Json vocabulary, const std::vector<MergePair>& merges) {
  return Json{{"type", "BPE"},
              {"dropout", nullptr},
              {"unk_token", nullptr},
              {"continuing_subword_prefix", nullptr},
              {"end_of_word_suffix", nullptr},
              {"fuse_unk", false},
              {"byte_fallback", false},
              {"ignore_merges", false},
              {"vocab", std::move(vocabulary)},
              {"merges", merges_json(merges)}};
}

/// Bytes as the characters that stand for them in byte-level vocabularies.
inline std::string byte_level_text(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) append_character(text, byte_characters[static_cast<unsigned char>(byte)]);
  return text;
}

/// Base64 (RFC 4648, with padding).
inline std::string base64_text(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (Index at = 0; at < bytes.size(); at += 3) {
    const Index count = std::min<Index>(3, bytes.size() - at);
    std::uint32_t bits = 0;
    for (Index i = 0; i < 3; ++i) {
      bits = bits << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    }
    for (Index i = 0; i < 4; ++i) text += i <= count ? digits[bits >> (18 - 6 * i) & 63u] : '=';
  }
  return text;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
