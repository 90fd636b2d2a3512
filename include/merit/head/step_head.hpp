// Scores for each reasoning step: the head of a process reward model.
#pragma once

#include <string_view>
#include <vector>

#include "merit/fwd.hpp"
#include "merit/head/linear_scores.hpp"
#include "merit/head/rows.hpp"

namespace merit::inline MERIT_ABI {

/// Logits of a step's classes, read at the last token of its separator: bad, neutral, good with 3 (Lightman
/// et al. 2023), bad, good with 2, and with 1 the logit that it is good. Stored as `score.{weight,bias}`
/// (classes, d), as transformers' …ForTokenClassification does.
template <Index Classes>
struct StepHead {
  static_assert(Classes >= 1, "merit: StepHead has no classes: expected 1, 2 or 3, as in StepHead<3>.");

  bool bias = true;
  double init_deviation = 0.02;

  template <class B>
  class Bound : public detail::LinearScores<B> {
   public:
    Bound(const StepHead& head, Index hidden_width, Parameters<B>& parameters)
        : detail::LinearScores<B>("score", Classes, hidden_width, head.bias, head.init_deviation,
                                  parameters) {}
  };

  static constexpr ScoreMeaning meaning = ScoreMeaning::per_step;
  static constexpr Index width = Classes;
  static constexpr std::string_view name() {
    return Classes == 1   ? "step_logit"
           : Classes == 2 ? "step_binary"
           : Classes == 3 ? "step_ternary"
                          : "step";
  }
  void validate() const {}
  void rows(const SequenceShape& sequence, std::vector<Index>& out) const {
    append_rows<meaning>(sequence, out);
  }

  friend bool operator==(const StepHead&, const StepHead&) = default;
};

}  // namespace merit::inline MERIT_ABI
