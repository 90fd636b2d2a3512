// Lion (Chen et al. 2023): steps of one size, in the direction of a sign.
#pragma once

#include <string_view>
#include <vector>

#include "merit/optim/optimizer.hpp"

namespace merit::inline MERIT_ABI {

/// With the defaults of the paper. From gradient g and momentum m that starts at 0:
///   w = w − rate · (sign(β₁·m + (1 − β₁)·g) + weight_decay · w)
///   m = β₂·m + (1 − β₂)·g
/// Its learning rate is usually three to ten times smaller than AdamW's, and its weight decay as much larger.
struct Lion {
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "lion"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"beta1", &Lion::beta1, below(0, 1),
                "weight of the momentum in the sign, the gradient's is the rest"});
    visit(Field{"beta2", &Lion::beta2, below(0, 1), "what the mean of gradients keeps in a step"});
    visit(Field{"weight_decay", &Lion::weight_decay, at_least(0),
                "share of a weight, not of norms and biases, times the rate, that a step takes off"});
  }
  friend bool operator==(const Lion&, const Lion&) = default;
};

/// Keeps a number for each element.
template <class B>
class Lion::Bound final : public BoundOptimizer<B> {
 public:
  Bound(const Lion& settings, Parameters<B>& parameters)
      : BoundOptimizer<B>(parameters),
        settings_(settings),
        momentum_(parameters.handle(), parameters.size()) {
    validate(settings);
  }

  std::vector<OptimizerTensor<B>> state() override {
    std::vector<OptimizerTensor<B>> list;
    detail::list_block(this->parameters(), "momentum.", momentum_, list);
    return list;
  }

 private:
  void move(double learning_rate, double gradient_scale) override {
    Parameters<B>& parameters = this->parameters();
    MomentumStep step;
    step.gradient_scale = gradient_scale;
    step.momentum_weight = settings_.beta1;
    step.gradient_weight = 1 - settings_.beta1;
    step.sign = true;
    step.keep = settings_.beta2;
    step.add = 1 - settings_.beta2;
    step.rate = learning_rate;
    detail::for_each_range(parameters, settings_.weight_decay, [&](Index begin, Index count, double decay) {
      step.keep_out = 1 - learning_rate * decay;
      B::momentum(parameters.handle(), {.gradients = parameters.gradients().subview(begin, count),
                                        .momentum = momentum_.part(begin, count),
                                        .out = parameters.values().subview(begin, count),
                                        .step = step});
    });
  }

  Lion settings_;
  detail::StatBlock<B> momentum_;
};

}  // namespace merit::inline MERIT_ABI
