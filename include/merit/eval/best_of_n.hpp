// Best of N: is the answer that scores highest a right one?
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/eval/pairs.hpp"

namespace merit::inline MERIT_ABI {

/// The candidates of one problem.
struct Candidates {
  std::vector<double> scores;
  std::vector<double> correct;  // 1 or 0 (or a share) for each
};

/// Choosing by score, beside choosing blindly and choosing with the answers known.
struct BestOfNReport {
  Index problems = 0;
  Estimate chosen;  // the top-scored candidate is right; ties share
  double random = 0;
  double oracle = 0;
};

/// Throws UsageError when a problem has no candidates or unequal numbers of scores and labels, and DataError
/// when there are no problems or a score is not finite.
inline BestOfNReport report_best_of_n(std::span<const Candidates> problems) {
  if (problems.empty()) throw DataError("there are no problems to choose answers for");
  BestOfNReport report;
  report.problems = problems.size();
  const auto n = static_cast<double>(problems.size());
  std::vector<double> credits;
  for (const Candidates& problem : problems) {
    if (problem.scores.empty() || problem.scores.size() != problem.correct.size()) {
      throw UsageError("report_best_of_n: expected as many scores as labels, at least one, for each problem");
    }
    const double top = *std::max_element(problem.scores.begin(), problem.scores.end());
    double tied = 0;
    double tied_correct = 0;
    double correct = 0;
    for (Index i = 0; i < problem.scores.size(); ++i) {
      if (!std::isfinite(problem.scores[i])) {
        throw DataError(detail::concat("problem ", credits.size(), " of ", problems.size(), " has the score ",
                                       problem.scores[i], ", expected finite numbers"));
      }
      correct += problem.correct[i];
      if (problem.scores[i] != top) continue;
      tied += 1;
      tied_correct += problem.correct[i];
    }
    credits.push_back(tied_correct / tied);
    report.random += correct / static_cast<double>(problem.scores.size());
    report.oracle += *std::max_element(problem.correct.begin(), problem.correct.end());
  }
  report.random /= n;
  report.oracle /= n;
  report.chosen = bootstrap_mean(credits);
  return report;
}

}  // namespace merit::inline MERIT_ABI
