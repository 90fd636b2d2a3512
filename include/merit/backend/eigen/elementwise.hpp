// Activations.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <type_traits>

#include "merit/backend/dropout.hpp"
#include "merit/backend/eigen/parallel.hpp"
#include "merit/backend/eigen/rows.hpp"
#include "merit/backend/eigen/simd.hpp"
#include "merit/backend/next_token_row.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// What one exponential costs, in elementary operations.
inline constexpr Index exponential_cost = 8;

/// 1 / (1 + e^-x)
template <class T>
inline Packet<T> sigmoid(const Packet<T>& x) {
  const Packet<T> one = Simd<T>::set(T{1});
  return div(one, add(one, exponential<T>(mul(x, Simd<T>::set(T{-1})))));
}

/// See NextTokenLossArguments. Each row is read three times, out of the nearest caches where it fits them.
template <class B>
void next_token_loss(Index threads, const NextTokenLossArguments<B>& a) {
  using T = typename B::Stat;
  using S = Simd<T>;
  const Index vocabulary = a.logits.cols;
  const Index work = (exponential_cost + 2) * a.logits.rows * vocabulary;
  parallel_ranges(threads, a.logits.rows, 1, work, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      T* const row = a.logits.row(i);
      const Index top = static_cast<Index>(std::max_element(row, row + vocabulary) - row);
      const Packet<T> largest = S::set(row[top]);
      const auto sums = merit::detail::next_token_sums(a, i, row[top]);
      sweep<T>(vocabulary, [&](Index j, auto lane) {
        lane.store(row + j, exponential<T>(sub(lane.load(row + j), largest)));
      });
      row[top] = T{0};  // its own 1 would swallow small numbers
      T rest = 0;
      constexpr Index run = 64 * S::width;  // in short runs, as in add_over_rows
      for (Index j = 0; j < vocabulary; j += run) {
        rest += sweep_total<T>(std::min(run, vocabulary - j),
                               [&](Index k, auto lane) { return lane.load(row + j + k); });
      }
      row[top] = T{1};
      const Packet<T> factor = S::set(sums.weight / (T{1} + rest));
      sweep<T>(vocabulary, [&](Index j, auto lane) { lane.store(row + j, mul(lane.load(row + j), factor)); });
      merit::detail::finish_next_token_row(a, i, sums, top, rest);
    }
  });
}

/// An activation function at x, and its slope there.
template <class T>
struct Activated {
  Packet<T> value;
  Packet<T> slope;
};

/// Of x · factor, by the slope of the factor.
template <class T>
inline Activated<T> activated_product(const Packet<T>& x, const Packet<T>& factor,
                                      const Packet<T>& factor_slope) {
  return {mul(x, factor), fma(x, factor_slope, factor)};
}

template <class T>
inline Activated<T> silu(const Packet<T>& x) {
  const Packet<T> s = sigmoid<T>(x);
  return activated_product<T>(x, s, mul(s, sub(Simd<T>::set(T{1}), s)));
}

/// x · cdf, cdf = sigmoid(2u), u = sqrt(2/pi) · (x + 0.044715 x³): the same as (1 + tanh u) / 2.
template <class T>
inline Activated<T> gelu_tanh(const Packet<T>& x) {
  using S = Simd<T>;
  constexpr T root = std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;
  constexpr T cubic = static_cast<T>(0.044715);
  const Packet<T> one = S::set(T{1}), square = mul(x, x);
  const Packet<T> twice_u = mul(mul(S::set(2 * root), x), fma(S::set(cubic), square, one));
  const Packet<T> cdf = sigmoid<T>(twice_u);
  const Packet<T> slope = mul(S::set(2 * root), fma(S::set(3 * cubic), square, one));
  return activated_product<T>(x, cdf, mul(mul(cdf, sub(one, cdf)), slope));
}

/// x · cdf, cdf the normal distribution. In float, the tail is e^(-x²/2) · t · p(t) with t = 1 / (1 + c|x|), p a
/// polynomial fitted to a relative error of 5e-9; so it is accurate relative to its own size also far out.
template <class T>
inline Activated<T> gelu(const Packet<T>& x) {
  using S = Simd<T>;
  constexpr T density_at_zero = std::numbers::inv_sqrtpi_v<T> / std::numbers::sqrt2_v<T>;
  const Packet<T> one = S::set(T{1});
  const Packet<T> bell = exponential<T>(mul(S::set(T{-0.5}), mul(x, x)));
  Packet<T> cdf;
  if constexpr (std::is_same_v<T, float>) {
    constexpr float steepness = 0.226274170f;  // 0.32 / sqrt(2)
    constexpr float coefficients[] = {0.0171397922f,  -0.07697600126f, 0.1109460885f,  -0.06604983316f,
                                      0.07197422858f, 0.03487780726f,  0.06578014786f, 0.07609846245f,
                                      0.08566931678f, 0.09026964684f,  0.09027034133f};
    const Packet<T> t = div(one, fma(S::set(steepness), Eigen::internal::pabs(x), one));
    Packet<T> p = S::set(0.0f);
    for (const float coefficient : coefficients) p = fma(p, t, S::set(coefficient));
    const Packet<T> tail = mul(bell, mul(t, p));
    // Left of zero the tail itself, right of zero the rest: 1/2 + sign(x) · (1/2 - tail) would lose the small
    // tails.
    const Packet<T> right = Eigen::internal::pcmp_lt(S::set(0.0f), x);
    cdf = Eigen::internal::pselect(right, sub(one, tail), tail);
  } else {
    cdf = each<T>(x, [](T value) { return std::erfc(-value / std::numbers::sqrt2_v<T>) / 2; });
  }
  return activated_product<T>(x, cdf, mul(S::set(density_at_zero), bell));
}

