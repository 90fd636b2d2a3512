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

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "merit/core/enum_names.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/forest_view.hpp"

namespace merit {
inline namespace MERIT_ABI {

enum class Write : std::uint8_t { assign, add };
enum class Transpose : std::uint8_t { no, yes };

/// What an element goes through: GELU with the error function ("gelu"; Hendrycks & Gimpel 2016), its tanh
/// approximation ("gelu_new" in GPT-2's configuration), max(0, x), SiLU x / (1 + e^−x), tanh, or x with its
/// negative values divided by 100.
enum class ActivationFunction : std::uint8_t { gelu, gelu_tanh, relu, silu, tanh, leaky_relu };
template <>
inline constexpr std::array<std::string_view, 6> enum_names<ActivationFunction>{
    "gelu", "gelu_tanh", "relu", "silu", "tanh", "leaky_relu"};

/// The heads of one attention operation. Query head h reads key/value head h / (heads / kv_heads).
struct AttentionShape {
  Index heads = 1;
  Index kv_heads = 1;
  Index head_dim = 1;
  double scale = 1;  // multiplies q·k, usually 1/sqrt(head_dim)
  Sight sight = Sight::path;
  Index window = 0;     // keys this many positions away or more are not seen; 0: all are
  double soft_cap = 0;  // a score s becomes soft_cap · tanh(s / soft_cap) (Gemma 2); 0: it stays

  /// Whether a query sees a key of the same path, or under Sight::tree of the same tree, by their positions.
  constexpr bool reaches(Index query, Index key) const {
    return window == 0 || (query > key ? query - key : key - query) < window;
  }
  /// Attention along the path and nothing else: what the kernels of a device are written for.
  constexpr bool is_plain() const { return sight == Sight::path && window == 0 && soft_cap == 0; }
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

/// One update by a moving sum of gradients, which is that of SGD with momentum, of Lion, and the first half
/// of Muon's. For each element, m being the momentum:
///   g = gradient_scale · gradient + penalty · out
///   direction = momentum_weight · m + gradient_weight · g, or its sign (−1, 0, 1)
///   m = keep · m + add · g
///   out = keep_out · out − rate · direction
struct MomentumStep {
  double gradient_scale = 1;
  double penalty = 0;
  double momentum_weight = 0;
  double gradient_weight = 1;
  bool sign = false;
  double keep = 0;
  double add = 1;
  double keep_out = 1;  // 0: what `out` held is not read, unless penalty is above 0
  double rate = 0;
};

/// The second moments of one tensor in Adafactor (Shazeer & Stern 2018), as PyTorch computes them.
struct AdafactorStep {
  double gradient_scale = 1;
  double share = 1;  // of this step's squares in the moments: 1 - beta2 of the step
  // What the mean of the rows' moments is at least; an estimate is at least its square.
  double epsilon = 0;
};

/// The shorthand types of the list below.
template <class B>
struct BackendTypes {
  using Activation = typename B::Activation;
  using Stat = typename B::Stat;
  using Space = typename B::Space;
  using Handle = typename B::Handle;
  using Matrix = MatrixView<Activation, Space>;
  using ConstMatrix = MatrixView<const Activation, Space>;
  using StatMatrix = MatrixView<Stat, Space>;
  using ConstStatMatrix = MatrixView<const Stat, Space>;
  using StatVector = VectorView<Stat, Space>;
  using ConstStatVector = VectorView<const Stat, Space>;
  using Weight = WeightView<Space>;
  using Indices = VectorView<const std::uint32_t, Space>;
  using Forest = ForestView<Space>;
};

namespace detail {

template <class B>
struct ScoreBackendFinder {
  using type = B;
};
template <class B>
requires requires {
  typename B::ScoreBackend;
}
struct ScoreBackendFinder<B> {
  using type = typename B::ScoreBackend;
};

}  // namespace detail

/// The backend on which heads compute scores and losses their slopes: B, or where the activations of B are
/// less precise than scores are to be, the same machine in Stat.
template <class B>
using ScoreBackendOf = typename detail::ScoreBackendFinder<B>::type;

/// Whether activations are held in less than Stat.
template <class B>
inline constexpr bool narrow_activations = !std::same_as<typename B::Activation, typename B::Stat>;

// --- Operations with more than four arguments. Shapes: M rows, T tokens, Q queries, d width, H heads, dh
// head_dim.

/// out (M, N) = x (M, K) · op(weight) (K, N) [+ bias on each row] [+ residual] [+ out if add].
template <class B>
struct LinearArguments {
  typename BackendTypes<B>::ConstMatrix x;
  typename BackendTypes<B>::Weight weight;
  Transpose transpose = Transpose::no;  // yes: weight is (N, K)
  Write write = Write::assign;
  typename BackendTypes<B>::Matrix out;
  typename BackendTypes<B>::ConstStatVector bias = {};  // (N)
  typename BackendTypes<B>::ConstMatrix residual = {};  // (M, N)
};

/// Each row of x (M, d): y = x · rstd · (weight_offset + weight), rstd (M) = 1/sqrt(mean(x²) + epsilon). Zhang &
/// Sennrich 2019; Gemma's weights are what is added to 1.
template <class B>
struct RmsNormArguments {
  typename BackendTypes<B>::ConstMatrix x;
  typename BackendTypes<B>::ConstStatVector weight;  // (d)
  double epsilon = 0;
  typename BackendTypes<B>::Matrix y;
  typename BackendTypes<B>::StatVector rstd = {};  // optional
  double weight_offset = 0;
};
/// dx from dy; dweight is added to, in row order. Empty dweight or dx: not wanted.
template <class B>
struct RmsNormBackwardArguments {
  typename BackendTypes<B>::ConstMatrix dy;
  typename BackendTypes<B>::ConstMatrix x;
  typename BackendTypes<B>::ConstStatVector weight;
  typename BackendTypes<B>::ConstStatVector rstd;
  Write write = Write::assign;
  typename BackendTypes<B>::Matrix dx = {};
  typename BackendTypes<B>::StatVector dweight = {};
  double weight_offset = 0;
};

/// y = (x - mean) · rstd · weight + bias; stats (2M): mean of each row, then rstd of each (Ba et al. 2016).
template <class B>
struct LayerNormArguments {
  typename BackendTypes<B>::ConstMatrix x;
  typename BackendTypes<B>::ConstStatVector weight = {};  // (d), optional
  typename BackendTypes<B>::ConstStatVector bias = {};    // (d), optional
  double epsilon = 0;
  typename BackendTypes<B>::Matrix y;
  typename BackendTypes<B>::StatVector stats = {};  // optional
};
/// dx from dy; dweight and dbias are added to. Empty targets: not wanted.
template <class B>
struct LayerNormBackwardArguments {
  typename BackendTypes<B>::ConstMatrix dy;
  typename BackendTypes<B>::ConstMatrix x;
  typename BackendTypes<B>::ConstStatVector weight;
  typename BackendTypes<B>::ConstStatVector stats;
  Write write = Write::assign;
  typename BackendTypes<B>::Matrix dx = {};
  typename BackendTypes<B>::StatVector dweight = {};
  typename BackendTypes<B>::StatVector dbias = {};
};

/// Rotates, in place, the first r columns of each head of x (T, heads·dh) by its token's position: pairs
/// (i, i + r/2), as Hugging Face checkpoints store them.
template <class B>
struct RotaryArguments {
  typename BackendTypes<B>::Matrix x;
  Index heads = 1;
  typename BackendTypes<B>::Indices positions;      // (T)
  typename BackendTypes<B>::ConstStatMatrix table;  // (P, r): cos of r/2 angles, then their sines
  bool inverse = false;                             // the backward
};

/// out (Q, H·dh) of the queries of tokens query_tokens (ascending; empty: all tokens).
template <class B>
struct AttentionArguments {
  const typename BackendTypes<B>::Forest& forest;
  AttentionShape shape;
  typename BackendTypes<B>::Indices query_tokens;  // (Q)
  typename BackendTypes<B>::ConstMatrix q;         // (Q, H·dh)
  typename BackendTypes<B>::ConstMatrix k;         // (T, Hkv·dh)
  typename BackendTypes<B>::ConstMatrix v;         // (T, Hkv·dh)
  typename BackendTypes<B>::Matrix out;
  typename BackendTypes<B>::StatMatrix lse;      // (Q, H): log Σ exp of each row, for the backward; optional
  typename BackendTypes<B>::StatVector scratch;  // attention_scratch
};
template <class B>
struct AttentionBackwardArguments {
  const typename BackendTypes<B>::Forest& forest;
  AttentionShape shape;
  typename BackendTypes<B>::Indices query_tokens;
  typename BackendTypes<B>::ConstMatrix q;
  typename BackendTypes<B>::ConstMatrix k;
  typename BackendTypes<B>::ConstMatrix v;
  typename BackendTypes<B>::ConstMatrix out;
  typename BackendTypes<B>::ConstStatMatrix lse;
  typename BackendTypes<B>::ConstMatrix dout;
  Write write_dq = Write::assign;
  typename BackendTypes<B>::Matrix dq;
  Write write_dkv = Write::assign;
  typename BackendTypes<B>::Matrix dk;
  typename BackendTypes<B>::Matrix dv;
  typename BackendTypes<B>::StatVector scratch;  // attention_backward_scratch
};

/// Disentangled attention (He et al. 2021): every token of a tree sees all of it, and the score of query i and key j is
/// scale · (q_i · k_j + q_i · position_keys[b] + k_j · position_queries[b]), b the bucket of the distance i − j.
template <class B>
struct RelativeAttentionArguments {
  const typename BackendTypes<B>::Forest& forest;
  AttentionShape shape;                                    // of as many key/value heads as heads
  typename BackendTypes<B>::Indices query_tokens;          // (Q) ascending; empty: all tokens
  typename BackendTypes<B>::ConstMatrix q;                 // (Q, H·dh)
  typename BackendTypes<B>::ConstMatrix k;                 // (T, H·dh)
  typename BackendTypes<B>::ConstMatrix v;                 // (T, H·dh)
  typename BackendTypes<B>::ConstMatrix position_keys;     // (P, H·dh), or empty
  typename BackendTypes<B>::ConstMatrix position_queries;  // (P, H·dh), or empty
  // (2D − 1) ascending, below P: entry d + D − 1 is of distance d, D being the forest's depth.
  typename BackendTypes<B>::Indices buckets;
  typename BackendTypes<B>::Matrix out;
  typename BackendTypes<B>::StatMatrix lse;      // (Q, H)
  typename BackendTypes<B>::StatVector scratch;  // relative_attention_scratch
};
/// All gradients are added to.
template <class B>
struct RelativeAttentionBackwardArguments {
  RelativeAttentionArguments<B> forward;  // its out and lse as they became
  typename BackendTypes<B>::ConstMatrix dout;
  typename BackendTypes<B>::Matrix dq;
  typename BackendTypes<B>::Matrix dk;
  typename BackendTypes<B>::Matrix dv;
  typename BackendTypes<B>::Matrix dposition_keys;
  typename BackendTypes<B>::Matrix dposition_queries;
};

/// See B::glu: dgate_up (M, 2f) of dout (M, f).
template <class B>
struct GluBackwardArguments {
  ActivationFunction function = ActivationFunction::silu;
  typename BackendTypes<B>::ConstMatrix dout;
  typename BackendTypes<B>::ConstMatrix gate_up;
  Write write = Write::assign;
  typename BackendTypes<B>::Matrix dgate_up;
};

/// Which experts each row takes, and how much of each (Shazeer et al. 2017): the k largest of softmax(logits), the
/// largest first, of equal ones the first; weights are those probabilities, or divided by their sum.
template <class B>
struct RouteArguments {
  typename BackendTypes<B>::ConstMatrix logits;  // (M, E)
  bool normalised = false;
  VectorView<std::uint32_t, typename B::Space> experts;  // (M·k), row by row
  typename BackendTypes<B>::Matrix weights;              // (M, k)
};
template <class B>
struct RouteBackwardArguments {
  typename BackendTypes<B>::ConstMatrix logits;
  bool normalised = false;
  typename BackendTypes<B>::Indices experts;
  typename BackendTypes<B>::ConstMatrix weights;
  typename BackendTypes<B>::ConstMatrix dweights;  // (M, k)
  Write write = Write::assign;
  typename BackendTypes<B>::Matrix dlogits;
};
/// Of out[i] = weights[places[i]] · x[i]: dx, and what is added to dweights. Empty targets: not wanted.
template <class B>
struct ScaleRowsBackwardArguments {
  typename BackendTypes<B>::ConstMatrix x;   // (M, d)
  typename BackendTypes<B>::Indices places;  // (M), without repeats
  VectorView<const typename B::Activation, typename B::Space> weights;
  typename BackendTypes<B>::ConstMatrix dout;
  Write write = Write::assign;
  typename BackendTypes<B>::Matrix dx = {};
  VectorView<typename B::Activation, typename B::Space> dweights = {};
};

template <class B>
struct ActivateBackwardArguments {
  ActivationFunction kind = ActivationFunction::gelu;
  typename BackendTypes<B>::ConstMatrix dy;
  typename BackendTypes<B>::ConstMatrix x;
  Write write = Write::assign;
  typename BackendTypes<B>::Matrix dx;
};

/// out (M, N) = factor · columns[j] · x [+ bias[j]] [+ out if add], where x counts as 0 in the elements that dropout
/// drops. out may be x itself.
template <class B>
struct ScaleArguments {
  typename BackendTypes<B>::ConstMatrix x;
  double factor = 1;
  typename BackendTypes<B>::ConstStatVector columns = {};  // (N); empty: ones
  typename BackendTypes<B>::ConstStatVector bias = {};     // (N), optional
  VectorView<const std::uint64_t, typename B::Space> row_keys =
      {};  // (M), see DropoutRow; empty: none is dropped
  std::uint64_t stream = 0;
  double dropout = 0;  // the share that is dropped
  Write write = Write::assign;
  typename BackendTypes<B>::Matrix out = {};
};

/// The cross-entropy of the next token, value and gradient at once. Row r of logits (M, V) has the targets
/// begin[r] to begin[r + 1]; losses[r] becomes Σ weight · −log softmax(row)[token] over them, and the row its
/// own gradient, Σ weight · (softmax(row) − [token]). A token that is nearly sure keeps its digits in both.
template <class B>
struct NextTokenLossArguments {
  typename BackendTypes<B>::Matrix logits;   // (M, V)
  typename BackendTypes<B>::Indices begin;   // (M + 1), into the two below
  typename BackendTypes<B>::Indices tokens;  // below V
  typename BackendTypes<B>::ConstStatVector weights;
  typename BackendTypes<B>::StatVector losses;  // (M)
};

template <class B>
struct PathMeanBackwardArguments {
  const typename BackendTypes<B>::Forest& forest;
  typename BackendTypes<B>::ConstMatrix dout;  // (R, d)
  Write write = Write::assign;
  typename BackendTypes<B>::Matrix dx;           // (T, d)
  typename BackendTypes<B>::StatVector scratch;  // path_mean_scratch
};

template <class B>
struct AdamWArguments {
  typename BackendTypes<B>::StatVector parameters;
  typename BackendTypes<B>::ConstStatVector gradients;
  typename BackendTypes<B>::StatVector first;  // moments
  typename BackendTypes<B>::StatVector second;
  AdamWStep step;
};

template <class B>
struct MomentumArguments {
  typename BackendTypes<B>::ConstStatVector gradients;
  typename BackendTypes<B>::StatVector momentum = {};  // empty: m is 0 and not kept
  typename BackendTypes<B>::StatVector out;
  MomentumStep step;
};

/// With g = gradient_scale · gradients (M, N), moves the moments towards the means of squares,
///   rows[i] += share · (mean over j of g² − rows[i])
///   columns[j] += share · (mean over i of g² − columns[j])
/// and g becomes g / sqrt(rows[i] · columns[j] / mean of rows), without rows g / sqrt(columns[j]).
template <class B>
struct AdafactorArguments {
  typename BackendTypes<B>::StatMatrix gradients;
  typename BackendTypes<B>::StatVector rows = {};  // (M)
  typename BackendTypes<B>::StatVector columns;    // (N)
  AdafactorStep step;
};

/// out (M, N) = scale · op(a) (M, K) · op(b) (K, N) [+ c_scale · c (M, N)].
template <class B>
struct ProductArguments {
  typename BackendTypes<B>::ConstStatMatrix a;
  Transpose transpose_a = Transpose::no;  // yes: a is (K, M)
  typename BackendTypes<B>::ConstStatMatrix b;
  Transpose transpose_b = Transpose::no;  // yes: b is (N, K)
  double scale = 1;
  typename BackendTypes<B>::ConstStatMatrix c = {};
  double c_scale = 1;
  typename BackendTypes<B>::StatMatrix out;
};

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
      // to = from, or to += from; each element of `from` times a factor, where one is given.
      B::copy(h, c, w, m);
      B::copy(h, c, w, m, 0.5);
      // Hidden rows to where heads compute, and their gradients back, rounded. Only where Activation is not Stat.
      requires !narrow_activations<B> || requires(typename BackendTypes<B>::ConstStatMatrix cs) {
        B::widen(h, c, sm);
        B::narrow(h, cs, w, m);
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
