// The count of pairs agrees with a look at every pair, ties of every kind among them.
#include "merit/core/pair_order.hpp"

#include <doctest/doctest.h>

#include <initializer_list>
#include <utility>
#include <vector>

#include "merit/core/rng.hpp"

namespace pair_order_test {

using namespace merit;
using Items = std::vector<std::pair<double, double>>;

PairOrder by_looking(const Items& items) {
  PairOrder order;
  for (Index i = 0; i < items.size(); ++i) {
    for (Index j = i + 1; j < items.size(); ++j) {
      const double a = items[i].first - items[j].first;
      const double b = items[i].second - items[j].second;
      if (a == 0 && b == 0) {
        ++order.tied_both;
      } else if (a == 0) {
        ++order.tied_first;
      } else if (b == 0) {
        ++order.tied_second;
      } else {
        ++((a > 0) == (b > 0) ? order.agree : order.disagree);
      }
    }
  }
  return order;
}

TEST_CASE("pairs are counted as by looking at each") {
  Rng rng(7);
  for (const Index n : std::initializer_list<Index>{0, 1, 2, 3, 17, 100}) {
    for (const Index values : std::initializer_list<Index>{2, 5, 1000}) {
      Items items;
      const auto draw = [&] { return static_cast<double>(rng.below(values)) - 3; };
      for (Index i = 0; i < n; ++i) items.emplace_back(draw(), draw());
      const PairOrder found = pair_order(items);
      const PairOrder expected = by_looking(items);
      CHECK(found.agree == expected.agree);
      CHECK(found.disagree == expected.disagree);
      CHECK(found.tied_first == expected.tied_first);
      CHECK(found.tied_second == expected.tied_second);
      CHECK(found.tied_both == expected.tied_both);
    }
  }
}

}  // namespace pair_order_test
