// The bodies of best_of_n.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/eval/best_of_n.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE BestOfNReport report_best_of_n(std::span<const Candidates> problems) {
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
        throw DataError(concat("problem ", credits.size(), " of ", problems.size(), " has the score ",
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

namespace detail {

MERIT_INLINE double number_of_subsets(Index all, Index n) {
  double subsets = 1;
  for (Index i = 0; i < n; ++i) subsets *= static_cast<double>(all - i) / static_cast<double>(i + 1);
  return subsets;
}

MERIT_INLINE void require_subset(std::string_view who, const Candidates& problem, Index n) {
  const Index size = problem.correct.size();
  if (size == 0 || problem.scores.size() != size) {
    throw UsageError(concat(who, ": expected as many scores as labels, at least one"));
  }
  if (n == 0 || n > size)
    throw UsageError(concat(who, ": found subsets of ", n, ", expected from 1 to the ", size, " candidates"));
  for (Index i = 0; i < size; ++i) {
    if (!std::isfinite(problem.scores[i]) || !std::isfinite(problem.correct[i]))
      throw DataError(concat(who, ": candidate ", i, " has the score ", problem.scores[i], " and the label ",
                             problem.correct[i], ", expected finite numbers"));
  }
}

/// C(part, n) / C(all, n): the share of subsets of size n that lie inside a part.
inline double share_of_subsets(Index part, Index all, Index n) {
  if (part < n) return 0;
  double share = 1;
  for (Index i = 0; i < n; ++i) share *= static_cast<double>(part - i) / static_cast<double>(all - i);
  return share;
}

MERIT_INLINE double expected_top(std::span<const double> keys, std::span<const double> credits, Index n) {
  const std::vector<Index> order = by_weight(keys);
  double expected = 0;
  for (Index begin = 0; begin < order.size();) {
    Index end = begin;
    double credit = 0;
    for (; end < order.size() && keys[order[end]] == keys[order[begin]]; ++end) credit += credits[order[end]];
    const double share = share_of_subsets(end, order.size(), n) - share_of_subsets(begin, order.size(), n);
    expected += share * credit / static_cast<double>(end - begin);
    begin = end;
  }
  return expected;
}

/// The mean correctness of each answer's candidates, by answer_numbers.
inline std::vector<double> answer_credits(std::span<const Index> numbers, std::span<const double> correct) {
  std::vector<double> credits;
  std::vector<double> counts;
  for (Index i = 0; i < numbers.size(); ++i) {
    if (numbers[i] == credits.size()) credits.push_back(0), counts.push_back(0);
    credits[numbers[i]] += correct[i];
    counts[numbers[i]] += 1;
  }
  for (Index a = 0; a < credits.size(); ++a) credits[a] /= counts[a];
  return credits;
}

inline std::vector<Index> require_answers(std::string_view who, const Candidates& problem) {
  if (problem.answers.size() != problem.correct.size())
    throw UsageError(concat(who, ": found ", problem.answers.size(), " answers, expected ",
                            problem.correct.size(), ", one a candidate"));
  return answer_numbers(problem.answers);
}

}  // namespace detail

MERIT_INLINE double expected_majority(const Candidates& problem, Index n) {
  detail::require_subset("expected_majority", problem, n);
  const std::vector<Index> numbers = detail::require_answers("expected_majority", problem);
  const Index size = numbers.size();
  if (size > most_voting_candidates) {
    throw UsageError(
        concat("expected_majority: found ", size, " candidates, expected at most ", most_voting_candidates));
  }
  const std::vector<double> credits = detail::answer_credits(numbers, problem.correct);
  std::vector<Index> votes(credits.size(), 0);
  for (const Index number : numbers) ++votes[number];

  double expected = 0;
  const Index most_votes = *std::max_element(votes.begin(), votes.end());
  for (Index k = 1; k <= std::min(n, most_votes); ++k) {
    const Index most_ties = n / k;
    // [drawn][tied]: subsets of the answers so far, and the sum over them of the credits of the tied answers.
    const auto at = [&](Index drawn, Index tied) { return drawn * (most_ties + 1) + tied; };
    std::vector<double> ways((n + 1) * (most_ties + 1), 0.0);
    std::vector<double> worth(ways.size(), 0.0);
    ways[0] = 1;
    for (Index a = 0; a < votes.size(); ++a) {
      std::vector<double> next_ways(ways.size(), 0.0);
      std::vector<double> next_worth(ways.size(), 0.0);
      double choose = 1;  // C(votes[a], j)
      for (Index j = 0; j <= std::min(k, votes[a]); ++j) {
        const Index ties = j == k ? 1 : 0;
        for (Index drawn = 0; drawn + j <= n; ++drawn) {
          for (Index tied = 0; tied + ties <= most_ties; ++tied) {
            const Index from = at(drawn, tied);
            const Index to = at(drawn + j, tied + ties);
            next_ways[to] += choose * ways[from];
            next_worth[to] += choose * (worth[from] + (ties == 1 ? credits[a] * ways[from] : 0.0));
          }
        }
        choose *= static_cast<double>(votes[a] - j) / static_cast<double>(j + 1);
      }
      ways.swap(next_ways);
      worth.swap(next_worth);
    }
    for (Index tied = 1; tied <= most_ties; ++tied)
      expected += worth[at(n, tied)] / static_cast<double>(tied);
  }
  return expected / detail::number_of_subsets(size, n);
}

MERIT_INLINE double expected_weighted_majority(const Candidates& problem, Index n) {
  detail::require_subset("expected_weighted_majority", problem, n);
  const std::vector<Index> numbers = detail::require_answers("expected_weighted_majority", problem);
  detail::require_vote_weights(problem.scores);
  const Index size = numbers.size();
  constexpr double limit = 2e6;
  const double subsets = detail::number_of_subsets(size, n);
  if (subsets > limit * (1 + 1e-9)) {
    throw UsageError(concat("expected_weighted_majority: found ", subsets, " subsets of ", n, " of ", size,
                            " candidates, expected at most 2 million"));
  }
  const std::vector<double> credits = detail::answer_credits(numbers, problem.correct);
  const std::vector<Index> order = detail::by_weight(problem.scores);
  std::vector<Index> chosen(n);  // positions in `order`, ascending
  std::iota(chosen.begin(), chosen.end(), Index{0});
  std::vector<double> sums(credits.size());
  std::vector<bool> present(credits.size());
  double total = 0;
  double count = 0;
  for (bool more = true; more;) {
    std::fill(sums.begin(), sums.end(), 0.0);
    std::fill(present.begin(), present.end(), false);
    for (const Index position : chosen) {
      sums[numbers[order[position]]] += problem.scores[order[position]];
      present[numbers[order[position]]] = true;
    }
    const double top = *std::max_element(sums.begin(), sums.end());
    double tied = 0;
    double worth = 0;
    for (Index a = 0; a < sums.size(); ++a) {
      if (!present[a] || sums[a] != top) continue;
      tied += 1;
      worth += credits[a];
    }
    total += worth / tied;
    count += 1;
    // The next subset: raise the last position that can be raised, and put those after it right behind.
    more = false;
    for (Index i = n; i-- > 0;) {
      if (chosen[i] == size - n + i) continue;
      ++chosen[i];
      for (Index j = i + 1; j < n; ++j) chosen[j] = chosen[j - 1] + 1;
      more = true;
      break;
    }
  }
  return total / count;
}

MERIT_INLINE std::vector<BestOfNPoint> best_of_n_curve(std::span<const Candidates> problems,
                                                       std::span<const Index> sizes) {
  if (problems.empty()) throw DataError("there are no problems to choose answers for");
  const bool vote = std::all_of(problems.begin(), problems.end(),
                                [](const Candidates& problem) { return !problem.answers.empty(); });
  std::vector<BestOfNPoint> curve;
  for (const Index n : sizes) {
    std::vector<double> chosen, pass, voted;
    for (const Candidates& problem : problems) {
      chosen.push_back(expected_best_of(problem, n));
      pass.push_back(pass_at(problem, n));
      if (vote) voted.push_back(expected_majority(problem, n));
    }
    curve.push_back(
        {n, bootstrap_mean(chosen), bootstrap_mean(pass), vote ? bootstrap_mean(voted) : Estimate{}});
  }
  return curve;
}

}  // namespace MERIT_ABI
}  // namespace merit
