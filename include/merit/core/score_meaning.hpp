// What one score is about: the word on which a head and a loss must agree.
#pragma once

#include <cstdint>
#include <string_view>

#include "merit/core/version.hpp"

namespace merit::inline MERIT_ABI {

enum class ScoreMeaning : std::uint8_t {
  per_completion,  // one number, or one an attribute, for a whole answer
  per_token,       // one for each token of an answer
  per_step,        // one, or one a class, for each reasoning step
  per_state,       // one for each state in which a token of the answer was chosen: the token before it
  next_token       // there too, one for each token of the vocabulary
};

/// "per_completion" and so on.
constexpr std::string_view name_of(ScoreMeaning meaning) {
  switch (meaning) {
    case ScoreMeaning::per_completion: return "per_completion";
    case ScoreMeaning::per_token: return "per_token";
    case ScoreMeaning::per_step: return "per_step";
    case ScoreMeaning::per_state: return "per_state";
    case ScoreMeaning::next_token: break;
  }
  return "next_token";
}

}  // namespace merit::inline MERIT_ABI
