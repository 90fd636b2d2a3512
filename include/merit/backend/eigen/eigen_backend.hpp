// The host backend: vectors through Eigen's packets, threads through OpenMP where it is compiled with it. The
// operations are in kernels.hpp and the files that it names, or in the library merit::compiled; here is the
// list, in the order of operations.hpp.
#pragma once

#include <algorithm>
#include <string_view>
#include <type_traits>

#ifdef MERIT_COMPILED
#include "merit/backend/eigen/kernel_table.hpp"
#else
#include "merit/backend/eigen/kernels.hpp"
#endif
#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"
#include "merit/fwd.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// The operations on T, as they are compiled with this unit or in the library.
#ifdef MERIT_COMPILED
template <class T>
const KernelTable<T>& kernels() {
  if constexpr (std::is_same_v<T, double>) {
    return *kernel_tables().of_double;
  } else {
    return *kernel_tables().of_float;
  }
}
#else
template <class T>
constexpr Kernels<T> kernels() {
  return {};
}
#endif

}  // namespace detail::eigen

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
        : threads_(kernels().threads(settings.threads)), space_(kernels().working_space(threads_)) {}

    Index threads() const { return threads_; }
    T* working_space() { return space_.data(); }

   private:
    Index threads_;
    Buffer<T> space_;
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
  static void fill(Handle& h, Vector v, T value) { kernels().fill(h, v, value); }
  static void copy(Handle& h, ConstMatrix from, Write write, Matrix to) {
    kernels().copy(h, from, write, to);
  }

  // --- products
  static void linear(Handle& h, const LinearArguments<EigenBackend>& a) { kernels().linear(h, a); }
  static void weight_gradient(Handle& h, ConstMatrix a, ConstMatrix b, Write write, Matrix out) {
    kernels().weight_gradient(h, a, b, write, out);
  }
  static void column_sum(Handle& h, ConstMatrix x, Write write, Vector out) {
    kernels().column_sum(h, x, write, out);
  }

  // --- norms
  static void rms_norm(Handle& h, const RmsNormArguments<EigenBackend>& a) { kernels().rms_norm(h, a); }
  static void rms_norm_backward(Handle& h, const RmsNormBackwardArguments<EigenBackend>& a) {
    kernels().rms_norm_backward(h, a);
  }
  static void layer_norm(Handle& h, const LayerNormArguments<EigenBackend>& a) { kernels().layer_norm(h, a); }
  static void layer_norm_backward(Handle& h, const LayerNormBackwardArguments<EigenBackend>& a) {
    kernels().layer_norm_backward(h, a);
  }

  // --- positions
  static void rotary(Handle& h, const RotaryArguments<EigenBackend>& a) { kernels().rotary(h, a); }

  // --- rows
  static void gather_rows(Handle& h, const WeightView<>& table, Indices ids, Write write, Matrix out) {
    kernels().gather_rows(h, table, ids, write, out);
  }
  static void scatter_add_rows(Handle& h, ConstMatrix rows, Indices ids, Matrix out) {
    kernels().scatter_add_rows(h, rows, ids, out);
  }

  // --- attention over a forest
  static Index attention_scratch(Handle& h, const Forest& forest, const AttentionShape& shape) {
    return kernels().attention_scratch(h, forest, shape);
  }
  static void attention(Handle& h, const AttentionArguments<EigenBackend>& a) { kernels().attention(h, a); }
  static Index attention_backward_scratch(Handle& h, const Forest& forest, const AttentionShape& shape) {
    return kernels().attention_backward_scratch(h, forest, shape);
  }
  static void attention_backward(Handle& h, const AttentionBackwardArguments<EigenBackend>& a) {
    kernels().attention_backward(h, a);
  }

  static Index relative_attention_scratch(Handle& h, const Forest& forest, Index buckets) {
    return kernels().relative_attention_scratch(h, forest, buckets);
  }
  static void relative_attention(Handle& h, const RelativeAttentionArguments<EigenBackend>& a) {
    kernels().relative_attention(h, a);
  }
  static void relative_attention_backward(Handle& h,
                                          const RelativeAttentionBackwardArguments<EigenBackend>& b) {
    kernels().relative_attention_backward(h, b);
  }

  // --- experts
  static void route(Handle& h, const RouteArguments<EigenBackend>& a) { kernels().route(h, a); }
  static void route_backward(Handle& h, const RouteBackwardArguments<EigenBackend>& a) {
    kernels().route_backward(h, a);
  }
  static void scale_rows(Handle& h, ConstMatrix x, Indices places, ConstVector weights, Matrix out) {
    kernels().scale_rows(h, x, places, weights, out);
  }
  static void scale_rows_backward(Handle& h, const ScaleRowsBackwardArguments<EigenBackend>& a) {
    kernels().scale_rows_backward(h, a);
  }

  // --- elementwise
  static void glu(Handle& h, ActivationFunction function, ConstMatrix gate_up, Matrix out) {
    kernels().glu(h, function, gate_up, out);
  }
  static void glu_backward(Handle& h, const GluBackwardArguments<EigenBackend>& a) {
    kernels().glu_backward(h, a);
  }
  static void scale(Handle& h, const ScaleArguments<EigenBackend>& a) { kernels().scale(h, a); }
  static void activate(Handle& h, ActivationFunction kind, ConstMatrix x, Matrix y) {
    kernels().activate(h, kind, x, y);
  }
  static void activate_backward(Handle& h, const ActivateBackwardArguments<EigenBackend>& a) {
    kernels().activate_backward(h, a);
  }
  /// Room for the sum over the path of every token.
  static Index path_mean_scratch(Handle&, const Forest& forest, Index width) {
    return forest.token_count() * width;
  }
  static void path_mean(Handle& h, const Forest& forest, ConstMatrix x, Matrix out, Vector scratch) {
    kernels().path_mean(h, forest, x, out, scratch);
  }
  static void path_mean_backward(Handle& h, const PathMeanBackwardArguments<EigenBackend>& a) {
    kernels().path_mean_backward(h, a);
  }

  // --- losses
  static void next_token_loss(Handle& h, const NextTokenLossArguments<EigenBackend>& a) {
    kernels().next_token_loss(h, a);
  }

  // --- the trained weights
  static double sum_of_squares(Handle& h, ConstVector v) { return kernels().sum_of_squares(h, v); }
  static void adamw(Handle& h, const AdamWArguments<EigenBackend>& a) { kernels().adamw(h, a); }
  static void momentum(Handle& h, const MomentumArguments<EigenBackend>& a) { kernels().momentum(h, a); }
  static void adafactor(Handle& h, const AdafactorArguments<EigenBackend>& a) { kernels().adafactor(h, a); }
  static void product(Handle& h, const ProductArguments<EigenBackend>& a) { kernels().product(h, a); }

 private:
  static decltype(auto) kernels() { return detail::eigen::kernels<T>(); }
};

static_assert(backend<EigenBackend<float>> && backend<EigenBackend<double>>);

}  // namespace MERIT_ABI
}  // namespace merit
