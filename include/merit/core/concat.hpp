// Text joined of parts: what sentences are made of.
#pragma once

#include <charconv>
#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// A number as text, in place.
class NumberText {
 public:
  template <std::integral T>
  explicit NumberText(T value) {
    end_ = std::to_chars(text_, text_ + sizeof(text_), value).ptr;
  }
  /// Six digits at most, as a stream writes it.
  explicit NumberText(double value) {
    end_ = std::to_chars(text_, text_ + sizeof(text_), value, std::chars_format::general, 6).ptr;
  }
  operator std::string_view() const {  // NOLINT: implicit on purpose
    return {text_, static_cast<std::size_t>(end_ - text_)};
  }

 private:
  char text_[24];
  char* end_;
};

inline std::string_view text_of(std::string_view text) {
  return text;
}
inline std::string_view text_of(const std::string& text) {
  return text;
}
inline std::string_view text_of(const char* text) {
  return text;
}
inline std::string_view text_of(const char& letter) {
  return {&letter, 1};
}
inline NumberText text_of(bool value) {
  return NumberText(value ? 1 : 0);
}
template <class T>
requires std::integral<T> || std::floating_point<T> NumberText text_of(const T& value) {
  return NumberText(value);
}

inline std::string joined(std::initializer_list<std::string_view> parts) {
  std::string::size_type size = 0;
  for (const std::string_view part : parts) size += part.size();
  std::string text;
  text.reserve(size);
  for (const std::string_view part : parts) text += part;
  return text;
}

}  // namespace detail

/// Joins its arguments, which are text and numbers, as text: `concat("line ", 3, ": ", what)`. Not by a stream, whose
/// code in every call took a seventh of the time to compile.
template <class... Parts>
std::string concat(const Parts&... parts) {
  return detail::joined({detail::text_of(parts)...});
}

}  // namespace MERIT_ABI
}  // namespace merit
