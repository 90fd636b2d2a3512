// A token and where it stands in the text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A token and the bytes [begin, end) of the text that it stands for. Tokens of one character that takes
/// several tokens have the same bytes.
struct TokenSpan {
  Token id = 0;
  Index begin = 0;
  Index end = 0;
  bool operator==(const TokenSpan&) const = default;
};

/// Spans in code points instead of bytes of `text`, as Hugging Face's tokenizers give them in Python.
inline std::vector<TokenSpan> in_code_points(std::string_view text, std::vector<TokenSpan> spans) {
  std::vector<Index> characters(text.size() + 1);  // how many begin before each byte
  for (Index i = 0; i < text.size(); ++i) {
    characters[i + 1] = characters[i] + ((static_cast<unsigned char>(text[i]) & 0xC0u) != 0x80u ? 1 : 0);
  }
  // A byte inside a character counts for that character.
  const auto begin_of = [&](Index at) {
    while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0u) == 0x80u) --at;
    return characters[at < text.size() ? at : text.size()];
  };
  for (TokenSpan& span : spans) {
    span.begin = begin_of(span.begin);
    span.end = begin_of(span.end);
  }
  return spans;
}

}  // namespace MERIT_ABI
}  // namespace merit
