// The scores of several models for the same completions to one score each.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/infer/aggregate.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How the models' scores of one completion become one (Coste et al. 2024). Models must score on one scale:
/// normalise each first.
enum class EnsembleRule {
  mean,
  worst,                 // the lowest score
  mean_minus_deviation,  // mean − λ · standard deviation: doubt lowers a score
};

template <>
inline constexpr std::array<std::string_view, 3> enum_names<EnsembleRule>{"mean", "worst",
                                                                          "mean_minus_deviation"};

/// The rule of that name. Throws ConfigError that lists the known ones.
inline EnsembleRule ensemble_rule_from_name(std::string_view name) {
  return value_from_name<EnsembleRule>("ensemble rule", name);
}

/// One score of the models' scores for one completion. The deviation divides by the number of models, so that
/// one model alone has none. Throws DataError when there are none or one is not finite.
inline double combine_scores(std::span<const double> scores, EnsembleRule rule, double lambda = 1) {
  detail::require_scores("combine_scores", scores);
  if (rule == EnsembleRule::worst) return *std::min_element(scores.begin(), scores.end());
  const auto n = static_cast<double>(scores.size());
  double mean = 0;
  for (const double score : scores) mean += score;
  mean /= n;
  if (rule == EnsembleRule::mean) return mean;
  double squares = 0;
  for (const double score : scores) squares += (score - mean) * (score - mean);
  return mean - lambda * std::sqrt(squares / n);
}

/// The same for many completions: `models[m][i]` is model m's score of completion i. (completions)
/// Throws UsageError when the models scored different numbers of completions.
inline std::vector<double> combine_models(std::span<const std::vector<double>> models, EnsembleRule rule,
                                          double lambda = 1) {
  if (models.empty()) throw UsageError("combine_models: there are no models");
  std::vector<double> result;
  std::vector<double> scores(models.size());
  for (Index m = 0; m < models.size(); ++m) {
    if (models[m].size() != models[0].size()) {
      throw UsageError(concat("combine_models: model ", m, " has ", models[m].size(), " scores, expected ",
                              models[0].size(), " like the first"));
    }
  }
  for (Index i = 0; i < models[0].size(); ++i) {
    for (Index m = 0; m < models.size(); ++m) scores[m] = models[m][i];
    result.push_back(combine_scores(scores, rule, lambda));
  }
  return result;
}

}  // namespace MERIT_ABI
}  // namespace merit
