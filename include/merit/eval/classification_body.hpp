// The bodies of classification.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/eval/classification.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// Items by ascending score. They lie in a row, because a bootstrap goes over them thousands of times.
inline std::vector<AreaItem> area_items(std::span<const double> scores,
                                        std::span<const std::uint8_t> positive, std::span<const Index> groups,
                                        std::span<const double> weights = {}) {
  const std::vector<Index> order = by_weight(scores);
  std::vector<AreaItem> items;
  for (Index i = 0; i < order.size(); ++i) {
    items.push_back({groups[order[i]], positive[order[i]] != 0,
                     i + 1 == order.size() || scores[order[i + 1]] != scores[order[i]],
                     weights.empty() ? 1.0 : weights[order[i]]});
  }
  return items;
}

/// The area under the curve when an item counts weights[its group] times; NaN when either kind is missing.
inline double weighted_area(std::span<const AreaItem> items, std::span<const double> weights) {
  double won = 0;
  double positives = 0;
  double negatives = 0;  // with lower scores than the tie at hand
  double up = 0;         // in the tie
  double down = 0;
  for (const AreaItem& item : items) {
    (item.positive ? up : down) += item.weight * weights[item.group];
    if (!item.ends_tie) continue;
    won += up * (negatives + down / 2);
    positives += up;
    negatives += down;
    up = down = 0;
  }
  return won / (positives * negatives);
}

MERIT_INLINE std::optional<Estimate> area_by_groups(std::span<const double> scores,
                                                    std::span<const std::uint8_t> positive,
                                                    std::span<const Index> groups, Index number_of_groups,
                                                    std::span<const double> item_weights) {
  const auto ones = std::count_if(positive.begin(), positive.end(), [](std::uint8_t p) { return p != 0; });
  if (ones == 0 || static_cast<Index>(ones) == positive.size()) return std::nullopt;
  const std::vector<AreaItem> items = area_items(scores, positive, groups, item_weights);
  return bootstrap_groups(number_of_groups,
                          [&](std::span<const double> weights) { return weighted_area(items, weights); });
}

}  // namespace detail

MERIT_INLINE double area_under_curve(std::span<const double> scores, std::span<const std::uint8_t> positive) {
  if (scores.size() != positive.size()) {
    throw UsageError(
        concat("area_under_curve: found ", positive.size(), " labels, expected ", scores.size()));
  }
  detail::require_scores("area_under_curve", scores);
  const auto positives = scores.size() - static_cast<Index>(std::count(positive.begin(), positive.end(), 0));
  const Index negatives = scores.size() - positives;
  if (positives == 0 || negatives == 0) {
    throw DataError(concat("found ", positives, " positives and ", negatives,
                           " negatives, expected at least one of each"));
  }
  const std::vector<Index> one_group(scores.size(), 0);
  return detail::weighted_area(detail::area_items(scores, positive, one_group), std::vector{1.0});
}

MERIT_INLINE BinaryCounts& BinaryCounts::operator+=(const BinaryCounts& other) {
  true_positives += other.true_positives;
  false_positives += other.false_positives;
  true_negatives += other.true_negatives;
  false_negatives += other.false_negatives;
  return *this;
}

MERIT_INLINE BinaryCounts count_predictions(std::span<const std::uint8_t> predicted,
                                            std::span<const std::uint8_t> actual) {
  if (predicted.size() != actual.size()) {
    throw UsageError(
        concat("count_predictions: found ", predicted.size(), " predictions, expected ", actual.size()));
  }
  BinaryCounts counts;
  for (Index i = 0; i < actual.size(); ++i) counts.add(predicted[i] != 0, actual[i] != 0);
  return counts;
}

MERIT_INLINE FirstErrorFigures first_error_figures(std::span<const FirstError> predicted,
                                                   std::span<const FirstError> actual,
                                                   std::span<const Index> problems) {
  if (predicted.size() != actual.size()) {
    throw UsageError(
        concat("first_error_figures: found ", predicted.size(), " predictions, expected ", actual.size()));
  }
  if (!problems.empty() && problems.size() != actual.size()) {
    throw UsageError(concat("first_error_figures: found ", problems.size(), " problems, expected ",
                            actual.size(), " or none"));
  }
  std::vector<double> found, accepted;
  std::vector<Index> of_found, of_accepted;
  for (Index i = 0; i < actual.size(); ++i) {
    (actual[i] ? found : accepted).push_back(predicted[i] == actual[i] ? 1 : 0);
    if (!problems.empty()) (actual[i] ? of_found : of_accepted).push_back(problems[i]);
  }
  const std::vector<double> ones(actual.size(), 1.0);
  FirstErrorFigures figures;
  figures.erroneous = found.size();
  figures.correct = accepted.size();
  if (!found.empty())
    figures.found = detail::mean_over_prompts(found, of_found, std::span(ones).first(found.size()));
  if (!accepted.empty())
    figures.accepted =
        detail::mean_over_prompts(accepted, of_accepted, std::span(ones).first(accepted.size()));
  if (figures.found && figures.accepted) {
    figures.f1 = detail::harmonic_mean(figures.found->value, figures.accepted->value);
  }
  return figures;
}

MERIT_INLINE FirstErrorReport report_first_errors(std::span<const FirstError> predicted,
                                                  std::span<const FirstError> actual) {
  const FirstErrorFigures figures = first_error_figures(predicted, actual);
  if (!figures.f1) {
    throw DataError(concat("found ", figures.erroneous, " erroneous and ", figures.correct,
                           " correct solutions, expected at least one of each"));
  }
  return {figures.erroneous, figures.correct, *figures.found, *figures.accepted, *figures.f1};
}

}  // namespace MERIT_ABI
}  // namespace merit
