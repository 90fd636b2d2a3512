// The reference backend: every operation as the plainest loops that are right, on one thread, in a fixed
// order. It is the arbiter of every test, so it is written to be read, not to be fast.
//
// One row is computed at a time and every sum runs in one fixed order, so a token's results have the same
// bits however its batch is packed. Sums that gather over rows (weight gradients) start from what the target
// holds, so they have the same bits however the rows are cut into micro-batches.
#pragma once

#include <algorithm>
#include <cmath>
#include <new>
#include <numbers>
#include <string_view>

#include "merit/backend/operations.hpp"
#include "merit/backend/reference/forest_operations.hpp"
#include "merit/core/buffer.hpp"

namespace merit::inline MERIT_ABI {

template <class T>
struct ReferenceBackend {
  using Scalar = T;
  using Score = T;
  using Space = HostSpace;

  /// Nothing is needed to issue work: loops run where they are called.
  struct Handle {
    explicit Handle(const ReferenceBackend&) {}
  };

  using Matrix = MatrixView<T>;
  using ConstMatrix = MatrixView<const T>;
  using Vector = VectorView<T>;
  using ConstVector = VectorView<const T>;
  using Indices = VectorView<const std::uint32_t>;
  using Forest = ForestView<HostSpace>;

  static std::string_view name() { return "reference"; }

