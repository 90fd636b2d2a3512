// Right or wrong: area under the curve, F1, and finding the first wrong step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// An item in the order of scores: its group, and what it is.
struct AreaItem {
  Index group = 0;
  bool positive = false;
  bool ends_tie = false;  // the next one scores higher
  double weight = 1;
};

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

/// The area with its interval over groups (numbered from 0); nothing when either kind is missing.
inline std::optional<Estimate> area_by_groups(std::span<const double> scores,
                                              std::span<const std::uint8_t> positive,
                                              std::span<const Index> groups, Index number_of_groups,
                                              std::span<const double> item_weights = {}) {
  const auto ones = std::count_if(positive.begin(), positive.end(), [](std::uint8_t p) { return p != 0; });
  if (ones == 0 || static_cast<Index>(ones) == positive.size()) return std::nullopt;
  const std::vector<AreaItem> items = area_items(scores, positive, groups, item_weights);
  return bootstrap_groups(number_of_groups,
                          [&](std::span<const double> weights) { return weighted_area(items, weights); });
}

}  // namespace detail

/// The share of pairs of a positive and a negative in which the positive scores higher, ties ½: the area
/// under the ROC curve. `positive` is 1 or 0 for each. Throws DataError when either kind is missing.
inline double area_under_curve(std::span<const double> scores, std::span<const std::uint8_t> positive) {
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

/// Counts of predictions of a class.
struct BinaryCounts {
  Index true_positives = 0;
  Index false_positives = 0;
  Index true_negatives = 0;
  Index false_negatives = 0;

  void add(bool predicted, bool actual) {
    ++(predicted ? (actual ? true_positives : false_positives) : (actual ? false_negatives : true_negatives));
  }
  BinaryCounts& operator+=(const BinaryCounts& other) {
    true_positives += other.true_positives;
    false_positives += other.false_positives;
    true_negatives += other.true_negatives;
    false_negatives += other.false_negatives;
    return *this;
  }
  /// The same counts with the other class as the positive one.
  BinaryCounts flipped() const { return {true_negatives, false_negatives, true_positives, false_positives}; }

  // A share of nothing is 0.
  double accuracy() const {
    const Index right = true_positives + true_negatives;
    return ratio(right, right + false_positives + false_negatives);
  }
  double precision() const { return ratio(true_positives, true_positives + false_positives); }
  double recall() const { return ratio(true_positives, true_positives + false_negatives); }
  double f1() const {
    return ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives);
  }

 private:
  static double ratio(Index part, Index whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  }
};

/// The counts of 1-or-0 predictions against 1-or-0 labels.
inline BinaryCounts count_predictions(std::span<const std::uint8_t> predicted,
                                      std::span<const std::uint8_t> actual) {
  if (predicted.size() != actual.size()) {
    throw UsageError(
        concat("count_predictions: found ", predicted.size(), " predictions, expected ", actual.size()));
  }
  BinaryCounts counts;
  for (Index i = 0; i < actual.size(); ++i) counts.add(predicted[i] != 0, actual[i] != 0);
  return counts;
}

/// The place of the first wrong step, from 0; nothing when all steps are right. first_below gives it from
/// scores.
using FirstError = std::optional<Index>;

/// How well first errors are found.
struct FirstErrorReport {
  Index erroneous = 0;  // solutions that have an error
  Index correct = 0;    // solutions that have none
  Estimate found;       // of the erroneous, the exact step was named
  Estimate accepted;    // of the correct, no step was named
  double f1 = 0;        // harmonic mean of the two, 0 when either is
};

/// The same of solutions that may be all erroneous or all correct: what is not defined then is missing.
struct FirstErrorFigures {
  Index erroneous = 0;
  Index correct = 0;
  std::optional<Estimate> found;
  std::optional<Estimate> accepted;
  std::optional<double> f1;
};

/// Compares predicted first errors with actual ones. Throws UsageError when the numbers differ.
inline FirstErrorFigures first_error_figures(std::span<const FirstError> predicted,
                                             std::span<const FirstError> actual) {
  if (predicted.size() != actual.size()) {
    throw UsageError(
        concat("first_error_figures: found ", predicted.size(), " predictions, expected ", actual.size()));
  }
  std::vector<double> found, accepted;
  for (Index i = 0; i < actual.size(); ++i)
    (actual[i] ? found : accepted).push_back(predicted[i] == actual[i] ? 1 : 0);
  FirstErrorFigures figures;
  figures.erroneous = found.size();
  figures.correct = accepted.size();
  if (!found.empty()) figures.found = bootstrap_mean(found);
  if (!accepted.empty()) figures.accepted = bootstrap_mean(accepted);
  if (figures.found && figures.accepted) {
    const double a = figures.found->value;
    const double b = figures.accepted->value;
    figures.f1 = a + b > 0 ? 2 * a * b / (a + b) : 0;
  }
  return figures;
}

/// The same where all of it is needed. Throws DataError when there are no erroneous or no correct solutions,
/// because the harmonic mean needs both.
inline FirstErrorReport report_first_errors(std::span<const FirstError> predicted,
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
