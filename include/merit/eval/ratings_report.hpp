// What is reported about predicted numbers: ratings of completions, and returns of states (a value function).
#pragma once

#include <optional>
#include <span>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/eval/correlation.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A completion with its predicted and its given rating.
struct RatedCompletion {
  double score = 0;
  double rating = 0;
  Index prompt = 0;   // completions of one prompt have one number
  Index length = 0;   // in tokens
  Index lines = 0;    // that are not blank
  double weight = 1;  // how much it counts; 0: nowhere
};

/// How well some judge goes with ratings. An entry is nothing where it is not defined: a side that does not
/// vary, or no two completions of one prompt that were rated differently.
struct AgreementReport {
  std::optional<Estimate> pearson;
  std::optional<Estimate> spearman;
  // Of pairs of one prompt, rated differently; equal scores ½. Each weighs as the prompt's completions do in the
  // mean.
  std::optional<Estimate> pair_accuracy;
};

struct RatingsReport {
  Index completions = 0;
  Index prompts = 0;
  Index pairs = 0;  // of one prompt, rated differently
  AgreementReport model;
  std::optional<Estimate> mean_squared_error;  // nothing where scores and ratings are on two scales
  double error_of_the_mean = 0;                // mean squared error of always saying the mean rating
  AgreementReport length;  // the longer completion as the better one; below 0 or ½, the shorter
  AgreementReport lines;   // the same of more lines
};

/// A state with its predicted and its actual return.
struct PredictedReturn {
  std::optional<double> value = 0;  // nothing: a cut took the state, which the model has not read
  double actual = 0;
  Index rollout = 0;  // states of one rollout have one number
  double weight = 1;  // how much it counts; 0: nowhere
};

/// A state that was not seen is judged wrong: in squares it is as far off as any two of all the returns and
/// predictions are apart, and in the correlation it is predicted highest where its return is low, else lowest.
struct ValueReport {
  Index states = 0;  // those that were not seen among them
  Index unseen = 0;
  Index rollouts = 0;
  Estimate mean_squared_error;
  double error_of_the_mean = 0;  // mean squared error of always saying the mean return
  std::optional<Estimate>
      explained_variance;               // 1 − Var(actual − value) / Var(actual), the squares of what was
                                        // not seen in the first; nothing when the returns do not vary
  std::optional<Estimate> correlation;  // Pearson's; nothing when a side does not vary
};

/// The report of one attribute's ratings; intervals are over prompts. Throws DataError when there are none, all
/// have the weight 0 or a number is not finite.
RatingsReport report_ratings(std::span<const RatedCompletion> completions);

/// The report of a value function; intervals are over rollouts. Throws DataError when there are no states, all
/// have the weight 0, none was seen or a number is not finite.
ValueReport report_values(std::span<const PredictedReturn> states);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/eval/ratings_report_body.hpp"
#endif
