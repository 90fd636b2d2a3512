// Pairs of a chosen and a rejected completion.
#pragma once

#include <cstdint>
#include <vector>

#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Pairs of rows. A row may take part in any number of pairs.
struct PairTargets {
  struct Pair {
    std::uint32_t chosen = 0;
    std::uint32_t rejected = 0;
    double margin = 0;      // by how much the chosen one should win, in scores
    double weight = 1;      // of this pair among all
    double soft_label = 1;  // probability that `chosen` is the better one; a tie is 0.5

    MERIT_CALLABLE Index size() const { return 2; }
    MERIT_CALLABLE ScorePlace place(Index j) const { return {j == 0 ? chosen : rejected, 0}; }
  };
  std::vector<Pair> pairs;

  void clear() { pairs.clear(); }

  using View = UnitList<Pair>;
  View view() const { return {pairs.data(), pairs.size()}; }

  Index unit_count() const { return pairs.size(); }
  const Pair& unit(Index i) const { return pairs[i]; }
  /// Of all pairs together.
  double weight() const {
    double sum = 0;
    for (const Pair& pair : pairs) sum += pair.weight;
    return sum;
  }
};

}  // namespace MERIT_ABI
}  // namespace merit
