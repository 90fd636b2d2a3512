// Disentangled attention: of each head the scores of a tree as one dense matrix, and the parts that depend on distance as
// products with the tables of positions, whose columns are then picked by bucket. One thread does a head, tree by tree, so
// that the gradients of the tables are sums in one order.
#pragma once

#include <algorithm>
#include <cmath>

#include "merit/backend/eigen/parallel.hpp"
#include "merit/backend/eigen/simd.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

template <class T>
using DenseMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using DenseMap = Eigen::Map<DenseMatrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class T>
using ConstDenseMap = Eigen::Map<const DenseMatrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;

/// A view as Eigen has it.
template <class T>
DenseMap<T> dense(MatrixView<T> m) {
  return {m.data, static_cast<Eigen::Index>(m.rows), static_cast<Eigen::Index>(m.cols),
          Eigen::OuterStride<>(static_cast<Eigen::Index>(m.stride))};
}
template <class T>
ConstDenseMap<T> dense(MatrixView<const T> m) {
  return {m.data, static_cast<Eigen::Index>(m.rows), static_cast<Eigen::Index>(m.cols),
          Eigen::OuterStride<>(static_cast<Eigen::Index>(m.stride))};
}

/// Working space of one thread: scores and their slopes (D, D), and both tables' parts (D, P).
template <class T>
Index relative_scratch_of_thread(const ForestView<HostSpace>& forest, Index buckets) {
  return aligned_count<T>(2 * forest.depth * forest.depth + 2 * forest.depth * buckets);
}
template <class T>
Index relative_scratch(Index threads, const ForestView<HostSpace>& forest, Index buckets) {
  return threads * relative_scratch_of_thread<T>(forest, buckets);
}

/// One head of one tree: its queries (m), keys (n), and matrices in the working space of a thread.
template <class B>
struct RelativeTile {
  using T = typename B::Stat;
  using Matrix = MatrixView<T>;
  using ConstMatrix = MatrixView<const T>;

  Index first_row, rows, first_key, keys, column, width, depth;
  const RelativeAttentionArguments<B>* a;
  Matrix scores, slopes;       // (m, n)
  Matrix of_keys, of_queries;  // (m, P), (n, P): the parts by distance

  ConstMatrix of_rows(ConstMatrix x) const { return x.row_block(first_row, rows).col_block(column, width); }
  Matrix of_rows(Matrix x) const { return x.row_block(first_row, rows).col_block(column, width); }
  ConstMatrix of_tree(ConstMatrix x) const { return x.row_block(first_key, keys).col_block(column, width); }
  Matrix of_tree(Matrix x) const { return x.row_block(first_key, keys).col_block(column, width); }
  template <class View>
  View of_table(View x) const {
    return x.col_block(column, width);
  }
  Index bucket(Index i, Index j) const {
    const Index token = a->query_tokens.empty() ? first_row + i : Index{a->query_tokens[first_row + i]};
    return a->buckets[depth - 1 + token - (first_key + j)];
  }

  void compute_scores() const {
    const bool keys_by_place = !a->position_keys.empty(), queries_by_place = !a->position_queries.empty();
    dense(scores).noalias() = dense(of_rows(a->q)) * dense(of_tree(a->k)).transpose();
    if (keys_by_place)
      dense(of_keys).noalias() = dense(of_rows(a->q)) * dense(of_table(a->position_keys)).transpose();
    if (queries_by_place)
      dense(of_queries).noalias() = dense(of_tree(a->k)) * dense(of_table(a->position_queries)).transpose();
    const T scale = static_cast<T>(a->shape.scale);
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < keys; ++j) {
        const Index b = bucket(i, j);
        T sum = scores(i, j);
        if (keys_by_place) sum += of_keys(i, b);
        if (queries_by_place) sum += of_queries(j, b);
        scores(i, j) = scale * sum;
      }
    }
  }
};

