// What is said of a model's scores of a set, for every kind of record.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "merit/eval/outcome_report.hpp"
#include "merit/eval/pairs.hpp"
#include "merit/eval/ranking_report.hpp"
#include "merit/eval/ratings_report.hpp"
#include "merit/eval/steps_report.hpp"
#include "merit/io/json.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_set.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The scores of a set and the report of its kind: one of the six optional ones is there.
struct Evaluation {
  RecordKind kind = RecordKind::preference;
  std::vector<RowScores> rows;  // of every sequence, in order
  std::vector<double> scores;   // one a sequence; 0 where a cut left nothing to score
  std::optional<double> loss;   // the model's own, where it learns from this kind
  Index read = 0;               // records of the files
  Index left_out = 0;           // of them without a score: the figures are of the others
  Index repeats = 0;            // of those others the ones that say what one before them says, labels and all

  std::optional<PairReport> pairs;
  std::optional<RankingReport> rankings;
  std::optional<RatingsReport> ratings;
  std::vector<RatingsReport> attributes;  // one an attribute, where there are several
  std::optional<OutcomeReport> outcomes;
  std::optional<StepsReport> steps;
  std::optional<ValueReport> values;

  /// The one figure of which more is better, for early stopping, and what it is.
  double headline() const;
  const char* headline_name() const;
};

/// Scores a set and reports. `threshold` is that of outcomes and steps.
Evaluation evaluate(AnyModel& model, const RecordSet& set, const Reading& reading, double threshold,
                    Index token_budget, const OnProgress& on_progress = {});

/// Reports on scores that are there already, one a sequence in their order, as of a judge; the loss of a model is none's.
Evaluation evaluate_scores(const RecordSet& set, std::span<const double> scores, const Reading& reading,
                           double threshold);

/// The report of some of the examples alone, of scores that are there already; `model`: whose they are, or nullptr.
Evaluation evaluate_some(const AnyModel* model, const RecordSet& set, const Evaluation& all,
                         const std::vector<Index>& numbers, const Reading& reading, double threshold);

Json to_json(const DataCounts& counts);
/// The counts of a set, and `unread`.
Json to_json(const RecordSet& set);
Json to_json(const Estimate& estimate);
Json to_json(const Evaluation& evaluation);

/// "0.912 (95% interval 0.894 to 0.930)".
std::string text_of(const Estimate& estimate);
/// The report as a person reads it, a line each.
std::string text_of(const Evaluation& evaluation);

/// Scores with labels, for what is fitted to them.
struct LabelledLogits {
  std::vector<double> logits;
  std::vector<double> labels;
  std::vector<double> weights;  // of their records
};
/// What a calibration of this kind of model is fitted to: differences of pairs, completions, or steps. Throws
/// ConfigError for kinds whose scores are no logits, DataError for a ranking of more than
/// most_completions_in_pairs.
LabelledLogits labelled_logits(const RecordSet& set, const Evaluation& evaluation, const Reading& reading);

/// The solutions of a steps set with the scores of their steps.
std::vector<ScoredSolution> scored_solutions(const RecordSet& set, const std::vector<RowScores>& rows,
                                             const Reading& reading);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/evaluation_body.hpp"
#include "merit/run/evaluation_text_body.hpp"
#endif
