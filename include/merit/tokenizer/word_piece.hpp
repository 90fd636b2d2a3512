// WordPiece, the longest piece first, and WordLevel, whole words.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
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

/// A model with a token for words that it does not know.
class WordModel : public TokenModel {
 protected:
  WordModel(Vocabulary pieces, const std::string& unknown)
      : TokenModel(std::move(pieces)), name_(unknown), unknown_(vocabulary.find(unknown)) {}

  void put_unknown(std::string_view word, std::vector<Unit>& out) const {
    if (!unknown_) {
      throw DataError(concat("found the word ", quote(word),
                             ", which the tokenizer does not know, and its unk_token ", quote(name_),
                             " is not in the vocabulary"));
    }
    out.push_back({*unknown_, 0, static_cast<std::uint32_t>(word.size())});
  }

 private:
  std::string name_;
  std::optional<Token> unknown_;
};

/// The longest piece that a word begins with, then the longest with a prefix that continues it, and so on; a
/// word that cannot be spelled so is unknown as a whole.
class WordPieceModel final : public WordModel {
 public:
  WordPieceModel(Vocabulary pieces, const std::string& unknown, std::string prefix, Index longest_word)
      : WordModel(std::move(pieces), unknown), prefix_(std::move(prefix)), longest_word_(longest_word) {}

  void encode(std::string_view word, std::vector<Unit>& out) const override {
    if (word.size() > longest_word_ && count_characters(word) > longest_word_) return put_unknown(word, out);
    const Index size = out.size();
    std::string spelled;
    for (Index begin = 0; begin < word.size();) {
      const std::string_view prefix = begin == 0 ? std::string_view() : std::string_view(prefix_);
      const Index most = vocabulary.longest() < prefix.size() ? 0 : vocabulary.longest() - prefix.size();
      Index end = std::min(word.size(), begin + most);
      while (end > begin && !is_boundary(word, end)) --end;
      (spelled = prefix) += word.substr(begin, end - begin);
      std::optional<Token> id;
      while (end > begin && !(id = vocabulary.find(spelled))) {
        end = previous_character(word, end);
        spelled.resize(prefix.size() + end - begin);
      }
      if (!id) {
        out.resize(size);
        return put_unknown(word, out);
      }
      out.push_back({*id, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
      begin = end;
    }
  }

 private:
  std::string prefix_;
  Index longest_word_;
};

class WordLevelModel final : public WordModel {
 public:
  WordLevelModel(Vocabulary pieces, const std::string& unknown) : WordModel(std::move(pieces), unknown) {}
  void encode(std::string_view word, std::vector<Unit>& out) const override {
    const auto id = vocabulary.find(word);
    if (!id) return put_unknown(word, out);
    out.push_back({*id, 0, static_cast<std::uint32_t>(word.size())});
  }
};

inline std::unique_ptr<const TokenModel> read_word_piece(const Component& c) {
  return std::make_unique<WordPieceModel>(read_vocabulary(c.field("vocab"), c.where() + ".vocab"),
                                          c.get<std::string>("unk_token"),
                                          c.get<std::string>("continuing_subword_prefix", "##"),
                                          c.get<Index>("max_input_chars_per_word", Index{100}));
}

inline std::unique_ptr<const TokenModel> read_word_level(const Component& c) {
  return std::make_unique<WordLevelModel>(read_vocabulary(c.field("vocab"), c.where() + ".vocab"),
                                          c.get<std::string>("unk_token"));
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
