// AdamW (Loshchilov & Hutter 2019): moments of each element, and decoupled weight decay.
#pragma once

#include <cmath>
#include <string_view>
#include <vector>

#include "merit/optim/optimizer.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// With PyTorch's names, meaning and defaults. At step t, from gradient g and moments m and v that start at
/// 0:
///   m = β₁·m + (1 − β₁)·g,   v = β₂·v + (1 − β₂)·g²
///   w = w − rate · (m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε) + weight_decay · w)
struct AdamW {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "adamw"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"beta1", &AdamW::beta1, below(0, 1), "what the mean of gradients keeps in a step"});
    visit(Field{"beta2", &AdamW::beta2, below(0, 1), "what the mean of squared gradients keeps in a step"});
    visit(Field{"epsilon", &AdamW::epsilon, above(0), "added to the root of the mean square"});
    visit(Field{"weight_decay", &AdamW::weight_decay, at_least(0),
                "share of a weight, not of norms and biases, times the rate, that a step takes off"});
  }

  /// The numbers of update t, from 1, of weights that take `decay`.
  AdamWStep step(Index t, double learning_rate, double gradient_scale, double decay) const {
    return {.learning_rate = learning_rate,
            .beta1 = beta1,
            .beta2 = beta2,
            .epsilon = epsilon,
            .weight_decay = decay,
            .gradient_scale = gradient_scale,
            .bias_correction1 = 1 - std::pow(beta1, static_cast<double>(t)),
            .bias_correction2 = 1 - std::pow(beta2, static_cast<double>(t))};
  }
  friend bool operator==(const AdamW&, const AdamW&) = default;
};

/// Keeps two numbers for each element.
template <class B>
class AdamW::Bound final : public BoundOptimizer<B> {
 public:
  Bound(const AdamW& settings, Parameters<B>& parameters, const OptimizerShard& shard)
      : BoundOptimizer<B>(parameters, shard),
        settings_(settings),
        first_(parameters.handle(), shard.size()),
        second_(parameters.handle(), shard.size()) {
    validate(settings);
  }

  std::vector<OptimizerTensor<B>> state() override {
    std::vector<OptimizerTensor<B>> list;
    detail::list_block(this->parameters(), this->shard(), "first_moment.", first_, list);
    detail::list_block(this->parameters(), this->shard(), "second_moment.", second_, list);
    return list;
  }

 private:
  void move(double learning_rate, double gradient_scale) override {
    Parameters<B>& parameters = this->parameters();
    detail::for_each_range(
        parameters, this->shard(), settings_.weight_decay,
        [&](Index begin, Index place, Index count, double decay) {
          B::adamw(parameters.handle(),
                   {.parameters = parameters.values().subview(begin, count),
                    .gradients = parameters.gradients().subview(begin, count),
                    .first = first_.part(place, count),
                    .second = second_.part(place, count),
                    .step = settings_.step(this->steps(), learning_rate, gradient_scale, decay)});
        });
  }

  AdamW settings_;
  detail::StatBlock<B> first_, second_;
};

}  // namespace MERIT_ABI
}  // namespace merit
