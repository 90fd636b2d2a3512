// For records that were tokenised elsewhere and come as ids.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Knows how many ids there are and refuses text.
class NoTokenizer {
 public:
  /// Throws ConfigError for a vocabulary of 0 or more than 32 bits hold.
  explicit NoTokenizer(Index vocabulary_size) : vocabulary_size_(vocabulary_size) {
    if (vocabulary_size == 0 || vocabulary_size > std::numeric_limits<Token>::max()) {
      throw ConfigError(concat("tokenizer \"ids:", vocabulary_size, "\": expected a vocabulary of 1 to ",
                               std::numeric_limits<Token>::max(), " ids"));
    }
  }

  /// Always throws DataError.
  void encode(std::string_view, std::vector<Token>&) const {
    throw DataError(concat("found text, expected token ids: the tokenizer is \"", name(), "\""));
  }
  /// The last id. Records of ids end as they are, so nothing appends it.
  Token eos() const { return static_cast<Token>(vocabulary_size_ - 1); }
  Index vocabulary_size() const { return vocabulary_size_; }
  std::string name() const { return concat("ids:", vocabulary_size_); }

 private:
  Index vocabulary_size_;
};

}  // namespace MERIT_ABI
}  // namespace merit
