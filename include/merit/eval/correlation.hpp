// How well two lists of numbers agree: Pearson, Spearman, Kendall.
#pragma once

#include <cmath>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/pair_order.hpp"
#include "merit/core/view.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Pearson's correlation when value i counts weights[i] times; NaN when a side does not vary.
inline double weighted_pearson(std::span<const double> a, std::span<const double> b,
                               std::span<const double> weights) {
  double n = 0;
  double mean_a = 0;
  double mean_b = 0;
  for (Index i = 0; i < a.size(); ++i) {
    n += weights[i];
    mean_a += weights[i] * a[i];
    mean_b += weights[i] * b[i];
  }
  mean_a /= n;
  mean_b /= n;
  double aa = 0;
  double bb = 0;
  double ab = 0;
  for (Index i = 0; i < a.size(); ++i) {
    aa += weights[i] * (a[i] - mean_a) * (a[i] - mean_a);
    bb += weights[i] * (b[i] - mean_b) * (b[i] - mean_b);
    ab += weights[i] * (a[i] - mean_a) * (b[i] - mean_b);
  }
  // A side of equal values may be left with rounding in place of 0.
  const auto constant = [n](double squares, double mean) {
    return !(squares > 1e-28 * n * mean * mean) || squares == 0;
  };
  if (constant(aa, mean_a) || constant(bb, mean_b)) return std::numeric_limits<double>::quiet_NaN();
  return ab / (std::sqrt(aa) * std::sqrt(bb));
}

/// The ranks of values that count weights[i] times each, ties at their mean rank; `order` is
/// by_weight(values).
inline std::vector<double> weighted_ranks(std::span<const double> values, std::span<const Index> order,
                                          std::span<const double> weights) {
  std::vector<double> ranks(values.size());
  double below = 0;
  for (Index begin = 0; begin < order.size();) {
    Index end = begin;
    double tied = 0;
    for (; end < order.size() && values[order[end]] == values[order[begin]]; ++end)
      tied += weights[order[end]];
    for (Index i = begin; i < end; ++i) ranks[order[i]] = below + (tied + 1) / 2;
    below += tied;
    begin = end;
  }
  return ranks;
}

inline void require_both(std::string_view who, std::span<const double> a, std::span<const double> b) {
  require_scores(who, a);
  require_scores(who, b);
  if (a.size() != b.size())
    throw UsageError(concat(who, ": found ", a.size(), " and ", b.size(), " numbers, expected as many"));
}

inline double require_correlation(std::string_view who, double found) {
  if (std::isfinite(found)) return found;
  throw DataError(concat(who, ": the numbers of one side are all equal, expected at least two that differ"));
}

/// Kendall's τ-b, NaN when all pairs of a side are ties.
inline double kendall_or_nan(std::span<const double> a, std::span<const double> b) {
  std::vector<std::pair<double, double>> items;
  items.reserve(a.size());
  for (Index i = 0; i < a.size(); ++i) items.emplace_back(a[i], b[i]);
  const PairOrder order = pair_order(std::move(items));
  const double agree = static_cast<double>(order.agree) - static_cast<double>(order.disagree);
  const auto untied_a = static_cast<double>(order.agree + order.disagree + order.tied_second);
  const auto untied_b = static_cast<double>(order.decided());
  if (untied_a == 0 || untied_b == 0) return std::numeric_limits<double>::quiet_NaN();
  return agree / (std::sqrt(untied_a) * std::sqrt(untied_b));
}

inline double spearman_or_nan(std::span<const double> a, std::span<const double> b) {
  const std::vector<double> ones(a.size(), 1.0);
  return weighted_pearson(weighted_ranks(a, by_weight(a), ones), weighted_ranks(b, by_weight(b), ones), ones);
}

}  // namespace detail

/// Pearson's correlation. Throws DataError when a side does not vary or a number is not finite, UsageError
/// when the numbers differ in number; so do the two below.
inline double pearson_correlation(std::span<const double> a, std::span<const double> b) {
  detail::require_both("pearson_correlation", a, b);
  const std::vector<double> ones(a.size(), 1.0);
  return detail::require_correlation("pearson_correlation", detail::weighted_pearson(a, b, ones));
}

/// Spearman's correlation: Pearson's of the ranks, ties at their mean rank.
inline double spearman_correlation(std::span<const double> a, std::span<const double> b) {
  detail::require_both("spearman_correlation", a, b);
  return detail::require_correlation("spearman_correlation", detail::spearman_or_nan(a, b));
}

/// Kendall's τ-b: pairs in the same order less pairs in the other, over the geometric mean of the pairs that
/// are no ties on either side.
inline double kendall_correlation(std::span<const double> a, std::span<const double> b) {
  detail::require_both("kendall_correlation", a, b);
  return detail::require_correlation("kendall_correlation", detail::kendall_or_nan(a, b));
}

}  // namespace MERIT_ABI
}  // namespace merit
