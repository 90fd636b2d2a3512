// The steps of a published tokenizer: added tokens, normaliser, pre-tokenizer, model, post-processor,
// decoder.
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
#include "merit/core/hash.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/io/utf8.hpp"
#include "merit/tokenizer/added_tokens.hpp"
#include "merit/tokenizer/bpe.hpp"
#include "merit/tokenizer/component.hpp"
#include "merit/tokenizer/decoders.hpp"
#include "merit/tokenizer/normalizers.hpp"
#include "merit/tokenizer/post_processors.hpp"
#include "merit/tokenizer/pre_tokenizers.hpp"
#include "merit/tokenizer/settled_text.hpp"
#include "merit/tokenizer/token_span.hpp"
#include "merit/tokenizer/unigram.hpp"
#include "merit/tokenizer/word_piece.hpp"
#include "merit/unicode/aligned_text.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// FNV-1a over a value, without writing it out. Strings are preceded by their lengths, so that two values of
/// one hash text are equal.
class JsonHash {
 public:
  void add(const Json& value, int depth = 0) {
    if (depth > 64) throw DataError("a tokenizer's description is nested deeper than 64 levels");
    if (value.is_object()) {
      add_text(concat("{", value.size()));
      for (const auto& [name, field] : value.items()) {
        add_text(name);
        add(field, depth + 1);
      }
    } else if (value.is_array()) {
      add_text(concat("[", value.size()));
      for (const Json& item : value) add(item, depth + 1);
    } else if (value.is_string()) {
      byte('"');
      add_text(value.get_ref<const std::string&>());
    } else {
      add_text(value.dump());
    }
  }
  std::uint64_t value() const { return hash_; }

 private:
  void byte(unsigned char b) { hash_ = (hash_ ^ b) * 0x100000001B3u; }
  void add_text(std::string_view text) {
    for (Index size = text.size(); size != 0; size >>= 8) byte(static_cast<unsigned char>(size & 0xFFu));
    byte(0);
    for (const char c : text) byte(static_cast<unsigned char>(c));
  }
  std::uint64_t hash_ = 0xCBF29CE484222325u;
};

/// The model that `c` describes. Old files do not name its type.
inline std::unique_ptr<const TokenModel> read_model(const Component& c, bool bytes) {
  const std::string type = c.has("type")                       ? c.type()
                           : c.has("merges")                   ? "BPE"
                           : c.field("vocab").is_array()       ? "Unigram"
                           : c.has("max_input_chars_per_word") ? "WordPiece"
                                                               : "WordLevel";
  if (type == "BPE") return read_bpe(c, bytes);
  if (type == "Unigram") return read_unigram(c);
  if (type == "WordPiece") return read_word_piece(c);
  if (type == "WordLevel") return read_word_level(c);
  c.refuse_type("model", "BPE, Unigram, WordLevel, WordPiece");
}

/// All steps; nothing of it changes once it is made.
struct TokenizerPipeline {
  std::string where;
  std::string name;
  std::vector<std::unique_ptr<const Normalizer>> normalizers;
  std::vector<std::unique_ptr<PreTokenizer>> pre_tokenizers;
  std::unique_ptr<const TokenModel> model;
  AddedTokens added;
  SettledText cuts;
  PostProcessing post;
  std::vector<std::unique_ptr<const Decoder>> decoders;
  std::optional<Index> truncation;
  Index size = 0;
  bool bytes = false;  // the model takes bytes
  bool has_decoder = false;
  bool needs_spans = false;  // a step asks where a piece stands in the text

