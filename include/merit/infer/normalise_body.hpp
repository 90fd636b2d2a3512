// The bodies of normalise.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/infer/normalise.hpp"
#include "merit/loss/pairwise_loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE Normalisation fit_normalisation(std::span<const double> scores) {
  detail::require_scores("mean and deviation", scores);
  const auto n = static_cast<double>(scores.size());
  Normalisation fitted;
  for (const double score : scores) fitted.mean += score / n;
  double squares = 0;
  for (const double score : scores) squares += (score - fitted.mean) * (score - fitted.mean);
  const auto [low, high] = std::minmax_element(scores.begin(), scores.end());
  if (*low == *high) {
    throw DataError(
        concat("all ", scores.size(), " scores are ", *low, ", expected at least two that differ"));
  }
  fitted.deviation = std::sqrt(squares / (n - 1));
  return fitted;
}

namespace detail {

MERIT_INLINE void require_labels(std::string_view who, std::span<const double> scores,
                                 std::span<const double> labels) {
  require_scores(who, scores);
  if (scores.size() != labels.size())
    throw UsageError(concat(who, ": found ", labels.size(), " labels, expected ", scores.size()));
  for (const double label : labels) {
    if (!(label >= 0 && label <= 1))
      throw DataError(concat(who, ": found the label ", label, ", expected labels from 0 to 1"));
  }
}

MERIT_INLINE WeightedLabels weighted_labels(std::string_view who, std::span<const double> scores,
                                            std::span<const double> labels, std::span<const double> weights) {
  require_labels(who, scores, labels);
  if (!weights.empty() && weights.size() != scores.size()) {
    throw UsageError(
        concat(who, ": found ", weights.size(), " weights, expected ", scores.size(), " or none"));
  }
  WeightedLabels kept;
  for (Index i = 0; i < scores.size(); ++i) {
    const double weight = weights.empty() ? 1 : weights[i];
    if (!(weight >= 0 && std::isfinite(weight)))
      throw DataError(concat(who, ": found the weight ", weight, ", expected a number from 0 up"));
    if (weight == 0) continue;
    kept.scores.push_back(scores[i]);
    kept.labels.push_back(labels[i]);
    kept.weights.push_back(weight);
  }
  if (kept.scores.empty()) throw DataError(concat(who, ": all ", scores.size(), " scores have the weight 0"));
  return kept;
}

}  // namespace detail

MERIT_INLINE Temperature fit_temperature(std::span<const double> all_logits,
                                         std::span<const double> all_labels,
                                         std::span<const double> all_weights) {
  const detail::WeightedLabels given =
      detail::weighted_labels("temperature scaling", all_logits, all_labels, all_weights);
  const std::vector<double>&logits = given.scores, &labels = given.labels, &weights = given.weights;
  double scale = 0;
  for (const double logit : logits) scale = std::max(scale, std::abs(logit));
  // The slope of the loss in 1/T, at 0 and in the limit of sharp logits, says whether there is a minimum
  // between.
  double at_zero = 0;
  double at_infinity = 0;
  for (Index i = 0; i < logits.size(); ++i) {
    const double x = logits[i] / std::max(scale, std::numeric_limits<double>::min());
    at_zero += weights[i] * (0.5 - labels[i]) * x;
    at_infinity += weights[i] * ((x > 0 ? 1.0 : 0.0) - labels[i]) * x;
  }
  if (at_zero >= 0) {
    throw DataError(
        "the logits say no more about the labels than a guess does, expected right ones to "
        "be higher");
  }
  if (at_infinity <= 0) {
    throw DataError(
        "every logit has the sign of its label, so that no temperature is too small; "
        "expected held-out data with mistakes");
  }
  // In the unit of the largest logit: u = scale / T, from 0 up.
  const auto slopes = [&](double u, double& first, double& second) {
    first = second = 0;
    for (Index i = 0; i < logits.size(); ++i) {
      const double x = logits[i] / scale;
      const double p = sigmoid(u * x);
      // σ − label, written so that neither tail cancels.
      first += weights[i] * ((1 - labels[i]) * p - labels[i] * sigmoid(-u * x)) * x;
      second += weights[i] * p * sigmoid(-u * x) * x * x;
    }
  };
  double first = 0;
  double second = 0;
  double low = 0;
  double high = 1;
  for (slopes(high, first, second); first < 0; slopes(high, first, second)) {
    low = high;
    high *= 2;
  }
  double u = high;
  for (int step = 0; step < 200; ++step) {
    slopes(u, first, second);
    (first < 0 ? low : high) = u;
    const double newton = u - first / second;
    const double next = newton > low && newton < high ? newton : low + (high - low) / 2;
    if (std::abs(next - u) <= 1e-15 * u) break;
    u = next;
  }
  return {scale / u};
}

