// Sizes that come from a file or an option: multiplied and added with checks, so that none wraps round to a
// small one.
#pragma once

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit::inline MERIT_ABI {

/// a · b. Throws ConfigError that begins with `what` where it is more than can be addressed.
template <class... What>
Index size_product(Index a, Index b, const What&... what) {
  if (a != 0 && b > ~Index{0} / a) {
    throw ConfigError(detail::concat(what..., ": ", a, " times ", b, " is more than a machine can address"));
  }
  return a * b;
}

/// a + b, likewise.
template <class... What>
Index size_sum(Index a, Index b, const What&... what) {
  if (b > ~Index{0} - a) {
    throw ConfigError(detail::concat(what..., ": ", a, " and ", b, " are more than a machine can address"));
  }
  return a + b;
}

}  // namespace merit::inline MERIT_ABI
