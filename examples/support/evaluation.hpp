// What is said of a model's scores of a set, for every kind of record.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "merit/eval/outcome_report.hpp"
#include "merit/eval/pairs.hpp"
#include "merit/eval/ranking_report.hpp"
#include "merit/eval/ratings_report.hpp"
#include "merit/eval/steps_report.hpp"
#include "records.hpp"
#include "scores.hpp"

namespace programs {

using merit::Json;

/// The scores of a set and the report of its kind: one of the five is there.
struct Evaluation {
  RecordKind kind = RecordKind::preference;
  std::vector<merit::RowScores> rows;  // of every sequence, in order
  std::vector<double> scores;          // one a sequence
  std::optional<double> loss;          // the model's own, where it learns from this kind

  std::optional<merit::PairReport> pairs;
  std::optional<merit::RankingReport> rankings;
  std::optional<merit::RatingsReport> ratings;
  std::vector<merit::RatingsReport> attributes;  // one an attribute, where there are several
  std::optional<merit::OutcomeReport> outcomes;
  std::optional<merit::StepsReport> steps;
  std::optional<merit::ValueReport> values;

  /// The one figure of which more is better, for early stopping, and what it is.
  double headline() const;
  const char* headline_name() const;
};

/// Scores a set and reports. `threshold` is that of outcomes and steps.
Evaluation evaluate(AnyModel& model, const RecordSet& set, const Reading& reading, double threshold,
                    Index token_budget, const merit::OnProgress& on_progress = {});

/// The report of some of the examples alone, of scores that are there already.
Evaluation evaluate_some(const AnyModel& model, const RecordSet& set, const Evaluation& all,
                         const std::vector<Index>& numbers, const Reading& reading, double threshold);

Json to_json(const merit::DataCounts& counts);
Json to_json(const merit::Estimate& estimate);
Json to_json(const Evaluation& evaluation);

/// "0.912 (95% interval 0.894 to 0.930)".
std::string text_of(const merit::Estimate& estimate);
/// The report as a person reads it, a line each.
std::string text_of(const Evaluation& evaluation);

/// Scores with labels, for what is fitted to them.
struct LabelledLogits {
  std::vector<double> logits;
  std::vector<double> labels;
};
/// What a calibration of this kind of model is fitted to: differences of pairs, completions, or steps. Throws
/// ConfigError for kinds whose scores are no logits.
LabelledLogits labelled_logits(const RecordSet& set, const Evaluation& evaluation, const Reading& reading);

/// The solutions of a steps set with the scores of their steps.
std::vector<merit::ScoredSolution> scored_solutions(const RecordSet& set,
                                                    const std::vector<merit::RowScores>& rows,
                                                    const Reading& reading);

}  // namespace programs
