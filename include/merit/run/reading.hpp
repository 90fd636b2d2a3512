// From the rows that a model scores to what is said of a completion: probabilities of tokens or steps, one
// number for the whole, and the same calibrated.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/score_meaning.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/infer/probabilities.hpp"
#include "merit/infer/score.hpp"
#include "merit/loss/numerics.hpp"
#include "merit/model/model_card.hpp"
#include "merit/run/any_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How the scores of a model are read.
struct Reading {
  ScoreMeaning meaning = ScoreMeaning::per_completion;
  bool is_regression = false;  // a score of a completion is the label itself and no logit
  bool compares = false;  // scores have a meaning beside one another alone: the model learned differences
  Aggregation aggregation = Aggregation::mean;
  AggregateOptions options = {};
  bool neutral_is_good = true;  // of ternary steps (Lightman et al. 2023)

  bool calibrated =
      false;  // a logit is scale · logit + offset; of a model that compares the logit of a pair is
              // the difference of its scores, and there is no offset
  double scale = 1;
  double offset = 0;
  bool standardised = false;  // a reward is (reward − mean) / deviation
  double mean = 0;
  double deviation = 1;

  bool is_normalised() const { return calibrated || standardised; }
  bool has_rows() const { return meaning != ScoreMeaning::per_completion; }
  bool gives_probabilities() const {
    return meaning == ScoreMeaning::per_token || meaning == ScoreMeaning::per_step;
  }
};

/// How the card of a model says that its scores are read; `meaning` is its head's. With `normalised`, by its
/// calibration if it has one, else by mean and deviation; ConfigError when it has neither. The
/// calibration of a model that compares is of pairs: one side's score is by mean and deviation, if the card
/// has them, and no probability.
inline Reading reading_of(const ModelCard& card, ScoreMeaning meaning, bool normalised) {
  Reading reading;
  reading.meaning = meaning;
  const std::string loss = card.loss.is_object() ? card.loss.value("name", "") : "";
  reading.is_regression = loss == "regression";
  reading.compares = loss == "pairwise" || loss == "hinge" || loss == "plackett_luce";
  if (!card.aggregation.empty()) {
    reading.aggregation = aggregation_from_name(card.aggregation);
  } else if (meaning == ScoreMeaning::per_step) {
    reading.aggregation = Aggregation::product;
  } else if (meaning == ScoreMeaning::per_state) {
    reading.aggregation = Aggregation::last;
  }
  if (!normalised) return reading;
  if (!card.calibration.empty()) {
    reading.calibrated = true;
    reading.scale = card.calibration_scale;
    reading.offset = card.calibration_offset;
  }
  const bool by_deviation = card.reward_mean && card.reward_deviation;
  if (by_deviation && (!reading.calibrated || reading.compares)) {
    reading.standardised = true;
    reading.mean = *card.reward_mean;
    reading.deviation = *card.reward_deviation;
  }
  if (!reading.is_normalised()) {
    throw ConfigError(
        "--normalised is given, but the card of the model has neither a calibration nor a reward mean and "
        "deviation; merit_train --calibrate FILE fits one");
  }
  return reading;
}

/// The logit that a token or step is good: the score itself, or for classes the logit of the good ones.
inline double logit_of_row(std::span<const double> row, const Reading& reading) {
  return good_logit(row, reading.neutral_is_good ? NeutralCountsAs::good : NeutralCountsAs::bad);
}

/// What is shown of each row: the probability that a token or step is good, or the value of a state.
inline std::vector<double> row_values(const RowScores& rows, const Reading& reading) {
  std::vector<double> values;
  for (Index i = 0; i < rows.rows(); ++i) {
    if (!reading.gives_probabilities()) {
      values.push_back(rows.row(i)[0]);
      continue;
    }
    double logit = logit_of_row(rows.row(i), reading);
    if (reading.calibrated && reading.meaning == ScoreMeaning::per_step)
      logit = reading.scale * logit + reading.offset;
    values.push_back(sigmoid(logit));
  }
  return values;
}

/// One number for a completion: its reward, or its rows aggregated.
inline double completion_score(const RowScores& rows, const AnyModel& model, const Reading& reading) {
  if (!reading.has_rows()) return model.merged(rows.values);
  return aggregate(row_values(rows, reading), reading.aggregation, reading.options);
}

/// The logit that a completion is right, of its score.
inline double completion_logit(double score, const Reading& reading) {
  if (!reading.has_rows() && !reading.is_regression) return score;
  const bool is_logarithm = reading.has_rows() && reading.aggregation == Aggregation::product;
  const double p = std::clamp(is_logarithm ? std::exp(score) : score, 1e-15, 1 - 1e-15);
  return (is_logarithm ? std::max(score, -700.0) : std::log(p)) - std::log1p(-p);
}

/// The probability that a completion is right, of its score; calibrated where the reading is.
inline double completion_probability(double score, const Reading& reading) {
  const double logit = completion_logit(score, reading);
  if (reading.calibrated && reading.meaning != ScoreMeaning::per_step) {
    return sigmoid(reading.scale * logit + reading.offset);
  }
  return sigmoid(logit);
}

/// A completion's score on the scale that the reading asks for: as it is, standardised, or as a calibrated
/// probability.
inline double shown_score(double score, const Reading& reading) {
  if (reading.standardised) return (score - reading.mean) / reading.deviation;
  if (reading.calibrated && !reading.compares && reading.meaning != ScoreMeaning::per_step)
    return completion_probability(score, reading);
  return score;
}

/// The logit that the first of two completions is the better one, of their scores as the model gives them:
/// calibrated where the reading is, else the difference of what is shown of them.
inline double pair_logit(double first, double second, const Reading& reading) {
  if (reading.calibrated && reading.compares) return reading.scale * (first - second);
  return shown_score(first, reading) - shown_score(second, reading);
}

}  // namespace MERIT_ABI
}  // namespace merit
