// How the records of a step are cut into micro-batches, and which rank computes which.
#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/forest/pack_by_budget.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The micro-batches of a step, those of rank 0 first.
struct MicroBatches {
  std::vector<Index> records;  // numbers within the step, batch after batch
  std::vector<Index> cuts;     // batch m has the records [cuts[m], cuts[m + 1])
  std::vector<Index> ranks;    // rank r computes the batches [ranks[r], ranks[r + 1])

  std::span<const Index> batch(Index m) const {
    return std::span<const Index>(records).subspan(cuts[m], cuts[m + 1] - cuts[m]);
  }
};

/// Whose work is `cost` tokens of each record, in batches of at most `budget`. Every rank computes the same.
///
/// For one rank, or with `fixed` cuts, the records stay in order and the cuts are those of any number of ranks: each gets
/// a run of batches. Otherwise each record goes, the longest first, to the rank with the least to do (Graham 1969), so
/// that all have about the same.
inline void cut_step(std::span<const Index> costs, Index budget, Index ranks, bool fixed, MicroBatches& out) {
  out.records.resize(costs.size());
  std::iota(out.records.begin(), out.records.end(), Index{0});
  out.ranks.assign(1, 0);
  const Index total = std::accumulate(costs.begin(), costs.end(), Index{0});
  if (ranks == 1 || fixed) {
    pack_by_budget(costs, budget, out.cuts);
    const Index batches = out.cuts.size() - 1;
    Index done = 0;
    for (Index m = 0; m < batches; ++m) {
      Index cost = 0;
      for (const Index record : out.batch(m)) cost += costs[record];
      // A batch belongs to the rank in whose share of all tokens its middle lies.
      const Index rank =
          total == 0
              ? 0
              : std::min(ranks - 1,
                         static_cast<Index>((2.0 * static_cast<double>(done) + static_cast<double>(cost)) *
                                            static_cast<double>(ranks) / (2.0 * static_cast<double>(total))));
      while (out.ranks.size() <= rank) out.ranks.push_back(m);
      done += cost;
    }
    out.ranks.resize(ranks + 1, batches);
    return;
  }
  std::stable_sort(out.records.begin(), out.records.end(),
                   [&](Index a, Index b) { return costs[a] > costs[b]; });
  std::vector<std::vector<Index>> of_rank(ranks);
  std::vector<Index> load(ranks);
  for (const Index record : out.records) {
    const auto least = static_cast<Index>(std::min_element(load.begin(), load.end()) - load.begin());
    of_rank[least].push_back(record);
    load[least] += costs[record];
  }
  out.records.clear();
  out.cuts.assign(1, 0);
  std::vector<Index> own_costs, own_cuts;
  for (std::vector<Index>& own : of_rank) {
    std::sort(own.begin(), own.end());
    own_costs.clear();
    for (const Index record : own) own_costs.push_back(costs[record]);
    pack_by_budget(own_costs, budget, own_cuts);
    for (Index m = 1; m < own_cuts.size(); ++m) out.cuts.push_back(out.records.size() + own_cuts[m]);
    out.records.insert(out.records.end(), own.begin(), own.end());
    out.ranks.push_back(out.cuts.size() - 1);
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