  TokenizerPipeline(const Json& description, const std::string& given_where) : where(given_where) {
    const Component all(description, where);
    if (all.get<std::string>("version", "1.0") != "1.0") {
      throw DataError(concat(where, ": field \"version\": found ", quote(all.get<std::string>("version")),
                             ", expected \"1.0\""));
    }
    if (all.has("normalizer")) normalizers = read_normalizers(part(all, "normalizer"));
    if (all.has("pre_tokenizer")) pre_tokenizers = read_pre_tokenizers(part(all, "pre_tokenizer"));
    ByteLevelPreTokenizer* last = nullptr;
    for (const auto& step : pre_tokenizers) {
      last = dynamic_cast<ByteLevelPreTokenizer*>(step.get());
      const auto* metaspace = dynamic_cast<const MetaspacePreTokenizer*>(step.get());
      needs_spans |= metaspace != nullptr && metaspace->prepend == MetaspacePreTokenizer::Prepend::first;
    }
    model = read_model(part(all, "model"), last != nullptr);
    const auto* bpe = dynamic_cast<const BpeModel*>(model.get());
    bytes = bpe != nullptr && bpe->takes_bytes();
    if (bytes) last->spell = false;
    if (all.has("added_tokens")) {
      added = AddedTokens(
          all.field("added_tokens"), model->vocabulary,
          [&](const std::string& text) { return normalized(text); }, where + ": added_tokens");
    }
    cuts = SettledText(description, where, added);
    if (all.has("post_processor")) post = read_post_processing(part(all, "post_processor"));
    has_decoder = all.has("decoder");
    if (has_decoder) decoders = read_decoders(part(all, "decoder"));
    if (all.has("truncation")) truncation = part(all, "truncation").get<Index>("max_length");
    size = model->vocabulary.size();
    for (const AddedToken& token : added.all()) size = std::max<Index>(size, Index{token.id} + 1);
    for (const auto* list : {&post.before, &post.after, &post.between}) {
      for (const Token id : *list) {
        if (model->vocabulary.contains(id) || added.find(id) != nullptr) continue;
        throw DataError(
            concat(where, ": post_processor: found the id ", id, ", expected one of the vocabulary"));
      }
    }
    JsonHash hash;
    for (const auto& [field, value] : description.items()) {
      if (field != "padding" && field != "truncation") hash.add({{field, value}});
    }
    constexpr std::string_view digits = "0123456789abcdef";
    name = "pretrained:";
    for (int shift = 60; shift >= 0; shift -= 4) name += digits[(hash.value() >> shift) & 15u];
  }

  std::optional<Token> likely_eos() const {
    if (!post.after.empty()) return post.after.back();
    for (const char* usual : {"<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>", "<|eot_id|>",
                              "<\xEF\xBD\x9C"
                              "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
                              "[SEP]"}) {
      if (const AddedToken* token = added.find(std::string(usual))) return token->id;
    }
    return std::nullopt;
  }

  void normalize(AlignedText& text) const {
    for (const auto& step : normalizers) step->apply(text);
  }

 private:
  static Component part(const Component& all, std::string_view field) {
    return {all.field(field), concat(all.where(), ": ", field)};
  }
  std::string normalized(const std::string& text) const {
    AlignedText aligned;
    aligned.assign(text, 0, false);
    normalize(aligned);
    return aligned.text;
  }
};

/// White space at both ends of a token's text, in characters.
struct EdgeSpaces {
  Index front = 0;
  Index back = 0;
};
inline EdgeSpaces edge_spaces(std::string_view text) {
  const auto is_space = [](char32_t c) { return is_white_space(c) || c == byte_characters[' ']; };
  EdgeSpaces result;
  for (Index at = 0; at < text.size() && is_space(next_character(text, at)); ++result.front) {
  }
  for (Index end = text.size(); end > 0; ++result.back) {
    end = previous_character(text, end);
    Index at = end;
    if (!is_space(next_character(text, at))) break;
  }
  return result;
}

/// Cuts white space off a token's span. `keep_one`: a single space in front was put there by the tokenizer.
inline void trim(std::string_view text, EdgeSpaces spaces, bool keep_one, TokenSpan& span) {
  if (keep_one && spaces.front == 1) spaces.front = 0;
  for (; spaces.front > 0 && span.begin < span.end; --spaces.front) {
    ++span.begin;
    while (span.begin < span.end && !is_boundary(text, span.begin)) ++span.begin;
  }
  Index end = span.end;
  Index left = spaces.back;
  for (; left > 0 && end > 0; --left) end = previous_character(text, end);
  if (left == 0) span.end = std::max(end, std::min(span.begin, span.end));
}

/// One text on its way through the steps.
class Encoder {
 public:
  Encoder(const TokenizerPipeline& pipeline, std::string_view text, bool tracked)
      : pipeline_(pipeline), text_(text), tracked_(tracked || pipeline.needs_spans), wanted_(tracked) {
    if (text.size() > std::numeric_limits<std::uint32_t>::max() / 2) {
      throw DataError(concat("found a text of ", text.size(), " bytes, expected less than 2 GiB"));
    }
  }