  // --- memory ------------------------------------------------------------------------------------
  static T* allocate(Handle&, Index n) {
    if (n == 0) return nullptr;
    T* block = static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{alignment}));
    std::fill_n(block, n, T{0});
    return block;
  }
  static void release(Handle&, T* block, Index) {
    if (block != nullptr) ::operator delete (block, std::align_val_t{alignment});
  }
  static void to_host(Handle&, const T* from, T* to, Index n) { std::copy_n(from, n, to); }
  static void from_host(Handle&, const T* from, T* to, Index n) { std::copy_n(from, n, to); }
  static void fill(Handle&, Vector v, T value) { std::fill_n(v.data, v.size, value); }

  static void copy(Handle&, ConstMatrix from, Write write, Matrix to) {
    for (Index i = 0; i < to.rows; ++i)
      for (Index j = 0; j < to.cols; ++j) put(to(i, j), from(i, j), write);
  }

  // --- products ----------------------------------------------------------------------------------
  static void gemm(Handle&, Transpose transpose_a, ConstMatrix a, Transpose transpose_b, ConstMatrix b,
                   Write write, Matrix out, ConstVector bias, ConstMatrix residual) {
    const bool flip_a = transpose_a == Transpose::yes;
    const bool flip_b = transpose_b == Transpose::yes;
    const Index depth = flip_a ? a.rows : a.cols;
    for (Index i = 0; i < out.rows; ++i) {
      for (Index j = 0; j < out.cols; ++j) {
        T sum = write == Write::add ? out(i, j) : T{0};
        for (Index k = 0; k < depth; ++k) sum += (flip_a ? a(k, i) : a(i, k)) * (flip_b ? b(j, k) : b(k, j));
        if (!bias.empty()) sum += bias[j];
        if (!residual.empty()) sum += residual(i, j);
        out(i, j) = sum;
      }
    }
  }

  static void column_sum(Handle&, ConstMatrix x, Write write, Vector out) {
    if (write == Write::assign) std::fill_n(out.data, out.size, T{0});
    for (Index i = 0; i < x.rows; ++i)
      for (Index j = 0; j < x.cols; ++j) out[j] += x(i, j);
  }

  // --- norms -------------------------------------------------------------------------------------
  /// An empty rstd is left out.
  static void rms_norm(Handle&, ConstMatrix x, ConstVector weight, T eps, Matrix y, Vector rstd) {
    for (Index i = 0; i < x.rows; ++i) {
      T squares = 0;
      for (Index j = 0; j < x.cols; ++j) squares += x(i, j) * x(i, j);
      const T r = T{1} / std::sqrt(squares / static_cast<T>(x.cols) + eps);
      for (Index j = 0; j < x.cols; ++j) y(i, j) = x(i, j) * r * weight[j];
      if (!rstd.empty()) rstd[i] = r;
    }
  }

  /// With n = x · rstd and g = dy · weight:  dx = rstd · (g − n · mean(g · n)),  dweight += dy · n.
  /// One loop per target, so that a target's bits do not depend on which others are wanted.
  static void rms_norm_backward(Handle&, ConstMatrix dy, ConstMatrix x, ConstVector weight, ConstVector rstd,
                                Write write, Matrix dx, Vector dweight) {
    for (Index i = 0; i < x.rows; ++i) {
      T mean = 0;  // of g · n
      for (Index j = 0; j < x.cols; ++j) mean += dy(i, j) * weight[j] * (x(i, j) * rstd[i]);
      mean /= static_cast<T>(x.cols);
      for (Index j = 0; j < dx.cols; ++j)
        put(dx(i, j), rstd[i] * (dy(i, j) * weight[j] - x(i, j) * rstd[i] * mean), write);
      for (Index j = 0; j < dweight.size; ++j) dweight[j] += dy(i, j) * (x(i, j) * rstd[i]);
    }
  }

  /// Empty bias or stats are left out.
  static void layer_norm(Handle&, ConstMatrix x, ConstVector weight, ConstVector bias, T eps, Matrix y,
                         Vector stats) {
    const T width = static_cast<T>(x.cols);
    for (Index i = 0; i < x.rows; ++i) {
      T mean = 0;
      for (Index j = 0; j < x.cols; ++j) mean += x(i, j);
      mean /= width;
      T squares = 0;
      for (Index j = 0; j < x.cols; ++j) squares += (x(i, j) - mean) * (x(i, j) - mean);
      const T rstd = T{1} / std::sqrt(squares / width + eps);
      for (Index j = 0; j < x.cols; ++j) {
        y(i, j) = (x(i, j) - mean) * rstd * weight[j];
        if (!bias.empty()) y(i, j) += bias[j];
      }
      if (!stats.empty()) {
        stats[i] = mean;
        stats[x.rows + i] = rstd;
      }
    }
  }

  /// With n = (x − mean) · rstd and g = dy · weight:  dx = rstd · (g − mean(g) − n · mean(g · n)).
  static void layer_norm_backward(Handle&, ConstMatrix dy, ConstMatrix x, ConstVector weight,
                                  ConstVector stats, Write write, Matrix dx, Vector dweight, Vector dbias) {
    const T width = static_cast<T>(x.cols);
    for (Index i = 0; i < x.rows; ++i) {
      const T mean = stats[i];
      const T rstd = stats[x.rows + i];
      T mean_g = 0;
      T mean_gn = 0;
      for (Index j = 0; j < x.cols; ++j) {
        const T g = dy(i, j) * weight[j];
        mean_g += g;
        mean_gn += g * ((x(i, j) - mean) * rstd);
      }
      mean_g /= width;
      mean_gn /= width;
      for (Index j = 0; j < dx.cols; ++j) {
        const T n = (x(i, j) - mean) * rstd;
        put(dx(i, j), rstd * (dy(i, j) * weight[j] - mean_g - n * mean_gn), write);
      }
      for (Index j = 0; j < dweight.size; ++j) dweight[j] += dy(i, j) * ((x(i, j) - mean) * rstd);
      for (Index j = 0; j < dbias.size; ++j) dbias[j] += dy(i, j);
    }
  }

  // --- positions ---------------------------------------------------------------------------------
  /// (a, b) becomes (a cos − b sin, b cos + a sin); the inverse turns the other way.
  static void rotary(Handle&, Matrix x, Index heads, Indices positions, ConstMatrix table, bool inverse) {
    const Index width = x.cols / heads;
    const Index half = width / 2;
    for (Index i = 0; i < x.rows; ++i) {
      const T* angles = table.row(positions[i]);
      for (Index head = 0; head < heads; ++head) {
        for (Index j = 0; j < half; ++j) {
          const T cosine = angles[j];
          const T sine = inverse ? -angles[half + j] : angles[half + j];
          T& first = x(i, head * width + j);
          T& second = x(i, head * width + half + j);
          const T a = first;
          const T b = second;
          first = a * cosine - b * sine;
          second = b * cosine + a * sine;
        }
      }
    }
  }

  // --- rows --------------------------------------------------------------------------------------
  static void gather_rows(Handle&, ConstMatrix table, Indices ids, Write write, Matrix out) {
    for (Index i = 0; i < ids.size; ++i)
      for (Index j = 0; j < out.cols; ++j) put(out(i, j), table(ids[i], j), write);
  }

  static void scatter_add_rows(Handle&, ConstMatrix rows, Indices ids, Matrix out) {
    for (Index i = 0; i < ids.size; ++i)
      for (Index j = 0; j < rows.cols; ++j) out(ids[i], j) += rows(i, j);
  }

  // --- attention over a forest -------------------------------------------------------------------
  /// Room for the scores of the longest path there can be.
  static Index attention_scratch(Handle&, const Forest& forest, const AttentionShape&) {
    return forest.token_count();
  }
  static void attention(Handle&, const Forest& forest, const AttentionShape& shape, Indices query_tokens,
                        ConstMatrix q, ConstMatrix k, ConstMatrix v, Matrix out, Matrix lse, Vector scratch) {
    detail::attention(forest, shape, query_tokens, q, k, v, out, lse, scratch);
  }

  static Index attention_backward_scratch(Handle&, const Forest&, const AttentionShape&) { return 0; }
  static void attention_backward(Handle&, const Forest& forest, const AttentionShape& shape,
                                 Indices query_tokens, ConstMatrix q, ConstMatrix k, ConstMatrix v,
                                 ConstMatrix out, ConstMatrix lse, ConstMatrix dout, Write write_dq,
                                 Matrix dq, Write write_dkv, Matrix dk, Matrix dv, Vector /*scratch*/) {
    detail::attention_backward(forest, shape, query_tokens, q, k, v, out, lse, dout, write_dq, dq, write_dkv,
                               dk, dv);
  }

  // --- elementwise -------------------------------------------------------------------------------
  static void swiglu(Handle&, ConstMatrix gate_up, Matrix out) {
    for (Index i = 0; i < out.rows; ++i)
      for (Index j = 0; j < out.cols; ++j)
        out(i, j) = gate_up(i, j) * sigmoid(gate_up(i, j)) * gate_up(i, out.cols + j);
  }

  /// silu'(g) = σ(g) · (1 + g · (1 − σ(g))).
  static void swiglu_backward(Handle&, ConstMatrix dout, ConstMatrix gate_up, Write write, Matrix dgate_up) {
    for (Index i = 0; i < dout.rows; ++i) {
      for (Index j = 0; j < dout.cols; ++j) {
        const T gate = gate_up(i, j);
        const T up = gate_up(i, dout.cols + j);
        const T s = sigmoid(gate);
        put(dgate_up(i, j), dout(i, j) * up * s * (T{1} + gate * (T{1} - s)), write);
        put(dgate_up(i, dout.cols + j), dout(i, j) * gate * s, write);
      }
    }
  }

  /// x · Φ(x), Φ the normal distribution function, its tanh approximation (Hendrycks & Gimpel 2016), or a
  /// step at zero (ReLU).
  static void activate(Handle&, ActivationFunction kind, ConstMatrix x, Matrix y) {
    for (Index i = 0; i < x.rows; ++i)
      for (Index j = 0; j < x.cols; ++j) y(i, j) = x(i, j) * distribution(kind, x(i, j));
  }

  static void activate_backward(Handle&, ActivationFunction kind, ConstMatrix dy, ConstMatrix x, Write write,
                                Matrix dx) {
    for (Index i = 0; i < x.rows; ++i) {
      for (Index j = 0; j < x.cols; ++j) {
        const T derivative = distribution(kind, x(i, j)) + x(i, j) * density(kind, x(i, j));
        put(dx(i, j), dy(i, j) * derivative, write);
      }
    }
  }

  static Index path_mean_scratch(Handle&, const Forest&, Index) { return 0; }
  static void path_mean(Handle&, const Forest& forest, ConstMatrix x, Matrix out, Vector /*scratch*/) {
    detail::path_mean(forest, x, out);
  }
  static void path_mean_backward(Handle&, const Forest& forest, ConstMatrix dout, Write write, Matrix dx,
                                 Vector /*scratch*/) {
    detail::path_mean_backward(forest, dout, write, dx);
  }

  // --- the flat block ----------------------------------------------------------------------------
  static double sum_of_squares(Handle&, ConstVector v) {
    double sum = 0;
    for (Index i = 0; i < v.size; ++i) sum += static_cast<double>(v[i]) * static_cast<double>(v[i]);
    return sum;
  }

  static void adamw(Handle&, Vector parameters, ConstVector gradients, Vector first, Vector second,
                    const AdamWStep& step) {
    const T beta1 = static_cast<T>(step.beta1);
    const T beta2 = static_cast<T>(step.beta2);
    const T rest1 = static_cast<T>(1 - step.beta1);
    const T rest2 = static_cast<T>(1 - step.beta2);
    const T keep = static_cast<T>(1 - step.learning_rate * step.weight_decay);
    const T rate = static_cast<T>(step.learning_rate / step.bias_correction1);
    const T root_correction2 = static_cast<T>(std::sqrt(step.bias_correction2));
    const T epsilon = static_cast<T>(step.epsilon);
    const T gradient_scale = static_cast<T>(step.gradient_scale);
    for (Index i = 0; i < parameters.size; ++i) {
      const T gradient = gradient_scale * gradients[i];
      first[i] = beta1 * first[i] + rest1 * gradient;
      second[i] = beta2 * second[i] + rest2 * gradient * gradient;
      const T denominator = std::sqrt(second[i]) / root_correction2 + epsilon;
      parameters[i] = keep * parameters[i] - rate * first[i] / denominator;
    }
  }

 private:
  static void put(T& target, T value, Write write) {
    if (write == Write::assign) {
      target = value;
    } else {
      target += value;
    }
  }

  /// 1 / (1 + e^−x): e^−x may overflow to infinity, which gives the right 0.
  static T sigmoid(T x) { return T{1} / (T{1} + std::exp(-x)); }

  static T distribution(ActivationFunction kind, T x) {
    if (kind == ActivationFunction::relu) return x > 0 ? T{1} : T{0};
    if (kind == ActivationFunction::gelu) return T{0.5} * (T{1} + std::erf(x / std::numbers::sqrt2_v<T>));
    return T{0.5} * (T{1} + std::tanh(tanh_argument(x)));
  }

  /// The derivative of distribution.
  static T density(ActivationFunction kind, T x) {
    constexpr T root = std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;  // sqrt(2/π)
    if (kind == ActivationFunction::relu) return T{0};
    if (kind == ActivationFunction::gelu) return T{0.5} * root * std::exp(T{-0.5} * x * x);
    const T t = std::tanh(tanh_argument(x));
    return T{0.5} * (T{1} - t * t) * root * (T{1} + T{3} * cubic * x * x);
  }

  static constexpr T cubic = static_cast<T>(0.044715);
  static T tanh_argument(T x) {
    constexpr T root = std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;
    return root * (x + cubic * x * x * x);
  }
};

static_assert(backend<ReferenceBackend<float>> && backend<ReferenceBackend<double>>);

}  // namespace merit::inline MERIT_ABI
