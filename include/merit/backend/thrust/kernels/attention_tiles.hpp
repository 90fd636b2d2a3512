// Which tiles of keys each tile of queries has to look at. A batch's lists are made once, on the host, and serve every
// layer and head, forward and backward.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/forest_view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

/// Queries or keys in a tile of the lists.
inline constexpr Index attention_tile = 64;

/// The lists of all tiles of one side, as kernels read them.
struct TileLists {
  Index tiles = 0;
  const std::uint32_t* begin = nullptr;    // (tiles + 1) into entries
  const std::uint32_t* entries = nullptr;  // 2 · tile of the other side, ascending; 1 more where all see all
  const std::uint32_t* order = nullptr;    // (tiles) the longest list first, so that no block is late
  const std::uint32_t* bounds = nullptr;   // (2 · tiles) the least and the largest position in each
  const std::uint32_t* other_bounds = nullptr;  // the same of the other side's tiles
};

/// The same on the host.
struct HostTileLists {
  std::vector<std::uint32_t> begin, entries, order, bounds;
};

/// Both sides: the keys that each tile of queries sees along its paths, and the queries that see each tile of keys.
class AttentionTiles {
 public:
  /// For the queries of these tokens, ascending; with none given, of all tokens. Memory is kept from call to call.
  void build(const ForestView<HostSpace>& forest, VectorView<const std::uint32_t> query_tokens) {
    const Index tokens = forest.token_count();
    const Index queries = query_tokens.empty() ? tokens : query_tokens.size;
    const auto token = [&](Index query) { return query_tokens.empty() ? query : Index{query_tokens[query]}; };
    pairs_.assign((tokens + attention_tile - 1) / attention_tile, 0);
    of_queries_.begin.assign(1, 0);
    of_queries_.entries.clear();
    Index segment = 0;
    for (Index first = 0; first < queries; first += attention_tile) {
      const Index last = std::min(first + attention_tile, queries);
      seen_.clear();
      for (Index query = first; query < last;) {
        while (forest.segment_begin[segment + 1] <= token(query)) ++segment;
        Index end = query + 1;  // the queries of this segment
        while (end < last && token(end) < forest.segment_begin[segment + 1]) ++end;
        for (Index span = forest.segment_span_begin[segment]; span < forest.segment_span_begin[segment + 1];
             ++span)
          count_all(forest.span_begin[span], forest.span_end[span], end - query);
        // Of their own segment they all see what lies before the first of them, and each itself and what is between.
        count_all(forest.segment_begin[segment], token(query), end - query);
        for (Index i = query; i < end; ++i) count_all(token(query), token(i) + 1, 1);
        query = end;
      }
      std::sort(seen_.begin(), seen_.end());
      for (const std::uint32_t tile : seen_) {
        const Index keys = std::min(attention_tile, tokens - tile * attention_tile);
        // Where keys are missing at the end, the kernel must mask them.
        const bool all = keys == attention_tile && pairs_[tile] == (last - first) * keys;
        of_queries_.entries.push_back(2 * tile + (all ? 1 : 0));
        pairs_[tile] = 0;
      }
      of_queries_.begin.push_back(static_cast<std::uint32_t>(of_queries_.entries.size()));
    }
    transpose();
    sort_by_length(of_queries_);
    sort_by_length(of_keys_);
    find_bounds(of_queries_.bounds, queries, [&](Index query) { return forest.positions[token(query)]; });
    find_bounds(of_keys_.bounds, tokens, [&](Index key) { return forest.positions[key]; });
  }

  const HostTileLists& of_queries() const { return of_queries_; }
  const HostTileLists& of_keys() const { return of_keys_; }

 private:
  /// `queries` queries see all keys of [begin, end).
  void count_all(Index begin, Index end, Index queries) {
    for (Index tile = begin / attention_tile; tile * attention_tile < end; ++tile) {
      const Index from = std::max(begin, tile * attention_tile),
                  to = std::min(end, (tile + 1) * attention_tile);
      if (from >= to) continue;
      if (pairs_[tile] == 0) seen_.push_back(static_cast<std::uint32_t>(tile));
      pairs_[tile] += queries * (to - from);
    }
  }

  void transpose() {
    std::vector<std::uint32_t>& begin = of_keys_.begin;
    begin.assign(pairs_.size() + 1, 0);
    for (const std::uint32_t entry : of_queries_.entries) ++begin[entry / 2 + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    of_keys_.entries.resize(of_queries_.entries.size());
    for (std::uint32_t tile = 0; tile + 1 < of_queries_.begin.size(); ++tile)
      for (Index i = of_queries_.begin[tile]; i < of_queries_.begin[tile + 1]; ++i) {
        const std::uint32_t entry = of_queries_.entries[i];
        of_keys_.entries[begin[entry / 2]++] = 2 * tile + entry % 2;
      }
    std::rotate(begin.begin(), begin.end() - 1, begin.end());  // each has become the next one's
    begin.front() = 0;
  }

  static void sort_by_length(HostTileLists& lists) {
    lists.order.resize(lists.begin.size() - 1);
    std::iota(lists.order.begin(), lists.order.end(), 0u);
    const auto length = [&](std::uint32_t tile) { return lists.begin[tile + 1] - lists.begin[tile]; };
    std::sort(lists.order.begin(), lists.order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return length(a) != length(b) ? length(a) > length(b) : a < b;
    });
  }

  /// A window leaves out tiles by them, whatever it is: lists are made before a layer is asked for its own.
  template <class Position>
  static void find_bounds(std::vector<std::uint32_t>& bounds, Index count, const Position& position) {
    bounds.clear();
    for (Index first = 0; first < count; first += attention_tile) {
      std::uint32_t least = position(first), most = least;
      for (Index i = first + 1; i < std::min(first + attention_tile, count); ++i) {
        least = std::min(least, position(i));
        most = std::max(most, position(i));
      }
      bounds.push_back(least);
      bounds.push_back(most);
    }
  }

  HostTileLists of_queries_, of_keys_;
  std::vector<Index> pairs_;  // of the tile of queries at hand: pairs that see each other, by tile of keys
  std::vector<std::uint32_t> seen_;  // the tiles of keys that have any
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
