// The bodies of benchmark_scores.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/benchmarks/benchmark_scores.hpp"
#include "merit/benchmarks/reward_bench_subsets.hpp"
#include "merit/core/error.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/eval/classification.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE SubsetsReport report_subsets(std::span<const std::string> names, std::span<const double> credits,
                                          std::span<const Index> prompts) {
  if (credits.empty()) throw DataError("there is no score to average");
  if (names.size() != credits.size()) {
    throw UsageError(concat("report_subsets: found ", names.size(), " names, expected ", credits.size()));
  }
  if (!prompts.empty() && prompts.size() != credits.size()) {
    throw UsageError(
        concat("report_subsets: found ", prompts.size(), " prompts, expected ", credits.size(), " or none"));
  }
  SubsetsReport report;
  const std::vector<double> ones(credits.size(), 1.0);
  report.mean = detail::mean_over_prompts(credits, prompts, ones);
  const std::vector<std::vector<Index>> members = detail::members_of(detail::answer_numbers(names));
  for (const std::vector<Index>& subset : members) {
    std::vector<double> some;
    std::vector<Index> some_prompts;
    for (const Index i : subset) {
      some.push_back(credits[i]);
      if (!prompts.empty()) some_prompts.push_back(prompts[i]);
    }
    report.subsets.push_back(
        {names[subset.front()], some.size(),
         detail::mean_over_prompts(some, some_prompts, std::span(ones).first(some.size()))});
    report.mean_of_subsets += report.subsets.back().mean.value / static_cast<double>(members.size());
  }
  return report;
}

namespace detail {

MERIT_INLINE double RewardBenchSections::operator()(std::string_view section,
                                                    std::span<const double> weights) const {
  std::array<double, reward_bench_subsets.size()> right{}, counts{};
  for (Index i = 0; i < subset.size(); ++i) {
    right[subset[i]] += weights[i] * credits[i];
    counts[subset[i]] += weights[i];
  }
  double sections = 0;
  double total = 0;
  for (Index begin = 0; begin < reward_bench_subsets.size();) {  // subsets of a section are neighbours
    double score = 0;
    double whole = 0;
    const std::string_view name = reward_bench_subsets[begin].section;
    Index s = begin;
    for (; s < reward_bench_subsets.size() && reward_bench_subsets[s].section == name; ++s) {
      if (counts[s] == 0) continue;
      const auto weight = static_cast<double>(reward_bench_subsets[s].weight);
      score += weight * right[s] / counts[s];
      whole += weight;
    }
    begin = s;
    if (whole == 0 || (!section.empty() && name != section)) continue;
    sections += 1;
    total += score / whole;
  }
  return total / sections;  // NaN where a resample has no pair of the section
}

}  // namespace detail

MERIT_INLINE RewardBenchReport report_reward_bench(
    std::span<const std::string> names, std::span<const double> chosen, std::span<const double> rejected,
    std::span<const Index> chosen_lengths, std::span<const Index> rejected_lengths,
    std::span<const std::string> unscored, std::span<const Index> prompts) {
  detail::require_scores("report_reward_bench", chosen);
  detail::require_scores("report_reward_bench", rejected);
  if (names.size() != chosen.size() || rejected.size() != chosen.size() ||
      chosen_lengths.size() != chosen.size() || rejected_lengths.size() != chosen.size()) {
    throw UsageError(
        "report_reward_bench: the names, scores and lengths differ in number, expected one a pair");
  }
  RewardBenchReport report;
  report.pairs = chosen.size() + unscored.size();
  if (!prompts.empty() && prompts.size() != report.pairs) {
    throw UsageError(concat("report_reward_bench: found ", prompts.size(), " prompts, expected ",
                            report.pairs, " or none"));
  }
  std::vector<Index> groups = detail::answer_numbers(prompts);
  if (prompts.empty()) {
    groups.resize(report.pairs);
    std::iota(groups.begin(), groups.end(), Index{0});
  }
  report.unscored = unscored.size();
  std::vector<Index> subset;
  std::vector<double> credits, longer;
  const auto place_of = [](const std::string& name) {
    const RewardBenchSubset* found = find_reward_bench_subset(name);
    if (found == nullptr) {
      throw DataError(concat("found the subset \"", name, "\", expected one of the 23 of RewardBench"));
    }
    return static_cast<Index>(found - reward_bench_subsets.data());
  };
  for (Index i = 0; i < names.size(); ++i) {
    subset.push_back(place_of(names[i]));
    credits.push_back(chosen[i] > rejected[i] ? 1 : 0);
    longer.push_back(chosen_lengths[i] > rejected_lengths[i] ? 1 : 0);
    report.ties += chosen[i] == rejected[i] ? 1 : 0;
  }
  report.longer_wins =
      detail::RewardBenchSections{subset, longer, std::span(groups).first(longer.size())}.estimate({});
  for (const std::string& name : unscored) {
    subset.push_back(place_of(name));
    credits.push_back(0);
  }
  const detail::RewardBenchSections sections{subset, credits, groups};
  for (Index s = 0; s < reward_bench_subsets.size(); ++s) {
    std::vector<double> some;
    std::vector<Index> own;
    for (Index i = 0; i < subset.size(); ++i) {
      if (subset[i] != s) continue;
      some.push_back(credits[i]);
      own.push_back(groups[i]);
    }
    if (some.empty()) continue;
    const std::vector<double> ones(some.size(), 1.0);
    const RewardBenchSubset& from = reward_bench_subsets[s];
    report.subsets.push_back(
        {std::string(from.name), some.size(), detail::mean_over_prompts(some, own, ones)});
    if (report.sections.empty() || report.sections.back().name != from.section)
      report.sections.push_back({std::string(from.section), 0, sections.estimate(from.section)});
    report.sections.back().weight += static_cast<double>(from.weight);
  }
  report.score = sections.estimate({});
  return report;
}

