// The tiles of attention over a forest: which queries and keys are taken together, where everything lies in the
// scratch of one call, and what is done to one tile of scores.
#pragma once

#include <algorithm>
#include <cstdint>

#include "merit/backend/eigen/gemm.hpp"
#include "merit/backend/eigen/parallel.hpp"
#include "merit/backend/eigen/simd.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/buffer.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// Sizes of the tiles, and where everything lies in the scratch of one call.
template <class T>
struct AttentionPlan {
  static constexpr Index panel = Simd<T>::panel;
  static constexpr Index tile_rows = 48;                        // queries x heads: whole register tiles
  static constexpr Index tile_keys = 256;                       // whole panels
  static constexpr Index score_stride = tile_keys + 2 * panel;  // room to read and write past the last key
  static_assert(tile_rows % Simd<T>::tile_rows == 0 && tile_keys % panel == 0);

  AttentionPlan(const ForestView<HostSpace>& forest, const AttentionShape& shape)
      : tokens(forest.token_count()),
        head_dim(shape.head_dim),
        padded_dim((shape.head_dim + Simd<T>::width - 1) / Simd<T>::width * Simd<T>::width),
        panels((tokens + panel - 1) / panel),
        heads_per_tile(std::min(shape.heads / shape.kv_heads, tile_rows)),
        queries_per_tile(tile_rows / heads_per_tile),
        transposed_size(aligned_count<T>(panels * panel * head_dim)),
        straight_size(aligned_count<T>(tokens * padded_dim)) {}

  /// One tile of rows of width head_dim, one of scores, one number for each row.
  Index row_tile() const { return aligned_count<T>(tile_rows * padded_dim); }
  static Index score_tile() { return aligned_count<T>(tile_rows * score_stride); }
  static Index row_numbers() { return aligned_count<T>(tile_rows); }

  /// Forward, per thread: queries, output, scores, largest score, sum.
  Index forward_tiles() const { return 2 * row_tile() + score_tile() + 2 * row_numbers(); }
  /// Backward, per thread: queries, dout, dq, probabilities, their gradients, lse, rowsum(dout ∘ out).
  Index backward_tiles() const { return 3 * row_tile() + 2 * score_tile() + 2 * row_numbers(); }

  Index tokens, head_dim, padded_dim, panels, heads_per_tile, queries_per_tile;
  Index transposed_size, straight_size;  // of one head's keys or values
};

/// The column block of one head, for each head, in panels as a right operand: (head_dim, tokens) transposed.
template <class T>
void pack_heads_transposed(Index threads, const AttentionPlan<T>& plan, Index kv_heads, MatrixView<const T> x,
                           T* to) {
  constexpr Index panel = AttentionPlan<T>::panel;
  parallel_ranges(threads, kv_heads * plan.panels, 1, x.rows * x.cols, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index head = i / plan.panels, p = i % plan.panels;
      pack_transposed<panel>(std::min(panel, plan.tokens - p * panel), plan.head_dim,
                             x.row(p * panel) + head * plan.head_dim, x.stride,
                             to + head * plan.transposed_size + p * panel * plan.head_dim);
    }
  });
}

/// The column block of one head, for each head, as (tokens, padded_dim).
template <class T>
void pack_heads_straight(Index threads, const AttentionPlan<T>& plan, Index kv_heads, MatrixView<const T> x,
                         T* to) {
  parallel_ranges(threads, x.rows, 1, x.rows * x.cols, [&](Index begin, Index end) {
    for (Index t = begin; t < end; ++t) {
      for (Index head = 0; head < kv_heads; ++head) {
        const T* const from = x.row(t) + head * plan.head_dim;
        T* const row = to + head * plan.straight_size + t * plan.padded_dim;
        sweep<T>(plan.head_dim, [&](Index j, auto lane) { Simd<T>::store(row + j, lane.load(from + j)); });
      }
    }
  });
}

/// Some queries of one segment, for some query heads of one key/value head. Row r of the tile is query
/// first + r / heads, head first_head + r % heads.
struct QueryTile {
  Index first, count;       // rows of q
  Index first_head, heads;  // query heads
  VectorView<const std::uint32_t> tokens;

