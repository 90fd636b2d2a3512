// Which positions a score of each meaning is read at.
#pragma once

#include <vector>

#include "merit/core/error.hpp"
#include "merit/head/head.hpp"

namespace merit::inline MERIT_ABI {

/// Appends the rows of a sequence for scores of this meaning, ascending:
///
/// - per_completion: the last token;
/// - per_token: every token of the completion, its end of sequence included, and no token of the prompt;
/// - per_step: the last token of each step;
/// - per_state and next_token: the token before each token of the completion. Without a prompt the first
///   token of the completion has none, and gets none.
///
/// Throws DataError where a sequence has no steps and a step is read.
template <ScoreMeaning Meaning>
void append_rows(const SequenceShape& sequence, std::vector<Index>& out) {
  if constexpr (Meaning == ScoreMeaning::per_completion) {
    out.push_back(sequence.length - 1);
  } else if constexpr (Meaning == ScoreMeaning::per_step) {
    if (sequence.step_ends.empty()) {
      throw DataError(
          "a sequence has no step ends, expected a completion in steps for a head that scores them");
    }
    out.insert(out.end(), sequence.step_ends.begin(), sequence.step_ends.end());
  } else {
    const Index back = Meaning == ScoreMeaning::per_token ? 0 : 1;
    const Index begin = sequence.completion_begin > back ? sequence.completion_begin : back;
    for (Index token = begin; token < sequence.length; ++token) out.push_back(token - back);
  }
}

}  // namespace merit::inline MERIT_ABI
