// What the activation functions are, and their slopes, as their definitions say.
#pragma once

#include <cmath>
#include <numbers>

#include "merit/backend/operations.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// An activation function at x, and its derivative.
template <class T>
struct Activated {
  Activated(ActivationFunction function, T x) {
    constexpr T root = std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;  // sqrt(2/π)
    switch (function) {
      case ActivationFunction::gelu: {  // x · Φ(x), Φ the normal distribution function
        const T distribution = T{0.5} * (T{1} + std::erf(x / std::numbers::sqrt2_v<T>));
        set_product(x, distribution, T{0.5} * root * std::exp(T{-0.5} * x * x));
        break;
      }
      case ActivationFunction::gelu_tanh: {
        constexpr T cubic = static_cast<T>(0.044715);
        const T t = std::tanh(root * (x + cubic * x * x * x));
        set_product(x, T{0.5} * (T{1} + t), T{0.5} * (T{1} - t * t) * root * (T{1} + T{3} * cubic * x * x));
        break;
      }
      case ActivationFunction::relu:
        value = x > 0 ? x : T{0};
        slope = x > 0 ? T{1} : T{0};
        break;
      case ActivationFunction::silu: {
        const T s = T{1} / (T{1} + std::exp(-x));  // e^−x may overflow to infinity, which gives the right 0
        set_product(x, s, s * (T{1} - s));
        break;
      }
      case ActivationFunction::tanh:
        value = std::tanh(x);
        slope = T{1} - value * value;
        break;
      case ActivationFunction::leaky_relu:
        slope = x > 0 ? T{1} : static_cast<T>(0.01);
        value = x * slope;
        break;
    }
  }

  T value = 0;
  T slope = 0;

 private:
  /// x · factor, and what it grows by.
  void set_product(T x, T factor, T factor_slope) {
    value = x * factor;
    slope = factor + x * factor_slope;
  }
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
