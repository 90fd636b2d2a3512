// The waist: everything merit asks of a machine, in one list. Above it all code is written once; a new
// machine is a new class with these static functions.
//
// A backend B is a small copyable aggregate of settings with
//   B::Scalar   the type of parameters and activations (float or double)
//   B::Score    the type of scores and losses: float, or double where Scalar is double
//   B::Space    the memory space of every view it is given
//   B::Handle   what one thread of control needs to issue work (threads, scratch, streams, plans); made from
//   B,
//               passed first, never global
//   B::name()   for logs and errors
//
// Rules for every operation:
//   - The caller owns all memory. An operation allocates nothing once its Handle is warm; larger working
//   space is an
//     argument, its size published by a `…_scratch` function in elements of Scalar.
//   - `Write::assign` overwrites the target, `Write::add` adds to it: the tape says which (first writer
//   assigns).
//   - An empty view for an optional argument leaves it out.
//   - Results depend on the arguments only: not on timing, and not on what was computed before.
//   - Views may be column blocks (stride > cols). Outputs do not overlap inputs unless the text says so.
//   - Shapes are checked by the callers in nn/; an operation may assume them.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "merit/backend/forest_view.hpp"
#include "merit/core/enum_names.hpp"
#include "merit/core/view.hpp"

namespace merit::inline MERIT_ABI {

enum class Write : std::uint8_t { assign, add };
enum class Transpose : std::uint8_t { no, yes };

/// What an element goes through: GELU with the error function ("gelu"), its tanh approximation ("gelu_new" in
/// GPT-2's configuration), or max(0, x).
enum class ActivationFunction : std::uint8_t { gelu, gelu_tanh, relu };
template <>
inline constexpr std::array<std::string_view, 3> enum_names<ActivationFunction>{"gelu", "gelu_tanh", "relu"};

/// The heads of one attention operation. Query head h reads key/value head h / (heads / kv_heads).
struct AttentionShape {
  Index heads = 1;
  Index kv_heads = 1;
  Index head_dim = 1;
  double scale = 1;  // multiplies q·k, usually 1/sqrt(head_dim)
};

/// One AdamW update (Loshchilov & Hutter 2019, as in PyTorch): decoupled decay, bias-corrected moments.
struct AdamWStep {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double gradient_scale = 1;    // multiplies every gradient first (clipping by global norm)
  double bias_correction1 = 1;  // 1 - beta1^t
  double bias_correction2 = 1;  // 1 - beta2^t
};

/// The shorthand types of the list below.
template <class B>
struct BackendTypes {
  using T = typename B::Scalar;
  using Space = typename B::Space;
  using Handle = typename B::Handle;
  using Matrix = MatrixView<T, Space>;
  using ConstMatrix = MatrixView<const T, Space>;
  using Vector = VectorView<T, Space>;
  using ConstVector = VectorView<const T, Space>;
  using Indices = VectorView<const std::uint32_t, Space>;
  using Forest = ForestView<Space>;
};

// clang-format off
/// The list. Shapes: T tokens, R rows, d width, H heads, dh head_dim.
template <class B>
concept backend =
    std::copyable<B> &&
    (std::same_as<typename B::Scalar, float> || std::same_as<typename B::Scalar, double>) &&
    requires(const B& settings) {
      typename B::Handle;
      requires std::constructible_from<typename B::Handle, const B&>;
      { B::name() } -> std::convertible_to<std::string_view>;
    } &&
    requires(typename B::Handle& h, typename BackendTypes<B>::Matrix m, typename BackendTypes<B>::ConstMatrix c,
             typename BackendTypes<B>::Vector v, typename BackendTypes<B>::ConstVector cv,
             typename BackendTypes<B>::Indices ids, typename BackendTypes<B>::Forest forest, typename B::Scalar s,
             typename B::Scalar* p, const typename B::Scalar* cp, Write w, Transpose t, ActivationFunction activation,
             AttentionShape shape, AdamWStep adamw, Index n, bool flag) {
      // --- memory -------------------------------------------------------------------------------------------
      // A block of `n` elements in this backend's space, zeroed, aligned to `alignment` bytes; and its release.
      { B::allocate(h, n) } -> std::same_as<typename B::Scalar*>;
      B::release(h, p, n);
      // Between host memory and this backend's: (handle, from, to, count). Return when the copy is complete.
      B::to_host(h, cp, p, n);
      B::from_host(h, cp, p, n);
      B::fill(h, v, s);
      // to = from, or to += from.
      B::copy(h, c, w, m);

      // --- products -----------------------------------------------------------------------------------------
      // out (M, N) = op(a) (M, K) · op(b) (K, N) [+ bias (N) on each row] [+ residual (M, N)] [+ out if add].
      B::gemm(h, t, c, t, c, w, m, cv, c);
      // out (N) = sum over rows of x (M, N).
      B::column_sum(h, c, w, v);

      // --- norms --------------------------------------------------------------------------------------------
      // Each row of x (M, d): y = x · rstd · weight, rstd (M) = 1/sqrt(mean(x²) + eps). Zhang & Sennrich 2019.
      B::rms_norm(h, c, cv, s, m, v);
      // dx from dy; dweight (d) is added to, in row order; empty dweight or dx: not wanted.
      B::rms_norm_backward(h, c, c, cv, cv, w, m, v);
      // y = (x - mean) · rstd · weight + bias; stats (2M): mean of each row, then rstd of each row.
      B::layer_norm(h, c, cv, cv, s, m, v);
      // (handle, dy, x, weight, stats, write, dx, dweight, dbias); dweight and dbias are added to.
      B::layer_norm_backward(h, c, c, cv, cv, w, m, v, v);

      // --- positions ----------------------------------------------------------------------------------------
      // Rotates, in place, each head of x (T, heads·dh) by its token's position: pairs (i, i + dh/2), as Hugging
      // Face checkpoints store them. table (P, dh): cos of dh/2 angles, then their sines. inverse = the backward.
      // (handle, x, heads, positions, table, inverse).
      B::rotary(h, m, n, ids, c, flag);

      // --- rows ---------------------------------------------------------------------------------------------
      // out[i] = table[ids[i]] (write: assign or add).
      B::gather_rows(h, c, ids, w, m);
      // out[ids[i]] += rows[i]; equal ids are added in ascending i.
      B::scatter_add_rows(h, c, ids, m);

      // --- attention over a forest --------------------------------------------------------------------------
      // q (Q, H·dh) are the queries of tokens query_tokens (Q), ascending; empty ids mean all tokens. k and v
      // (T, Hkv·dh). out (Q, H·dh); lse (Q, H) = log of the sum of exponentials of each row, for the backward.
      { B::attention_scratch(h, forest, shape) } -> std::convertible_to<Index>;
      B::attention(h, forest, shape, ids, c, c, c, m, m, v);
      // (handle, forest, shape, query_tokens, q, k, v, out, lse, dout, write, dq, write, dk, dv, scratch).
      { B::attention_backward_scratch(h, forest, shape) } -> std::convertible_to<Index>;
      B::attention_backward(h, forest, shape, ids, c, c, c, c, c, c, w, m, w, m, m, v);

      // --- elementwise --------------------------------------------------------------------------------------
      // out (M, f) = silu(gate) · up, from gate_up (M, 2f). Shazeer 2020.
      B::swiglu(h, c, m);
      // (handle, dout, gate_up, write, dgate_up).
      B::swiglu_backward(h, c, c, w, m);
      B::activate(h, activation, c, m);
      // (handle, kind, dy, x, write, dx).
      B::activate_backward(h, activation, c, c, w, m);
      // out[r] = mean of x over the path from the root to rows[r]; x (T, d).
      { B::path_mean_scratch(h, forest, n) } -> std::convertible_to<Index>;
      B::path_mean(h, forest, c, m, v);
      // (handle, forest, dout, write, dx, scratch).
      B::path_mean_backward(h, forest, c, w, m, v);

      // --- the flat block -----------------------------------------------------------------------------------
      // Sum of squares in double, in a fixed order.
      { B::sum_of_squares(h, cv) } -> std::same_as<double>;
      // (handle, parameters, gradients, first moments, second moments, step).
      B::adamw(h, v, cv, v, v, adamw);
    };
// clang-format on

}  // namespace merit::inline MERIT_ABI
