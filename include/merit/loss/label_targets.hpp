// Labels on rows, gathered by the completion they belong to, and the two ways of averaging over them.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/field.hpp"
#include "merit/core/view.hpp"
#include "merit/loss/loss.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a loss over labelled rows is divided by.
enum class Denominator : std::uint8_t {
  per_token,    // all labelled rows of the optimizer step: a long completion counts more
  per_sequence  // the mean inside each completion, then over the completions: each counts the same
};
template <>
inline constexpr std::array<std::string_view, 2> enum_names<Denominator>{"per_token", "per_sequence"};

/// The labels of one completion, [begin, end) of all.
struct LabelledSequence {
  Index begin = 0;
  Index end = 0;
  double weight = 1;
  double label_weight = 0;  // of its labels together
};

/// A label as a term reads it. A completion whose labels have no weight is not counted.
template <class Label>
struct LabelUnit {
  Label label;
  LabelledSequence sequence;

  MERIT_CALLABLE Index size() const { return sequence.label_weight > 0 ? 1 : 0; }
  MERIT_CALLABLE ScorePlace place(Index) const { return {label.row, 0}; }
  /// Of the step's loss.
  MERIT_CALLABLE double share(Denominator denominator, double normaliser) const {
    const double divisor =
        denominator == Denominator::per_token ? normaliser : sequence.label_weight * normaliser;
    return sequence.weight * label.weight / divisor;
  }
};

/// Labels of rows. Completions that share tokens share rows, so several labels may name one row.
/// Label has a `row`, a `weight` and a `sequence`, which is assigned here.
template <class Label>
struct LabelTargets {
  std::vector<Label> labels;
  std::vector<LabelledSequence> sequences;

  void clear() {
    labels.clear();
    sequences.clear();
  }

  /// Labels added from here on belong to a new completion.
  void begin_sequence(double weight = 1) { sequences.push_back({labels.size(), labels.size(), weight, 0}); }

  /// The same lists, wherever they are.
  struct View {
    const Label* labels = nullptr;
    Index label_count = 0;
    const LabelledSequence* sequences = nullptr;
    Index sequence_count = 0;

    MERIT_CALLABLE Index unit_count() const { return label_count; }
    MERIT_CALLABLE LabelUnit<Label> unit(Index i) const { return {labels[i], sequences[labels[i].sequence]}; }
    template <class F>
    void for_each_list(const F& f) {
      f(labels, label_count);
      f(sequences, sequence_count);
    }
  };
  View view() const { return {labels.data(), labels.size(), sequences.data(), sequences.size()}; }

  Index unit_count() const { return labels.size(); }
  LabelUnit<Label> unit(Index i) const { return view().unit(i); }
  /// The normaliser of a loss over all labels that count.
  double weight(Denominator denominator) const {
    double sum = 0;
    for (const LabelledSequence& sequence : sequences) {
      const double within = sequence.label_weight;
      if (within > 0) sum += sequence.weight * (denominator == Denominator::per_token ? within : 1);
    }
    return sum;
  }

 protected:
  void append(Label label) {
    if (sequences.empty()) throw UsageError("a label was added before begin_sequence()");
    label.sequence = static_cast<std::uint32_t>(sequences.size() - 1);
    labels.push_back(label);
    sequences.back().end = labels.size();
    sequences.back().label_weight += label.weight;
  }
};

namespace detail {

/// The settings that every loss over labels has.
template <class Loss>
constexpr auto denominator_field(Denominator Loss::*denominator) {
  return Field{
      "denominator", denominator, {}, "whether labels are averaged all together, or in each sequence first"};
}
template <class Loss>
constexpr auto label_smoothing_field(double Loss::*label_smoothing) {
  return Field{"label_smoothing", label_smoothing, between(0, 1),
               "share of a label that is spread over the classes"};
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
