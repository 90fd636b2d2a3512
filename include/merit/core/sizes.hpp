// Sizes that come from a file or an option: multiplied and added with checks, so that none wraps round to a
// small one.
#pragma once

#include <optional>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// a · b, or nothing when it does not fit.
inline std::optional<Index> checked_product(Index a, Index b) {
  if (a != 0 && b > ~Index{0} / a) return std::nullopt;
  return a * b;
}

/// a · b. Throws ConfigError that begins with `what` where it is more than can be addressed.
template <class... What>
Index size_product(Index a, Index b, const What&... what) {
  const std::optional<Index> product = checked_product(a, b);
  if (!product) {
    throw ConfigError(concat(what..., ": ", a, " times ", b, " is more than a machine can address"));
  }
  return *product;
}

/// a + b, likewise.
template <class... What>
Index size_sum(Index a, Index b, const What&... what) {
  if (b > ~Index{0} - a) {
    throw ConfigError(concat(what..., ": ", a, " and ", b, " are more than a machine can address"));
  }
  return a + b;
}

}  // namespace MERIT_ABI
}  // namespace merit
