// Records of steps to write tests with, and labels as text.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/tokens/tokenize.hpp"
#include "shown_sequence.hpp"

namespace merit_test {

using merit::Index;
using merit::Sequence;
using merit::StepLabel;
using merit::StepsRecord;
using merit::Token;
using Written = merit::WrittenStepLabel;

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
