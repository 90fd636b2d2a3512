// Attention as an operation under test, and what it is by a dense mask that is written out here.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "backend/backends.hpp"
#include "backend/witness.hpp"
#include "merit/forest/forest.hpp"

namespace merit_test {

inline bool sees(const Forest& forest, Index q, Index k) {
  return k <= q && q < forest.subtree_end[k];
}

inline bool attends(const Forest& forest, const AttentionShape& shape, Index q, Index k) {
  const auto tree = [&](Index t) {
    return std::upper_bound(forest.tree_begin.begin(), forest.tree_begin.end(), t) -
           forest.tree_begin.begin();
  };
  if (shape.sight == Sight::tree ? tree(q) != tree(k) : !sees(forest, q, k)) return false;
  const auto away = std::abs(static_cast<double>(forest.positions[q]) - forest.positions[k]);
  return shape.window == 0 || away < static_cast<double>(shape.window);
}

/// Whether attention rounds its probabilities, too: kernels do, for the products of tensor cores.
template <class B>
inline constexpr bool rounds_probabilities = false;
template <class System>
inline constexpr bool rounds_probabilities<ThrustBackend<BFloat16, System>> =
    !std::is_same_v<System, OmpSystem> && !std::is_same_v<System, CppSystem>;

template <class B>
struct AttentionTolerance {
  static constexpr double more = rounds_probabilities<B> ? bf16_rounding : 0;
  static constexpr double value = Tolerance<typename B::Activation>::value + more;
  static constexpr double gradient = Tolerance<typename B::Activation>::gradient + more;
};

/// Differentiated by q (Q, H·dh), then k and v (T, Hkv·dh).
struct Attention {
  const Forest* forest;
  AttentionShape shape;
  Ids query_tokens;  // empty: all

  Index tokens() const { return forest->token_count(); }
  Index queries() const { return query_tokens.empty() ? tokens() : query_tokens.size(); }
  Index q_width() const { return shape.heads * shape.head_dim; }
  Index kv_width() const { return shape.kv_heads * shape.head_dim; }
  Index q_size() const { return queries() * q_width(); }
  Index kv_size() const { return tokens() * kv_width(); }
  Index inputs() const { return q_size() + 2 * kv_size(); }

  /// Where a batch has them, if it does: a device finds its lists of tiles by the place.
  template <class View, class Copied>
  auto queries_of(const View& view, const Copied& copied) const {
    return query_tokens == forest->rows ? view.rows : copied.view();
  }
  template <class B>
  Numbers forward(const Numbers& x) const {
    return run<B>(x)[0];
  }
  /// out, then lse.
  template <class B>
  std::vector<Numbers> run(const Numbers& x) const {
    Machine<B> m;
    const typename B::Batch batch = B::prepare(m.handle, forest->view());
    const ForestView<typename B::Space>& view = batch;
    const Array<B> q(m, queries(), q_width(), part(x, 0, q_size()));
    const Array<B> k(m, tokens(), kv_width(), part(x, q_size(), kv_size()));
    const Array<B> v(m, tokens(), kv_width(), part(x, q_size() + kv_size(), kv_size()));
    Array<B> out(m, queries(), q_width(), 9.0);
    StatArray<B> lse(m, queries(), shape.heads, 9.0);
    StatArray<B> scratch = working_space<B>(m, B::attention_scratch(m.handle, view, shape));
    const Copied<B, std::uint32_t> which(m, query_tokens);
    B::attention(m.handle, {.forest = view,
                            .shape = shape,
                            .query_tokens = queries_of(view, which),
                            .q = q.constant(),
                            .k = k.constant(),
                            .v = v.constant(),
                            .out = out.matrix(),
                            .lse = lse.matrix(),
                            .scratch = scratch.vector()});
    return {out.values(), lse.values()};
  }
  template <class B>
  Numbers backward(const Numbers& x, const Numbers& dy, Write write, double before) const {
    Machine<B> m;
    const typename B::Batch batch = B::prepare(m.handle, forest->view());
    const ForestView<typename B::Space>& view = batch;
    const std::vector<Numbers> kept = run<B>(x);
    const Array<B> q(m, queries(), q_width(), part(x, 0, q_size()));
    const Array<B> k(m, tokens(), kv_width(), part(x, q_size(), kv_size()));
    const Array<B> v(m, tokens(), kv_width(), part(x, q_size() + kv_size(), kv_size()));
    const Array<B> out(m, queries(), q_width(), kept[0]);
    const StatArray<B> lse(m, queries(), shape.heads, kept[1]);
    const Array<B> dout(m, queries(), q_width(), dy);
    Array<B> dq(m, queries(), q_width(), before);
    Array<B> dk(m, tokens(), kv_width(), before), dv(m, tokens(), kv_width(), before);
    StatArray<B> scratch = working_space<B>(m, B::attention_backward_scratch(m.handle, view, shape));
    const Copied<B, std::uint32_t> which(m, query_tokens);
    B::attention_backward(m.handle, {.forest = view,
                                     .shape = shape,
                                     .query_tokens = queries_of(view, which),
                                     .q = q.constant(),
                                     .k = k.constant(),
                                     .v = v.constant(),
                                     .out = out.constant(),
                                     .lse = lse.constant(),
                                     .dout = dout.constant(),
                                     .write_dq = write,
                                     .dq = dq.matrix(),
                                     .write_dkv = write,
                                     .dk = dk.matrix(),
                                     .dv = dv.matrix(),
                                     .scratch = scratch.vector()});
    return join({dq.values(), dk.values(), dv.values()});
  }

  /// Out, then lse, from a T × T mask.
  std::vector<Numbers> dense(const Numbers& x) const {
    const Numbers q = part(x, 0, q_size()), k = part(x, q_size(), kv_size()),
                  v = part(x, q_size() + kv_size(), kv_size());
    const Index width = shape.head_dim;
    Numbers out(q_size()), all_lse;
    for (Index row = 0; row < queries(); ++row) {
      const Index token = query_tokens.empty() ? row : query_tokens[row];
      for (Index head = 0; head < shape.heads; ++head) {
        const Index kv_head = head * shape.kv_heads / shape.heads;
        Numbers scores(tokens(), -std::numeric_limits<double>::infinity());
        for (Index t = 0; t < tokens(); ++t) {
          if (!attends(*forest, shape, token, t)) continue;
          scores[t] = 0;
          for (Index c = 0; c < width; ++c)
            scores[t] +=
                shape.scale * q[row * q_width() + head * width + c] * k[t * kv_width() + kv_head * width + c];
          if (shape.soft_cap != 0) scores[t] = shape.soft_cap * std::tanh(scores[t] / shape.soft_cap);
        }
        const double largest = *std::max_element(scores.begin(), scores.end());
        double sum = 0;
        for (const double score : scores) sum += std::exp(score - largest);
        all_lse.push_back(largest + std::log(sum));
        for (Index t = 0; t < tokens(); ++t)
          for (Index c = 0; c < width; ++c)
            out[row * q_width() + head * width + c] +=
                std::exp(scores[t] - largest) / sum * v[t * kv_width() + kv_head * width + c];
      }
    }
    return {out, all_lse};
  }
};

}  // namespace merit_test
