// Attention over a forest, in tiles: some queries of one segment against some keys of one span of its
// ancestors, then of the segment itself, where the keys of each query end at its own token. The softmax is a
// running one (Milakov & Gimelshein 2018; in tiles Dao et al. 2022), so nothing of the size of queries x keys
// ever exists.
//
// First all keys and values are laid out as the register tile reads them, once, because every query tile
// below them reads them again. The query heads that share a key/value head are rows of the same tile.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "merit/backend/eigen/attention_tiles.hpp"
#include "merit/backend/eigen/gemm.hpp"
#include "merit/backend/eigen/parallel.hpp"
#include "merit/backend/eigen/simd.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// softmax(scale · q · kᵀ) · v over what each token sees; lse may be empty.
template <class T>
void attention(Index threads, const ForestView<HostSpace>& forest, const AttentionShape& shape,
               VectorView<const std::uint32_t> query_tokens, MatrixView<const T> q, MatrixView<const T> k,
               MatrixView<const T> v, MatrixView<T> out, MatrixView<T> lse, T* scratch) {
  using S = Simd<T>;
  using Plan = AttentionPlan<T>;
  const Plan plan(forest, shape);
  T* const keys_transposed = scratch;
  T* const values = keys_transposed + shape.kv_heads * plan.transposed_size;
  T* const tiles = values + shape.kv_heads * plan.straight_size;
  pack_heads_transposed(threads, plan, shape.kv_heads, k, keys_transposed);
  pack_heads_straight(threads, plan, shape.kv_heads, v, values);

  const Index segments = forest.segment_count();
  parallel_items(threads, shape.kv_heads * segments, work_per_thread * threads,
                 [&](Index item, Index thread) {
                   const Index kv_head = item / segments, s = item % segments;
                   T* const rows = tiles + thread * plan.forward_tiles();
                   T* const sums = rows + plan.row_tile();
                   T* const scores = sums + plan.row_tile();
                   T* const largest = scores + Plan::score_tile();
                   T* const weight = largest + Plan::row_numbers();  // the sum of exponentials
                   const TokenRange all{0, plan.tokens};
                   for_each_query_tile(
                       plan, forest, shape, query_tokens, s, all, kv_head, [&](const QueryTile& queries) {
                         gather_tile(plan, queries, q, static_cast<T>(shape.scale), rows);
                         std::fill_n(largest, queries.rows(), -std::numeric_limits<T>::infinity());
                         std::fill_n(weight, queries.rows(), T{0});
                         bool first = true;
                         const auto tile_of_keys = [&](const KeyTile& keys) {
                           score_product(plan, queries, keys, rows,
                                         keys_transposed + kv_head * plan.transposed_size, scores);
                           for (Index r = 0; r < queries.rows(); ++r) {
                             T* const row = scores + r * Plan::score_stride;
                             const TokenRange seen = columns_seen(forest, shape, keys, queries.token(r));
                             if (shape.soft_cap != 0) cap_scores(keys, shape.soft_cap, row);
                             mask(keys, seen, -std::numeric_limits<T>::infinity(), row);
                             Packet<T> top = S::set(largest[r]);
                             for_each_score<T>(keys, [&](Index c) { top = larger(top, S::load(row + c)); });
                             const T new_largest = maximum<T>(top);
                             if (new_largest ==
                                 -std::numeric_limits<T>::infinity()) {  // none of these keys, nor any so far
                               mask(keys, {keys.skip, keys.skip}, T{0}, row);
                               continue;
                             }
                             const Packet<T> shift = S::set(new_largest);
                             for_each_score<T>(keys, [&](Index c) {
                               S::store(row + c, exponential<T>(sub(S::load(row + c), shift)));
                             });
                             mask(keys, seen, T{0}, row);
                             Packet<T> sum = S::set(T{0});
                             for_each_score<T>(keys, [&](Index c) { sum = add(sum, S::load(row + c)); });
                             if (!first && new_largest > largest[r]) {
                               const T fade = std::exp(largest[r] - new_largest);
                               weight[r] *= fade;
                               T* const sum_row = sums + r * plan.padded_dim;
                               for (Index j = 0; j < plan.padded_dim; j += S::width) {
                                 S::store(sum_row + j, mul(S::load(sum_row + j), S::set(fade)));
                               }
                             }
                             largest[r] = new_largest;
                             weight[r] += total<T>(sum);
                           }
                           TileTarget<T> to{sums, plan.padded_dim};
                           to.add = !first;
                           block_product<T, Order::rows>(
                               queries.rows(), plan.padded_dim, keys.count(),
                               {scores + keys.skip, Plan::score_stride, S::tile_rows * Plan::score_stride,
                                values + kv_head * plan.straight_size + keys.begin * plan.padded_dim,
                                plan.padded_dim, S::panel},
                               to);
                           first = false;
                         };
                         for_each_key_tile<T>(forest, shape, s, queries.token(0),
                                              queries.token(queries.rows() - 1), tile_of_keys);
                         for (Index r = 0; r < queries.rows(); ++r) {
                           const Packet<T> factor = S::set(T{1} / weight[r]);
                           T* const to = out.row(queries.query(r)) + queries.head(r) * plan.head_dim;
                           sweep<T>(plan.head_dim, [&](Index j, auto lane) {
                             lane.store(to + j, mul(S::load(sums + r * plan.padded_dim + j), factor));
                           });
                           if (!lse.empty())
                             lse(queries.query(r), queries.head(r)) = largest[r] + std::log(weight[r]);
                         }
                       });
                 });
}

