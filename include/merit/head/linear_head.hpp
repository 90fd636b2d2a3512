// The heads that are one linear map: ScalarHead, CompletionClassHead, TokenHead, StepHead and ValueHead.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "merit/core/field.hpp"
#include "merit/fwd.hpp"
#include "merit/head/head.hpp"
#include "merit/head/linear_scores.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// scores = W · hidden (+ b), `Outputs` of them wherever a score of this meaning is read:
///
/// - ScalarHead: one number a completion, at its last token, the head of a Bradley–Terry reward model; as
///   transformers' …ForSequenceClassification with one label.
/// - CompletionClassHead: logits of the classes bad and good a completion, at its last token, whose log-odds
///   are the reward; as …ForSequenceClassification with two labels.
/// - TokenHead: the logit that an answer is right, at every token of it (Cobbe et al. 2021; Lightman et al.
///   2023); as …ForTokenClassification with one label.
/// - StepHead<k>: logits of a step's classes, at the last token of its separator: bad, neutral, good with 3
///   (Lightman et al. 2023), bad, good with 2, and with 1 the logit that it is good; as
///   …ForTokenClassification.
/// - ValueHead: V of the state in which each token of the answer is chosen, at the token before it. Stored as
///   `value_head`, so that it may stand beside another head; `v_head.summary`, TRL's name, is read too.
///
/// Stored as `score.weight` (Outputs, d) and `score.bias`.
template <ScoreMeaning Meaning, Index Outputs>
struct LinearHead {
  static_assert(Outputs >= 1, "merit: LinearHead has no outputs, expected at least 1, as in StepHead<3>.");

  bool bias = Meaning != ScoreMeaning::per_completion;  // a constant changes no preference
  double init_deviation = 0.02;

  template <class B>
  class Bound : public detail::LinearScores<B> {
   public:
    Bound(const LinearHead& head, Index hidden_width, Parameters<B>& parameters)
        : detail::LinearScores<B>(Meaning == ScoreMeaning::per_state ? "value_head" : "score", Outputs,
                                  hidden_width, head.bias, head.init_deviation, parameters) {}
  };

  static constexpr ScoreMeaning meaning = Meaning;
  static constexpr Index width = Outputs;
  static constexpr std::string_view name() {
    if (Meaning == ScoreMeaning::per_step) {
      constexpr std::string_view names[] = {"step_logit", "step_binary", "step_ternary"};
      return Outputs <= 3 ? names[Outputs - 1] : "step";
    }
    if (Outputs != 1) {
      return Meaning == ScoreMeaning::per_completion && Outputs == 2 ? "completion_binary" : "linear";
    }
    return Meaning == ScoreMeaning::per_completion ? "scalar"
           : Meaning == ScoreMeaning::per_token    ? "token"
                                                   : "value";
  }

  /// One number for a completion: the log-odds of good.
  double merge(std::span<const double> logits) const
      requires(Meaning == ScoreMeaning::per_completion && Outputs == 2) {
    return logits[1] - logits[0];
  }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(detail::bias_field(&LinearHead::bias));
    visit(detail::init_deviation_field(&LinearHead::init_deviation));
  }

  friend bool operator==(const LinearHead&, const LinearHead&) = default;
};

/// Whether a head is a LinearHead.
template <class Head>
inline constexpr bool is_linear_head = false;
template <ScoreMeaning Meaning, Index Outputs>
inline constexpr bool is_linear_head<LinearHead<Meaning, Outputs>> = true;

}  // namespace MERIT_ABI
}  // namespace merit
