// Ratings of an answer's attributes, weighed by a gate.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/field.hpp"
#include "merit/core/sizes.hpp"
#include "merit/head/head.hpp"
#include "merit/head/linear_scores.hpp"
#include "merit/nn/activation.hpp"
#include "merit/nn/concatenate.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A rating for each attribute at the last token, and a weight for each from a gate, a small network:
/// score = Σ weight · rating. Two published forms, and what lies between them:
///
/// - ArmoRM (Wang et al. 2024), QRM: ratings are linear; the gate reads the place where the answer begins,
///   which `SequenceShape::step_ends` names, one; weights are its softmax(logits / temperature).
/// - LDL-Reward (Chen et al. 2025): ratings have a network of their own, with a softmax over `bins` for each
///   attribute, whose rating is the mean of the bins' values, equal steps from 0 to 1; the gate reads the last
///   token, and its outputs are the weights as they are.
///
/// forward() depends on a row alone, so each row gives (ratings, or logits of their bins; logits of the gate)
/// and merge() takes of each what it is read for. That is done on the host, so the head scores and is not
/// trained. Its authors train it in two stages: the ratings, of LDL-Reward by cross-entropy to a discrete Gaussian around
/// each rating, of ArmoRM by regression; then, with all else frozen, the gate by the Bradley-Terry loss of pairs.
///
/// Stored as `regression_layer.weight` (attributes · bins, d), or the layers of its network as
/// `regression_layer.network.{0,2,…}.{weight,bias}`, and `gating.layers.N.{weight,bias}`.
struct GatedRegressionHead {
  Index attributes = 1;
  std::vector<Index> gate_widths = {};
  double temperature = 10;
  std::vector<Index> rating_widths = {};
  Index bins = 1;
  ActivationFunction activation = ActivationFunction::relu;
  bool gate_softmax = true;
  bool gate_at_end = false;

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = ScoreMeaning::per_completion;
  static constexpr Index width = 0;  // decided at run time
  static constexpr std::string_view name() { return "gated_regression"; }

  /// Why it is not trained, and what is.
  static constexpr std::string_view untrained =
      "this head is for scoring: neither its ratings (distributions over bins in LDL-Reward) nor its gate, which its "
      "authors train on pairs behind them, have a loss here; expected an AttributeHead with RegressionLoss, which "
      "learns the same ratings, or a ScalarHead with PairwiseLoss, which learns pairs";

  /// Scores of a row.
  Index outputs() const {
    return size_sum(size_product(attributes, bins, "gated_regression"), attributes, "gated_regression");
  }
  /// Whether it is of ArmoRM's form, which its class reads.
  bool is_linear_with_gate_at_answer() const {
    return rating_widths.empty() && bins == 1 && gate_softmax && !gate_at_end;
  }

  /// The gate's row, then the last; the last alone where the gate reads it too. Throws DataError where the
  /// sequence does not say where the answer begins.
  void rows(const SequenceShape& sequence, std::vector<Index>& out) const {
    if (!gate_at_end) {
      if (sequence.step_ends.size() != 1) {
        throw DataError(concat(
            "gated_regression: a sequence names ", sequence.step_ends.size(),
            " places for the gate, expected one, where the assistant's last turn begins and which is not cut "
            "off: the reading rule needs its ;gate:ID,…"));
      }
      out.push_back(sequence.step_ends[0]);
    }
    out.push_back(sequence.length - 1);
  }

  /// The rating of each attribute, of the rows of a completion (1 or 2, outputs): with bins the mean of their
  /// values.
  std::vector<double> ratings(std::span<const double> rows) const {
    const auto raw = checked(rows).last(outputs()).first(attributes * bins);
    std::vector<double> ratings(raw.begin(), raw.end());
    if (bins == 1) return ratings;
    ratings.resize(attributes);
    for (Index i = 0; i < attributes; ++i) {
      const std::vector<double> shares = softmax(raw.subspan(i * bins, bins), 1);
      ratings[i] = 0;
      for (Index b = 0; b < bins; ++b)
        ratings[i] += shares[b] * (static_cast<double>(b) / static_cast<double>(bins - 1));
    }
    return ratings;
  }

  /// The weight of each attribute, of the same rows.
  std::vector<double> weights(std::span<const double> rows) const {
    const auto logits = checked(rows).first(outputs()).last(attributes);
    return gate_softmax ? softmax(logits, temperature) : std::vector<double>(logits.begin(), logits.end());
  }

