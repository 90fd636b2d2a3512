// The bodies of any_backbone.hpp.
#pragma once

#include <optional>
#include <string_view>
#include <variant>

#include "merit/backbone/backbone.hpp"
#include "merit/core/error.hpp"
#include "merit/core/field.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/run/any_backbone.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE std::string_view AnyBackbone::name() const {
  return std::visit([](const auto& one) { return std::string_view(one.name()); }, config);
}

MERIT_INLINE Index AnyBackbone::token_limit() const {
  return std::visit([](const auto& one) { return one.token_limit(); }, config);
}

MERIT_INLINE Index AnyBackbone::position_limit() const {
  return std::visit([](const auto& one) { return one.position_limit(); }, config);
}

MERIT_INLINE Sight AnyBackbone::sight() const {
  return std::visit([](const auto& one) { return sight_of(one); }, config);
}

MERIT_INLINE std::optional<Token> AnyBackbone::pair_separator() const {
  return std::visit([](const auto& one) { return pair_separator_of(one); }, config);
}

MERIT_INLINE std::string_view AnyBackbone::head_name() const {
  return std::visit([](const auto& one) { return head_name_of(one); }, config);
}

MERIT_INLINE void AnyBackbone::validate() const {
  std::visit([](const auto& one) { merit::validate(one); }, config);
}

}  // namespace MERIT_ABI
}  // namespace merit
