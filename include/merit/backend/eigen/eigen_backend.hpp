// The host backend: vectors through Eigen's packets, threads through OpenMP where the program is compiled
// with it. The operations themselves are in the files beside this one; here is the list, in the order of
// operations.hpp.
#pragma once

#include <algorithm>
#include <string_view>

#include "merit/backend/eigen/attention.hpp"
#include "merit/backend/eigen/elementwise.hpp"
#include "merit/backend/eigen/gemm.hpp"
#include "merit/backend/eigen/optimizers.hpp"
#include "merit/backend/eigen/parallel.hpp"
#include "merit/backend/eigen/rows.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Runs on the host's processor. Results depend neither on timing nor on the number of threads.
template <class T>
struct EigenBackend {
  using Activation = T;
  using Stat = T;
  using Score = T;
  using Space = HostSpace;
  using Batch = ForestView<HostSpace>;

  /// How many threads an operation may use; 0: all that OpenMP gives.
  int threads = 0;

  /// Threads, and the packed blocks of matrix products. All of it is allocated here, nothing later. One
  /// thread of control uses a handle at a time.
  class Handle {
   public:
    explicit Handle(const EigenBackend& settings)
        : threads_(detail::eigen::available_threads(settings.threads)), space_(threads_) {}

    Index threads() const { return threads_; }
    detail::eigen::GemmSpace<T>& gemm_space() { return space_; }

   private:
    Index threads_;
    detail::eigen::GemmSpace<T> space_;
  };

  using Matrix = MatrixView<T>;
  using ConstMatrix = MatrixView<const T>;
  using Vector = VectorView<T>;
  using ConstVector = VectorView<const T>;
  using Indices = VectorView<const std::uint32_t>;
  using Forest = ForestView<HostSpace>;

  static std::string_view name() { return "eigen"; }

  // --- memory
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
  static void fill(Handle& h, Vector v, T value) {
    detail::eigen::parallel_ranges(
        h.threads(), v.size, aligned_count<T>(1), v.size,
        [&](Index begin, Index end) { std::fill(v.data + begin, v.data + end, value); });
  }
  static void copy(Handle& h, ConstMatrix from, Write write, Matrix to) {
    detail::eigen::copy(h.threads(), from, write, to);
  }

  // --- products
  static void linear(Handle& h, const LinearArguments<EigenBackend>& a) {
    detail::eigen::gemm(h.gemm_space(), h.threads(), Transpose::no, a.x, a.transpose, a.weight, a.write,
                        a.out, a.bias, a.residual);
  }
  static void weight_gradient(Handle& h, ConstMatrix a, ConstMatrix b, Write write, Matrix out) {
    detail::eigen::gemm<T>(h.gemm_space(), h.threads(), Transpose::yes, a, Transpose::no, b, write, out, {},
                           {});
  }
  static void column_sum(Handle& h, ConstMatrix x, Write write, Vector out) {
    detail::eigen::column_sum(h.threads(), x, write, out);
  }

  // --- norms
  static void rms_norm(Handle& h, const RmsNormArguments<EigenBackend>& a) {
    detail::eigen::rms_norm(h.threads(), a.x, a.weight, static_cast<T>(a.epsilon), a.y, a.rstd);
  }
  static void rms_norm_backward(Handle& h, const RmsNormBackwardArguments<EigenBackend>& a) {
    detail::eigen::rms_norm_backward(h.threads(), a.dy, a.x, a.weight, a.rstd, a.write, a.dx, a.dweight);
  }
  static void layer_norm(Handle& h, const LayerNormArguments<EigenBackend>& a) {
    detail::eigen::layer_norm(h.threads(), a.x, a.weight, a.bias, static_cast<T>(a.epsilon), a.y, a.stats);
  }
  static void layer_norm_backward(Handle& h, const LayerNormBackwardArguments<EigenBackend>& a) {
    detail::eigen::layer_norm_backward(h.threads(), a.dy, a.x, a.weight, a.stats, a.write, a.dx, a.dweight,
                                       a.dbias);
  }

  // --- positions
  static void rotary(Handle& h, const RotaryArguments<EigenBackend>& a) {
    detail::eigen::rotary(h.threads(), a.x, a.heads, a.positions, a.table, a.inverse);
  }

