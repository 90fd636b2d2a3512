// Best of N: is the answer that scores highest a right one? For the N at hand, and for every smaller n in
// expectation over all subsets, without the noise of drawing some.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The candidates of one problem.
struct Candidates {
  std::vector<double> scores;
  std::vector<double> correct;            // 1 or 0 (or a share) for each
  std::vector<std::string> answers = {};  // the final answer of each, for votes; empty where there are none
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
BestOfNReport report_best_of_n(std::span<const Candidates> problems);

namespace detail {

/// C(all, n), as a double.
double number_of_subsets(Index all, Index n);

void require_subset(std::string_view who, const Candidates& problem, Index n);

/// The mean, over all subsets of size n, of the credit of the member with the highest key; ties share.
/// A group of equal keys is on top of the subsets that lie in it and the lower ones, but not in the lower
/// ones alone; by symmetry the members of a tie are worth the group's mean.
double expected_top(std::span<const double> keys, std::span<const double> credits, Index n);

}  // namespace detail

/// How correct the top-scored of n candidates is, in expectation over all subsets of n of them; ties share.
/// Throws UsageError when n is 0 or more than there are.
inline double expected_best_of(const Candidates& problem, Index n) {
  detail::require_subset("expected_best_of", problem, n);
  return detail::expected_top(problem.scores, problem.correct, n);
}

/// How correct the best of n candidates is, over all subsets of n of them: pass@n, for labels 0 and 1 equal
/// to 1 − C(N − c, n) / C(N, n) (Chen et al. 2021).
inline double pass_at(const Candidates& problem, Index n) {
  detail::require_subset("pass_at", problem, n);
  return detail::expected_top(problem.correct, problem.correct, n);
}

/// The most candidates whose votes are counted: time grows with the third power of their number.
inline constexpr Index most_voting_candidates = 1000;

/// How correct the most frequent answer of n candidates is, over all subsets of n of them; tied answers
/// share. Exact, by counting subsets: for each number of votes k that may win, the subsets in which no answer
/// has more, with how many tie and what those are worth. For at most most_voting_candidates.
double expected_majority(const Candidates& problem, Index n);

/// How correct the answer with the largest sum of scores among n candidates is, over all subsets of n of
/// them; tied answers share. Scores must not be negative (see weighted_majority). Sums of scores have no
/// short cut: every subset is looked at, and more than two million of them are refused with a UsageError.
double expected_weighted_majority(const Candidates& problem, Index n);

/// One point of a best-of-n curve, each the mean over problems of the expectation over all subsets.
struct BestOfNPoint {
  Index n = 0;
  Estimate chosen;    // the top-scored is right; ties share
  Estimate pass;      // any is right: what a perfect choice reaches
  Estimate majority;  // the most frequent answer is right; only for problems with answers, else 0
};

/// The curve at the given sizes, none more than a problem has candidates. Intervals are over problems.
std::vector<BestOfNPoint> best_of_n_curve(std::span<const Candidates> problems, std::span<const Index> sizes);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/eval/best_of_n_body.hpp"
#endif
