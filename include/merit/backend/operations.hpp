// The waist: everything merit asks of a machine, in one list. Above it all code is written once; a new
// machine is a new class with these static functions.
//
// A backend B is a small copyable aggregate of settings with
//   B::Activation  the type of what flows between operations, and of its gradients
//   B::Stat        the type of trained weights, their gradients and moments, of means, deviations, log-sums
//   B::Score       the type of scores and losses: float or double
//   B::Space       the memory space of every view it is given
//   B::Handle      what one thread of control needs to issue work: threads, scratch, streams, plans. Made
//                  from B, passed first, never global
//   B::ScoreBackend  where Activation is not Stat: the same machine, handle and memory with Stat as its
//                  Activation, in which heads compute (ScoreBackendOf); else left out
//   B::Batch       a forest where this backend can read it, made by prepare(); it converts to a
//                  ForestView<B::Space>
//   B::name()      for logs and errors
// Weights come as WeightView: each says how it is stored, and is converted where it is read.
//
// Rules for every operation:
//   - The caller owns all memory. An operation allocates nothing once its Handle is warm; larger working
//     space is an argument, its size published by a `…_scratch` function in elements of Stat.
//   - Work is issued in order and may be done later; wait(handle) returns when all of it is done. Host memory
//     given to to_host or from_host must stay as it is until then. What returns a number waits by itself.
//   - `Write::assign` overwrites the target, `Write::add` adds to it: the tape says which (the first writer
//     assigns).
//   - An empty view for an optional argument leaves it out. More than four arguments come as one aggregate.
//   - Results depend on the arguments only: not on timing, and not on what was computed before.
//   - Views may be column blocks (stride > cols). Outputs do not overlap inputs unless the text says so.
//   - Shapes are checked by the callers in nn/; an operation may assume them.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "merit/backend/operation_arguments.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/forest_view.hpp"

