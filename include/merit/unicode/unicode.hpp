// Code points and their properties, over utf8proc. Text here is UTF-8 that was checked before.
#pragma once

#include <utf8proc.h>

#include <array>
#include <string>
#include <string_view>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"
#include "merit/unicode/unicode_versions.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The bytes of the character that begins with `lead`.
constexpr Index utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// Whether `text` could be cut before byte `at` without cutting a character.
constexpr bool is_boundary(std::string_view text, Index at) {
  return at >= text.size() || (static_cast<unsigned char>(text[at]) & 0xC0u) != 0x80u;
}

/// Where the character that ends before byte `end` begins; `end` is above 0.
constexpr Index previous_character(std::string_view text, Index end) {
  Index at = end - 1;
  while (at > 0 && !is_boundary(text, at)) --at;
  return at;
}

/// The code point at byte `at` of valid UTF-8, and `at` moved behind it.
constexpr char32_t next_character(std::string_view text, Index& at) {
  const auto byte = [&](Index i) -> char32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0x80u;
  };
  const char32_t lead = byte(at);
  const Index length = utf8_length(text[at]);
  char32_t code = length == 1 ? lead : lead & (0xFFu >> (length + 1));
  for (Index i = 1; i < length; ++i) code = (code << 6) | (byte(at + i) & 0x3Fu);
  at += length;
  return code;
}

/// Appends a code point and tells how many bytes that took.
inline Index append_character(std::string& text, char32_t code) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) {
    put(code);
    return 1;
  }
  if (code < 0x800) {
    put(0xC0u | (code >> 6));
    put(0x80u | (code & 0x3Fu));
    return 2;
  }
  if (code < 0x10000) {
    put(0xE0u | (code >> 12));
    put(0x80u | ((code >> 6) & 0x3Fu));
    put(0x80u | (code & 0x3Fu));
    return 3;
  }
  put(0xF0u | (code >> 18));
  put(0x80u | ((code >> 12) & 0x3Fu));
  put(0x80u | ((code >> 6) & 0x3Fu));
  put(0x80u | (code & 0x3Fu));
  return 4;
}

constexpr bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

constexpr Index count_characters(std::string_view text) {
  Index count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
  return count;
}

/// The property White_Space, which has not changed for years.
constexpr bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

inline utf8proc_category_t category(char32_t c) {
  return static_cast<utf8proc_category_t>(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
}

inline bool is_numeric(char32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO ||
         has(newer_numbers, c);
}

/// ASCII that is printed and neither letter, digit nor space, or the categories P*.
inline bool is_punctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) ||
           (c >= 0x7B && c <= 0x7E);
  }
  const auto kind = category(c);
  if (c == 0x166D || c == 0x111C9) return true;  // once punctuation, no more
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO && !has(newer_than_categories, c);
}

/// The categories M*.
inline bool is_mark(char32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_MC || kind == UTF8PROC_CATEGORY_ME;
}
/// The same as normal forms of Unicode 9 know them.
inline bool is_mark_of_forms(char32_t c) {
  return (is_mark(c) && !has(newer_than_forms, c)) || c == 0x1CF2 || c == 0x1CF3;
}

/// What is part of a word: Alphabetic, marks, decimal digits, connectors and the two joiners (UTS 18).
inline bool is_word(char32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z');
  const auto kind = category(c);
  const bool circled = (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
                       (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
  return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO) || is_mark(c) ||
         kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_PC ||
         circled || c == 0x200C || c == 0x200D || has(newer_words, c);
}

/// The category Mn.
inline bool is_nonspacing_mark(char32_t c) {
  if (c < 0x300) return false;
  return (category(c) == UTF8PROC_CATEGORY_MN && !has(newer_than_categories, c)) || c == 0x1734;
}

/// The categories Cc, Cf and Co.
inline bool is_other(char32_t c) {
  const auto kind = category(c);
  if (kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CO) return true;
  return kind == UTF8PROC_CATEGORY_CF && !has(newer_than_categories, c);
}

inline int combining_class(char32_t c) {
  if (c < 0x300) return 0;
  const int combining = utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
  return combining != 0 && has(newer_than_forms, c) ? 0 : combining;
}

/// The full decomposition of one code point. No code point of Unicode gives more than 18.
struct Decomposition {
  std::array<utf8proc_int32_t, 32> codes{};
  Index size = 0;
};
inline Decomposition decompose(char32_t c, bool compatible) {
  Decomposition result;
  int boundary = 0;
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0));
  const utf8proc_ssize_t size =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), result.codes.data(),
                              static_cast<utf8proc_ssize_t>(result.codes.size()), options, &boundary);
  const bool bad = size < 1 || size > static_cast<utf8proc_ssize_t>(result.codes.size());
  if (bad || (result.codes[0] != static_cast<utf8proc_int32_t>(c) && has(newer_than_forms, c))) {
    result.codes[0] = static_cast<utf8proc_int32_t>(c);
    result.size = 1;
  } else {
    result.size = static_cast<Index>(size);
  }
  return result;
}

/// The code point that two compose to, or 0.
inline char32_t compose(char32_t first, char32_t second) {
  if (second < 0x300) return 0;
  std::array<utf8proc_int32_t, 2> pair{static_cast<utf8proc_int32_t>(first),
                                       static_cast<utf8proc_int32_t>(second)};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  if (utf8proc_normalize_utf32(pair.data(), 2, options) != 1) return 0;
  const auto whole = static_cast<char32_t>(pair[0]);
  return has(newer_than_forms, whole) ? 0 : whole;
}

/// The lower-case form, by one code point; U+0130 alone has two, which callers know.
inline char32_t lower(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
  const auto known = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  if (known != c || c < 0x1C89) return known;
  // Capitals that are newer than utf8proc's.
  if (c >= 0x10D50 && c <= 0x10D65) return c + 0x20;
  if (c >= 0x16EA0 && c <= 0x16EB8) return c + 0x1B;
  switch (c) {
    case 0x1C89:
    case 0xA7CC:
    case 0xA7CE:
    case 0xA7D2:
    case 0xA7D4:
    case 0xA7DA: return c + 1;
    case 0xA7CB: return 0x264;
    case 0xA7DC: return 0x19B;
    default: return c;
  }
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
