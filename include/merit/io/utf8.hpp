// Is a byte string UTF-8?
#pragma once

#include <string_view>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"
#include "merit/core/visible.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The offset of the first byte of the first sequence that is not UTF-8 (RFC 3629: no overlong forms, no
/// surrogates, nothing above U+10FFFF), or `text.size()` when all of it is.
constexpr Index first_invalid_utf8(std::string_view text) {
  Index i = 0;
  while (i < text.size()) {
    const Index length = utf8_sequence(text, i);
    if (length == 0) return i;
    i += length;
  }
  return text.size();
}

}  // namespace MERIT_ABI
}  // namespace merit
