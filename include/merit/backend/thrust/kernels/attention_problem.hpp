// What the kernels of attention share: what they are given, which tokens see a key, and the tiles that a block works on.
//
// A kernel is compiled for all that attention can be, windows, soft caps, whole trees, of which it is told at run time, and
// where that is run most for plain attention alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "merit/backend/thrust/kernels/attention_tiles.hpp"
#include "merit/backend/thrust/kernels/block.hpp"
#include "merit/backend/thrust/kernels/tile_product.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace kernels {

inline constexpr float log2_of_e = 1.44269504f;
inline constexpr float ln_of_2 = 0.693147181f;
inline constexpr float infinity = std::numeric_limits<float>::infinity();
/// A window that leaves nothing out, the token of a query that is not there, the end of what is seen by all.
inline constexpr std::uint32_t no_limit = 0xFFFFFFFFu;

/// Who sees a key: the tokens of [begin, end) at a position below `far`.
struct Seers {
  std::uint32_t begin, end;
  std::uint32_t far = no_limit;

  template <bool plain>
  MERIT_KERNEL bool hold(std::uint32_t token, std::uint32_t position) const {
    return begin <= token && token < end && (plain || position < far);
  }
};

/// Whether plain attention (a token sees its path, scores stay as they are) has kernels of its own: in bfloat16 and up to a
/// width of 128, as most models train. Elsewhere they would run seldom, and take long to compile.
template <class T, int width>
inline constexpr bool has_plain_kernels = (width <= 128) && std::is_same_v<T, Bf16>;

/// What all kernels of attention are given. Q queries, T tokens, H heads of dh = head_dim.
template <class T>
struct AttentionProblem {
  Index queries = 0, tokens = 0;
  int heads = 1, kv_heads = 1, head_dim = 1;
  float scale = 1;                              // above 0
  const std::uint32_t* query_tokens = nullptr;  // (Q) ascending; optional: then query i is token i
  const std::uint32_t* subtree_end = nullptr;   // (T)
  Rows<const T> q;                              // (Q, H·dh)
  Rows<const T> k;                              // (T, Hkv·dh)
  Rows<const T> v;                              // (T, Hkv·dh)

  // Where attention is not plain.
  const std::uint32_t* positions = nullptr;  // (T) tokens from the root of a tree
  std::uint32_t window = no_limit;           // keys this many positions away or more are not seen
  float soft_cap = 0;                        // a score s becomes soft_cap · tanh(s / soft_cap); 0: it stays
  bool whole_trees = false;                  // a token sees all of its tree, which does not branch

  MERIT_KERNEL int kv_head(int head) const { return head / (heads / kv_heads); }
  MERIT_KERNEL Rows<const T> q_of(int head) const { return {q.data + head * head_dim, q.stride}; }
  MERIT_KERNEL Rows<const T> k_of(int head) const { return {k.data + kv_head(head) * head_dim, k.stride}; }
  MERIT_KERNEL Rows<const T> v_of(int head) const { return {v.data + kv_head(head) * head_dim, v.stride}; }

  /// The token of a query; of one that is not there, a token that sees nothing.
  template <class Block>
  MERIT_KERNEL std::uint32_t token(Block& block, Index query) const {
    if (query >= queries) return no_limit;
    return query_tokens == nullptr ? static_cast<std::uint32_t>(query) : block.load(query_tokens + query);
  }
  /// The position of a query's token, which may be one that is not there; plain attention does not ask.
  template <bool plain, class Block>
  MERIT_KERNEL std::uint32_t position(Block& block, std::uint32_t token) const {
    return plain || token == no_limit ? 0 : block.load(positions + token);
  }
  /// Who sees a key; none where it is not there, or not `asked` for.
  template <bool plain, class Block>
  MERIT_KERNEL Seers seers(Block& block, std::uint32_t key, bool asked = true) const {
    if (!asked || key >= tokens) return {key, 0};
    const std::uint32_t end = block.load(subtree_end + key);
    if (plain) return {key, end};
    const std::uint32_t from_root = block.load(positions + key);
    if (!whole_trees) return {key, end, from_root + smaller(window, no_limit - from_root)};
    return {key - smaller(from_root, window - 1), key + smaller(end - key, window)};
  }

