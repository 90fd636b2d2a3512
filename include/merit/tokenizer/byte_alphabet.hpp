// The alphabet of byte-level tokenizers: a printable character for each byte.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "merit/unicode/aligned_text.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The character of a byte, as GPT-2 has it: bytes that are printable in Latin-1 stand for themselves, the
/// others are U+0100 and up in order.
constexpr std::array<char32_t, 256> make_byte_characters() {
  std::array<char32_t, 256> result{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
    result[byte] = printable ? byte : next++;
  }
  return result;
}
inline constexpr std::array<char32_t, 256> byte_characters = make_byte_characters();

/// The byte of a character, or nothing.
constexpr std::optional<unsigned char> byte_of(char32_t character) {
  if (character < 0x100) {
    if (byte_characters[character] == character) return static_cast<unsigned char>(character);
    return std::nullopt;
  }
  if (character >= 0x144) return std::nullopt;
  for (Index byte = 0; byte < 256; ++byte) {
    if (byte_characters[byte] == character) return static_cast<unsigned char>(byte);
  }
  return std::nullopt;
}

/// The bytes that `piece` spells in the alphabet, or nothing where a character is not of it.
inline std::optional<std::string> bytes_of(std::string_view piece) {
  std::string bytes;
  for (Index at = 0; at < piece.size();) {
    const auto byte = byte_of(next_character(piece, at));
    if (!byte) return std::nullopt;
    bytes += static_cast<char>(*byte);
  }
  return bytes;
}

/// Spells the bytes of a text.
inline void to_byte_alphabet(AlignedText& text) {
  text.map_characters([](char32_t c, const auto& put) {
    std::string bytes;
    append_character(bytes, c);
    for (const char byte : bytes) put(byte_characters[static_cast<unsigned char>(byte)]);
  });
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
