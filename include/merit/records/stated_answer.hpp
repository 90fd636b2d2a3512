// The final answer that the text of a solution states, by the markers that published sets use.
#pragma once

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <string_view>

#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How many lines of `text` are not blank.
inline Index count_lines(std::string_view text) {
  Index lines = 0;
  bool blank = true;
  for (const char c : text) {
    if (c == '\n') {
      blank = true;
    } else if (blank && std::isspace(static_cast<unsigned char>(c)) == 0) {
      blank = false;
      ++lines;
    }
  }
  return lines;
}

namespace detail {

/// `text` without the white space around it.
inline std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n\f\v";
  const auto begin = text.find_first_not_of(space);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

/// What follows `marker`, whose letters may be of either case, where it last stands in `line`.
inline std::optional<std::string_view> after_marker(std::string_view line, std::string_view marker) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  const auto at = std::find_end(line.begin(), line.end(), marker.begin(), marker.end(), same);
  if (at == line.end()) return std::nullopt;
  return line.substr(static_cast<Index>(at - line.begin()) + marker.size());
}

/// The inside of the last \boxed{…}, with its braces balanced.
inline std::optional<std::string_view> boxed(std::string_view text) {
  constexpr std::string_view marker = "\\boxed{";
  const auto at = text.rfind(marker);
  if (at == text.npos) return std::nullopt;
  const std::string_view rest = text.substr(at + marker.size());
  Index depth = 1;
  for (Index i = 0; i < rest.size(); ++i) {
    if (rest[i] == '{') ++depth;
    if (rest[i] == '}' && --depth == 0) return rest.substr(0, i);
  }
  return std::nullopt;  // cut off
}

}  // namespace detail

/// The final answer that `text` states: the inside of its last \boxed{…}, or what the last line that is not
/// blank says after "####" or "A:" at its beginning, or after "answer:" or "answer is". White space, a
/// dollar sign before it, a full stop after it, and commas between digits are left out, so that equal
/// answers are equal strings. Nothing when there is no such mark or nothing after it.
inline std::optional<std::string> stated_answer(std::string_view text) {
  std::string_view line = detail::trimmed(text);
  if (const auto begin = line.rfind('\n'); begin != line.npos) line = detail::trimmed(line.substr(begin));
  std::optional<std::string_view> found = detail::boxed(text);
  for (const std::string_view marker : {"####", "A:"}) {
    if (!found && line.starts_with(marker)) found = line.substr(marker.size());
  }
  for (const std::string_view marker : {"answer:", "answer is"}) {
    if (!found) found = detail::after_marker(line, marker);
  }
  if (!found) return std::nullopt;
  std::string_view answer = detail::trimmed(*found);
  if (answer.ends_with('.')) answer = detail::trimmed(answer.substr(0, answer.size() - 1));
  if (answer.starts_with('$')) answer = detail::trimmed(answer.substr(1));
  std::string result;
  const auto digit = [&](Index i) {
    return i < answer.size() && std::isdigit(static_cast<unsigned char>(answer[i])) != 0;
  };
  for (Index i = 0; i < answer.size(); ++i) {
    if (answer[i] == ',' && i > 0 && digit(i - 1) && digit(i + 1)) continue;
    result += answer[i];
  }
  if (result.empty()) return std::nullopt;
  return result;
}

}  // namespace MERIT_ABI
}  // namespace merit
