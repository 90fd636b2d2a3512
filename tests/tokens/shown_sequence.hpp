// Sequences of byte tokens as text, for tests.
#pragma once

#include <algorithm>
#include <string>

#include "merit/forest/example.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"

namespace merit_test {

inline const merit::ByteTokenizer bytes;
inline constexpr merit::Token eos = 256;

/// The tokens as text: $ the end of sequence, | where the completion begins, ' after the end of a step, / an
/// end of line.
inline std::string show(const merit::Sequence& sequence) {
  std::string text;
  for (merit::Index i = 0; i <= sequence.tokens.size(); ++i) {
    if (i == sequence.completion_begin) text.push_back('|');
    if (i == sequence.tokens.size()) break;
    const merit::Token token = sequence.tokens[i];
    text.push_back(token == eos ? '$' : token == '\n' ? '/' : static_cast<char>(token));
    if (std::count(sequence.step_ends.begin(), sequence.step_ends.end(), i) != 0) text.push_back('\'');
  }
  return text;
}

}  // namespace merit_test
