// The operations that a machine with kernels does by those of kernels/. by_kernel() does one and says so, or says that it is
// left to the functor's loop: a head too wide, a stored type that nobody trains in, a device with too little shared memory.
// An overload that gives std::true_type does all such work, and the functor's loop is not compiled for that machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "merit/backend/operations.hpp"
#include "merit/backend/thrust/attention_lists.hpp"
#include "merit/backend/thrust/block_pool.hpp"
#include "merit/backend/thrust/functors/elementwise.hpp"
#include "merit/backend/thrust/functors/optimizers.hpp"
#include "merit/backend/thrust/functors/rows.hpp"
#include "merit/backend/thrust/kernels/adafactor_kernels.hpp"
#include "merit/backend/thrust/kernels/attention_backward_kernels.hpp"
#include "merit/backend/thrust/kernels/attention_kernel.hpp"
#include "merit/backend/thrust/kernels/column_sum_kernels.hpp"
#include "merit/backend/thrust/kernels/elementwise_kernels.hpp"
#include "merit/backend/thrust/kernels/next_token_loss_kernel.hpp"
#include "merit/backend/thrust/kernels/norm_kernels.hpp"
#include "merit/backend/thrust/kernels/optimizer_kernels.hpp"
#include "merit/backend/thrust/kernels/path_kernels.hpp"
#include "merit/backend/thrust/kernels/row_kernels.hpp"
#include "merit/backend/thrust/thrust_backend.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// A system whose machine runs kernels: run(kernel) and fits(kernel), and batches that bring what those need.
template <class System>
concept kernel_system = Machine<System>::has_kernels;

/// Working space of a machine.
template <class Element, class Machine>
Taken<typename Machine::Pool, Element> room(Machine& machine, Index count) {
  return {machine.pool(), count};
}

/// Where an optional argument begins; null where it is left out.
template <class View>
auto* data_of(const View& view) {
  return view.empty() ? nullptr : view.data;
}

template <class T>
kernels::Rows<T> rows_of(const MatrixView<T, DeviceSpace>& m) {
  return {data_of(m), m.stride};
}

// --- norms

/// The sums of each part's rows, (parts, d), onto `out`.
template <class Machine>
void add_totals(Machine& machine, Index parts, const float* sums, VectorView<float, DeviceSpace> out) {
  machine.run(kernels::ColumnTotalsKernel{
      .parts = parts, .cols = out.size, .sums = sums, .add = true, .out = out.data});
}

