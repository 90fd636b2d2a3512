// Disentangled attention, plain: what is computed for one query, key or row of a table of positions, and head, the same in
// a loop on a host and in one on a device. Nothing is kept of the scores.
#pragma once

#include <cmath>
#include <limits>

#include "merit/backend/expert_rows.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// How scores are computed, of the views in `a`. `forest` is where the functor reads it.
template <class B>
struct RelativeScores {
  using T = typename B::Stat;
  RelativeAttentionArguments<B> a;
  ForestView<typename B::Space> forest;

  MERIT_CALLABLE Index token(Index row) const {
    return a.query_tokens.empty() ? row : a.query_tokens.data[row];
  }
  /// The tree that holds a token.
  MERIT_CALLABLE Index tree_of(Index at) const {
    Index first = 0, count = forest.tree_begin.size - 1;  // the last tree that begins at or before the token
    while (count > 1) {
      const Index half = count / 2;
      if (forest.tree_begin.data[first + half] <= at) {
        first += half;
        count -= half;
      } else {
        count = half;
      }
    }
    return first;
  }
  /// The first query row of token `at` or behind it.
  MERIT_CALLABLE Index row_from(Index at) const {
    if (a.query_tokens.empty()) return at < a.q.rows ? at : a.q.rows;
    Index first = 0, count = a.q.rows;
    while (count > 0) {
      const Index half = count / 2;
      if (a.query_tokens.data[first + half] < at) {
        first += half + 1;
        count -= half + 1;
      } else {
        count = half;
      }
    }
    return first;
  }
  template <class View>
  MERIT_CALLABLE auto* head_of(const View& view, Index row, Index head) const {
    return view.row(row) + head * a.shape.head_dim;
  }
  template <class X, class Y>
  MERIT_CALLABLE T dot(const X* x, const Y* y) const {
    T sum = 0;
    for (Index c = 0; c < a.shape.head_dim; ++c) sum += number<T>(x[c]) * number<T>(y[c]);
    return sum;
  }
  MERIT_CALLABLE Index bucket(Index query, Index key) const {
    return a.buckets.data[forest.depth - 1 + query - key];
  }
  MERIT_CALLABLE T score(Index row, Index key, Index head) const {
    const auto *const q = head_of(a.q, row, head), *const k = head_of(a.k, key, head);
    const Index b = bucket(token(row), key);
    T sum = dot(q, k);
    if (!a.position_keys.empty()) sum += dot(q, head_of(a.position_keys, b, head));
    if (!a.position_queries.empty()) sum += dot(k, head_of(a.position_queries, b, head));
    return static_cast<T>(a.shape.scale) * sum;
  }
};

/// out and lse of element row · heads + head.
template <class B>
struct RelativeAttentionQuery : RelativeScores<B> {
  using T = typename B::Stat;

  MERIT_CALLABLE void operator()(Index e) const {
    const auto& in = this->a;
    const Index row = e / in.shape.heads, head = e % in.shape.heads, tree = this->tree_of(this->token(row));
    const Index begin = this->forest.tree_begin.data[tree], end = this->forest.tree_begin.data[tree + 1];
    T largest = -std::numeric_limits<T>::infinity(), total = 0;
    for (Index t = begin; t < end; ++t) {
      const T score = this->score(row, t, head);
      largest = score > largest ? score : largest;
    }
    for (Index t = begin; t < end; ++t) total += std::exp(this->score(row, t, head) - largest);
    constexpr Index columns = 64;  // that are summed at once
    for (Index first = 0; first < in.shape.head_dim; first += columns) {
      const Index count = in.shape.head_dim - first < columns ? in.shape.head_dim - first : columns;
      T sums[columns] = {};
      for (Index t = begin; t < end; ++t) {
        const T weight = std::exp(this->score(row, t, head) - largest);
        const auto* const value = this->head_of(in.v, t, head) + first;
        for (Index c = 0; c < count; ++c) sums[c] += weight * number<T>(value[c]);
      }
      auto* const out = in.out.row(row) + head * in.shape.head_dim + first;
      for (Index c = 0; c < count; ++c) put_number(out[c], sums[c] / total, Write::assign);
    }
    in.lse.row(row)[head] = largest + std::log(total);
  }
};

/// What all parts of the backward share.
template <class B>
struct RelativeSlopes : RelativeScores<B> {
  using T = typename B::Stat;
  RelativeAttentionBackwardArguments<B> b;

