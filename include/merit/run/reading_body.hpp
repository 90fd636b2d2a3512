// The bodies of reading.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/score_meaning.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/infer/probabilities.hpp"
#include "merit/infer/score.hpp"
#include "merit/loss/numerics.hpp"
#include "merit/model/model_card.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/reading.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE Reading reading_of(const ModelCard& card, ScoreMeaning meaning, bool normalised) {
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

MERIT_INLINE std::vector<double> row_values(const RowScores& rows, const Reading& reading) {
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

MERIT_INLINE double completion_logit(double score, const Reading& reading) {
  if (!reading.has_rows() && !reading.is_regression) return score;
  const bool is_logarithm = reading.has_rows() && reading.aggregation == Aggregation::product;
  const double p = std::clamp(is_logarithm ? std::exp(score) : score, 1e-15, 1 - 1e-15);
  return (is_logarithm ? std::max(score, -700.0) : std::log(p)) - std::log1p(-p);
}

MERIT_INLINE double completion_probability(double score, const Reading& reading) {
  const double logit = completion_logit(score, reading);
  if (reading.calibrated && reading.meaning != ScoreMeaning::per_step) {
    return sigmoid(reading.scale * logit + reading.offset);
  }
  return sigmoid(logit);
}

MERIT_INLINE double shown_score(double score, const Reading& reading) {
  if (reading.standardised) return (score - reading.mean) / reading.deviation;
  if (reading.calibrated && !reading.compares && reading.meaning != ScoreMeaning::per_step)
    return completion_probability(score, reading);
  return score;
}

}  // namespace MERIT_ABI
}  // namespace merit
