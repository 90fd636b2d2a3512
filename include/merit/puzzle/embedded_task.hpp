// The embedded task: sorting puzzles with written-out solutions, made from a seed. It needs no download, a
// program can check every line of a solution, and a small transformer learns to tell right from wrong in a
// minute.
//
//   Q: sort 923168 odd first     the prompt: different digits, and a rule
//   92|3168                      a right solution: each line takes any one digit of the rest after the bar
//   392|168                      (the first line takes two) and inserts it into the sorted part before it
//   3928|16
//   13928|6
//   139268|
//   A: 139268                    the answer repeats the last line
//
//   Q: sort 923168 odd first     a wrong solution
//   92|3168
//   392|168
//   3928|16
//   31928|6                      the first error: 1 comes before 3
//   319268|                      right again by itself: 6 comes after 2 and before 8
//   A: 319268
//
// What a reward model has to do here, and what it cannot do instead:
// - Every solution of a problem has the same length and exactly the same bytes, each line by itself; right
//   and wrong ones differ in the order of digits only. So length and bag-of-bytes baselines stand at one
//   half.
// - The rule is in the prompt only. What is right under "up" is wrong under "down".
// - A right answer can be reached in many ways, since digits may be taken in any order.
// - A wrong line puts the digit into a wrong place, usually next to the right one, or (the answer) exchanges
//   two neighbours. The lines after it are honest work on the wrong list, and the answer stays wrong.
// - Lists are held out, not only prompts: no list of a held-out problem occurs in a training problem.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/rng.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How hard the problems are and how many solutions each one gets.
struct EmbeddedTaskOptions {
  Index items = 6;                ///< digits in a list, 3 to 10; a solution has as many lines
  Index rules = 4;                ///< how many of "up", "down", "even first", "odd first" are in use, 1 to 4
  Index completions = 8;          ///< solutions a problem, at least 2: one is right and one is wrong for sure
  double right_share = 0.25;      ///< probability that each further solution is right
  Index max_errors = 2;           ///< a wrong solution has 1 to this many wrong lines, 1 to `items`
  double near_miss_share = 0.75;  ///< probability that a misplaced digit is off by one place only

  /// Five settings from easy (1) to hard (5); 3 is the default. Throws ConfigError for another level.
  static EmbeddedTaskOptions of_difficulty(int level);

  /// Throws ConfigError naming the first option out of its range.
  void validate() const;
};

inline void EmbeddedTaskOptions::validate() const {
  const auto check = [](bool good, std::string_view name, auto found, const auto&... expected) {
    if (good) return;
    throw ConfigError(concat("embedded task: ", name, " is ", found, ", expected ", concat(expected...)));
  };
  check(items >= 3 && items <= 10, "items", items, "3 to 10");
  check(rules >= 1 && rules <= 4, "rules", rules, "1 to 4");
  check(completions >= 2, "completions", completions, "at least 2");
  // Written so that a NaN fails.
  check(right_share >= 0 && right_share <= 1, "right_share", right_share, "0 to 1");
  check(max_errors >= 1 && max_errors <= items, "max_errors", max_errors, "1 to ", items,
        ", the number of lines");
  check(near_miss_share >= 0 && near_miss_share <= 1, "near_miss_share", near_miss_share, "0 to 1");
}

inline EmbeddedTaskOptions EmbeddedTaskOptions::of_difficulty(int level) {
  EmbeddedTaskOptions options;
  switch (level) {
    case 1: options.items = 4, options.rules = 1, options.near_miss_share = 0; break;
    case 2: options.items = 5, options.rules = 2, options.near_miss_share = 0.5; break;
    case 3: break;
    case 4: options.items = 8, options.near_miss_share = 0.9, options.max_errors = 1; break;
    case 5: options.items = 10, options.near_miss_share = 1, options.max_errors = 1; break;
    default: throw ConfigError(concat("embedded task: the difficulty is ", level, ", expected 1 to 5"));
  }
  return options;
}

