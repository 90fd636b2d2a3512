// Text of others, made fit to be shown: on a terminal it neither draws nor begins a line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The bytes of the UTF-8 sequence that begins at `text[i]`, 1 to 4; 0 where none does (RFC 3629: no overlong
/// forms, no surrogates, nothing above U+10FFFF).
constexpr std::size_t utf8_sequence(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t k) -> unsigned {
    return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u;  // 0 never continues a sequence
  };
  const auto continues = [&](std::size_t k) { return (byte(k) & 0xC0u) == 0x80u; };
  const unsigned lead = byte(i);
  if (i >= text.size()) return 0;
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(i + 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!continues(i + 1) || !continues(i + 2)) return 0;
    if (lead == 0xE0 && byte(i + 1) < 0xA0) return 0;   // overlong
    if (lead == 0xED && byte(i + 1) >= 0xA0) return 0;  // a surrogate
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!continues(i + 1) || !continues(i + 2) || !continues(i + 3)) return 0;
    if (lead == 0xF0 && byte(i + 1) < 0x90) return 0;   // overlong
    if (lead == 0xF4 && byte(i + 1) >= 0x90) return 0;  // above U+10FFFF
    return 4;
  }
  return 0;  // a stray continuation byte, C0, C1, or F5 and above
}

namespace detail {

/// Whether a terminal or a reader would be led astray by a character: it moves the cursor, begins a line, or
/// turns the order of what is around it.
constexpr bool is_treacherous(std::uint32_t point) {
  return point < 0x20 || (point >= 0x7F && point <= 0x9F) ||  // C0, delete, C1
         point == 0x061C || point == 0x200E || point == 0x200F || (point >= 0x202A && point <= 0x202E) ||
         (point >= 0x2066 && point <= 0x2069) ||  // marks, embeddings and isolates of direction
         point == 0x2028 || point == 0x2029 ||    // separators of lines and paragraphs
         point == 0xFEFF;
}

}  // namespace detail

/// `text` in which each byte of a control character (C0, delete, C1), of a mark of writing direction, of a
/// separator of lines, or of what is no UTF-8, is written as \xNN. All else stays as it is, so that doing it
/// twice is doing it once.
inline std::string visible(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_sequence(text, i);
    std::uint32_t point = 0;
    for (std::size_t k = 0; k < length; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      const std::uint32_t lead_bits = length == 1 ? 0x7F : 0x7Fu >> length;
      point = k == 0 ? byte & lead_bits : point << 6 | (byte & 0x3Fu);
    }
    if (length != 0 && !detail::is_treacherous(point)) {
      result += text.substr(i, length);
      i += length;
      continue;
    }
    for (std::size_t k = 0; k < (length == 0 ? 1 : length); ++k, ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      result += {'\\', 'x', digits[byte >> 4], digits[byte & 15u]};
    }
  }
  return result;
}

}  // namespace MERIT_ABI
}  // namespace merit
