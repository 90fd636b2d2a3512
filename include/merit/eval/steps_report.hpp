// What is reported about the steps of solutions: is the first wrong one found, and is each step judged right?
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/eval/classification.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A solution with a score for each step, such as P(good), and what is known of each step. Steps that a cut
/// took from the model's sight have no score, and count as judged wrong.
struct ScoredSolution {
  std::vector<double> scores;             // of the steps seen; higher is better
  std::vector<std::optional<bool>> good;  // one a step; nothing: not labelled, as steps after the first error
  Index problem = 0;                      // solutions of one problem have one number
  Index unseen_before = 0;                // steps before those seen
  Index unseen_behind = 0;                // … and behind them
  double weight = 1;                      // how much it counts, with its steps; 0: nowhere

  bool is_cut() const { return unseen_before + unseen_behind > 0; }
};

/// The first step that is labelled wrong; nothing when none is.
FirstError first_wrong(const ScoredSolution& solution);

/// The first step that the scores call wrong; nothing where all are seen and none is. Where none of those seen
/// is called wrong and others are not seen, it is a place behind the last step, which is no solution's first
/// error: nothing is accepted that was not read.
FirstError predicted_first_wrong(const ScoredSolution& solution, double threshold);

/// A score for each step, in which one that was not seen loses: below all others where it is good, above all
/// where it is bad.
std::vector<double> scores_with_unseen(const ScoredSolution& solution);

/// A threshold under which a step counts as wrong, with what it reaches on the solutions it was fitted to.
struct StepThreshold {
  double threshold = 0.5;
  double f1 = 0;     // harmonic mean of found and accepted
  double exact = 0;  // share of solutions whose first error, or lack of one, is named
};

/// The threshold of the best F1 of first errors, and among equal ones of the most solutions right, and then
/// the lowest. Fit it on solutions held out from training, and report on others. Each solution is right for
/// the thresholds of one interval, or where a cut hides what decides it of none, so all of them are tried
/// by sorting. Solutions without labels are left out; DataError when none is left.
StepThreshold fit_step_threshold(std::span<const ScoredSolution> solutions);

/// A guess that looks at no step.
struct StepsBaseline {
  std::string_view name;
  double exact = 0;
  double found = 0;
  double accepted = 0;
  double f1 = 0;
};

struct StepsReport {
  Index solutions = 0;   // with any label
  Index unlabelled = 0;  // solutions without, left out
  Index steps = 0;       // labelled, those that were not seen among them
  Index cut = 0;         // solutions of which a cut took steps
  Index unseen = 0;      // labelled steps that a cut took: judged wrong
  double threshold = 0;  // a step under it counts as wrong

  Estimate exact;                 // the first error, or that there is none, is named exactly
  Index erroneous = 0;            // solutions with an error
  Index correct = 0;              // without
  std::optional<Estimate> found;  // of the erroneous, those whose first error is named; nothing where none is
  std::optional<Estimate> accepted;  // of the correct, those called so; nothing where none is
  /// ProcessBench's figures; nothing when all solutions are erroneous or all correct.
  std::optional<FirstErrorReport> first_errors;
  std::optional<Estimate> f1;  // first_errors->f1 with its interval

  BinaryCounts counts;  // of labelled steps, unweighted; a good step is the positive one
  Estimate step_accuracy;
  double f1_of_good = 0;
  double f1_of_bad = 0;
  double macro_f1 = 0;                       // the mean of the two
  std::optional<Estimate> area_under_curve;  // of the steps' scores; nothing when all are good or all bad

  double step_accuracy_of_all_good = 0;     // of calling every step good, weighted as that
  std::optional<Estimate> area_of_earlier;  // of scoring a step by its place, an earlier one higher
  std::vector<StepsBaseline> baselines;     // "no error" always, "first step" always
};

/// The report of scored solutions at a threshold fitted on others (fit_step_threshold). Intervals are over
/// problems. Throws DataError when no solution has a label or a score is not finite.
StepsReport report_steps(std::span<const ScoredSolution> solutions, double threshold = 0.5);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/eval/steps_report_body.hpp"
#endif
