// The bodies of lora.hpp.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "merit/core/error.hpp"
#include "merit/model/lora.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE bool Lora::is_target(std::string_view module) const {
  return targets.empty() || std::ranges::any_of(targets, [&](const std::string& target) {
           return detail::ends_as(module, target);
         });
}

MERIT_INLINE void Lora::validate() const {
  check_fields(*this);
  if (!pattern.empty() && targets.empty())
    throw ConfigError(
        "lora: a pattern is given without the targets that it matches, expected expand_pattern() before");
  for (const auto* list : {&targets, &also_trained}) {
    if (std::ranges::find(*list, "") != list->end())
      throw ConfigError("lora: the name of a target is empty, expected one such as q_proj");
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
