// What one score is about: the word on which a head and a loss must agree.
#pragma once

#include <cstdint>

#include "merit/core/version.hpp"

namespace merit::inline MERIT_ABI {

enum class ScoreMeaning : std::uint8_t {
  per_completion,  // one number for a whole answer
  per_token,       // one for each token of an answer
  per_step         // one, or one a class, for each reasoning step
};

}  // namespace merit::inline MERIT_ABI
