// What a record says about its completions: the word on which records and models agree.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "merit/core/enum_names.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

enum class RecordKind : std::uint8_t {
  preference,  // which of two is better
  ranking,     // an order of several
  ratings,     // numbers
  outcome,     // right or wrong
  steps,       // labels of reasoning steps
  judge,       // votes on two
  rollout      // rewards that followed
};
template <>
inline constexpr std::array<std::string_view, 7> enum_names<RecordKind>{
    "preference", "ranking", "ratings", "outcome", "steps", "judge", "rollout"};

}  // namespace MERIT_ABI
}  // namespace merit
