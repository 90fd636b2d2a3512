// Intervals by the bootstrap: of a mean, and of any statistic when what was drawn were whole groups.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/rng.hpp"
#include "merit/core/view.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A figure and its 95% interval.
struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;
};

/// The mean of `credits` with its 95% percentile-bootstrap interval (Efron 1979; 2,000 resamples from
/// `seed`).
inline Estimate bootstrap_mean(std::span<const double> credits, std::uint64_t seed = 0) {
  if (credits.empty()) throw UsageError("bootstrap_mean: there is nothing to average");
  constexpr Index resamples = 2000;
  const auto n = static_cast<double>(credits.size());
  Estimate result;
  for (const double credit : credits) result.value += credit;
  result.value /= n;  // as the resamples are averaged, so that equal credits give one number
  Rng rng(seed, 0xB007);
  std::vector<double> means(resamples);
  for (double& mean : means) {
    double sum = 0;
    for (Index i = 0; i < credits.size(); ++i) sum += credits[static_cast<Index>(rng.below(credits.size()))];
    mean = sum / n;
  }
  std::sort(means.begin(), means.end());
  result.low = means[resamples * 25 / 1000];
  result.high = means[resamples * 975 / 1000 - 1];
  return result;
}

/// `statistic` of all groups, with its 95% percentile-bootstrap interval over whole groups, so that items of
/// one group that resemble each other make it no narrower (2,000 resamples from `seed`).
/// `statistic(weights)` is given how often each group counts, as a span of doubles: all ones for the value.
/// It may return NaN where a resample leaves it undefined, which is then left out. Throws DataError when it
/// is not finite for all groups, UsageError when there are none.
template <class Statistic>
Estimate bootstrap_groups(Index groups, const Statistic& statistic, std::uint64_t seed = 0) {
  if (groups == 0) throw UsageError("bootstrap_groups: there are no groups");
  constexpr Index resamples = 2000;
  std::vector<double> weights(groups, 1.0);
  const auto value_of = [&] { return statistic(std::span<const double>(weights)); };
  Estimate result;
  result.value = value_of();
  if (!std::isfinite(result.value)) throw DataError("a figure over all groups is not a finite number");
  Rng rng(seed, 0xB007);
  std::vector<double> values;
  for (Index r = 0; r < resamples; ++r) {
    std::fill(weights.begin(), weights.end(), 0.0);
    for (Index g = 0; g < groups; ++g) weights[static_cast<Index>(rng.below(groups))] += 1;
    if (const double value = value_of(); std::isfinite(value)) values.push_back(value);
  }
  std::sort(values.begin(), values.end());
  result.low = values.empty() ? result.value : values[values.size() * 25 / 1000];
  result.high = values.empty() ? result.value : values[std::max<Index>(values.size() * 975 / 1000, 1) - 1];
  return result;
}

/// Σ sums / Σ counts over groups, with its interval over whole groups. Throws DataError when all counts are
/// 0, UsageError when the numbers differ.
inline Estimate bootstrap_ratio(std::span<const double> sums, std::span<const double> counts) {
  if (sums.size() != counts.size()) throw UsageError("bootstrap_ratio: the sums and counts differ in number");
  return bootstrap_groups(sums.size(), [&](std::span<const double> weights) {
    double sum = 0;
    double count = 0;
    for (Index g = 0; g < sums.size(); ++g) {
      sum += weights[g] * sums[g];
      count += weights[g] * counts[g];
    }
    return sum / count;  // NaN when a resample has none
  });
}

/// The weighted mean of `credits` with its interval over them; weights that are all alike are none.
inline Estimate bootstrap_mean(std::span<const double> credits, std::span<const double> weights) {
  if (weights.size() != credits.size()) {
    throw UsageError(concat("bootstrap_mean: found ", weights.size(), " weights, expected ", credits.size()));
  }
  const auto as_first = [&](double weight) { return weight == weights.front(); };
  if (std::all_of(weights.begin(), weights.end(), as_first)) return bootstrap_mean(credits);
  std::vector<double> sums;
  for (Index i = 0; i < credits.size(); ++i) sums.push_back(credits[i] * weights[i]);
  return bootstrap_ratio(sums, weights);
}

namespace detail {

// Groups are numbered from 0 in the order of their first item, as answer_numbers does.

/// The members of each group, by its number.
inline std::vector<std::vector<Index>> members_of(std::span<const Index> groups) {
  std::vector<std::vector<Index>> members;
  for (Index i = 0; i < groups.size(); ++i) {
    if (groups[i] == members.size()) members.emplace_back();
    members[groups[i]].push_back(i);
  }
  return members;
}

/// Σ sums / Σ counts over items with its interval over groups.
inline Estimate ratio_by_groups(std::span<const double> sums, std::span<const double> counts,
                                std::span<const Index> groups, Index number_of_groups) {
  std::vector<double> group_sums(number_of_groups), group_counts(number_of_groups);
  for (Index i = 0; i < sums.size(); ++i) {
    group_sums[groups[i]] += sums[i];
    group_counts[groups[i]] += counts[i];
  }
  return bootstrap_ratio(group_sums, group_counts);
}

/// The mean of `values` with its interval over groups; each counts as much as its weight, or one for none.
inline Estimate mean_by_groups(std::span<const double> values, std::span<const Index> groups,
                               Index number_of_groups, std::span<const double> weights = {}) {
  std::vector<double> sums, counts;
  for (Index i = 0; i < values.size(); ++i) {
    counts.push_back(weights.empty() ? 1.0 : weights[i]);
    sums.push_back(counts.back() * values[i]);
  }
  return ratio_by_groups(sums, counts, groups, number_of_groups);
}

/// The weighted mean of `values` with its interval over prompts: values of one prompt have one number. Where
/// there are no numbers each value is a prompt's.
inline Estimate mean_over_prompts(std::span<const double> values, std::span<const Index> prompts,
                                  std::span<const double> weights) {
  const std::vector<Index> groups = answer_numbers(prompts);
  const Index number = members_of(groups).size();
  if (groups.empty() || number == values.size()) return bootstrap_mean(values, weights);
  return mean_by_groups(values, groups, number, weights);
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
