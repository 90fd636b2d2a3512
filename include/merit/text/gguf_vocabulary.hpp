// The vocabulary inside a GGUF file, as a description in the schema of a tokenizer.json.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/text/sentencepiece_description.hpp"
#include "merit/text/sentencepiece_model.hpp"
#include "merit/text/wordpiece_file.hpp"
#include "merit/tokenizer/description.hpp"
#include "merit/tokenizer/split_rules.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What the fields "tokenizer.*" of a GGUF file say. Ids and truth values are nothing where the file is
/// silent.
struct GgufVocabulary {
  std::string model;               // "gpt2", "llama", "bert", "t5", "gemma4"
  std::optional<std::string> pre;  // the split rule of "gpt2"
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> types;  // as PieceType; none: all normal
  std::vector<std::string> merges;  // "left right", best first
  std::string precompiled_charsmap;
  std::optional<bool> add_bos_token, add_eos_token, add_space_prefix, remove_extra_whitespaces;
  std::optional<bool> lowercase, strip_accents;
  std::optional<Token> bos, eos, unk, sep, pad, cls, mask;
  std::map<std::string, std::string> chat_templates;  // by name; "default" is the one without a name
  std::string architecture;
  std::string name;  // of the model
};

namespace detail {

/// Chat templates by name; "default" is the one without a name.
inline std::map<std::string, std::string> gguf_chat_templates(const GgufFile& file) {
  std::map<std::string, std::string> templates;
  if (const auto text = file.optional<std::string>("tokenizer.chat_template")) {
    templates.emplace("default", *text);
  }
  for (const std::string& name : file.optional<std::vector<std::string>>("tokenizer.chat_templates")
                                     .value_or(std::vector<std::string>())) {
    if (const auto text = file.optional<std::string>("tokenizer.chat_template." + name)) {
      templates.emplace(name, *text);
    }
  }
  return templates;
}

}  // namespace detail

/// Reads them. Throws DataError: no vocabulary, lists of different lengths, an id that names no token, a
/// score that is no number.
inline GgufVocabulary read_gguf_vocabulary(const GgufFile& file) {
  const std::string where = file.path().string();
  GgufVocabulary vocabulary;
  const auto key = [](std::string_view name) { return "tokenizer.ggml." + std::string(name); };
  vocabulary.model = file.require<std::string>(key("model"));
  vocabulary.pre = file.optional<std::string>(key("pre"));
  vocabulary.architecture = file.optional<std::string>("general.architecture").value_or("");
  vocabulary.name = file.optional<std::string>("general.name").value_or("");
  if (vocabulary.model == "no_vocab" || vocabulary.model == "none") {
    throw DataError(concat(where, ": the file has no vocabulary (tokenizer.ggml.model is ",
                           detail::quote(vocabulary.model), ")"));
  }
  vocabulary.tokens = file.require<std::vector<std::string>>(key("tokens"));
  using Floats = std::vector<float>;
  using Integers = std::vector<std::int32_t>;
  using Strings = std::vector<std::string>;
  vocabulary.scores = file.optional<Floats>(key("scores")).value_or(Floats());
  vocabulary.types = file.optional<Integers>(key("token_type")).value_or(Integers());
  vocabulary.merges = file.optional<Strings>(key("merges")).value_or(Strings());
  if (const auto map = file.optional<std::vector<std::int32_t>>(key("precompiled_charsmap"))) {
    for (const std::int32_t byte : *map) vocabulary.precompiled_charsmap += static_cast<char>(byte);
  }
  const std::array<std::pair<const char*, std::optional<bool>*>, 6> flags = {
      {{"add_bos_token", &vocabulary.add_bos_token},
       {"add_eos_token", &vocabulary.add_eos_token},
       {"add_space_prefix", &vocabulary.add_space_prefix},
       {"remove_extra_whitespaces", &vocabulary.remove_extra_whitespaces},
       {"normalizer.lowercase", &vocabulary.lowercase},
       {"normalizer.strip_accents", &vocabulary.strip_accents}}};
  for (const auto& [name, value] : flags) *value = file.optional<bool>(key(name));
  const std::array<std::pair<const char*, std::optional<Token>*>, 7> ids = {
      {{"bos_token_id", &vocabulary.bos},
       {"eos_token_id", &vocabulary.eos},
       {"unknown_token_id", &vocabulary.unk},
       {"seperator_token_id", &vocabulary.sep},  // spelled so in all files
       {"padding_token_id", &vocabulary.pad},
       {"cls_token_id", &vocabulary.cls},
       {"mask_token_id", &vocabulary.mask}}};
  const Index size = vocabulary.tokens.size();
  for (const auto& [name, value] : ids) {
    *value = file.optional<Token>(key(name));
    if (*value == std::numeric_limits<Token>::max()) *value = std::nullopt;  // some files write -1 so
    if (*value && **value >= size) {
      throw DataError(concat(where, ": ", key(name), " is ", **value, ", expected an id below ", size));
    }
  }
  for (const auto& [name, count] : {std::pair(key("scores"), vocabulary.scores.size()),
                                    std::pair(key("token_type"), vocabulary.types.size())}) {
    if (count != 0 && count != size) {
      throw DataError(
          concat(where, ": ", name, " has ", count, " entries, expected one for each of ", size, " tokens"));
    }
  }
  vocabulary.chat_templates = detail::gguf_chat_templates(file);
  return vocabulary;
}