/// One written solution. Its last line is the answer, the lines before it are steps of the sorting.
struct EmbeddedSolution {
  std::vector<std::string> lines;    ///< without their ends of line
  std::vector<bool> line_is_right;   ///< of each line: does it follow from the line before it?
  std::optional<Index> first_error;  ///< the first line that is wrong
  bool correct = false;  ///< is the answer the sorted list? In what is made here: are all lines right?

  /// The lines, each ended by '\n'.
  std::string text() const {
    std::string result;
    for (const std::string& line : lines) result += line + '\n';
    return result;
  }

  /// How far the solution is sound: the number of lines before the first error.
  Index quality() const { return first_error.value_or(lines.size()); }
};

/// A prompt ("Q: sort 160247 odd first\n") and its solutions in random order.
struct EmbeddedProblem {
  std::string prompt;
  std::vector<EmbeddedSolution> solutions;
};

/// Which problems: those to learn from, or those kept apart. An eighth of all lists is held out.
enum class EmbeddedSplit { train, held_out };

/// What a checker finds in a solution that somebody else wrote.
struct EmbeddedVerdict {
  std::vector<bool> line_is_right;  ///< as in EmbeddedSolution
  std::optional<Index>
      first_error;       ///< the first wrong line; the number of lines where the answer is missing
  bool correct = false;  ///< the last line gives the sorted list, whatever the lines before it are
};

namespace detail::embedded {

inline constexpr std::array<std::string_view, 4> rule_names = {"up", "down", "even first", "odd first"};

/// The ten digits as each rule sorts them.
inline constexpr std::array<std::string_view, 4> rule_orders = {"0123456789", "9876543210", "0246813579",
                                                                "1357902468"};

inline constexpr std::string_view prompt_begin = "Q: sort ";
inline constexpr std::string_view answer_begin = "A: ";

/// A problem as read from its prompt.
struct Puzzle {
  std::string items;
  Index rule = 0;
};

/// The lists on the two sides of the bar.
struct State {
  std::string sorted;
  std::string rest;

