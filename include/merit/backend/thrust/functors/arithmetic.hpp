// What happens to one number, the same in a loop of a functor on a host and in a kernel on a device.
#pragma once

#include <cmath>
#include <limits>

#include "merit/backend/operations.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// 1 / (1 + e^−x): e^−x may overflow to infinity, which gives the right 0.
inline MERIT_CALLABLE float sigmoid(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}

/// An activation function at x, and its slope there.
struct Activated {
  float value;
  float slope;

  MERIT_CALLABLE Activated(ActivationFunction function, float x) {
    constexpr float root = 0.79788456080286535588f;  // sqrt(2/π)
    constexpr float cubic = 0.044715f;
    if (function == ActivationFunction::silu) {
      const float s = sigmoid(x);
      set_product(x, s, s * (1.0f - s));
    } else if (function == ActivationFunction::gelu) {
      // By erfc, as 1 + erf(x) would lose the small numbers left of zero.
      set_product(x, 0.5f * std::erfc(-x * 0.70710678118654752440f), 0.5f * root * std::exp(-0.5f * x * x));
    } else if (function == ActivationFunction::gelu_tanh) {
      // (1 + tanh u) / 2 is the sigmoid of 2u.
      const float s = sigmoid(2.0f * root * (x + cubic * x * x * x));
      set_product(x, s, s * (1.0f - s) * 2.0f * root * (1.0f + 3.0f * cubic * x * x));
    } else if (function == ActivationFunction::tanh) {
      value = std::tanh(x);
      slope = 1.0f - value * value;
    } else {
      const float below = function == ActivationFunction::leaky_relu ? 0.01f : 0.0f;
      slope = x > 0.0f ? 1.0f : below;
      value = x > 0.0f ? x : below * x;
    }
  }

 private:
  /// x · factor, and what it grows by.
  MERIT_CALLABLE void set_product(float x, float factor, float factor_slope) {
    value = x * factor;
    slope = factor + x * factor_slope;
  }
};

/// d · function(gate) · up, by the gate and by up.
struct GluGradient {
  float of_gate;
  float of_up;

  MERIT_CALLABLE GluGradient(ActivationFunction function, float d, float gate, float up) {
    const Activated activated(function, gate);
    of_gate = d * up * activated.slope;
    of_up = d * activated.value;
  }
};

/// (a, b) turned by an angle, or back.
inline MERIT_CALLABLE void rotate(float& a, float& b, float cosine, float sine, bool inverse) {
  const float before = a, s = inverse ? -sine : sine;
  a = before * cosine - b * s;
  b = b * cosine + before * s;
}

/// One AdamW update of one weight, as AdamWStep says.
struct AdamWUpdate {
  float beta1, beta2, rest1, rest2, keep, rate, root_correction2, epsilon, gradient_scale;

  MERIT_CALLABLE explicit AdamWUpdate(const AdamWStep& step)
      : beta1(static_cast<float>(step.beta1)),
        beta2(static_cast<float>(step.beta2)),
        rest1(static_cast<float>(1 - step.beta1)),
        rest2(static_cast<float>(1 - step.beta2)),
        keep(static_cast<float>(1 - step.learning_rate * step.weight_decay)),
        rate(static_cast<float>(step.learning_rate / step.bias_correction1)),
        root_correction2(static_cast<float>(std::sqrt(step.bias_correction2))),
        epsilon(static_cast<float>(step.epsilon)),
        gradient_scale(static_cast<float>(step.gradient_scale)) {}

  MERIT_CALLABLE void operator()(float gradient, float& weight, float& first, float& second) const {
    gradient *= gradient_scale;
    first = beta1 * first + rest1 * gradient;
    second = beta2 * second + rest2 * gradient * gradient;
    weight = keep * weight - rate * first / (std::sqrt(second) / root_correction2 + epsilon);
  }
};

/// One update by a moving sum of gradients, as MomentumStep says. `out` must be 0 where it is not to be read.
struct MomentumUpdate {
  float gradient_scale, penalty, momentum_weight, gradient_weight, keep, add, keep_out, rate;
  bool sign, reads_out;

  MERIT_CALLABLE explicit MomentumUpdate(const MomentumStep& step)
      : gradient_scale(static_cast<float>(step.gradient_scale)),
        penalty(static_cast<float>(step.penalty)),
        momentum_weight(static_cast<float>(step.momentum_weight)),
        gradient_weight(static_cast<float>(step.gradient_weight)),
        keep(static_cast<float>(step.keep)),
        add(static_cast<float>(step.add)),
        keep_out(static_cast<float>(step.keep_out)),
        rate(static_cast<float>(step.rate)),
        sign(step.sign),
        reads_out(step.keep_out != 0 || step.penalty != 0) {}

  MERIT_CALLABLE void operator()(float gradient, float& momentum, float& out) const {
    const float g = gradient_scale * gradient + penalty * out;
    float direction = momentum_weight * momentum + gradient_weight * g;
    if (sign) direction = static_cast<float>((direction > 0) - (direction < 0));
    momentum = keep * momentum + add * g;
    out = keep_out * out - rate * direction;
  }
};

/// Adafactor's numbers, in double, as AdafactorArguments has them.
struct AdafactorUpdate {
  AdafactorStep step;

  /// The square of a gradient, scaled.
  MERIT_CALLABLE double square(float gradient) const {
    const double value = step.gradient_scale * static_cast<double>(gradient);
    return value * value;
  }
  /// A moment of which `mean` is this step's mean of squares.
  MERIT_CALLABLE float moved(float moment, double mean) const {
    const auto old = static_cast<double>(moment);
    return static_cast<float>(old + step.share * (mean - old));
  }
  /// A row's moment, divided by the mean of all.
  MERIT_CALLABLE double of_row(float moment, double mean_of_rows) const {
    return static_cast<double>(moment) / (mean_of_rows > step.epsilon ? mean_of_rows : step.epsilon);
  }
  /// What becomes of a gradient whose square is estimated so.
  MERIT_CALLABLE float scaled(float gradient, double estimate) const {
    // A square that float cannot hold would let a gradient of zero become 0 / 0.
    constexpr double smallest = static_cast<double>(std::numeric_limits<float>::min());
    const double squared = step.epsilon * step.epsilon, least = squared > smallest ? squared : smallest;
    return static_cast<float>(step.gradient_scale * static_cast<double>(gradient) /
                              std::sqrt(estimate > least ? estimate : least));
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
