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

namespace merit::inline MERIT_ABI {

/// What a loss over labelled rows is divided by.
enum class Denominator : std::uint8_t {
  per_token,    // all labelled rows of the optimizer step: a long completion counts more
  per_sequence  // the mean inside each completion, then over the completions: each counts the same
};
template <>
inline constexpr std::array<std::string_view, 2> enum_names<Denominator>{"per_token", "per_sequence"};

/// Labels of rows. Completions that share tokens share rows, so several labels may name one row.
/// Label has a `weight`.
template <class Label>
struct LabelTargets {
  struct Span {  // the labels of one completion
    Index begin = 0;
    Index end = 0;
    double weight = 1;
  };
  std::vector<Label> labels;
  std::vector<Span> sequences;

  void clear() {
    labels.clear();
    sequences.clear();
  }

  /// Labels added from here on belong to a new completion.
  void begin_sequence(double weight = 1) { sequences.push_back({labels.size(), labels.size(), weight}); }

 protected:
  void append(const Label& label) {
    if (sequences.empty()) throw UsageError("a label was added before begin_sequence()");
    labels.push_back(label);
    sequences.back().end = labels.size();
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

template <class Label>
double weight_within(const LabelTargets<Label>& targets, const typename LabelTargets<Label>::Span& span) {
  double sum = 0;
  for (Index i = span.begin; i < span.end; ++i) sum += targets.labels[i].weight;
  return sum;
}

/// The normaliser. A completion without labels, or with none of any weight, is not counted.
template <class Label>
double count_labels(const LabelTargets<Label>& targets, Denominator denominator) {
  double sum = 0;
  for (const auto& span : targets.sequences) {
    const double within = weight_within(targets, span);
    if (within > 0) sum += span.weight * (denominator == Denominator::per_token ? within : 1);
  }
  return sum;
}

/// Calls f(index of the label, its share of the step's loss) for every label that counts.
template <class Label, class F>
void for_each_label(const LabelTargets<Label>& targets, Denominator denominator, double normaliser,
                    const F& f) {
  for (const auto& span : targets.sequences) {
    const double within = weight_within(targets, span);
    if (!(within > 0)) continue;
    const double divisor = denominator == Denominator::per_token ? normaliser : within * normaliser;
    for (Index i = span.begin; i < span.end; ++i) f(i, span.weight * targets.labels[i].weight / divisor);
  }
}

}  // namespace detail
}  // namespace merit::inline MERIT_ABI
