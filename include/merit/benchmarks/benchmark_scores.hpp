// The scores of published benchmarks from the scores of a model, as their own code computes them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/benchmarks/reward_bench_subsets.hpp"
#include "merit/core/error.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/eval/classification.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

// ---- Any benchmark with subsets

/// The mean credit of one subset.
struct SubsetMean {
  std::string name;
  Index count = 0;
  Estimate mean;
};

struct SubsetsReport {
  std::vector<SubsetMean> subsets;  // in the order in which they first occur
  Estimate mean;                    // over all credits
  double mean_of_subsets = 0;       // each subset counting the same
};

/// Mean credits by subset; a credit is 1 for right, 0 for wrong, or a share. Throws DataError when there are
/// none, UsageError when there are not as many names.
inline SubsetsReport report_subsets(std::span<const std::string> names, std::span<const double> credits) {
  if (credits.empty()) throw DataError("there is no score to average");
  if (names.size() != credits.size()) {
    throw UsageError(concat("report_subsets: found ", names.size(), " names, expected ", credits.size()));
  }
  SubsetsReport report;
  report.mean = bootstrap_mean(credits);
  const std::vector<std::vector<Index>> members = detail::members_of(detail::answer_numbers(names));
  for (const std::vector<Index>& subset : members) {
    std::vector<double> some;
    for (const Index i : subset) some.push_back(credits[i]);
    report.subsets.push_back({names[subset.front()], some.size(), bootstrap_mean(some)});
    report.mean_of_subsets += report.subsets.back().mean.value / static_cast<double>(members.size());
  }
  return report;
}

// ---- RewardBench (Lambert et al. 2024)

/// A section of RewardBench.
struct SectionScore {
  std::string name;
  double weight = 0;  // of the subsets that are there
  Estimate accuracy;  // mean over subsets by their published weights
};

struct RewardBenchReport {
  Index pairs = 0;                     // those without a score among them
  Index ties = 0;                      // equal scores; they count as lost
  Index unscored = 0;                  // without a score; they count as lost
  std::vector<SubsetMean> subsets;     // in the published order
  std::vector<SectionScore> sections;  // Chat, Chat Hard, Safety, Reasoning: those with any pair
  Estimate score;                      // the mean of the sections
  Estimate longer_wins;                // the same of preferring the longer completion, its ties lost too, of
                                       // the pairs with a score
};

namespace detail {

/// Sections' scores and their mean from credits; `subset[i]` is the place of pair i's subset in
/// reward_bench_subsets.
struct RewardBenchSections {
  std::span<const Index> subset;
  std::span<const double> credits;

