// Random forests for tests: lists of sequences with shared prefixes, of any depth, from a seed.
#pragma once

#include <span>
#include <vector>

#include "merit/core/rng.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/forest.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Sizes are drawn uniformly from 1 to the given maximum.
struct RandomForestShape {
  Index groups = 3;
  Index branching = 3;      // branches where a run ends
  Index depth = 3;          // runs on a path
  Index run = 5;            // tokens in a run
  Token vocabulary = 16;    // a small one makes branches agree by accident, which must be shared too
  double inner_end = 0.2;   // how often a sequence also ends where others branch
  double extra_rows = 0.1;  // the fraction of other tokens wanted as rows, beside the last of each sequence
};

struct RandomForest {
  struct Row {
    Index group, sequence, position;
  };
  std::vector<std::vector<std::vector<Token>>> groups;  // [group][sequence][position]
  std::vector<Row> rows;                                // may name a shared token twice

  /// Builds it and asks for its rows. Leaves the builder finished.
  const Forest& build(ForestBuilder& builder) const {
    builder.clear();
    for (const std::vector<std::vector<Token>>& sequences : groups) {
      const std::vector<std::span<const Token>> spans(sequences.begin(), sequences.end());
      builder.add_tree(spans);
    }
    for (const Row& row : rows) builder.want_row(builder.index(row.group, row.sequence, row.position));
    return builder.finish();
  }
};

namespace detail {

inline void grow_random_tree(Rng& rng, const RandomForestShape& shape, Index depth, std::vector<Token> path,
                             std::vector<std::vector<Token>>& sequences) {
  const Index length = 1 + rng.below(shape.run);
  for (Index i = 0; i < length; ++i) path.push_back(static_cast<Token>(rng.below(shape.vocabulary)));
  if (depth <= 1) {
    sequences.push_back(path);
    return;
  }
  if (rng.uniform() < shape.inner_end) sequences.push_back(path);
  const Index branches = 1 + rng.below(shape.branching);
  for (Index b = 0; b < branches; ++b) grow_random_tree(rng, shape, depth - 1, path, sequences);
}

}  // namespace detail

inline RandomForest random_forest(Rng& rng, const RandomForestShape& shape = {}) {
  RandomForest forest;
  forest.groups.resize(1 + rng.below(shape.groups));
  for (Index g = 0; g < forest.groups.size(); ++g) {
    detail::grow_random_tree(rng, shape, 1 + rng.below(shape.depth), {}, forest.groups[g]);
    for (Index s = 0; s < forest.groups[g].size(); ++s) {
      const Index length = forest.groups[g][s].size();
      forest.rows.push_back({g, s, length - 1});
      for (Index p = 0; p + 1 < length; ++p)
        if (rng.uniform() < shape.extra_rows) forest.rows.push_back({g, s, p});
    }
  }
  return forest;
}

}  // namespace MERIT_ABI
}  // namespace merit
