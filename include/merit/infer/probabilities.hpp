// Scores to probabilities of being good or right: of tokens, steps and whole completions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <ranges>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/infer/normalise.hpp"
#include "merit/infer/score.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A logit as calibration on held-out data corrects it: scale · logit + offset.
struct LogitCalibration {
  double scale = 1;
  double offset = 0;

  LogitCalibration() = default;
  LogitCalibration(double logit_scale, double logit_offset) : scale(logit_scale), offset(logit_offset) {}
  LogitCalibration(const Temperature& temperature) : scale(1 / temperature.value) {}
  LogitCalibration(const PlattScaling& platt) : scale(platt.slope), offset(platt.intercept) {}

  double operator()(double logit) const { return scale * logit + offset; }
};

/// What a neutral step counts as, where a head has three classes.
enum class NeutralCountsAs : std::uint8_t {
  good,  // as PRM800K is used (Lightman et al. 2023)
  bad,
};

struct ProbabilityOptions {
  NeutralCountsAs neutral = NeutralCountsAs::good;
  LogitCalibration calibration = {};
};

/// The logit log P(good) − log P(not good) of one row of scores: the score itself of a head with one, else
/// from the softmax over bad, good or over bad, neutral, good. Exact at any size of the scores. Throws
/// UsageError for another number of scores, DataError when one is not finite.
inline double good_logit(std::span<const double> row, NeutralCountsAs neutral = NeutralCountsAs::good) {
  if (row.empty() || row.size() > 3) {
    throw UsageError(concat("good_logit: found ", row.size(),
                            " scores a row, expected 1, 2 (bad, good) or 3 (bad, neutral, good)"));
  }
  detail::require_scores("good_logit", row);
  const auto either = [](double a, double b) {  // log(e^a + e^b)
    return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
  };
  if (row.size() == 1) return row[0];
  if (row.size() == 2) return row[1] - row[0];
  return neutral == NeutralCountsAs::good ? either(row[1], row[2]) - row[0] : row[2] - either(row[0], row[1]);
}

/// The probability that what this row is about is good: σ of the calibrated good_logit.
inline double good_probability(std::span<const double> row, const ProbabilityOptions& options = {}) {
  return sigmoid(options.calibration(good_logit(row, options.neutral)));
}

/// A probability for each row: each token, each step, or the completion.
inline std::vector<double> row_probabilities(const RowScores& scores,
                                             const ProbabilityOptions& options = {}) {
  std::vector<double> probabilities;
  for (Index i = 0; i < scores.rows(); ++i) {
    probabilities.push_back(good_probability(scores.row(i), options));
  }
  return probabilities;
}

/// One number for a completion from the probabilities of its rows. Throws DataError when it has no rows.
inline double completion_probability(const RowScores& scores, Aggregation aggregation,
                                     const AggregateOptions& aggregate_options = {},
                                     const ProbabilityOptions& options = {}) {
  return aggregate(row_probabilities(scores, options), aggregation, aggregate_options);
}

/// The probabilities of every row of every sequence of every example, in order: of tokens for an outcome
/// model, of steps for a process model, of the answer (one a completion) for a model of whole answers.
template <class Model, std::ranges::contiguous_range Examples>
std::vector<std::vector<double>> score_probabilities(Model& model, const Examples& examples,
                                                     const ProbabilityOptions& options = {},
                                                     Index token_budget = 8192,
                                                     const OnProgress& on_progress = {}) {
  static_assert(Model::HeadType::meaning != ScoreMeaning::per_state &&
                    Model::HeadType::meaning != ScoreMeaning::next_token,
                "merit: score_probabilities reads logits of being right, but this model's head gives values "
                "of states or logits of a vocabulary: use score_rows.");
  std::vector<std::vector<double>> result;
  for (const RowScores& scores : score_rows(model, examples, token_budget, on_progress)) {
    result.push_back(row_probabilities(scores, options));
  }
  return result;
}

}  // namespace MERIT_ABI
}  // namespace merit
