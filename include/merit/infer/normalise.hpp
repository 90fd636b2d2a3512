// Scores on a common scale: mean and deviation, temperature, Platt scaling; applied and fitted.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/loss/pairwise_loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// (score − mean) / deviation: scores of mean 0 and variance 1 over the set it was fitted on.
struct Normalisation {
  double mean = 0;
  double deviation = 1;

  double operator()(double score) const { return (score - mean) / deviation; }
};

/// The mean and the standard deviation (Bessel-corrected, as torch.std) of the scores. Throws DataError when
/// there are fewer than two, they are all equal, or one is not finite.
Normalisation fit_normalisation(std::span<const double> scores);

/// σ(logit / temperature). Above 1 it takes confidence away; the order of scores stays.
struct Temperature {
  double value = 1;

  double operator()(double logit) const { return sigmoid(logit / value); }
};

/// σ(slope · score + intercept) (Platt 1999, who writes A = −slope and B = −intercept).
struct PlattScaling {
  double slope = 1;
  double intercept = 0;

  double operator()(double score) const { return sigmoid(slope * score + intercept); }
};

namespace detail {

void require_labels(std::string_view who, std::span<const double> scores, std::span<const double> labels);

/// Scores, labels and weights of what counts: those of weight 0 are left out.
struct WeightedLabels {
  std::vector<double> scores;
  std::vector<double> labels;
  std::vector<double> weights;
};
WeightedLabels weighted_labels(std::string_view who, std::span<const double> scores,
                               std::span<const double> labels, std::span<const double> weights);

/// Cross-entropy of a probability σ(x) against a label: softplus(x) − label · x, without cancelling at large
/// |x|.
inline double logit_loss(double x, double label) {
  return label * softplus(-x) + (1 - label) * softplus(x);
}

}  // namespace detail

/// The temperature of the least cross-entropy of σ(logit / T) against labels from 0 to 1 (Guo et al. 2017).
/// Fit it on data that the model was not trained on. The loss is convex in 1/T, which Newton's method finds
/// inside an interval that halves where a step would leave it. Each logit counts as much as its weight, 0 or above,
/// or one where there are none. Throws DataError when no temperature is best:
/// the logits are no better than a guess (T would be infinite), or their signs are all right (T would be 0).
Temperature fit_temperature(std::span<const double> logits, std::span<const double> labels,
                            std::span<const double> weights = {});

/// Which labels Platt scaling is fitted to.
enum class PlattTargets {
  smoothed,  // (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2), as Platt gives them: there is always a best fit
  as_given,
};

/// Slope and intercept of the least cross-entropy against labels from 0 to 1, by Newton's method with halved
/// steps (Lin, Lin and Weng 2007); weights as there, and in the counts N₊ and N₋. Throws DataError when all scores or all labels are equal, or when labels
/// taken as given are separated by a threshold, which no finite slope fits best.
PlattScaling fit_platt(std::span<const double> scores, std::span<const double> labels,
                       PlattTargets targets = PlattTargets::smoothed, std::span<const double> weights = {});

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/infer/normalise_body.hpp"
#endif
