// What dropout knows each token of a forest by: a function of the run's seed, the step, and the tokens from the root of its
// tree to it, of which there are as many as it is deep. So a token drops the same elements whichever completions share
// it, whatever else is in its batch, and wherever it lies there.
#pragma once

#include <cstdint>
#include <vector>

#include "merit/backend/dropout.hpp"
#include "merit/forest/forest_view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// `keys` becomes the keys of a forest's tokens, then those of its wanted rows.
inline void dropout_keys(const ForestView<HostSpace>& forest, std::uint64_t seed, std::uint64_t step,
                         std::vector<std::uint64_t>& keys) {
  keys.clear();
  keys.reserve(forest.token_count() + forest.row_count());
  const std::uint64_t root = mixed(mixed(seed) + step);
  std::vector<std::uint64_t> path(forest.depth);  // the keys of the tokens above, by depth
  for (Index t = 0; t < forest.token_count(); ++t) {
    const Index depth = forest.positions[t];
    const std::uint64_t above = depth == 0 ? root : path[depth - 1];
    path[depth] = mixed(above + (std::uint64_t{forest.tokens[t]} + 1) * 0x9E3779B97F4A7C15u);
    keys.push_back(path[depth]);
  }
  for (Index r = 0; r < forest.row_count(); ++r) keys.push_back(keys[forest.rows[r]]);
}

}  // namespace MERIT_ABI
}  // namespace merit
