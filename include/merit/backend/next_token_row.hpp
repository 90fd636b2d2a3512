// What the host backends share of the cross-entropy of the next token: a row's targets.
#pragma once

#include <cmath>

#include "merit/backend/operations.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// What the targets of a row say together, before its logits are overwritten.
template <class T>
struct NextTokenSums {
  T weight = 0;  // Σ weight
  T below = 0;   // Σ weight · (largest logit − the target's)
};

template <class B>
NextTokenSums<typename B::Stat> next_token_sums(const NextTokenLossArguments<B>& a, Index row,
                                                typename B::Stat largest) {
  NextTokenSums<typename B::Stat> sums;
  for (Index t = a.begin[row]; t < a.begin[row + 1]; ++t) {
    sums.weight += a.weights[t];
    sums.below += a.weights[t] * (largest - a.logits(row, a.tokens[t]));
  }
  return sums;
}

/// Turns Σ weight · p, which the row holds, into its gradient at the tokens of its targets, and gives its
/// loss. `rest` is Σ exp(x − largest) over all but the top: of a token that is nearly sure, 1 − p is known by
/// it and not by a difference.
template <class B>
void finish_next_token_row(const NextTokenLossArguments<B>& a, Index row,
                           const NextTokenSums<typename B::Stat>& sums, Index top, typename B::Stat rest) {
  using T = typename B::Stat;
  a.losses[row] = sums.below + sums.weight * std::log1p(rest);
  if (sums.weight == 0) return;
  const T sum = T{1} + rest;
  for (Index t = a.begin[row]; t < a.begin[row + 1]; ++t) {
    const Index token = a.tokens[t];
    T own = 0;  // of this token, which may be several targets
    bool seen = false;
    for (Index other = a.begin[row]; other < a.begin[row + 1]; ++other) {
      if (a.tokens[other] != token) continue;
      seen = seen || other < t;
      own += a.weights[other];
    }
    if (seen) continue;
    T& place = a.logits(row, token);
    const T p = token == top ? T{1} / sum : place / sums.weight;
    const T others = token == top ? rest / sum : T{1} - p;
    place = (sums.weight - own) * p - own * others;
  }
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
