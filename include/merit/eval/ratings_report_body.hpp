// The bodies of ratings_report.hpp.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
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
                                                     std::span<const Index> groups, Index number_of_groups,
                                                     bool of_ranks) {
  const std::vector<Index> order_a = by_weight(a);
  const std::vector<Index> order_b = by_weight(b);
  if (a[order_a.front()] == a[order_a.back()] || b[order_b.front()] == b[order_b.back()]) return std::nullopt;
  std::vector<double> items(a.size());
  return bootstrap_groups(number_of_groups, [&](std::span<const double> weights) {
    for (Index i = 0; i < items.size(); ++i) items[i] = weights[groups[i]];
    if (!of_ranks) return weighted_pearson(a, b, items);
    return weighted_pearson(weighted_ranks(a, order_a, items), weighted_ranks(b, order_b, items), items);
  });
}

/// Credits and numbers of the pairs of one group whose `actual` differ, by group.
inline void add_pairs(std::span<const double> scores, std::span<const double> actual,
                      std::span<const std::vector<Index>> members, std::vector<double>& credits,
                      std::vector<double>& pairs) {
  credits.assign(members.size(), 0.0);
  pairs.assign(members.size(), 0.0);
  for (Index g = 0; g < members.size(); ++g) {
    for (Index x = 0; x < members[g].size(); ++x) {
      for (Index y = x + 1; y < members[g].size(); ++y) {
        Index better = members[g][x];
        Index worse = members[g][y];
        if (actual[better] == actual[worse]) continue;
        if (actual[better] < actual[worse]) std::swap(better, worse);
        pairs[g] += 1;
        credits[g] += scores[better] > scores[worse] ? 1.0 : scores[better] < scores[worse] ? 0.0 : 0.5;
      }
    }
  }
}

inline AgreementReport report_agreement(std::span<const double> scores, std::span<const double> actual,
                                        std::span<const Index> groups,
                                        std::span<const std::vector<Index>> members, Index& number_of_pairs) {
  AgreementReport report;
  report.pearson = correlation_by_groups(scores, actual, groups, members.size(), false);
  report.spearman = correlation_by_groups(scores, actual, groups, members.size(), true);
  std::vector<double> credits, pairs;
  add_pairs(scores, actual, members, credits, pairs);
  double total = 0;
  for (const double some : pairs) total += some;
  if (total > 0) report.pair_accuracy = bootstrap_ratio(credits, pairs);
  number_of_pairs = static_cast<Index>(total);
  return report;
}

/// The variance (divided by n) of values that count weights[groups[i]] times.
inline double weighted_variance(std::span<const double> values, std::span<const Index> groups,
                                std::span<const double> weights) {
  double n = 0;
  double mean = 0;
  for (Index i = 0; i < values.size(); ++i) {
    n += weights[groups[i]];
    mean += weights[groups[i]] * values[i];
  }
  mean /= n;
  double squares = 0;
  for (Index i = 0; i < values.size(); ++i)
    squares += weights[groups[i]] * (values[i] - mean) * (values[i] - mean);
  // Values that are all equal may be left with rounding in place of 0.
  return squares > 1e-28 * n * mean * mean ? squares / n : 0.0;
}

}  // namespace detail

MERIT_INLINE RatingsReport report_ratings(std::span<const RatedCompletion> completions) {
  std::vector<double> scores, ratings, lengths, lines, squares;
  std::vector<Index> numbers;
  for (const RatedCompletion& one : completions) {
    scores.push_back(one.score);
    ratings.push_back(one.rating);
    lengths.push_back(static_cast<double>(one.length));
    lines.push_back(static_cast<double>(one.lines));
    squares.push_back((one.score - one.rating) * (one.score - one.rating));
    numbers.push_back(one.prompt);
  }
  detail::require_both("report_ratings", scores, ratings);
  const std::vector<Index> groups = detail::answer_numbers(numbers);
  const std::vector<std::vector<Index>> members = detail::members_of(groups);
  RatingsReport report;
  report.completions = completions.size();
  report.prompts = members.size();
  report.model = detail::report_agreement(scores, ratings, groups, members, report.pairs);
  report.length = detail::report_agreement(lengths, ratings, groups, members, report.pairs);
  report.lines = detail::report_agreement(lines, ratings, groups, members, report.pairs);
  report.mean_squared_error = detail::mean_by_groups(squares, groups, members.size());
  const std::vector<double> ones(members.size(), 1.0);
  report.error_of_the_mean = detail::weighted_variance(ratings, groups, ones);
  return report;
}

MERIT_INLINE ValueReport report_values(std::span<const PredictedReturn> states) {
  std::vector<double> values, actual, errors, squares;
  std::vector<Index> numbers;
  for (const PredictedReturn& one : states) {
    values.push_back(one.value);
    actual.push_back(one.actual);
    errors.push_back(one.actual - one.value);
    squares.push_back(errors.back() * errors.back());
    numbers.push_back(one.rollout);
  }
  detail::require_both("report_values", values, actual);
  const std::vector<Index> groups = detail::answer_numbers(numbers);
  const Index rollouts = detail::members_of(groups).size();
  ValueReport report;
  report.states = states.size();
  report.rollouts = rollouts;
  report.mean_squared_error = detail::mean_by_groups(squares, groups, rollouts);
  const std::vector<double> ones(rollouts, 1.0);
  report.error_of_the_mean = detail::weighted_variance(actual, groups, ones);
  report.correlation = detail::correlation_by_groups(values, actual, groups, rollouts, false);
  const auto [low, high] = std::minmax_element(actual.begin(), actual.end());
  if (*low != *high) {
    report.explained_variance = bootstrap_groups(rollouts, [&](std::span<const double> weights) {
      const double whole = detail::weighted_variance(actual, groups, weights);
      return 1 - detail::weighted_variance(errors, groups, weights) / whole;
    });
  }
  return report;
}

}  // namespace MERIT_ABI
}  // namespace merit
