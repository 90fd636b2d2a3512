// What a backend sees of a token forest: raw views of its geometry. The owner is Forest in forest/forest.hpp,
// which derives all of it once when a batch is built.
//
// A forest is a list of token trees in depth-first preorder. Token q sees token k exactly when
//   k <= q && q < subtree_end[k],
// which is causal attention along the path from the root to q. A *segment* is a maximal run of tokens without
// a branch; the ancestors of all its tokens outside the segment are the same few contiguous *spans*, so
// attention is dense products over spans plus one triangle, and no T x T matrix or mask exists anywhere.
#pragma once

#include <cstdint>

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a token sees: the tokens on its path up to itself, or every token of its tree, which then is a single
/// sequence.
enum class Sight : std::uint8_t { path, tree };

template <class Space = HostSpace>
struct ForestView {
  using Indices = VectorView<const std::uint32_t, Space>;

  Indices tokens;         // (T)    vocabulary ids
  Indices positions;      // (T)    depth in the tree: the position in the unshared sequence
  Indices subtree_end;    // (T)    one past the last descendant
  Indices rows;           // (R)    the tokens whose hidden rows are wanted, ascending, without repeats
  Indices row_positions;  // (R)  positions[rows[r]]
  Indices row_roots;      // (R)  the first token of the tree of each row
  Indices places;  // (T)  rows of a backbone's table of positions, where they are not `positions`; else empty
  Indices types;   // (T)    which segment of a pair a token is of, 0 or 1: what encoders embed beside it

  Indices tree_begin;          // (N+1)  first token of each tree; the last entry is T
  Indices tree_segment_begin;  // (N+1)  first segment of each tree; the last entry is S
  Indices segment_begin;       // (S+1)  first token of each segment; the last entry is T
  Indices segment_span_begin;  // (S+1)  first ancestor span of each segment
  Indices span_begin;          // (A)    ancestor spans, nearest the root first: tokens [span_begin, span_end)
  Indices span_end;            // (A)

  MatrixView<const float, Space>
      features;  // (R, width) vectors computed elsewhere, for the Features backbone

  Index depth = 0;  // tokens of the longest path: one more than the largest position

  Index token_count() const { return tokens.size; }
  Index row_count() const { return rows.size; }
  Index tree_count() const { return tree_begin.size == 0 ? 0 : tree_begin.size - 1; }
  Index segment_count() const { return segment_begin.size == 0 ? 0 : segment_begin.size - 1; }
};

}  // namespace MERIT_ABI
}  // namespace merit