  /// The score of a section, or for an empty name the mean of all, when pair i counts weights[i] times.
  double operator()(std::string_view section, std::span<const double> weights) const {
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

  Estimate estimate(std::string_view section) const {
    return bootstrap_groups(subset.size(),
                            [&](std::span<const double> weights) { return (*this)(section, weights); });
  }
};

}  // namespace detail

/// RewardBench's sections and score. A section's accuracy is the mean over its subsets, weighted by
/// reward_bench_subsets, of the share of pairs whose chosen side scores higher; subsets without pairs are
/// left out, as the published code does. `lengths` are chosen and rejected, in tokens. `unscored`: the subsets
/// of further pairs, which have no score and are lost. Intervals are over pairs. Throws DataError when there are no pairs, a subset is unknown, or a score is not finite; UsageError
/// when the numbers differ.
inline RewardBenchReport report_reward_bench(std::span<const std::string> names,
                                             std::span<const double> chosen, std::span<const double> rejected,
                                             std::span<const Index> chosen_lengths,
                                             std::span<const Index> rejected_lengths,
                                             std::span<const std::string> unscored = {}) {
  detail::require_scores("report_reward_bench", chosen);
  detail::require_scores("report_reward_bench", rejected);
  if (names.size() != chosen.size() || rejected.size() != chosen.size() ||
      chosen_lengths.size() != chosen.size() || rejected_lengths.size() != chosen.size()) {
    throw UsageError(
        "report_reward_bench: the names, scores and lengths differ in number, expected one a pair");
  }
  RewardBenchReport report;
  report.pairs = chosen.size() + unscored.size();
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
  report.longer_wins = detail::RewardBenchSections{subset, longer}.estimate({});
  for (const std::string& name : unscored) {
    subset.push_back(place_of(name));
    credits.push_back(0);
  }
  const detail::RewardBenchSections sections{subset, credits};
  for (Index s = 0; s < reward_bench_subsets.size(); ++s) {
    std::vector<double> some;
    for (Index i = 0; i < subset.size(); ++i) {
      if (subset[i] == s) some.push_back(credits[i]);
    }
    if (some.empty()) continue;
    const RewardBenchSubset& from = reward_bench_subsets[s];
    report.subsets.push_back({std::string(from.name), some.size(), bootstrap_mean(some)});
    if (report.sections.empty() || report.sections.back().name != from.section)
      report.sections.push_back({std::string(from.section), 0, sections.estimate(from.section)});
    report.sections.back().weight += static_cast<double>(from.weight);
  }
  report.score = sections.estimate({});
  return report;
}

// ---- RewardBench 2 (Malik et al. 2025)

/// The credit of one prompt with one right completion, the first, and several wrong ones (three): 1 divided
/// by how many share the top score when the right one is among them, else 0.
inline double best_of_four_credit(std::span<const double> scores) {
  const Pick pick = pick_best(scores);
  return pick.index == 0 ? 1 / static_cast<double>(pick.tied.size()) : 0.0;
}

/// The scores of one prompt of the Ties subset.
struct TiesScores {
  std::vector<double> correct;
  std::vector<double> incorrect;
};

/// The two prompts of one number: the reference with one correct answer, and the one with several.
struct TiesProblem {
  TiesScores reference;
  TiesScores tied;
};

struct TiesReport {
  Index problems = 0;
  double reference_accuracy = 0;  // every correct answer above every incorrect one
  double tied_accuracy = 0;
  double preferred = 0;       // gap of the tied prompt > spread of its correct answers
  double preferred_hard = 0;  // the smaller gap of the two prompts > that spread
  double margin = 0;          // mean tanh(smaller gap / spread − 1), 0 where that is 0/0
  double score = 0;           // 0.30, 0.30, 0.20, 0.20 and 0.01 of these: at most 1.01
};

/// RewardBench 2's score of the Ties subset. A gap is the lowest correct score less the highest incorrect
/// one, the spread the highest less the lowest correct one. Throws DataError when there are no problems, a
/// prompt lacks correct or incorrect answers, a reference has not one correct answer, or a tied prompt less
/// than two.
inline TiesReport report_ties(std::span<const TiesProblem> problems) {
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

struct RewardBench2Report {
  std::vector<SubsetMean> subsets;  // all but Ties
  std::optional<TiesReport> ties;
  double score = 0;  // the mean of the subsets, Ties among them
};

/// RewardBench 2's score: each subset, Ties too if it is there, counts the same. `credits` are those of
/// best_of_four_credit, with the names of their subsets. Throws as report_subsets and report_ties.
inline RewardBench2Report report_reward_bench_2(std::span<const std::string> names,
                                                std::span<const double> credits,
                                                std::span<const TiesProblem> ties) {
  RewardBench2Report report;
  double count = 0;
  if (!credits.empty() || ties.empty()) {
    SubsetsReport subsets = report_subsets(names, credits);
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

// ---- RM-Bench (Liu et al. 2025)

/// The scores of one prompt's chosen and rejected answers in three styles: concise, detailed, detailed with
/// markdown.
struct StyleScores {
  std::array<double, 3> chosen{};
  std::array<double, 3> rejected{};
};

struct StyleReport {
  Index prompts = 0;
  Index ties = 0;                               // equal scores, of 9 a prompt; they count as lost
  std::array<std::array<double, 3>, 3> wins{};  // [chosen style][rejected style] share of chosen > rejected
  double easy = 0;                              // the chosen answer is in the fancier style
  double normal = 0;                            // both in the same style
  double hard = 0;                              // the rejected answer is in the fancier style
  double mean = 0;                              // of the three
};

/// RM-Bench's matrix of styles. Throws DataError when there are no prompts or a score is not finite.
inline StyleReport report_styles(std::span<const StyleScores> prompts) {
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

/// The easy, normal and hard accuracy of a domain of RM-Bench, and their mean.
struct RmBenchDomain {
  std::string name;
  Index prompts = 0;
  double easy = 0;
  double normal = 0;
  double hard = 0;
  double mean = 0;
};

struct RmBenchReport {
  std::vector<RmBenchDomain> domains;  // in the order in which they first occur
  RmBenchDomain all;                   // the mean of the domains, each counting the same
  StyleReport styles;                  // the matrix over all prompts together
};

/// RM-Bench by domain. The two halves of safety, "safety-refuse" and "safety-response", are one domain, the
/// mean of both. Throws as report_styles, and UsageError when there are not as many domains as prompts.
inline RmBenchReport report_rm_bench(std::span<const std::string> domains,
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

// ---- ProcessBench (Zheng et al. 2024)

/// A label of ProcessBench: −1 when all steps are right, else the place of the first wrong one. Throws
/// DataError for anything lower.
inline FirstError process_bench_label(long label) {
  if (label < -1) throw DataError(concat("found the label ", label, ", expected -1 or the place of a step"));
  return label == -1 ? FirstError{} : FirstError{static_cast<Index>(label)};
}

struct ProcessBenchReport {
  std::vector<FirstErrorReport> subsets;  // in the order given
  double mean_f1 = 0;                     // over subsets, each counting the same
};

/// Predicted and actual first errors of one subset.
struct FirstErrorSubset {
  std::vector<FirstError> predicted;
  std::vector<FirstError> actual;
};

/// F1 by subset, and their mean. Throws as report_first_errors does.
inline ProcessBenchReport report_process_bench(std::span<const FirstErrorSubset> subsets) {
  if (subsets.empty()) throw DataError("there are no subsets of ProcessBench");
  ProcessBenchReport report;
  for (const FirstErrorSubset& subset : subsets) {
    report.subsets.push_back(report_first_errors(subset.predicted, subset.actual));
    report.mean_f1 += report.subsets.back().f1 / static_cast<double>(subsets.size());
  }
  return report;
}

// ---- PRMBench (Song et al. 2025)

/// The step predictions of one of PRMBench's classes; a good step is the positive one.
struct StepClass {
  std::string name;
  BinaryCounts steps;
};

struct PrmBenchReport {
  std::vector<double> classes;  // in the order given
  double score = 0;             // over the steps of all classes together
};

/// PRMScore: ½ F1 of the good steps + ½ F1 of the bad ones, over all steps of a class; of all classes from
/// their summed counts. The class `multi_solutions` has no bad steps and counts by the F1 of the good ones
/// alone. Solutions without errors that PRMBench adds as controls (`correct`) are not to be given. An F1 of
/// nothing is 0 here, where the published code writes −1.
inline PrmBenchReport report_prm_bench(std::span<const StepClass> classes) {
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

/// The counts of the steps of solutions by class, for report_prm_bench: a step is called good when its score
/// reaches the threshold. Throws UsageError when the numbers differ.
inline std::vector<StepClass> count_steps_by_class(std::span<const std::string> classes,
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
