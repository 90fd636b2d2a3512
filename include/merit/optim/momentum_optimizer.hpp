// What optimizers share that keep one number for each element and move by one operation: SGD and Lion.
#pragma once

#include <vector>

#include "merit/optim/optimizer.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Settings say by step(learning_rate, gradient_scale, weight_decay) how weights move that take that decay,
/// and by keeps_momentum() whether anything is kept.
template <class B, class Settings>
class MomentumOptimizer : public BoundOptimizer<B> {
 public:
  MomentumOptimizer(const Settings& settings, Parameters<B>& parameters, const OptimizerShard& shard)
      : BoundOptimizer<B>(parameters, shard),
        settings_(settings),
        momentum_(parameters.handle(), settings.keeps_momentum() ? shard.size() : 0) {
    merit::validate(settings);
  }

  std::vector<OptimizerTensor<B>> state() override {
    std::vector<OptimizerTensor<B>> list;
    list_block(this->parameters(), this->shard(), "momentum.", momentum_, list);
    return list;
  }

 private:
  void move(double learning_rate, double gradient_scale) override {
    Parameters<B>& parameters = this->parameters();
    for_each_range(parameters, this->shard(), settings_.weight_decay,
                   [&](Index begin, Index place, Index count, double decay) {
                     B::momentum(parameters.handle(),
                                 {.gradients = parameters.gradients().subview(begin, count),
                                  .momentum = momentum_.part(place, count),
                                  .out = parameters.values().subview(begin, count),
                                  .step = settings_.step(learning_rate, gradient_scale, decay)});
                   });
  }

  Settings settings_;
  StatBlock<B> momentum_;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
