// Reading scores.
#include "scores.hpp"

#include <algorithm>
#include <cmath>

#include "merit/infer/probabilities.hpp"
#include "merit/loss/numerics.hpp"

namespace programs {

Reading reading_of(const merit::ModelCard& card, ScoreMeaning meaning, bool normalised) {
  Reading reading;
  reading.meaning = meaning;
  reading.is_regression = card.loss.is_object() && card.loss.value("name", "") == "regression";
  if (!card.aggregation.empty()) {
    reading.aggregation = merit::aggregation_from_name(card.aggregation);
  } else if (meaning == ScoreMeaning::per_step) {
    reading.aggregation = merit::Aggregation::product;
  } else if (meaning == ScoreMeaning::per_state) {
    reading.aggregation = merit::Aggregation::last;
  }
  if (!normalised) return reading;
  if (!card.calibration.empty()) {
    reading.calibrated = true;
    reading.scale = card.calibration_scale;
    reading.offset = card.calibration_offset;
  } else if (card.reward_mean && card.reward_deviation) {
    reading.standardised = true;
    reading.mean = *card.reward_mean;
    reading.deviation = *card.reward_deviation;
  } else {
    throw merit::ConfigError(
        "--normalised is given, but the card of the model has neither a calibration nor a reward mean and "
        "deviation; merit_train --calibrate FILE fits one");
  }
  return reading;
}

double logit_of_row(std::span<const double> row, const Reading& reading) {
  using merit::NeutralCountsAs;
  return merit::good_logit(row, reading.neutral_is_good ? NeutralCountsAs::good : NeutralCountsAs::bad);
}

std::vector<double> row_values(const merit::RowScores& rows, const Reading& reading) {
  std::vector<double> values;
  for (Index i = 0; i < rows.rows(); ++i) {
    if (!reading.gives_probabilities()) {
      values.push_back(rows.row(i)[0]);
      continue;
    }
    double logit = logit_of_row(rows.row(i), reading);
    if (reading.calibrated && reading.meaning == ScoreMeaning::per_step)
      logit = reading.scale * logit + reading.offset;
    values.push_back(merit::sigmoid(logit));
  }
  return values;
}

double completion_score(const merit::RowScores& rows, const AnyModel& model, const Reading& reading) {
  if (!reading.has_rows()) return model.merged(rows.row(0));
  return merit::aggregate(row_values(rows, reading), reading.aggregation, reading.options);
}

double completion_logit(double score, const Reading& reading) {
  if (!reading.has_rows() && !reading.is_regression) return score;
  const bool is_logarithm = reading.has_rows() && reading.aggregation == merit::Aggregation::product;
  const double p = std::clamp(is_logarithm ? std::exp(score) : score, 1e-15, 1 - 1e-15);
  return (is_logarithm ? std::max(score, -700.0) : std::log(p)) - std::log1p(-p);
}

double completion_probability(double score, const Reading& reading) {
  const double logit = completion_logit(score, reading);
  if (reading.calibrated && reading.meaning != ScoreMeaning::per_step) {
    return merit::sigmoid(reading.scale * logit + reading.offset);
  }
  return merit::sigmoid(logit);
}

double shown_score(double score, const Reading& reading) {
  if (reading.standardised) return (score - reading.mean) / reading.deviation;
  if (reading.calibrated && reading.meaning != ScoreMeaning::per_step)
    return completion_probability(score, reading);
  return score;
}

}  // namespace programs
