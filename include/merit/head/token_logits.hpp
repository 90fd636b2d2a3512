// The language model's logits, as its own class gives them.
#pragma once

#include "merit/head/head.hpp"
#include "merit/nn/activation.hpp"
#include "merit/nn/linear.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// hidden · rowsᵀ, (R, d) → (R, n), of `rows` (n, d) of the unembedding's table, capped as the backbone caps its
/// logits: z becomes cap · tanh(z / cap) (Gemma 2).
template <class B>
Var token_logits(Tape<B>& tape, Var hidden, const Unembedding& unembedding, const ParameterSlice& rows) {
  const Var logits = linear(tape, hidden, rows);
  return unembedding.soft_cap() == 0 ? logits : soft_cap(tape, logits, unembedding.soft_cap());
}

}  // namespace MERIT_ABI
}  // namespace merit
