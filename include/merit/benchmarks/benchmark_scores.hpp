// The scores of published benchmarks from the scores of a model, as their own code computes them.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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
/// none, UsageError when there are not as many names. Intervals are over prompts: credits of one prompt have one number
/// in `prompts`; where that is empty each is a prompt's.
SubsetsReport report_subsets(std::span<const std::string> names, std::span<const double> credits,
                             std::span<const Index> prompts = {});

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
  std::span<const Index> prompts;  // numbered from 0 in the order of their first pair

  /// The score of a section, or for an empty name the mean of all, when pair i counts weights[i] times.
  double operator()(std::string_view section, std::span<const double> weights) const;

  Estimate estimate(std::string_view section) const {
    std::vector<double> weights(subset.size());
    return bootstrap_groups(members_of(prompts).size(), [&](std::span<const double> draws) {
      for (Index i = 0; i < weights.size(); ++i) weights[i] = draws[prompts[i]];
      return (*this)(section, weights);
    });
  }
};

}  // namespace detail

/// RewardBench's sections and score. A section's accuracy is the mean over its subsets, weighted by
/// reward_bench_subsets, of the share of pairs whose chosen side scores higher; subsets without pairs are
/// left out, as the published code does. `lengths` are chosen and rejected, in tokens. `unscored`: the subsets
/// of further pairs, which have no score and are lost. Intervals are over prompts: all pairs, those last, have one number
/// each in `prompts`; where that is empty each pair is a prompt's. Throws DataError when there are no pairs, a subset is unknown, or a score is not finite; UsageError
/// when the numbers differ.
RewardBenchReport report_reward_bench(std::span<const std::string> names, std::span<const double> chosen,
                                      std::span<const double> rejected, std::span<const Index> chosen_lengths,
                                      std::span<const Index> rejected_lengths,
                                      std::span<const std::string> unscored = {},
                                      std::span<const Index> prompts = {});

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
TiesReport report_ties(std::span<const TiesProblem> problems);

struct RewardBench2Report {
  std::vector<SubsetMean> subsets;  // all but Ties
  std::optional<TiesReport> ties;
  double score = 0;  // the mean of the subsets, Ties among them
};

/// RewardBench 2's score: each subset, Ties too if it is there, counts the same. `credits` are those of
/// best_of_four_credit, with the names of their subsets. `prompts` as in report_subsets. Throws as that and report_ties.
RewardBench2Report report_reward_bench_2(std::span<const std::string> names, std::span<const double> credits,
                                         std::span<const TiesProblem> ties,
                                         std::span<const Index> prompts = {});

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
StyleReport report_styles(std::span<const StyleScores> prompts);

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
RmBenchReport report_rm_bench(std::span<const std::string> domains, std::span<const StyleScores> prompts);

// ---- ProcessBench (Zheng et al. 2024)

/// A label of ProcessBench: −1 when all steps are right, else the place of the first wrong one. Throws
/// DataError for anything lower.
FirstError process_bench_label(long label);

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
ProcessBenchReport report_process_bench(std::span<const FirstErrorSubset> subsets);

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
PrmBenchReport report_prm_bench(std::span<const StepClass> classes);

/// The counts of the steps of solutions by class, for report_prm_bench: a step is called good when its score
/// reaches the threshold. Throws UsageError when the numbers differ.
std::vector<StepClass> count_steps_by_class(std::span<const std::string> classes,
                                            std::span<const std::vector<double>> scores,
                                            std::span<const std::vector<bool>> good, double threshold);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/benchmarks/benchmark_scores_body.hpp"
#endif