  std::string line() const { return sorted + '|' + rest; }
};

inline std::string prompt_of(const Puzzle& puzzle) {
  return concat(prompt_begin, puzzle.items, ' ', rule_names[puzzle.rule], '\n');
}

inline bool is_digit_list(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Reads a prompt. Throws DataError when it is none of ours.
inline Puzzle parse_prompt(std::string_view prompt) {
  std::string_view rest = prompt;
  const auto fail = [&]() -> Puzzle {
    throw DataError(concat("embedded task: the prompt is \"", prompt.substr(0, 80),
                           "\", expected \"Q: sort DIGITS RULE\" and an end of line"));
  };
  if (!rest.starts_with(prompt_begin) || !rest.ends_with('\n')) return fail();
  rest = rest.substr(prompt_begin.size(), rest.size() - prompt_begin.size() - 1);
  const auto space = rest.find(' ');
  if (space == rest.npos || space == 0) return fail();
  Puzzle puzzle;
  puzzle.items = rest.substr(0, space);
  const auto name = std::find(rule_names.begin(), rule_names.end(), rest.substr(space + 1));
  if (name == rule_names.end() || !is_digit_list(puzzle.items)) return fail();
  std::string ordered = puzzle.items;
  std::sort(ordered.begin(), ordered.end());
  if (std::adjacent_find(ordered.begin(), ordered.end()) != ordered.end()) return fail();
  puzzle.rule = static_cast<Index>(name - rule_names.begin());
  return puzzle;
}

inline bool is_held_out(std::string_view items) {
  return (fnv1a(items) >> 40) % 8 == 0;
}

/// Fisher–Yates from `begin` on. Not std::shuffle, whose result differs between standard libraries.
template <class Container>
void shuffle(Container& values, Index begin, Rng& rng) {
  for (Index i = values.size(); i > begin + 1; --i) {
    const Index j = begin + static_cast<Index>(rng.below(i - begin));
    if (j != i - 1) std::swap(values[i - 1], values[j]);
  }
}

inline bool chance(double probability, Rng& rng) {
  return rng.uniform() < probability;
}

/// Where `item` goes: before the first item that the rule puts after it.
inline Index right_slot(std::string_view sorted, char item, Index rule) {
  const std::string_view order = rule_orders[rule];
  Index slot = 0;
  while (slot < sorted.size() && order.find(sorted[slot]) < order.find(item)) ++slot;
  return slot;
}

/// Another slot than `right` of the slots 0 to `last`. Requires last > 0.
inline Index wrong_slot(Index right, Index last, double near_miss_share, Rng& rng) {
  if (chance(near_miss_share, rng)) {
    if (right == 0) return 1;
    if (right == last) return last - 1;
    return chance(0.5, rng) ? right - 1 : right + 1;
  }
  const auto slot = static_cast<Index>(rng.below(last));
  return slot < right ? slot : slot + 1;
}

/// Moves `item` from the rest into the sorted part, to its place or on purpose to another.
inline void insert(State& state, char item, Index rule, bool wrong, double near_miss_share, Rng& rng) {
  state.rest.erase(state.rest.find(item), 1);
  Index slot = right_slot(state.sorted, item, rule);
  if (wrong) slot = wrong_slot(slot, state.sorted.size(), near_miss_share, rng);
  state.sorted.insert(state.sorted.begin() + static_cast<std::ptrdiff_t>(slot), item);
}

inline std::string answer_line(std::string answer, bool wrong, Rng& rng) {
  if (wrong) {
    const auto i = static_cast<Index>(rng.below(answer.size() - 1));
    std::swap(answer[i], answer[i + 1]);
  }
  return concat(answer_begin, answer);
}

/// Writes a solution that takes the digits in the given order and errs on the given lines.
inline EmbeddedSolution write_solution(const EmbeddedTaskOptions& options, const Puzzle& puzzle,
                                       std::string_view taking_order, const std::vector<bool>& wrong_lines,
                                       Rng& rng) {
  EmbeddedSolution solution;
  State state{"", puzzle.items};
  insert(state, taking_order[0], puzzle.rule, false, 0, rng);
  for (Index i = 1; i < taking_order.size(); ++i) {
    insert(state, taking_order[i], puzzle.rule, wrong_lines[i - 1], options.near_miss_share, rng);
    solution.lines.push_back(state.line());
  }
  solution.lines.push_back(answer_line(state.sorted, wrong_lines.back(), rng));
  for (Index i = 0; i < wrong_lines.size(); ++i) {
    solution.line_is_right.push_back(!wrong_lines[i]);
    if (wrong_lines[i] && !solution.first_error) solution.first_error = i;
  }
  solution.correct = !solution.first_error;
  return solution;
}

/// The first error is equally likely on every line; the others, if any, lie after it.
inline std::vector<bool> draw_wrong_lines(const EmbeddedTaskOptions& options, Rng& rng) {
  const auto first = static_cast<Index>(rng.below(options.items));
  std::vector<Index> later(options.items - first - 1);
  std::iota(later.begin(), later.end(), first + 1);
  shuffle(later, 0, rng);
  later.resize(std::min(later.size(), static_cast<Index>(rng.below(options.max_errors))));
  std::vector<bool> wrong(options.items, false);
  wrong[first] = true;
  for (const Index line : later) wrong[line] = true;
  return wrong;
}

inline Index common_prefix(std::string_view a, std::string_view b) {
  return static_cast<Index>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

}  // namespace detail::embedded

/// The split a prompt belongs to: a function of its list of digits alone, the same for every seed and rule.
/// Throws DataError when the prompt is none of the embedded task.
inline EmbeddedSplit embedded_split(std::string_view prompt) {
  const bool held_out = detail::embedded::is_held_out(detail::embedded::parse_prompt(prompt).items);
  return held_out ? EmbeddedSplit::held_out : EmbeddedSplit::train;
}

/// Problem number `index` of a seed: a pure function of its arguments, so problems can be made in any order
/// and on any machine. Two indices may give the same prompt by chance; two splits never share a list.
///
/// A wrong solution follows one of the right ones up to its first error, so that the solutions of a problem
/// form a tree. At least one solution is right and at least one is wrong. Throws ConfigError on bad options.
inline EmbeddedProblem make_embedded_problem(const EmbeddedTaskOptions& options, EmbeddedSplit split,
                                             std::uint64_t seed, std::uint64_t index) {
  namespace task = detail::embedded;
  options.validate();
  Rng rng(seed, index);

  task::Puzzle puzzle;
  do {
    puzzle.items = "0123456789";
    task::shuffle(puzzle.items, 0, rng);
    puzzle.items.resize(options.items);
  } while (task::is_held_out(puzzle.items) != (split == EmbeddedSplit::held_out));
  puzzle.rule = static_cast<Index>(rng.below(options.rules));

  Index right_count = 1;
  for (Index i = 2; i < options.completions; ++i) right_count += task::chance(options.right_share, rng);

  EmbeddedProblem problem{task::prompt_of(puzzle), {}};
  const std::vector<bool> no_errors(options.items, false);
  std::vector<std::string> right_orders;  // the order in which each right solution takes the digits
  for (Index i = 0; i < right_count; ++i) {
    right_orders.push_back(puzzle.items);
    task::shuffle(right_orders.back(), 0, rng);
    problem.solutions.push_back(task::write_solution(options, puzzle, right_orders.back(), no_errors, rng));
  }
  const std::string right_answer = problem.solutions[0].lines.back();
  while (problem.solutions.size() < options.completions) {
    const std::vector<bool> wrong = task::draw_wrong_lines(options, rng);
    const auto first = static_cast<Index>(std::find(wrong.begin(), wrong.end(), true) - wrong.begin());
    std::string order = right_orders[rng.below(right_count)];
    task::shuffle(order, std::min(first + 2, order.size()), rng);  // line `first` still takes the same digit
    EmbeddedSolution solution = task::write_solution(options, puzzle, order, wrong, rng);
    // A wrong insertion is never undone, but a wrong answer line can undo it. Such a solution is drawn again.
    if (solution.lines.back() != right_answer) problem.solutions.push_back(std::move(solution));
  }
  task::shuffle(problem.solutions, 0, rng);
  return problem;
}

/// Checks a solution line by line, from the prompt and the text alone. Nothing of the generator's own work is
/// used: a line is right when the digits before the bar are those of the line before plus one new digit,
/// which stands right before the first digit that has to come after it, and the rest has lost that digit. A
/// line of another form is wrong, and so are all lines after it. Throws DataError when the prompt is none of
/// the task.
inline EmbeddedVerdict check_embedded_solution(std::string_view prompt, std::string_view text) {
  namespace task = detail::embedded;
  const task::Puzzle puzzle = task::parse_prompt(prompt);
  const auto comes_before = [&](char a, char b) {
    const bool a_odd = (a - '0') % 2 != 0;
    const bool b_odd = (b - '0') % 2 != 0;
    switch (puzzle.rule) {
      case 0: return a < b;
      case 1: return a > b;
      case 2: return a_odd != b_odd ? b_odd : a < b;
      default: return a_odd != b_odd ? a_odd : a < b;
    }
  };
  std::string solved = puzzle.items;
  std::sort(solved.begin(), solved.end(), comes_before);

  // Is `after` the list `before` with one digit more? Gives the place of the new one.
  const auto added = [](std::string_view before, std::string_view after) -> std::optional<Index> {
    if (after.size() != before.size() + 1) return std::nullopt;
    const Index place = task::common_prefix(before, after);
    if (after.substr(place + 1) != before.substr(place)) return std::nullopt;
    return place;
  };
  const auto in_place = [&](std::string_view sorted, Index place) {
    for (Index i = 0; i < place; ++i) {
      if (!comes_before(sorted[i], sorted[place])) return false;
    }
    return place + 1 == sorted.size() || comes_before(sorted[place], sorted[place + 1]);
  };

  EmbeddedVerdict verdict;
  task::State state{"", puzzle.items};
  bool readable = true;  // no line of another form yet
  bool answered = false;
  std::string_view answer;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    bool right = false;
    if (answered) {
      readable = false;
      answer = "";
    } else if (line.starts_with(task::answer_begin)) {
      answered = true;
      answer = line.substr(task::answer_begin.size());
      right = readable && state.rest.empty() && answer == state.sorted;
    } else {
      const auto bar = line.find('|');
      task::State next{std::string(line.substr(0, bar)), ""};
      if (bar != line.npos) next.rest = line.substr(bar + 1);
      if (state.sorted.empty()) {
        // The first line takes two digits. Pretend that the first of them had a line of its own.
        const auto first = state.rest.find(next.sorted.substr(0, 1));
        readable = readable && next.sorted.size() == 2 && first != state.rest.npos;
        if (readable) {
          state.sorted = next.sorted.substr(0, 1);
          state.rest.erase(first, 1);
        }
      }
      const std::optional<Index> put = added(state.sorted, next.sorted);
      const std::optional<Index> taken = added(next.rest, state.rest);
      readable = readable && bar != line.npos && put && taken && next.sorted[*put] == state.rest[*taken];
      right = readable && in_place(next.sorted, *put);
      state = std::move(next);
    }
    if (!right && !verdict.first_error) verdict.first_error = verdict.line_is_right.size();
    verdict.line_is_right.push_back(right);
  }
  if (!answered && !verdict.first_error) verdict.first_error = verdict.line_is_right.size();
  verdict.correct = answered && answer == solved;
  return verdict;
}

/// The next line of an unfinished solution, by a solver who errs with probability `error_rate` on each line:
/// what best-of-n sampling and search over steps draw from. `lines` are the lines so far (none to begin).
/// Throws DataError when the prompt or the last line cannot be read, UsageError when the answer is given
/// already.
inline std::string propose_embedded_line(const EmbeddedTaskOptions& options, std::string_view prompt,
                                         std::span<const std::string> lines, double error_rate, Rng& rng) {
  namespace task = detail::embedded;
  const task::Puzzle puzzle = task::parse_prompt(prompt);
  const auto take_any = [&](task::State& state, bool wrong) {
    const char item = state.rest[rng.below(state.rest.size())];
    task::insert(state, item, puzzle.rule, wrong, options.near_miss_share, rng);
  };
  const bool wrong = task::chance(error_rate, rng);
  task::State state{"", puzzle.items};
  if (lines.empty()) {
    take_any(state, false);
  } else {
    const std::string& last = lines.back();
    if (last.starts_with(task::answer_begin)) {
      throw UsageError("propose_embedded_line: the solution ends in its answer, there is no next line");
    }
    const auto bar = last.find('|');
    std::string digits = last;
    if (bar != last.npos) digits.erase(bar, 1);
    std::string expected = puzzle.items;
    std::sort(digits.begin(), digits.end());
    std::sort(expected.begin(), expected.end());
    if (bar == last.npos || bar == 0 || digits != expected) {
      throw DataError(concat("embedded task: the line is \"", last.substr(0, 80),
                             "\", expected the digits of ", puzzle.items, " around one bar"));
    }
    state = {last.substr(0, bar), last.substr(bar + 1)};
  }
  if (state.rest.empty()) return task::answer_line(state.sorted, wrong && state.sorted.size() > 1, rng);
  take_any(state, wrong);
  return state.line();
}

}  // namespace MERIT_ABI
}  // namespace merit
