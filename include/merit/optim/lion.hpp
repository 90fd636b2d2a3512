// Lion (Chen et al. 2023): steps of one size, in the direction of a sign.
#pragma once

#include <string_view>

#include "merit/optim/momentum_optimizer.hpp"

namespace merit {
inline namespace MERIT_ABI {

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
  static constexpr bool keeps_momentum() { return true; }
  /// Of weights that take `decay`.
  MomentumStep step(double learning_rate, double gradient_scale, double decay) const {
    MomentumStep numbers;
    numbers.gradient_scale = gradient_scale;
    numbers.momentum_weight = beta1;
    numbers.gradient_weight = 1 - beta1;
    numbers.sign = true;
    numbers.keep = beta2;
    numbers.add = 1 - beta2;
    numbers.keep_out = 1 - learning_rate * decay;
    numbers.rate = learning_rate;
    return numbers;
  }
  friend bool operator==(const Lion&, const Lion&) = default;
};

/// Keeps a number for each element.
template <class B>
class Lion::Bound final : public detail::MomentumOptimizer<B, Lion> {
 public:
  using detail::MomentumOptimizer<B, Lion>::MomentumOptimizer;
};

}  // namespace MERIT_ABI
}  // namespace merit
