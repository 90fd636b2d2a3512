// The host backend: vectors through Eigen's packets, threads through OpenMP where the program is compiled
// with it. The operations themselves are in the files beside this one; here is the list, in the order of
// operations.hpp.
#pragma once

#include <algorithm>
#include <new>
#include <string_view>

#include "merit/backend/eigen/attention.hpp"
#include "merit/backend/eigen/elementwise.hpp"
#include "merit/backend/eigen/gemm.hpp"
#include "merit/backend/eigen/parallel.hpp"
#include "merit/backend/eigen/rows.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"

namespace merit::inline MERIT_ABI {

/// Runs on the host's processor. Results depend neither on timing nor on the number of threads.
template <class T>
struct EigenBackend {
  using Scalar = T;
  using Score = T;
  using Space = HostSpace;

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
  static void fill(Handle& h, Vector v, T value) {
    detail::eigen::parallel_ranges(
        h.threads(), v.size, aligned_count<T>(1), v.size,
        [&](Index begin, Index end) { std::fill(v.data + begin, v.data + end, value); });
  }
  static void copy(Handle& h, ConstMatrix from, Write write, Matrix to) {
    detail::eigen::copy(h.threads(), from, write, to);
  }

  // --- products
  static void gemm(Handle& h, Transpose transpose_a, ConstMatrix a, Transpose transpose_b, ConstMatrix b,
                   Write write, Matrix out, ConstVector bias, ConstMatrix residual) {
    detail::eigen::gemm(h.gemm_space(), h.threads(), transpose_a, a, transpose_b, b, write, out, bias,
                        residual);
  }
  static void column_sum(Handle& h, ConstMatrix x, Write write, Vector out) {
    detail::eigen::column_sum(h.threads(), x, write, out);
  }

  // --- norms
  /// An empty rstd is left out.
  static void rms_norm(Handle& h, ConstMatrix x, ConstVector weight, T eps, Matrix y, Vector rstd) {
    detail::eigen::rms_norm(h.threads(), x, weight, eps, y, rstd);
  }
  static void rms_norm_backward(Handle& h, ConstMatrix dy, ConstMatrix x, ConstVector weight,
                                ConstVector rstd, Write write, Matrix dx, Vector dweight) {
    detail::eigen::rms_norm_backward(h.threads(), dy, x, weight, rstd, write, dx, dweight);
  }
  /// Empty bias or stats are left out.
  static void layer_norm(Handle& h, ConstMatrix x, ConstVector weight, ConstVector bias, T eps, Matrix y,
                         Vector stats) {
    detail::eigen::layer_norm(h.threads(), x, weight, bias, eps, y, stats);
  }
  static void layer_norm_backward(Handle& h, ConstMatrix dy, ConstMatrix x, ConstVector weight,
                                  ConstVector stats, Write write, Matrix dx, Vector dweight, Vector dbias) {
    detail::eigen::layer_norm_backward(h.threads(), dy, x, weight, stats, write, dx, dweight, dbias);
  }

  // --- positions
  static void rotary(Handle& h, Matrix x, Index heads, Indices positions, ConstMatrix table, bool inverse) {
    detail::eigen::rotary(h.threads(), x, heads, positions, table, inverse);
  }

  // --- rows
  static void gather_rows(Handle& h, ConstMatrix table, Indices ids, Write write, Matrix out) {
    detail::eigen::gather_rows(h.threads(), table, ids, write, out);
  }
  static void scatter_add_rows(Handle& h, ConstMatrix rows, Indices ids, Matrix out) {
    detail::eigen::scatter_add_rows(h.threads(), rows, ids, out);
  }

  // --- attention over a forest
  static Index attention_scratch(Handle& h, const Forest& forest, const AttentionShape& shape) {
    return detail::eigen::attention_scratch<T>(h.threads(), forest, shape);
  }
  /// An empty lse is left out.
  static void attention(Handle& h, const Forest& forest, const AttentionShape& shape, Indices query_tokens,
                        ConstMatrix q, ConstMatrix k, ConstMatrix v, Matrix out, Matrix lse, Vector scratch) {
    detail::eigen::attention(h.threads(), forest, shape, query_tokens, q, k, v, out, lse, scratch.data);
  }
  static Index attention_backward_scratch(Handle& h, const Forest& forest, const AttentionShape& shape) {
    return detail::eigen::attention_backward_scratch<T>(h.threads(), forest, shape);
  }
  static void attention_backward(Handle& h, const Forest& forest, const AttentionShape& shape,
                                 Indices query_tokens, ConstMatrix q, ConstMatrix k, ConstMatrix v,
                                 ConstMatrix out, ConstMatrix lse, ConstMatrix dout, Write write_dq,
                                 Matrix dq, Write write_dkv, Matrix dk, Matrix dv, Vector scratch) {
    detail::eigen::attention_backward(h.threads(), forest, shape, query_tokens, q, k, v, out, lse, dout,
                                      write_dq, dq, write_dkv, dk, dv, scratch.data);
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
  static void activate_backward(Handle& h, ActivationFunction kind, ConstMatrix dy, ConstMatrix x,
                                Write write, Matrix dx) {
    detail::eigen::activate_backward(h.threads(), kind, dy, x, write, dx);
  }
  /// Room for the sum over the path of every token.
  static Index path_mean_scratch(Handle&, const Forest& forest, Index width) {
    return forest.token_count() * width;
  }
  static void path_mean(Handle& h, const Forest& forest, ConstMatrix x, Matrix out, Vector scratch) {
    detail::eigen::path_mean(h.threads(), forest, x, out, scratch.data);
  }
  static void path_mean_backward(Handle& h, const Forest& forest, ConstMatrix dout, Write write, Matrix dx,
                                 Vector scratch) {
    detail::eigen::path_mean_backward(h.threads(), forest, dout, write, dx, scratch.data);
  }

  // --- the flat block
  static double sum_of_squares(Handle& h, ConstVector v) {
    return detail::eigen::sum_of_squares(h.threads(), v);
  }
  static void adamw(Handle& h, Vector parameters, ConstVector gradients, Vector first, Vector second,
                    const AdamWStep& step) {
    detail::eigen::adamw(h.threads(), parameters, gradients, first, second, step);
  }
};

static_assert(backend<EigenBackend<float>> && backend<EigenBackend<double>>);

}  // namespace merit::inline MERIT_ABI
