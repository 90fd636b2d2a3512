// What is reported about predicted numbers: ratings of completions, and returns of states (a value function).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/eval/correlation.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A completion with its predicted and its given rating.
struct RatedCompletion {
  double score = 0;
  double rating = 0;
  Index prompt = 0;  // completions of one prompt have one number
  Index length = 0;  // in tokens
  Index lines = 0;   // that are not blank
};

/// How well some judge goes with ratings. An entry is nothing where it is not defined: a side that does not
/// vary, or no two completions of one prompt that were rated differently.
struct AgreementReport {
  std::optional<Estimate> pearson;
  std::optional<Estimate> spearman;
  std::optional<Estimate> pair_accuracy;  // of pairs of one prompt, rated differently; equal scores ½
};

struct RatingsReport {
  Index completions = 0;
  Index prompts = 0;
  Index pairs = 0;  // of one prompt, rated differently
  AgreementReport model;
  Estimate mean_squared_error;
  double error_of_the_mean = 0;  // mean squared error of always saying the mean rating
  AgreementReport length;        // the longer completion as the better one; below 0 or ½, the shorter
  AgreementReport lines;         // the same of more lines
};

/// A state with its predicted and its actual return.
struct PredictedReturn {
  double value = 0;
  double actual = 0;
  Index rollout = 0;  // states of one rollout have one number
};

struct ValueReport {
  Index states = 0;
  Index rollouts = 0;
  Estimate mean_squared_error;
  double error_of_the_mean = 0;                // mean squared error of always saying the mean return
  std::optional<Estimate> explained_variance;  // 1 − Var(actual − value) / Var(actual); nothing when the
                                               // returns do not vary
  std::optional<Estimate> correlation;         // Pearson's; nothing when a side does not vary
};

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

/// The report of one attribute's ratings; intervals are over prompts. Throws DataError when there are none or
/// a number is not finite.
inline RatingsReport report_ratings(std::span<const RatedCompletion> completions) {
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

/// The report of a value function; intervals are over rollouts. Throws DataError when there are no states or
/// a number is not finite.
inline ValueReport report_values(std::span<const PredictedReturn> states) {
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
