// Tokens that were added to a model's: they are found in the text before the model sees it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/tokenizer/component.hpp"
#include "merit/tokenizer/vocabulary.hpp"
#include "merit/unicode/aligned_text.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

struct AddedToken {
  Token id = 0;
  std::string content;
  bool single_word = false;  // not inside a word
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space behind it
  bool normalized = true;    // is looked for in the normalised text
  bool special = false;
};

/// Finds strings in a text: the leftmost, and of those the longest.
class TokenMatcher {
 public:
  void add(std::string_view text, Index which) {
    std::uint32_t node = 0;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      auto& children = nodes_[node].children;
      const auto place =
          std::lower_bound(children.begin(), children.end(), std::pair(byte, std::uint32_t{0}));
      if (place != children.end() && place->first == byte) {
        node = place->second;
        continue;
      }
      const auto fresh = static_cast<std::uint32_t>(nodes_.size());
      children.insert(place, {byte, fresh});
      if (node == 0) first_[byte] = fresh;
      nodes_.emplace_back();
      node = fresh;
    }
    nodes_[node].which = which;
  }
  bool empty() const { return nodes_.size() == 1; }

  /// The first string at or behind byte `at`: which one and where it ends; `at` becomes its beginning.
  std::optional<std::pair<Index, Index>> find(std::string_view text, Index& at) const {
    for (; at < text.size(); ++at) {
      std::uint32_t node = first_[static_cast<unsigned char>(text[at])];
      std::optional<std::pair<Index, Index>> found;
      for (Index end = at + 1; node != 0; ++end) {
        if (nodes_[node].which != none) found.emplace(nodes_[node].which, end);
        if (end == text.size()) break;
        const auto byte = static_cast<unsigned char>(text[end]);
        const auto& children = nodes_[node].children;
        const auto place =
            std::lower_bound(children.begin(), children.end(), std::pair(byte, std::uint32_t{0}));
        node = place != children.end() && place->first == byte ? place->second : 0;
      }
      if (found) return found;
    }
    return std::nullopt;
  }

 private:
  static constexpr Index none = ~Index{0};
  struct Node {
    std::vector<std::pair<unsigned char, std::uint32_t>> children;  // sorted by byte
    Index which = none;
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::array<std::uint32_t, 256> first_{};
};

/// The added tokens of a tokenizer and the two searches for them: before and after normalising.
class AddedTokens {
 public:
  AddedTokens() = default;

  /// Reads the array `json`. As Hugging Face's does, a token of the vocabulary keeps that id and others get
  /// the ids above it in order; a file that says otherwise is refused. `normalize` gives the normalised form
  /// of text.
  template <class Normalize>
  AddedTokens(const Json& json, const Vocabulary& vocabulary, const Normalize& normalize,
              const std::string& where) {
    if (!json.is_array()) throw DataError(concat(where, ": expected an array, found ", describe(json)));
    Index next = vocabulary.count();
    for (Index i = 0; i < json.size(); ++i) {
      const Component c(json[i], concat(where, "[", i, "]"));
      AddedToken token;
      token.id = c.get<Token>("id");
      token.content = c.get<std::string>("content");
      token.single_word = c.get<bool>("single_word", false);
      token.lstrip = c.get<bool>("lstrip", false);
      token.rstrip = c.get<bool>("rstrip", false);
      token.special = c.get<bool>("special", false);
      token.normalized = c.get<bool>("normalized", bool{!token.special});
      if (token.content.empty()) continue;
      const auto known = by_content_.find(token.content);
      const auto piece = vocabulary.find(token.content);
      const Index expected = known != by_content_.end() ? tokens_[known->second].id : piece ? *piece : next++;
      if (token.id != expected || expected >= token_id_limit) {
        throw DataError(concat(c.where(), ": found the id ", token.id, " for ", quote(token.content),
                               ", expected ", expected,
                               piece ? ", its id in the vocabulary" : ", the next free one"));
      }
      if (known != by_content_.end()) {
        tokens_[known->second] = std::move(token);
        continue;
      }
      by_content_.emplace(token.content, tokens_.size());
      by_id_.emplace(token.id, tokens_.size());
      tokens_.push_back(std::move(token));
    }
    for (Index i = 0; i < tokens_.size(); ++i) {
      if (tokens_[i].normalized) {
        const std::string text = normalize(tokens_[i].content);
        if (!text.empty()) after_.add(text, i);
        if (text != tokens_[i].content) normalized_.emplace(i, text);
      } else {
        before_.add(tokens_[i].content, i);
      }
    }
  }

  const std::vector<AddedToken>& all() const { return tokens_; }
  const AddedToken* find(const std::string& content) const {
    const auto entry = by_content_.find(content);
    return entry == by_content_.end() ? nullptr : &tokens_[entry->second];
  }
  const AddedToken* find(Token id) const {
    const auto entry = by_id_.find(id);
    return entry == by_id_.end() ? nullptr : &tokens_[entry->second];
  }
  /// The text by which a decoder knows the token.
  std::string_view decoded(const AddedToken& token) const {
    const auto entry = normalized_.find(static_cast<Index>(&token - tokens_.data()));
    return entry == normalized_.end() ? std::string_view(token.content) : std::string_view(entry->second);
  }
  bool any_after() const { return !after_.empty(); }

  /// Cuts `text` at its added tokens: calls put(begin, end, id) for each part, Piece::none for what is
  /// between.
  template <class Put>
  void cut(std::string_view text, bool normalized, const Put& put) const {
    const TokenMatcher& matcher = normalized ? after_ : before_;
    Index last = 0;
    Index at = 0;
    while (!matcher.empty()) {
      const auto found = matcher.find(text, at);
      if (!found) break;
      const AddedToken& token = tokens_[found->first];
      Index begin = at;
      Index end = found->second;
      at = end;
      if (token.single_word && (word_ends(text, begin) || word_begins(text, end))) continue;
      while (token.lstrip && begin > last) {
        const Index before = previous_character(text, begin);
        Index next = before;
        if (!is_white_space(next_character(text, next))) break;
        begin = before;
      }
      while (token.rstrip && end < text.size()) {
        Index next = end;
        if (!is_white_space(next_character(text, next))) break;
        end = next;
      }
      if (last < begin) put(last, begin, Piece::none);
      put(begin, end, token.id);
      last = end;
    }
    if (last < text.size()) put(last, text.size(), Piece::none);
  }

 private:
  static bool word_ends(std::string_view text, Index at) {
    if (at == 0) return false;
    Index before = previous_character(text, at);
    return is_word(next_character(text, before));
  }
  static bool word_begins(std::string_view text, Index at) {
    return at < text.size() && is_word(next_character(text, at));
  }

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, Index> by_content_;
  std::unordered_map<Token, Index> by_id_;
  std::unordered_map<Index, std::string> normalized_;
  TokenMatcher before_;
  TokenMatcher after_;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