template <class P, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const RmsNormArguments<ThrustBackend<P, S>>& a) {
  machine.run(
      kernels::RmsNormKernel<typename P::Activation>{.rows = a.x.rows,
                                                     .cols = a.x.cols,
                                                     .x = rows_of(a.x),
                                                     .weight = a.weight.data,
                                                     .epsilon = static_cast<float>(a.epsilon),
                                                     .weight_offset = static_cast<float>(a.weight_offset),
                                                     .y = rows_of(a.y),
                                                     .rstd = data_of(a.rstd)});
  return {};
}
template <class P, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const LayerNormArguments<ThrustBackend<P, S>>& a) {
  const bool keeps = !a.stats.empty();
  machine.run(
      kernels::LayerNormKernel<typename P::Activation>{.rows = a.x.rows,
                                                       .cols = a.x.cols,
                                                       .x = rows_of(a.x),
                                                       .weight = data_of(a.weight),
                                                       .bias = data_of(a.bias),
                                                       .epsilon = static_cast<float>(a.epsilon),
                                                       .y = rows_of(a.y),
                                                       .mean = keeps ? a.stats.data : nullptr,
                                                       .rstd = keeps ? a.stats.data + a.x.rows : nullptr});
  return {};
}
/// Of either norm's arguments; `weight_offset` is that of an RMS norm. mean: null where nothing is centred; dbias: empty where there is none.
template <class Kernel, class Machine, class Arguments>
bool norm_backward(Machine& machine, const Arguments& a, const float* mean, const float* rstd,
                   VectorView<float, DeviceSpace> dbias, double weight_offset) {
  const Index parts = Kernel::parts(a.x.rows);
  const auto sums = room<float>(machine, parts * a.dweight.size);
  const auto bias_sums = room<float>(machine, parts * dbias.size);
  const Kernel kernel{.rows = a.x.rows,
                      .cols = a.x.cols,
                      .dy = rows_of(a.dy),
                      .x = rows_of(a.x),
                      .weight = data_of(a.weight),
                      .mean = mean,
                      .rstd = rstd,
                      .add = a.write == Write::add,
                      .dx = rows_of(a.dx),
                      .dweight = a.dweight.empty() ? nullptr : sums.data(),
                      .dbias = dbias.empty() ? nullptr : bias_sums.data(),
                      .weight_offset = static_cast<float>(weight_offset)};
  if (!machine.fits(kernel)) return false;
  machine.run(kernel);
  if (!a.dweight.empty()) add_totals(machine, parts, sums.data(), a.dweight);
  if (!dbias.empty()) add_totals(machine, parts, bias_sums.data(), dbias);
  return true;
}
template <class P, kernel_system S>
bool by_kernel(Machine<S>& machine, const RmsNormBackwardArguments<ThrustBackend<P, S>>& a) {
  return norm_backward<kernels::RmsNormBackwardKernel<typename P::Activation>>(
      machine, a, nullptr, a.rstd.data, {}, a.weight_offset);
}
template <class P, kernel_system S>
bool by_kernel(Machine<S>& machine, const LayerNormBackwardArguments<ThrustBackend<P, S>>& a) {
  return norm_backward<kernels::LayerNormBackwardKernel<typename P::Activation>>(
      machine, a, a.stats.data, a.stats.data + a.x.rows, a.dbias, 0);
}

// --- sums over rows, rows by number

template <class T, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const ColumnSum<T>& f) {
  using Kernel = kernels::ColumnSumKernel<T>;
  const Index parts = Kernel::parts(f.x.rows);
  const auto sums = room<float>(machine, parts * f.x.cols);
  machine.run(Kernel{.rows = f.x.rows, .cols = f.x.cols, .x = rows_of(f.x), .sums = sums.data()});
  machine.run(kernels::ColumnTotalsKernel{
      .parts = parts, .cols = f.x.cols, .sums = sums.data(), .add = f.write == Write::add, .out = f.out});
  return {};
}

template <class T, kernel_system S>
bool by_kernel(Machine<S>& machine, const GatherRows<T>& f) {
  const auto gather = [&]<class Stored>(const Stored* table) {
    machine.run(kernels::GatherRowsKernel<Stored, T>{.rows = f.out.rows,
                                                     .cols = f.out.cols,
                                                     .table = {table, f.table.stride},
                                                     .ids = data_of(f.ids),
                                                     .add = f.write == Write::add,
                                                     .out = rows_of(f.out)});
    return true;
  };
  switch (f.table.dtype) {
    case Dtype::f32: return gather(static_cast<const float*>(f.table.data));
    case Dtype::bf16: return gather(static_cast<const Bf16*>(f.table.data));
    case Dtype::f16: return gather(static_cast<const F16*>(f.table.data));
    default: break;
  }
  return false;
}

template <class T, class Out, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const ScatterAddRows<T, Out>& f) {
  machine.run(kernels::ScatterAddRowsKernel<T, Out>{.count = f.rows.rows,
                                                    .cols = f.rows.cols,
                                                    .places = f.places,
                                                    .rows = rows_of(f.rows),
                                                    .out = rows_of(f.out)});
  return {};
}

// --- elementwise

