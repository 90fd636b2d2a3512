// One logit for each token of an answer: the head of an outcome reward model.
#pragma once

#include <string_view>
#include <vector>

#include "merit/head/linear_scores.hpp"
#include "merit/head/rows.hpp"

namespace merit::inline MERIT_ABI {

/// The logit that an answer is right, read at every token of it (Cobbe et al. 2021; Lightman et al. 2023).
/// Stored as `score.{weight,bias}` (1, d), as transformers' …ForTokenClassification with one label does.
struct TokenHead {
  bool bias = true;
  double init_deviation = 0.02;

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = ScoreMeaning::per_token;
  static constexpr Index width = 1;
  static constexpr std::string_view name() { return "token"; }
  void validate() const {}
  void rows(const SequenceShape& sequence, std::vector<Index>& out) const {
    append_rows<meaning>(sequence, out);
  }

  friend bool operator==(const TokenHead&, const TokenHead&) = default;
};

template <class B>
class TokenHead::Bound : public detail::LinearScores<B> {
 public:
  Bound(const TokenHead& head, Index hidden_width, Parameters<B>& parameters)
      : detail::LinearScores<B>("score", 1, hidden_width, head.bias, head.init_deviation, parameters) {}
};

}  // namespace merit::inline MERIT_ABI
