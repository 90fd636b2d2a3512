// Ratings of an answer's attributes, weighed by a gate that reads the prompt.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/field.hpp"
#include "merit/head/head.hpp"
#include "merit/head/linear_scores.hpp"
#include "merit/nn/activation.hpp"
#include "merit/nn/concatenate.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A rating for each attribute at the last token, and a weight for each from a gate, a small network that
/// reads the place where the answer begins (Wang et al. 2024, ArmoRM): score = Σ softmax(gate / temperature)
/// · rating. `SequenceShape::step_ends` names that place, one.
///
/// forward() depends on a row alone, so both rows give (ratings, logits of the gate) and merge() takes of
/// each what it is read for. No loss sees two rows of a completion, so the head scores and is not trained.
///
/// Stored as `regression_layer.weight` (attributes, d) and `gating.layers.N.{weight,bias}`, ReLU between
/// them.
struct GatedRegressionHead {
  Index attributes = 1;
  std::vector<Index> gate_widths = {};
  double temperature = 10;

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = ScoreMeaning::per_completion;
  static constexpr Index width = 0;  // decided at run time
  static constexpr std::string_view name() { return "gated_regression"; }
  /// The gate's row, then the last. Throws DataError where the sequence does not say where the answer begins.
  void rows(const SequenceShape& sequence, std::vector<Index>& out) const {
    if (sequence.step_ends.size() != 1) {
      throw DataError(concat(
          "gated_regression: a sequence names ", sequence.step_ends.size(),
          " places for the gate, expected one, where the assistant's last turn begins and which is not cut "
          "off: the reading rule needs its ;gate:ID,…"));
    }
    out.push_back(sequence.step_ends[0]);
    out.push_back(sequence.length - 1);
  }

  /// The score from both rows, the gate's first: (2, outputs).
  double merge(std::span<const double> rows) const {
    if (rows.size() != 4 * attributes) {
      throw UsageError(concat("gated_regression: merge has ", rows.size(), " scores, expected ",
                              4 * attributes, ", those of both rows"));
    }
    const auto logits = rows.subspan(attributes, attributes);
    const auto ratings = rows.subspan(2 * attributes, attributes);
    const double top = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    double weights = 0;
    for (Index i = 0; i < attributes; ++i) {
      const double weight = std::exp((logits[i] - top) / temperature);
      sum += weight * ratings[i];
      weights += weight;
    }
    return sum / weights;
  }

  template <class Visit>
  static void fields(const Visit& visit) {
    using Head = GatedRegressionHead;
    visit(Field{"attributes", &Head::attributes, at_least(1), "ratings, and weights of the gate"});
    visit(Field{"gate_widths", &Head::gate_widths, at_least(1), "of the gate's inner layers"});
    visit(Field{"temperature", &Head::temperature, above(0), "divides the gate's logits"});
  }

  friend bool operator==(const GatedRegressionHead&, const GatedRegressionHead&) = default;
};

template <class B>
class GatedRegressionHead::Bound {
 public:
  Bound(const GatedRegressionHead& head, Index hidden_width, Parameters<B>& parameters)
      : ratings_("regression_layer", head.attributes, hidden_width, false, 0.02, parameters) {
    Index in = hidden_width;
    const auto add = [&](Index out) {
      gate_.emplace_back("gating.layers." + std::to_string(gate_.size()), out, in, true,
                         1 / std::sqrt(static_cast<double>(in)), parameters);
      in = out;
    };
    for (const Index inner : head.gate_widths) add(inner);
    add(head.attributes);
  }
  Index outputs() const { return 2 * ratings_.outputs(); }
  /// (R, d) → (R, 2 · attributes): ratings, then logits of the gate. Throws UsageError where a gradient is
  /// asked for.
  Var forward(Tape<B>& tape, Var hidden) {
    if (tape.recording()) {
      throw UsageError(
          "gated_regression: this head is for scoring: no loss sees both of the rows that its score is made "
          "of. Train an AttributeHead, which rates the same attributes.");
    }
    Var gate = hidden;
    for (Index i = 0; i < gate_.size(); ++i) {
      gate = gate_[i].forward(tape, gate);
      if (i + 1 < gate_.size()) gate = activate(tape, gate, ActivationFunction::relu);
    }
    return concatenate(tape, ratings_.forward(tape, hidden), gate);
  }

 private:
  detail::LinearScores<B> ratings_;
  std::vector<detail::LinearScores<B>> gate_;
};

}  // namespace MERIT_ABI
}  // namespace merit
