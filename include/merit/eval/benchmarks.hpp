// The scores of published benchmarks from the scores of a model, as their own code computes them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/eval/classification.hpp"
#include "merit/eval/pairs.hpp"
#include "merit/infer/vote.hpp"

namespace merit::inline MERIT_ABI {

// ---- RewardBench 2 (Malik et al. 2025)
// ------------------------------------------------------------------------

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
  if (problems.empty()) throw DataError("report_ties: there are no problems");
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
      throw DataError(detail::concat(
          "report_ties: found ", problem.reference.correct.size(), " and ", problem.tied.correct.size(),
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

// ---- RM-Bench (Liu et al. 2025)
// --------------------------------------------------------------------------------

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
  if (prompts.empty()) throw DataError("report_styles: there are no prompts");
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

// ---- ProcessBench (Zheng et al. 2024)
// --------------------------------------------------------------------------

/// A label of ProcessBench: −1 when all steps are right, else the place of the first wrong one. Throws
/// DataError for anything lower.
inline FirstError process_bench_label(long label) {
  if (label < -1)
    throw DataError(detail::concat("found the label ", label, ", expected -1 or the place of a step"));
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
  if (subsets.empty()) throw DataError("report_process_bench: there are no subsets");
  ProcessBenchReport report;
  for (const FirstErrorSubset& subset : subsets) {
    report.subsets.push_back(report_first_errors(subset.predicted, subset.actual));
    report.mean_f1 += report.subsets.back().f1 / static_cast<double>(subsets.size());
  }
  return report;
}

// ---- PRMBench (Song et al. 2025)
// -------------------------------------------------------------------------------

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
  if (classes.empty()) throw DataError("report_prm_bench: there are no classes");
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

}  // namespace merit::inline MERIT_ABI
