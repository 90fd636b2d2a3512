// What training reads: token sequences with their targets.
#pragma once

#include <vector>

#include "merit/core/view.hpp"

namespace merit::inline MERIT_ABI {

/// A prompt and one completion of it.
struct Sequence {
  std::vector<Token> tokens;    // the prompt's, then the completion's
  Index completion_begin = 0;   // the first completion token
  std::vector<float> features;  // the completion's vector, for the Features backbone; tokens is empty then
};

/// Two completions of one prompt, the first of them preferred.
struct PreferenceExample {
  Sequence chosen;
  Sequence rejected;
  double margin = 0;      // subtracted from the difference of scores inside the logistic function
  double weight = 1;      // how much the pair counts, 0 or more
  double soft_label = 1;  // the probability that `chosen` is the better one
};

}  // namespace merit::inline MERIT_ABI
