// Cross-entropy over classes: a class, or a probability for each class, on each of some rows.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/field.hpp"
#include "merit/fwd.hpp"
#include "merit/loss/label_targets.hpp"
#include "merit/loss/loss.hpp"
#include "merit/loss/numerics.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The class of a step's label: −1 (bad), 0 (neutral), +1 (good) are 0, 1, 2 (Lightman et al. 2023).
inline Index ternary_class(int label) {
  if (label < -1 || label > 1) {
    throw DataError(concat("a step's label is ", label, ", expected -1, 0 or 1"));
  }
  return static_cast<Index>(label + 1);
}

struct ClassLabel {
  std::uint32_t row = 0;
  double weight = 1;
  std::uint32_t sequence = 0;  // the completion it belongs to
};

/// A row with a class's probability for each of its scores.
struct ClassUnit : LabelUnit<ClassLabel> {
  const double* probabilities = nullptr;  // (classes)
  Index classes = 0;

  MERIT_CALLABLE Index size() const { return sequence.label_weight > 0 ? classes : 0; }
  MERIT_CALLABLE ScorePlace place(Index j) const { return {label.row, static_cast<std::uint32_t>(j)}; }
};

struct ClassTargets : LabelTargets<ClassLabel> {
  Index classes = 3;
  std::vector<double> probabilities;  // (labels, classes)

  ClassTargets() = default;
  explicit ClassTargets(Index class_count) : classes(class_count) {}

  void clear() {
    LabelTargets<ClassLabel>::clear();
    probabilities.clear();
  }

  std::span<const double> probabilities_of(Index label) const {
    return std::span(probabilities).subspan(label * classes, classes);
  }

  struct View : LabelTargets<ClassLabel>::View {
    const double* probabilities = nullptr;
    Index classes = 0;

    MERIT_CALLABLE ClassUnit unit(Index i) const {
      return {LabelTargets<ClassLabel>::View::unit(i), probabilities + i * classes, classes};
    }
    template <class F>
    void for_each_list(const F& f) {
      LabelTargets<ClassLabel>::View::for_each_list(f);
      f(probabilities, this->label_count * classes);
    }
  };
  View view() const { return {LabelTargets<ClassLabel>::view(), probabilities.data(), classes}; }

  ClassUnit unit(Index i) const { return view().unit(i); }

  void add(std::uint32_t row, Index label, double weight = 1) {
    if (label >= classes) {
      throw DataError(concat("a label is class ", label, ", expected less than ", classes));
    }
    append({row, weight});
    for (Index c = 0; c < classes; ++c) probabilities.push_back(c == label ? 1 : 0);
  }

  /// A soft label: numbers of at least 0 whose sum is 1.
  void add(std::uint32_t row, std::span<const double> distribution, double weight = 1) {
    if (distribution.size() != classes) {
      throw DataError(concat("a soft label has ", distribution.size(), " probabilities, expected ", classes));
    }
    double sum = 0;
    for (const double p : distribution) {
      if (!(p >= 0)) {
        throw DataError(concat("a soft label has the probability ", p, ", expected at least 0"));
      }
      sum += p;
    }
    if (!(std::abs(sum - 1) <= 1e-6)) {
      throw DataError(concat("the probabilities of a soft label sum to ", sum, ", expected 1"));
    }
    append({row, weight});
    probabilities.insert(probabilities.end(), distribution.begin(), distribution.end());
  }
};

namespace detail {

/// What the term of CategoricalCrossEntropyLoss reads of its settings: one type whatever the scores mean, so that a
/// device has one loop for all.
struct CategoricalTerm {
  Denominator denominator;
  double label_smoothing;
  const double* class_weights;  // (classes), or null: all 1
  Index weight_count;

  template <class F>
  void for_each_list(const F& f) {
    f(class_weights, weight_count);
  }
  MERIT_CALLABLE UnitLoss term(const ClassUnit& unit, double normaliser, const UnitNumbers& numbers) const {
    const Index classes = unit.classes;
    const double share = unit.share(denominator, normaliser);
    const double* const z = numbers.scores;
    double* const p = numbers.scratch;            // softmax(z)
    double* const q = numbers.scratch + classes;  // the smoothed label by its class's weight
    for (Index c = 0; c < classes; ++c) {
      q[c] = unit.probabilities[c] * (1 - label_smoothing) + label_smoothing / static_cast<double>(classes);
      if (class_weights != nullptr) q[c] *= class_weights[c];
    }
    const SplitLogSumExp sum = split_log_sum_exp(z, classes);
    double loss = 0;
    for (Index c = 0; c < classes; ++c) {
      const double surprise = (sum.largest - z[c]) + sum.rest;  // −log p
      loss += q[c] * surprise;
      p[c] = std::exp(-surprise);
    }
    for (Index j = 0; j < classes; ++j) {
      // p_j Σ q − q_j = Σ_c (p_j q_c − q_j p_c), where a sure and right answer does not cancel.
      double slope = 0;
      for (Index c = 0; c < classes; ++c) {
        if (c != j) slope += p[j] * q[c] - q[j] * p[c];
      }
      numbers.slopes[j] = share * slope;
    }
    return {share, loss};
  }
};

}  // namespace detail

/// The cross-entropy of a label with softmax(z), z a row of scores:
///
///   q_c = label_c · (1 − ε) + ε / k,      ε = label_smoothing, k classes
///   l = −Σ_c class_weight_c · q_c · log softmax(z)_c
///
/// averaged over labels by weight and `denominator` (per_token is then per labelled step). Class weights are
/// not part of what it divides by. CrossEntropyLoss is over steps, CompletionCrossEntropyLoss over
/// completions.
template <ScoreMeaning Meaning>
struct CategoricalCrossEntropyLoss {
  Denominator denominator = Denominator::per_token;
  std::vector<double> class_weights = {};  // one a class
  double label_smoothing = 0;              // ε

  using Targets = ClassTargets;
  static constexpr ScoreMeaning reads = Meaning;
  static constexpr ScoreWidth reads_width = ScoreWidth::several;
  static constexpr Index scratch_per_score = 2;
  static constexpr std::string_view name() { return "cross_entropy"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    using Loss = CategoricalCrossEntropyLoss;
    visit(detail::denominator_field(&Loss::denominator));
    visit(Field{"class_weights", &Loss::class_weights, at_least(0),
                "weights of bad, neutral and good, or bad and good; none: all 1"});
    visit(detail::label_smoothing_field(&Loss::label_smoothing));
  }

  double normaliser(const Targets& targets) const { return targets.weight(denominator); }

  /// Valid while the loss is.
  detail::CategoricalTerm plain() const {
    return {denominator, label_smoothing, class_weights.empty() ? nullptr : class_weights.data(),
            class_weights.size()};
  }

  /// Throws UsageError where the scores of a row are not one for each class of the targets and weights.
  void check_columns(const Targets& targets, Index columns) const {
    if (columns != targets.classes) {
      throw UsageError(concat("cross_entropy: the labels have ", targets.classes, " classes and the scores ",
                              columns, ", expected as many"));
    }
    if (!class_weights.empty() && class_weights.size() != columns) {
      throw UsageError(concat("cross_entropy: there are ", class_weights.size(),
                              " class_weights and scores of ", columns,
                              " classes, expected as many or none"));
    }
  }

  friend bool operator==(const CategoricalCrossEntropyLoss&, const CategoricalCrossEntropyLoss&) = default;
};

template <ScoreMeaning Meaning>
inline constexpr bool has_device_loop<CategoricalCrossEntropyLoss<Meaning>> = true;

}  // namespace MERIT_ABI
}  // namespace merit