  /// The score from all rows of a completion, the gate's first.
  double merge(std::span<const double> rows) const {
    const std::vector<double> by = weights(rows), of = ratings(rows);
    return std::inner_product(by.begin(), by.end(), of.begin(), 0.0);
  }

  template <class Visit>
  static void fields(const Visit& visit) {
    using Head = GatedRegressionHead;
    visit(Field{"attributes", &Head::attributes, at_least(1), "ratings, and weights of the gate"});
    visit(Field{"gate_widths", &Head::gate_widths, at_least(1), "of the gate's inner layers"});
    visit(Field{"temperature", &Head::temperature, above(0), "divides the gate's logits before the softmax"});
    visit(Field{"rating_widths", &Head::rating_widths, at_least(1), "of the ratings' inner layers"});
    visit(Field{"bins", &Head::bins, at_least(1), "of each rating, which is their mean; 1: a number itself"});
    visit(Field{"activation", &Head::activation, {}, "between layers, of the gate and of the ratings"});
    visit(Field{"gate_softmax", &Head::gate_softmax, {}, "the weights are the softmax of the gate's logits"});
    visit(Field{
        "gate_at_end", &Head::gate_at_end, {}, "the gate reads the last token, not the answer's begin"});
  }

  friend bool operator==(const GatedRegressionHead&, const GatedRegressionHead&) = default;

 private:
  std::span<const double> checked(std::span<const double> rows) const {
    const Index expected = gate_at_end ? outputs() : 2 * outputs();
    if (rows.size() == expected) return rows;
    throw UsageError(concat("gated_regression: there are ", rows.size(), " scores of a completion, expected ",
                            expected, gate_at_end ? ", those of its row" : ", those of both rows"));
  }

  static std::vector<double> softmax(std::span<const double> logits, double divisor) {
    const double top = *std::max_element(logits.begin(), logits.end());
    std::vector<double> shares;
    for (const double logit : logits) shares.push_back(std::exp((logit - top) / divisor));
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    for (double& share : shares) share /= sum;
    return shares;
  }
};

template <class B>
class GatedRegressionHead::Bound {
 public:
  Bound(const GatedRegressionHead& head, Index hidden_width, Parameters<B>& parameters)
      : outputs_(head.outputs()), activation_(head.activation) {
    const std::vector<Index> widths = with_last(head.rating_widths, head.attributes * head.bins);
    const bool network = widths.size() > 1;
    Index in = hidden_width;
    const auto add = [&](std::vector<detail::LinearScores<B>>& layers, const std::string& name, Index out,
                         bool bias, double deviation) {
      layers.emplace_back(name, out, in, bias, deviation, parameters);
      in = out;
    };
    for (const Index out : widths) {
      const std::string name =
          network ? "regression_layer.network." + std::to_string(2 * ratings_.size()) : "regression_layer";
      add(ratings_, name, out, network, network ? 1 / std::sqrt(static_cast<double>(in)) : 0.02);
    }
    in = hidden_width;
    for (const Index out : with_last(head.gate_widths, head.attributes)) {
      add(gate_, "gating.layers." + std::to_string(gate_.size()), out, true,
          1 / std::sqrt(static_cast<double>(in)));
    }
  }
  Index outputs() const { return outputs_; }
  /// (R, d) → (R, attributes · bins + attributes): ratings, then logits of the gate. Throws UsageError where a
  /// gradient is asked for.
  Var forward(Tape<B>& tape, Var hidden) {
    if (tape.recording()) {
      throw UsageError(concat("gated_regression: ", untrained));
    }
    return concatenate(tape, through(tape, ratings_, hidden), through(tape, gate_, hidden));
  }

 private:
  static std::vector<Index> with_last(std::vector<Index> widths, Index last) {
    widths.push_back(last);
    return widths;
  }
  Var through(Tape<B>& tape, std::vector<detail::LinearScores<B>>& layers, Var x) const {
    for (Index i = 0; i < layers.size(); ++i) {
      x = layers[i].forward(tape, x);
      if (i + 1 < layers.size()) x = activate(tape, x, activation_);
    }
    return x;
  }

  Index outputs_;
  ActivationFunction activation_;
  std::vector<detail::LinearScores<B>> ratings_;
  std::vector<detail::LinearScores<B>> gate_;
};

}  // namespace MERIT_ABI
}  // namespace merit
