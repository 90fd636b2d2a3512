// The unigram model (Kudo, 2018): of all ways to cut a text into pieces, the one with the highest sum of
// scores.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/tokenizer/component.hpp"
#include "merit/tokenizer/token_model.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// All pieces of a vocabulary as a tree of bytes, to find those that a text begins with.
class PieceTrie {
 public:
  explicit PieceTrie(const Vocabulary& vocabulary) {
    std::vector<Token> sorted;
    for (Index id = 0; id < vocabulary.size(); ++id) {
      if (!vocabulary.piece(static_cast<Token>(id)).empty()) sorted.push_back(static_cast<Token>(id));
    }
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&](Token a, Token b) { return vocabulary.piece(a) < vocabulary.piece(b); });
    struct Part {
      Index begin, end, depth;  // pieces of `sorted` that share `depth` bytes
      Index node;
    };
    nodes_.emplace_back();
    std::deque<Part> parts{{0, sorted.size(), 0, 0}};
    while (!parts.empty()) {
      const Part part = parts.front();
      parts.pop_front();
      Index at = part.begin;
      // Shorter pieces come first; of equal ones the last counts.
      while (at < part.end && vocabulary.piece(sorted[at]).size() == part.depth)
        nodes_[part.node].piece = sorted[at++];
      nodes_[part.node].first = static_cast<std::uint32_t>(nodes_.size());
      while (at < part.end) {
        const char byte = vocabulary.piece(sorted[at])[part.depth];
        Index end = at + 1;
        while (end < part.end && vocabulary.piece(sorted[end])[part.depth] == byte) ++end;
        parts.push_back({at, end, part.depth + 1, nodes_.size()});
        nodes_.emplace_back();
        nodes_.back().byte = static_cast<unsigned char>(byte);
        ++nodes_[part.node].children;
        at = end;
      }
    }
    roots_.fill(0);
    for (Index i = 0; i < nodes_[0].children; ++i) {
      roots_[nodes_[nodes_[0].first + i].byte] = static_cast<std::uint32_t>(nodes_[0].first + i);
    }
  }

  /// Calls `found(id, length)` for each piece that `text` begins with, short ones first.
  template <class Found>
  void prefixes(std::string_view text, const Found& found) const {
    if (text.empty()) return;
    Index node = roots_[static_cast<unsigned char>(text[0])];
    for (Index length = 1; node != 0; ++length) {
      if (nodes_[node].piece != none) found(nodes_[node].piece, length);
      if (length == text.size()) return;
      node = child(nodes_[node], static_cast<unsigned char>(text[length]));
    }
  }

 private:
  static constexpr Token none = ~Token{0};
  struct Node {
    Token piece = none;
    std::uint32_t first = 0;  // the first child; all lie together, sorted
    std::uint16_t children = 0;
    unsigned char byte = 0;
  };

  Index child(const Node& node, unsigned char byte) const {
    Index begin = node.first;
    Index count = node.children;
    while (count > 0) {
      const Index half = count / 2;
      if (nodes_[begin + half].byte == byte) return begin + half;
      if (nodes_[begin + half].byte < byte) {
        begin += half + 1;
        count -= half + 1;
      } else {
        count = half;
      }
    }
    return 0;
  }

  std::vector<Node> nodes_;
  std::array<std::uint32_t, 256> roots_{};
};

class UnigramModel final : public TokenModel {
 public:
  UnigramModel(Vocabulary pieces, std::vector<double> scores, std::optional<Token> unknown,
               bool byte_fallback)
      : TokenModel(std::move(pieces)), scores_(std::move(scores)), unknown_(unknown), trie_(vocabulary) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (Index byte = 0; byte < 256; ++byte) {
      const std::string name{'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
      fallback_[byte] = byte_fallback ? vocabulary.find(name).value_or(none) : none;
    }
    double lowest = std::numeric_limits<double>::infinity();
    for (const double score : scores_) lowest = std::min(lowest, score);
    unknown_score_ = lowest - 10.0;  // SentencePiece's penalty
  }

