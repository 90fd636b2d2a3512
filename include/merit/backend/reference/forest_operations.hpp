// The reference bodies of the operations that follow the paths of a forest: attention and the mean over a
// path. Each works on one wanted token at a time and visits its ancestors from the root down, so a token's
// numbers do not depend on what else is in the forest.
#pragma once

#include <algorithm>
#include <cmath>

#include "merit/backend/operations.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Calls visit(k) for every token k that token q sees: its ancestors from the root down, then itself.
template <class Visit>
void for_each_on_path(const ForestView<HostSpace>& forest, Index q, Visit visit) {
  const std::uint32_t* tree = std::upper_bound(forest.tree_begin.begin(), forest.tree_begin.end(), q) - 1;
  Index k = *tree;
  while (k <= q) {
    if (q < forest.subtree_end[k]) {
      visit(k);
      ++k;
    } else {
      k = forest.subtree_end[k];  // a branch that q is not on
    }
  }
}

/// Calls visit(k) for every token k that token q attends to, ascending.
template <class Visit>
void for_each_seen(const ForestView<HostSpace>& forest, const AttentionShape& shape, Index q, Visit visit) {
  const auto visit_near = [&](Index k) {
    if (shape.reaches(forest.positions[q], forest.positions[k])) visit(k);
  };
  if (shape.sight == Sight::path) return for_each_on_path(forest, q, visit_near);
  const std::uint32_t* tree = std::upper_bound(forest.tree_begin.begin(), forest.tree_begin.end(), q) - 1;
  for (Index k = tree[0]; k < tree[1]; ++k) visit_near(k);
}

/// A score under a soft cap, or as it is where there is none; and its slope.
template <class T>
struct CappedScore {
  CappedScore(T score, double soft_cap) : value(score) {
    if (soft_cap == 0) return;
    const T cap = static_cast<T>(soft_cap), share = std::tanh(score / cap);
    value = cap * share;
    slope = T{1} - share * share;
  }

  T value;
  T slope = 1;
};

template <class T>
T dot(const T* a, const T* b, Index count) {
  T sum = 0;
  for (Index i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

template <class T>
void set_zero(MatrixView<T> m) {
  for (Index i = 0; i < m.rows; ++i) std::fill_n(m.row(i), m.cols, T{0});
}

/// softmax(scale · q · kᵀ) · v over what each token sees. `scratch` holds the scores of one query. An empty lse is left
/// out.
template <class B>
void attention(const AttentionArguments<B>& a) {
  using T = typename B::Stat;
  const Index width = a.shape.head_dim;
  const T scale = static_cast<T>(a.shape.scale);
  for (Index row = 0; row < a.q.rows; ++row) {
    const Index token = a.query_tokens.empty() ? row : a.query_tokens[row];
    for (Index head = 0; head < a.shape.heads; ++head) {
      const Index kv_head = head / (a.shape.heads / a.shape.kv_heads);
      const T* query = a.q.row(row) + head * width;
      T* result = a.out.row(row) + head * width;

      Index length = 0;
      for_each_seen(a.forest, a.shape, token, [&](Index t) {
        const T score = scale * dot(query, a.k.row(t) + kv_head * width, width);
        a.scratch[length++] = CappedScore<T>(score, a.shape.soft_cap).value;
      });
      const T largest = *std::max_element(a.scratch.data, a.scratch.data + length);
      T sum = 0;
      for (Index i = 0; i < length; ++i) {
        a.scratch[i] = std::exp(a.scratch[i] - largest);
        sum += a.scratch[i];
      }

      std::fill_n(result, width, T{0});
      Index i = 0;
      for_each_seen(a.forest, a.shape, token, [&](Index t) {
        const T probability = a.scratch[i++] / sum;
        const T* value = a.v.row(t) + kv_head * width;
        for (Index c = 0; c < width; ++c) result[c] += probability * value[c];
      });
      if (!a.lse.empty()) a.lse(row, head) = largest + std::log(sum);
    }
  }
}

/// With P = softmax(S), S = scale · q · kᵀ:  dV = Pᵀ dO,  dS = P ∘ (dO Vᵀ − rowsum(dO ∘ O)),
/// dQ = scale · dS K,  dK = scale · dSᵀ Q. P is recomputed from lse, as in FlashAttention (Dao et al. 2022).
template <class B>
void attention_backward(const AttentionBackwardArguments<B>& a) {
  using T = typename B::Stat;
  const Index width = a.shape.head_dim;
  const T scale = static_cast<T>(a.shape.scale);
  if (a.write_dq == Write::assign) set_zero(a.dq);
  if (a.write_dkv == Write::assign) {
    set_zero(a.dk);
    set_zero(a.dv);
  }
  for (Index row = 0; row < a.q.rows; ++row) {
    const Index token = a.query_tokens.empty() ? row : a.query_tokens[row];
    for (Index head = 0; head < a.shape.heads; ++head) {
      const Index kv_column = head / (a.shape.heads / a.shape.kv_heads) * width;
      const T* query = a.q.row(row) + head * width;
      const T* dresult = a.dout.row(row) + head * width;
      T* dquery = a.dq.row(row) + head * width;
      const T dot_result = dot(dresult, a.out.row(row) + head * width, width);

      for_each_seen(a.forest, a.shape, token, [&](Index t) {
        const T* key = a.k.row(t) + kv_column;
        const T* value = a.v.row(t) + kv_column;
        T* dkey = a.dk.row(t) + kv_column;
        T* dvalue = a.dv.row(t) + kv_column;
        const CappedScore<T> score(scale * dot(query, key, width), a.shape.soft_cap);
        const T probability = std::exp(score.value - a.lse(row, head));
        const T dscore = scale * score.slope * probability * (dot(dresult, value, width) - dot_result);
        for (Index c = 0; c < width; ++c) {
          dvalue[c] += probability * dresult[c];
          dkey[c] += dscore * query[c];
          dquery[c] += dscore * key[c];
        }
      });
    }
  }
}

/// out[r] = the mean of x over the path from the root to the r-th wanted token.
template <class T>
void path_mean(const ForestView<HostSpace>& forest, MatrixView<const T> x, MatrixView<T> out) {
  for (Index r = 0; r < forest.row_count(); ++r) {
    const Index token = forest.rows[r];
    T* mean = out.row(r);
    std::fill_n(mean, out.cols, T{0});
    for_each_on_path(forest, token, [&](Index t) {
      for (Index c = 0; c < out.cols; ++c) mean[c] += x(t, c);
    });
    const T length = static_cast<T>(forest.positions[token]) + T{1};
    for (Index c = 0; c < out.cols; ++c) mean[c] /= length;
  }
}

template <class T>
void path_mean_backward(const ForestView<HostSpace>& forest, MatrixView<const T> dout, Write write,
                        MatrixView<T> dx) {
  if (write == Write::assign) set_zero(dx);
  for (Index r = 0; r < forest.row_count(); ++r) {
    const Index token = forest.rows[r];
    const T length = static_cast<T>(forest.positions[token]) + T{1};
    for_each_on_path(forest, token, [&](Index t) {
      for (Index c = 0; c < dout.cols; ++c) dx(t, c) += dout(r, c) / length;
    });
  }
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
