// Words hashed into a fixed number of ids: a bag-of-words vocabulary without a vocabulary file.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The hashing trick (Weinberger et al., "Feature hashing for large scale multitask learning", 2009): the id
/// of a word is fnv1a(word) mod `buckets`, so words that collide share an id. Made for bag-of-tokens floors;
/// it cannot be decoded.
///
/// A word is a longest run of ASCII letters, digits, apostrophes and bytes above 127 (so that a word of any
/// script stays whole); ASCII capitals are lowered. Every other printable ASCII character is a word by
/// itself. White space and control characters separate and give nothing, and so does the end of a prompt: its
/// last word and the first of an answer are two, whatever stands between them.
class WordHashTokenizer {
 public:
  /// Throws ConfigError for no bucket, or more than ids can name.
  explicit WordHashTokenizer(Index buckets) : buckets_(buckets) {
    if (buckets == 0 || buckets >= std::numeric_limits<Token>::max()) {
      throw ConfigError(concat("tokenizer words: found ", buckets, " buckets, expected 1 to 4294967294"));
    }
  }

  /// Appends one id per word of `text`.
  void encode(std::string_view text, std::vector<Token>& out) const {
    std::string lowered;
    each_word(text, [&](std::string_view word) {
      lowered.assign(word);
      for (char& c : lowered) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
      }
      out.push_back(id_of(lowered));
    });
  }

  /// Calls visit(word) for the words of `text` as they are written, one a token of it.
  template <class Visit>
  static void each_word(std::string_view text, const Visit& visit) {
    Index begin = 0;  // of the word that is being read
    for (Index i = 0; i < text.size(); ++i) {
      if (is_in_word(text[i])) continue;
      if (begin < i) visit(text.substr(begin, i - begin));
      if (text[i] > ' ' && text[i] < 127) visit(text.substr(i, 1));
      begin = i + 1;
    }
    if (begin < text.size()) visit(text.substr(begin));
  }

  /// A prompt ends the word that it ends in.
  static constexpr bool prompt_ends_word = true;

  /// Up to the word that the text ends in.
  Index settled(std::string_view text) const {
    Index place = text.size();
    while (place > 0 && is_in_word(text[place - 1])) --place;
    return place;
  }

  /// The id of one word that is already lowered.
  constexpr Token id_of(std::string_view word) const { return static_cast<Token>(fnv1a(word) % buckets_); }

  constexpr Index buckets() const { return buckets_; }
  constexpr Token eos() const { return static_cast<Token>(buckets_); }
  constexpr Index vocabulary_size() const { return buckets_ + 1; }
  std::string name() const { return concat("words:", buckets_); }

 private:
  static bool is_in_word(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '\'' ||
           byte > 127;
  }

  Index buckets_;
};

}  // namespace MERIT_ABI
}  // namespace merit
