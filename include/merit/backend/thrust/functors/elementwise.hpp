// Memory and activations, an element at a time: element e is in row e / cols.
#pragma once

#include <cmath>

#include "merit/backend/thrust/functors/element.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

template <class T>
struct Fill {
  MatrixView<T, DeviceSpace> to;  // contiguous
  float value;
  MERIT_CALLABLE void operator()(Index e) const { to.data[e] = rounded<T>(value); }
};
template <class T>
Fill(MatrixView<T, DeviceSpace>, float) -> Fill<T>;

/// to = from, or to += from, converted.
template <class From, class To>
struct Copy {
  MatrixView<const From, DeviceSpace> from;
  Write write;
  MatrixView<To, DeviceSpace> to;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / to.cols, j = e % to.cols;
    put(to.row(i)[j], number<float>(from.row(i)[j]), write);
  }
};

/// One pair of each head: (a, b) becomes (a cos − b sin, b cos + a sin); the inverse turns the other way.
template <class B>
struct Rotary {
  RotaryArguments<B> a;

  /// How many pairs there are.
  MERIT_CALLABLE Index size() const { return a.x.rows * (a.x.cols / 2); }
  MERIT_CALLABLE void operator()(Index e) const {
    const Index half = a.x.cols / a.heads / 2, pairs = a.x.cols / 2;
    const Index row = e / pairs, head = e % pairs / half, j = e % pairs % half;
    const float* const angles = a.table.row(a.positions.data[row]);
    const float cosine = angles[j], sine = a.inverse ? -angles[half + j] : angles[half + j];
    auto* const x = a.x.row(row) + head * 2 * half;
    const float first = number<float>(x[j]), second = number<float>(x[half + j]);
    put(x[j], first * cosine - second * sine, Write::assign);
    put(x[half + j], second * cosine + first * sine, Write::assign);
  }
};

inline MERIT_CALLABLE float sigmoid(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}

/// silu(gate) · up of gate_up (M, 2f).
template <class T>
struct Swiglu {
  MatrixView<const T, DeviceSpace> gate_up;
  MatrixView<T, DeviceSpace> out;  // (M, f)

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / out.cols, j = e % out.cols;
    const float gate = number<float>(gate_up.row(i)[j]), up = number<float>(gate_up.row(i)[out.cols + j]);
    put(out.row(i)[j], gate * sigmoid(gate) * up, Write::assign);
  }
};

/// silu'(g) = σ(g) · (1 + g · (1 − σ(g))).
template <class T>
struct SwigluBackward {
  MatrixView<const T, DeviceSpace> dout;     // (M, f)
  MatrixView<const T, DeviceSpace> gate_up;  // (M, 2f)
  Write write;
  MatrixView<T, DeviceSpace> dgate_up;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / dout.cols, j = e % dout.cols;
    const float gate = number<float>(gate_up.row(i)[j]), up = number<float>(gate_up.row(i)[dout.cols + j]);
    const float d = number<float>(dout.row(i)[j]), s = sigmoid(gate);
    put(dgate_up.row(i)[j], d * up * s * (1.0f + gate * (1.0f - s)), write);
    put(dgate_up.row(i)[dout.cols + j], d * gate * s, write);
  }
};

/// An activation is x · distribution(x); density is its derivative.
struct ActivationFactor {
  float distribution;
  float density;
};

inline MERIT_CALLABLE ActivationFactor activation_factor(ActivationFunction kind, float x) {
  constexpr float root = 0.79788456080286535588f;  // sqrt(2/π)
  constexpr float cubic = 0.044715f;
  if (kind == ActivationFunction::relu) return {x > 0.0f ? 1.0f : 0.0f, 0.0f};
  if (kind == ActivationFunction::gelu) {
    // By erfc, as 1 + erf(x) would lose the small numbers left of zero.
    return {0.5f * std::erfc(-x * 0.70710678118654752440f), 0.5f * root * std::exp(-0.5f * x * x)};
  }
  // (1 + tanh u) / 2 is the sigmoid of 2u.
  const float s = sigmoid(2.0f * root * (x + cubic * x * x * x));
  return {s, s * (1.0f - s) * 2.0f * root * (1.0f + 3.0f * cubic * x * x)};
}

template <class T>
struct Activate {
  ActivationFunction kind;
  MatrixView<const T, DeviceSpace> x;
  MatrixView<T, DeviceSpace> y;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / x.cols, j = e % x.cols;
    const float value = number<float>(x.row(i)[j]);
    put(y.row(i)[j], value * activation_factor(kind, value).distribution, Write::assign);
  }
};

template <class B>
struct ActivateBackward {
  ActivateBackwardArguments<B> a;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / a.x.cols, j = e % a.x.cols;
    const float x = number<float>(a.x.row(i)[j]);
    const ActivationFactor factor = activation_factor(a.kind, x);
    put(a.dx.row(i)[j], number<float>(a.dy.row(i)[j]) * (factor.distribution + x * factor.density), a.write);
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