namespace merit {
inline namespace MERIT_ABI {

// clang-format off
/// The list. Shapes: T tokens, R rows, d width, H heads, dh head_dim.
template <class B>
concept backend =
    std::copyable<B> &&
    (std::same_as<typename B::Stat, float> || std::same_as<typename B::Stat, double>) &&
    (std::same_as<typename B::Score, float> || std::same_as<typename B::Score, double>) &&
    requires(const B& settings) {
      typename B::Activation;
      typename B::Space;
      typename B::Handle;
      requires std::constructible_from<typename B::Handle, const B&>;
      { B::name() } -> std::convertible_to<std::string_view>;
    } &&
    requires(typename B::Handle& h, const ForestView<HostSpace>& host_forest, const typename B::Batch& batch) {
      // The forest as this backend reads it; valid as long as both the batch and the forest are.
      { B::prepare(h, host_forest) } -> std::same_as<typename B::Batch>;
      { batch } -> std::convertible_to<const ForestView<typename B::Space>&>;
    } &&
    requires(typename B::Handle& h, typename BackendTypes<B>::Matrix m, typename BackendTypes<B>::ConstMatrix c,
             typename BackendTypes<B>::StatMatrix sm, typename BackendTypes<B>::StatVector sv,
             typename BackendTypes<B>::ConstStatVector csv, typename BackendTypes<B>::Weight weight,
             typename BackendTypes<B>::Indices ids, typename BackendTypes<B>::Forest forest,
             typename B::Activation a, typename B::Stat s, std::byte* bytes, const std::byte* const_bytes, Write w,
             ActivationFunction function, AttentionShape shape, Index n) {
      // --- memory -------------------------------------------------------------------------------------------
      // A block of `n` elements, trivially copyable, in this backend's space, zeroed, aligned to `alignment` bytes;
      // and its release, which waits for what uses it.
      { B::template allocate<typename B::Activation>(h, n) } -> std::same_as<typename B::Activation*>;
      { B::template allocate<std::byte>(h, n) } -> std::same_as<std::byte*>;
      B::release(h, bytes, n);
      // Between host memory and this backend's, of any such element: (handle, from, to, count). Asynchronous.
      B::to_host(h, const_bytes, bytes, n);
      B::from_host(h, const_bytes, bytes, n);
      B::wait(h);
      B::fill(h, m.flat(), a);
      B::fill(h, sv, s);
      // to = from, or to += from.
      B::copy(h, c, w, m);
      // Hidden rows to where heads compute, and their gradients back, rounded. Only where Activation is not Stat.
      requires !narrow_activations<B> || requires(typename BackendTypes<B>::ConstStatMatrix cs) {
        B::widen(h, c, sm);
        B::narrow(h, cs, w, m);
        // to (n) = from (n), rounded; n is a multiple of 8, the arrays are aligned to 16 bytes.
        B::round_weights(h, csv, std::declval<const WeightRounding&>(), m.flat());
        requires std::same_as<typename ScoreBackendOf<B>::Handle, typename B::Handle>;
        requires std::same_as<typename ScoreBackendOf<B>::Activation, typename B::Stat>;
      };

      // --- products -----------------------------------------------------------------------------------------
      B::linear(h, std::declval<const LinearArguments<B>&>());
      // out (N, K) = aᵀ · b of a (M, N) and b (M, K) [+ out if add], in row order.
      B::weight_gradient(h, c, c, w, sm);
      // out (N) = sum over rows of x (M, N).
      B::column_sum(h, c, w, sv);

      // --- norms --------------------------------------------------------------------------------------------
      B::rms_norm(h, std::declval<const RmsNormArguments<B>&>());
      B::rms_norm_backward(h, std::declval<const RmsNormBackwardArguments<B>&>());
      B::layer_norm(h, std::declval<const LayerNormArguments<B>&>());
      B::layer_norm_backward(h, std::declval<const LayerNormBackwardArguments<B>&>());

      // --- positions ----------------------------------------------------------------------------------------
      B::rotary(h, std::declval<const RotaryArguments<B>&>());

      // --- rows ---------------------------------------------------------------------------------------------
      // out[i] = table[ids[i]] (write: assign or add); empty ids are 0, 1, 2, ….
      B::gather_rows(h, weight, ids, w, m);
      // out[ids[i]] += rows[i]; equal ids are added in ascending i.
      B::scatter_add_rows(h, c, ids, m);
      B::scatter_add_rows(h, c, ids, sm);

      // --- attention over a forest --------------------------------------------------------------------------
      { B::attention_scratch(h, forest, shape) } -> std::convertible_to<Index>;
      B::attention(h, std::declval<const AttentionArguments<B>&>());
      { B::attention_backward_scratch(h, forest, shape) } -> std::convertible_to<Index>;
      B::attention_backward(h, std::declval<const AttentionBackwardArguments<B>&>());

      // Working space of both, for tables of n rows.
      { B::relative_attention_scratch(h, forest, n) } -> std::convertible_to<Index>;
      B::relative_attention(h, std::declval<const RelativeAttentionArguments<B>&>());
      B::relative_attention_backward(h, std::declval<const RelativeAttentionBackwardArguments<B>&>());

      // --- elementwise --------------------------------------------------------------------------------------
      // A gated linear unit (Shazeer 2020), SwiGLU if the function is SiLU: out (M, f) = function(gate) · up, from
      // gate_up (M, 2f).
      B::glu(h, function, c, m);
      B::glu_backward(h, std::declval<const GluBackwardArguments<B>&>());
      B::activate(h, function, c, m);
      B::activate_backward(h, std::declval<const ActivateBackwardArguments<B>&>());
      // --- experts ------------------------------------------------------------------------------------------
      B::route(h, std::declval<const RouteArguments<B>&>());
      B::route_backward(h, std::declval<const RouteBackwardArguments<B>&>());
      // out[i] = weights[places[i]] · x[i]: (handle, x, places, weights, out).
      B::scale_rows(h, c, ids, c.flat(), m);
      B::scale_rows_backward(h, std::declval<const ScaleRowsBackwardArguments<B>&>());

      B::scale(h, std::declval<const ScaleArguments<B>&>());
      // out[r] = mean of x over the path from the root to rows[r]; x (T, d).
      { B::path_mean_scratch(h, forest, n) } -> std::convertible_to<Index>;
      B::path_mean(h, forest, c, m, sv);
      B::path_mean_backward(h, std::declval<const PathMeanBackwardArguments<B>&>());

      // --- losses -------------------------------------------------------------------------------------------
      B::next_token_loss(h, std::declval<const NextTokenLossArguments<B>&>());

      // --- the trained weights ------------------------------------------------------------------------------
      // Sum of squares in double, in a fixed order.
      { B::sum_of_squares(h, csv) } -> std::same_as<double>;
      B::adamw(h, std::declval<const AdamWArguments<B>&>());
      B::momentum(h, std::declval<const MomentumArguments<B>&>());
      B::adafactor(h, std::declval<const AdafactorArguments<B>&>());
      B::product(h, std::declval<const ProductArguments<B>&>());
    };
// clang-format on

}  // namespace MERIT_ABI
}  // namespace merit
