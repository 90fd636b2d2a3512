// What one score is about: the word on which a head and a loss must agree.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "merit/core/enum_names.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

enum class ScoreMeaning : std::uint8_t {
  per_completion,  // one number, or one an attribute, for a whole answer
  per_token,       // one for each token of an answer
  per_step,        // one, or one a class, for each reasoning step
  per_state,       // one for each state in which a token of the answer was chosen: the token before it
  next_token       // there too, one for each token of the vocabulary
};

template <>
inline constexpr std::array<std::string_view, 5> enum_names<ScoreMeaning>{
    "per_completion", "per_token", "per_step", "per_state", "next_token"};

}  // namespace MERIT_ABI
}  // namespace merit
