// What the operations of a backend are given: views, and numbers that several need. What each operation does with them is
// said in operations.hpp, or here where it takes one aggregate.
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
  /// Attention along the path and nothing else: the kernels of a device are compiled for it by itself.
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

/// How trained weights are rounded to the type that products read where activations are narrow: to nearest, ties to even;
/// or up or down by chance, with the mean that the weight has, so that steps below the last digit are not lost (Gupta et
/// al. 2015). A draw is a function of the seed, the step and the place.
struct WeightRounding {
  bool by_chance = false;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;

  friend bool operator==(const WeightRounding&, const WeightRounding&) = default;
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
  typename BackendTypes<B>::StatMatrix lse = {};  // (Q, H): log Σ exp of each row, for the backward; optional
  typename BackendTypes<B>::StatVector scratch = {};  // attention_scratch
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

/// dx = dy · the slope at x [+ dx]. dx may be x itself.
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

}  // namespace MERIT_ABI
}  // namespace merit
