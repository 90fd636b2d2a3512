// A SentencePiece vocabulary as a description in the schema of a tokenizer.json.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/text/sentencepiece_model.hpp"
#include "merit/tokenizer/description.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a .model file does not say.
struct SentencePieceOptions {
  /// The space before a text also stands before every part of it that follows a special token, as
  /// transformers' `legacy` tokenizers and llama.cpp do. False: only at the beginning of the whole.
  bool prefix_every_part = true;
  bool add_bos = false;
  bool add_eos = false;
};

namespace detail {

/// Where the characters of a UTF-8 text begin, without 0, and how many there are up to each.
inline std::vector<Index> inner_characters(std::string_view text) {
  std::vector<Index> begins;
  for (Index i = 1; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0u) != 0x80u) begins.push_back(i);
  }
  return begins;
}

/// Merges that give what merging the best scored pair gives: each way to cut a normal piece into two, best
/// score first, and for one score the way that transformers' conversion orders them.
inline std::vector<MergePair> merges_of_scores(const SentencePieceModel& model) {
  std::unordered_map<std::string_view, Index> normal;
  normal.reserve(model.pieces.size());
  for (Index id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type == PieceType::normal) normal.emplace(model.pieces[id].text, id);
  }
  struct Way {
    float score;
    Index left_characters;
    Index right_characters;
    const SentencePieceModel::Piece* piece;
    Index cut;
  };
  std::vector<Way> ways;
  for (const auto& piece : model.pieces) {
    if (piece.type != PieceType::normal) continue;
    const std::vector<Index> cuts = inner_characters(piece.text);
    for (Index i = 0; i < cuts.size(); ++i) {
      const std::string_view text = piece.text;
      if (!normal.contains(text.substr(0, cuts[i])) || !normal.contains(text.substr(cuts[i]))) continue;
      ways.push_back({piece.score, i + 1, cuts.size() - i, &piece, cuts[i]});
    }
  }
  std::stable_sort(ways.begin(), ways.end(), [](const Way& a, const Way& b) {
    return std::tie(a.score, a.left_characters, a.right_characters) >
           std::tie(b.score, b.left_characters, b.right_characters);
  });
  std::vector<MergePair> merges;
  merges.reserve(ways.size());
  for (const Way& way : ways)
    merges.emplace_back(way.piece->text.substr(0, way.cut), way.piece->text.substr(way.cut));
  return merges;
}

