// Stochastic gradient descent, with momentum where it is asked for.
#pragma once

#include <string_view>
#include <vector>

#include "merit/optim/optimizer.hpp"

namespace merit::inline MERIT_ABI {

/// As PyTorch's SGD without dampening (Sutskever et al. 2013 for the two kinds of momentum):
///   g = g + weight_decay · w          (an L2 penalty that goes through the momentum, as PyTorch has it;
///                                      AdamW's decay is decoupled)
///   m = momentum · m + g
///   w = w − rate · m,  with nesterov  w = w − rate · (g + momentum · m)
struct Sgd {
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "sgd"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"momentum", &Sgd::momentum, below(0, 1),
                "what the sum of gradients keeps in a step; 0: the gradient alone moves a weight"});
    visit(Field{"nesterov", &Sgd::nesterov, any_value(), "looks a step ahead along the momentum"});
    visit(Field{"weight_decay", &Sgd::weight_decay, at_least(0),
                "factor of the L2 penalty: of the weight that is added to its gradient"});
  }

  void validate() const {
    if (nesterov && momentum == 0)
      throw ConfigError("sgd: nesterov is true and momentum 0, expected momentum above 0");
  }
  friend bool operator==(const Sgd&, const Sgd&) = default;
};

/// Keeps a number for each element, or none without momentum.
template <class B>
class Sgd::Bound final : public BoundOptimizer<B> {
 public:
  Bound(const Sgd& settings, Parameters<B>& parameters)
      : BoundOptimizer<B>(parameters),
        settings_(settings),
        momentum_(parameters.handle(), settings.momentum == 0 ? 0 : parameters.size()) {
    merit::validate(settings);
  }

  std::vector<OptimizerTensor<B>> state() override {
    std::vector<OptimizerTensor<B>> list;
    detail::list_block(this->parameters(), "momentum.", momentum_, list);
    return list;
  }

 private:
  void move(double learning_rate, double gradient_scale) override {
    Parameters<B>& parameters = this->parameters();
    const double mu = settings_.momentum;
    MomentumStep step;
    step.gradient_scale = gradient_scale;
    step.keep = mu;
    step.momentum_weight = settings_.nesterov ? mu * mu : mu;
    step.gradient_weight = settings_.nesterov ? 1 + mu : 1;
    step.rate = learning_rate;
    detail::for_each_range(parameters, settings_.weight_decay, [&](Index begin, Index count, double decay) {
      step.penalty = decay;
      B::momentum(parameters.handle(), {.gradients = parameters.gradients().subview(begin, count),
                                        .momentum = momentum_.part(begin, count),
                                        .out = parameters.values().subview(begin, count),
                                        .step = step});
    });
  }

  Sgd settings_;
  detail::StatBlock<B> momentum_;
};

}  // namespace merit::inline MERIT_ABI
