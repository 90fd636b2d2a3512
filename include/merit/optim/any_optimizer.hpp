// The optimizers that a run may be given by name, and one of them bound to a model's parameters.
#pragma once

#include <memory>
#include <string_view>
#include <variant>

#include "merit/optim/adafactor.hpp"
#include "merit/optim/adamw.hpp"
#include "merit/optim/lion.hpp"
#include "merit/optim/muon.hpp"
#include "merit/optim/sgd.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The settings of one of them. A program chooses at run time, and a trainer is compiled once for all.
using AnyOptimizer = std::variant<AdamW, Sgd, Adafactor, Lion, Muon>;

inline std::string_view name_of(const AnyOptimizer& any) {
  return std::visit([](const auto& settings) { return settings.name(); }, any);
}

/// Throws ConfigError about the first number that cannot be.
inline void validate(const AnyOptimizer& any) {
  std::visit([](const auto& settings) { validate(settings); }, any);
}

/// An optimizer of the trained tensors that a shard holds.
template <class B>
std::unique_ptr<BoundOptimizer<B>> bind_optimizer(const AnyOptimizer& any, Parameters<B>& parameters,
                                                  const OptimizerShard& shard) {
  return std::visit(
      [&]<class Settings>(const Settings& settings) -> std::unique_ptr<BoundOptimizer<B>> {
        static_assert(optimizer<Settings, B>);
        return std::make_unique<typename Settings::template Bound<B>>(settings, parameters, shard);
      },
      any);
}
/// The same of all of them.
template <class B>
std::unique_ptr<BoundOptimizer<B>> bind_optimizer(const AnyOptimizer& any, Parameters<B>& parameters) {
  return bind_optimizer(any, parameters, whole_shard(parameters));
}

}  // namespace MERIT_ABI
}  // namespace merit
