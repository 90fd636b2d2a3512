// Sequences from text or ids: the border between prompt and completion, and what is done with what is too
// long. The parts of which tokenize() is made for each kind of record.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/apply_reading.hpp"
#include "merit/forest/example.hpp"
#include "merit/records/record.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokens/cut_segments.hpp"
#include "merit/tokens/data_counts.hpp"
#include "merit/tokens/rendering.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// How many leading tokens two sequences share.
inline Index common_prefix(std::span<const Token> a, std::span<const Token> b) {
  return static_cast<Index>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// Throws DataError where the token that begins every sequence stands there twice, as where a template writes
/// it and the tokenizer adds it again: no model was trained on that.
template <tokenizer Tokenizer>
void check_beginning(const std::vector<Token>& tokens, const Tokenizer& tokenizer, const SourcePosition& at) {
  const std::optional<Token> bos = bos_of(tokenizer);
  if (!bos || tokens.size() < 2 || tokens[0] != *bos || tokens[1] != *bos) return;
  throw DataError(concat(at.text(), ": the sequence begins with the token ", *bos,
                         " twice, expected one beginning of sequence: the text has one of its own"));
}

/// The reading rule on a sequence, with the record in its errors.
inline void apply_reading(const TokenizeOptions& options, Sequence& sequence, const SourcePosition& at) {
  try {
    apply(options.reading, sequence);
  } catch (const DataError& error) {
    throw DataError(concat(at.text(), ": ", error.what()));
  }
}

/// The prompt that the completions of a record share, encoded once for all of them: its tokens, and where its
/// text can be cut so that only what stands behind is encoded again with each completion.
struct EncodedPrompt {
  std::optional<std::string> text;  // nothing: none yet
  bool conversation = false;
  std::vector<Token> tokens;  // with those that the tokenizer puts before a plain text
  Index settled_bytes = 0;
  Index settled_tokens = 0;
  Sequence sequence;  // of the last completion; room for the next

  template <tokenizer Tokenizer>
  void encode(std::string_view prompt, bool is_conversation, const Tokenizer& tokenizer) {
    // A template may write the prompt otherwise for another completion.
    if (text == prompt && conversation == is_conversation) return;
    text = prompt;
    conversation = is_conversation;
    tokens = conversation ? std::vector<Token>{} : tokens_before(tokenizer);
    settled_bytes = prompt_ends_word(tokenizer) ? prompt.size() : merit::settled_bytes(tokenizer, prompt);
    tokenizer.encode(prompt.substr(0, settled_bytes), tokens);
    settled_tokens = tokens.size();
    tokenizer.encode(prompt.substr(settled_bytes), tokens);
  }
};

/// Two segments, or without a first one the other alone.
template <tokenizer Tokenizer>
void segments_of_text(std::string_view first, std::string_view second, const Tokenizer& tokenizer,
                      Sequence& out) {
  std::vector<Token>& tokens = out.tokens;
  tokens = tokens_before(tokenizer);
  if (!first.empty()) {
    tokenizer.encode(first, tokens);
    for (const Token token : tokens_between(tokenizer)) tokens.push_back(token);
  }
  out.completion_begin = first.empty() ? 0 : tokens.size();
  tokenizer.encode(second, tokens);
  for (const Token token : tokens_after(tokenizer)) tokens.push_back(token);
}

/// One side of a record in text. Prompt and completion are tokenized together, for that is what a model
/// reads; the border in tokens is where that first differs from the prompt tokenized alone. (A tokenizer of words
/// has them tokenized apart, for else the last word of one and the first of the other would be one.) A plain text gets
/// the special tokens that the tokenizer puts around one; a conversation has those that its template writes.
/// `shared` is one object for all sides of a record.
template <tokenizer Tokenizer>
Sequence sequence_of_text(const std::optional<TextOrMessages>& prompt, const TextOrMessages& completion,
                          const TemplateInputs& inputs, const Tokenizer& tokenizer,
                          const TokenizeOptions& options, const SourcePosition& at, EncodedPrompt& shared) {
  const auto [rendered, conversation] = render(prompt, completion, inputs, options, at);
  const std::string_view text = rendered.text;
  const std::string_view prompt_text = text.substr(0, rendered.completion_begin);
  if (options.segments) {
    Sequence pair;
    segments_of_text(prompt_text, text.substr(prompt_text.size()), tokenizer, pair);
    apply_reading(options, pair, at);
    return pair;
  }
  shared.encode(prompt_text, conversation, tokenizer);
  Sequence& sequence = shared.sequence;
  std::vector<Token>& tokens = sequence.tokens;
  const auto settled = shared.tokens.begin() + static_cast<std::ptrdiff_t>(shared.settled_tokens);
  tokens.assign(shared.tokens.begin(), settled);
  tokenizer.encode(text.substr(shared.settled_bytes), tokens);
  check_beginning(tokens, tokenizer, at);
  sequence.completion_begin = prompt_text.empty() ? 0 : common_prefix(shared.tokens, tokens);
  sequence.step_ends.clear();
  if (!conversation) {
    for (const Token token : tokens_after(tokenizer)) tokens.push_back(token);
    if (options.append_eos && (tokens.empty() || tokens.back() != tokenizer.eos())) {
      tokens.push_back(tokenizer.eos());
    }
  }
  apply_reading(options, sequence, at);
  return sequence;  // a copy, no larger than its tokens
}

/// Throws DataError for an id outside the vocabulary.
template <tokenizer Tokenizer>
void check_ids(const std::vector<Token>& ids, std::string_view field, const Tokenizer& tokenizer,
               const SourcePosition& at) {
  for (Index i = 0; i < ids.size(); ++i) {
    if (ids[i] < tokenizer.vocabulary_size()) continue;
    throw DataError(concat(at.text(), ": field '", field, '[', i, "]': found token ", ids[i],
                           ", expected one below ", tokenizer.vocabulary_size(),
                           ", the vocabulary of tokenizer ", tokenizer.name()));
  }
}

/// One side of a record in ids, which are taken as they are but for the reading rule. `field` is the
/// completion's.
template <tokenizer Tokenizer>
Sequence sequence_of_ids(const std::optional<std::vector<Token>>& prompt,
                         const std::vector<Token>& completion, std::string_view field,
                         const Tokenizer& tokenizer, const TokenizeOptions& options,
                         const SourcePosition& at) {
  Sequence sequence;
  if (prompt) {
    check_ids(*prompt, "prompt_ids", tokenizer, at);
    sequence.tokens = *prompt;
    sequence.completion_begin = prompt->size();
  }
  check_ids(completion, field, tokenizer, at);
  sequence.tokens.insert(sequence.tokens.end(), completion.begin(), completion.end());
  apply_reading(options, sequence, at);
  return sequence;
}

/// Drops the first `count` tokens, and the ends of steps among them.
inline void drop_head(Sequence& sequence, Index count) {
  sequence.tokens.erase(sequence.tokens.begin(),
                        sequence.tokens.begin() + static_cast<std::ptrdiff_t>(count));
  sequence.completion_begin -= std::min(count, sequence.completion_begin);
  std::erase_if(sequence.step_ends, [&](Index end) { return end < count; });
  for (Index& end : sequence.step_ends) end -= count;
}

/// Leaves the completion alone, with what stands before every text of segments.
inline void drop_prompt(Sequence& sequence, const TokenizeOptions& options) {
  const Index prompt = sequence.completion_begin;
  drop_head(sequence, prompt);
  if (prompt == 0 || !options.segments) return;
  const std::vector<Token>& before = options.segments->before;
  sequence.tokens.insert(sequence.tokens.begin(), before.begin(), before.end());
}

/// drop_head() for a limit on length, which is noted.
inline void cut_head(Sequence& sequence, Index count) {
  sequence.cut = sequence.cut || count > 0;
  drop_head(sequence, count);
}

/// Keeps the first `count` tokens at most, and the ends of steps among them.
inline void cut_tail(Sequence& sequence, Index count) {
  if (sequence.tokens.size() <= count) return;
  sequence.cut = true;
  sequence.tokens.resize(count);
  sequence.completion_begin = std::min(sequence.completion_begin, sequence.tokens.size());
  std::erase_if(sequence.step_ends, [&](Index end) { return end >= count; });
}

struct TruncationResult {
  bool fits = true;  // false: to be dropped
  bool cut = false;
};

/// Makes the sequences of one record fit.
///
/// Where heads are cut together (cut_left_together, keep_completion), the same number of prompt tokens goes
/// from every sequence, as many as the longest needs, so that they still share what is left of the prompt and
/// all of them are judged on the same context. Only where the prompt is used up does cut_left_together go on
/// into a completion, for each by what it alone still needs. Under cut_left what is done to a sequence depends
/// on no other, and those that are cut share no prompt any more.
inline TruncationResult truncate(std::span<Sequence* const> sequences, const TokenizeOptions& options,
                                 const SourcePosition& at) {
  const Index limit = options.max_tokens;
  Index longest = 0;
  Index longest_completion = 0;
  Index shortest_prompt = std::numeric_limits<Index>::max();
  for (const Sequence* s : sequences) {
    longest = std::max(longest, s->tokens.size());
    longest_completion = std::max(longest_completion, s->tokens.size() - s->completion_begin);
    shortest_prompt = std::min(shortest_prompt, s->completion_begin);
  }
  if (longest <= limit) return {};
  const bool cuts = options.truncation != Truncation::drop && options.truncation != Truncation::error;
  if (options.segments && cuts) {
    return {.fits = cut_segments(sequences, *options.segments, limit, options.truncation, at), .cut = true};
  }
  switch (options.truncation) {
    case Truncation::drop: return {.fits = false};
    case Truncation::error:
      throw DataError(concat(at.text(), ": record: found a sequence of ", longest,
                             " tokens, expected at most ", limit, " (truncation policy error)"));
    case Truncation::cut_left:
      for (Sequence* s : sequences) {
        if (s->tokens.size() > limit) cut_head(*s, s->tokens.size() - limit);
      }
      return {.cut = true};
    case Truncation::longest_first:  // of segments alone
    case Truncation::cut_right:
      for (Sequence* s : sequences) cut_tail(*s, limit);
      return {.cut = true};
    case Truncation::keep_completion:
      if (longest_completion > limit) return {.fits = false};
      [[fallthrough]];  // the cut below then stays inside the prompts
    case Truncation::cut_left_together: {
      const Index shared = std::min(longest - limit, shortest_prompt);
      for (Sequence* s : sequences) {
        cut_head(*s, shared);
        if (s->tokens.size() > limit) cut_head(*s, s->tokens.size() - limit);
      }
      return {.cut = true};
    }
  }
  return {};
}

/// `sequences`: how many the record has.
inline void count_cut(Truncation policy, Index sequences, DataCounts& counts) {
  if (policy == Truncation::cut_left) ++counts.cut_left;
  if (policy == Truncation::cut_left && sequences > 1) ++counts.sharing_lost;
  if (policy == Truncation::cut_left_together) ++counts.cut_left_together;
  if (policy == Truncation::cut_right || policy == Truncation::longest_first) ++counts.cut_right;
  if (policy == Truncation::keep_completion) ++counts.cut_prompt;
}

/// Whether there are several sequences, all of the same tokens (or features).
inline bool all_equal(std::span<const Sequence* const> sequences) {
  const auto as_first = [&](const Sequence* s) {
    return s->tokens == sequences[0]->tokens && s->features == sequences[0]->features;
  };
  return sequences.size() > 1 && std::all_of(sequences.begin() + 1, sequences.end(), as_first);
}

inline bool has_empty(std::span<const Sequence* const> sequences) {
  return std::any_of(sequences.begin(), sequences.end(),
                     [](const Sequence* s) { return s->completion_begin == s->tokens.size(); });
}

/// Cuts the sequences of one record to length and counts the record. Not kept when it is too long, when all
/// sequences are or have become equal (where there are several), or when a completion has no token, or none
/// after the cut; that is counted too. With options.to_judge equal sequences stay, as the tie that they are, and
/// what a cut took whole stays to be judged: among several the last token that is left is read in the completion's
/// place, and one alone has no token to be read. What is kept must go through count_kept() or be counted as dropped
/// for another reason.
struct Shortened {
  bool kept = false;
  bool cut = false;
};
inline Shortened shorten(std::span<Sequence* const> sequences, const TokenizeOptions& options,
                         const SourcePosition& at, DataCounts& counts) {
  Index longest = 0;
  for (Sequence* s : sequences) {
    if (options.without_prompt) drop_prompt(*s, options);
    longest = std::max(longest, s->tokens.size());
  }
  const bool empty = has_empty(sequences);
  const auto [fits, cut] = truncate(sequences, options, at);
  ++counts.records;
  counts.longest = std::max(counts.longest, longest);
  if (!fits) {
    ++counts.dropped_over_long;
    return {};
  }
  if (all_equal(sequences) && !options.to_judge) {
    ++counts.dropped_equal;
    return {};
  }
  if (options.to_judge && sequences.size() > 1 && !empty) {
    for (Sequence* s : sequences) {
      if (s->cut && !s->tokens.empty())
        s->completion_begin = std::min(s->completion_begin, s->tokens.size() - 1);
    }
  }
  if (has_empty(sequences) && (empty || !options.to_judge)) {
    ++(empty ? counts.dropped_empty : counts.dropped_cut);
    return {};
  }
  return {.kept = true, .cut = cut};
}

/// Counts sequences that are kept, and gives back the room that their vectors grew to and no longer need.
inline void count_kept(std::span<Sequence* const> sequences, bool cut, const TokenizeOptions& options,
                       DataCounts& counts) {
  ++counts.kept;
  if (all_equal(sequences)) ++counts.kept_equal;
  if (cut) count_cut(options.truncation, sequences.size(), counts);
  for (Sequence* s : sequences) {
    counts.tokens += s->tokens.size();
    s->tokens.shrink_to_fit();
    s->step_ends.shrink_to_fit();
  }
}

/// Both. Gives whether the record is kept.
inline bool enforce_limit(std::span<Sequence* const> sequences, const TokenizeOptions& options,
                          const SourcePosition& at, DataCounts& counts) {
  const auto [kept, cut] = shorten(sequences, options, at, counts);
  if (kept) count_kept(sequences, cut, options, counts);
  return kept;
}

/// Throws DataError when a record made by hand has another number of entries than of completions or steps.
inline void check_one_each(std::string_view field, Index found, Index expected, const SourcePosition& at) {
  if (found == expected) return;
  throw DataError(concat(at.text(), ": field '", field, "': found ", found,
                         found == 1 ? " entry" : " entries", ", expected ", expected));
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
