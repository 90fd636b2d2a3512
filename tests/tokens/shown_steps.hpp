// Steps and their tokens as text, for tests.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"

namespace merit_test {

using merit::Index;
using merit::Sequence;
using merit::StepLabel;
using merit::StepsRecord;
using merit::Token;
using Written = merit::WrittenStepLabel;

inline const merit::ByteTokenizer bytes;
inline constexpr Token eos = 256;
inline constexpr std::monostate null;

inline StepsRecord steps_record(const std::string& prompt, std::vector<std::string> steps,
                                std::vector<Written> labels) {
  StepsRecord record;
  record.prompt = prompt;
  record.completions = std::move(steps);
  record.labels = std::move(labels);
  record.source = {"here.jsonl", 3};
  return record;
}

/// The tokens as text: $ the end of sequence, | where the completion begins, ' after the end of a step, / an
/// end of line.
inline std::string show(const Sequence& sequence) {
  std::string text;
  for (Index i = 0; i < sequence.tokens.size(); ++i) {
    if (i == sequence.completion_begin) text.push_back('|');
    const Token token = sequence.tokens[i];
    text.push_back(token == eos ? '$' : token == '\n' ? '/' : static_cast<char>(token));
    if (std::count(sequence.step_ends.begin(), sequence.step_ends.end(), i) != 0) text.push_back('\'');
  }
  return text;
}

/// Labels as - bad, 0 neutral, + good, . none, or the numbers.
inline std::string show(const std::vector<std::optional<StepLabel>>& labels) {
  std::string text;
  for (const auto& label : labels) {
    if (!label) {
      text += '.';
    } else if (*label == StepLabel{1, 0, 0}) {
      text += '-';
    } else if (*label == StepLabel{0, 1, 0}) {
      text += '0';
    } else if (*label == StepLabel{0, 0, 1}) {
      text += '+';
    } else {
      text += merit::concat('(', label->bad, ' ', label->neutral, ' ', label->good, ')');
    }
  }
  return text;
}

}  // namespace merit_test
