// The bodies of outcome_report.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
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
#include "merit/eval/outcome_report.hpp"
#include "merit/infer/rerank.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// The expected calibration error with its interval over groups; each counts as much as its weight, or one for
/// none. What has no bin (the marks of `unseen`) is off by 1, which no other makes up for.
inline Estimate calibration_error_by_groups(std::span<const double> probabilities,
                                            std::span<const double> labels, std::span<const Index> groups,
                                            Index number_of_groups, Index bins,
                                            std::span<const double> weights = {},
                                            std::span<const std::uint8_t> unseen = {}) {
  std::vector<double> gaps(bins);
  return bootstrap_groups(number_of_groups, [&](std::span<const double> draws) {
    std::fill(gaps.begin(), gaps.end(), 0.0);
    double n = 0;
    double missed = 0;
    for (Index i = 0; i < probabilities.size(); ++i) {
      const double weight = draws[groups[i]] * (weights.empty() ? 1.0 : weights[i]);
      if (!unseen.empty() && unseen[i] != 0) {
        missed += weight;
        n += weight;
        continue;
      }
      gaps[bin_of(probabilities[i], bins)] += weight * (probabilities[i] - labels[i]);
      n += weight;
    }
    double error = missed / n;
    for (const double gap : gaps) error += std::abs(gap) / n;
    return error;
  });
}

/// The largest n of the curve: as asked, or what every problem with several completions has; 0 when none has. More
/// points than 128 say no more, and each takes time with the number of completions.
inline Index curve_size(std::span<const std::vector<Index>> members, Index asked) {
  if (asked != 0) return asked;
  Index smallest = std::numeric_limits<Index>::max();
  for (const auto& problem : members) {
    if (problem.size() > 1) smallest = std::min(smallest, problem.size());
  }
  return smallest == std::numeric_limits<Index>::max() ? 0 : std::min<Index>(smallest, 128);
}

/// The answers of a problem's completions, for votes. One that states none votes for itself alone.
inline std::vector<std::string> votable_answers(std::span<const ScoredCompletion> completions,
                                                std::span<const Index> members) {
  std::vector<std::string> answers;
  for (const Index i : members) {
    const std::string& answer = completions[i].answer;
    answers.push_back(answer.empty() ? concat('\0', i) : answer);
  }
  return answers;
}

}  // namespace detail

