// The text of reasoning steps: where one ends, and what of it a step model reads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// `text` with every CRLF as a line feed, unless the separator tells the two apart.
inline std::string with_line_feeds(std::string_view text, std::string_view separator) {
  std::string result;
  const bool tells_apart = separator.find('\r') != separator.npos;
  for (Index i = 0; i < text.size(); ++i) {
    const bool of_pair = text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    if (!of_pair || tells_apart) result += text[i];
  }
  return result;
}

/// A step as a step model reads it before the separator that ends it: line ends are line feeds, and a separator
/// that the step itself begins or ends with is not there twice.
inline std::string bare_step(std::string_view step, std::string_view separator) {
  std::string text = with_line_feeds(step, separator);
  if (separator.empty()) return text;
  std::string_view bare = text;
  while (bare.starts_with(separator)) bare.remove_prefix(separator.size());
  while (bare.ends_with(separator)) bare.remove_suffix(separator.size());
  return std::string(bare);
}

/// A completion cut into the steps that a step model scores: at each separator, which is left out. CRLF is a line
/// end; parts of white space alone are no steps.
inline std::vector<std::string> split_steps(std::string_view text, std::string_view separator) {
  const std::string lines = with_line_feeds(text, separator);
  std::string_view rest = lines;
  std::vector<std::string> steps;
  while (!rest.empty()) {
    const auto at = separator.empty() ? rest.npos : rest.find(separator);
    const std::string_view step = rest.substr(0, at);
    if (step.find_first_not_of(" \t\r\n\f\v") != step.npos) steps.emplace_back(step);
    if (at == rest.npos) break;
    rest.remove_prefix(at + separator.size());
  }
  return steps;
}

}  // namespace MERIT_ABI
}  // namespace merit
