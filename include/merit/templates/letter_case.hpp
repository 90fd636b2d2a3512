// Upper and lower case and the kinds of characters, as Python's strings know them.
#pragma once

#include <string>
#include <string_view>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/lexer.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

inline bool is_letter(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}
inline bool is_upper_letter(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_LU;
}
inline bool is_lower_letter(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_LL || c == 0xAA || c == 0xBA;  // the two ordinals are lower, too
}
inline bool is_cased(char32_t c) {
  return is_upper_letter(c) || is_lower_letter(c) || category(c) == UTF8PROC_CATEGORY_LT;
}
inline bool is_decimal(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_ND;
}
/// Decimal digits and those that stand above, below or in circles.
inline bool is_digit_character(char32_t c) {
  return is_decimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 ||
         (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089) || (c >= 0x2460 && c <= 0x2468) ||
         (c >= 0x2474 && c <= 0x247C) || (c >= 0x2488 && c <= 0x2490) || c == 0x24EA ||
         (c >= 0x24F5 && c <= 0x24FD) || c == 0x24FF || (c >= 0x2776 && c <= 0x277E) ||
         (c >= 0x2780 && c <= 0x2788) || (c >= 0x278A && c <= 0x2792);
}

/// Appends the upper form. Where one letter has several there, `title` lowers those behind the first.
inline void append_upper(std::string& out, char32_t c, bool title = false) {
  struct Long {
    char32_t from;
    std::string_view upper;
    std::string_view title;
  };
  static constexpr Long table[] = {{0xDF, "SS", "Ss"},     {0x149, "ʼN", "ʼN"},  {0x1F0, "J̌", "J̌"},
                                   {0x390, "Ϊ́", "Ϊ́"},      {0x3B0, "Ϋ́", "Ϋ́"},    {0x587, "ԵՒ", "Եւ"},
                                   {0x1E96, "H̱", "H̱"},     {0x1E97, "T̈", "T̈"},   {0x1E98, "W̊", "W̊"},
                                   {0x1E99, "Y̊", "Y̊"},     {0x1E9A, "Aʾ", "Aʾ"}, {0xFB00, "FF", "Ff"},
                                   {0xFB01, "FI", "Fi"},   {0xFB02, "FL", "Fl"}, {0xFB03, "FFI", "Ffi"},
                                   {0xFB04, "FFL", "Ffl"}, {0xFB05, "ST", "St"}, {0xFB06, "ST", "St"}};
  for (const Long& entry : table) {
    if (entry.from != c) continue;
    out += title ? entry.title : entry.upper;
    return;
  }
  const auto code = static_cast<utf8proc_int32_t>(c);
  append_character(out, static_cast<char32_t>(title ? utf8proc_totitle(code) : utf8proc_toupper(code)));
}

/// Appends the lower form of the character before byte `behind` of `text`; a sigma that ends a word has one
/// of its own.
inline void append_lower(std::string& out, char32_t c, std::string_view text, Index begin, Index behind) {
  if (c == 0x130) {
    out += "i̇";
    return;
  }
  if (c != 0x3A3) {
    append_character(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    return;
  }
  const auto ignorable = [](char32_t other) {
    return is_mark(other) || category(other) == UTF8PROC_CATEGORY_CF ||
           category(other) == UTF8PROC_CATEGORY_LM || other == '\'' || other == '.' || other == ':' ||
           other == 0xB7 || other == 0x2019;
  };
  bool before = false;
  for (Index at = begin; at > 0;) {
    at = previous_character(text, at);
    Index next = at;
    const char32_t other = next_character(text, next);
    if (ignorable(other)) continue;
    before = is_cased(other);
    break;
  }
  bool after = false;
  for (Index at = behind; at < text.size();) {
    const char32_t other = next_character(text, at);
    if (ignorable(other)) continue;
    after = is_cased(other);
    break;
  }
  append_character(out, before && !after ? 0x3C2 : 0x3C3);
}

inline std::string upper_case(std::string_view text) {
  std::string out;
  for (Index at = 0; at < text.size();) append_upper(out, next_character(text, at));
  return out;
}

inline std::string lower_case(std::string_view text) {
  std::string out;
  for (Index at = 0; at < text.size();) {
    const Index begin = at;
    const char32_t c = next_character(text, at);
    append_lower(out, c, text, begin, at);
  }
  return out;
}

/// The first character in title case, the others in lower.
inline std::string capitalized(std::string_view text) {
  std::string out;
  for (Index at = 0; at < text.size();) {
    const Index begin = at;
    const char32_t c = next_character(text, at);
    if (begin == 0) {
      append_upper(out, c, true);
    } else {
      append_lower(out, c, text, begin, at);
    }
  }
  return out;
}

/// str.title: every run of cased letters capitalized.
inline std::string title_case(std::string_view text) {
  std::string out;
  bool inside = false;
  for (Index at = 0; at < text.size();) {
    const Index begin = at;
    const char32_t c = next_character(text, at);
    if (inside) {
      append_lower(out, c, text, begin, at);
    } else {
      append_upper(out, c, true);
    }
    inside = is_cased(c);
  }
  return out;
}

inline std::string swapped_case(std::string_view text) {
  std::string out;
  for (Index at = 0; at < text.size();) {
    const Index begin = at;
    const char32_t c = next_character(text, at);
    if (is_upper_letter(c)) {
      append_lower(out, c, text, begin, at);
    } else if (is_lower_letter(c)) {
      append_upper(out, c);
    } else {
      append_character(out, c);
    }
  }
  return out;
}

/// Whether there are characters and all are of one kind.
template <class Test>
bool all_characters(std::string_view text, const Test& test) {
  for (Index at = 0; at < text.size();) {
    if (!test(next_character(text, at))) return false;
  }
  return !text.empty();
}

/// Whether there are cased letters and all are upper (or lower).
inline bool all_cased(std::string_view text, bool upper) {
  bool any = false;
  for (Index at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    if (!is_cased(c)) continue;
    if (upper ? !is_upper_letter(c) : !is_lower_letter(c)) return false;
    any = true;
  }
  return any;
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
