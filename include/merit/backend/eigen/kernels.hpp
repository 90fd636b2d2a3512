// The operations of the Eigen backend, in the order of operations.hpp, each handed on to the file that does
// it. A program is compiled with them, or links merit::compiled, which has them for several instruction sets.
#pragma once

#include <algorithm>

#include "merit/backend/eigen/attention.hpp"
#include "merit/backend/eigen/elementwise.hpp"
#include "merit/backend/eigen/gemm.hpp"
#include "merit/backend/eigen/optimizers.hpp"
#include "merit/backend/eigen/parallel.hpp"
#include "merit/backend/eigen/relative_attention.hpp"
#include "merit/backend/eigen/rows.hpp"
#include "merit/backend/expert_rows.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"
#include "merit/fwd.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

template <class T>
struct Kernels {
  using Backend = EigenBackend<T>;
  using Handle = typename Backend::Handle;
  using Matrix = MatrixView<T>;
  using ConstMatrix = MatrixView<const T>;
  using Vector = VectorView<T>;
  using ConstVector = VectorView<const T>;
  using Indices = VectorView<const std::uint32_t>;
  using Forest = ForestView<HostSpace>;

  /// What a handle is made of: its threads, and how many elements of working space those need.
  static Index threads(int wanted) { return available_threads(wanted); }
  static Index working_space(Index threads) { return GemmSpace<T>::size(threads); }

  // --- memory
  static void fill(Handle& h, Vector v, T value) {
    parallel_ranges(h.threads(), v.size, aligned_count<T>(1), v.size,
                    [&](Index begin, Index end) { std::fill(v.data + begin, v.data + end, value); });
  }
  static void copy(Handle& h, ConstMatrix from, Write write, Matrix to) {
    eigen::copy(h.threads(), from, write, to);
  }

  // --- products
  static void linear(Handle& h, const LinearArguments<Backend>& a) {
    gemm<T>(space_of(h), h.threads(), Transpose::no, a.x, a.transpose, a.weight, a.write, a.out, a.bias,
            a.residual);
  }
  static void weight_gradient(Handle& h, ConstMatrix a, ConstMatrix b, Write write, Matrix out) {
    gemm<T>(space_of(h), h.threads(), Transpose::yes, a, Transpose::no, b, write, out, {}, {});
  }
  static void column_sum(Handle& h, ConstMatrix x, Write write, Vector out) {
    eigen::column_sum(h.threads(), x, write, out);
  }

  // --- norms
  static void rms_norm(Handle& h, const RmsNormArguments<Backend>& a) {
    eigen::rms_norm(h.threads(), a.x, a.weight, static_cast<T>(a.epsilon), a.y, a.rstd,
                    static_cast<T>(a.weight_offset));
  }
  static void rms_norm_backward(Handle& h, const RmsNormBackwardArguments<Backend>& a) {
    eigen::rms_norm_backward(h.threads(), a.dy, a.x, a.weight, a.rstd, a.write, a.dx, a.dweight,
                             static_cast<T>(a.weight_offset));
  }
  static void layer_norm(Handle& h, const LayerNormArguments<Backend>& a) {
    eigen::layer_norm(h.threads(), a.x, a.weight, a.bias, static_cast<T>(a.epsilon), a.y, a.stats);
  }
  static void layer_norm_backward(Handle& h, const LayerNormBackwardArguments<Backend>& a) {
    eigen::layer_norm_backward(h.threads(), a.dy, a.x, a.weight, a.stats, a.write, a.dx, a.dweight, a.dbias);
  }

  // --- positions
  static void rotary(Handle& h, const RotaryArguments<Backend>& a) {
    eigen::rotary(h.threads(), a.x, a.heads, a.positions, a.table, a.inverse);
  }

  // --- rows
  static void gather_rows(Handle& h, const WeightView<>& table, Indices ids, Write write, Matrix out) {
    eigen::gather_rows(h.threads(), table, ids, write, out);
  }
  static void scatter_add_rows(Handle& h, ConstMatrix rows, Indices ids, Matrix out) {
    eigen::scatter_add_rows(h.threads(), rows, ids, out);
  }

  // --- attention over a forest
  static Index attention_scratch(Handle& h, const Forest& forest, const AttentionShape& shape) {
    return eigen::attention_scratch<T>(h.threads(), forest, shape);
  }
  static void attention(Handle& h, const AttentionArguments<Backend>& a) {
    eigen::attention(h.threads(), a.forest, a.shape, a.query_tokens, a.q, a.k, a.v, a.out, a.lse,
                     a.scratch.data);
  }
  static Index attention_backward_scratch(Handle& h, const Forest& forest, const AttentionShape& shape) {
    return eigen::attention_backward_scratch<T>(h.threads(), forest, shape);
  }
  static void attention_backward(Handle& h, const AttentionBackwardArguments<Backend>& a) {
    eigen::attention_backward(h.threads(), a.forest, a.shape, a.query_tokens, a.q, a.k, a.v, a.out, a.lse,
                              a.dout, a.write_dq, a.dq, a.write_dkv, a.dk, a.dv, a.scratch.data);
  }