  MERIT_CALLABLE RelativeSlopes(const RelativeAttentionBackwardArguments<B>& backward,
                                const ForestView<typename B::Space>& where)
      : RelativeScores<B>{backward.forward, where}, b(backward) {}

  MERIT_CALLABLE T probability(Index row, Index key, Index head) const {
    return std::exp(this->score(row, key, head) - this->a.lse.row(row)[head]);
  }
  /// scale · P · (dO · V − dO · O)
  MERIT_CALLABLE T dscore(Index row, Index key, Index head) const {
    const auto& in = this->a;
    const auto* const dout = this->head_of(b.dout, row, head);
    const T slope =
        this->dot(dout, this->head_of(in.v, key, head)) - this->dot(dout, this->head_of(in.out, row, head));
    return static_cast<T>(in.shape.scale) * probability(row, key, head) * slope;
  }
  template <class X>
  MERIT_CALLABLE void add(X* to, Index c, T value) const {
    put_number(to[c], value, Write::add);
  }
};

/// dq of element row · heads + head.
template <class B>
struct RelativeBackwardQuery : RelativeSlopes<B> {
  using RelativeSlopes<B>::RelativeSlopes;

  MERIT_CALLABLE void operator()(Index e) const {
    using Number = typename B::Stat;
    const auto& in = this->a;
    const Index row = e / in.shape.heads, head = e % in.shape.heads, token = this->token(row);
    const Index tree = this->tree_of(token);
    for (Index t = this->forest.tree_begin.data[tree]; t < this->forest.tree_begin.data[tree + 1]; ++t) {
      const Number dscore = this->dscore(row, t, head);
      for (Index c = 0; c < in.shape.head_dim; ++c) {
        Number by = number<Number>(this->head_of(in.k, t, head)[c]);
        if (!in.position_keys.empty())
          by += number<Number>(this->head_of(in.position_keys, this->bucket(token, t), head)[c]);
        this->add(this->head_of(this->b.dq, row, head), c, dscore * by);
      }
    }
  }
};

/// dk and dv of element key · heads + head.
template <class B>
struct RelativeBackwardKey : RelativeSlopes<B> {
  using RelativeSlopes<B>::RelativeSlopes;

  MERIT_CALLABLE void operator()(Index e) const {
    using Number = typename B::Stat;
    const auto& in = this->a;
    const Index key = e / in.shape.heads, head = e % in.shape.heads, tree = this->tree_of(key);
    const Index last = this->row_from(this->forest.tree_begin.data[tree + 1]);
    for (Index row = this->row_from(this->forest.tree_begin.data[tree]); row < last; ++row) {
      const Number dscore = this->dscore(row, key, head), probability = this->probability(row, key, head);
      for (Index c = 0; c < in.shape.head_dim; ++c) {
        Number by = number<Number>(this->head_of(in.q, row, head)[c]);
        if (!in.position_queries.empty())
          by += number<Number>(
              this->head_of(in.position_queries, this->bucket(this->token(row), key), head)[c]);
        this->add(this->head_of(this->b.dk, key, head), c, dscore * by);
        this->add(this->head_of(this->b.dv, key, head), c,
                  probability * number<Number>(this->head_of(this->b.dout, row, head)[c]));
      }
    }
  }
};

/// The gradients of both tables, of element bucket · heads + head.
template <class B>
struct RelativeBackwardTable : RelativeSlopes<B> {
  using RelativeSlopes<B>::RelativeSlopes;

  MERIT_CALLABLE void operator()(Index e) const {
    using Number = typename B::Stat;
    const auto& in = this->a;
    const Index bucket = e / in.shape.heads, head = e % in.shape.heads;
    for (Index row = 0; row < in.q.rows; ++row) {
      const Index token = this->token(row), tree = this->tree_of(token);
      for (Index t = this->forest.tree_begin.data[tree]; t < this->forest.tree_begin.data[tree + 1]; ++t) {
        if (this->bucket(token, t) != bucket) continue;
        const Number dscore = this->dscore(row, t, head);
        for (Index c = 0; c < in.shape.head_dim; ++c) {
          if (!in.position_keys.empty()) {
            this->add(this->head_of(this->b.dposition_keys, bucket, head), c,
                      dscore * number<Number>(this->head_of(in.q, row, head)[c]));
          }
          if (!in.position_queries.empty()) {
            this->add(this->head_of(this->b.dposition_queries, bucket, head), c,
                      dscore * number<Number>(this->head_of(in.k, t, head)[c]));
          }
        }
      }
    }
  }
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
