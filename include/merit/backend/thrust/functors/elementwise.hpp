// Memory and activations, an element at a time: element e is in row e / cols.
#pragma once

#include "merit/backend/dropout.hpp"
#include "merit/backend/thrust/functors/arithmetic.hpp"
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
  MERIT_CALLABLE Index size() const { return a.x.rows * a.heads * (a.table.cols / 2); }
  MERIT_CALLABLE void operator()(Index e) const {
    const Index half = a.table.cols / 2, pairs = a.heads * half;
    const Index row = e / pairs, head = e % pairs / half, j = e % pairs % half;
    const float* const angles = a.table.row(a.positions.data[row]);
    auto* const x = a.x.row(row) + head * (a.x.cols / a.heads);
    float first = number<float>(x[j]), second = number<float>(x[half + j]);
    rotate(first, second, angles[j], angles[half + j], a.inverse);
    put(x[j], first, Write::assign);
    put(x[half + j], second, Write::assign);
  }
};

/// function(gate) · up of gate_up (M, 2f).
template <class T>
struct Glu {
  ActivationFunction function;
  MatrixView<const T, DeviceSpace> gate_up;
  MatrixView<T, DeviceSpace> out;  // (M, f)

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / out.cols, j = e % out.cols;
    const float gate = number<float>(gate_up.row(i)[j]), up = number<float>(gate_up.row(i)[out.cols + j]);
    put(out.row(i)[j], Activated(function, gate).value * up, Write::assign);
  }
};

/// The gradients of the gates, then of the ups.
template <class B>
struct GluBackward {
  GluBackwardArguments<B> a;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index cols = a.dout.cols, i = e / cols, j = e % cols;
    const float gate = number<float>(a.gate_up.row(i)[j]), up = number<float>(a.gate_up.row(i)[cols + j]);
    const GluGradient gradient(a.function, number<float>(a.dout.row(i)[j]), gate, up);
    put(a.dgate_up.row(i)[j], gradient.of_gate, a.write);
    put(a.dgate_up.row(i)[cols + j], gradient.of_up, a.write);
  }
};

template <class T>
struct Activate {
  ActivationFunction kind;
  MatrixView<const T, DeviceSpace> x;
  MatrixView<T, DeviceSpace> y;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / x.cols, j = e % x.cols;
    put(y.row(i)[j], Activated(kind, number<float>(x.row(i)[j])).value, Write::assign);
  }
};

template <class B>
struct ActivateBackward {
  ActivateBackwardArguments<B> a;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / a.x.cols, j = e % a.x.cols;
    const float x = number<float>(a.x.row(i)[j]);
    put(a.dx.row(i)[j], number<float>(a.dy.row(i)[j]) * Activated(a.kind, x).slope, a.write);
  }
};

template <class B>
struct Scale {
  ScaleArguments<B> a;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index i = e / a.x.cols, j = e % a.x.cols;
    const bool kept = a.row_keys.empty() || DropoutRow(a.row_keys.data[i], a.stream, a.dropout).keeps(j);
    float value = kept ? static_cast<float>(a.factor) * number<float>(a.x.row(i)[j]) : 0.0f;
    if (!a.columns.empty()) value *= a.columns.data[j];
    if (!a.bias.empty()) value += a.bias.data[j];
    put(a.out.row(i)[j], value, a.write);
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
