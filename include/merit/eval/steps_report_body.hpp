// The bodies of steps_report.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/eval/classification.hpp"
#include "merit/eval/steps_report.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE FirstError first_wrong(const ScoredSolution& solution) {
  for (Index i = 0; i < solution.good.size(); ++i) {
    if (solution.good[i] && !*solution.good[i]) return i;
  }
  return std::nullopt;
}

MERIT_INLINE FirstError predicted_first_wrong(const ScoredSolution& solution, double threshold) {
  if (const FirstError place = first_below(solution.scores, threshold)) {
    return *place + solution.unseen_before;
  }
  return solution.is_cut() ? FirstError{solution.good.size()} : std::nullopt;
}

MERIT_INLINE std::vector<double> scores_with_unseen(const ScoredSolution& solution) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> scores;
  for (Index i = 0; i < solution.good.size(); ++i) {
    const Index seen = i - solution.unseen_before;  // wraps for those before, which is no place
    const bool is_seen = i >= solution.unseen_before && seen < solution.scores.size();
    scores.push_back(is_seen                           ? solution.scores[seen]
                     : solution.good[i].value_or(true) ? -infinity
                                                       : infinity);
  }
  return scores;
}

namespace detail {

/// Is any step labelled? Throws UsageError when the labels are not as many as the steps.
inline bool is_labelled(std::string_view who, const ScoredSolution& solution) {
  if (!solution.scores.empty() || !solution.is_cut()) require_scores(who, solution.scores);
  const Index steps = solution.scores.size() + solution.unseen_before + solution.unseen_behind;
  if (steps != solution.good.size()) {
    throw UsageError(
        concat(who, ": found ", solution.good.size(), " labels, expected ", steps, ", one a step"));
  }
  return std::any_of(solution.good.begin(), solution.good.end(),
                     [](const std::optional<bool>& label) { return label.has_value(); });
}

}  // namespace detail

MERIT_INLINE StepThreshold fit_step_threshold(std::span<const ScoredSolution> solutions) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  struct Interval {
    double low;   // right for thresholds above this
    double high;  // up to this
    bool erroneous;
    double weight;
  };
  std::vector<Interval> intervals;
  std::vector<double> borders;
  double erroneous = 0;
  double correct = 0;
  for (const ScoredSolution& solution : solutions) {
    if (!detail::is_labelled("the step threshold", solution) || solution.weight == 0) continue;
    const FirstError error = first_wrong(solution);
    (error ? erroneous : correct) += solution.weight;
    const Index place = error.value_or(0) - solution.unseen_before;  // wraps where it is not seen
    if (error ? place >= solution.scores.size() : solution.is_cut()) continue;
    const std::span<const double> before(solution.scores.data(), error ? place : solution.scores.size());
    const Interval one{error ? solution.scores[place] : -infinity,
                       before.empty() ? infinity : *std::min_element(before.begin(), before.end()),
                       error.has_value(), solution.weight};
    for (const double border : {one.low, one.high}) {
      if (std::isfinite(border)) borders.push_back(border);
    }
    if (one.low < one.high) intervals.push_back(one);
  }
  if (erroneous + correct == 0) throw DataError("there are no labelled solutions to fit a threshold to");
  if (borders.empty()) return {};  // of none is seen what decides it
  std::sort(borders.begin(), borders.end());
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
  // Region k holds the thresholds above border k − 1 up to border k; the last one those above all borders.
  const auto region = [&](double up_to) {
    return static_cast<Index>(std::lower_bound(borders.begin(), borders.end(), up_to) - borders.begin());
  };
  std::vector<double> found(borders.size() + 2), accepted(borders.size() + 2);
  for (const Interval& one : intervals) {
    std::vector<double>& changes = one.erroneous ? found : accepted;
    changes[one.low == -infinity ? 0 : region(one.low) + 1] += one.weight;
    changes[region(one.high) + 1] -= one.weight;
  }
  const auto share = [](double part, double whole) { return whole == 0 ? 0.0 : part / whole; };
  StepThreshold best;
  double now_found = 0;
  double now_accepted = 0;
  for (Index k = 0; k <= borders.size(); ++k) {
    now_found += found[k];
    now_accepted += accepted[k];
    const double f1 = detail::harmonic_mean(share(now_found, erroneous), share(now_accepted, correct));
    const double exact = (now_found + now_accepted) / (erroneous + correct);
    if (k > 0 && (f1 < best.f1 || (f1 == best.f1 && exact <= best.exact))) continue;
    double threshold = k == 0 ? borders[0] : borders.back() + 1;
    if (k > 0 && k < borders.size()) {
      threshold = borders[k - 1] / 2 + borders[k] / 2;
      if (!(threshold > borders[k - 1] && threshold <= borders[k])) threshold = borders[k];
    }
    best = {threshold, f1, exact};
  }
  return best;
}

