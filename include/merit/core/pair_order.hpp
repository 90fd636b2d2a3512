// In how many pairs of items two numbers agree, without looking at every pair.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// All n·(n−1)/2 pairs of items with two numbers each, by how the numbers order them.
struct PairOrder {
  Index agree = 0;        // both the same way
  Index disagree = 0;     // one each way
  Index tied_first = 0;   // equal in the first alone
  Index tied_second = 0;  // equal in the second alone
  Index tied_both = 0;

  /// The pairs that differ in the second number.
  Index decided() const { return agree + disagree + tied_first; }
  /// Of those, how many the first number orders the same way; where it is equal, ½.
  double credit() const { return static_cast<double>(agree) + 0.5 * static_cast<double>(tied_first); }
};

namespace detail {

/// Pairs (i before j) in [begin, end) with seconds in falling order; leaves the seconds sorted. `spare` is as
/// long as `items`.
inline Index count_falling(std::vector<std::pair<double, double>>& items,
                           std::vector<std::pair<double, double>>& spare, Index begin, Index end) {
  if (end - begin < 2) return 0;
  const Index middle = begin + (end - begin) / 2;
  Index falling = count_falling(items, spare, begin, middle) + count_falling(items, spare, middle, end);
  for (Index left = begin, right = middle, out = begin; out < end; ++out) {
    const bool takes_right = left == middle || (right < end && items[right].second < items[left].second);
    if (takes_right) falling += middle - left;
    spare[out] = items[takes_right ? right++ : left++];
  }
  std::copy(spare.begin() + static_cast<std::ptrdiff_t>(begin),
            spare.begin() + static_cast<std::ptrdiff_t>(end),
            items.begin() + static_cast<std::ptrdiff_t>(begin));
  return falling;
}

/// Pairs among neighbours that `same` puts together.
template <class Same>
Index count_tied(const std::vector<std::pair<double, double>>& items, const Same& same) {
  Index tied = 0;
  for (Index i = 1, run = 1; i < items.size(); ++i) {
    run = same(items[i - 1], items[i]) ? run + 1 : 1;
    tied += run - 1;
  }
  return tied;
}

}  // namespace detail

/// Counts the pairs of `items`, in n log n (Knight 1966). The numbers must not be NaN.
inline PairOrder pair_order(std::vector<std::pair<double, double>> items) {
  using Item = std::pair<double, double>;
  const Index n = items.size();
  std::sort(items.begin(), items.end());
  PairOrder order;
  order.tied_both = detail::count_tied(items, [](const Item& a, const Item& b) { return a == b; });
  const Index first =
      detail::count_tied(items, [](const Item& a, const Item& b) { return a.first == b.first; });
  std::vector<Item> spare(n);
  order.disagree = detail::count_falling(items, spare, 0, n);
  const Index second =
      detail::count_tied(items, [](const Item& a, const Item& b) { return a.second == b.second; });
  order.tied_first = first - order.tied_both;
  order.tied_second = second - order.tied_both;
  order.agree = n == 0 ? 0 : n * (n - 1) / 2 - first - order.tied_second - order.disagree;
  return order;
}

}  // namespace MERIT_ABI
}  // namespace merit
