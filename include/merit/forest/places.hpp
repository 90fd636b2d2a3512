// Where the tokens of a forest stand in a table of positions that does not count one of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "merit/core/version.hpp"
#include "merit/forest/forest_view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The places of a forest whose trees do not branch, as transformers makes them of RoBERTa's token ids (cumsum of
/// ids ≠ pad): a pad, which may stand inside a text, has the row of its own number, the others count from the row
/// behind it, without pads. Empty where there is no pad: then they are the positions, from that row on.
inline void set_places(const ForestView<HostSpace>& forest, Token pad, std::vector<std::uint32_t>& places) {
  places.clear();
  const auto* const begin = forest.tokens.data;
  if (std::find(begin, begin + forest.tokens.size, pad) == begin + forest.tokens.size) return;
  for (Index tree = 0; tree < forest.tree_count(); ++tree) {
    std::uint32_t place = pad;
    for (Index t = forest.tree_begin[tree]; t < forest.tree_begin[tree + 1]; ++t) {
      places.push_back(forest.tokens[t] == pad ? pad : ++place);
    }
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