MERIT_INLINE StepsReport report_steps(std::span<const ScoredSolution> solutions, double threshold) {
  StepsReport report;
  report.threshold = threshold;
  std::vector<Index> numbers, step_numbers;
  std::vector<FirstError> predicted, actual;
  std::vector<double> weights, step_weights, step_scores, step_places, step_hits;
  std::vector<std::uint8_t> step_good;
  for (const ScoredSolution& solution : solutions) {
    if (!detail::is_labelled("report_steps", solution)) {
      ++report.unlabelled;
      continue;
    }
    if (solution.weight == 0) continue;
    weights.push_back(solution.weight);
    numbers.push_back(solution.problem);
    predicted.push_back(predicted_first_wrong(solution, threshold));
    actual.push_back(first_wrong(solution));
    report.cut += solution.is_cut() ? 1 : 0;
    const std::vector<double> scores = scores_with_unseen(solution);
    for (Index i = 0; i < scores.size(); ++i) {
      if (!solution.good[i]) continue;
      report.unseen += std::isfinite(scores[i]) ? 0 : 1;
      const bool called_good = scores[i] >= threshold;
      report.counts.add(called_good, *solution.good[i]);
      step_numbers.push_back(solution.problem);
      step_weights.push_back(solution.weight);
      step_scores.push_back(scores[i]);
      step_places.push_back(-static_cast<double>(i));
      step_good.push_back(*solution.good[i] ? 1 : 0);
      step_hits.push_back(called_good == *solution.good[i] ? 1 : 0);
    }
  }
  if (numbers.empty()) throw DataError("there are no labelled solutions to report on");
  const std::vector<Index> groups = detail::answer_numbers(numbers);
  // Both lists meet the problems in the same order, so that their groups have the same numbers.
  const std::vector<Index> step_groups = detail::answer_numbers(step_numbers);
  const Index problems = *std::max_element(groups.begin(), groups.end()) + 1;
  report.solutions = numbers.size();
  report.steps = step_hits.size();

  // By problem: erroneous solutions, those found, correct ones, those accepted.
  std::vector<double> erroneous(problems), found(problems), correct(problems), accepted(problems);
  std::vector<double> hits;
  double at_first = 0;
  Index erroneous_count = 0;
  Index correct_count = 0;
  for (Index i = 0; i < actual.size(); ++i) {
    const double hit = predicted[i] == actual[i] ? 1 : 0;
    hits.push_back(hit);
    (actual[i] ? erroneous : correct)[groups[i]] += weights[i];
    (actual[i] ? found : accepted)[groups[i]] += weights[i] * hit;
    (actual[i] ? erroneous_count : correct_count) += 1;
    at_first += actual[i] == FirstError{0} ? weights[i] : 0;
  }
  report.exact = detail::mean_by_groups(hits, groups, problems, weights);
  const auto total = [](const std::vector<double>& some) {
    double sum = 0;
    for (const double one : some) sum += one;
    return sum;
  };
  const double all_erroneous = total(erroneous);
  const double all_correct = total(correct);
  report.erroneous = erroneous_count;
  report.correct = correct_count;
  if (all_erroneous > 0) report.found = bootstrap_ratio(found, erroneous);
  if (all_correct > 0) report.accepted = bootstrap_ratio(accepted, correct);
  if (all_erroneous > 0 && all_correct > 0) {
    FirstErrorReport& first = report.first_errors.emplace();
    first.erroneous = erroneous_count;
    first.correct = correct_count;
    first.found = *report.found;
    first.accepted = *report.accepted;
    first.f1 = detail::harmonic_mean(first.found.value, first.accepted.value);
    report.f1 = bootstrap_groups(problems, [&](std::span<const double> draws) {
      double of[4] = {};
      for (Index g = 0; g < problems; ++g) {
        of[0] += draws[g] * found[g];
        of[1] += draws[g] * erroneous[g];
        of[2] += draws[g] * accepted[g];
        of[3] += draws[g] * correct[g];
      }
      if (of[1] == 0 || of[3] == 0) return std::numeric_limits<double>::quiet_NaN();  // a draw without either
      return detail::harmonic_mean(of[0] / of[1], of[2] / of[3]);
    });
  }

  report.step_accuracy = detail::mean_by_groups(step_hits, step_groups, problems, step_weights);
  report.f1_of_good = report.counts.f1();
  report.f1_of_bad = report.counts.flipped().f1();
  report.macro_f1 = (report.f1_of_good + report.f1_of_bad) / 2;
  report.area_under_curve =
      detail::area_by_groups(step_scores, step_good, step_groups, problems, step_weights);
  report.area_of_earlier =
      detail::area_by_groups(step_places, step_good, step_groups, problems, step_weights);
  double good_weight = 0;
  for (Index i = 0; i < step_good.size(); ++i) good_weight += step_weights[i] * step_good[i];
  report.step_accuracy_of_all_good = good_weight / total(step_weights);

  const double n = all_erroneous + all_correct;
  const double first_found = all_erroneous > 0 ? at_first / all_erroneous : 0;
  report.baselines = {{"no error", all_correct / n, 0, all_correct > 0 ? 1.0 : 0.0, 0},
                      {"first step", at_first / n, first_found, 0, 0}};
  return report;
}

}  // namespace MERIT_ABI
}  // namespace merit