template <class P, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const RotaryArguments<ThrustBackend<P, S>>& a) {
  machine.run(kernels::RotaryKernel<typename P::Activation>{.rows = a.x.rows,
                                                            .heads = a.heads,
                                                            .head_dim = a.x.cols / a.heads,
                                                            .half = a.table.cols / 2,
                                                            .x = rows_of(a.x),
                                                            .positions = a.positions.data,
                                                            .table = rows_of(a.table),
                                                            .inverse = a.inverse});
  return {};
}
template <class T, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const Glu<T>& f) {
  machine.run(kernels::GluKernel<T>{.rows = f.out.rows,
                                    .cols = f.out.cols,
                                    .function = f.function,
                                    .gate_up = rows_of(f.gate_up),
                                    .out = rows_of(f.out)});
  return {};
}
template <class P, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const GluBackward<ThrustBackend<P, S>>& f) {
  machine.run(kernels::GluBackwardKernel<typename P::Activation>{.rows = f.a.dout.rows,
                                                                 .cols = f.a.dout.cols,
                                                                 .function = f.a.function,
                                                                 .dout = rows_of(f.a.dout),
                                                                 .gate_up = rows_of(f.a.gate_up),
                                                                 .add = f.a.write == Write::add,
                                                                 .dgate_up = rows_of(f.a.dgate_up)});
  return {};
}
template <class T, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const Activate<T>& f) {
  machine.run(kernels::ActivateKernel<T>{
      .rows = f.x.rows, .cols = f.x.cols, .kind = f.kind, .x = rows_of(f.x), .y = rows_of(f.y)});
  return {};
}
template <class P, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const ActivateBackwardArguments<ThrustBackend<P, S>>& a) {
  machine.run(kernels::ActivateBackwardKernel<typename P::Activation>{.rows = a.x.rows,
                                                                      .cols = a.x.cols,
                                                                      .kind = a.kind,
                                                                      .dy = rows_of(a.dy),
                                                                      .x = rows_of(a.x),
                                                                      .add = a.write == Write::add,
                                                                      .dx = rows_of(a.dx)});
  return {};
}

// --- attention over a forest

/// Calls f with the width that the kernels are compiled for and whether they are those of plain attention, as constants, and
/// gives what it gives; false for wider heads, and for a scale that turns scores round, which no model has.
template <class T, class F>
bool with_constants(const AttentionShape& shape, const F& f) {
  if (!(shape.scale > 0) || shape.soft_cap < 0) return false;
  const auto with_width = [&](auto width) {
    if constexpr (kernels::has_plain_kernels<T, width()>) {
      if (shape.is_plain()) return f(width, std::true_type{});
    }
    return f(width, std::false_type{});
  };
  if (shape.head_dim <= 64) return with_width(std::integral_constant<int, 64>{});
  if (shape.head_dim <= 128) return with_width(std::integral_constant<int, 128>{});
  if (shape.head_dim <= 256) return with_width(std::integral_constant<int, 256>{});
  return false;
}

/// Of the arguments of attention or its backward.
template <class T, class Arguments>
kernels::AttentionProblem<T> attention_problem(const Arguments& a) {
  return {.queries = a.q.rows,
          .tokens = a.k.rows,
          .heads = static_cast<int>(a.shape.heads),
          .kv_heads = static_cast<int>(a.shape.kv_heads),
          .head_dim = static_cast<int>(a.shape.head_dim),
          .scale = static_cast<float>(a.shape.scale),
          .query_tokens = data_of(a.query_tokens),
          .subtree_end = a.forest.subtree_end.data,
          .q = rows_of(a.q),
          .k = rows_of(a.k),
          .v = rows_of(a.v),
          .positions = a.forest.positions.data,
          .window = a.shape.window == 0 || a.shape.window > kernels::no_limit
                        ? kernels::no_limit
                        : static_cast<std::uint32_t>(a.shape.window),
          .soft_cap = static_cast<float>(a.shape.soft_cap),
          .whole_trees = a.shape.sight == Sight::tree};
}