namespace detail {

inline PieceType gguf_type(const GgufVocabulary& vocabulary, Index id) {
  if (vocabulary.types.empty()) return PieceType::normal;
  const std::int32_t type = vocabulary.types[id];
  return type >= 1 && type <= 6 ? static_cast<PieceType>(type) : PieceType::normal;
}

/// Tokens that files leave empty get the name that llama.cpp gives them.
inline std::string gguf_token(const GgufVocabulary& vocabulary, Index id) {
  return vocabulary.tokens[id].empty() ? concat("[EMPTY_", id, "]") : vocabulary.tokens[id];
}

inline std::optional<NamedToken> gguf_named(const GgufVocabulary& vocabulary, std::optional<Token> id) {
  if (!id || *id >= vocabulary.tokens.size()) return std::nullopt;
  return NamedToken(gguf_token(vocabulary, *id), *id);
}

/// What is found in a text as a whole.
inline std::vector<WholePiece> gguf_whole_pieces(const GgufVocabulary& vocabulary) {
  // Phi-3's marks take the white space behind them, and <mask> of these takes what stands before it; the
  // files do not say so, and llama.cpp knows it by the same names.
  std::string name = vocabulary.name;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  const bool phi3 = name.find("phi-3") != name.npos || name.find("phi3") != name.npos;
  const bool mask_strips = vocabulary.architecture == "nomic-bert-moe" ||
                           vocabulary.architecture == "jina-bert-v3" ||
                           vocabulary.pre.value_or("").starts_with("jina-v2-");
  std::vector<WholePiece> whole;
  for (Index id = 0; id < vocabulary.tokens.size(); ++id) {
    const PieceType type = gguf_type(vocabulary, id);
    if (type != PieceType::control && type != PieceType::user_defined && type != PieceType::unknown) continue;
    WholePiece piece{.content = gguf_token(vocabulary, id), .id = static_cast<Token>(id)};
    piece.special = type != PieceType::user_defined;
    piece.rstrip =
        phi3 && piece.content != "<unk>" && piece.content != "<s>" && piece.content != "<|endoftext|>";
    piece.lstrip = mask_strips && piece.content == "<mask>";
    check_piece(piece.content, id, vocabulary.model);
    whole.push_back(std::move(piece));
  }
  return whole;
}

/// Tokens and merges of the kinds that list their merges.
inline Json gguf_bpe_model(const GgufVocabulary& vocabulary, const std::string& where) {
  VocabularyJson pieces(where);
  for (Index id = 0; id < vocabulary.tokens.size(); ++id) pieces.add(gguf_token(vocabulary, id), id);
  if (vocabulary.merges.empty()) throw DataError(where + ": no merges, expected tokenizer.ggml.merges");
  std::vector<MergePair> merges;
  merges.reserve(vocabulary.merges.size());
  for (Index i = 0; i < vocabulary.merges.size(); ++i) {
    const std::string& text = vocabulary.merges[i];
    const auto space = text.find(' ', 1);  // a piece may begin with a space
    if (space == text.npos || space + 1 == text.size()) {
      throw DataError(concat(where, ": merge ", i, " is ", quote_bytes(text), ", expected two pieces"));
    }
    MergePair merge(text.substr(0, space), text.substr(space + 1));
    for (const std::string& piece : {merge.first, merge.second, merge.first + merge.second}) {
      if (pieces.contains(piece)) continue;
      throw DataError(
          concat(where, ": merge ", i, ": the piece ", quote_bytes(piece), " is not in the vocabulary"));
    }
    merges.push_back(std::move(merge));
  }
  return bpe_model(std::move(pieces).take(), merges);
}

/// Byte-level merges after a split rule.
inline DescriptionParts describe_gguf_gpt2(const GgufVocabulary& vocabulary, const std::string& where) {
  SplitRule rule = split_rule(vocabulary.pre.value_or("default"), false, where);
  DescriptionParts parts;
  parts.whole = gguf_whole_pieces(vocabulary);
  parts.model = gguf_bpe_model(vocabulary, where);
  parts.model["ignore_merges"] = rule.ignore_merges;
  parts.normalizer = std::move(rule.normalizer);
  parts.pre_tokenizer = std::move(rule.pre_tokenizer);
  parts.decoder = byte_level(true);
  const bool begins = vocabulary.add_bos_token.value_or(rule.add_bos && vocabulary.bos);
  const bool ends = vocabulary.add_eos_token.value_or(false);
  parts.post_processor = byte_level(true);
  parts.post_processor["trim_offsets"] = false;
  if (begins || ends) {
    parts.post_processor = sequence_of(
        "processors", {std::move(parts.post_processor),
                       template_of(begins ? gguf_named(vocabulary, vocabulary.bos) : std::nullopt,
                                   ends ? gguf_named(vocabulary, vocabulary.eos) : std::nullopt)});
  }
  return parts;
}

/// Merges over characters, with the bytes of what has no piece.
inline DescriptionParts describe_gguf_gemma(const GgufVocabulary& vocabulary, const std::string& where) {
  DescriptionParts parts;
  parts.whole = gguf_whole_pieces(vocabulary);
  parts.model = gguf_bpe_model(vocabulary, where);
  if (const auto unknown = gguf_named(vocabulary, vocabulary.unk)) parts.model["unk_token"] = unknown->first;
  parts.model["fuse_unk"] = true;
  parts.model["byte_fallback"] = true;
  parts.normalizer = replace_string(" ", sentencepiece_space);
  parts.decoder = Json{
      {"type", "Sequence"},
      {"decoders",
       {replace_string(sentencepiece_space, " "), Json{{"type", "ByteFallback"}}, Json{{"type", "Fuse"}}}}};
  if (vocabulary.add_bos_token.value_or(true) || vocabulary.add_eos_token.value_or(false)) {
    parts.post_processor = template_of(
        vocabulary.add_bos_token.value_or(true) ? gguf_named(vocabulary, vocabulary.bos) : std::nullopt,
        vocabulary.add_eos_token.value_or(false) ? gguf_named(vocabulary, vocabulary.eos) : std::nullopt);
  }
  return parts;
}

/// SentencePiece's two kinds.
inline Json describe_gguf_sentencepiece(const GgufVocabulary& vocabulary, const std::string& where) {
  const bool unigram = vocabulary.model == "t5";
  const Index size = vocabulary.tokens.size();
  if (vocabulary.scores.empty()) throw DataError(where + ": no scores, expected tokenizer.ggml.scores");
  SentencePieceModel model;
  model.kind = unigram ? SentencePieceModel::Kind::unigram : SentencePieceModel::Kind::bpe;
  model.add_dummy_prefix = vocabulary.add_space_prefix.value_or(!unigram);
  model.remove_extra_whitespaces = vocabulary.remove_extra_whitespaces.value_or(false);
  model.precompiled_charsmap = unigram ? vocabulary.precompiled_charsmap : std::string();
  const auto id_or = [&](std::optional<Token> id, Token fallback) -> std::optional<Token> {
    if (id) return id;
    return fallback < size ? std::optional(fallback) : std::nullopt;
  };
  model.bos = unigram ? vocabulary.bos : id_or(vocabulary.bos, 1);
  model.eos = id_or(vocabulary.eos, unigram ? 1 : 2);
  const std::optional<Token> unknown = id_or(vocabulary.unk, unigram ? 2 : 0);
  for (Index id = 0; id < size; ++id) {
    SentencePieceModel::Piece piece{gguf_token(vocabulary, id), vocabulary.scores[id],
                                    gguf_type(vocabulary, id)};
    if (!std::isfinite(piece.score)) {
      throw DataError(concat(where, ": token ", id, " has the score ", piece.score, ", expected a number"));
    }
    model.byte_fallback = model.byte_fallback || piece.type == PieceType::byte;
    if (id == unknown) {
      piece.type = PieceType::unknown;
    } else if (piece.type == PieceType::unknown) {
      piece.type = PieceType::control;
    } else if (piece.type == PieceType::user_defined && !unigram) {
      piece.type = PieceType::normal;  // also a product of merges; found as a whole besides, below
    }
    model.pieces.push_back(std::move(piece));
  }
  Json description = describe_sentencepiece(model, where,
                                            {.add_bos = vocabulary.add_bos_token.value_or(!unigram),
                                             .add_eos = vocabulary.add_eos_token.value_or(unigram)});
  Json& whole = description["added_tokens"] = Json::array();
  for (const WholePiece& piece : gguf_whole_pieces(vocabulary)) {
    if (piece.special || !unigram) whole.push_back(piece_json(piece));
  }
  return description;
}

/// WordPiece: a piece that begins a word is marked with U+2581 here, one that continues it is not marked.
inline Json describe_gguf_bert(const GgufVocabulary& vocabulary, const std::string& where) {
  std::vector<std::string> pieces;
  pieces.reserve(vocabulary.tokens.size());
  for (Index id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string token = gguf_token(vocabulary, id);
    if (token.starts_with(sentencepiece_space) && token.size() > sentencepiece_space.size()) {
      pieces.push_back(token.substr(sentencepiece_space.size()));
    } else if (token.starts_with('[') && token.ends_with(']')) {
      pieces.push_back(token);
    } else {
      pieces.push_back("##" + token);
    }
  }
  WordPieceOptions options;
  options.do_lower_case = vocabulary.lowercase.value_or(true);
  options.strip_accents = vocabulary.strip_accents;
  const auto name = [&](std::optional<Token> id, Token fallback, std::string& out) {
    const Token found = id.value_or(fallback);
    if (found >= pieces.size()) throw DataError(concat(where, ": the token ", found, " is missing"));
    out = pieces[found];
  };
  name(vocabulary.unk, 100, options.unk_token);
  name(vocabulary.cls ? vocabulary.cls : vocabulary.bos, 101, options.cls_token);
  name(vocabulary.sep, 102, options.sep_token);
  return describe_wordpiece(pieces, where, options);
}

}  // namespace detail

/// The description of the tokenizer. `where` names the file in errors. What is not known is refused by its
/// name: the model, the split rule. Throws DataError as the readers of the single kinds do.
inline Json describe_gguf(const GgufVocabulary& vocabulary, const std::string& where) {
  if (vocabulary.tokens.empty()) throw DataError(where + ": the vocabulary has no tokens");
  if (vocabulary.model == "gpt2")
    return detail::description_of(detail::describe_gguf_gpt2(vocabulary, where));
  if (vocabulary.model == "gemma4")
    return detail::description_of(detail::describe_gguf_gemma(vocabulary, where));
  if (vocabulary.model == "llama" || vocabulary.model == "t5") {
    return detail::describe_gguf_sentencepiece(vocabulary, where);
  }
  if (vocabulary.model == "bert") return detail::describe_gguf_bert(vocabulary, where);
  throw DataError(concat(where, ": found the vocabulary model ", detail::quote(vocabulary.model),
                         " (tokenizer.ggml.model), expected one of: gpt2, llama, bert, t5, gemma4"));
}

}  // namespace MERIT_ABI
}  // namespace merit
