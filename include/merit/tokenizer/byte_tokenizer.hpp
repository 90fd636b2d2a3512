// One token per byte: no vocabulary file, no unknown text, nothing lost.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Ids 0 to 255 are the bytes themselves and 256 ends a sequence, as in ByT5 (Xue et al., 2022) but for the
/// place of the special token.
class ByteTokenizer {
 public:
  /// Appends one id per byte of `text`.
  void encode(std::string_view text, std::vector<Token>& out) const {
    out.reserve(out.size() + text.size());
    for (const char c : text) out.push_back(static_cast<unsigned char>(c));
  }

  /// Every byte is a token whatever follows it.
  constexpr Index settled(std::string_view text) const { return text.size(); }

  /// The bytes of `tokens`; an end of sequence gives nothing. Throws DataError for an id above 256.
  std::string decode(VectorView<const Token> tokens) const {
    std::string text;
    text.reserve(tokens.size);
    for (const Token token : tokens) {
      if (token > eos()) {
        throw DataError(concat("found token ", token, ", expected a byte token of 0 to 256"));
      }
      if (token != eos()) text.push_back(static_cast<char>(static_cast<unsigned char>(token)));
    }
    return text;
  }

  constexpr Token eos() const { return 256; }
  constexpr Index vocabulary_size() const { return 257; }
  std::string name() const { return "bytes"; }
};

}  // namespace MERIT_ABI
}  // namespace merit
