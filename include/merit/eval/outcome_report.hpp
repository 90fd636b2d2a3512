// What is reported about right and wrong completions: ranking, accuracy, calibration, best of N, and the same
// for judges that only look at length or format.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/eval/best_of_n.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/eval/calibration.hpp"
#include "merit/eval/classification.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// One completion with its score and its label.
struct ScoredCompletion {
  double score = 0;        // orders completions, higher is better: the probability, or its logarithm where
                           // that has more digits (the aggregated product)
  double probability = 0;  // of being right
  double label = 0;        // 0 to 1; right from one half up
  Index problem = 0;       // completions of one problem have one number
  double weight = 1;       // how much it counts in all but the choice of the best; 0: nowhere
  bool cut = false;        // not read whole: no choice for the best of N where there is one that was
  // Nothing of it was left to be read: judged wrong whatever its label, below the right and above the wrong ones;
  // score and probability are not looked at.
  bool unseen = false;
  // What the baselines look at:
  Index length = 0;  // in tokens
  Index lines = 0;   // that are not blank
  bool states_answer = false;
  std::string answer = {};  // for votes; empty: it states none
};

struct OutcomeOptions {
  double threshold = 0.5;  // a probability from here up says "right"
  Index bins = 10;         // of the reliability table
  Index largest_n = 0;  // of the best-of-N curve; 0: as many as the smallest problem of several has, or 128
};

/// A judge that does not read the completions.
struct OutcomeBaseline {
  std::string_view name;
  std::optional<Estimate> area_under_curve;
  std::vector<Estimate> chosen;  // at the sizes of the report's curve: its top-scored is right
};

struct OutcomeReport {
  Index completions = 0;
  Index problems = 0;
  double right = 0;  // share of the completions
  Index cut = 0;     // of them not read whole
  Index unseen = 0;  // of those nothing was read

  std::optional<Estimate> area_under_curve;  // nothing when all are right or all wrong
  double threshold = 0;
  Estimate accuracy;                 // at the threshold
  double accuracy_of_one_label = 0;  // of always saying the more frequent label
  CalibrationReport calibration;     // bins and cross-entropy are of those that were seen
  Estimate
      calibration_error;  // calibration.expected_error with its interval; one that was not seen is off by 1
  Estimate brier;
  double brier_of_the_share = 0;  // of always saying the share of right completions

  std::string no_majority;          // why answers were not voted on, where some state one; empty: they were
  std::vector<BestOfNPoint> curve;  // for n = 1, 2, … up to largest_n, over all subsets
  Index curve_problems = 0;         // problems with at least that many completions
  std::optional<Estimate> weighted_majority;  // of the largest n: probabilities as votes; nothing without
                                              // answers, or where a problem has over 10,000 subsets
  std::vector<OutcomeBaseline> baselines;     // longest, shortest, most lines, fewest lines, states an answer
};

/// The report of scored completions; intervals are over problems, so completions of one problem count as one
/// draw. A majority is reported when any completion states an answer; a completion without one then votes
/// for itself alone. Throws DataError when there are no completions, a number is not finite, or a
/// probability or label is not from 0 to 1.
OutcomeReport report_outcomes(std::span<const ScoredCompletion> given, const OutcomeOptions& options = {});

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/eval/outcome_report_body.hpp"
#endif
