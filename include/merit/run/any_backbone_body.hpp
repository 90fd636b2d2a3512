// The bodies of any_backbone.hpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/core/error.hpp"
#include "merit/core/field.hpp"
#include "merit/model/adapter.hpp"
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

MERIT_INLINE std::optional<Token> AnyBackbone::uncounted_token() const {
  return std::visit([](const auto& one) { return uncounted_token_of(one); }, config);
}

MERIT_INLINE std::string_view AnyBackbone::head_name() const {
  return std::visit([](const auto& one) { return head_name_of(one); }, config);
}

MERIT_INLINE std::vector<std::string> linear_maps(const BackboneConfig& backbone) {
  using B = EigenBackend<float>;  // of which nothing is asked but what is declared
  B::Handle handle{B{.threads = 1}};
  Parameters<B> parameters(handle);
  const AnyBackbone::Bound<B> declared({backbone}, parameters);
  std::vector<std::string> names;
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    if (!detail::takes_adapter(parameters.spec(i))) continue;
    const std::string_view module = detail::module_of(parameters.spec(i));
    if (names.empty() || names.back() != module) names.emplace_back(module);
  }
  return names;
}

MERIT_INLINE void AnyBackbone::validate() const {
  std::visit([](const auto& one) { merit::validate(one); }, config);
}

}  // namespace MERIT_ABI
}  // namespace merit