inline std::string escaped_for_regex(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view(R"(\^$.[]|()?*+{}-#&~/ )").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

/// The steps by which SentencePiece makes a text into what its pieces are looked for in.
inline Json sentencepiece_normalizer(const SentencePieceModel& model, const SentencePieceOptions& options) {
  std::vector<Json> steps;
  const std::string_view space = model.escape_whitespaces ? sentencepiece_space : " ";
  if (!model.precompiled_charsmap.empty()) {
    steps.push_back(
        Json{{"type", "Precompiled"}, {"precompiled_charsmap", base64_text(model.precompiled_charsmap)}});
  }
  if (model.remove_extra_whitespaces) {
    steps.push_back(replace_regex(R"(\A +| +\z)", ""));
    steps.push_back(replace_regex(" {2,}", " "));
  }
  if (model.add_dummy_prefix && options.prefix_every_part) {
    steps.push_back(Json{{"type", "Prepend"}, {"prepend", space}});
  }
  if (model.escape_whitespaces) steps.push_back(replace_string(" ", sentencepiece_space));
  if (model.escape_whitespaces && model.remove_extra_whitespaces) {
    steps.push_back(
        replace_regex(concat("(?:", sentencepiece_space, R"()+\z)"), ""));  // written so in the text
  }
  if (steps.empty()) return nullptr;
  return Json{{"type", "Sequence"}, {"normalizers", std::move(steps)}};
}

/// Pieces that the user defined stay whole: a rule that finds them, the longest first. Empty: there are none.
inline std::string rule_of_user_defined(const SentencePieceModel& model) {
  std::vector<std::string_view> texts;
  for (const auto& piece : model.pieces) {
    if (piece.type == PieceType::user_defined) texts.push_back(piece.text);
  }
  std::stable_sort(texts.begin(), texts.end(),
                   [](std::string_view a, std::string_view b) { return a.size() > b.size(); });
  std::string rule;
  for (const std::string_view text : texts) {
    if (!rule.empty()) rule += '|';
    rule += escaped_for_regex(text);
  }
  return rule;
}

/// The vocabulary of a Unigram model: pieces with the scores that make its search give what SentencePiece's
/// gives.
inline Json unigram_model(const SentencePieceModel& model, Index unknown, const std::string& where) {
  float best = 0;
  float worst = 0;
  bool any = false;
  for (const auto& piece : model.pieces) {
    if (piece.type != PieceType::normal) continue;
    best = any ? std::max(best, piece.score) : piece.score;
    worst = any ? std::min(worst, piece.score) : piece.score;
    any = true;
  }
  VocabularyJson seen(where);
  Json::array_t list;
  list.reserve(model.pieces.size());
  for (Index id = 0; id < model.pieces.size(); ++id) {
    const SentencePieceModel::Piece& piece = model.pieces[id];
    seen.add(piece.text, id);
    std::string text = piece.text;
    double score = piece.score;
    if (piece.type == PieceType::user_defined) {
      // What SentencePiece gives such a piece so that it is nearly always chosen.
      score = static_cast<double>(static_cast<float>(piece.text.size()) * best) - 0.1;
    } else if (piece.type == PieceType::byte) {
      // It stands for a byte and is never found as the text "<0x41>".
      score = 12 * (static_cast<double>(worst) - 10);
    } else if (piece.type == PieceType::unused && model.escape_whitespaces) {
      text.insert(text.begin(), ' ');  // no text has a space when pieces are looked for
    }
    list.push_back(Json::array({std::move(text), score}));
  }
  return Json{{"type", "Unigram"},
              {"unk_id", unknown},
              {"vocab", std::move(list)},
              {"byte_fallback", model.byte_fallback}};
}

inline Json bpe_of_scores(const SentencePieceModel& model, Index unknown, const std::string& where) {
  VocabularyJson vocabulary(where);
  for (Index id = 0; id < model.pieces.size(); ++id) vocabulary.add(model.pieces[id].text, id);
  Json result = bpe_model(std::move(vocabulary).take(), merges_of_scores(model));
  result["unk_token"] = model.pieces[unknown].text;
  result["fuse_unk"] = true;
  result["byte_fallback"] = model.byte_fallback;
  return result;
}

/// How the pieces become text again.
inline Json sentencepiece_decoder(const SentencePieceModel& model) {
  std::vector<Json> steps;
  if (model.escape_whitespaces) steps.push_back(replace_string(sentencepiece_space, " "));
  if (model.byte_fallback) steps.push_back(Json{{"type", "ByteFallback"}});
  steps.push_back(Json{{"type", "Fuse"}});
  if (model.add_dummy_prefix) {
    steps.push_back(Json{{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return Json{{"type", "Sequence"}, {"decoders", std::move(steps)}};
}

}  // namespace detail

/// The description of a tokenizer that encodes as SentencePiece does, but finds control pieces such as "<s>"
/// in a text, as transformers does and templates need. Throws DataError that begins with `where`: a piece
/// that is no text or occurs twice, not exactly one unknown piece, and kinds of models that no tokenizer.json
/// can say: of words, of characters, with the space at the end of words.
inline Json describe_sentencepiece(const SentencePieceModel& model, const std::string& where,
                                   const SentencePieceOptions& options = {}) {
  using Kind = SentencePieceModel::Kind;
  if (model.kind != Kind::unigram && model.kind != Kind::bpe) {
    throw DataError(concat(where, ": a SentencePiece model of ",
                           model.kind == Kind::word ? "words" : "characters",
                           ", expected one of the kinds Unigram and BPE"));
  }
  if (model.treat_whitespace_as_suffix) {
    throw DataError(concat(where,
                           ": a SentencePiece model with the space at the end of words "
                           "(treat_whitespace_as_suffix), expected it at the beginning"));
  }
  std::optional<Index> unknown;
  detail::DescriptionParts parts;
  for (Index id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    detail::check_piece(piece.text, id, where);
    if (piece.type == PieceType::unknown && !unknown) {
      unknown = id;
    } else if (piece.type == PieceType::unknown) {
      throw DataError(
          concat(where, ": pieces ", *unknown, " and ", id, " are both unknown, expected one such piece"));
    } else if (piece.type != PieceType::control) {
      continue;
    }
    parts.whole.push_back({.content = piece.text, .id = static_cast<Token>(id)});
  }
  if (!unknown) throw DataError(concat(where, ": no piece is of the type unknown, expected one"));
  parts.model = model.kind == Kind::bpe ? detail::bpe_of_scores(model, *unknown, where)
                                        : detail::unigram_model(model, *unknown, where);
  parts.normalizer = detail::sentencepiece_normalizer(model, options);
  std::vector<Json> splits;
  if (model.add_dummy_prefix && !options.prefix_every_part) {
    splits.push_back(Json{{"type", "Metaspace"},
                          {"replacement", detail::sentencepiece_space},
                          {"prepend_scheme", "first"},
                          {"split", false}});
  }
  if (const std::string rule = detail::rule_of_user_defined(model);
      model.kind == Kind::bpe && !rule.empty()) {
    splits.push_back(detail::split_by(rule));
    parts.model["ignore_merges"] = true;  // what the rule found is a piece as it stands
  }
  parts.pre_tokenizer = detail::sequence_of("pretokenizers", std::move(splits));
  parts.decoder = detail::sentencepiece_decoder(model);
  const auto named = [&](bool wanted, std::optional<Token> id, const char* what) {
    if (wanted && !id)
      throw DataError(concat(where, ": a token that ", what, " is asked for; there is none"));
    return wanted ? std::optional(detail::NamedToken(model.pieces[*id].text, *id)) : std::nullopt;
  };
  if (options.add_bos || options.add_eos) {
    parts.post_processor = detail::template_of(named(options.add_bos, model.bos, "begins a sequence"),
                                               named(options.add_eos, model.eos, "ends a sequence"));
  }
  return detail::description_of(std::move(parts));
}

}  // namespace MERIT_ABI
}  // namespace merit
