// Pairs of byte tokens to write tests with, and sequences as text.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "merit/forest/example.hpp"
#include "merit/records/record.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"

namespace merit_test {

inline const merit::ByteTokenizer bytes;
inline constexpr merit::Token eos = 256;

inline merit::PreferenceRecord text_record(std::optional<std::string> prompt, std::string chosen,
                                           std::string rejected) {
  merit::PreferenceRecord record;
  if (prompt) record.prompt = *prompt;
  record.chosen = std::move(chosen);
  record.rejected = std::move(rejected);
  record.source = {"here.jsonl", 3};
  return record;
}

/// The tokens as text, with $ for the end of sequence and | where the completion begins.
inline std::string show(const merit::Sequence& sequence) {
  std::string text;
  for (merit::Index i = 0; i <= sequence.tokens.size(); ++i) {
    if (i == sequence.completion_begin) text.push_back('|');
    if (i < sequence.tokens.size()) {
      text.push_back(sequence.tokens[i] == eos ? '$' : static_cast<char>(sequence.tokens[i]));
    }
  }
  return text;
}

}  // namespace merit_test
