// What is cut of prompts and completions that are two segments, as encoders read them: text alone, never the marks
// around and between, so that the first token, which an encoder is read at, stays.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/forest/reading_rule.hpp"
#include "merit/records/record.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// Where the text of the two segments lies in a sequence; the first is empty where there is one alone.
struct SegmentText {
  Index first_begin = 0, first = 0;    // (tokens)
  Index second_begin = 0, second = 0;  // (tokens)
};

/// Throws DataError where the marks do not stand around the text, as in ids that were made without them.
inline SegmentText segment_text(const Sequence& sequence, const SegmentMarks& marks,
                                const SourcePosition& at) {
  const std::span<const Token> tokens = sequence.tokens;
  const Index before = marks.before.size(), between = marks.between.size(), after = marks.after.size();
  const auto stands = [&](const std::vector<Token>& mark, Index place) {
    return place + mark.size() <= tokens.size() &&
           std::equal(mark.begin(), mark.end(), tokens.begin() + static_cast<std::ptrdiff_t>(place));
  };
  if (tokens.size() < before + after || !stands(marks.before, 0) ||
      !stands(marks.after, tokens.size() - after)) {
    throw DataError(concat(at.text(), ": record: the sequence does not begin with the tokens [",
                           token_list(marks.before), "] and end with [", token_list(marks.after),
                           "], expected them around two segments that are to be cut"));
  }
  const Index end = tokens.size() - after;
  const Index border = sequence.completion_begin;
  const bool two = border >= before + between && border <= end && stands(marks.between, border - between);
  if (!two) return {before, 0, before, end - before};
  return {before, border - between - before, border, end - border};
}

/// As longest_first of Hugging Face's tokenizers: how many tokens stay of two texts that have `room` together.
inline std::pair<Index, Index> longest_first(Index first, Index second, Index room) {
  Index less = std::min(first, second), more = std::max(first, second);
  if (less + more > room) more = less > room ? less : std::max(less, room - less);
  if (less + more > room) {
    less = room / 2;
    more = less + room % 2;
  }
  return first <= second ? std::pair{less, more} : std::pair{more, less};
}

/// Leaves so many tokens of both texts, the last ones of a text where its head goes, else the first. A first segment of which
/// nothing is left goes with what stands between: the other is alone then, as without a prompt.
inline void leave_of_segments(Sequence& sequence, const SegmentText& text, const SegmentMarks& marks,
                              Index first, Index second, bool heads_go) {
  std::vector<Token>& tokens = sequence.tokens;
  const auto erase = [&](Index begin, Index count) {
    const auto from = tokens.begin() + static_cast<std::ptrdiff_t>(begin);
    tokens.erase(from, from + static_cast<std::ptrdiff_t>(count));
  };
  erase(text.second_begin + (heads_go ? 0 : second), text.second - second);
  if (text.first == 0) {
    const Index head = heads_go ? text.second - second : 0;
    const Index border = sequence.completion_begin;
    if (border > text.second_begin)
      sequence.completion_begin = std::max(border - std::min(border, head), text.second_begin);
    sequence.completion_begin = std::min(sequence.completion_begin, tokens.size());
  } else if (first == 0) {
    erase(text.first_begin, text.first + marks.between.size());
    sequence.completion_begin = 0;
  } else {
    erase(text.first_begin + (heads_go ? 0 : first), text.first - first);
    sequence.completion_begin -= text.first - first;
  }
  if (second == 0)
    tokens.resize(sequence.completion_begin);  // nothing of the completion is left, nor its end
  sequence.cut = true;
}

/// Cuts the sequences of one record to `limit` tokens by a policy that cuts. What goes is what transformers' truncation
/// takes: cut_right only_second, keep_completion only_first and on the left, longest_first itself. cut_left takes the head
/// of the prompt, and where that is used up the head of the completion; cut_left_together as much of each prompt. False
/// where a policy leaves the record out, or the marks alone take all the room.
inline bool cut_segments(std::span<Sequence* const> sequences, const SegmentMarks& marks, Index limit,
                         Truncation policy, const SourcePosition& at) {
  std::vector<SegmentText> texts;
  const Index around = marks.before.size() + marks.after.size();
  Index together = 0, shortest_first = std::numeric_limits<Index>::max();
  for (const Sequence* s : sequences) {
    const SegmentText& text = texts.emplace_back(segment_text(*s, marks, at));
    if (s->tokens.size() - text.first - text.second >= limit) return false;
    if (policy == Truncation::keep_completion && around + text.second > limit) return false;
    together = std::max(together, s->tokens.size() - std::min(limit, s->tokens.size()));
    shortest_first = std::min(shortest_first, text.first);
  }
  if (policy == Truncation::cut_left) together = 0;
  const bool heads_go = policy != Truncation::cut_right && policy != Truncation::longest_first;
  for (Index i = 0; i < sequences.size(); ++i) {
    Sequence& s = *sequences[i];
    const SegmentText& text = texts[i];
    const Index room = limit - (s.tokens.size() - text.first - text.second);
    const Index over = s.tokens.size() - std::min(limit, s.tokens.size());
    Index first = text.first, second = text.second;
    if (heads_go) {
      first -= std::min(first, std::max(over, std::min(together, shortest_first)));
      const bool alone = text.first > 0 && first == 0;
      second = std::min(second, alone ? limit - around : room - first);
    } else if (policy == Truncation::longest_first) {
      if (over > 0) std::tie(first, second) = longest_first(first, second, room);
    } else {
      first = std::min(first, room);
      second = std::min(second, room - first);
    }
    if (first != text.first || second != text.second)
      leave_of_segments(s, text, marks, first, second, heads_go);
  }
  return true;
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
