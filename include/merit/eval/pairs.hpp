// How well scores order pairs: accuracy with its interval, margins, and the baselines of length
// and format.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/forest/example.hpp"
#include "merit/infer/score.hpp"
#include "merit/loss/pairwise_loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A pair's credit: 1 if the chosen side is higher, 0 if lower, ½ for a tie.
inline double pair_credit(double chosen, double rejected) {
  return chosen > rejected ? 1.0 : chosen < rejected ? 0.0 : 0.5;
}

/// How many lines of the two texts are not blank.
struct PairLines {
  Index chosen = 0;
  Index rejected = 0;
};

/// What is reported about a set of pairs. All from counts over the whole set, in which a pair counts as much
/// as its weight. The better side of a pair is the likelier one by its soft label; pairs judged even have
/// none, and count in the loss and the scores alone.
struct PairReport {
  Index pairs = 0;
  Index even = 0;  // of them with a soft label of ½
  Index ties = 0;  // equal scores; each counts one half
  Index cut = 0;   // of a side not all was read: judged by the scores of what was
  Estimate accuracy;
  double loss =
      0;  // mean −p·log σ(chosen − rejected) − (1 − p)·log σ(rejected − chosen), p the soft label; no margins in it
  double mean_margin = 0;  // of the better side over the other
  double min_score = 0;
  double mean_score = 0;
  double max_score = 0;
  Estimate longer_wins;  // accuracy of preferring the longer completion, in tokens: the baseline of length
  Index length_ties = 0;
  std::optional<Estimate> more_lines_win;  // the same of more lines: the baseline of format; nothing where
                                           // the lines are not known
};

/// The report of given scores; `lines` may be empty. Intervals are over prompts: pairs of one prompt have one
/// number in `prompts`; where that is empty each pair is a prompt's. Throws DataError when there are no pairs
/// or none of a weight above 0 with a better side, or a score is not finite, UsageError when the numbers
/// differ.
inline PairReport report_pairs(std::span<const PairScores> scores,
                               std::span<const PreferenceExample> examples,
                               std::span<const PairLines> lines = {}, std::span<const Index> prompts = {}) {
  if (scores.empty()) throw DataError("there are no pairs to evaluate");
  if (scores.size() != examples.size() || (!lines.empty() && lines.size() != scores.size()) ||
      (!prompts.empty() && prompts.size() != scores.size()))
    throw UsageError("report_pairs: the scores, examples, lines and prompts differ in number");
  PairReport report;
  report.pairs = scores.size();
  report.min_score = std::min(scores[0].chosen, scores[0].rejected);
  report.max_score = std::max(scores[0].chosen, scores[0].rejected);
  double n = 0;  // the weight of all pairs
  for (const PreferenceExample& example : examples) n += example.weight;
  if (n == 0) throw DataError(concat("all ", scores.size(), " pairs have the weight 0"));
  std::vector<double> credits;
  std::vector<double> length_credits;
  std::vector<double> line_credits;
  std::vector<double> weights;        // of the credits
  std::vector<Index> credit_prompts;  // of the credits, where they are known
  double decided = 0;
  for (Index i = 0; i < scores.size(); ++i) {
    const auto [chosen, rejected] = scores[i];
    if (!std::isfinite(chosen) || !std::isfinite(rejected)) {
      throw DataError(concat("pair ", i, " of ", scores.size(), " has the scores ", chosen, " and ", rejected,
                             ", expected finite numbers"));
    }
    report.cut += examples[i].chosen.cut || examples[i].rejected.cut ? 1 : 0;
    const double p = examples[i].soft_label;
    const double weight = examples[i].weight;
    report.loss += weight * (p * softplus(rejected - chosen) + (1 - p) * softplus(chosen - rejected)) / n;
    report.mean_score += weight * (chosen + rejected) / (2 * n);
    report.min_score = std::min({report.min_score, chosen, rejected});
    report.max_score = std::max({report.max_score, chosen, rejected});
    const auto length = [](const Sequence& s) {
      return static_cast<double>(s.tokens.size() - s.completion_begin);
    };
    if (p == 0.5) {
      ++report.even;
      continue;
    }
    const auto credit = [p](double a, double b) { return p > 0.5 ? pair_credit(a, b) : pair_credit(b, a); };
    weights.push_back(weight);
    if (!prompts.empty()) credit_prompts.push_back(prompts[i]);
    decided += weight;
    report.mean_margin += weight * (p > 0.5 ? chosen - rejected : rejected - chosen);
    credits.push_back(credit(chosen, rejected));
    report.ties += chosen == rejected ? 1 : 0;
    if (!lines.empty())
      line_credits.push_back(
          credit(static_cast<double>(lines[i].chosen), static_cast<double>(lines[i].rejected)));
    const double a = length(examples[i].chosen);
    const double b = length(examples[i].rejected);
    length_credits.push_back(credit(a, b));
    report.length_ties += a == b ? 1 : 0;
  }
  if (credits.empty())
    throw DataError(concat("all ", scores.size(), " pairs were judged even: there is no better side"));
  if (decided == 0) throw DataError("all pairs with a better side have the weight 0");
  report.mean_margin /= decided;
  report.accuracy = detail::mean_over_prompts(credits, credit_prompts, weights);
  report.longer_wins = detail::mean_over_prompts(length_credits, credit_prompts, weights);
  if (!lines.empty())
    report.more_lines_win = detail::mean_over_prompts(line_credits, credit_prompts, weights);
  return report;
}

/// Scores the pairs and reports.
template <class Model>
PairReport evaluate_pairs(Model& model, std::span<const PreferenceExample> examples,
                          Index token_budget = 8192, const OnProgress& on_progress = {}) {
  return report_pairs(score(model, examples, token_budget, on_progress), examples);
}

}  // namespace MERIT_ABI
}  // namespace merit
