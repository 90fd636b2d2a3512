// BERT's vocabulary: vocab.txt, one piece a line.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/text/bpe_files.hpp"
#include "merit/tokenizer/description.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a vocab.txt does not say; the names are those of a tokenizer_config.json.
struct WordPieceOptions {
  bool do_lower_case = true;
  std::optional<bool> strip_accents = {};  // as do_lower_case where it is not said
  bool tokenize_chinese_chars = true;      // each CJK ideograph is a word
  std::string unk_token = "[UNK]";
  std::string cls_token = "[CLS]";
  std::string sep_token = "[SEP]";
  std::vector<std::string> specials = {"[PAD]", "[MASK]"};  // further marks, if they are in the vocabulary
};

/// The description of a WordPiece tokenizer of `pieces` in the order of their ids; what continues a word
/// begins with "##". Throws DataError: a piece that is no text or occurs twice, or no piece for one of [UNK],
/// [CLS] and [SEP].
inline Json describe_wordpiece(const std::vector<std::string>& pieces, const std::string& where,
                               const WordPieceOptions& options = {}) {
  detail::VocabularyJson vocabulary(where);
  for (Index id = 0; id < pieces.size(); ++id) vocabulary.add(pieces[id], id);
  const auto token = [&](const std::string& text) {
    const auto id = vocabulary.find(text);
    if (!id) {
      throw DataError(concat(where, ": there is no piece ", detail::quote(text),
                             ", expected a WordPiece vocabulary with [UNK], [CLS] and [SEP]"));
    }
    return detail::NamedToken(text, *id);
  };
  const detail::NamedToken unk = token(options.unk_token);
  const detail::NamedToken cls = token(options.cls_token);
  const detail::NamedToken sep = token(options.sep_token);
  detail::DescriptionParts parts;
  for (const auto& [text, id] : {unk, cls, sep}) parts.whole.push_back({.content = text, .id = id});
  for (const std::string& special : options.specials) {
    const auto id = vocabulary.find(special);
    if (!id || special == unk.first || special == cls.first || special == sep.first) continue;
    parts.whole.push_back({.content = special, .id = *id});
  }
  parts.normalizer = Json{{"type", "BertNormalizer"},
                          {"clean_text", true},
                          {"handle_chinese_chars", options.tokenize_chinese_chars},
                          {"strip_accents", nullptr},
                          {"lowercase", options.do_lower_case}};
  if (options.strip_accents) parts.normalizer["strip_accents"] = *options.strip_accents;
  parts.pre_tokenizer = Json{{"type", "BertPreTokenizer"}};
  parts.post_processor = detail::template_of(cls, sep, false);
  parts.decoder = Json{{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  parts.model = Json{{"type", "WordPiece"},
                     {"unk_token", unk.first},
                     {"continuing_subword_prefix", "##"},
                     {"max_input_chars_per_word", 100},
                     {"vocab", std::move(vocabulary).take()}};
  return detail::description_of(std::move(parts));
}

/// The same from the text of a vocab.txt: the id of a piece is the number of its line, from 0.
inline Json describe_wordpiece_file(std::string_view text, const std::string& where,
                                    const WordPieceOptions& options = {}) {
  std::vector<std::string> pieces;
  detail::for_each_line(text, [&](std::string_view line, Index) { pieces.emplace_back(line); });
  if (pieces.empty()) throw DataError(concat(where, ": no piece, expected one a line"));
  return describe_wordpiece(pieces, where, options);
}

}  // namespace MERIT_ABI
}  // namespace merit
