// Right or wrong: area under the curve, F1, and finding the first wrong step.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "merit/core/error.hpp"
#include "merit/eval/bootstrap.hpp"
#include "merit/infer/vote.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// 0 when both are.
inline double harmonic_mean(double a, double b) {
  return a + b > 0 ? 2 * a * b / (a + b) : 0;
}

/// An item in the order of scores: its group, and what it is.
struct AreaItem {
  Index group = 0;
  bool positive = false;
  bool ends_tie = false;  // the next one scores higher
  double weight = 1;
};

/// The area with its interval over groups (numbered from 0); nothing when either kind is missing.
std::optional<Estimate> area_by_groups(std::span<const double> scores, std::span<const std::uint8_t> positive,
                                       std::span<const Index> groups, Index number_of_groups,
                                       std::span<const double> item_weights = {});

}  // namespace detail

/// The share of pairs of a positive and a negative in which the positive scores higher, ties ½: the area
/// under the ROC curve. `positive` is 1 or 0 for each. Throws DataError when either kind is missing.
double area_under_curve(std::span<const double> scores, std::span<const std::uint8_t> positive);

/// Counts of predictions of a class.
struct BinaryCounts {
  Index true_positives = 0;
  Index false_positives = 0;
  Index true_negatives = 0;
  Index false_negatives = 0;

  void add(bool predicted, bool actual) {
    ++(predicted ? (actual ? true_positives : false_positives) : (actual ? false_negatives : true_negatives));
  }
  BinaryCounts& operator+=(const BinaryCounts& other);
  /// The same counts with the other class as the positive one.
  BinaryCounts flipped() const { return {true_negatives, false_negatives, true_positives, false_positives}; }

  // A share of nothing is 0.
  double accuracy() const {
    const Index right = true_positives + true_negatives;
    return ratio(right, right + false_positives + false_negatives);
  }
  double precision() const { return ratio(true_positives, true_positives + false_positives); }
  double recall() const { return ratio(true_positives, true_positives + false_negatives); }
  double f1() const {
    return ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives);
  }

 private:
  static double ratio(Index part, Index whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  }
};

/// The counts of 1-or-0 predictions against 1-or-0 labels.
BinaryCounts count_predictions(std::span<const std::uint8_t> predicted, std::span<const std::uint8_t> actual);

/// The place of the first wrong step, from 0; nothing when all steps are right. first_below gives it from
/// scores.
using FirstError = std::optional<Index>;

/// How well first errors are found.
struct FirstErrorReport {
  Index erroneous = 0;  // solutions that have an error
  Index correct = 0;    // solutions that have none
  Estimate found;       // of the erroneous, the exact step was named
  Estimate accepted;    // of the correct, no step was named
  double f1 = 0;        // harmonic mean of the two, 0 when either is
};

/// The same of solutions that may be all erroneous or all correct: what is not defined then is missing.
struct FirstErrorFigures {
  Index erroneous = 0;
  Index correct = 0;
  std::optional<Estimate> found;
  std::optional<Estimate> accepted;
  std::optional<double> f1;
};

/// Compares predicted first errors with actual ones. Intervals are over problems: solutions of one problem have one
/// number in `problems`; where that is empty each is a problem's. Throws UsageError when the numbers differ.
FirstErrorFigures first_error_figures(std::span<const FirstError> predicted,
                                      std::span<const FirstError> actual,
                                      std::span<const Index> problems = {});

/// The same where all of it is needed. Throws DataError when there are no erroneous or no correct solutions,
/// because the harmonic mean needs both.
FirstErrorReport report_first_errors(std::span<const FirstError> predicted,
                                     std::span<const FirstError> actual);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/eval/classification_body.hpp"
#endif
