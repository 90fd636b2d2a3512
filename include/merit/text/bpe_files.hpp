// GPT-2's vocabulary: vocab.json (encoder.json) and merges.txt (vocab.bpe).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/tokenizer/description.hpp"
#include "merit/tokenizer/split_rules.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What the two files do not say.
struct BpeFilesOptions {
  std::string split_rule = "gpt-2";        // a name of detail::split_rule_table
  bool add_prefix_space = false;           // a text gets a space before it
  std::vector<std::string> specials = {};  // pieces that are marks and no text, if they are in the vocabulary
};

namespace detail {

/// The lines of a text, without their ends.
template <class Use>
void for_each_line(std::string_view text, Use use) {
  Index number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    use(line, ++number);
  }
}

/// The merges of a merges.txt. Every piece and every product must be in the vocabulary.
inline std::vector<MergePair> parse_merges(std::string_view text, const std::string& where,
                                           const VocabularyJson& vocabulary) {
  std::vector<MergePair> merges;
  for_each_line(text, [&](std::string_view line, Index number) {
    if (line.empty() || (number == 1 && line.starts_with("#version"))) return;
    const auto space = line.find(' ');
    if (space == 0 || space == line.npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != line.npos) {
      throw DataError(concat(where, " line ", number, ": found ", quote_bytes(line),
                             ", expected two pieces with a space between them"));
    }
    MergePair merge(line.substr(0, space), line.substr(space + 1));
    for (const std::string& piece : {merge.first, merge.second, merge.first + merge.second}) {
      if (vocabulary.contains(piece)) continue;
      throw DataError(
          concat(where, " line ", number, ": the piece ", quote_bytes(piece), " is not in the vocabulary"));
    }
    merges.push_back(std::move(merge));
  });
  return merges;
}

}  // namespace detail

/// The description of a byte-level tokenizer whose vocabulary is an object {piece: id}, as `vocab.json` holds
/// it, and whose merges are lines "left right", best first. Throws DataError that names the file and the line
/// or piece: a piece that is no text or whose id occurs twice, a merge of pieces that are not there, and the
/// vocabularies of CLIP and GPT-1, which mark the ends of words.
inline Json describe_bpe_files(const std::filesystem::path& vocabulary_file,
                               const std::filesystem::path& merges_file,
                               const BpeFilesOptions& options = {}) {
  const std::string where = vocabulary_file.string();
  const Json pieces = parse_json(detail::read_text_file(vocabulary_file), where);
  if (!pieces.is_object()) {
    throw DataError(
        concat(where, ": expected an object of pieces and their ids, found ", detail::describe(pieces)));
  }
  detail::VocabularyJson vocabulary(where);
  std::unordered_set<Token> ids;
  for (const auto& [piece, id] : pieces.items()) {
    if (piece.size() > 4 && piece.ends_with("</w>")) {
      throw DataError(concat(where, ": found the piece ", detail::quote(piece),
                             "; vocabularies that mark the ends of words (CLIP, GPT-1) are read from a "
                             "tokenizer.json only"));
    }
    const Token number = detail::JsonReader<Token>::read(id, where, piece);
    vocabulary.add(piece, number);
    if (!ids.insert(number).second) {
      throw DataError(concat(where, ": the id ", number, " of the piece ", detail::quote(piece),
                             " is another piece's as well"));
    }
  }
  const std::vector<MergePair> merges =
      detail::parse_merges(detail::read_text_file(merges_file), merges_file.string(), vocabulary);
  const detail::SplitRule rule = detail::split_rule(options.split_rule, options.add_prefix_space, where);
  detail::DescriptionParts parts;
  for (const std::string& special : options.specials) {
    if (const auto id = vocabulary.find(special)) parts.whole.push_back({.content = special, .id = *id});
  }
  parts.normalizer = rule.normalizer;
  parts.pre_tokenizer = rule.pre_tokenizer;
  parts.post_processor = detail::byte_level(true);
  parts.post_processor["trim_offsets"] = false;
  parts.decoder = detail::byte_level(true);
  parts.model = detail::bpe_model(std::move(vocabulary).take(), merges);
  parts.model["ignore_merges"] = rule.ignore_merges;
  return detail::description_of(std::move(parts));
}

}  // namespace MERIT_ABI
}  // namespace merit
