// The return to expect from each state of an answer: the head of a value function.
#pragma once

#include <string_view>
#include <vector>

#include "merit/head/linear_scores.hpp"
#include "merit/head/rows.hpp"

namespace merit::inline MERIT_ABI {

/// V of the state in which each token of the answer is chosen, read at the token before it. Stored as
/// `value_head.{weight,bias}` (1, d), so that it may stand beside another head; `v_head.summary`, TRL's name,
/// is read too.
struct ValueHead {
  bool bias = true;
  double init_deviation = 0.02;

  template <class B>
  class Bound;

  static constexpr ScoreMeaning meaning = ScoreMeaning::per_state;
  static constexpr Index width = 1;
  static constexpr std::string_view name() { return "value"; }
  void validate() const {}
  void rows(const SequenceShape& sequence, std::vector<Index>& out) const {
    append_rows<meaning>(sequence, out);
  }

  friend bool operator==(const ValueHead&, const ValueHead&) = default;
};

template <class B>
class ValueHead::Bound : public detail::LinearScores<B> {
 public:
  Bound(const ValueHead& head, Index hidden_width, Parameters<B>& parameters)
      : detail::LinearScores<B>("value_head", 1, hidden_width, head.bias, head.init_deviation, parameters) {}
};

}  // namespace merit::inline MERIT_ABI