template <class P, kernel_system S>
bool by_kernel(Machine<S>& machine, const AttentionArguments<ThrustBackend<P, S>>& a) {
  using T = typename P::Activation;
  const AttentionSides* const sides =
      machine.attention_lists().find(a.forest.tokens.data, data_of(a.query_tokens));
  if (sides == nullptr) return false;
  return with_constants<T>(a.shape, [&](auto width, auto plain) {
    const kernels::AttentionKernel<T, width, plain> kernel{.problem = attention_problem<T>(a),
                                                           .lists = sides->of_queries,
                                                           .out = rows_of(a.out),
                                                           .lse = rows_of(a.lse)};
    if (!machine.fits(kernel)) return false;
    machine.run(kernel);
    return true;
  });
}

template <class P, kernel_system S>
bool by_kernel(Machine<S>& machine, const AttentionBackwardArguments<ThrustBackend<P, S>>& a) {
  using T = typename P::Activation;
  const AttentionSides* const sides =
      machine.attention_lists().find(a.forest.tokens.data, data_of(a.query_tokens));
  if (sides == nullptr) return false;
  return with_constants<T>(a.shape, [&](auto width, auto plain) {
    const auto gradients = [&](Write write) {
      return kernels::AttentionGradients<T>{.dout = rows_of(a.dout),
                                            .lse = rows_of(a.lse),
                                            .delta = a.scratch.data,
                                            .add = write == Write::add};
    };
    const kernels::AttentionQueryPass<T, width, plain> by_query{.problem = attention_problem<T>(a),
                                                                .given = gradients(a.write_dq),
                                                                .lists = sides->of_queries,
                                                                .dq = rows_of(a.dq)};
    const kernels::AttentionKeyPass<T, width, plain> by_key{.problem = attention_problem<T>(a),
                                                            .given = gradients(a.write_dkv),
                                                            .lists = sides->of_keys,
                                                            .dk = rows_of(a.dk),
                                                            .dv = rows_of(a.dv)};
    if (!machine.fits(by_query) || !machine.fits(by_key)) return false;
    machine.run(kernels::AttentionDeltaKernel<T>{.queries = a.q.rows,
                                                 .heads = static_cast<int>(a.shape.heads),
                                                 .head_dim = static_cast<int>(a.shape.head_dim),
                                                 .out = rows_of(a.out),
                                                 .dout = rows_of(a.dout),
                                                 .delta = a.scratch.data});
    machine.run(by_query);
    machine.run(by_key);
    return true;
  });
}

// --- means over paths

template <class T, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const PathMean<T>& f) {
  const ForestView<DeviceSpace>& forest = f.forest;
  machine.run(kernels::PathMeanKernel<T>{.rows_count = f.out.rows,
                                         .cols = f.out.cols,
                                         .segments = forest.segment_begin.size - 1,
                                         .rows = forest.rows.data,
                                         .row_positions = forest.row_positions.data,
                                         .segment_begin = forest.segment_begin.data,
                                         .segment_span_begin = forest.segment_span_begin.data,
                                         .span_begin = forest.span_begin.data,
                                         .span_end = forest.span_end.data,
                                         .x = rows_of(f.x),
                                         .out = rows_of(f.out)});
  return {};
}
template <class T, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const PathMeanBackward<T>& f) {
  machine.run(kernels::PathMeanBackwardKernel<T>{.rows_count = f.dout.rows,
                                                 .cols = f.dout.cols,
                                                 .tokens = f.dx.rows,
                                                 .rows = f.forest.rows.data,
                                                 .row_positions = f.forest.row_positions.data,
                                                 .subtree_end = f.forest.subtree_end.data,
                                                 .dout = rows_of(f.dout),
                                                 .add = f.write == Write::add,
                                                 .dx = rows_of(f.dx)});
  return {};
}

// --- losses

template <class P, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const NextTokenLossArguments<ThrustBackend<P, S>>& a) {
  machine.run(kernels::NextTokenLossKernel<typename P::Activation>{.rows = a.logits.rows,
                                                                   .cols = a.logits.cols,
                                                                   .logits = rows_of(a.logits),
                                                                   .begin = a.begin.data,
                                                                   .tokens = a.tokens.data,
                                                                   .weights = a.weights.data,
                                                                   .losses = a.losses.data});
  return {};
}