  Index rows() const { return count * heads; }
  Index query(Index row) const { return first + row / heads; }
  Index head(Index row) const { return first_head + row % heads; }
  Index token(Index row) const { return tokens.empty() ? query(row) : Index{tokens[query(row)]}; }
};

/// Tokens [begin, end).
struct TokenRange {
  Index begin, end;
};

/// Calls f(tile) for the queries of segment s that are in `range`, and the query heads of kv_head.
template <class T, class F>
void for_each_query_tile(const AttentionPlan<T>& plan, const ForestView<HostSpace>& forest,
                         const AttentionShape& shape, VectorView<const std::uint32_t> tokens, Index s,
                         TokenRange range, Index kv_head, F&& f) {
  Index begin = std::max<Index>(range.begin, forest.segment_begin[s]);
  Index end = std::max(begin, std::min<Index>(range.end, forest.segment_begin[s + 1]));
  if (!tokens.empty()) {
    begin = static_cast<Index>(std::lower_bound(tokens.begin(), tokens.end(), begin) - tokens.begin());
    end = static_cast<Index>(std::lower_bound(tokens.begin() + begin, tokens.end(), end) - tokens.begin());
  }
  const Index group = shape.heads / shape.kv_heads;
  for (Index head = 0; head < group; head += plan.heads_per_tile) {
    const Index heads = std::min(plan.heads_per_tile, group - head);
    for (Index query = begin; query < end; query += plan.queries_per_tile) {
      f(QueryTile{query, std::min(plan.queries_per_tile, end - query), kv_head * group + head, heads,
                  tokens});
    }
  }
}

/// Keys [begin, end) as columns [skip, skip + end - begin) of a tile of scores whose column 0 is key
/// `origin`, where a panel begins. They lie on one path, so their positions follow each other.
struct KeyTile {
  Index origin, skip, begin, end;
  bool triangle;  // the keys are of the queries' own segment: each query sees those up to itself

  Index count() const { return end - begin; }
};

/// Of keys [begin, end) on one path, those less than `window` positions away from queries at positions `first` to
/// `last`; all where it is 0.
inline TokenRange keys_near(const ForestView<HostSpace>& forest, TokenRange keys, Index window, Index first,
                            Index last) {
  if (window == 0 || keys.begin >= keys.end) return keys;
  const Index position = forest.positions[keys.begin];
  // The keys of positions [low, high), counted from the first of them.
  const Index low = first + 1 > window + position ? first + 1 - window - position : 0;
  const Index high = last + window > position ? last + window - position : 0;
  const Index begin = std::min(keys.begin + low, keys.end);
  return {begin, std::clamp(keys.begin + high, begin, keys.end)};
}

/// The columns of a tile that the query at `token` sees.
inline TokenRange columns_seen(const ForestView<HostSpace>& forest, const AttentionShape& shape,
                               const KeyTile& keys, Index token) {
  TokenRange seen{keys.begin, keys.triangle ? std::clamp(token + 1, keys.begin, keys.end) : keys.end};
  if (shape.window != 0) {
    seen = keys_near(forest, seen, shape.window, forest.positions[token], forest.positions[token]);
  }
  return {seen.begin - keys.origin, seen.end - keys.origin};
}

/// Calls f(tile) for all keys that some query of segment s from `first_token` to `last_token` sees, nearest the root
/// first.
template <class T, class F>
void for_each_key_tile(const ForestView<HostSpace>& forest, const AttentionShape& shape, Index s,
                       Index first_token, Index last_token, F&& f) {
  constexpr Index panel = AttentionPlan<T>::panel, tile_keys = AttentionPlan<T>::tile_keys;
  const auto visit = [&](Index first_key, Index past_key, bool triangle) {
    auto [begin, end] = keys_near(forest, {first_key, past_key}, shape.window, forest.positions[first_token],
                                  forest.positions[last_token]);
    while (begin < end) {
      const Index origin = begin / panel * panel, tile_end = std::min(end, origin + tile_keys);
      f(KeyTile{origin, begin - origin, begin, tile_end, triangle});
      begin = tile_end;
    }
  };
  if (shape.sight == Sight::tree) {  // which is this segment
    return visit(forest.segment_begin[s], forest.segment_begin[s + 1], false);
  }
  for (Index a = forest.segment_span_begin[s]; a < forest.segment_span_begin[s + 1]; ++a) {
    visit(forest.span_begin[a], forest.span_end[a], false);
  }
  visit(forest.segment_begin[s], last_token + 1, true);
}