  /// Calls put(id, begin, end) for each token; where spans are not tracked, begin and end are 0.
  template <class Put>
  void run(const Put& put) {
    Index bad = first_invalid_utf8(text_);
    if (bad == text_.size()) {
      section(text_, 0, put);
    } else if (!pipeline_.bytes) {
      repaired(put);
    } else {
      Index begin = 0;
      while (begin < text_.size()) {
        bad = begin + first_invalid_utf8(text_.substr(begin));
        section(text_.substr(begin, bad - begin), begin, put);
        if (bad == text_.size()) break;
        value_ = text_.substr(bad, 1);
        units_.clear();
        pipeline_.model->encode(value_, units_);
        for (const Unit& unit : units_) emit(unit.id, bad, bad + 1, put);
        begin = bad + 1;
      }
    }
  }

  /// White space around the token that was put last.
  EdgeSpaces edge_spaces() const { return detail::edge_spaces(value_); }

 private:
  /// Text without one bad byte, which lies at byte `begin` of the whole.
  template <class Put>
  void section(std::string_view text, Index begin, const Put& put) {
    pieces_.clear(tracked_);
    pipeline_.added.cut(text, false, [&](Index first, Index last, Token id) {
      part_.assign(text.substr(first, last - first), begin + first, tracked_);
      if (id != Piece::none) return pieces_.append(part_, id);
      pipeline_.normalize(part_);
      pieces_.append(part_, Piece::none);
    });
    if (pipeline_.added.any_after()) cut_normalized();
    for (const auto& step : pipeline_.pre_tokenizers) step->apply(pieces_);
    for (const Piece& piece : pieces_.list) {
      const std::string_view view = pieces_.view(piece);
      if (piece.token != Piece::none) {
        value_ = view;
        put_span(piece.token, piece, 0, piece.end - piece.begin, put);
        continue;
      }
      if (view.size() > std::numeric_limits<std::uint32_t>::max()) {
        throw DataError(concat(pipeline_.where, ": a text of ", text.size(), " bytes becomes a piece of ",
                               view.size(), ", expected less than 4 GiB"));
      }
      units_.clear();
      pipeline_.model->encode(view, units_);
      for (const Unit& unit : units_) {
        if (wanted_) value_ = pipeline_.model->vocabulary.piece(unit.id);
        put_span(unit.id, piece, unit.begin, unit.end, put);
      }
    }
  }

  void cut_normalized() {
    std::vector<Piece> next;
    for (const Piece& piece : pieces_.list) {
      if (piece.token != Piece::none) {
        next.push_back(piece);
        continue;
      }
      pipeline_.added.cut(pieces_.view(piece), true, [&](Index first, Index last, Token id) {
        next.push_back({piece.begin + first, piece.begin + last, id});
      });
    }
    pieces_.list.swap(next);
  }

  /// Bytes [begin, end) of a piece, as bytes of the text.
  template <class Put>
  void put_span(Token id, const Piece& piece, Index begin, Index end, const Put& put) {
    if (!tracked_) return put(id, 0, 0);
    const auto& spans = pieces_.whole.spans;
    const Index origin = spans[piece.begin].begin;
    if (begin == end) return emit(id, origin + begin, origin + end, put);
    if (piece.begin + end > piece.end) return emit(id, begin, end, put);  // a token for more than the piece
    emit(id, spans[piece.begin + begin].begin, spans[piece.begin + end - 1].end, put);
  }

  template <class Put>
  void emit(Token id, Index begin, Index end, const Put& put) {
    if (!sources_.empty()) {
      begin = sources_[std::min(begin, sources_.size() - 1)];
      end = sources_[std::min(end, sources_.size() - 1)];
    }
    put(id, begin, end);
  }

  /// Encodes the text with U+FFFD in place of what is not UTF-8.
  template <class Put>
  void repaired(const Put& put) {
    std::string valid;
    std::vector<Index> sources;  // the byte of the text that each byte of the repaired one stands for
    for (Index at = 0; at < text_.size();) {
      const Index good = first_invalid_utf8(text_.substr(at));
      for (Index i = 0; i < good; ++i) sources.push_back(at + i);
      valid += text_.substr(at, good);
      at += good;
      if (at == text_.size()) break;
      const Index size = invalid_length(text_.substr(at));
      valid += "\xEF\xBF\xBD";
      for (Index i = 0; i < 3; ++i) sources.push_back(at);
      at += size;
    }
    sources.push_back(text_.size());
    sources_.swap(sources);
    section(valid, 0, put);
  }

  const TokenizerPipeline& pipeline_;
  std::string_view text_;
  bool tracked_;
  bool wanted_;
  Pieces pieces_;
  AlignedText part_;
  std::vector<Unit> units_;
  std::vector<Index> sources_;
  std::string_view value_;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
