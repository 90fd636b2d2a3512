// The bodies of ratings_report.hpp.
#pragma once

#include <algorithm>
#include <cmath>
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
  std::vector<double> seen_values, actual, weights;
  std::vector<Index> numbers;
  for (const PredictedReturn& one : states) {
    if (one.value) seen_values.push_back(*one.value);
    actual.push_back(one.actual);
    weights.push_back(one.weight);
    numbers.push_back(one.rollout);
  }
  if (seen_values.empty()) throw DataError("no state was seen: a cut took all of them");
  detail::require_scores("report_values", seen_values);
  detail::require_scores("report_values", actual);
  const auto [lowest, highest] = std::minmax_element(seen_values.begin(), seen_values.end());
  const auto [low, high] = std::minmax_element(actual.begin(), actual.end());
  const double farthest = std::max(*highest, *high) - std::min(*lowest, *low);
  std::vector<double> values, errors, squares, seen, unseen;
  for (const PredictedReturn& one : states) {
    values.push_back(one.value ? *one.value : 2 * one.actual < *low + *high ? *highest : *lowest);
    errors.push_back(one.value ? one.actual - *one.value : 0);
    squares.push_back(one.value ? errors.back() * errors.back() : farthest * farthest);
    seen.push_back(one.value ? one.weight : 0);
    unseen.push_back(one.value ? 0 : one.weight);
  }
  const std::vector<Index> groups = detail::answer_numbers(numbers);
  const Index rollouts = detail::members_of(groups).size();
  ValueReport report;
  report.states = states.size();
  report.unseen = states.size() - seen_values.size();
  report.rollouts = rollouts;
  report.mean_squared_error = detail::mean_by_groups(squares, groups, rollouts, weights);
  const std::vector<double> ones(rollouts, 1.0);
  report.error_of_the_mean = detail::weighted_variance(actual, weights, groups, ones);
  report.correlation = detail::correlation_by_groups(values, actual, weights, groups, rollouts, false);
  if (*low != *high) {
    report.explained_variance = bootstrap_groups(rollouts, [&](std::span<const double> draws) {
      double of_seen = 0;
      double of_unseen = 0;
      double bias =
          0;  // the mean error, which a variance leaves out: one error may be that much farther from it
      for (Index i = 0; i < states.size(); ++i) {
        of_seen += draws[groups[i]] * seen[i];
        of_unseen += draws[groups[i]] * unseen[i];
        bias += draws[groups[i]] * seen[i] * errors[i];
      }
      if (of_seen > 0) bias = std::abs(bias) / of_seen;
      const double whole = detail::weighted_variance(actual, weights, groups, draws);
      if (of_unseen == 0) return 1 - detail::weighted_variance(errors, weights, groups, draws) / whole;
      const double miss = farthest + bias;
      const double left = of_seen == 0 ? 0 : of_seen * detail::weighted_variance(errors, seen, groups, draws);
      return 1 - (left + of_unseen * miss * miss) / (of_seen + of_unseen) / whole;
    });
  }
  return report;
}

}  // namespace MERIT_ABI
}  // namespace merit
