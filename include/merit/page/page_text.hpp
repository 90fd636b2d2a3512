// Text and numbers as a page may hold them.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/io/utf8.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// Appends all parts, each something a string_view is made of.
template <class... Parts>
void append(std::string& text, const Parts&... parts) {
  (text.append(std::string_view(parts)), ...);
}

/// `value` with so many digits behind the point, the same in every locale.
inline std::string digits_of(double value, std::chars_format format, int digits) {
  char buffer[512];  // the longest double has 309 digits before the point
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, format, digits);
  return {buffer, end.ptr};
}

}  // namespace detail

/// `text` for the inside of an element or of an attribute in quotes. Ends of line become one "\n"; what is no
/// UTF-8, other control characters but tabs, U+FFFE and U+FFFF become U+FFFD, so that a page holds nothing it
/// may not.
inline std::string escaped(std::string_view text) {
  constexpr std::string_view replacement = "\xEF\xBF\xBD";
  std::string result;
  while (!text.empty()) {
    const Index valid = first_invalid_utf8(text);
    for (Index i = 0; i < valid; ++i) {
      const char c = text[i];
      switch (c) {
        case '<': result += "&lt;"; break;
        case '>': result += "&gt;"; break;
        case '&': result += "&amp;"; break;
        case '"': result += "&quot;"; break;
        case '\r':
          if (i + 1 == text.size() || text[i + 1] != '\n') result += '\n';
          break;
        default: {
          const auto byte = static_cast<unsigned char>(c);
          const bool control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
          const std::string_view three = text.substr(i, 3);
          if (control) {
            result += replacement;
          } else if (three == "\xEF\xBF\xBE" || three == "\xEF\xBF\xBF") {
            result += replacement;
            i += 2;
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
  if (value != 0 && (std::abs(value) >= 1e7 || std::abs(value) < std::pow(10.0, -digits) / 2))
    return detail::digits_of(value, std::chars_format::scientific, std::max(0, digits - 1));
  std::string text = detail::digits_of(value, std::chars_format::fixed, digits);
  if (text.find('.') != text.npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

/// [low, high], or more around it where it is so narrow that its numbers would need many digits to be told
/// apart: an axis shows such numbers as what they are, about equal.
inline std::pair<double, double> widened(double low, double high) {
  const double size = std::max(std::abs(low), std::abs(high));
  if (high - low > 1e-4 * size) return {low, high};
  const double around = size == 0 ? 1 : 0.1 * size;
  return {low - around, high + around};
}

/// About `wanted` round numbers (1, 2 or 5 times a power of ten apart) that span widened(low, high): the
/// first is at most low, the last at least high. For numbers up to 1e300.
inline std::vector<double> nice_ticks(double low, double high, Index wanted = 5) {
  std::tie(low, high) = widened(low, high);
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

/// The text of each tick, with the digits that tell neighbours apart.
inline std::vector<std::string> tick_texts(const std::vector<double>& ticks) {
  const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
  const double size = std::max(std::abs(ticks.front()), std::abs(ticks.back()));
  const auto power = [](double value) { return static_cast<int>(std::floor(std::log10(value) + 1e-9)); };
  std::vector<std::string> texts;
  for (const double tick : ticks) {
    if (std::abs(tick) < step / 2) {
      texts.push_back("0");
    } else if (size >= 1e7 || step < 1e-6 * (1 - 1e-9)) {
      const int digits = std::max(0, power(std::abs(tick)) - power(step));
      texts.push_back(detail::digits_of(tick, std::chars_format::scientific, digits));
    } else {
      texts.push_back(number_text(tick, std::clamp(-power(step), 0, 9)));
    }
  }
  return texts;
}

}  // namespace MERIT_ABI
}  // namespace merit
