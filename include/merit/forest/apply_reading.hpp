// A reading rule on a sequence: what is cut from its end or put there, and where its steps end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/forest/example.hpp"
#include "merit/forest/reading_rule.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// Keeps the first `count` tokens, 1 or more. Where that takes all of a completion that had tokens, the last
/// token that is left counts as it: it is read in the completion's place.
inline void keep_first(Sequence& sequence, Index count) {
  if (count >= sequence.tokens.size()) return;
  const bool had_completion = sequence.completion_begin < sequence.tokens.size();
  sequence.tokens.resize(count);
  if (had_completion) sequence.completion_begin = std::min(sequence.completion_begin, count - 1);
  sequence.completion_begin = std::min(sequence.completion_begin, count);
  std::erase_if(sequence.step_ends, [&](Index end) { return end >= count; });
}

/// The last tokens of all occurrences of `tag` that end in the completion, ascending.
inline std::vector<Index> ends_of(std::span<const Token> tag, const Sequence& sequence) {
  std::vector<Index> ends;
  const Index size = tag.size();
  for (Index end = std::max(size - 1, sequence.completion_begin); end < sequence.tokens.size(); ++end) {
    const auto begin = sequence.tokens.begin() + static_cast<std::ptrdiff_t>(end + 1 - size);
    if (std::equal(tag.begin(), tag.end(), begin)) ends.push_back(end);
  }
  return ends;
}

/// Where the last occurrence of `gate` begins. Throws DataError where there is none.
inline Index gate_of(std::span<const Token> gate, const Sequence& sequence) {
  const auto at = std::find_end(sequence.tokens.begin(), sequence.tokens.end(), gate.begin(), gate.end());
  if (at == sequence.tokens.end()) {
    throw DataError(concat("found no turn of the assistant, which begins with the tokens ", token_list(gate),
                           ", expected one: the model's gate is read there"));
  }
  return static_cast<Index>(at - sequence.tokens.begin());
}

}  // namespace detail

/// Makes a sequence of what `rule` says: after it the last token is what a head of completions reads, and
/// `step_ends` is where a head of steps reads, or the gate of a head that has one. Applied twice it changes
/// nothing more. Throws DataError where a sequence lacks what the rule looks for.
inline void apply(const ReadingRule& rule, Sequence& sequence) {
  std::vector<Token>& tokens = sequence.tokens;
  if (tokens.empty()) return;  // feature vectors
  switch (rule.kind) {
    case ReadingRule::Kind::last: break;
    case ReadingRule::Kind::last_not_pad: {
      Index count = tokens.size();
      while (count > 1 && tokens[count - 1] == rule.tokens.at(0)) --count;
      detail::keep_first(sequence, count);
      break;
    }
    case ReadingRule::Kind::before_first_pad: {
      const auto at = std::find(tokens.begin(), tokens.end(), rule.tokens.at(0));
      // What is before the first token is, counted round, the last: so a leading pad changes nothing.
      if (at != tokens.begin()) detail::keep_first(sequence, static_cast<Index>(at - tokens.begin()));
      break;
    }
    case ReadingRule::Kind::appended:
      if (tokens.back() != rule.tokens.at(0)) tokens.push_back(rule.tokens.at(0));
      break;
    case ReadingRule::Kind::tag: sequence.step_ends = detail::ends_of(rule.tokens, sequence); break;
    case ReadingRule::Kind::before_tag:
      sequence.step_ends = detail::ends_of(rule.tokens, sequence);
      std::erase(sequence.step_ends, Index{0});  // nothing stands before it
      for (Index& end : sequence.step_ends) --end;
      break;
  }
  if (!rule.gate.empty()) sequence.step_ends = {detail::gate_of(rule.gate, sequence)};
}

}  // namespace MERIT_ABI
}  // namespace merit