  static Index relative_attention_scratch(Handle& h, const Forest& forest, Index buckets) {
    return eigen::relative_scratch<T>(h.threads(), forest, buckets);
  }
  static void relative_attention(Handle& h, const RelativeAttentionArguments<Backend>& a) {
    eigen::relative_attention(h.threads(), a);
  }
  static void relative_attention_backward(Handle& h, const RelativeAttentionBackwardArguments<Backend>& b) {
    eigen::relative_attention_backward(h.threads(), b);
  }

  // --- elementwise
  static void glu(Handle& h, ActivationFunction function, ConstMatrix gate_up, Matrix out) {
    eigen::glu(h.threads(), function, gate_up, out);
  }
  static void glu_backward(Handle& h, const GluBackwardArguments<Backend>& a) {
    eigen::glu_backward(h.threads(), a.function, a.dout, a.gate_up, a.write, a.dgate_up);
  }
  static void activate(Handle& h, ActivationFunction kind, ConstMatrix x, Matrix y) {
    eigen::activate(h.threads(), kind, x, y);
  }
  static void activate_backward(Handle& h, const ActivateBackwardArguments<Backend>& a) {
    eigen::activate_backward(h.threads(), a.kind, a.dy, a.x, a.write, a.dx);
  }
  // --- experts
  static void route(Handle& h, const RouteArguments<Backend>& a) {
    each_row(h, a.logits.rows, a.logits.cols * a.weights.cols * 2, detail::RouteRow<Backend>{a});
  }
  static void route_backward(Handle& h, const RouteBackwardArguments<Backend>& a) {
    each_row(h, a.logits.rows, a.logits.cols * exponential_cost, detail::RouteBackwardRow<Backend>{a});
  }
  static void scale_rows(Handle& h, ConstMatrix x, Indices places, ConstVector weights, Matrix out) {
    each_row(h, x.rows, x.cols, detail::ScaleRow<Backend>{x, places, weights, out});
  }
  static void scale_rows_backward(Handle& h, const ScaleRowsBackwardArguments<Backend>& a) {
    each_row(h, a.x.rows, 3 * a.x.cols, detail::ScaleRowBackward<Backend>{a});
  }

  static void scale(Handle& h, const ScaleArguments<Backend>& a) { eigen::scale(h.threads(), a); }
  static void path_mean(Handle& h, const Forest& forest, ConstMatrix x, Matrix out, Vector scratch) {
    eigen::path_mean(h.threads(), forest, x, out, scratch.data);
  }
  static void path_mean_backward(Handle& h, const PathMeanBackwardArguments<Backend>& a) {
    eigen::path_mean_backward(h.threads(), a.forest, a.dout, a.write, a.dx, a.scratch.data);
  }

  // --- losses
  static void next_token_loss(Handle& h, const NextTokenLossArguments<Backend>& a) {
    eigen::next_token_loss(h.threads(), a);
  }

  // --- the trained weights
  static double sum_of_squares(Handle& h, ConstVector v) { return eigen::sum_of_squares(h.threads(), v); }
  static void adamw(Handle& h, const AdamWArguments<Backend>& a) {
    eigen::adamw(h.threads(), a.parameters, a.gradients, a.first, a.second, a.step);
  }
  static void momentum(Handle& h, const MomentumArguments<Backend>& a) {
    eigen::momentum(h.threads(), a.gradients, a.momentum, a.out, a.step);
  }
  static void adafactor(Handle& h, const AdafactorArguments<Backend>& a) {
    eigen::adafactor(h.threads(), a.gradients, a.rows, a.columns, a.step);
  }
  static void product(Handle& h, const ProductArguments<Backend>& a) {
    gemm<T>(space_of(h), h.threads(), a.transpose_a, a.a, a.transpose_b, a.b, Write::assign, a.out, {}, {});
    scale_and_add(h.threads(), a.out, a.scale, a.c, a.c_scale);
  }

 private:
  /// f(row) for each of `rows` rows, each so much work.
  template <class F>
  static void each_row(Handle& h, Index rows, Index work, const F& f) {
    parallel_ranges(h.threads(), rows, 1, rows * work, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) f(i);
    });
  }
  static GemmSpace<T> space_of(Handle& h) { return {h.threads(), h.working_space()}; }
};

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