/// x, with its negative values times `below`.
template <class T>
inline Activated<T> rectified(const Packet<T>& x, T below) {
  using S = Simd<T>;
  const Packet<T> right = Eigen::internal::pcmp_lt(S::set(T{0}), x);
  const Packet<T> slope = Eigen::internal::pselect(right, S::set(T{1}), S::set(below));
  return {Eigen::internal::pselect(right, x, mul(x, S::set(below))), slope};
}

template <class T>
inline Activated<T> activated(ActivationFunction function, const Packet<T>& x) {
  switch (function) {
    case ActivationFunction::silu: return silu<T>(x);
    case ActivationFunction::gelu: return gelu<T>(x);
    case ActivationFunction::gelu_tanh: return gelu_tanh<T>(x);
    case ActivationFunction::leaky_relu: return rectified<T>(x, static_cast<T>(0.01));
    case ActivationFunction::tanh: {
      const Packet<T> value = hyperbolic_tangent<T>(x);
      return {value, sub(Simd<T>::set(T{1}), mul(value, value))};
    }
    case ActivationFunction::relu: break;
  }
  return rectified<T>(x, T{0});
}

template <class T>
void glu(Index threads, ActivationFunction function, MatrixView<const T> gate_up, MatrixView<T> out) {
  const Index width = out.cols;
  parallel_ranges(threads, out.rows, 1, exponential_cost * out.rows * width, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const T* const gates = gate_up.row(i);
      sweep<T>(width, [&](Index j, auto lane) {
        const Packet<T> gate = activated<T>(function, lane.load(gates + j)).value;
        lane.store(out.row(i) + j, mul(gate, lane.load(gates + width + j)));
      });
    }
  });
}

template <class T>
void glu_backward(Index threads, ActivationFunction function, MatrixView<const T> dout,
                  MatrixView<const T> gate_up, Write write, MatrixView<T> dgate_up) {
  const Index width = dout.cols;
  parallel_ranges(threads, dout.rows, 1, exponential_cost * dout.rows * width, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const T* const gates = gate_up.row(i);
      T* const dgates = dgate_up.row(i);
      sweep<T>(width, [&](Index j, auto lane) {
        const Activated<T> gate = activated<T>(function, lane.load(gates + j));
        const Packet<T> d = lane.load(dout.row(i) + j), up = lane.load(gates + width + j);
        put<T>(lane, dgates + j, mul(mul(d, up), gate.slope), write);
        put<T>(lane, dgates + width + j, mul(d, gate.value), write);
      });
    }
  });
}

template <class T>
void activate(Index threads, ActivationFunction function, MatrixView<const T> x, MatrixView<T> y) {
  parallel_ranges(threads, x.rows, 1, exponential_cost * x.rows * x.cols, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      sweep<T>(x.cols, [&](Index j, auto lane) {
        lane.store(y.row(i) + j, activated<T>(function, lane.load(x.row(i) + j)).value);
      });
    }
  });
}

template <class T>
void activate_backward(Index threads, ActivationFunction function, MatrixView<const T> dy,
                       MatrixView<const T> x, Write write, MatrixView<T> dx) {
  parallel_ranges(threads, x.rows, 1, exponential_cost * x.rows * x.cols, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      sweep<T>(x.cols, [&](Index j, auto lane) {
        const Packet<T> slope = activated<T>(function, lane.load(x.row(i) + j)).slope;
        put<T>(lane, dx.row(i) + j, mul(lane.load(dy.row(i) + j), slope), write);
      });
    }
  });
}

/// In packets where nothing is dropped.
template <class B>
void scale(Index threads, const ScaleArguments<B>& a) {
  using T = typename B::Stat;
  using S = Simd<T>;
  const Index cost = a.row_keys.empty() ? 2 : 16;
  parallel_ranges(threads, a.x.rows, 1, cost * a.x.rows * a.x.cols, [&](Index begin, Index end) {
    const Packet<T> factor = S::set(static_cast<T>(a.factor)), zero = S::set(T{0});
    for (Index i = begin; i < end; ++i) {
      const T* const x = a.x.row(i);
      T* const out = a.out.row(i);
      if (a.row_keys.empty()) {
        sweep<T>(a.x.cols, [&](Index j, auto lane) {
          Packet<T> value = mul(factor, lane.load(x + j));
          if (!a.columns.empty()) value = mul(value, lane.load(a.columns.data + j));
          put<T>(lane, out + j, add(value, a.bias.empty() ? zero : lane.load(a.bias.data + j)), a.write);
        });
        continue;
      }
      const DropoutRow row(a.row_keys[i], a.stream, a.dropout);
      for (Index j = 0; j < a.x.cols; ++j) {
        T value = row.keeps(j) ? static_cast<T>(a.factor) * x[j] : T{0};
        if (!a.columns.empty()) value *= a.columns[j];
        if (!a.bias.empty()) value += a.bias[j];
        out[j] = a.write == Write::assign ? value : out[j] + value;
      }
    }
  });
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
