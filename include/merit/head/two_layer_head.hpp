// One number for an answer from two layers.
#pragma once

#include <cmath>
#include <string_view>
#include <vector>

#include "merit/head/linear_scores.hpp"
#include "merit/head/rows.hpp"
#include "merit/nn/activation.hpp"

namespace merit::inline MERIT_ABI {

/// score = w · activation(W · hidden + b) + c, at the last token. Stored as `score.0.{weight,bias}` (inner,
/// d) and `score.2.{weight,bias}` (1, inner), the activation being number 1, as published two-layer reward
/// models (Qwen2.5-Math-RM, with ReLU) name them.
struct TwoLayerHead {
  Index inner = 0;  // 0: as wide as a hidden row
  Activation activation = Activation::relu;
  bool bias = true;
  double init_deviation = 0.02;  // of the second layer; the first starts at 1/sqrt(d)

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = ScoreMeaning::per_completion;
  static constexpr Index width = 1;
  static constexpr std::string_view name() { return "two_layer"; }
  void validate() const {}
  void rows(const SequenceShape& sequence, std::vector<Index>& out) const {
    append_rows<meaning>(sequence, out);
  }

  friend bool operator==(const TwoLayerHead&, const TwoLayerHead&) = default;
};

template <class B>
class TwoLayerHead::Bound {
 public:
  Bound(const TwoLayerHead& head, Index hidden_width, Parameters<B>& parameters)
      : activation_(head.activation),
        up_("score.0", inner_of(head, hidden_width), hidden_width, head.bias,
            1 / std::sqrt(static_cast<double>(hidden_width)), parameters),
        down_("score.2", 1, inner_of(head, hidden_width), head.bias, head.init_deviation, parameters) {}
  Index outputs() const { return 1; }
  /// (R, d) → (R, 1)
  Var forward(Tape<B>& tape, Var hidden) {
    return down_.forward(tape, activate(tape, up_.forward(tape, hidden), activation_));
  }

 private:
  static Index inner_of(const TwoLayerHead& head, Index hidden_width) {
    return head.inner != 0 ? head.inner : hidden_width;
  }

  Activation activation_;
  detail::LinearScores<B> up_;
  detail::LinearScores<B> down_;
};

}  // namespace merit::inline MERIT_ABI
