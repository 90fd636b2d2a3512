// Attention over a forest, plain: one query and head, or one key and head, at a time, and nothing is kept of
// the probabilities. Each works on a few columns of its result at once, which it holds beside it.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "merit/backend/thrust/functors/element.hpp"
#include "merit/backend/thrust/functors/paths.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// Columns of a result that are summed at once; a head that is wider computes its scores again for the rest.
inline constexpr Index attention_columns = 64;

template <class T>
MERIT_CALLABLE float dot(const T* a, const T* b, Index count) {
  float sum = 0;
  for (Index i = 0; i < count; ++i) sum += number<float>(a[i]) * number<float>(b[i]);
  return sum;
}

/// A score under a soft cap, or as it is where there is none; and its slope.
struct CappedScore {
  float value;
  float slope = 1;

  MERIT_CALLABLE CappedScore(float score, double soft_cap) : value(score) {
    if (soft_cap == 0) return;
    const float cap = static_cast<float>(soft_cap), share = std::tanh(score / cap);
    value = cap * share;
    slope = 1 - share * share;
  }
};

/// softmax(scale · q · kᵀ) · v of one query and head, with a running maximum (Milakov & Gimelshein 2018).
template <class B>
struct AttentionQuery {
  AttentionArguments<B> a;
  ForestView<DeviceSpace> forest;  // a's own is where only the host sees it

  MERIT_CALLABLE void operator()(Index e) const {
    const AttentionShape& shape = a.shape;
    const Index row = e / shape.heads, head = e % shape.heads, width = shape.head_dim;
    const Index token = a.query_tokens.empty() ? row : a.query_tokens.data[row];
    const Index kv_column = head / (shape.heads / shape.kv_heads) * width;
    const float scale = static_cast<float>(shape.scale);
    const auto* const query = a.q.row(row) + head * width;

    for (Index begin = 0; begin < width; begin += attention_columns) {
      const Index count = width - begin < attention_columns ? width - begin : attention_columns;
      float sums[attention_columns] = {};
      float largest = -std::numeric_limits<float>::infinity(), total = 0;
      for_each_seen(forest, shape, token, [&](Index t) {
        const float score =
            CappedScore(scale * dot(query, a.k.row(t) + kv_column, width), shape.soft_cap).value;
        if (score > largest) {  // what was summed is relative to the largest
          const float shrink = std::exp(largest - score);
          total *= shrink;
          for (Index c = 0; c < count; ++c) sums[c] *= shrink;
          largest = score;
        }
        const float weight = std::exp(score - largest);
        const auto* const value = a.v.row(t) + kv_column + begin;
        total += weight;
        for (Index c = 0; c < count; ++c) sums[c] += weight * number<float>(value[c]);
      });
      auto* const out = a.out.row(row) + head * width + begin;
      for (Index c = 0; c < count; ++c) put(out[c], sums[c] / total, Write::assign);
      if (begin == 0 && !a.lse.empty()) a.lse.row(row)[head] = largest + std::log(total);
    }
  }
};

/// scratch[row · heads + head] = dO · O, which the gradients of every score of that row take off.
template <class B>
struct AttentionOutputDot {
  AttentionBackwardArguments<B> a;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index row = e / a.shape.heads, column = e % a.shape.heads * a.shape.head_dim;
    a.scratch.data[e] = dot(a.dout.row(row) + column, a.out.row(row) + column, a.shape.head_dim);
  }
};

/// P and dS of one query, key and head: dS = scale · P · (dO · V − dO · O), P = exp(scale · q · k − lse).
template <class B>
struct ScoreGradient {
  float probability;
  float dscore;

  MERIT_CALLABLE ScoreGradient(const AttentionBackwardArguments<B>& a, Index row, Index head, Index t) {
    const Index width = a.shape.head_dim, kv_column = head / (a.shape.heads / a.shape.kv_heads) * width;
    const float scale = static_cast<float>(a.shape.scale);
    const CappedScore score(scale * dot(a.q.row(row) + head * width, a.k.row(t) + kv_column, width),
                            a.shape.soft_cap);
    const float dprobability = dot(a.dout.row(row) + head * width, a.v.row(t) + kv_column, width);
    probability = std::exp(score.value - a.lse.row(row)[head]);
    dscore = scale * score.slope * probability * (dprobability - a.scratch.data[row * a.shape.heads + head]);
  }
};

/// dQ = dS · K of one query and head.
template <class B>
struct AttentionBackwardQuery {
  AttentionBackwardArguments<B> a;
  ForestView<DeviceSpace> forest;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index row = e / a.shape.heads, head = e % a.shape.heads, width = a.shape.head_dim;
    const Index token = a.query_tokens.empty() ? row : a.query_tokens.data[row];
    const Index kv_column = head / (a.shape.heads / a.shape.kv_heads) * width;
    for (Index begin = 0; begin < width; begin += attention_columns) {
      const Index count = width - begin < attention_columns ? width - begin : attention_columns;
      float sums[attention_columns] = {};
      for_each_seen(forest, a.shape, token, [&](Index t) {
        const float dscore = ScoreGradient<B>(a, row, head, t).dscore;
        const auto* const key = a.k.row(t) + kv_column + begin;
        for (Index c = 0; c < count; ++c) sums[c] += dscore * number<float>(key[c]);
      });
      auto* const dq = a.dq.row(row) + head * width + begin;
      for (Index c = 0; c < count; ++c) put(dq[c], sums[c], a.write_dq);
    }
  }
};

/// dK = dSᵀ · Q and dV = Pᵀ · dO of one key and its heads: over the queries that see it, heads within.
template <class B>
struct AttentionBackwardKey {
  AttentionBackwardArguments<B> a;
  ForestView<DeviceSpace> forest;

  MERIT_CALLABLE void operator()(Index e) const {
    const Index t = e / a.shape.kv_heads, kv_head = e % a.shape.kv_heads, width = a.shape.head_dim;
    const Index group = a.shape.heads / a.shape.kv_heads;
    const IndexRange rows = a.query_tokens.empty() ? seers_of(forest, t, a.shape.sight)
                                                   : seen_by(forest, a.query_tokens, t, a.shape.sight);
    for (Index begin = 0; begin < width; begin += attention_columns) {
      const Index count = width - begin < attention_columns ? width - begin : attention_columns;
      float dkey[attention_columns] = {}, dvalue[attention_columns] = {};
      for (Index row = rows.begin; row < rows.end; ++row) {
        const Index token = a.query_tokens.empty() ? row : a.query_tokens.data[row];
        if (!a.shape.reaches(forest.positions.data[token], forest.positions.data[t])) continue;
        for (Index head = kv_head * group; head < (kv_head + 1) * group; ++head) {
          const ScoreGradient<B> of(a, row, head, t);
          const auto* const query = a.q.row(row) + head * width + begin;
          const auto* const dout = a.dout.row(row) + head * width + begin;
          for (Index c = 0; c < count; ++c) {
            dkey[c] += of.dscore * number<float>(query[c]);
            dvalue[c] += of.probability * number<float>(dout[c]);
          }
        }
      }
      for (Index c = 0; c < count; ++c) {
        put(a.dk.row(t)[kv_head * width + begin + c], dkey[c], a.write_dkv);
        put(a.dv.row(t)[kv_head * width + begin + c], dvalue[c], a.write_dkv);
      }
    }
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