MERIT_INLINE PlattScaling fit_platt(std::span<const double> all_scores, std::span<const double> all_labels,
                                    PlattTargets targets, std::span<const double> all_weights) {
  const detail::WeightedLabels given =
      detail::weighted_labels("Platt scaling", all_scores, all_labels, all_weights);
  const std::vector<double>&scores = given.scores, &labels = given.labels, &weights = given.weights;
  const Normalisation unit = fit_normalisation(scores);  // also refuses equal scores
  const auto [least, most] = std::minmax_element(labels.begin(), labels.end());
  if (*least == *most) {
    throw DataError(
        concat("all ", labels.size(), " labels are ", *least, ", expected at least two that differ"));
  }
  constexpr double infinity = std::numeric_limits<double>::infinity();
  double n = 0;
  double good = 0;
  double lowest_good = infinity, highest_good = -infinity, lowest_bad = infinity, highest_bad = -infinity;
  for (Index i = 0; i < scores.size(); ++i) {
    n += weights[i];
    good += weights[i] * labels[i];
    if (labels[i] > 0) {
      lowest_good = std::min(lowest_good, scores[i]);
      highest_good = std::max(highest_good, scores[i]);
    }
    if (labels[i] < 1) {
      lowest_bad = std::min(lowest_bad, scores[i]);
      highest_bad = std::max(highest_bad, scores[i]);
    }
  }
  if (targets == PlattTargets::as_given && (highest_bad <= lowest_good || highest_good <= lowest_bad)) {
    throw DataError(
        "a threshold separates the labels, so that no slope is too steep; expected overlapping "
        "scores or smoothed targets");
  }
  const double upper = targets == PlattTargets::smoothed ? (good + 1) / (good + 2) : 1;
  const double lower = targets == PlattTargets::smoothed ? 1 / (n - good + 2) : 0;
  const auto target = [&](Index i) { return labels[i] * upper + (1 - labels[i]) * lower; };
  const auto loss = [&](double slope, double intercept) {
    double sum = 0;
    for (Index i = 0; i < scores.size(); ++i)
      sum += weights[i] * detail::logit_loss(slope * unit(scores[i]) + intercept, target(i));
    return sum;
  };

  double slope = 0;
  double intercept =
      std::log((good * upper + (n - good) * lower) / (good * (1 - upper) + (n - good) * (1 - lower)));
  double current = loss(slope, intercept);
  for (int step = 0; step < 100; ++step) {
    double g_slope = 0, g_intercept = 0, h_ss = 1e-12, h_si = 0, h_ii = 1e-12;
    for (Index i = 0; i < scores.size(); ++i) {
      const double x = unit(scores[i]);
      const double logit = slope * x + intercept;
      const double p = sigmoid(logit);
      const double off = weights[i] * ((1 - target(i)) * p - target(i) * sigmoid(-logit));  // p − target
      const double curvature = weights[i] * p * sigmoid(-logit);
      g_slope += off * x;
      g_intercept += off;
      h_ss += curvature * x * x;
      h_si += curvature * x;
      h_ii += curvature;
    }
    const double determinant = h_ss * h_ii - h_si * h_si;
    const double d_slope = -(h_ii * g_slope - h_si * g_intercept) / determinant;
    const double d_intercept = -(h_ss * g_intercept - h_si * g_slope) / determinant;
    // Halve the step until the loss falls; once it cannot fall any more, the fit is as good as the numbers
    // allow.
    // Near the best fit a step changes the loss by less than its rounding.
    const double enough = current + 1e-14 * (1 + current);
    double part = 1;
    double next = loss(slope + d_slope, intercept + d_intercept);
    while (!(next <= enough) && part > 1e-10) {
      part /= 2;
      next = loss(slope + part * d_slope, intercept + part * d_intercept);
    }
    if (!(next <= enough)) break;
    slope += part * d_slope;
    intercept += part * d_intercept;
    current = next;
    if (std::abs(part * d_slope) + std::abs(part * d_intercept) <=
        1e-13 * (1 + std::abs(slope) + std::abs(intercept)))
      break;
  }
  return {slope / unit.deviation, intercept - slope * unit.mean / unit.deviation};
}

}  // namespace MERIT_ABI
}  // namespace merit