  // --- rows
  static void gather_rows(Handle& h, const WeightView<>& table, Indices ids, Write write, Matrix out) {
    detail::eigen::gather_rows(h.threads(), table, ids, write, out);
  }
  static void scatter_add_rows(Handle& h, ConstMatrix rows, Indices ids, Matrix out) {
    detail::eigen::scatter_add_rows(h.threads(), rows, ids, out);
  }

  // --- attention over a forest
  static Index attention_scratch(Handle& h, const Forest& forest, const AttentionShape& shape) {
    return detail::eigen::attention_scratch<T>(h.threads(), forest, shape);
  }
  static void attention(Handle& h, const AttentionArguments<EigenBackend>& a) {
    detail::eigen::attention(h.threads(), a.forest, a.shape, a.query_tokens, a.q, a.k, a.v, a.out, a.lse,
                             a.scratch.data);
  }
  static Index attention_backward_scratch(Handle& h, const Forest& forest, const AttentionShape& shape) {
    return detail::eigen::attention_backward_scratch<T>(h.threads(), forest, shape);
  }
  static void attention_backward(Handle& h, const AttentionBackwardArguments<EigenBackend>& a) {
    detail::eigen::attention_backward(h.threads(), a.forest, a.shape, a.query_tokens, a.q, a.k, a.v, a.out,
                                      a.lse, a.dout, a.write_dq, a.dq, a.write_dkv, a.dk, a.dv,
                                      a.scratch.data);
  }

  // --- elementwise
  static void swiglu(Handle& h, ConstMatrix gate_up, Matrix out) {
    detail::eigen::swiglu(h.threads(), gate_up, out);
  }
  static void swiglu_backward(Handle& h, ConstMatrix dout, ConstMatrix gate_up, Write write,
                              Matrix dgate_up) {
    detail::eigen::swiglu_backward(h.threads(), dout, gate_up, write, dgate_up);
  }
  static void activate(Handle& h, ActivationFunction kind, ConstMatrix x, Matrix y) {
    detail::eigen::activate(h.threads(), kind, x, y);
  }
  static void activate_backward(Handle& h, const ActivateBackwardArguments<EigenBackend>& a) {
    detail::eigen::activate_backward(h.threads(), a.kind, a.dy, a.x, a.write, a.dx);
  }
  /// Room for the sum over the path of every token.
  static Index path_mean_scratch(Handle&, const Forest& forest, Index width) {
    return forest.token_count() * width;
  }
  static void path_mean(Handle& h, const Forest& forest, ConstMatrix x, Matrix out, Vector scratch) {
    detail::eigen::path_mean(h.threads(), forest, x, out, scratch.data);
  }
  static void path_mean_backward(Handle& h, const PathMeanBackwardArguments<EigenBackend>& a) {
    detail::eigen::path_mean_backward(h.threads(), a.forest, a.dout, a.write, a.dx, a.scratch.data);
  }

  // --- losses
  static void next_token_loss(Handle& h, const NextTokenLossArguments<EigenBackend>& a) {
    detail::eigen::next_token_loss(h.threads(), a);
  }

  // --- the trained weights
  static double sum_of_squares(Handle& h, ConstVector v) {
    return detail::eigen::sum_of_squares(h.threads(), v);
  }
  static void adamw(Handle& h, const AdamWArguments<EigenBackend>& a) {
    detail::eigen::adamw(h.threads(), a.parameters, a.gradients, a.first, a.second, a.step);
  }
  static void momentum(Handle& h, const MomentumArguments<EigenBackend>& a) {
    detail::eigen::momentum(h.threads(), a.gradients, a.momentum, a.out, a.step);
  }
  static void adafactor(Handle& h, const AdafactorArguments<EigenBackend>& a) {
    detail::eigen::adafactor(h.threads(), a.gradients, a.rows, a.columns, a.step);
  }
  static void product(Handle& h, const ProductArguments<EigenBackend>& a) {
    detail::eigen::gemm<T>(h.gemm_space(), h.threads(), a.transpose_a, a.a, a.transpose_b, a.b, Write::assign,
                           a.out, {}, {});
    detail::eigen::scale_and_add(h.threads(), a.out, a.scale, a.c, a.c_scale);
  }
};

static_assert(backend<EigenBackend<float>> && backend<EigenBackend<double>>);

}  // namespace MERIT_ABI
}  // namespace merit
