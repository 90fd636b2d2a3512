// Rankings of several completions of one prompt, and their expansion into balanced pairs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/loss/margin.hpp"
#include "merit/loss/pairwise_loss.hpp"

namespace merit::inline MERIT_ABI {

/// Groups of rows, one group a prompt, one row a completion, best first.
struct RankingTargets {
  struct Item {
    std::uint32_t row = 0;
    Index rank = 0;     // 0 is best; equal ranks are a tie
    double rating = 0;  // for margins by rating; 0 where there are none
  };
  struct Group {
    Index begin = 0;  // into items
    Index end = 0;
    double weight = 1;
    Index size() const { return end - begin; }
  };
  std::vector<Item> items;
  std::vector<Group> groups;

  void clear() {
    items.clear();
    groups.clear();
  }

  std::span<const Item> items_of(const Group& group) const {
    return std::span(items).subspan(group.begin, group.size());
  }

  /// One prompt: begin_group(), append() each completion, end_group(), which puts the best first. A rank is
  /// any number of which a smaller one is better.
  void begin_group(double weight = 1) { groups.push_back({items.size(), items.size(), weight}); }
  void append(const Item& item) { items.push_back(item); }
  void end_group() {
    groups.back().end = items.size();
    // By insertion: it keeps the order of ties, and groups are small. (std::stable_sort would ask for
    // memory.)
    for (Index i = groups.back().begin + 1; i < items.size(); ++i) {
      for (Index j = i; j > groups.back().begin && items[j].rank < items[j - 1].rank; --j) {
        std::swap(items[j], items[j - 1]);
      }
    }
  }

  /// The same of whole lists. `ratings` may be empty.
  void add(std::span<const std::uint32_t> rows, std::span<const Index> ranks, double weight = 1,
           std::span<const double> ratings = {}) {
    if (ranks.size() != rows.size()) {
      throw DataError(detail::concat("a ranking has ", rows.size(), " completions and ", ranks.size(),
                                     " ranks, expected as many"));
    }
    if (!ratings.empty() && ratings.size() != rows.size()) {
      throw DataError(detail::concat("a ranking has ", rows.size(), " completions and ", ratings.size(),
                                     " ratings, expected as many or none"));
    }
    begin_group(weight);
    for (Index i = 0; i < rows.size(); ++i) append({rows[i], ranks[i], ratings.empty() ? 0.0 : ratings[i]});
    end_group();
  }
};

/// Appends to `pairs` every pair of a better and a worse completion of each group, each of weight
/// 1 / C(K, 2) times the group's, so that a prompt weighs the same whatever K (Ouyang et al. 2022). With
/// PairwiseLoss that is L = Σ over prompts of 1/C(K, 2) Σ softplus(−Δ), over Σ weights. Ties are left out:
/// they are no preference, and a prompt weighs less by their share of its pairs. Returns how many there were.
///
/// `margin` gets the ratings and, as strength, by how many ranks the one is better.
template <margin_function Margin = NoMargin>
Index append_balanced_pairs(const RankingTargets& rankings, PairTargets& pairs, const Margin& margin = {}) {
  Index ties = 0;
  for (const RankingTargets::Group& group : rankings.groups) {
    const auto items = rankings.items_of(group);
    const auto size = static_cast<double>(items.size());
    const double weight = group.weight / (size * (size - 1) / 2);
    for (Index i = 0; i < items.size(); ++i) {
      for (Index j = i + 1; j < items.size(); ++j) {
        if (items[i].rank == items[j].rank) {
          ++ties;
          continue;
        }
        const double by = margin(MarginInput{.chosen_rating = items[i].rating,
                                             .rejected_rating = items[j].rating,
                                             .strength = items[j].rank - items[i].rank});
        pairs.pairs.push_back({items[i].row, items[j].row, by, weight, 1});
      }
    }
  }
  return ties;
}

}  // namespace merit::inline MERIT_ABI
