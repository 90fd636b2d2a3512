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
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// The expected calibration error with its interval over groups; each counts as much as its weight, or one for
/// none.
inline Estimate calibration_error_by_groups(std::span<const double> probabilities,
                                            std::span<const double> labels, std::span<const Index> groups,
                                            Index number_of_groups, Index bins,
                                            std::span<const double> weights = {}) {
  std::vector<double> gaps(bins);
  return bootstrap_groups(number_of_groups, [&](std::span<const double> draws) {
    std::fill(gaps.begin(), gaps.end(), 0.0);
    double n = 0;
    for (Index i = 0; i < probabilities.size(); ++i) {
      const double weight = draws[groups[i]] * (weights.empty() ? 1.0 : weights[i]);
      gaps[bin_of(probabilities[i], bins)] += weight * (probabilities[i] - labels[i]);
      n += weight;
    }
    double error = 0;
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

/// Numbers that order completions as the best of N is chosen: by score, those that were cut below the others.
inline std::vector<double> keys_of_choice(std::span<const ScoredCompletion> completions) {
  std::vector<double> keys;
  for (const ScoredCompletion& one : completions) keys.push_back(one.score);
  const auto is_cut = [](const ScoredCompletion& one) { return one.cut; };
  if (std::none_of(completions.begin(), completions.end(), is_cut)) return keys;
  std::vector<Index> order = by_weight(keys);
  std::stable_partition(order.begin(), order.end(), [&](Index i) { return completions[i].cut; });
  double key = 0;
  for (Index k = 0; k < order.size(); ++k) {
    const ScoredCompletion& here = completions[order[k]];
    const ScoredCompletion& before = completions[order[k == 0 ? 0 : k - 1]];
    if (here.score != before.score || here.cut != before.cut) key += 1;
    keys[order[k]] = key;
  }
  return keys;
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
  std::vector<std::uint8_t> right;
  std::vector<Index> numbers;
  for (const ScoredCompletion& one : completions) {
    scores.push_back(one.score);
    probabilities.push_back(one.probability);
    labels.push_back(one.label);
    right.push_back(one.label >= 0.5 ? 1 : 0);
    hits.push_back((one.probability >= options.threshold) == (one.label >= 0.5) ? 1 : 0);
    squares.push_back((one.probability - one.label) * (one.probability - one.label));
    numbers.push_back(one.problem);
    weights.push_back(one.weight);
    n += one.weight;
  }
  detail::require_scores("report_outcomes", scores);
  const std::vector<Index> groups = detail::answer_numbers(numbers);
  const std::vector<std::vector<Index>> members = detail::members_of(groups);

  OutcomeReport report;
  report.completions = completions.size();
  report.problems = members.size();
  report.calibration = report_calibration(probabilities, labels, options.bins, weights);
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
  report.calibration_error = detail::calibration_error_by_groups(probabilities, labels, groups,
                                                                 members.size(), options.bins, weights);

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
  const std::vector<Candidates> problems = candidates_of(detail::keys_of_choice(completions), answers);
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