template <class T>
Index attention_scratch(Index threads, const ForestView<HostSpace>& forest, const AttentionShape& shape) {
  const AttentionPlan<T> plan(forest, shape);
  return shape.kv_heads * (plan.transposed_size + plan.straight_size) + threads * plan.forward_tiles();
}

/// The backward pass takes the queries of a long tree in two parts of about the same work: what a query costs
/// grows with its place. Which parts there are depends on the tree alone.
inline constexpr Index query_parts = 2;
inline TokenRange query_part(const ForestView<HostSpace>& forest, Index tree, Index part) {
  constexpr Index long_tree = 1024;
  const Index begin = forest.tree_begin[tree], end = forest.tree_begin[tree + 1];
  const Index border = end - begin < long_tree ? end : begin + (end - begin) * 7 / 10;
  return part == 0 ? TokenRange{begin, border} : TokenRange{border, end};
}

/// One past the last key that queries of a part of a tree see: along paths none behind them.
inline Index seen_end(const AttentionShape& shape, const ForestView<HostSpace>& forest, Index tree,
                      TokenRange part) {
  return shape.sight == Sight::tree ? Index{forest.tree_begin[tree + 1]} : part.end;
}

/// With P = exp(S - lse), S = scale · q · kᵀ:  dV = Pᵀ dO,  dS = P ∘ (dO Vᵀ - rowsum(dO ∘ O)),
/// dQ = scale · dS K,  dK = scale · dSᵀ Q. One thread does a part of a tree's queries and a key/value head and
/// sums their dK and dV, in rows that lie together; then the parts are added. So the order of all sums is one,
/// and a single long tree occupies twice as many threads as it has key/value heads.
template <class T>
void attention_backward(Index threads, const ForestView<HostSpace>& forest, const AttentionShape& shape,
                        VectorView<const std::uint32_t> query_tokens, MatrixView<const T> q,
                        MatrixView<const T> k, MatrixView<const T> v, MatrixView<const T> out,
                        MatrixView<const T> lse, MatrixView<const T> dout, Write write_dq, MatrixView<T> dq,
                        Write write_dkv, MatrixView<T> dk, MatrixView<T> dv, T* scratch) {
  using S = Simd<T>;
  using Plan = AttentionPlan<T>;
  constexpr Index stride = Plan::score_stride;
  const Plan plan(forest, shape);
  const Index width = plan.head_dim;
  T* const keys_transposed = scratch;
  T* const values_transposed = keys_transposed + shape.kv_heads * plan.transposed_size;
  T* const keys_straight = values_transposed + shape.kv_heads * plan.transposed_size;
  T* const dkeys = keys_straight + shape.kv_heads * plan.straight_size;
  T* const dvalues = dkeys + shape.kv_heads * query_parts * plan.straight_size;
  T* const tiles = dvalues + shape.kv_heads * query_parts * plan.straight_size;
  pack_heads_transposed(threads, plan, shape.kv_heads, k, keys_transposed);
  pack_heads_transposed(threads, plan, shape.kv_heads, v, values_transposed);
  pack_heads_straight(threads, plan, shape.kv_heads, k, keys_straight);
  const T scale = static_cast<T>(shape.scale);

  const Index trees = forest.tree_count();
  const Index items = shape.kv_heads * trees * query_parts;
  parallel_items(threads, items, work_per_thread * threads, [&](Index item, Index thread) {
    const Index part = item % query_parts, kv_head = item / query_parts / trees;
    const Index tree = item / query_parts % trees;
    const TokenRange range = query_part(forest, tree, part);
    if (range.begin == range.end) return;
    const Index sums = (kv_head * query_parts + part) * plan.straight_size;
    T* const dkey = dkeys + sums;
    T* const dvalue = dvalues + sums;
    const Index first_key = forest.tree_begin[tree] * plan.padded_dim;
    const Index keys_end = seen_end(shape, forest, tree, range) * plan.padded_dim;
    std::fill(dkey + first_key, dkey + keys_end, T{0});
    std::fill(dvalue + first_key, dvalue + keys_end, T{0});
    T* const rows = tiles + thread * plan.backward_tiles();  // scale · q
    T* const drows = rows + plan.row_tile();
    T* const dqueries = drows + plan.row_tile();
    T* const probabilities = dqueries + plan.row_tile();
    T* const dscores = probabilities + Plan::score_tile();
    T* const log_sums = dscores + Plan::score_tile();
    T* const dots = log_sums + Plan::row_numbers();
    for (Index s = forest.tree_segment_begin[tree]; s < forest.tree_segment_begin[tree + 1]; ++s) {
      for_each_query_tile(
          plan, forest, shape, query_tokens, s, range, kv_head, [&](const QueryTile& queries) {
            const Index count = queries.rows();
            gather_tile(plan, queries, q, scale, rows);
            gather_tile(plan, queries, dout, T{1}, drows);
            for (Index r = 0; r < count; ++r) {
              log_sums[r] = lse(queries.query(r), queries.head(r));
              dots[r] = dot(width, drows + r * plan.padded_dim,
                            out.row(queries.query(r)) + queries.head(r) * width);
            }
            bool first = true;
            const auto tile_of_keys = [&](const KeyTile& keys) {
              score_product(plan, queries, keys, rows, keys_transposed + kv_head * plan.transposed_size,
                            probabilities);
              score_product(plan, queries, keys, drows, values_transposed + kv_head * plan.transposed_size,
                            dscores);
              for (Index r = 0; r < count; ++r) {
                T* const p = probabilities + r * stride;
                T* const ds = dscores + r * stride;
                const Packet<T> log_sum = S::set(log_sums[r]), shift = S::set(dots[r]);
                const TokenRange seen = columns_seen(forest, shape, keys, queries.token(r));
                if (shape.soft_cap != 0) cap_scores_backward(keys, shape.soft_cap, dots[r], p, ds);
                for_each_score<T>(keys, [&](Index c) {
                  const Packet<T> probability = exponential<T>(sub(S::load(p + c), log_sum));
                  S::store(p + c, probability);
                  S::store(ds + c, mul(probability, sub(S::load(ds + c), shift)));
                });
                mask(keys, seen, T{0}, p);
                mask(keys, seen, T{0}, ds);
              }
              TileTarget<T> to_dq{dqueries, plan.padded_dim};
              to_dq.add = !first;
              block_product<T, Order::rows>(
                  count, plan.padded_dim, keys.count(),
                  {dscores + keys.skip, stride, S::tile_rows * stride,
                   keys_straight + kv_head * plan.straight_size + keys.begin * plan.padded_dim,
                   plan.padded_dim, S::panel},
                  to_dq);
              TileTarget<T> to_dk{dkey + keys.begin * plan.padded_dim, plan.padded_dim},
                  to_dv{dvalue + keys.begin * plan.padded_dim, plan.padded_dim};
              to_dk.add = to_dv.add = true;
              block_product<T, Order::columns>(
                  keys.count(), plan.padded_dim, count,
                  {dscores + keys.skip, stride, S::tile_rows, rows, plan.padded_dim, S::panel}, to_dk);
              block_product<T, Order::columns>(
                  keys.count(), plan.padded_dim, count,
                  {probabilities + keys.skip, stride, S::tile_rows, drows, plan.padded_dim, S::panel}, to_dv);
              first = false;
            };
            for_each_key_tile<T>(forest, shape, s, queries.token(0), queries.token(count - 1), tile_of_keys);
            for (Index r = 0; r < count; ++r) {
              T* const to = dq.row(queries.query(r)) + queries.head(r) * width;
              sweep<T>(width, [&](Index j, auto lane) {
                put<T>(lane, to + j, mul(S::load(dqueries + r * plan.padded_dim + j), S::set(scale)),
                       write_dq);
              });
            }
          });
    }
  });
  parallel_ranges(
      threads, plan.tokens, 16, plan.tokens * shape.kv_heads * width, [&](Index begin, Index end) {
        for (Index tree = 0; tree < trees; ++tree) {
          const TokenRange later = query_part(forest, tree, 1);
          const Index tree_end = std::min<Index>(end, forest.tree_begin[tree + 1]);
          for (Index t = std::max<Index>(begin, forest.tree_begin[tree]); t < tree_end; ++t) {
            for (Index kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
              const bool in_first = t < seen_end(shape, forest, tree, query_part(forest, tree, 0));
              const bool in_later = later.begin != later.end;
              const Index first = kv_head * query_parts * plan.straight_size + t * plan.padded_dim;
              const auto put_sum = [&](const T* from, T* to) {
                const T* const earlier_part = from + first;
                const T* const later_part = earlier_part + plan.straight_size;
                sweep<T>(width, [&](Index j, auto lane) {
                  Packet<T> sum = S::load((in_first ? earlier_part : later_part) + j);
                  if (in_first && in_later) sum = add(sum, S::load(later_part + j));
                  put<T>(lane, to + j, sum, write_dkv);
                });
              };
              put_sum(dkeys, dk.row(t) + kv_head * width);
              put_sum(dvalues, dv.row(t) + kv_head * width);
            }
          }
        }
      });
}

template <class T>
Index attention_backward_scratch(Index threads, const ForestView<HostSpace>& forest,
                                 const AttentionShape& shape) {
  const AttentionPlan<T> plan(forest, shape);
  return shape.kv_heads * (2 * plan.transposed_size + (1 + 2 * query_parts) * plan.straight_size) +
         threads * plan.backward_tiles();
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