  /// What turns a score under the cap, or without one q · k, into the power of two whose share is its probability.
  template <bool plain>
  MERIT_KERNEL float factor() const {
    return log2_of_e * (plain || soft_cap == 0 ? scale : soft_cap);
  }
  /// Caps scores in units of the cap, which factor() is for.
  template <int rows, int columns>
  MERIT_KERNEL void cap(Fragment<rows, columns>& scores) const {
    const float inner = scale / soft_cap;
    MERIT_UNROLL
    for (int r = 0; r < rows; ++r) {
      MERIT_UNROLL
      for (int n = 0; n < columns; ++n) {
        MERIT_UNROLL
        for (int i = 0; i < 4; ++i) scores.value[r][n][i] = std::tanh(scores.value[r][n][i] * inner);
      }
    }
  }
};

/// What a block of a grid of tiles · heads works on: a head, the rows of its tile from `first` on, and the tiles on the
/// other side that it looks at, each in `steps` steps of `rows` rows. Those are the tile's list, or under whole trees all
/// from one to another.
template <class T, int steps, bool plain>
class BlockTile {
 public:
  static constexpr int rows = static_cast<int>(attention_tile) / steps;

  Index first;
  int head;

  /// Of a grid of the queries' tiles.
  template <class Block>
  MERIT_KERNEL static BlockTile of_queries(Block& block, const TileLists& lists,
                                           const AttentionProblem<T>& p) {
    BlockTile tile(block, lists, p, p.heads);
    if (!plain && p.whole_trees) {
      const Index end = smaller(tile.first + attention_tile, p.queries);
      const auto same = [](std::uint32_t token) { return token; };
      tile.take_trees(block, p.token(block, tile.first), p.token(block, end - 1), same);
    }
    return tile;
  }
  /// Of a grid of the keys' tiles.
  template <class Block>
  MERIT_KERNEL static BlockTile of_keys(Block& block, const TileLists& lists, const AttentionProblem<T>& p) {
    BlockTile tile(block, lists, p, p.kv_heads);
    if (!plain && p.whole_trees) {
      const Index end = smaller(tile.first + attention_tile, p.tokens);
      const auto query_from = [&](std::uint32_t token) {
        if (p.query_tokens == nullptr) return token;
        return static_cast<std::uint32_t>(first_not_below(block, p.query_tokens, p.queries, token));
      };
      tile.take_trees(block, static_cast<std::uint32_t>(tile.first), static_cast<std::uint32_t>(end - 1),
                      query_from);
    }
    return tile;
  }

  /// Whether, of a step's rows and the block's, all see all.
  template <class Block>
  MERIT_KERNEL bool is_full(Block& block, int step) const {
    const int i = step / steps;
    if constexpr (plain) {
      return block.load(lists_.entries + begin_ + i) % 2 == 1;
    } else {
      const std::uint32_t other = tile(block, i);
      const bool all = p_.whole_trees ? full_begin_ <= other && other < full_end_
                                      : block.load(lists_.entries + begin_ + i) % 2 == 1;
      return all && (p_.window == no_limit || farthest(bounds(block), other_bounds(block, i)) < p_.window);
    }
  }
  /// The first row on the other side of a step.
  template <class Block>
  MERIT_KERNEL std::uint32_t other(Block& block, int step) const {
    return tile(block, step / steps) * of_tile + static_cast<std::uint32_t>(step % steps * rows);
  }
  /// Steps over the tiles on the other side.
  MERIT_KERNEL int count() const { return length_ * steps; }
  /// The first step from `step` on whose tile the window reaches, or count(). The lanes of a warp look at a tile each, for
  /// those in reach may be far apart.
  template <class Block>
  MERIT_KERNEL int next(Block& block, int step) const {
    if (plain || p_.window == no_limit) return step;
    const int from = step / steps;
    int reached = length_;
    for (int i = from; i < length_ && reached == length_; i += warp_size) {
      const int own = i + block.thread() % warp_size;
      if (own < length_ && nearest(bounds(block), other_bounds(block, own)) < p_.window) reached = own;
      MERIT_UNROLL
      for (int mask = warp_size / 2; mask > 0; mask /= 2)
        reached = smaller(reached, block.exchange(reached, mask));
    }
    return reached == from && from < length_ ? step : reached * steps;
  }

