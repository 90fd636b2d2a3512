// tiktoken's vocabulary: a file of ranks, one piece a line as base64 and its rank.
#pragma once

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/text/bpe_files.hpp"
#include "merit/tokenizer/description.hpp"
#include "merit/tokenizer/precompiled_charsmap.hpp"
#include "merit/tokenizer/split_rules.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a file of ranks does not say.
struct TiktokenOptions {
  /// A name of detail::split_rule_table; empty: by the number of ranks (100256 is cl100k, 128000 Llama 3,
  /// 151643 Qwen, 199998 o200k).
  std::string split_rule = {};
  std::vector<WholePiece> specials = {};  // such as {.content = "<|endoftext|>", .id = 100257}
};

namespace detail {

inline std::string tiktoken_rule(Index ranks, const std::string& where) {
  switch (ranks) {
    case 100256: return "cl100k";
    case 128000: return "llama-bpe";
    case 151643: return "qwen2";
    case 199998: return "o200k";
    default:
      throw DataError(
          concat(where, ": ", ranks,
                 " ranks, which is no vocabulary whose split rule is known; name the split rule"));
  }
}

/// The pieces of a file and their ranks, in its order.
inline std::vector<std::pair<std::string, Token>> parse_ranks(std::string_view text,
                                                              const std::string& where) {
  std::vector<std::pair<std::string, Token>> ranks;
  std::unordered_set<Token> seen;
  for_each_line(text, [&](std::string_view line, Index number) {
    if (line.empty()) return;
    const std::string place = concat(where, " line ", number);
    const auto space = line.find(' ');
    const std::string_view digits = space == line.npos ? std::string_view() : line.substr(space + 1);
    Token rank = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) {
      throw DataError(concat(place, ": found ", quote_bytes(line), ", expected base64, a space and a rank"));
    }
    std::string piece = from_base64(line.substr(0, space), place);
    if (piece.empty()) throw DataError(concat(place, ": an empty piece"));
    if (piece.size() > piece_size_limit) {
      throw DataError(
          concat(place, ": a piece of ", piece.size(), " bytes, expected at most ", piece_size_limit));
    }
    if (!seen.insert(rank).second) throw DataError(concat(place, ": the rank ", rank, " occurs twice"));
    ranks.emplace_back(std::move(piece), rank);
  });
  if (ranks.empty()) throw DataError(where + ": no rank, expected one a line");
  return ranks;
}

/// tiktoken joins the two neighbours whose joint piece has the lowest rank, so that every way to cut a piece
/// in two is a merge of the piece's rank.
inline std::vector<MergePair> merges_of_ranks(const std::vector<std::pair<std::string, Token>>& ranks) {
  std::unordered_map<std::string_view, Token> rank_of;
  rank_of.reserve(ranks.size());
  for (const auto& [piece, rank] : ranks) rank_of.emplace(piece, rank);
  struct Way {
    Token rank, left, right;
    std::string_view piece;
    Index cut;
  };
  std::vector<Way> ways;
  for (const auto& [piece, rank] : ranks) {
    const std::string_view text = piece;
    for (Index cut = 1; cut < text.size(); ++cut) {
      const auto left = rank_of.find(text.substr(0, cut));
      if (left == rank_of.end()) continue;
      const auto right = rank_of.find(text.substr(cut));
      if (right != rank_of.end()) ways.push_back({rank, left->second, right->second, text, cut});
    }
  }
  std::sort(ways.begin(), ways.end(), [](const Way& a, const Way& b) {
    return std::tie(a.rank, a.left, a.right) < std::tie(b.rank, b.left, b.right);
  });
  std::vector<MergePair> merges;
  merges.reserve(ways.size());
  for (const Way& way : ways) {
    merges.emplace_back(byte_level_text(way.piece.substr(0, way.cut)),
                        byte_level_text(way.piece.substr(way.cut)));
  }
  return merges;
}

}  // namespace detail

/// The description of a tokenizer that encodes as tiktoken does with these ranks. Throws DataError that names
/// the line: no base64, no number, a piece or rank that occurs twice; a byte without a piece; a special token
/// whose id is a rank; a number of ranks that names no split rule where none is given.
inline Json describe_tiktoken(std::string_view text, const std::string& where,
                              const TiktokenOptions& options = {}) {
  const auto ranks = detail::parse_ranks(text, where);
  detail::VocabularyJson vocabulary(where);
  std::unordered_set<Token> ids;
  for (const auto& [piece, rank] : ranks) {
    vocabulary.add(detail::byte_level_text(piece), rank);
    ids.insert(rank);
  }
  for (Index byte = 0; byte < 256; ++byte) {
    if (vocabulary.contains(detail::byte_level_text(std::string(1, static_cast<char>(byte))))) continue;
    throw DataError(concat(where, ": no rank for the single byte ", byte, ", expected one for each"));
  }
  detail::SplitRule rule = detail::split_rule(
      options.split_rule.empty() ? detail::tiktoken_rule(ranks.size(), where) : options.split_rule, false,
      where);
  detail::DescriptionParts parts;
  for (const WholePiece& special : options.specials) {
    if (!ids.insert(special.id).second) {
      throw DataError(concat(where, ": the special token ", detail::quote(special.content), " has the id ",
                             special.id, ", which is another's as well"));
    }
    vocabulary.add(special.content, special.id);  // ids of added tokens alone could have no gaps
    parts.whole.push_back(special);
  }
  parts.pre_tokenizer = std::move(rule.pre_tokenizer);  // tiktoken does not normalise
  parts.post_processor = detail::byte_level(true);
  parts.post_processor["trim_offsets"] = false;
  parts.decoder = detail::byte_level(true);
  parts.model = detail::bpe_model(std::move(vocabulary).take(), detail::merges_of_ranks(ranks));
  parts.model["ignore_merges"] = true;  // a word that has a rank is that piece
  return detail::description_of(std::move(parts));
}

}  // namespace MERIT_ABI
}  // namespace merit
