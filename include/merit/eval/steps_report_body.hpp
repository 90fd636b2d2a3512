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

namespace detail {

/// Is any step labelled? Throws UsageError when there are not as many labels as scores.
inline bool is_labelled(std::string_view who, const ScoredSolution& solution) {
  require_scores(who, solution.scores);
  if (solution.scores.size() != solution.good.size()) {
    throw UsageError(concat(who, ": found ", solution.good.size(), " labels, expected ",
                            solution.scores.size(), ", one a step"));
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
  };
  std::vector<Interval> intervals;
  std::vector<double> borders;
  double erroneous = 0;
  double correct = 0;
  for (const ScoredSolution& solution : solutions) {
    if (!detail::is_labelled("fit_step_threshold", solution)) continue;
    const FirstError error = first_wrong(solution);
    (error ? erroneous : correct) += 1;
    const std::span<const double> before(solution.scores.data(), error.value_or(solution.scores.size()));
    const Interval one{error ? solution.scores[*error] : -infinity,
                       before.empty() ? infinity : *std::min_element(before.begin(), before.end()),
                       error.has_value()};
    for (const double border : {one.low, one.high}) {
      if (std::isfinite(border)) borders.push_back(border);
    }
    if (one.low < one.high) intervals.push_back(one);
  }
  if (borders.empty()) throw DataError("fit_step_threshold: there are no labelled solutions");
  std::sort(borders.begin(), borders.end());
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
  // Region k holds the thresholds above border k − 1 up to border k; the last one those above all borders.
  const auto region = [&](double up_to) {
    return static_cast<Index>(std::lower_bound(borders.begin(), borders.end(), up_to) - borders.begin());
  };
  std::vector<double> found(borders.size() + 2), accepted(borders.size() + 2);
  for (const Interval& one : intervals) {
    std::vector<double>& changes = one.erroneous ? found : accepted;
    changes[one.low == -infinity ? 0 : region(one.low) + 1] += 1;
    changes[region(one.high) + 1] -= 1;
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
  std::vector<double> step_scores, step_places, step_hits;
  std::vector<std::uint8_t> step_good;
  for (const ScoredSolution& solution : solutions) {
    if (!detail::is_labelled("report_steps", solution)) {
      ++report.unlabelled;
      continue;
    }
    numbers.push_back(solution.problem);
    predicted.push_back(first_below(solution.scores, threshold));
    actual.push_back(first_wrong(solution));
    for (Index i = 0; i < solution.scores.size(); ++i) {
      if (!solution.good[i]) continue;
      const bool called_good = solution.scores[i] >= threshold;
      report.counts.add(called_good, *solution.good[i]);
      step_numbers.push_back(solution.problem);
      step_scores.push_back(solution.scores[i]);
      step_places.push_back(-static_cast<double>(i));
      step_good.push_back(*solution.good[i] ? 1 : 0);
      step_hits.push_back(called_good == *solution.good[i] ? 1 : 0);
    }
  }
  if (numbers.empty()) throw DataError("report_steps: there are no labelled solutions");
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
  for (Index i = 0; i < actual.size(); ++i) {
    const double hit = predicted[i] == actual[i] ? 1 : 0;
    hits.push_back(hit);
    (actual[i] ? erroneous : correct)[groups[i]] += 1;
    (actual[i] ? found : accepted)[groups[i]] += hit;
    at_first += actual[i] == FirstError{0} ? 1 : 0;
  }
  report.exact = detail::mean_by_groups(hits, groups, problems);
  const auto total = [](const std::vector<double>& some) {
    double sum = 0;
    for (const double one : some) sum += one;
    return sum;
  };
  const double all_erroneous = total(erroneous);
  const double all_correct = total(correct);
  if (all_erroneous > 0 && all_correct > 0) {
    FirstErrorReport& first = report.first_errors.emplace();
    first.erroneous = static_cast<Index>(all_erroneous);
    first.correct = static_cast<Index>(all_correct);
    first.found = bootstrap_ratio(found, erroneous);
    first.accepted = bootstrap_ratio(accepted, correct);
    first.f1 = detail::harmonic_mean(first.found.value, first.accepted.value);
    report.f1 = bootstrap_groups(problems, [&](std::span<const double> weights) {
      double of[4] = {};
      for (Index g = 0; g < problems; ++g) {
        of[0] += weights[g] * found[g];
        of[1] += weights[g] * erroneous[g];
        of[2] += weights[g] * accepted[g];
        of[3] += weights[g] * correct[g];
      }
      if (of[1] == 0 || of[3] == 0) return std::numeric_limits<double>::quiet_NaN();  // a draw without either
      return detail::harmonic_mean(of[0] / of[1], of[2] / of[3]);
    });
  }

  report.step_accuracy = detail::mean_by_groups(step_hits, step_groups, problems);
  report.f1_of_good = report.counts.f1();
  report.f1_of_bad = report.counts.flipped().f1();
  report.macro_f1 = (report.f1_of_good + report.f1_of_bad) / 2;
  report.area_under_curve = detail::area_by_groups(step_scores, step_good, step_groups, problems);
  report.area_of_earlier = detail::area_by_groups(step_places, step_good, step_groups, problems);
  report.step_accuracy_of_all_good =
      static_cast<double>(report.counts.true_positives + report.counts.false_negatives) /
      static_cast<double>(report.steps);

  const double n = all_erroneous + all_correct;
  const double first_found = all_erroneous > 0 ? at_first / all_erroneous : 0;
  report.baselines = {{"no error", all_correct / n, 0, all_correct > 0 ? 1.0 : 0.0, 0},
                      {"first step", at_first / n, first_found, 0, 0}};
  return report;
}

}  // namespace MERIT_ABI
}  // namespace merit
