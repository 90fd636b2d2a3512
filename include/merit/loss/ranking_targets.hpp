// Rankings of several completions of one prompt.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Groups of rows, one group a prompt, one row a completion, best first.
struct RankingTargets {
  struct Item {
    std::uint32_t row = 0;
    Index rank = 0;  // 0 is best; equal ranks are a tie
  };
  struct Group {
    Index begin = 0;  // into items
    Index end = 0;
    double weight = 1;
    MERIT_CALLABLE Index size() const { return end - begin; }
  };
  /// A group as a term reads it. One of fewer than two says nothing and is not counted.
  struct Unit {
    const Item* items = nullptr;  // (count), best first
    Index count = 0;
    double weight = 1;

    MERIT_CALLABLE Index size() const { return count < 2 ? 0 : count; }
    MERIT_CALLABLE ScorePlace place(Index j) const { return {items[j].row, 0}; }
    /// Behind the last item that ties with item `begin`.
    MERIT_CALLABLE Index end_of_tie(Index begin) const {
      Index end = begin + 1;
      while (end < count && items[end].rank == items[begin].rank) ++end;
      return end;
    }
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

  /// The same lists, wherever they are.
  struct View {
    const Item* items = nullptr;
    Index item_count = 0;
    const Group* groups = nullptr;
    Index group_count = 0;

    MERIT_CALLABLE Index unit_count() const { return group_count; }
    MERIT_CALLABLE Unit unit(Index i) const {
      return {items + groups[i].begin, groups[i].size(), groups[i].weight};
    }
    template <class F>
    void for_each_list(const F& f) {
      f(items, item_count);
      f(groups, group_count);
    }
  };
  View view() const { return {items.data(), items.size(), groups.data(), groups.size()}; }

  Index unit_count() const { return groups.size(); }
  Unit unit(Index i) const { return view().unit(i); }
  /// Of all groups that count.
  double weight() const {
    double sum = 0;
    for (const Group& group : groups) {
      if (group.size() >= 2) sum += group.weight;
    }
    return sum;
  }

  /// One prompt: begin_group(), append() each completion, end_group(), which puts the best first. A rank is
  /// any number of which a smaller one is better.
  void begin_group(double weight = 1) { groups.push_back({items.size(), items.size(), weight}); }
  void append(const Item& item) { items.push_back(item); }
  void end_group() {
    groups.back().end = items.size();
    const auto begin = items.begin() + static_cast<std::ptrdiff_t>(groups.back().begin);
    if (groups.back().size() > 64) {
      std::stable_sort(begin, items.end(), [](const Item& a, const Item& b) { return a.rank < b.rank; });
      return;
    }
    // By insertion: it keeps the order of ties, and std::stable_sort would ask for memory.
    for (Index i = groups.back().begin + 1; i < items.size(); ++i) {
      for (Index j = i; j > groups.back().begin && items[j].rank < items[j - 1].rank; --j) {
        std::swap(items[j], items[j - 1]);
      }
    }
  }

  /// The same of whole lists.
  void add(std::span<const std::uint32_t> rows, std::span<const Index> ranks, double weight = 1) {
    if (ranks.size() != rows.size()) {
      throw DataError(concat("a ranking has ", rows.size(), " completions and ", ranks.size(),
                             " ranks, expected as many"));
    }
    begin_group(weight);
    for (Index i = 0; i < rows.size(); ++i) append({rows[i], ranks[i]});
    end_group();
  }
};

}  // namespace MERIT_ABI
}  // namespace merit
