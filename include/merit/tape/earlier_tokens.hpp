// The place where attention over a forest reads what was computed before the forest: keys and values of tokens that
// stand before its own.
#pragma once

#include "merit/backend/operation_arguments.hpp"

namespace merit {
inline namespace MERIT_ABI {

template <class B>
class Tape;

/// Tokens that earlier calls have computed, and that those of a forest follow: while a tape has them, attention is theirs
/// to do. The forest's positions count them, and nothing else of the forest does. A session is one (infer/session.hpp).
template <class B>
class EarlierTokens {
 public:
  virtual ~EarlierTokens() = default;

  /// One layer's attention, called in the order of the layers: keys k (T, ·) and values v (T, ·) of the forest's tokens,
  /// queries q (Q, ·) of query_tokens, which are empty for all of them, or the forest's rows. Fills `out`; lse and scratch
  /// are empty. What it allocates on the tape is given back behind it.
  virtual void attend(Tape<B>& tape, const AttentionArguments<B>& attention) = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
