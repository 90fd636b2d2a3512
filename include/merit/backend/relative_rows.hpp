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

/// Columns of a result that are summed at once; of a wider head the scores are computed again for the rest.
inline constexpr Index relative_columns = 64;

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
    constexpr Index columns = relative_columns;
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
  /// Calls visit(first column, how many) until all columns of a head are done.
  template <class Visit>
  MERIT_CALLABLE void for_each_columns(const Visit& visit) const {
    const Index width = this->a.shape.head_dim;
    for (Index first = 0; first < width; first += relative_columns)
      visit(first, width - first < relative_columns ? width - first : relative_columns);
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
    this->for_each_columns([&](Index first, Index count) {
      Number sums[relative_columns] = {};
      for (Index t = this->forest.tree_begin.data[tree]; t < this->forest.tree_begin.data[tree + 1]; ++t) {
        const Number dscore = this->dscore(row, t, head);
        const auto* const key = this->head_of(in.k, t, head) + first;
        for (Index c = 0; c < count; ++c) sums[c] += dscore * number<Number>(key[c]);
        if (in.position_keys.empty()) continue;
        const auto* const place = this->head_of(in.position_keys, this->bucket(token, t), head) + first;
        for (Index c = 0; c < count; ++c) sums[c] += dscore * number<Number>(place[c]);
      }
      auto* const dq = this->head_of(this->b.dq, row, head) + first;
      for (Index c = 0; c < count; ++c) put_number(dq[c], sums[c], Write::add);
    });
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
    const Index begin = this->row_from(this->forest.tree_begin.data[tree]);
    const Index end = this->row_from(this->forest.tree_begin.data[tree + 1]);
    this->for_each_columns([&](Index first, Index count) {
      Number of_key[relative_columns] = {}, of_value[relative_columns] = {};
      for (Index row = begin; row < end; ++row) {
        const Number dscore = this->dscore(row, key, head), probability = this->probability(row, key, head);
        const auto* const q = this->head_of(in.q, row, head) + first;
        const auto* const dout = this->head_of(this->b.dout, row, head) + first;
        for (Index c = 0; c < count; ++c) {
          of_key[c] += dscore * number<Number>(q[c]);
          of_value[c] += probability * number<Number>(dout[c]);
        }
        if (in.position_queries.empty()) continue;
        const auto* const place =
            this->head_of(in.position_queries, this->bucket(this->token(row), key), head) + first;
        for (Index c = 0; c < count; ++c) of_key[c] += dscore * number<Number>(place[c]);
      }
      auto* const dk = this->head_of(this->b.dk, key, head) + first;
      auto* const dv = this->head_of(this->b.dv, key, head) + first;
      for (Index c = 0; c < count; ++c) {
        put_number(dk[c], of_key[c], Write::add);
        put_number(dv[c], of_value[c], Write::add);
      }
    });
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
    this->for_each_columns([&](Index first, Index count) {
      Number of_keys[relative_columns] = {}, of_queries[relative_columns] = {};
      for (Index row = 0; row < in.q.rows; ++row) {
        const Index token = this->token(row), tree = this->tree_of(token);
        for (Index t = this->forest.tree_begin.data[tree]; t < this->forest.tree_begin.data[tree + 1]; ++t) {
          if (this->bucket(token, t) != bucket) continue;
          const Number dscore = this->dscore(row, t, head);
          const auto* const q = this->head_of(in.q, row, head) + first;
          const auto* const k = this->head_of(in.k, t, head) + first;
          for (Index c = 0; c < count; ++c) {
            of_keys[c] += dscore * number<Number>(q[c]);
            of_queries[c] += dscore * number<Number>(k[c]);
          }
        }
      }
      for (Index c = 0; c < count; ++c) {
        if (!in.position_keys.empty())
          put_number(this->head_of(this->b.dposition_keys, bucket, head)[first + c], of_keys[c], Write::add);
        if (!in.position_queries.empty())
          put_number(this->head_of(this->b.dposition_queries, bucket, head)[first + c], of_queries[c],
                     Write::add);
      }
    });
  }
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
