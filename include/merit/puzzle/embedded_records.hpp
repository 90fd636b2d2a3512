// The embedded task's problems as records of every kind, JSON lines.
#pragma once

#include <algorithm>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/puzzle/embedded_task.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail::embedded {

/// A JSON string. What this file writes is printable but for the ends of line.
inline std::string json_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) result += c == '\n' ? std::string("\\n") : std::string(1, c);
  return result + '"';
}

/// "[a, b, c]" from the text of each value.
template <class Values, class ToText>
std::string json_array(const Values& values, ToText to_text) {
  std::string result = "[";
  for (Index i = 0; i < values.size(); ++i) result += (i == 0 ? "" : ", ") + to_text(values[i]);
  return result + "]";
}

}  // namespace detail::embedded

/// Numbers of a right solution and a wrong one of the same problem.
struct EmbeddedPair {
  Index chosen = 0;
  Index rejected = 0;
};

/// One pair for each wrong solution, with the right one it shares the most text with.
inline std::vector<EmbeddedPair> embedded_pairs(const EmbeddedProblem& problem) {
  std::vector<EmbeddedPair> pairs;
  for (Index wrong = 0; wrong < problem.solutions.size(); ++wrong) {
    if (problem.solutions[wrong].correct) continue;
    const std::string text = problem.solutions[wrong].text();
    std::optional<EmbeddedPair> best;
    Index best_shared = 0;
    for (Index right = 0; right < problem.solutions.size(); ++right) {
      if (!problem.solutions[right].correct) continue;
      const Index shared = detail::embedded::common_prefix(problem.solutions[right].text(), text);
      if (!best || shared > best_shared) {
        best = EmbeddedPair{right, wrong};
        best_shared = shared;
      }
    }
    if (best) pairs.push_back(*best);
  }
  return pairs;
}

/// The rank of each solution by quality(): 0 is best, equally good ones share a rank, no rank is left out.
inline std::vector<Index> embedded_ranks(const EmbeddedProblem& problem) {
  std::vector<Index> qualities;
  for (const EmbeddedSolution& solution : problem.solutions) qualities.push_back(solution.quality());
  std::vector<Index> levels = qualities;
  std::sort(levels.rbegin(), levels.rend());
  levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
  for (Index& q : qualities)
    q = static_cast<Index>(std::find(levels.begin(), levels.end(), q) - levels.begin());
  return qualities;
}

/// Writes `preference` records, one line for each of embedded_pairs().
inline void write_preferences(std::ostream& out, const EmbeddedProblem& problem) {
  namespace task = detail::embedded;
  for (const auto& [chosen, rejected] : embedded_pairs(problem)) {
    out << "{\"prompt\": " << task::json_string(problem.prompt)
        << ", \"chosen\": " << task::json_string(problem.solutions[chosen].text())
        << ", \"rejected\": " << task::json_string(problem.solutions[rejected].text()) << "}\n";
  }
}

/// Writes `outcome` records, one line a solution. Lines with one prompt in a row are a best-of-n group.
inline void write_outcomes(std::ostream& out, const EmbeddedProblem& problem) {
  namespace task = detail::embedded;
  for (const EmbeddedSolution& solution : problem.solutions) {
    out << "{\"prompt\": " << task::json_string(problem.prompt)
        << ", \"completion\": " << task::json_string(solution.text())
        << ", \"label\": " << (solution.correct ? "true" : "false") << "}\n";
  }
}

/// Writes one `ranking` record: all solutions with their embedded_ranks().
inline void write_ranking(std::ostream& out, const EmbeddedProblem& problem) {
  namespace task = detail::embedded;
  out << "{\"prompt\": " << task::json_string(problem.prompt) << ", \"completions\": "
      << task::json_array(problem.solutions, [](const auto& s) { return task::json_string(s.text()); })
      << ", \"ranks\": "
      << task::json_array(embedded_ranks(problem), [](Index rank) { return std::to_string(rank); }) << "}\n";
}

/// What the lines after the first wrong one are labelled.
enum class AfterFirstError {
  local,      ///< each by itself: does it follow from the line before it?
  wrong,      ///< false: they build on something wrong
  unlabelled  ///< null, as annotators who stop at the first error leave them
};

/// Writes `steps` records, one line a solution. The steps are its lines; their separator is '\n'.
inline void write_steps(std::ostream& out, const EmbeddedProblem& problem,
                        AfterFirstError after = AfterFirstError::local) {
  namespace task = detail::embedded;
  for (const EmbeddedSolution& solution : problem.solutions) {
    std::vector<std::string> labels;
    for (Index i = 0; i < solution.lines.size(); ++i) {
      const bool later = solution.first_error && i > *solution.first_error;
      if (later && after == AfterFirstError::unlabelled) {
        labels.push_back("null");
      } else {
        const bool right = solution.line_is_right[i] && !(later && after == AfterFirstError::wrong);
        labels.push_back(right ? "true" : "false");
      }
    }
    out << "{\"prompt\": " << task::json_string(problem.prompt) << ", \"completions\": "
        << task::json_array(solution.lines, [](const std::string& line) { return task::json_string(line); })
        << ", \"labels\": " << task::json_array(labels, [](const std::string& label) { return label; })
        << "}\n";
  }
}

}  // namespace MERIT_ABI
}  // namespace merit
