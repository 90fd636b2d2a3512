// The reference backend: every operation as the plainest loops that are right, on one thread, in a fixed
// order. It is the arbiter of every test, so it is written to be read, not to be fast.
//
// One row is computed at a time and every sum runs in one fixed order, so a token's results have the same
// bits however its batch is packed. Sums that gather over rows (weight gradients) start from what the target
// holds, so they have the same bits however the rows are cut into micro-batches.
#pragma once

#include <algorithm>
#include <cmath>
#include <string_view>

#include "merit/backend/dropout.hpp"
#include "merit/backend/expert_rows.hpp"
#include "merit/backend/next_token_row.hpp"
#include "merit/backend/operations.hpp"
#include "merit/backend/reference/activations.hpp"
#include "merit/backend/reference/forest_operations.hpp"
#include "merit/backend/reference/optimizer_operations.hpp"
#include "merit/backend/relative_rows.hpp"
#include "merit/core/buffer.hpp"
#include "merit/core/quantized.hpp"

namespace merit {
inline namespace MERIT_ABI {

template <class T>
struct ReferenceBackend {
  using Activation = T;
  using Stat = T;
  using Score = T;
  using Space = HostSpace;
  using Batch = ForestView<HostSpace>;

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
  static Batch prepare(Handle&, const Forest& forest) { return forest; }
  template <class Element>
  static Element* allocate(Handle&, Index n) {
    return allocate_on_host<Element>(n);
  }
  template <class Element>
  static void release(Handle&, Element* block, Index) {
    release_on_host(block);
  }
  template <class Element>
  static void to_host(Handle&, const Element* from, Element* to, Index n) {
    std::copy_n(from, n, to);
  }
  template <class Element>
  static void from_host(Handle&, const Element* from, Element* to, Index n) {
    std::copy_n(from, n, to);
  }
  static void wait(Handle&) {}
  static void fill(Handle&, Vector v, T value) { std::fill_n(v.data, v.size, value); }

  static void copy(Handle&, ConstMatrix from, Write write, Matrix to) {
    for (Index i = 0; i < to.rows; ++i)
      for (Index j = 0; j < to.cols; ++j) put(to(i, j), from(i, j), write);
  }

  // --- products ----------------------------------------------------------------------------------
  static void linear(Handle&, const LinearArguments<ReferenceBackend>& a) {
    detail::visit_numbers(a.weight, [&](auto weight) {
      const bool flip = a.transpose == Transpose::yes;
      for (Index i = 0; i < a.out.rows; ++i) {
        for (Index j = 0; j < a.out.cols; ++j) {
          T sum = a.write == Write::add ? a.out(i, j) : T{0};
          for (Index k = 0; k < a.x.cols; ++k)
            sum += a.x(i, k) * number<T>(flip ? weight(j, k) : weight(k, j));
          if (!a.bias.empty()) sum += a.bias[j];
          if (!a.residual.empty()) sum += a.residual(i, j);
          a.out(i, j) = sum;
        }
      }
    });
  }

  static void weight_gradient(Handle&, ConstMatrix a, ConstMatrix b, Write write, Matrix out) {
    for (Index i = 0; i < out.rows; ++i) {
      for (Index j = 0; j < out.cols; ++j) {
        T sum = write == Write::add ? out(i, j) : T{0};
        for (Index k = 0; k < a.rows; ++k) sum += a(k, i) * b(k, j);
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
  static void rms_norm(Handle&, const RmsNormArguments<ReferenceBackend>& a) {
    const T offset = static_cast<T>(a.weight_offset);
    for (Index i = 0; i < a.x.rows; ++i) {
      T squares = 0;
      for (Index j = 0; j < a.x.cols; ++j) squares += a.x(i, j) * a.x(i, j);
      const T r = T{1} / std::sqrt(squares / static_cast<T>(a.x.cols) + static_cast<T>(a.epsilon));
      for (Index j = 0; j < a.x.cols; ++j) a.y(i, j) = a.x(i, j) * r * (offset + a.weight[j]);
      if (!a.rstd.empty()) a.rstd[i] = r;
    }
  }

  /// With n = x · rstd and g = dy · (weight_offset + weight):  dx = rstd · (g − n · mean(g · n)),  dweight += dy · n.
  /// One loop per target, so that a target's bits do not depend on which others are wanted.
  static void rms_norm_backward(Handle&, const RmsNormBackwardArguments<ReferenceBackend>& a) {
    const auto g = [&](Index i, Index j) {
      return a.dy(i, j) * (static_cast<T>(a.weight_offset) + a.weight[j]);
    };
    for (Index i = 0; i < a.x.rows; ++i) {
      T mean = 0;  // of g · n
      for (Index j = 0; j < a.x.cols; ++j) mean += g(i, j) * (a.x(i, j) * a.rstd[i]);
      mean /= static_cast<T>(a.x.cols);
      for (Index j = 0; j < a.dx.cols; ++j)
        put(a.dx(i, j), a.rstd[i] * (g(i, j) - a.x(i, j) * a.rstd[i] * mean), a.write);
      for (Index j = 0; j < a.dweight.size; ++j) a.dweight[j] += a.dy(i, j) * (a.x(i, j) * a.rstd[i]);
    }
  }

  /// Empty weight, bias or stats are left out.
  static void layer_norm(Handle&, const LayerNormArguments<ReferenceBackend>& a) {
    const T width = static_cast<T>(a.x.cols);
    for (Index i = 0; i < a.x.rows; ++i) {
      T mean = 0;
      for (Index j = 0; j < a.x.cols; ++j) mean += a.x(i, j);
      mean /= width;
      T squares = 0;
      for (Index j = 0; j < a.x.cols; ++j) squares += (a.x(i, j) - mean) * (a.x(i, j) - mean);
      const T rstd = T{1} / std::sqrt(squares / width + static_cast<T>(a.epsilon));
      for (Index j = 0; j < a.x.cols; ++j) {
        a.y(i, j) = (a.x(i, j) - mean) * rstd;
        if (!a.weight.empty()) a.y(i, j) *= a.weight[j];
        if (!a.bias.empty()) a.y(i, j) += a.bias[j];
      }
      if (!a.stats.empty()) {
        a.stats[i] = mean;
        a.stats[a.x.rows + i] = rstd;
      }
    }
  }

  /// With n = (x − mean) · rstd and g = dy · weight:  dx = rstd · (g − mean(g) − n · mean(g · n)).
  static void layer_norm_backward(Handle&, const LayerNormBackwardArguments<ReferenceBackend>& a) {
    const T width = static_cast<T>(a.x.cols);
    const auto slope = [&](Index i, Index j) {
      return a.weight.empty() ? a.dy(i, j) : a.dy(i, j) * a.weight[j];
    };
    for (Index i = 0; i < a.x.rows; ++i) {
      const T mean = a.stats[i];
      const T rstd = a.stats[a.x.rows + i];
      T mean_g = 0;
      T mean_gn = 0;
      for (Index j = 0; j < a.x.cols; ++j) {
        const T g = slope(i, j);
        mean_g += g;
        mean_gn += g * ((a.x(i, j) - mean) * rstd);
      }
      mean_g /= width;
      mean_gn /= width;
      for (Index j = 0; j < a.dx.cols; ++j) {
        const T n = (a.x(i, j) - mean) * rstd;
        put(a.dx(i, j), rstd * (slope(i, j) - mean_g - n * mean_gn), a.write);
      }
      for (Index j = 0; j < a.dweight.size; ++j) a.dweight[j] += a.dy(i, j) * ((a.x(i, j) - mean) * rstd);
      for (Index j = 0; j < a.dbias.size; ++j) a.dbias[j] += a.dy(i, j);
    }
  }

  // --- positions ---------------------------------------------------------------------------------
  /// (a, b) becomes (a cos − b sin, b cos + a sin); the inverse turns the other way.
  static void rotary(Handle&, const RotaryArguments<ReferenceBackend>& a) {
    const Index width = a.x.cols / a.heads;
    const Index half = a.table.cols / 2;
    for (Index i = 0; i < a.x.rows; ++i) {
      const T* angles = a.table.row(a.positions[i]);
      for (Index head = 0; head < a.heads; ++head) {
        for (Index j = 0; j < half; ++j) {
          const T cosine = angles[j];
          const T sine = a.inverse ? -angles[half + j] : angles[half + j];
          T& first = a.x(i, head * width + j);
          T& second = a.x(i, head * width + half + j);
          const T before = first;
          first = before * cosine - second * sine;
          second = second * cosine + before * sine;
        }
      }
    }
  }

  // --- rows --------------------------------------------------------------------------------------
  static void gather_rows(Handle&, const WeightView<>& table, Indices ids, Write write, Matrix out) {
    for (Index i = 0; i < out.rows; ++i) {
      detail::visit_numbers(table.row(ids.empty() ? i : ids[i]), [&](auto row) {
        for (Index j = 0; j < out.cols; ++j) put(out(i, j), number<T>(row(0, j)), write);
      });
    }
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
  static void attention(Handle&, const AttentionArguments<ReferenceBackend>& a) { detail::attention(a); }

  static Index attention_backward_scratch(Handle&, const Forest&, const AttentionShape&) { return 0; }
  static void attention_backward(Handle&, const AttentionBackwardArguments<ReferenceBackend>& a) {
    detail::attention_backward(a);
  }

  static Index relative_attention_scratch(Handle&, const Forest&, Index) { return 0; }
  static void relative_attention(Handle&, const RelativeAttentionArguments<ReferenceBackend>& a) {
    for (Index e = 0; e < a.q.rows * a.shape.heads; ++e)
      detail::RelativeAttentionQuery<ReferenceBackend>{{a, a.forest}}(e);
  }
  static void relative_attention_backward(Handle&,
                                          const RelativeAttentionBackwardArguments<ReferenceBackend>& b) {
    const auto& a = b.forward;
    const Index heads = a.shape.heads, buckets = std::max(a.position_keys.rows, a.position_queries.rows);
    for (Index e = 0; e < a.q.rows * heads; ++e)
      detail::RelativeBackwardQuery<ReferenceBackend>(b, a.forest)(e);
    for (Index e = 0; e < a.k.rows * heads; ++e)
      detail::RelativeBackwardKey<ReferenceBackend>(b, a.forest)(e);
    for (Index e = 0; e < buckets * heads; ++e)
      detail::RelativeBackwardTable<ReferenceBackend>(b, a.forest)(e);
  }

  // --- elementwise -------------------------------------------------------------------------------
  static void glu(Handle&, ActivationFunction function, ConstMatrix gate_up, Matrix out) {
    for (Index i = 0; i < out.rows; ++i)
      for (Index j = 0; j < out.cols; ++j)
        out(i, j) = detail::Activated<T>(function, gate_up(i, j)).value * gate_up(i, out.cols + j);
  }

  static void glu_backward(Handle&, const GluBackwardArguments<ReferenceBackend>& a) {
    const Index width = a.dout.cols;
    for (Index i = 0; i < a.dout.rows; ++i) {
      for (Index j = 0; j < width; ++j) {
        const detail::Activated<T> gate(a.function, a.gate_up(i, j));
        put(a.dgate_up(i, j), a.dout(i, j) * a.gate_up(i, width + j) * gate.slope, a.write);
        put(a.dgate_up(i, width + j), a.dout(i, j) * gate.value, a.write);
      }
    }
  }

  static void activate(Handle&, ActivationFunction function, ConstMatrix x, Matrix y) {
    for (Index i = 0; i < x.rows; ++i)
      for (Index j = 0; j < x.cols; ++j) y(i, j) = detail::Activated<T>(function, x(i, j)).value;
  }

  static void activate_backward(Handle&, const ActivateBackwardArguments<ReferenceBackend>& a) {
    for (Index i = 0; i < a.x.rows; ++i)
      for (Index j = 0; j < a.x.cols; ++j)
        put(a.dx(i, j), a.dy(i, j) * detail::Activated<T>(a.kind, a.x(i, j)).slope, a.write);
  }

  // --- experts -------------------------------------------------------------------------------------
  static void route(Handle&, const RouteArguments<ReferenceBackend>& a) {
    for (Index i = 0; i < a.logits.rows; ++i) detail::RouteRow<ReferenceBackend>{a}(i);
  }
  static void route_backward(Handle&, const RouteBackwardArguments<ReferenceBackend>& a) {
    for (Index i = 0; i < a.logits.rows; ++i) detail::RouteBackwardRow<ReferenceBackend>{a}(i);
  }
  static void scale_rows(Handle&, ConstMatrix x, Indices places, ConstVector weights, Matrix out) {
    for (Index i = 0; i < x.rows; ++i) detail::ScaleRow<ReferenceBackend>{x, places, weights, out}(i);
  }
  static void scale_rows_backward(Handle&, const ScaleRowsBackwardArguments<ReferenceBackend>& a) {
    for (Index i = 0; i < a.x.rows; ++i) detail::ScaleRowBackward<ReferenceBackend>{a}(i);
  }

  static void scale(Handle&, const ScaleArguments<ReferenceBackend>& a) {
    for (Index i = 0; i < a.x.rows; ++i) {
      for (Index j = 0; j < a.x.cols; ++j) {
        const bool kept = a.row_keys.empty() || DropoutRow(a.row_keys[i], a.stream, a.dropout).keeps(j);
        T value = kept ? static_cast<T>(a.factor) * a.x(i, j) : T{0};
        if (!a.columns.empty()) value *= a.columns[j];
        if (!a.bias.empty()) value += a.bias[j];
        put(a.out(i, j), value, a.write);
      }
    }
  }

  static Index path_mean_scratch(Handle&, const Forest&, Index) { return 0; }
  static void path_mean(Handle&, const Forest& forest, ConstMatrix x, Matrix out, Vector /*scratch*/) {
    detail::path_mean(forest, x, out);
  }
  static void path_mean_backward(Handle&, const PathMeanBackwardArguments<ReferenceBackend>& a) {
    detail::path_mean_backward(a.forest, a.dout, a.write, a.dx);
  }

  // --- losses ------------------------------------------------------------------------------------
  static void next_token_loss(Handle&, const NextTokenLossArguments<ReferenceBackend>& a) {
    for (Index i = 0; i < a.logits.rows; ++i) {
      T* const row = a.logits.row(i);
      const Index top = static_cast<Index>(std::max_element(row, row + a.logits.cols) - row);
      const T largest = row[top];
      const auto sums = detail::next_token_sums(a, i, largest);
      T rest = 0;  // the top's own 1 would swallow small numbers
      for (Index j = 0; j < a.logits.cols; ++j) {
        row[j] = std::exp(row[j] - largest);
        if (j != top) rest += row[j];
      }
      for (Index j = 0; j < a.logits.cols; ++j) row[j] *= sums.weight / (T{1} + rest);
      detail::finish_next_token_row(a, i, sums, top, rest);
    }
  }

  // --- the trained weights --------------------------------------------------------------------------
  static double sum_of_squares(Handle&, ConstVector v) {
    double sum = 0;
    for (Index i = 0; i < v.size; ++i) sum += static_cast<double>(v[i]) * static_cast<double>(v[i]);
    return sum;
  }

  static void adamw(Handle&, const AdamWArguments<ReferenceBackend>& a) {
    const T beta1 = static_cast<T>(a.step.beta1);
    const T beta2 = static_cast<T>(a.step.beta2);
    const T rest1 = static_cast<T>(1 - a.step.beta1);
    const T rest2 = static_cast<T>(1 - a.step.beta2);
    const T keep = static_cast<T>(1 - a.step.learning_rate * a.step.weight_decay);
    const T rate = static_cast<T>(a.step.learning_rate / a.step.bias_correction1);
    const T root_correction2 = static_cast<T>(std::sqrt(a.step.bias_correction2));
    const T epsilon = static_cast<T>(a.step.epsilon);
    const T gradient_scale = static_cast<T>(a.step.gradient_scale);
    for (Index i = 0; i < a.parameters.size; ++i) {
      const T gradient = gradient_scale * a.gradients[i];
      a.first[i] = beta1 * a.first[i] + rest1 * gradient;
      a.second[i] = beta2 * a.second[i] + rest2 * gradient * gradient;
      const T denominator = std::sqrt(a.second[i]) / root_correction2 + epsilon;
      a.parameters[i] = keep * a.parameters[i] - rate * a.first[i] / denominator;
    }
  }

  static void momentum(Handle&, const MomentumArguments<ReferenceBackend>& a) { detail::momentum(a); }
  static void adafactor(Handle&, const AdafactorArguments<ReferenceBackend>& a) { detail::adafactor(a); }
  static void product(Handle&, const ProductArguments<ReferenceBackend>& a) { detail::product(a); }

 private:
  static void put(T& target, T value, Write write) {
    if (write == Write::assign) {
      target = value;
    } else {
      target += value;
    }
  }
};

static_assert(backend<ReferenceBackend<float>> && backend<ReferenceBackend<double>>);

}  // namespace MERIT_ABI
}  // namespace merit
