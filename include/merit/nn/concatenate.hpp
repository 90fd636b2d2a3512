// Two results side by side: the scores of two heads as one matrix.
#pragma once

#include "merit/nn/check.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

template <class B>
struct ConcatenateNode {
  Var left;
  Var right;
  Var out;

  void backward(Tape<B>& tape) const {
    const auto carry = [&](Var part, Index begin) {
      if (!tape.needs_gradient(part)) return;
      const auto target = tape.gradient_target(part);
      B::copy(tape.handle(), tape.gradient(out).col_block(begin, tape.cols(part)), target.write, target.view);
    };
    carry(left, 0);
    carry(right, tape.cols(left));
  }
};

}  // namespace detail

/// (M, a) and (M, b) → (M, a + b).
template <class B>
Var concatenate(Tape<B>& tape, Var left, Var right) {
  detail::check_extent("concatenate", "the right part's rows", tape.rows(right), tape.rows(left));
  const bool needs = tape.needs_gradient(left) || tape.needs_gradient(right);
  const Var out = tape.make(tape.rows(left), tape.cols(left) + tape.cols(right), needs);
  B::copy(tape.handle(), tape.value(left), Write::assign, tape.value(out).col_block(0, tape.cols(left)));
  B::copy(tape.handle(), tape.value(right), Write::assign,
          tape.value(out).col_block(tape.cols(left), tape.cols(right)));
  tape.record(out, detail::ConcatenateNode<B>{left, right, out});
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
