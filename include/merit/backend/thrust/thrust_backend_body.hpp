// The operations of ThrustBackend, in the order of its list: each is a loop of a functor, on any system. A machine
// may take a functor otherwise, by an overload of by_kernel() for its type: there CudaSystem's kernels go.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "merit/backend/expert_rows.hpp"
#include "merit/backend/relative_rows.hpp"
#include "merit/backend/thrust/block_pool.hpp"
#include "merit/backend/thrust/functors/attention.hpp"
#include "merit/backend/thrust/functors/elementwise.hpp"
#include "merit/backend/thrust/functors/next_token.hpp"
#include "merit/backend/thrust/functors/norms.hpp"
#include "merit/backend/thrust/functors/optimizers.hpp"
#include "merit/backend/thrust/functors/products.hpp"
#include "merit/backend/thrust/functors/rows.hpp"
#include "merit/backend/thrust/functors/stochastic_rounding.hpp"
#include "merit/backend/thrust/thrust_backend.hpp"
#include "merit/core/buffer.hpp"

namespace merit {
inline namespace MERIT_ABI {

template <class S>
ThrustHandle<S>::ThrustHandle(const detail::device::MachineSettings& settings)
    : machine_(std::make_unique<Machine>(settings)) {}

template <class S>
ThrustHandle<S>::~ThrustHandle() = default;

// --- memory

template <class P, class S>
ThrustBackend<P, S>::Batch::~Batch() {
  if (machine_ == nullptr) return;
  machine_->sorted_ids().remove(view_.tokens.data);
  machine_->sorted_ids().remove(view_.positions.data);
  if constexpr (Machine::has_kernels) machine_->attention_lists().remove(view_.tokens.data);
  machine_->pool().give_back(block_);
}

namespace detail::device {

/// Does `work`, the arguments of an operation or its functor, by a kernel of the machine's own, where it has one. Here: it
/// has none. A machine's own overloads are declared before this file is read.
template <class Machine, class Work>
bool by_kernel(Machine&, const Work&) {
  return false;
}

/// Whether a kernel does all such work, so that there need be no loop for it.
template <class Machine, class Work>
inline constexpr bool always_by_kernel =
    std::is_same_v<decltype(by_kernel(std::declval<Machine&>(), std::declval<const Work&>())),
                   std::true_type>;

/// `work` by a kernel where there is one for it, or else f(i) for each i below n.
template <class Machine, class Work, class F>
void by_kernel_or_loop(Machine& machine, const Work& work, Index n, const F& f) {
  if constexpr (always_by_kernel<Machine, Work>) {
    by_kernel(machine, work);
  } else if (!by_kernel(machine, work)) {
    machine.for_each(n, f);
  }
}

/// f(i) for each i below n, by a kernel that stands for the whole loop where there is one.
template <class Machine, class F>
void for_each(Machine& machine, Index n, const F& f) {
  by_kernel_or_loop(machine, f, n, f);
}

/// Calls f with the elements that a view names by their type: float, or Activation where they are such.
template <class Activation, class F>
void with_elements(const WeightView<DeviceSpace>& to, const F& f) {
  const auto elements = [&]<class T>(T* data) {
    return MatrixView<T, DeviceSpace>{data, to.rows, to.cols, to.stride};
  };
  void* const data = const_cast<void*>(to.data);  // it was made of a view that may be written to
  if (to.dtype == dtype_of<Activation>()) return f(elements(static_cast<Activation*>(data)));
  f(elements(static_cast<float*>(data)));
}

/// Calls f(list on the host, list on the device) for each list of indices that a forest has.
template <class F>
void for_each_list(const ForestView<HostSpace>& from, ForestView<DeviceSpace>& to, const F& f) {
  f(from.tokens, to.tokens);
  f(from.positions, to.positions);
  f(from.subtree_end, to.subtree_end);
  f(from.rows, to.rows);
  f(from.row_positions, to.row_positions);
  f(from.row_roots, to.row_roots);
  f(from.places, to.places);
  f(from.types, to.types);
  f(from.tree_begin, to.tree_begin);
  f(from.tree_segment_begin, to.tree_segment_begin);
  f(from.segment_begin, to.segment_begin);
  f(from.segment_span_begin, to.segment_span_begin);
  f(from.span_begin, to.span_begin);
  f(from.span_end, to.span_end);
}

/// The sorted places of ids: those that a batch keeps, or made for this object.
template <class Machine>
class Places {
 public:
  Places(Machine& machine, const VectorView<const std::uint32_t, DeviceSpace>& ids)
      : known_(machine.sorted_ids().find(ids.data, ids.size)),
        own_(machine.pool(), known_ != nullptr ? 0 : ids.size) {
    if (known_ == nullptr) sort(machine, ids, own_.data());
  }
  const std::uint64_t* data() const { return known_ != nullptr ? known_ : own_.data(); }

  static void sort(Machine& machine, const VectorView<const std::uint32_t, DeviceSpace>& ids,
                   std::uint64_t* places) {
    machine.for_each(ids.size, PlaceOfId{ids.data, places});
    machine.sort(places, ids.size);
  }

 private:
  const std::uint64_t* known_;
  Taken<typename Machine::Pool, std::uint64_t> own_;
};

}  // namespace detail::device

/// One block holds it all: the sorted places, then the lists and the features, which one copy brings.
template <class P, class S>
typename ThrustBackend<P, S>::Batch ThrustBackend<P, S>::prepare(Handle& h, const ForestView<HostSpace>& f) {
  Machine& machine = h.machine();
  const Index places_bytes = aligned_count<std::byte>(f.token_count() * sizeof(std::uint64_t));
  const Index features_bytes = f.features.rows * f.features.cols * sizeof(float);
  Batch batch;
  Forest& view = batch.view_;
  Index copied = 0;  // bytes
  detail::device::for_each_list(f, view, [&](const auto& from, auto&) {
    copied += aligned_count<std::byte>(from.size * sizeof(std::uint32_t));
  });
  Index lists_bytes = 0;
  if constexpr (Machine::has_kernels) {
    machine.attention_lists().build(f);
    lists_bytes = machine.attention_lists().bytes();
  }
  const Index staged_bytes = copied + lists_bytes + features_bytes;
  batch.block_ = machine.pool().take(2 * places_bytes + staged_bytes);
  batch.machine_ = &machine;

  std::byte* staged = machine.staging(staged_bytes);
  const std::byte* const first_staged = staged;
  std::byte* const first = batch.block_ + 2 * places_bytes;
  std::byte* there = first;
  detail::device::for_each_list(f, view, [&](const auto& from, auto& to) {
    std::copy_n(from.data, from.size, reinterpret_cast<std::uint32_t*>(staged));
    to = {reinterpret_cast<const std::uint32_t*>(there), from.size};
    const Index bytes = aligned_count<std::byte>(from.size * sizeof(std::uint32_t));
    staged += bytes;
    there += bytes;
  });
  if constexpr (Machine::has_kernels) {
    machine.attention_lists().write(staged, there, view.tokens.data, view.rows.data);
    staged += lists_bytes;
    there += lists_bytes;
  }
  for (Index i = 0; i < f.features.rows; ++i)
    std::copy_n(f.features.row(i), f.features.cols, reinterpret_cast<float*>(staged) + i * f.features.cols);
  view.features = {reinterpret_cast<const float*>(there), f.features.rows, f.features.cols};
  view.depth = f.depth;
  machine.from_host(first_staged, first, staged_bytes);

  std::byte* places = batch.block_;
  for (const Indices& ids : {view.tokens, view.positions}) {
    if (ids.empty()) continue;
    auto* const sorted = reinterpret_cast<std::uint64_t*>(places);
    detail::device::Places<Machine>::sort(machine, ids, sorted);
    machine.sorted_ids().add(ids.data, ids.size, sorted);
    places += places_bytes;
  }
  return batch;
}

template <class P, class S>
std::byte* ThrustBackend<P, S>::allocate_bytes(Handle& h, Index bytes) {
  return h.machine().allocate(bytes);
}
template <class P, class S>
void ThrustBackend<P, S>::release_bytes(Handle& h, std::byte* block) {
  h.machine().release(block);
}
template <class P, class S>
void ThrustBackend<P, S>::bytes_to_host(Handle& h, const std::byte* from, std::byte* to, Index bytes) {
  h.machine().to_host(from, to, bytes);
}
template <class P, class S>
void ThrustBackend<P, S>::bytes_from_host(Handle& h, const std::byte* from, std::byte* to, Index bytes) {
  h.machine().from_host(from, to, bytes);
}
template <class P, class S>
void ThrustBackend<P, S>::wait(Handle& h) {
  h.machine().wait();
}

template <class P, class S>
DeviceMemory ThrustBackend<P, S>::memory(Handle& h) {
  return h.machine().memory();
}
template <class P, class S>
template <class F>
void ThrustBackend<P, S>::for_each(Handle& h, Index n, const F& f) {
  h.machine().for_each(n, f);
}
template <class P, class S>
void ThrustBackend<P, S>::sort(Handle& h, std::uint64_t* numbers, Index n) {
  h.machine().sort(numbers, n);
}
template <class P, class S>
std::byte* ThrustBackend<P, S>::staging(Handle& h, Index bytes) {
  return h.machine().staging(bytes);
}

template <class P, class S>
void ThrustBackend<P, S>::fill_numbers(Handle& h, const Weight& to, float value) {
  detail::device::with_elements<Activation>(to, [&](const auto& elements) {
    h.machine().for_each(to.rows * to.cols, detail::device::Fill{elements, value});
  });
}
template <class P, class S>
void ThrustBackend<P, S>::copy(Handle& h, ConstMatrix from, Write write, Matrix to) {
  h.machine().for_each(to.rows * to.cols, detail::device::Copy<Activation, Activation>{from, write, to});
}
template <class P, class S>
void ThrustBackend<P, S>::widen(Handle& h, ConstMatrix from, StatMatrix to) {
  h.machine().for_each(to.rows * to.cols, detail::device::Copy<Activation, Stat>{from, Write::assign, to});
}
template <class P, class S>
void ThrustBackend<P, S>::narrow(Handle& h, ConstStatMatrix from, Write write, Matrix to) {
  h.machine().for_each(to.rows * to.cols, detail::device::Copy<Stat, Activation>{from, write, to});
}

template <class P, class S>
void ThrustBackend<P, S>::round_weights(Handle& h, ConstVector from, const WeightRounding& rounding,
                                        VectorView<Bf16, Space> to) {
  detail::device::for_each(h.machine(), to.size / 4,
                           detail::device::RoundWeights{to.size, from.data, rounding, to.data});
}

// --- products

template <class P, class S>
void ThrustBackend<P, S>::linear(Handle& h, const LinearArguments<ThrustBackend>& a) {
  h.machine().multiply(
      detail::device::Product<Activation>{.a = detail::device::factor(a.x, false),
                                          .b = {a.weight.data, a.weight.dtype, a.weight.stride,
                                                a.transpose == Transpose::yes, dtype_of<Activation>()},
                                          .depth = a.x.cols,
                                          .bias = a.bias,
                                          .addend = a.residual,
                                          .write = a.write,
                                          .out = a.out});
}
template <class P, class S>
void ThrustBackend<P, S>::weight_gradient(Handle& h, ConstMatrix a, ConstMatrix b, Write write,
                                          StatMatrix out) {
  h.machine().multiply(detail::device::Product<Stat>{.a = detail::device::factor(a, true),
                                                     .b = detail::device::factor(b, false),
                                                     .depth = a.rows,
                                                     .write = write,
                                                     .out = out});
}
template <class P, class S>
void ThrustBackend<P, S>::column_sum(Handle& h, ConstMatrix x, Write write, Vector out) {
  detail::device::for_each(h.machine(), x.cols, detail::device::ColumnSum<Activation>{x, write, out.data});
}

// --- norms

template <class P, class S>
void ThrustBackend<P, S>::rms_norm(Handle& h, const RmsNormArguments<ThrustBackend>& a) {
  detail::device::by_kernel_or_loop(h.machine(), a, a.x.rows, detail::device::RmsNormRow<ThrustBackend>{a});
}
template <class P, class S>
void ThrustBackend<P, S>::rms_norm_backward(Handle& h, const RmsNormBackwardArguments<ThrustBackend>& a) {
  if (detail::device::by_kernel(h.machine(), a)) return;
  if (!a.dx.empty()) h.machine().for_each(a.x.rows, detail::device::RmsNormBackwardRow<ThrustBackend>{a});
  h.machine().for_each(a.dweight.size, detail::device::RmsNormWeightColumn<ThrustBackend>{a});
}
template <class P, class S>
void ThrustBackend<P, S>::layer_norm(Handle& h, const LayerNormArguments<ThrustBackend>& a) {
  detail::device::by_kernel_or_loop(h.machine(), a, a.x.rows, detail::device::LayerNormRow<ThrustBackend>{a});
}
template <class P, class S>
void ThrustBackend<P, S>::layer_norm_backward(Handle& h, const LayerNormBackwardArguments<ThrustBackend>& a) {
  if (detail::device::by_kernel(h.machine(), a)) return;
  if (!a.dx.empty()) h.machine().for_each(a.x.rows, detail::device::LayerNormBackwardRow<ThrustBackend>{a});
  h.machine().for_each(std::max(a.dweight.size, a.dbias.size),
                       detail::device::LayerNormWeightColumn<ThrustBackend>{a});
}

// --- positions

template <class P, class S>
void ThrustBackend<P, S>::rotary(Handle& h, const RotaryArguments<ThrustBackend>& a) {
  const detail::device::Rotary<ThrustBackend> pairs{a};
  detail::device::by_kernel_or_loop(h.machine(), a, pairs.size(), pairs);
}

// --- rows

template <class P, class S>
void ThrustBackend<P, S>::gather_rows(Handle& h, const Weight& table, Indices ids, Write write, Matrix out) {
  detail::device::for_each(h.machine(), out.rows * out.cols,
                           detail::device::GatherRows<Activation>{table, ids, write, out});
}
template <class P, class S>
void ThrustBackend<P, S>::scatter_add_numbers(Handle& h, ConstMatrix rows, Indices ids, const Weight& to) {
  const detail::device::Places<Machine> places(h.machine(), ids);
  detail::device::with_elements<Activation>(to, [&](const auto& elements) {
    detail::device::for_each(h.machine(), rows.rows * rows.cols,
                             detail::device::ScatterAddRows{rows, places.data(), elements});
  });
}

// --- attention over a forest

template <class P, class S>
void ThrustBackend<P, S>::attention(Handle& h, const AttentionArguments<ThrustBackend>& a) {
  detail::device::by_kernel_or_loop(h.machine(), a, a.q.rows * a.shape.heads,
                                    detail::device::AttentionQuery<ThrustBackend>{a, a.forest});
}
template <class P, class S>
void ThrustBackend<P, S>::attention_backward(Handle& h, const AttentionBackwardArguments<ThrustBackend>& a) {
  if (detail::device::by_kernel(h.machine(), a)) return;
  const Index queries = a.q.rows * a.shape.heads, keys = a.k.rows * a.shape.kv_heads;
  h.machine().for_each(queries, detail::device::AttentionOutputDot<ThrustBackend>{a});
  h.machine().for_each(queries, detail::device::AttentionBackwardQuery<ThrustBackend>{a, a.forest});
  h.machine().for_each(keys, detail::device::AttentionBackwardKey<ThrustBackend>{a, a.forest});
}

template <class P, class S>
void ThrustBackend<P, S>::relative_attention(Handle& h, const RelativeAttentionArguments<ThrustBackend>& a) {
  h.machine().for_each(a.q.rows * a.shape.heads,
                       detail::RelativeAttentionQuery<ThrustBackend>{{a, a.forest}});
}
template <class P, class S>
void ThrustBackend<P, S>::relative_attention_backward(
    Handle& h, const RelativeAttentionBackwardArguments<ThrustBackend>& b) {
  const auto& a = b.forward;
  const Index heads = a.shape.heads, buckets = std::max(a.position_keys.rows, a.position_queries.rows);
  h.machine().for_each(a.q.rows * heads, detail::RelativeBackwardQuery<ThrustBackend>(b, a.forest));
  h.machine().for_each(a.k.rows * heads, detail::RelativeBackwardKey<ThrustBackend>(b, a.forest));
  h.machine().for_each(buckets * heads, detail::RelativeBackwardTable<ThrustBackend>(b, a.forest));
}

// --- experts

template <class P, class S>
void ThrustBackend<P, S>::route(Handle& h, const RouteArguments<ThrustBackend>& a) {
  h.machine().for_each(a.logits.rows, detail::RouteRow<ThrustBackend>{a});
}
template <class P, class S>
void ThrustBackend<P, S>::route_backward(Handle& h, const RouteBackwardArguments<ThrustBackend>& a) {
  h.machine().for_each(a.logits.rows, detail::RouteBackwardRow<ThrustBackend>{a});
}
template <class P, class S>
void ThrustBackend<P, S>::scale_rows(Handle& h, ConstMatrix x, Indices places,
                                     VectorView<const Activation, Space> weights, Matrix out) {
  h.machine().for_each(x.rows, detail::ScaleRow<ThrustBackend>{x, places, weights, out});
}
template <class P, class S>
void ThrustBackend<P, S>::scale_rows_backward(Handle& h, const ScaleRowsBackwardArguments<ThrustBackend>& a) {
  h.machine().for_each(a.x.rows, detail::ScaleRowBackward<ThrustBackend>{a});
}

// --- elementwise

template <class P, class S>
void ThrustBackend<P, S>::glu(Handle& h, ActivationFunction function, ConstMatrix gate_up, Matrix out) {
  detail::device::for_each(h.machine(), out.rows * out.cols,
                           detail::device::Glu<Activation>{function, gate_up, out});
}
template <class P, class S>
void ThrustBackend<P, S>::glu_backward(Handle& h, const GluBackwardArguments<ThrustBackend>& a) {
  detail::device::for_each(h.machine(), a.dout.rows * a.dout.cols,
                           detail::device::GluBackward<ThrustBackend>{a});
}
template <class P, class S>
void ThrustBackend<P, S>::activate(Handle& h, ActivationFunction kind, ConstMatrix x, Matrix y) {
  detail::device::for_each(h.machine(), x.rows * x.cols, detail::device::Activate<Activation>{kind, x, y});
}
template <class P, class S>
void ThrustBackend<P, S>::activate_backward(Handle& h, const ActivateBackwardArguments<ThrustBackend>& a) {
  detail::device::by_kernel_or_loop(h.machine(), a, a.x.rows * a.x.cols,
                                    detail::device::ActivateBackward<ThrustBackend>{a});
}
template <class P, class S>
void ThrustBackend<P, S>::scale(Handle& h, const ScaleArguments<ThrustBackend>& a) {
  h.machine().for_each(a.x.rows * a.x.cols, detail::device::Scale<ThrustBackend>{a});
}
template <class P, class S>
void ThrustBackend<P, S>::path_mean(Handle& h, const Forest& forest, ConstMatrix x, Matrix out,
                                    Vector /*scratch*/) {
  detail::device::for_each(h.machine(), out.rows * out.cols,
                           detail::device::PathMean<Activation>{forest, x, out});
}
template <class P, class S>
void ThrustBackend<P, S>::path_mean_backward(Handle& h, const PathMeanBackwardArguments<ThrustBackend>& a) {
  detail::device::for_each(h.machine(), a.dx.rows * a.dx.cols,
                           detail::device::PathMeanBackward<Activation>{a.forest, a.dout, a.write, a.dx});
}

// --- losses

template <class P, class S>
void ThrustBackend<P, S>::next_token_loss(Handle& h, const NextTokenLossArguments<ThrustBackend>& a) {
  detail::device::by_kernel_or_loop(h.machine(), a, a.logits.rows,
                                    detail::device::NextTokenRow<ThrustBackend>{a});
}

// --- the trained weights

template <class P, class S>
double ThrustBackend<P, S>::sum_of_squares(Handle& h, ConstVector v) {
  Machine& machine = h.machine();
  const detail::device::Taken<typename Machine::Pool, double> on_device(machine.pool(), 1);
  const detail::device::SumOfSquares sum{v, on_device.data()};
  if constexpr (detail::device::always_by_kernel<Machine, detail::device::SumOfSquares>) {
    [[maybe_unused]] const std::true_type done = detail::device::by_kernel(machine, sum);
  } else {
    const Index parts = (v.size + detail::device::sum_part - 1) / detail::device::sum_part;
    const detail::device::Taken<typename Machine::Pool, double> sums(machine.pool(), parts);
    machine.for_each(parts, detail::device::SquaresOfPart{v.data, v.size, sums.data()});
    machine.for_each(1, detail::device::SumInOrder<double>{sums.data(), parts, on_device.data()});
  }
  double total = 0;
  to_host(h, static_cast<const double*>(on_device.data()), &total, 1);
  wait(h);
  return total;
}
template <class P, class S>
void ThrustBackend<P, S>::adamw(Handle& h, const AdamWArguments<ThrustBackend>& a) {
  detail::device::by_kernel_or_loop(h.machine(), a, a.parameters.size,
                                    detail::device::AdamW<ThrustBackend>(a));
}
template <class P, class S>
void ThrustBackend<P, S>::momentum(Handle& h, const MomentumArguments<ThrustBackend>& a) {
  detail::device::by_kernel_or_loop(h.machine(), a, a.out.size, detail::device::Momentum<ThrustBackend>{a});
}
template <class P, class S>
void ThrustBackend<P, S>::adafactor(Handle& h, const AdafactorArguments<ThrustBackend>& a) {
  Machine& machine = h.machine();
  if constexpr (detail::device::always_by_kernel<Machine, AdafactorArguments<ThrustBackend>>) {
    [[maybe_unused]] const std::true_type done = detail::device::by_kernel(machine, a);
  } else {
    const detail::device::Taken<typename Machine::Pool, double> total(machine.pool(), 1);
    machine.for_each(a.rows.size, detail::device::AdafactorMoment<ThrustBackend>{a, false});
    machine.for_each(a.columns.size, detail::device::AdafactorMoment<ThrustBackend>{a, true});
    machine.for_each(1, detail::device::SumInOrder<float>{a.rows.data, a.rows.size, total.data()});
    machine.for_each(a.gradients.rows * a.gradients.cols,
                     detail::device::AdafactorDirection<ThrustBackend>{a, total.data()});
  }
}
template <class P, class S>
void ThrustBackend<P, S>::product(Handle& h, const ProductArguments<ThrustBackend>& a) {
  const bool flip_a = a.transpose_a == Transpose::yes, flip_b = a.transpose_b == Transpose::yes;
  h.machine().multiply(detail::device::Product<Stat>{.a = detail::device::factor(a.a, flip_a),
                                                     .b = detail::device::factor(a.b, flip_b),
                                                     .depth = flip_a ? a.a.rows : a.a.cols,
                                                     .scale = static_cast<float>(a.scale),
                                                     .addend = a.c,
                                                     .addend_scale = static_cast<float>(a.c_scale),
                                                     .out = a.out});
}

}  // namespace MERIT_ABI
}  // namespace merit