  void encode(std::string_view piece, std::vector<Unit>& out) const override {
    struct Best {
      double score = 0;
      Index begin = 0;
      Token id = 0;
      bool reached = false;
    };
    std::vector<Best> best(piece.size() + 1);  // the best way to end at each byte
    const auto offer = [&](Index begin, Index end, Token id, double score) {
      Best& target = best[end];
      const double sum = score + best[begin].score;
      if (!target.reached || sum > target.score) target = {sum, begin, id, true};
    };
    for (Index at = 0; at < piece.size();) {
      const Index length = utf8_length(piece[at]);
      bool single = false;
      trie_.prefixes(piece.substr(at), [&](Token id, Index size) {
        offer(at, at + size, id, scores_[id]);
        single = single || size == length;
      });
      if (!single) {
        if (!unknown_) {
          throw DataError(concat("found the character ", quote(piece.substr(at, length)),
                                 ", which the tokenizer has no piece for, and no unk_id"));
        }
        offer(at, std::min(at + length, piece.size()), *unknown_, unknown_score_);
      }
      at += length;
    }
    // Backwards over the best way; unknown neighbours become one.
    std::vector<std::pair<Index, Index>> words;
    for (Index end = piece.size(); end > 0;) {
      Index begin = best[end].begin;
      if (unknown_ && best[end].id == *unknown_) {
        while (begin > 0 && best[begin].id == *unknown_) begin = best[begin].begin;
      }
      words.emplace_back(begin, end);
      end = begin;
    }
    for (auto word = words.rbegin(); word != words.rend(); ++word) {
      put(piece.substr(word->first, word->second - word->first), word->first, word->second, out);
    }
  }

 private:
  static constexpr Token none = ~Token{0};

  void put(std::string_view text, Index begin, Index end, std::vector<Unit>& out) const {
    const auto first = static_cast<std::uint32_t>(begin);
    const auto last = static_cast<std::uint32_t>(end);
    if (const auto id = vocabulary.find(text)) {
      out.push_back({*id, first, last});
      return;
    }
    bool spelled = true;
    for (const char c : text) spelled = spelled && fallback_[static_cast<unsigned char>(c)] != none;
    if (spelled) {
      for (const char c : text) out.push_back({fallback_[static_cast<unsigned char>(c)], first, last});
    } else {
      out.push_back({*unknown_, first, last});
    }
  }

  std::vector<double> scores_;
  std::optional<Token> unknown_;
  PieceTrie trie_;
  std::array<Token, 256> fallback_{};
  double unknown_score_ = 0;
};

inline std::unique_ptr<const TokenModel> read_unigram(const Component& c) {
  const Json& pieces = c.array("vocab");
  if (pieces.size() >= token_id_limit) {
    throw DataError(
        concat(c.where(), ".vocab: found ", pieces.size(), " pieces, expected at most ", token_id_limit));
  }
  Vocabulary vocabulary;
  std::vector<double> scores;
  scores.reserve(pieces.size());
  for (const Json& item : pieces) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number()) {
      throw DataError(concat(c.where(), ".vocab[", scores.size(), "]: found ", describe(item),
                             ", expected a piece and its score"));
    }
    vocabulary.add(item[0].get_ref<const std::string&>(), static_cast<Token>(scores.size()));
    scores.push_back(item[1].get<double>());
    if (!std::isfinite(scores.back())) {
      throw DataError(concat(c.where(), ".vocab[", scores.size() - 1, "]: found the score ", scores.back(),
                             ", expected a finite one"));
    }
  }
  vocabulary.finish();
  const auto unknown = optional<Token>(c.json(), "unk_id", c.where());
  if (unknown && *unknown >= scores.size()) {
    throw DataError(concat(c.where(), ": field \"unk_id\": found ", *unknown, ", expected below ",
                           scores.size(), ", the number of pieces"));
  }
  return std::make_unique<UnigramModel>(std::move(vocabulary), std::move(scores), unknown,
                                        c.get<bool>("byte_fallback", false));
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
