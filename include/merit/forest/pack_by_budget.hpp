// Micro-batches under a token budget. A forest has no padding, so what a micro-batch costs is the sum of its
// records' tokens, and cutting the list where the budget is full is all that packing is.
#pragma once

#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Cuts records, in their given order, into consecutive groups whose costs (tokens after sharing) sum to at
/// most `budget`; a record that alone exceeds it stands alone. Group g holds the records [cuts[g], cuts[g +
/// 1]). The storage of `cuts` is reused. Throws ConfigError for a budget of 0.
inline void pack_by_budget(std::span<const Index> costs, Index budget, std::vector<Index>& cuts) {
  if (budget == 0) throw ConfigError("packing: the token budget is 0, expected at least 1.");
  cuts.clear();
  cuts.push_back(0);
  Index filled = 0;
  for (Index i = 0; i < costs.size(); ++i) {
    const bool fits = costs[i] <= budget && filled <= budget - costs[i];
    if (i > cuts.back() && !fits) {
      cuts.push_back(i);
      filled = 0;
    }
    filled += costs[i];
  }
  if (!costs.empty()) cuts.push_back(costs.size());
}

/// The same, in a vector of its own.
inline std::vector<Index> pack_by_budget(std::span<const Index> costs, Index budget) {
  std::vector<Index> cuts;
  pack_by_budget(costs, budget, cuts);
  return cuts;
}

}  // namespace MERIT_ABI
}  // namespace merit