/// tile (rows, padded_dim) = factor · the rows' heads of x.
template <class T>
void gather_tile(const AttentionPlan<T>& plan, const QueryTile& queries, MatrixView<const T> x, T factor,
                 T* tile) {
  for (Index r = 0; r < queries.rows(); ++r, tile += plan.padded_dim) {
    const T* const from = x.row(queries.query(r)) + queries.head(r) * plan.head_dim;
    sweep<T>(plan.head_dim, [&](Index j, auto lane) {
      Simd<T>::store(tile + j, mul(lane.load(from + j), Simd<T>::set(factor)));
    });
  }
}

/// scores (rows, keys) = rows · transposedᵀ, transposed being one head of pack_heads_transposed.
template <class T>
void score_product(const AttentionPlan<T>& plan, const QueryTile& queries, const KeyTile& keys, const T* rows,
                   const T* transposed, T* scores) {
  constexpr Index panel = AttentionPlan<T>::panel, stride = AttentionPlan<T>::score_stride;
  constexpr Index width = Simd<T>::width, height = Simd<T>::tile_rows;
  // Whole packets: the panels go on past the last key.
  const Index columns = (keys.end - keys.origin + width - 1) / width * width;
  block_product<T, Order::rows>(queries.rows(), columns, plan.head_dim,
                                {rows, plan.padded_dim, height * plan.padded_dim,
                                 transposed + keys.origin * plan.head_dim, panel, panel * plan.head_dim},
                                {scores, stride});
}

/// Calls f(column) for whole packets over the columns of a tile that hold keys; the last may go past them.
template <class T, class F>
void for_each_score(const KeyTile& keys, F&& f) {
  for (Index c = 0; c < keys.count(); c += Simd<T>::width) f(keys.skip + c);
}

/// Overwrites the columns of a row of scores that are not seen, to the end of the last packet.
template <class T>
void mask(const KeyTile& keys, TokenRange seen, T value, T* row) {
  constexpr Index width = Simd<T>::width;
  const Index end = keys.skip + (keys.count() + width - 1) / width * width;
  std::fill(row + keys.skip, row + seen.begin, value);
  std::fill(row + seen.end, row + end, value);
}

/// A row of scores under a soft cap.
template <class T>
void cap_scores(const KeyTile& keys, double soft_cap, T* row) {
  const Packet<T> cap = Simd<T>::set(static_cast<T>(soft_cap));
  const Packet<T> share = Simd<T>::set(static_cast<T>(1 / soft_cap));
  for_each_score<T>(keys, [&](Index c) {
    Simd<T>::store(row + c, mul(cap, hyperbolic_tangent<T>(mul(share, Simd<T>::load(row + c)))));
  });
}

/// The same, and the differences of dscores from `shift` by the cap's slopes.
template <class T>
void cap_scores_backward(const KeyTile& keys, double soft_cap, T shift, T* row, T* dscores) {
  cap_scores(keys, soft_cap, row);
  const Packet<T> one = Simd<T>::set(T{1}), from = Simd<T>::set(shift);
  const Packet<T> share = Simd<T>::set(static_cast<T>(1 / soft_cap));
  for_each_score<T>(keys, [&](Index c) {
    const Packet<T> tangent = mul(share, Simd<T>::load(row + c));
    const Packet<T> slope = sub(one, mul(tangent, tangent));
    Simd<T>::store(dscores + c, fma(sub(Simd<T>::load(dscores + c), from), slope, from));
  });
}

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