// --- the trained weights

/// A step's numbers where a kernel reads them, for as long as this lives.
template <class Machine, class Step>
class StepOnDevice {
 public:
  StepOnDevice(Machine& machine, const Step& step) : room_(machine.pool(), 1) {
    // From memory that is not pinned: CUDA takes it before it returns.
    machine.from_host(reinterpret_cast<const std::byte*>(&step), reinterpret_cast<std::byte*>(room_.data()),
                      sizeof(Step));
  }
  const Step* data() const { return room_.data(); }

 private:
  Taken<typename Machine::Pool, Step> room_;
};

template <kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const SumOfSquares& f) {
  const Index parts = kernels::SumOfSquaresKernel::parts(f.numbers.size);
  const auto sums = room<double>(machine, parts);
  machine.run(kernels::SumOfSquaresKernel{.count = f.numbers.size, .x = f.numbers.data, .sums = sums.data()});
  machine.run(kernels::TotalKernel<double>{.count = parts, .x = sums.data(), .out = f.total});
  return {};
}

template <kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const RoundWeights& f) {
  machine.run(
      kernels::RoundWeightsKernel{.count = f.count, .from = f.from, .rounding = f.rounding, .to = f.to});
  return {};
}

template <class P, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const AdamWArguments<ThrustBackend<P, S>>& a) {
  const StepOnDevice step(machine, a.step);
  machine.run(kernels::AdamWKernel{.count = a.parameters.size,
                                   .parameters = a.parameters.data,
                                   .gradients = a.gradients.data,
                                   .first = a.first.data,
                                   .second = a.second.data,
                                   .step = step.data()});
  return {};
}
template <class P, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const MomentumArguments<ThrustBackend<P, S>>& a) {
  const StepOnDevice step(machine, a.step);
  machine.run(kernels::MomentumKernel{.count = a.out.size,
                                      .gradients = a.gradients.data,
                                      .momentum = data_of(a.momentum),
                                      .out = a.out.data,
                                      .step = step.data()});
  return {};
}
template <class P, kernel_system S>
std::true_type by_kernel(Machine<S>& machine, const AdafactorArguments<ThrustBackend<P, S>>& a) {
  const Index rows = a.gradients.rows, cols = a.gradients.cols;
  const Index parts = kernels::AdafactorSquaresKernel::parts(rows);
  const StepOnDevice step(machine, a.step);
  const auto sums = room<double>(machine, parts * cols);
  const auto rows_mean = room<double>(machine, 1);
  const kernels::Rows<const float> gradients{a.gradients.data, a.gradients.stride};
  const bool has_rows = !a.rows.empty();
  if (has_rows) {
    machine.run(kernels::AdafactorRowsKernel{
        .rows_count = rows, .cols = cols, .gradients = gradients, .rows = a.rows.data, .step = step.data()});
    machine.run(kernels::TotalKernel<float>{
        .count = rows, .x = a.rows.data, .scale = 1.0 / static_cast<double>(rows), .out = rows_mean.data()});
  }
  machine.run(kernels::AdafactorSquaresKernel{
      .rows_count = rows, .cols = cols, .gradients = gradients, .sums = sums.data(), .step = step.data()});
  machine.run(kernels::AdafactorColumnsKernel{.rows_count = rows,
                                              .cols = cols,
                                              .parts = parts,
                                              .sums = sums.data(),
                                              .columns = a.columns.data,
                                              .step = step.data()});
  machine.run(kernels::AdafactorScaleKernel{.rows_count = rows,
                                            .cols = cols,
                                            .gradients = rows_of(a.gradients),
                                            .rows = data_of(a.rows),
                                            .rows_mean = rows_mean.data(),
                                            .columns = a.columns.data,
                                            .step = step.data()});
  return {};
}

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