 private:
  static constexpr auto of_tile = static_cast<std::uint32_t>(attention_tile);
  /// The least and the largest position in a tile.
  struct Bounds {
    std::uint32_t least, most;
  };

  template <class Block>
  MERIT_KERNEL BlockTile(Block& block, const TileLists& lists, const AttentionProblem<T>& p, int heads)
      : lists_(lists), p_(p) {
    const auto number = static_cast<std::uint32_t>(block.column());
    const std::uint32_t tile = block.load(lists.order + number / static_cast<std::uint32_t>(heads));
    begin_ = block.load(lists.begin + tile);
    first = Index{tile} * attention_tile;
    head = static_cast<int>(number % static_cast<std::uint32_t>(heads));
    length_ = static_cast<int>(block.load(lists.begin + tile + 1) - begin_);
  }

  /// The tiles with what the trees of the tokens from `low` to `high`, which are the block's, have on the other side.
  template <class Block, class Place>
  MERIT_KERNEL void take_trees(Block& block, std::uint32_t low, std::uint32_t high, const Place& place) {
    const std::uint32_t tree = low - block.load(p_.positions + low);
    const std::uint32_t begin = place(tree), end = place(block.load(p_.subtree_end + high));
    begin_ = begin / of_tile;
    length_ = begin < end ? static_cast<int>((end - 1) / of_tile - begin_ + 1) : 0;
    const bool one = tree == high - block.load(p_.positions + high);
    full_begin_ = (begin + of_tile - 1) / of_tile;
    full_end_ = one ? end / of_tile : 0;
  }

  /// The number of the other side's tile i.
  template <class Block>
  MERIT_KERNEL std::uint32_t tile(Block& block, int i) const {
    const std::uint32_t at = begin_ + static_cast<std::uint32_t>(i);
    return !plain && p_.whole_trees ? at : block.load(lists_.entries + at) / 2;
  }
  template <class Block>
  MERIT_KERNEL static Bounds load(Block& block, const std::uint32_t* bounds) {
    return {block.load(bounds), block.load(bounds + 1)};
  }
  template <class Block>
  MERIT_KERNEL Bounds bounds(Block& block) const {
    return load(block, lists_.bounds + 2 * (first / attention_tile));
  }
  template <class Block>
  MERIT_KERNEL Bounds other_bounds(Block& block, int i) const {
    return load(block, lists_.other_bounds + 2 * tile(block, i));
  }
  /// How far positions of two tiles are apart: at least, and at most.
  MERIT_KERNEL static std::uint32_t nearest(Bounds a, Bounds b) {
    return a.least > b.most ? a.least - b.most : b.least > a.most ? b.least - a.most : 0;
  }
  MERIT_KERNEL static std::uint32_t farthest(Bounds a, Bounds b) {
    return (a.most > b.most ? a.most : b.most) - smaller(a.least, b.least);
  }

  const TileLists& lists_;
  const AttentionProblem<T>& p_;
  int length_;                                   // tiles on the other side
  std::uint32_t begin_;                          // in the entries; under whole trees the first tile
  std::uint32_t full_begin_ = 0, full_end_ = 0;  // under whole trees: tiles that all see, and that see all
};

}  // namespace kernels
}  // namespace MERIT_ABI
}  // namespace merit
