// The nonlinearities of the feed-forward blocks.
#pragma once

#include "merit/nn/arithmetic.hpp"
#include "merit/nn/check.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

template <class B>
struct GluNode {
  ActivationFunction function;
  Var gate_up;
  Var out;
  void backward(Tape<B>& tape) const {
    const auto target = tape.gradient_target(gate_up);
    B::glu_backward(tape.handle(), {.function = function,
                                    .dout = tape.gradient(out),
                                    .gate_up = tape.value(gate_up),
                                    .write = target.write,
                                    .dgate_up = target.view});
  }
};

template <class B>
struct ActivationNode {
  ActivationFunction kind;
  Var x;
  Var out;
  void backward(Tape<B>& tape) const {
    const auto target = tape.gradient_target(x);
    B::activate_backward(tape.handle(), {.kind = kind,
                                         .dy = tape.gradient(out),
                                         .x = tape.value(x),
                                         .write = target.write,
                                         .dx = target.view});
  }
};

}  // namespace detail

/// A gated linear unit, function(gate) · up, of gate_up (M, 2f): gate in the first f columns, up in the others
/// → (M, f). SwiGLU with SiLU, GeGLU with GELU (Shazeer 2020).
template <class B>
Var glu(Tape<B>& tape, Var gate_up, ActivationFunction function = ActivationFunction::silu) {
  detail::check_extent("glu", "the remainder of the input's width by 2", tape.cols(gate_up) % 2, 0);
  const Var out = tape.make(tape.rows(gate_up), tape.cols(gate_up) / 2, tape.needs_gradient(gate_up));
  B::glu(tape.handle(), function, tape.value(gate_up), tape.value(out));
  tape.record(out, detail::GluNode<B>{function, gate_up, out});
  return out;
}

/// An activation function of each element.
template <class B>
Var activate(Tape<B>& tape, Var x, ActivationFunction kind) {
  const Var out = tape.make(tape.rows(x), tape.cols(x), tape.needs_gradient(x));
  B::activate(tape.handle(), kind, tape.value(x), tape.value(out));
  tape.record(out, detail::ActivationNode<B>{kind, x, out});
  return out;
}

/// cap · tanh(x / cap) of each element: x where it is small, never more than the cap (Gemma 2's logits).
template <class B>
Var soft_cap(Tape<B>& tape, Var x, double cap) {
  return scale(tape, activate(tape, scale(tape, x, 1 / cap), ActivationFunction::tanh), cap);
}

}  // namespace MERIT_ABI
}  // namespace merit
