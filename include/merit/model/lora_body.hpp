// The bodies of lora.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
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

namespace detail {

/// What the first of the names that `module` has says; else `otherwise`.
template <class T>
T by_name(const std::map<std::string, T>& pattern, std::string_view module, T otherwise) {
  for (const auto& [name, value] : pattern) {
    if (ends_as(module, name)) return value;
  }
  return otherwise;
}

}  // namespace detail

MERIT_INLINE Index Lora::rank_of(std::string_view module) const {
  return detail::by_name(rank_pattern, module, rank);
}

MERIT_INLINE double Lora::scale_of(std::string_view module) const {
  const double r = static_cast<double>(rank_of(module));
  return detail::by_name(alpha_pattern, module, alpha) / (rank_stabilised ? std::sqrt(r) : r);
}

MERIT_INLINE void Lora::validate() const {
  check_fields(*this);
  for (const auto& [name, value] : rank_pattern) {
    Lora one;
    one.rank = value;
    check_fields(one);
  }
  for (const auto& [name, value] : alpha_pattern) {
    Lora one;
    one.alpha = value;
    check_fields(one);
  }
  if (rank_pattern.contains("") || alpha_pattern.contains(""))
    throw ConfigError(
        "lora: the name of a map with another rank or alpha is empty, expected one such as q_proj");
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
