// AdamW over the flat block (Loshchilov & Hutter 2019): decoupled decay on matrices, none on norms and
// biases.
#pragma once

#include <cmath>

#include "merit/tape/parameters.hpp"

namespace merit::inline MERIT_ABI {

/// The settings, with PyTorch's names and meaning.
struct AdamW {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;

  template <class B>
  class Bound;

  void validate() const {
    const auto below_one = [](const char* field, double value) {
      if (!(value >= 0 && value < 1)) {
        throw ConfigError(
            detail::concat("adamw: ", field, " is ", value, ", expected at least 0 and below 1"));
      }
    };
    below_one("beta1", beta1);
    below_one("beta2", beta2);
    if (!(epsilon > 0))
      throw ConfigError(detail::concat("adamw: epsilon is ", epsilon, ", expected above 0"));
    if (!(weight_decay >= 0)) {
      throw ConfigError(detail::concat("adamw: weight_decay is ", weight_decay, ", expected at least 0"));
    }
  }
  friend bool operator==(const AdamW&, const AdamW&) = default;
};

/// The moments of one training run.
template <class B>
class AdamW::Bound {
 public:
  using T = typename B::Stat;
  using Types = BackendTypes<B>;

  /// The parameters must be allocated and outlive this.
  Bound(const AdamW& settings, Parameters<B>& parameters)
      : settings_(settings), parameters_(&parameters), size_(parameters.size()) {
    settings.validate();
    first_ = B::template allocate<T>(parameters.handle(), size_);
    second_ = B::template allocate<T>(parameters.handle(), size_);
  }
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;
  ~Bound() {
    if (second_ != nullptr) B::release(parameters_->handle(), second_, size_);
    if (first_ != nullptr) B::release(parameters_->handle(), first_, size_);
  }

  /// One update from the parameters' gradients, each first multiplied by `gradient_scale`.
  void update(double learning_rate, double gradient_scale) {
    ++steps_;
    AdamWStep step;
    step.learning_rate = learning_rate;
    step.beta1 = settings_.beta1;
    step.beta2 = settings_.beta2;
    step.epsilon = settings_.epsilon;
    step.gradient_scale = gradient_scale;
    step.bias_correction1 = 1 - std::pow(settings_.beta1, static_cast<double>(steps_));
    step.bias_correction2 = 1 - std::pow(settings_.beta2, static_cast<double>(steps_));
    const Index decayed = parameters_->decayed();
    step.weight_decay = settings_.weight_decay;
    update_range(0, decayed, step);
    step.weight_decay = 0;
    update_range(decayed, size_ - decayed, step);
  }

  /// Updates made so far: part of the state.
  Index steps() const { return steps_; }
  void set_steps(Index steps) { steps_ = steps; }
  /// The moments, laid out as the parameters' block of what is trained.
  typename Types::StatVector first_moments() { return {first_, size_}; }
  typename Types::StatVector second_moments() { return {second_, size_}; }

 private:
  void update_range(Index begin, Index count, const AdamWStep& step) {
    B::adamw(parameters_->handle(), {.parameters = parameters_->values().subview(begin, count),
                                     .gradients = parameters_->gradients().subview(begin, count),
                                     .first = {first_ + begin, count},
                                     .second = {second_ + begin, count},
                                     .step = step});
  }

  AdamW settings_;
  Parameters<B>* parameters_;
  Index size_ = 0;
  T* first_ = nullptr;
  T* second_ = nullptr;
  Index steps_ = 0;
};

}  // namespace merit::inline MERIT_ABI