MERIT_INLINE TiesReport report_ties(std::span<const TiesProblem> problems) {
  if (problems.empty()) throw DataError("there are no problems of Ties");
  const auto n = static_cast<double>(problems.size());
  const auto gap = [](const TiesScores& scores) {
    detail::require_scores("report_ties", scores.correct);
    detail::require_scores("report_ties", scores.incorrect);
    return *std::min_element(scores.correct.begin(), scores.correct.end()) -
           *std::max_element(scores.incorrect.begin(), scores.incorrect.end());
  };
  TiesReport report;
  report.problems = problems.size();
  for (const TiesProblem& problem : problems) {
    const double gap_reference = gap(problem.reference);
    const double gap_tied = gap(problem.tied);
    if (problem.reference.correct.size() != 1 || problem.tied.correct.size() < 2) {
      throw DataError(concat("found ", problem.reference.correct.size(), " and ", problem.tied.correct.size(),
                             " correct answers, expected 1 for the reference and at least 2 for ties"));
    }
    const auto [low, high] = std::minmax_element(problem.tied.correct.begin(), problem.tied.correct.end());
    const double spread = *high - *low;
    const double smaller = std::min(gap_reference, gap_tied);
    report.reference_accuracy += gap_reference > 0 ? 1 / n : 0;
    report.tied_accuracy += gap_tied > 0 ? 1 / n : 0;
    report.preferred += gap_tied > spread ? 1 / n : 0;
    report.preferred_hard += smaller > spread ? 1 / n : 0;
    // A spread of 0 makes the ratio infinite, and its tanh the sign of the gap; 0/0 counts as 0.
    if (spread > 0) {
      report.margin += std::tanh(smaller / spread - 1) / n;
    } else if (smaller != 0) {
      report.margin += (smaller > 0 ? 1 : -1) / n;
    }
  }
  report.score = 0.30 * report.tied_accuracy + 0.30 * report.reference_accuracy + 0.20 * report.preferred +
                 0.20 * report.preferred_hard + 0.01 * report.margin;
  return report;
}

MERIT_INLINE RewardBench2Report report_reward_bench_2(std::span<const std::string> names,
                                                      std::span<const double> credits,
                                                      std::span<const TiesProblem> ties,
                                                      std::span<const Index> prompts) {
  RewardBench2Report report;
  double count = 0;
  if (!credits.empty() || ties.empty()) {
    SubsetsReport subsets = report_subsets(names, credits, prompts);
    report.subsets = std::move(subsets.subsets);
    count = static_cast<double>(report.subsets.size());
    report.score = subsets.mean_of_subsets * count;
  }
  if (!ties.empty()) {
    report.ties = report_ties(ties);
    report.score += report.ties->score;
    count += 1;
  }
  report.score /= count;
  return report;
}

MERIT_INLINE StyleReport report_styles(std::span<const StyleScores> prompts) {
  if (prompts.empty()) throw DataError("there are no prompts to compare styles of");
  StyleReport report;
  report.prompts = prompts.size();
  for (const StyleScores& prompt : prompts) {
    detail::require_scores("report_styles", prompt.chosen);
    detail::require_scores("report_styles", prompt.rejected);
    for (Index i = 0; i < 3; ++i) {
      for (Index j = 0; j < 3; ++j) {
        report.wins[i][j] += prompt.chosen[i] > prompt.rejected[j] ? 1 : 0;
        report.ties += prompt.chosen[i] == prompt.rejected[j] ? 1 : 0;
      }
    }
  }
  for (Index i = 0; i < 3; ++i) {
    for (Index j = 0; j < 3; ++j) {
      report.wins[i][j] /= static_cast<double>(prompts.size());
      (i > j ? report.easy : i < j ? report.hard : report.normal) += report.wins[i][j] / 3;
    }
  }
  report.mean = (report.easy + report.normal + report.hard) / 3;
  return report;
}

