// Text and numbers as a page may hold them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/io/utf8.hpp"

namespace merit::inline MERIT_ABI {

namespace detail {

/// Appends all parts, each something a string_view is made of.
template <class... Parts>
void append(std::string& text, const Parts&... parts) {
  (text.append(std::string_view(parts)), ...);
}

}  // namespace detail

/// `text` for the inside of an element or of an attribute in quotes. What is no UTF-8 and control characters
/// other than tabs and ends of line become U+FFFD, so that a page holds nothing it may not.
inline std::string escaped(std::string_view text) {
  constexpr std::string_view replacement = "\xEF\xBF\xBD";
  std::string result;
  while (!text.empty()) {
    const Index valid = first_invalid_utf8(text);
    for (const char c : text.substr(0, valid)) {
      switch (c) {
        case '<': result += "&lt;"; break;
        case '>': result += "&gt;"; break;
        case '&': result += "&amp;"; break;
        case '"': result += "&quot;"; break;
        default: {
          const auto byte = static_cast<unsigned char>(c);
          const bool control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
          if (control) {
            result += replacement;
          } else {
            result += c;
          }
        }
      }
    }
    text.remove_prefix(valid);
    if (text.empty()) break;
    result += replacement;
    text.remove_prefix(1);
  }
  return result;
}

/// The first `limit` bytes of a text, cut between two characters.
inline std::string_view head_of(std::string_view text, Index limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0u) == 0x80u) --limit;
  return text.substr(0, limit);
}

/// A number as a person reads it: `digits` behind the point, and none that are zeros for nothing. "–" for
/// what is no number.
inline std::string number_text(double value, int digits = 3) {
  if (!std::isfinite(value)) return "–";
  char buffer[64];
  if (value != 0 && (std::abs(value) >= 1e7 || std::abs(value) < std::pow(10.0, -digits) / 2)) {
    std::snprintf(buffer, sizeof buffer, "%.*e", std::max(0, digits - 1), value);
    return buffer;
  }
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  std::string text = buffer;
  if (text.find('.') != text.npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

/// About `wanted` round numbers (1, 2 or 5 times a power of ten apart) that span [low, high]: the first is at
/// most low, the last at least high.
inline std::vector<double> nice_ticks(double low, double high, Index wanted = 5) {
  if (!(high > low)) {
    const double around = low == 0 ? 1 : std::abs(low) * 0.1;
    low -= around;
    high += around;
  }
  const double rough = (high - low) / static_cast<double>(std::max<Index>(wanted, 1));
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  const double first = std::floor(low / step + 1e-9);
  const double last = std::ceil(high / step - 1e-9);
  std::vector<double> ticks;
  for (double i = first; i <= last; ++i) ticks.push_back(i * step);
  return ticks;
}

}  // namespace merit::inline MERIT_ABI
