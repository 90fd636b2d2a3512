// SentencePiece's character map: a double-array trie from strings to strings, as base64.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/io/utf8.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The bytes that base64 text stands for (RFC 4648, with padding). Throws DataError.
inline std::string from_base64(std::string_view text, const std::string& where) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  int have = 0;
  Index used = 0;
  for (; used < text.size() && text[used] != '='; ++used) {
    const char c = text[used];
    std::uint32_t value = 64;
    if (c >= 'A' && c <= 'Z') value = static_cast<std::uint32_t>(c - 'A');
    if (c >= 'a' && c <= 'z') value = static_cast<std::uint32_t>(c - 'a') + 26;
    if (c >= '0' && c <= '9') value = static_cast<std::uint32_t>(c - '0') + 52;
    if (c == '+') value = 62;
    if (c == '/') value = 63;
    if (value == 64) {
      throw DataError(
          concat(where, ": found ", quote(text.substr(used, 1)), " at byte ", used, ", expected base64"));
    }
    bits = (bits << 6) | value;
    if (++have == 4) {
      for (const int shift : {16, 8, 0}) bytes += static_cast<char>((bits >> shift) & 0xFFu);
      have = 0;
      bits = 0;
    }
  }
  const Index padding = text.size() - used;
  if (text.size() % 4 != 0 || padding > 2 || (padding == 2 && text.back() != '=')) {
    throw DataError(concat(where, ": found ", text.size(), " characters, expected base64 in groups of four"));
  }
  if (have == 3) bytes += {static_cast<char>((bits >> 10) & 0xFFu), static_cast<char>((bits >> 2) & 0xFFu)};
  if (have == 2) bytes += static_cast<char>((bits >> 4) & 0xFFu);
  return bytes;
}

/// The map. Four bytes of size, the trie's units of 32 bits in little-endian order, and the new strings, each
/// ended by a zero byte; a unit is laid out as in the Darts-clone library.
class PrecompiledCharsmap {
 public:
  PrecompiledCharsmap(std::string_view base64, const std::string& where) {
    const std::string bytes = from_base64(base64, where);
    const auto number = [&](Index at) {
      std::uint32_t value = 0;
      for (Index i = 0; i < 4; ++i)
        value |= std::uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
      return value;
    };
    const Index size = bytes.size() < 4 ? 0 : number(0);
    if (bytes.size() < 8 || size > bytes.size() - 4 || size % 4 != 0 || size == 0) {
      throw DataError(concat(where, ": found a character map of ", bytes.size(), " bytes whose trie has ",
                             size, ", expected a trie that fits it"));
    }
    units_.reserve(size / 4);
    for (Index at = 4; at < 4 + size; at += 4) units_.push_back(number(at));
    strings_ = bytes.substr(4 + size);
    if (first_invalid_utf8(strings_) != strings_.size()) {
      throw DataError(concat(where, ": the character map's strings are not UTF-8"));
    }
  }

  /// What stands for the shortest prefix of `text` that the map has. (The shortest, and callers then drop the
  /// rest of `text`: so does Hugging Face's.)
  std::optional<std::string_view> find(std::string_view text) const {
    Index node = offset(units_[0]);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte == 0) break;
      node ^= byte;
      if (node >= units_.size() || (units_[node] & 0x800000FFu) != byte) return std::nullopt;
      const bool has_leaf = ((units_[node] >> 8) & 1u) != 0;
      node ^= offset(units_[node]);
      if (!has_leaf) continue;
      const Index value = node < units_.size() ? units_[node] & 0x7FFFFFFFu : strings_.size();
      if (value >= strings_.size() || (static_cast<unsigned char>(strings_[value]) & 0xC0u) == 0x80u)
        return std::nullopt;
      const std::string_view rest = std::string_view(strings_).substr(value);
      return rest.substr(0, rest.find('\0'));
    }
    return std::nullopt;
  }

 private:
  static Index offset(std::uint32_t unit) { return (unit >> 10) << ((unit & 0x200u) >> 6); }

  std::vector<std::uint32_t> units_;
  std::string strings_;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
