// The bodies of ratings_report.hpp.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/pair_order.hpp"
#include "merit/core/view.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/eval/correlation.hpp"
#include "merit/eval/ratings_report.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// A correlation with its interval over groups; nothing when a side does not vary.
inline std::optional<Estimate> correlation_by_groups(std::span<const double> a, std::span<const double> b,
                                                     std::span<const double> weights,
                                                     std::span<const Index> groups, Index number_of_groups,
                                                     bool of_ranks) {
  const std::vector<Index> order_a = by_weight(a);
  const std::vector<Index> order_b = by_weight(b);
  if (a[order_a.front()] == a[order_a.back()] || b[order_b.front()] == b[order_b.back()]) return std::nullopt;
  std::vector<double> items(a.size());
  return bootstrap_groups(number_of_groups, [&](std::span<const double> draws) {
    for (Index i = 0; i < items.size(); ++i) items[i] = draws[groups[i]] * weights[i];
    if (!of_ranks) return weighted_pearson(a, b, items);
    return weighted_pearson(weighted_ranks(a, order_a, items), weighted_ranks(b, order_b, items), items);
  });
}

/// Credits and numbers of the pairs of each group whose `actual` differ. A pair weighs as the group's items do in
/// the mean, so that all pairs of a group are counted at once.
inline void add_pairs(std::span<const double> scores, std::span<const double> actual,
                      std::span<const double> weights, std::span<const std::vector<Index>> members,
                      std::vector<double>& credits, std::vector<double>& pairs, Index& number_of_pairs) {
  number_of_pairs = 0;
  for (const std::vector<Index>& group : members) {
    std::vector<std::pair<double, double>> items;
    double weight = 0;
    for (const Index i : group) {
      items.emplace_back(scores[i], actual[i]);
      weight += weights[i];
    }
    weight /= static_cast<double>(group.size());
    const PairOrder order = pair_order(std::move(items));
    credits.push_back(weight * order.credit());
    pairs.push_back(weight * static_cast<double>(order.decided()));
    number_of_pairs += order.decided();
  }
}

inline AgreementReport report_agreement(std::span<const double> scores, std::span<const double> actual,
                                        std::span<const double> weights, std::span<const Index> groups,
                                        std::span<const std::vector<Index>> members, Index& number_of_pairs) {
  AgreementReport report;
  report.pearson = correlation_by_groups(scores, actual, weights, groups, members.size(), false);
  report.spearman = correlation_by_groups(scores, actual, weights, groups, members.size(), true);
  std::vector<double> credits, pairs;
  add_pairs(scores, actual, weights, members, credits, pairs, number_of_pairs);
  if (number_of_pairs > 0) report.pair_accuracy = bootstrap_ratio(credits, pairs);
  return report;
}

/// The variance (divided by the sum of weights) of values of which each weighs weights[i], draws[groups[i]]
/// times.
inline double weighted_variance(std::span<const double> values, std::span<const double> weights,
                                std::span<const Index> groups, std::span<const double> draws) {
  double n = 0;
  double mean = 0;
  for (Index i = 0; i < values.size(); ++i) {
    const double weight = draws[groups[i]] * weights[i];
    n += weight;
    mean += weight * values[i];
  }
  mean /= n;
  double squares = 0;
  for (Index i = 0; i < values.size(); ++i)
    squares += draws[groups[i]] * weights[i] * (values[i] - mean) * (values[i] - mean);
  // Values that are all equal may be left with rounding in place of 0.
  return squares > 1e-28 * n * mean * mean ? squares / n : 0.0;
}

/// Those that weigh more than 0.
template <class Item>
std::vector<Item> with_weight(std::span<const Item> given, std::string_view what) {
  std::vector<Item> items(given.begin(), given.end());
  std::erase_if(items, [](const Item& one) { return one.weight == 0; });
  if (items.empty())
    throw DataError(concat("there are no ", what, " to report on, or all have the weight 0"));
  return items;
}

}  // namespace detail

MERIT_INLINE RatingsReport report_ratings(std::span<const RatedCompletion> given) {
  const std::vector<RatedCompletion> completions = detail::with_weight(given, "completions");
  std::vector<double> scores, ratings, lengths, lines, squares, weights;
  std::vector<Index> numbers;
  for (const RatedCompletion& one : completions) {
    scores.push_back(one.score);
    ratings.push_back(one.rating);
    lengths.push_back(static_cast<double>(one.length));
    lines.push_back(static_cast<double>(one.lines));
    squares.push_back((one.score - one.rating) * (one.score - one.rating));
    weights.push_back(one.weight);
    numbers.push_back(one.prompt);
  }
  detail::require_both("report_ratings", scores, ratings);
  const std::vector<Index> groups = detail::answer_numbers(numbers);
  const std::vector<std::vector<Index>> members = detail::members_of(groups);
  RatingsReport report;
  report.completions = completions.size();
  report.prompts = members.size();
  report.model = detail::report_agreement(scores, ratings, weights, groups, members, report.pairs);
  report.length = detail::report_agreement(lengths, ratings, weights, groups, members, report.pairs);
  report.lines = detail::report_agreement(lines, ratings, weights, groups, members, report.pairs);
  report.mean_squared_error = detail::mean_by_groups(squares, groups, members.size(), weights);
  const std::vector<double> ones(members.size(), 1.0);
  report.error_of_the_mean = detail::weighted_variance(ratings, weights, groups, ones);
  return report;
}

MERIT_INLINE ValueReport report_values(std::span<const PredictedReturn> given) {
  const std::vector<PredictedReturn> states = detail::with_weight(given, "states");
  std::vector<double> values, actual, errors, squares, weights;
  std::vector<Index> numbers;
  for (const PredictedReturn& one : states) {
    values.push_back(one.value);
    actual.push_back(one.actual);
    errors.push_back(one.actual - one.value);
    squares.push_back(errors.back() * errors.back());
    weights.push_back(one.weight);
    numbers.push_back(one.rollout);
  }
  detail::require_both("report_values", values, actual);
  const std::vector<Index> groups = detail::answer_numbers(numbers);
  const Index rollouts = detail::members_of(groups).size();
  ValueReport report;
  report.states = states.size();
  report.rollouts = rollouts;
  report.mean_squared_error = detail::mean_by_groups(squares, groups, rollouts, weights);
  const std::vector<double> ones(rollouts, 1.0);
  report.error_of_the_mean = detail::weighted_variance(actual, weights, groups, ones);
  report.correlation = detail::correlation_by_groups(values, actual, weights, groups, rollouts, false);
  const auto [low, high] = std::minmax_element(actual.begin(), actual.end());
  if (*low != *high) {
    report.explained_variance = bootstrap_groups(rollouts, [&](std::span<const double> draws) {
      const double whole = detail::weighted_variance(actual, weights, groups, draws);
      return 1 - detail::weighted_variance(errors, weights, groups, draws) / whole;
    });
  }
  return report;
}

}  // namespace MERIT_ABI
}  // namespace merit