MERIT_INLINE OutcomeReport report_outcomes(std::span<const ScoredCompletion> given,
                                           const OutcomeOptions& options) {
  std::vector<ScoredCompletion> completions(given.begin(), given.end());
  std::erase_if(completions, [](const ScoredCompletion& one) { return one.weight == 0; });
  if (completions.empty()) throw DataError("there are no completions to report on, or all have the weight 0");
  double n = 0;
  std::vector<double> scores, probabilities, labels, hits, squares, weights;
  std::vector<std::uint8_t> right, unseen;
  std::vector<double> choice_scores;
  std::vector<bool> cut;
  std::vector<Index> numbers;
  std::vector<double> seen_scores, seen_probabilities, seen_labels, seen_weights;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (ScoredCompletion& one : completions) {
    const bool is_right = one.label >= 0.5;
    if (one.unseen) one.probability = 0;  // no vote
    if (!one.unseen) {
      seen_scores.push_back(one.score);
      seen_probabilities.push_back(one.probability);
      seen_labels.push_back(one.label);
      seen_weights.push_back(one.weight);
    }
    scores.push_back(!one.unseen ? one.score : is_right ? -infinity : infinity);
    probabilities.push_back(one.probability);
    labels.push_back(one.label);
    choice_scores.push_back(one.unseen ? std::numeric_limits<double>::lowest() : one.score);
    cut.push_back(one.cut || one.unseen);
    right.push_back(is_right ? 1 : 0);
    unseen.push_back(one.unseen ? 1 : 0);
    hits.push_back(!one.unseen && (one.probability >= options.threshold) == is_right ? 1 : 0);
    squares.push_back(one.unseen ? 1 : (one.probability - one.label) * (one.probability - one.label));
    numbers.push_back(one.problem);
    weights.push_back(one.weight);
    n += one.weight;
  }
  if (!seen_scores.empty()) detail::require_scores("report_outcomes", seen_scores);
  const std::vector<Index> groups = detail::answer_numbers(numbers);
  const std::vector<std::vector<Index>> members = detail::members_of(groups);

  OutcomeReport report;
  report.completions = completions.size();
  report.problems = members.size();
  for (const ScoredCompletion& one : completions) {
    report.cut += one.cut || one.unseen ? 1 : 0;
    report.unseen += one.unseen ? 1 : 0;
  }
  if (!seen_labels.empty())
    report.calibration = report_calibration(seen_probabilities, seen_labels, options.bins, seen_weights);
  double mean_label = 0;
  for (Index i = 0; i < right.size(); ++i) {
    report.right += weights[i] * right[i] / n;
    mean_label += weights[i] * labels[i] / n;
  }
  for (Index i = 0; i < labels.size(); ++i) {
    report.brier_of_the_share += weights[i] * (labels[i] - mean_label) * (labels[i] - mean_label) / n;
  }
  report.area_under_curve = detail::area_by_groups(scores, right, groups, members.size(), weights);
  report.threshold = options.threshold;
  report.accuracy = detail::mean_by_groups(hits, groups, members.size(), weights);
  report.accuracy_of_one_label = std::max(report.right, 1 - report.right);
  report.brier = detail::mean_by_groups(squares, groups, members.size(), weights);
  report.calibration_error = detail::calibration_error_by_groups(
      probabilities, labels, groups, members.size(), options.bins, weights, unseen);
  report.calibration.expected_error = report.calibration_error.value;
  report.calibration.brier = report.brier.value;
  if (report.unseen != 0) report.calibration.largest_error = 1;

  // Best of N. A judge is a number for each completion.
  const Index largest = detail::curve_size(members, options.largest_n);
  std::vector<Index> sizes;
  for (Index size = 1; size <= largest; ++size) sizes.push_back(size);
  bool answers = std::any_of(completions.begin(), completions.end(),
                             [](const ScoredCompletion& one) { return !one.answer.empty(); });
  const Index most = std::max_element(members.begin(), members.end(), [](const auto& a, const auto& b) {
                       return a.size() < b.size();
                     })->size();
  if (answers && most > most_voting_candidates) {
    answers = false;
    report.no_majority =
        concat("a problem has ", most, " completions, expected at most ", most_voting_candidates);
  }
  const auto candidates_of = [&](std::span<const double> judged, bool with_answers) {
    std::vector<Candidates> problems;
    for (const auto& problem : members) {
      if (largest == 0 || problem.size() < largest) continue;
      Candidates& candidates = problems.emplace_back();
      for (const Index i : problem) {
        candidates.scores.push_back(judged[i]);
        candidates.correct.push_back(labels[i]);
      }
      if (with_answers) candidates.answers = detail::votable_answers(completions, problem);
    }
    return problems;
  };
  const std::vector<Candidates> problems = candidates_of(choice_keys(choice_scores, cut), answers);
  report.curve_problems = problems.size();
  if (!problems.empty()) report.curve = best_of_n_curve(problems, sizes);
  if (!problems.empty() && answers) {
    std::vector<double> credits;
    const auto few_subsets = [&](const Candidates& problem) {
      return detail::number_of_subsets(problem.scores.size(), largest) <= 10000;
    };
    const std::vector<Candidates> voting = candidates_of(probabilities, true);
    if (std::all_of(voting.begin(), voting.end(), few_subsets)) {
      for (const Candidates& problem : voting)
        credits.push_back(expected_weighted_majority(problem, largest));
      report.weighted_majority = bootstrap_mean(credits);
    }
  }

  const auto baseline = [&](std::string_view name, auto judge) {
    std::vector<double> judged;
    for (const ScoredCompletion& one : completions) judged.push_back(static_cast<double>(judge(one)));
    OutcomeBaseline& result = report.baselines.emplace_back();
    result.name = name;
    result.area_under_curve = detail::area_by_groups(judged, right, groups, members.size(), weights);
    const std::vector<Candidates> same_problems = candidates_of(judged, false);
    for (const Index size : sizes) {
      std::vector<double> credits;
      for (const Candidates& problem : same_problems) credits.push_back(expected_best_of(problem, size));
      if (!credits.empty()) result.chosen.push_back(bootstrap_mean(credits));
    }
  };
  using Completion = const ScoredCompletion&;
  baseline("longest", [](Completion one) { return static_cast<double>(one.length); });
  baseline("shortest", [](Completion one) { return -static_cast<double>(one.length); });
  baseline("most lines", [](Completion one) { return static_cast<double>(one.lines); });
  baseline("fewest lines", [](Completion one) { return -static_cast<double>(one.lines); });
  baseline("states an answer", [](Completion one) { return one.states_answer ? 1.0 : 0.0; });
  return report;
}

}  // namespace MERIT_ABI
}  // namespace merit
