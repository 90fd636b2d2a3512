// The verdict in a judge's words: [[A]], [[B]] or [[C]], or a rating from [[1]] to [[10]].
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "merit/core/enum_names.hpp"
#include "merit/core/view.hpp"
#include "merit/records/record.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Why a text holds no verdict. It is then counted, and never guessed at.
enum class VerdictFault : std::uint8_t {
  none,           // it holds one
  absent,         // nothing in it has the form of one
  contradictory,  // two different ones
  off_scale,      // a number in brackets that is none of 1 to 10
};
template <>
inline constexpr std::array<std::string_view, 4> enum_names<VerdictFault>{"none", "absent", "contradictory",
                                                                          "off_scale"};

/// A verdict, or why there is none.
template <class T>
struct ParsedVerdict {
  std::optional<T> verdict = {};
  VerdictFault fault = VerdictFault::absent;
  Index at = 0;  // where the last one begins, in bytes: it is the one that counts
};

namespace detail {

/// Calls f(content, place) for each "[[content]]" of a text, where the content has no bracket and no line end.
template <class F>
void for_each_bracketed(std::string_view text, const F& f) {
  for (auto open = text.find("[["); open != text.npos; open = text.find("[[", open)) {
    while (text.substr(open + 2).starts_with('[')) ++open;  // the innermost two
    const auto end = text.find_first_of("[]\n", open + 2);
    if (end == text.npos) return;
    if (text.substr(end).starts_with("]]")) f(text.substr(open + 2, end - open - 2), open);
    open = end;
  }
}

/// Puts a further verdict beside those before it.
template <class T>
void add_verdict(ParsedVerdict<T>& parsed, T verdict, Index at) {
  if (parsed.fault == VerdictFault::off_scale) return;
  const bool other =
      parsed.fault == VerdictFault::contradictory || (parsed.verdict && *parsed.verdict != verdict);
  parsed.fault = other ? VerdictFault::contradictory : VerdictFault::none;
  parsed.verdict = other ? std::nullopt : std::optional(verdict);
  parsed.at = at;
}

}  // namespace detail

/// [[A]], [[B]] or [[C]], a tie, to the letter (the grammar of Zheng et al. 2023, MT-Bench). What else stands in brackets is
/// no verdict. Said again it is the same verdict; two different ones are none.
inline ParsedVerdict<JudgeVote> parse_vote(std::string_view text) {
  ParsedVerdict<JudgeVote> parsed;
  detail::for_each_bracketed(text, [&](std::string_view content, Index at) {
    if (content == "A") detail::add_verdict(parsed, JudgeVote::a, at);
    if (content == "B") detail::add_verdict(parsed, JudgeVote::b, at);
    if (content == "C") detail::add_verdict(parsed, JudgeVote::tie, at);
  });
  return parsed;
}

/// [[1]] to [[10]]. Any other number in brackets makes the text one without a verdict: the judge had another scale.
inline ParsedVerdict<int> parse_rating(std::string_view text) {
  ParsedVerdict<int> parsed;
  detail::for_each_bracketed(text, [&](std::string_view content, Index at) {
    constexpr std::string_view digits = "0123456789";
    const bool number = content.find_first_of(digits) != content.npos &&
                        content.find_first_not_of("0123456789.,+-/ ") == content.npos;
    if (!number) return;
    if (content == "10") {
      detail::add_verdict(parsed, 10, at);
    } else if (content.size() == 1 && content != "0") {
      detail::add_verdict(parsed, content[0] - '0', at);
    } else {
      parsed = {.verdict = std::nullopt, .fault = VerdictFault::off_scale, .at = at};
    }
  });
  return parsed;
}

}  // namespace MERIT_ABI
}  // namespace merit