/// Calls f(tile) for every tree of every head.
template <class B, class F>
void for_each_relative_tile(Index threads, const RelativeAttentionArguments<B>& a, const F& f) {
  using T = typename B::Stat;
  const ForestView<HostSpace>& forest = a.forest;
  const Index buckets = std::max(a.position_keys.rows, a.position_queries.rows);
  const Index room = relative_scratch_of_thread<T>(forest, buckets), depth = forest.depth;
  parallel_items(threads, a.shape.heads, work_per_thread * threads, [&](Index head, Index thread) {
    T* const scratch = a.scratch.data + thread * room;
    T* const tables = scratch + 2 * depth * depth;
    Index row = 0;
    for (Index tree = 0; tree < forest.tree_count(); ++tree) {
      const Index begin = forest.tree_begin[tree], end = forest.tree_begin[tree + 1], n = end - begin;
      const Index first_row = row;
      const auto token = [&](Index r) { return a.query_tokens.empty() ? r : Index{a.query_tokens[r]}; };
      while (row < a.q.rows && token(row) < end) ++row;
      const Index m = row - first_row;
      if (m == 0) continue;
      f(head, RelativeTile<B>{first_row,
                              m,
                              begin,
                              n,
                              head * a.shape.head_dim,
                              a.shape.head_dim,
                              depth,
                              &a,
                              {scratch, m, n},
                              {scratch + depth * depth, m, n},
                              {tables, m, buckets},
                              {tables + depth * buckets, n, buckets}});
    }
  });
}

template <class B>
void relative_attention(Index threads, const RelativeAttentionArguments<B>& a) {
  for_each_relative_tile(threads, a, [&](Index head, const RelativeTile<B>& tile) {
    using T = typename B::Stat;
    tile.compute_scores();
    for (Index i = 0; i < tile.rows; ++i) {
      T* const row = tile.scores.row(i);
      const T largest = *std::max_element(row, row + tile.keys);
      T sum = 0;
      for (Index j = 0; j < tile.keys; ++j) sum += row[j] = std::exp(row[j] - largest);
      for (Index j = 0; j < tile.keys; ++j) row[j] /= sum;
      a.lse(tile.first_row + i, head) = largest + std::log(sum);
    }
    dense(tile.of_rows(a.out)).noalias() = dense(tile.scores) * dense(tile.of_tree(a.v));
  });
}

template <class B>
void relative_attention_backward(Index threads, const RelativeAttentionBackwardArguments<B>& b) {
  const RelativeAttentionArguments<B>& a = b.forward;
  for_each_relative_tile(threads, a, [&](Index head, const RelativeTile<B>& tile) {
    using T = typename B::Stat;
    tile.compute_scores();
    dense(tile.slopes).noalias() = dense(tile.of_rows(b.dout)) * dense(tile.of_tree(a.v)).transpose();
    const auto out = tile.of_rows(MatrixView<const T>(a.out)), dout = tile.of_rows(b.dout);
    for (Index i = 0; i < tile.rows; ++i) {
      const T mean = dot(tile.width, dout.row(i), out.row(i)), lse = a.lse(tile.first_row + i, head);
      for (Index j = 0; j < tile.keys; ++j) {
        T& probability = tile.scores(i, j);
        probability = std::exp(probability - lse);
        tile.slopes(i, j) = static_cast<T>(a.shape.scale) * probability * (tile.slopes(i, j) - mean);
      }
    }
    const auto q = dense(tile.of_rows(a.q)), k = dense(tile.of_tree(a.k));
    auto dq = dense(tile.of_rows(b.dq)), dk = dense(tile.of_tree(b.dk));
    dense(tile.of_tree(b.dv)).noalias() += dense(tile.scores).transpose() * dense(dout);
    dq.noalias() += dense(tile.slopes) * k;
    dk.noalias() += dense(tile.slopes).transpose() * q;
    // What each bucket's column got, and back through the products with the tables.
    const auto gather = [&](MatrixView<T> sums, auto&& row_of) {
      for (Index i = 0; i < sums.rows; ++i) std::fill_n(sums.row(i), sums.cols, T{0});
      for (Index i = 0; i < tile.rows; ++i)
        for (Index j = 0; j < tile.keys; ++j) sums(row_of(i, j), tile.bucket(i, j)) += tile.slopes(i, j);
    };
    if (!a.position_keys.empty()) {
      gather(tile.of_keys, [](Index i, Index) { return i; });
      dq.noalias() += dense(tile.of_keys) * dense(tile.of_table(a.position_keys));
      dense(tile.of_table(b.dposition_keys)).noalias() += dense(tile.of_keys).transpose() * q;
    }
    if (!a.position_queries.empty()) {
      gather(tile.of_queries, [](Index, Index j) { return j; });
      dk.noalias() += dense(tile.of_queries) * dense(tile.of_table(a.position_queries));
      dense(tile.of_table(b.dposition_queries)).noalias() += dense(tile.of_queries).transpose() * k;
    }
  });
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
