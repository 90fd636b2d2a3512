// Are probabilities what they say? Expected calibration error, Brier score, reliability table, before and
// after a temperature fitted on other data.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/infer/normalise.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The bin from b/bins up to (b + 1)/bins that holds p, of 0 to 1; the last one holds 1 too.
inline Index bin_of(double p, Index bins) {
  const auto count = static_cast<double>(bins);
  auto b = std::min(bins - 1, static_cast<Index>(p * count));
  // The product may be rounded to the other side of a border.
  if (b + 1 < bins && p >= static_cast<double>(b + 1) / count) ++b;
  if (b > 0 && p < static_cast<double>(b) / count) --b;
  return b;
}

}  // namespace detail

/// One row of a reliability table: the predictions from `low` up to but not including `high` (the last row
/// includes 1).
struct ReliabilityBin {
  double low = 0;
  double high = 0;
  Index count = 0;
  double mean_probability = 0;  // 0 in an empty bin
  double mean_outcome = 0;
  double weight = 0;  // of the predictions together
};

struct CalibrationReport {
  Index predictions = 0;      // of a weight above 0, as all else
  double expected_error = 0;  // Σ weight · |mean probability − mean outcome| / Σ weight, over bins (ECE)
  double largest_error = 0;   // of a bin that is not empty
  double brier = 0;           // mean (probability − outcome)²
  double cross_entropy = 0;   // mean, in nats; a probability counts as at least 1e-15 away from 0 and 1
  std::vector<ReliabilityBin> bins;
};

/// Calibration of probabilities of outcomes from 0 to 1, in bins of equal width; each counts as much as its
/// weight, or one where there are none. Throws DataError when there are none, a number is not from 0 to 1 or
/// all weigh 0, UsageError when the numbers differ or there are no bins.
inline CalibrationReport report_calibration(std::span<const double> probabilities,
                                            std::span<const double> outcomes, Index bins = 10,
                                            std::span<const double> weights = {}) {
  detail::require_labels("report_calibration", probabilities, outcomes);
  if (!weights.empty() && weights.size() != probabilities.size()) {
    throw UsageError(concat("report_calibration: found ", weights.size(), " weights, expected ",
                            probabilities.size(), " or none"));
  }
  if (bins == 0) throw UsageError("report_calibration: found 0 bins, expected at least 1");
  CalibrationReport report;
  const auto weight_of = [&](Index i) { return weights.empty() ? 1.0 : weights[i]; };
  double n = 0;
  for (Index i = 0; i < probabilities.size(); ++i) n += weight_of(i);
  if (n == 0) throw DataError(concat("all ", probabilities.size(), " predictions have the weight 0"));
  const auto count = static_cast<double>(bins);
  for (Index b = 0; b < bins; ++b)
    report.bins.push_back({static_cast<double>(b) / count, static_cast<double>(b + 1) / count});
  for (Index i = 0; i < probabilities.size(); ++i) {
    const double p = probabilities[i];
    const double y = outcomes[i];
    if (p < 0 || p > 1) throw DataError(concat("found the probability ", p, ", expected one from 0 to 1"));
    const double weight = weight_of(i);
    if (weight == 0) continue;
    ++report.predictions;
    ReliabilityBin& bin = report.bins[detail::bin_of(p, bins)];
    ++bin.count;
    bin.weight += weight;
    bin.mean_probability += weight * p;
    bin.mean_outcome += weight * y;
    report.brier += weight * (p - y) * (p - y) / n;
    const double inside = std::clamp(p, 1e-15, 1 - 1e-15);
    report.cross_entropy -= weight * (y * std::log(inside) + (1 - y) * std::log1p(-inside)) / n;
  }
  for (ReliabilityBin& bin : report.bins) {
    if (bin.count == 0) continue;
    bin.mean_probability /= bin.weight;
    bin.mean_outcome /= bin.weight;
    const double error = std::abs(bin.mean_probability - bin.mean_outcome);
    report.expected_error += error * bin.weight / n;
    report.largest_error = std::max(report.largest_error, error);
  }
  return report;
}

/// Calibration of held-out logits as they are, and with the temperature fitted on other data.
struct TemperatureReport {
  Temperature temperature;
  CalibrationReport before;
  CalibrationReport after;
};

/// Fits on the first pair of logits and labels, reports on the second, which it has not seen.
inline TemperatureReport report_temperature(std::span<const double> fit_logits,
                                            std::span<const double> fit_labels,
                                            std::span<const double> logits, std::span<const double> labels,
                                            Index bins = 10) {
  TemperatureReport report;
  report.temperature = fit_temperature(fit_logits, fit_labels);
  std::vector<double> before, after;
  for (const double logit : logits) {
    before.push_back(sigmoid(logit));
    after.push_back(report.temperature(logit));
  }
  report.before = report_calibration(before, labels, bins);
  report.after = report_calibration(after, labels, bins);
  return report;
}

}  // namespace MERIT_ABI
}  // namespace merit
