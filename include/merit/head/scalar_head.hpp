// One number for an answer, read at its last token: the head of a Bradley–Terry reward model.
#pragma once

#include <string_view>
#include <vector>

#include "merit/head/linear_scores.hpp"
#include "merit/head/rows.hpp"

namespace merit::inline MERIT_ABI {

/// score = w · hidden of the last token (+ b). Stored as `score.weight` (1, d), as transformers'
/// …ForSequenceClassification with one label does.
struct ScalarHead {
  bool bias = false;  // `score.bias`; a constant changes no preference
  double init_deviation = 0.02;

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = ScoreMeaning::per_completion;
  static constexpr Index width = 1;
  static constexpr std::string_view name() { return "scalar"; }
  void validate() const {}
  void rows(const SequenceShape& sequence, std::vector<Index>& out) const {
    append_rows<meaning>(sequence, out);
  }

  friend bool operator==(const ScalarHead&, const ScalarHead&) = default;
};

template <class B>
class ScalarHead::Bound : public detail::LinearScores<B> {
 public:
  Bound(const ScalarHead& head, Index hidden_width, Parameters<B>& parameters)
      : detail::LinearScores<B>("score", 1, hidden_width, head.bias, head.init_deviation, parameters) {}
};

}  // namespace merit::inline MERIT_ABI
