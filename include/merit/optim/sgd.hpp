// Stochastic gradient descent, with momentum where it is asked for.
#pragma once

#include <string_view>

#include "merit/optim/momentum_optimizer.hpp"

namespace merit {
inline namespace MERIT_ABI {

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
  bool keeps_momentum() const { return momentum != 0; }
  /// Of weights to whose gradient `penalty` of themselves is added.
  MomentumStep step(double learning_rate, double gradient_scale, double penalty) const {
    MomentumStep numbers;
    numbers.gradient_scale = gradient_scale;
    numbers.penalty = penalty;
    numbers.keep = momentum;
    numbers.momentum_weight = nesterov ? momentum * momentum : momentum;
    numbers.gradient_weight = nesterov ? 1 + momentum : 1;
    numbers.rate = learning_rate;
    return numbers;
  }
  friend bool operator==(const Sgd&, const Sgd&) = default;
};

/// Keeps a number for each element, or none without momentum.
template <class B>
class Sgd::Bound final : public detail::MomentumOptimizer<B, Sgd> {
 public:
  using detail::MomentumOptimizer<B, Sgd>::MomentumOptimizer;
};

}  // namespace MERIT_ABI
}  // namespace merit