MERIT_INLINE RmBenchReport report_rm_bench(std::span<const std::string> domains,
                                           std::span<const StyleScores> prompts) {
  if (domains.size() != prompts.size()) {
    throw UsageError(
        concat("report_rm_bench: found ", domains.size(), " domains, expected ", prompts.size()));
  }
  RmBenchReport report;
  report.styles = report_styles(prompts);
  const auto add = [](RmBenchDomain& to, const auto& from, double share) {
    to.prompts += from.prompts;
    to.easy += share * from.easy;
    to.normal += share * from.normal;
    to.hard += share * from.hard;
    to.mean += share * from.mean;
  };
  std::vector<std::string> names;
  std::vector<double> parts;
  std::vector<std::pair<Index, StyleReport>> part_reports;  // the domain's place, and a part of it
  for (const std::vector<Index>& members : detail::members_of(detail::answer_numbers(domains))) {
    std::string name = domains[members.front()];
    if (name.starts_with("safety-")) name = "safety";
    const auto place = static_cast<Index>(std::find(names.begin(), names.end(), name) - names.begin());
    if (place == names.size()) names.push_back(name), parts.push_back(0);
    parts[place] += 1;
    std::vector<StyleScores> some;
    for (const Index i : members) some.push_back(prompts[i]);
    part_reports.emplace_back(place, report_styles(some));
  }
  report.domains.resize(names.size());
  for (const auto& [place, part] : part_reports) add(report.domains[place], part, 1 / parts[place]);
  for (Index d = 0; d < names.size(); ++d) {
    report.domains[d].name = names[d];
    add(report.all, report.domains[d], 1 / static_cast<double>(names.size()));
  }
  report.all.name = "all";
  return report;
}

MERIT_INLINE FirstError process_bench_label(long label) {
  if (label < -1) throw DataError(concat("found the label ", label, ", expected -1 or the place of a step"));
  return label == -1 ? FirstError{} : FirstError{static_cast<Index>(label)};
}

MERIT_INLINE ProcessBenchReport report_process_bench(std::span<const FirstErrorSubset> subsets) {
  if (subsets.empty()) throw DataError("there are no subsets of ProcessBench");
  ProcessBenchReport report;
  for (const FirstErrorSubset& subset : subsets) {
    report.subsets.push_back(report_first_errors(subset.predicted, subset.actual));
    report.mean_f1 += report.subsets.back().f1 / static_cast<double>(subsets.size());
  }
  return report;
}

MERIT_INLINE PrmBenchReport report_prm_bench(std::span<const StepClass> classes) {
  if (classes.empty()) throw DataError("there are no classes of PRMBench");
  const auto both = [](const BinaryCounts& steps) { return (steps.f1() + steps.flipped().f1()) / 2; };
  PrmBenchReport report;
  BinaryCounts all;
  for (const StepClass& one : classes) {
    report.classes.push_back(one.name == "multi_solutions" ? one.steps.f1() : both(one.steps));
    all += one.steps;
  }
  report.score = both(all);
  return report;
}

MERIT_INLINE std::vector<StepClass> count_steps_by_class(std::span<const std::string> classes,
                                                         std::span<const std::vector<double>> scores,
                                                         std::span<const std::vector<bool>> good,
                                                         double threshold) {
  if (scores.size() != classes.size() || good.size() != classes.size())
    throw UsageError("count_steps_by_class: the classes, scores and labels differ in number");
  std::vector<StepClass> result;
  for (const std::vector<Index>& members : detail::members_of(detail::answer_numbers(classes))) {
    StepClass& one = result.emplace_back();
    one.name = classes[members.front()];
    for (const Index i : members) {
      if (scores[i].size() != good[i].size()) {
        throw UsageError(concat("count_steps_by_class: found ", good[i].size(), " labels, expected ",
                                scores[i].size(), ", one a step"));
      }
      for (Index step = 0; step < scores[i].size(); ++step)
        one.steps.add(scores[i][step] >= threshold, good[i][step]);
    }
  }
  return result;
}

}  // namespace MERIT_ABI
}  // namespace merit
