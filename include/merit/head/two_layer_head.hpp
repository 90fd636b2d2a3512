// Scores of an answer, or of each reasoning step, from two layers.
#pragma once

#include <cmath>
#include <string_view>
#include <vector>

#include "merit/core/field.hpp"
#include "merit/fwd.hpp"
#include "merit/head/head.hpp"
#include "merit/head/linear_scores.hpp"
#include "merit/nn/activation.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// scores = W₂ · activation(W₁ · hidden + b₁) + b₂: one at the last token (TwoLayerHead), or those of the
/// classes bad and good at each step's end (TwoLayerStepHead). Stored as `score.0.{weight,bias}` (inner, d)
/// and `score.2.{weight,bias}` (outputs, inner), the activation being number 1, as published two-layer reward
/// models (Qwen2.5-Math-RM and -PRM, with ReLU) name them.
template <ScoreMeaning Meaning, Index Outputs>
struct TwoLayers {
  static_assert(Outputs >= 1, "merit: TwoLayers has no outputs: expected at least 1.");

  Index inner = 0;  // 0: as wide as a hidden row
  ActivationFunction activation = ActivationFunction::relu;
  bool bias = true;
  double init_deviation = 0.02;  // of the second layer; the first starts at 1/sqrt(d)

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = Meaning;
  static constexpr Index width = Outputs;
  static constexpr std::string_view name() {
    return Meaning == ScoreMeaning::per_step ? "step_two_layer" : "two_layer";
  }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"inner", &TwoLayers::inner, any_value(), "width of the hidden layer; 0: as a hidden row",
                "--inner-size"});
    visit(Field{"activation", &TwoLayers::activation, {}, "between the two layers"});
    visit(detail::bias_field(&TwoLayers::bias));
    visit(detail::init_deviation_field(&TwoLayers::init_deviation));
  }

  friend bool operator==(const TwoLayers&, const TwoLayers&) = default;
};

template <ScoreMeaning Meaning, Index Outputs>
template <class B>
class TwoLayers<Meaning, Outputs>::Bound {
 public:
  Bound(const TwoLayers& head, Index hidden_width, Parameters<B>& parameters)
      : activation_(head.activation),
        up_("score.0", inner_of(head, hidden_width), hidden_width, head.bias,
            1 / std::sqrt(static_cast<double>(hidden_width)), parameters),
        down_("score.2", Outputs, inner_of(head, hidden_width), head.bias, head.init_deviation, parameters) {}
  Index outputs() const { return Outputs; }
  /// (R, d) → (R, Outputs)
  Var forward(Tape<B>& tape, Var hidden) {
    return down_.forward(tape, activate(tape, up_.forward(tape, hidden), activation_));
  }

 private:
  static Index inner_of(const TwoLayers& head, Index hidden_width) {
    return head.inner != 0 ? head.inner : hidden_width;
  }

  ActivationFunction activation_;
  detail::LinearScores<B> up_;
  detail::LinearScores<B> down_;
};

}  // namespace MERIT_ABI
}  // namespace merit
