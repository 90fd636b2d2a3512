// From the rows that a model scores to what is said of a completion: probabilities of tokens or steps, one
// number for the whole, and the same calibrated.
#pragma once

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
  // Scores have a meaning beside one another alone: the model learned differences.
  bool compares = false;
  Aggregation aggregation = Aggregation::mean;
  AggregateOptions options = {};
  bool neutral_is_good = true;  // of ternary steps (Lightman et al. 2023)

  // A logit is scale · logit + offset; of a model that compares the logit of a pair is the difference of its
  // scores, and there is no offset.
  bool calibrated = false;
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
Reading reading_of(const ModelCard& card, ScoreMeaning meaning, bool normalised);

/// The logit that a token or step is good: the score itself, or for classes the logit of the good ones.
inline double logit_of_row(std::span<const double> row, const Reading& reading) {
  return good_logit(row, reading.neutral_is_good ? NeutralCountsAs::good : NeutralCountsAs::bad);
}

/// What is shown of each row: the probability that a token or step is good, or the value of a state.
std::vector<double> row_values(const RowScores& rows, const Reading& reading);

/// One number for a completion: its reward, or its rows aggregated.
inline double completion_score(const RowScores& rows, const AnyModel& model, const Reading& reading) {
  if (!reading.has_rows()) return model.merged(rows.values);
  return aggregate(row_values(rows, reading), reading.aggregation, reading.options);
}

/// The logit that a completion is right, of its score.
double completion_logit(double score, const Reading& reading);

/// The probability that a completion is right, of its score; calibrated where the reading is.
double completion_probability(double score, const Reading& reading);

/// A completion's score on the scale that the reading asks for: as it is, standardised, or as a calibrated
/// probability.
double shown_score(double score, const Reading& reading);

/// The logit that the first of two completions is the better one, of their scores as the model gives them:
/// calibrated where the reading is, else the difference of what is shown of them.
inline double pair_logit(double first, double second, const Reading& reading) {
  if (reading.calibrated && reading.compares) return reading.scale * (first - second);
  return shown_score(first, reading) - shown_score(second, reading);
}

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/reading_body.hpp"
#endif
