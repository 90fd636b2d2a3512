// The cross-entropy of the next token, a row of logits at a time.
#pragma once

#include <cmath>

#include "merit/backend/thrust/functors/element.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// See NextTokenLossArguments. The row is read whole before it is overwritten, so that rounding the gradient
/// to its type is all that the type costs.
template <class B>
struct NextTokenRow {
  NextTokenLossArguments<B> a;

  MERIT_CALLABLE void operator()(Index i) const {
    auto* const row = a.logits.row(i);
    const Index vocabulary = a.logits.cols;
    Index top = 0;
    for (Index j = 1; j < vocabulary; ++j)
      if (number<float>(row[j]) > number<float>(row[top])) top = j;
    const float largest = number<float>(row[top]);

    float weight = 0, below = 0;  // Σ weight, Σ weight · (largest − the target's)
    for (Index t = a.begin.data[i]; t < a.begin.data[i + 1]; ++t) {
      weight += a.weights.data[t];
      below += a.weights.data[t] * (largest - number<float>(row[a.tokens.data[t]]));
    }
    double others = 0;  // Σ exp(x − largest) but for the top, whose own 1 would swallow small numbers
    for (Index j = 0; j < vocabulary; ++j)
      if (j != top) others += static_cast<double>(std::exp(number<float>(row[j]) - largest));
    const float rest = static_cast<float>(others), sum = 1.0f + rest;
    a.losses.data[i] = below + weight * std::log1p(rest);

    for (Index j = 0; j < vocabulary; ++j) {
      float own = 0;  // of this token, which may be several targets
      for (Index t = a.begin.data[i]; t < a.begin.data[i + 1]; ++t)
        if (a.tokens.data[t] == j) own += a.weights.data[t];
      // Of a top that is nearly sure, 1 − p is known by the rest and not by a difference.
      const float p = j == top ? 1.0f / sum : std::exp(number<float>(row[j]) - largest) / sum;
      const float not_p = j == top ? rest / sum : 1.0f - p;
      put(row[j], own == 0.0f ? weight * p : (weight - own) * p - own * not_p, Write::assign);
    }
  }
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
