// The scores of tokens or steps to one number for the whole completion.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How the scores of tokens or steps become one. Higher is better with each. What a model was trained on
/// decides which fits: labels that stop at the first error go with product or minimum, Monte-Carlo estimates
/// with last.
enum class Aggregation {
  mean,
  minimum,
  product,       // Σ log p of probabilities
  last,          // the score at the end
  mean_of_last,  // of the last m, or of all when there are fewer
  weighted,      // Σ k·s_k / Σ k with k = 1, 2, …: later steps count for more
  none_below,    // 1 when no score is under the threshold, 0 when any is
};

template <>
inline constexpr std::array<std::string_view, 7> enum_names<Aggregation>{
    "mean", "minimum", "product", "last", "mean_of_last", "weighted", "none_below"};

namespace detail {

inline void require_scores(std::string_view who, std::span<const double> scores) {
  if (scores.empty()) throw DataError(concat(who, ": there are no scores, expected at least one"));
  for (Index i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i])) {
      throw DataError(
          concat(who, ": score ", i, " of ", scores.size(), " is ", scores[i], ", expected finite numbers"));
    }
  }
}

}  // namespace detail

/// The aggregation of that name. Throws ConfigError that lists the known ones.
inline Aggregation aggregation_from_name(std::string_view name) {
  return value_from_name<Aggregation>("aggregation", name);
}

struct AggregateOptions {
  Index last = 4;          // m of mean_of_last
  double threshold = 0.5;  // of none_below
};

/// The first score under the threshold, or nothing. The first wrong step, when scores are probabilities of
/// good steps.
inline std::optional<Index> first_below(std::span<const double> scores, double threshold) {
  for (Index i = 0; i < scores.size(); ++i) {
    if (scores[i] < threshold) return i;
  }
  return std::nullopt;
}

/// One number for the scores of a completion's tokens or steps, in their order. Throws DataError when there
/// are none, when one is not finite, and for the product when one is no probability; ConfigError when m is 0.
/// A probability of exactly 0 counts in the product as the smallest normal number, so that the sum stays
/// finite.
inline double aggregate(std::span<const double> scores, Aggregation aggregation,
                        const AggregateOptions& options = {}) {
  detail::require_scores("aggregate", scores);
  const auto mean = [](std::span<const double> some) {
    double sum = 0;
    for (const double score : some) sum += score;
    return sum / static_cast<double>(some.size());
  };
  switch (aggregation) {
    case Aggregation::mean: return mean(scores);
    case Aggregation::minimum: return *std::min_element(scores.begin(), scores.end());
    case Aggregation::product: {
      double sum = 0;
      for (const double p : scores) {
        if (p < 0 || p > 1) {
          throw DataError(
              concat("aggregate: found ", p, ", expected probabilities from 0 to 1 for the product"));
        }
        sum += std::log(std::max(p, std::numeric_limits<double>::min()));
      }
      return sum;
    }
    case Aggregation::last: return scores.back();
    case Aggregation::mean_of_last:
      if (options.last == 0)
        throw ConfigError("aggregate: found the mean of the last 0, expected at least 1");
      return mean(scores.last(std::min(options.last, scores.size())));
    case Aggregation::weighted: {
      double sum = 0;
      double weights = 0;
      for (Index k = 0; k < scores.size(); ++k) {
        const auto weight = static_cast<double>(k + 1);
        sum += weight * scores[k];
        weights += weight;
      }
      return sum / weights;
    }
    case Aggregation::none_below: return first_below(scores, options.threshold) ? 0.0 : 1.0;
  }
  throw UsageError("found an aggregation that is none of the seven");
}

}  // namespace MERIT_ABI
}  // namespace merit
