// Is a byte string UTF-8?
#pragma once

#include <string_view>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The offset of the first byte of the first sequence that is not UTF-8 (RFC 3629: no overlong forms, no
/// surrogates, nothing above U+10FFFF), or `text.size()` when all of it is.
constexpr Index first_invalid_utf8(std::string_view text) {
  const auto byte = [&](Index i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;  // 0 never continues a sequence
  };
  const auto continues = [&](Index i) { return (byte(i) & 0xC0u) == 0x80u; };
  Index i = 0;
  while (i < text.size()) {
    const unsigned lead = byte(i);
    if (lead < 0x80) {
      i += 1;
    } else if (lead >= 0xC2 && lead <= 0xDF) {
      if (!continues(i + 1)) return i;
      i += 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      if (!continues(i + 1) || !continues(i + 2)) return i;
      if (lead == 0xE0 && byte(i + 1) < 0xA0) return i;   // overlong
      if (lead == 0xED && byte(i + 1) >= 0xA0) return i;  // a surrogate
      i += 3;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      if (!continues(i + 1) || !continues(i + 2) || !continues(i + 3)) return i;
      if (lead == 0xF0 && byte(i + 1) < 0x90) return i;   // overlong
      if (lead == 0xF4 && byte(i + 1) >= 0x90) return i;  // above U+10FFFF
      i += 4;
    } else {
      return i;  // a stray continuation byte, C0, C1, or F5 and above
    }
  }
  return text.size();
}

}  // namespace MERIT_ABI
}  // namespace merit
