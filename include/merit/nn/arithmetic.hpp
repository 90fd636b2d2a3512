// A multiple of a variable, and a residual sum.
#pragma once

#include "merit/nn/check.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

template <class B>
struct ScaleNode {
  Var x;
  double factor;
  Var out;

  void backward(Tape<B>& tape) const {
    const auto target = tape.gradient_target(x);
    B::scale(tape.handle(),
             {.x = tape.gradient(out), .factor = factor, .write = target.write, .out = target.view});
  }
};

template <class B>
struct AddNode {
  Var residual;
  Var branch;
  Var out;

  void backward(Tape<B>& tape) const {
    tape.check_lent(residual);  // and no more: its gradient is this very block
    if (!tape.needs_gradient(branch)) return;
    const auto target = tape.gradient_target(branch);
    B::copy(tape.handle(), tape.gradient(out), target.write, target.view);
  }
};

}  // namespace detail

/// factor · x, (M, d) → (M, d).
template <class B>
Var scale(Tape<B>& tape, Var x, double factor) {
  const Var out = tape.make(tape.rows(x), tape.cols(x), tape.needs_gradient(x));
  B::scale(tape.handle(), {.x = tape.value(x), .factor = factor, .out = tape.value(out)});
  tape.record(out, detail::ScaleNode<B>{x, factor, out});
  return out;
}

/// residual + branch, each (M, d) → (M, d). The result and the residual share one gradient, as in linear(), so the
/// residual must not be read again afterwards.
template <class B>
Var add(Tape<B>& tape, Var residual, Var branch) {
  detail::check_extent("add", "the branch's rows", tape.rows(branch), tape.rows(residual));
  detail::check_extent("add", "the branch's width", tape.cols(branch), tape.cols(residual));
  if (residual.id == branch.id) {
    throw UsageError(
        "add: the branch is the residual itself, expected another variable: they share one gradient");
  }
  const bool needs = tape.needs_gradient(residual) || tape.needs_gradient(branch);
  const Var out = tape.make(tape.rows(residual), tape.cols(residual), needs);
  B::copy(tape.handle(), tape.value(residual), Write::assign, tape.value(out));
  B::copy(tape.handle(), tape.value(branch), Write::add, tape.value(out));
  tape.share_gradient(out, residual);
  tape.record(out, detail::AddNode<B>{residual, branch, out});
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
