// From records to token sequences: the border between prompt and completion, and what is done with what is
// too long.
#pragma once

#include <algorithm>
#include <array>
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
#include "merit/data/example.hpp"
#include "merit/data/record.hpp"
#include "merit/text/plain_template.hpp"
#include "merit/text/tokenizer.hpp"

namespace merit::inline MERIT_ABI {

/// What is done with sequences of more than `max_tokens` tokens. The policy is saved with a model.
enum class Truncation {
  drop,             // the record is left out
  cut_left,         // the first tokens go
  cut_right,        // the last tokens go, an end of sequence among them
  keep_completion,  // the first tokens of the prompt go; a completion too long by itself is left out
  error,            // DataError
};

namespace detail {

inline constexpr std::array<std::pair<Truncation, std::string_view>, 5> truncation_names{
    {{Truncation::drop, "drop"},
     {Truncation::cut_left, "cut_left"},
     {Truncation::cut_right, "cut_right"},
     {Truncation::keep_completion, "keep_completion"},
     {Truncation::error, "error"}}};

}  // namespace detail

/// "drop", "cut_left", "cut_right", "keep_completion" or "error".
inline std::string name_of(Truncation truncation) {
  for (const auto& [value, name] : detail::truncation_names) {
    if (value == truncation) return std::string(name);
  }
  throw UsageError("found a truncation policy that is none of the five");
}

/// The policy of that name. Throws ConfigError that lists the known ones.
inline Truncation truncation_from_name(std::string_view name) {
  for (const auto& [value, known] : detail::truncation_names) {
    if (known == name) return value;
  }
  throw ConfigError(detail::concat("found truncation policy \"", name,
                                   "\", expected one of: drop, cut_left, cut_right, keep_completion, error"));
}

struct TokenizeOptions {
  Index max_tokens = std::numeric_limits<Index>::max();  // of a sequence, prompt and end of sequence included
  Truncation truncation = Truncation::drop;
  bool without_prompt = false;  // ablation: keep the completion's tokens only, so that no prompt is seen
  bool append_eos = true;       // end plain text completions with the end of sequence
};

/// What became of the records. `records` is the sum of kept and the three kinds of dropped.
struct DataCounts {
  Index records = 0;            // read
  Index kept = 0;               // given out, cut ones among them
  Index dropped_over_long = 0;  // too long and not to be cut
  Index dropped_equal = 0;      // both sides the same, from the first or after cutting
  Index dropped_empty = 0;      // a completion without a token, from the first or after cutting
  Index cut_left = 0;           // kept, at least one side cut by policy cut_left
  Index cut_right = 0;          // … by policy cut_right
  Index cut_prompt = 0;         // … by policy keep_completion
  Index tokens = 0;             // of all kept sequences
  Index longest = 0;            // tokens of the longest sequence read, before any cut

  /// Name and value of each, for logs.
  std::array<std::pair<std::string_view, Index>, 10> items() const {
    return {{{"records", records},
             {"kept", kept},
             {"dropped_over_long", dropped_over_long},
             {"dropped_equal", dropped_equal},
             {"dropped_empty", dropped_empty},
             {"cut_left", cut_left},
             {"cut_right", cut_right},
             {"cut_prompt", cut_prompt},
             {"tokens", tokens},
             {"longest", longest}}};
  }

  /// One plain sentence. What did not happen is left out.
  std::string sentence() const {
    std::string text = detail::concat("Of ", records, records == 1 ? " record, " : " records, ", kept,
                                      kept == 1 ? " was kept" : " were kept");
    const auto add = [&](Index count, std::string_view what) {
      if (count != 0) text += detail::concat(", ", count, ' ', what);
    };
    add(cut_left, "of them cut on the left");
    add(cut_right, "of them cut on the right");
    add(cut_prompt, "of them with the head of the prompt cut");
    add(dropped_over_long, "dropped as too long");
    add(dropped_equal, "dropped as both sides were equal");
    add(dropped_empty, "dropped as a completion had no tokens");
    return text +
           detail::concat("; the longest sequence had ", longest, longest == 1 ? " token." : " tokens.");
  }

  /// Counts of two parts together.
  DataCounts& operator+=(const DataCounts& other) {
    records += other.records;
    kept += other.kept;
    dropped_over_long += other.dropped_over_long;
    dropped_equal += other.dropped_equal;
    dropped_empty += other.dropped_empty;
    cut_left += other.cut_left;
    cut_right += other.cut_right;
    cut_prompt += other.cut_prompt;
    tokens += other.tokens;
    longest = std::max(longest, other.longest);
    return *this;
  }

  bool operator==(const DataCounts&) const = default;
};

/// A completion that was tokenized, or why it was not kept.
enum class CompletionFate { kept, over_long, empty };
struct TokenizedCompletion {
  CompletionFate fate = CompletionFate::kept;
  Sequence sequence;  // empty unless kept
};

namespace detail {

/// How many leading tokens two sequences share.
inline Index common_prefix(std::span<const Token> a, std::span<const Token> b) {
  return static_cast<Index>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// Prompt and completion as one text, with the border in bytes.
inline RenderedText render(const std::optional<TextOrMessages>& prompt, const TextOrMessages& completion) {
  const auto* prompt_messages = prompt ? std::get_if<std::vector<Message>>(&*prompt) : nullptr;
  const auto* messages = std::get_if<std::vector<Message>>(&completion);
  if (messages != nullptr) {
    if (prompt_messages != nullptr) return render_plain(*prompt_messages, *messages);
    return {render_plain(*messages), 0};
  }
  const std::string& text = std::get<std::string>(completion);
  if (prompt_messages != nullptr) {  // a string under a conversation is the assistant's next message
    return render_plain(*prompt_messages, std::vector<Message>{{"assistant", text}});
  }
  if (!prompt) return {text, 0};
  const std::string& prompt_text = std::get<std::string>(*prompt);
  return {prompt_text + text, prompt_text.size()};
}

/// One side of a record in text. Prompt and completion are tokenized together, for that is what a model
/// reads; the border in tokens is where that first differs from the prompt tokenized alone.
template <tokenizer Tokenizer>
Sequence sequence_of_text(const std::optional<TextOrMessages>& prompt, const TextOrMessages& completion,
                          const Tokenizer& tokenizer, const TokenizeOptions& options) {
  const RenderedText rendered = render(prompt, completion);
  Sequence sequence;
  tokenizer.encode(rendered.text, sequence.tokens);
  if (rendered.completion_begin != 0) {
    std::vector<Token> alone;
    tokenizer.encode(std::string_view(rendered.text).substr(0, rendered.completion_begin), alone);
    sequence.completion_begin = common_prefix(alone, sequence.tokens);
  }
  // A conversation ends as its template ends it.
  const bool conversation = completion.index() == 1 || (prompt && prompt->index() == 1);
  const bool ended = !sequence.tokens.empty() && sequence.tokens.back() == tokenizer.eos();
  if (options.append_eos && !conversation && !ended) sequence.tokens.push_back(tokenizer.eos());
  return sequence;
}

/// One side of a record in ids, which are taken as they are.
template <tokenizer Tokenizer>
Sequence sequence_of_ids(const std::optional<std::vector<Token>>& prompt,
                         const std::vector<Token>& completion, std::string_view name,
                         const Tokenizer& tokenizer, const SourcePosition& at) {
  const auto check = [&](const std::vector<Token>& ids, std::string_view field) {
    for (Index i = 0; i < ids.size(); ++i) {
      if (ids[i] < tokenizer.vocabulary_size()) continue;
      throw DataError(concat(at.text(), ": field '", field, '[', i, "]': found token ", ids[i],
                             ", expected one below ", tokenizer.vocabulary_size(),
                             ", the vocabulary of tokenizer ", tokenizer.name()));
    }
  };
  Sequence sequence;
  if (prompt) {
    check(*prompt, "prompt_ids");
    sequence.tokens = *prompt;
    sequence.completion_begin = prompt->size();
  }
  check(completion, concat(name, "_ids"));
  sequence.tokens.insert(sequence.tokens.end(), completion.begin(), completion.end());
  return sequence;
}

/// Drops the first `count` tokens.
inline void cut_head(Sequence& sequence, Index count) {
  sequence.tokens.erase(sequence.tokens.begin(),
                        sequence.tokens.begin() + static_cast<std::ptrdiff_t>(count));
  sequence.completion_begin -= std::min(count, sequence.completion_begin);
}

struct TruncationResult {
  bool fits = true;  // false: to be dropped
  bool cut = false;
};

/// Makes the sequences of one record fit.
///
/// Where heads are cut (cut_left, keep_completion), the same number of prompt tokens goes from every
/// sequence, as many as the longest needs, so that they still share what is left of the prompt and both sides
/// of a pair are judged on the same context. Only where the prompt is used up does cut_left go on into a
/// completion, for each by what it alone still needs.
inline TruncationResult truncate(std::span<Sequence*> sequences, const TokenizeOptions& options,
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
  switch (options.truncation) {
    case Truncation::drop: return {.fits = false};
    case Truncation::error:
      throw DataError(concat(at.text(), ": record: found a sequence of ", longest,
                             " tokens, expected at most ", limit, " (truncation policy error)"));
    case Truncation::cut_right:
      for (Sequence* s : sequences) {
        if (s->tokens.size() > limit) s->tokens.resize(limit);
        s->completion_begin = std::min(s->completion_begin, s->tokens.size());
      }
      return {.cut = true};
    case Truncation::keep_completion:
      if (longest_completion > limit) return {.fits = false};
      [[fallthrough]];  // the cut below then stays inside the prompts
    case Truncation::cut_left: {
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

inline void check_options(const TokenizeOptions& options) {
  if (options.max_tokens == 0) throw ConfigError("max_tokens: found 0, expected 1 or more");
}

inline void count_cut(Truncation policy, DataCounts& counts) {
  if (policy == Truncation::cut_left) ++counts.cut_left;
  if (policy == Truncation::cut_right) ++counts.cut_right;
  if (policy == Truncation::keep_completion) ++counts.cut_prompt;
}

}  // namespace detail

/// Tokenizes one pair and adds what became of it to `counts`. Gives nothing when the pair is dropped.
///
/// - Without a prompt, the common prefix in tokens is the prompt, though each side keeps at least its last
///   token as the completion.
/// - Ids are taken as they are: no end of sequence is added. Features are passed on.
/// - Throws DataError for an id outside the vocabulary, and under the policy `error`.
template <tokenizer Tokenizer>
std::optional<PreferenceExample> tokenize(const PreferenceRecord& record, const Tokenizer& tokenizer,
                                          const TokenizeOptions& options, DataCounts& counts) {
  detail::check_options(options);
  PreferenceExample example;
  example.margin = record.margin.value_or(0);
  example.weight = record.weight.value_or(1);
  example.soft_label = record.soft_label.value_or(1);
  Sequence& chosen = example.chosen;
  Sequence& rejected = example.rejected;

  if (record.form == RecordForm::features) {
    chosen.features = record.chosen_features;
    rejected.features = record.rejected_features;
    ++counts.records;
    ++(chosen.features == rejected.features ? counts.dropped_equal : counts.kept);
    if (chosen.features == rejected.features) return std::nullopt;
    return example;
  }

  bool prompt_given = false;
  if (record.form == RecordForm::ids) {
    prompt_given = record.prompt_ids.has_value();
    chosen =
        detail::sequence_of_ids(record.prompt_ids, record.chosen_ids, "chosen", tokenizer, record.source);
    rejected =
        detail::sequence_of_ids(record.prompt_ids, record.rejected_ids, "rejected", tokenizer, record.source);
  } else {
    prompt_given = record.prompt.has_value();
    chosen = detail::sequence_of_text(record.prompt, record.chosen, tokenizer, options);
    rejected = detail::sequence_of_text(record.prompt, record.rejected, tokenizer, options);
  }
  if (!prompt_given && !chosen.tokens.empty() && !rejected.tokens.empty()) {
    const Index common = std::min({detail::common_prefix(chosen.tokens, rejected.tokens),
                                   chosen.tokens.size() - 1, rejected.tokens.size() - 1});
    chosen.completion_begin = rejected.completion_begin = common;
  }
  if (options.without_prompt) {
    detail::cut_head(chosen, chosen.completion_begin);
    detail::cut_head(rejected, rejected.completion_begin);
  }

  const Index longest = std::max(chosen.tokens.size(), rejected.tokens.size());
  std::array<Sequence*, 2> sequences{&chosen, &rejected};
  const auto [fits, cut] = detail::truncate(sequences, options, record.source);
  ++counts.records;
  counts.longest = std::max(counts.longest, longest);
  if (!fits) {
    ++counts.dropped_over_long;
    return std::nullopt;
  }
  if (chosen.tokens == rejected.tokens) {
    ++counts.dropped_equal;
    return std::nullopt;
  }
  if (chosen.completion_begin == chosen.tokens.size() ||
      rejected.completion_begin == rejected.tokens.size()) {
    ++counts.dropped_empty;
    return std::nullopt;
  }
  ++counts.kept;
  if (cut) detail::count_cut(options.truncation, counts);
  counts.tokens += chosen.tokens.size() + rejected.tokens.size();
  return example;
}

/// Tokenizes one completion as the sides of a pair are, and adds what became of it to `counts`. Without a
/// prompt, all of it is completion. Says why when it is not kept, so that a program that scores can answer
/// for every record.
template <tokenizer Tokenizer>
TokenizedCompletion tokenize(const CompletionRecord& record, const Tokenizer& tokenizer,
                             const TokenizeOptions& options, DataCounts& counts) {
  detail::check_options(options);
  TokenizedCompletion result;
  Sequence& sequence = result.sequence;
  bool cut = false;
  if (record.form == RecordForm::features) {
    sequence.features = record.completion_features;
  } else {
    sequence = record.form == RecordForm::ids
                   ? detail::sequence_of_ids(record.prompt_ids, record.completion_ids, "completion",
                                             tokenizer, record.source)
                   : detail::sequence_of_text(record.prompt, record.completion, tokenizer, options);
    if (options.without_prompt) detail::cut_head(sequence, sequence.completion_begin);
    const Index longest = sequence.tokens.size();
    std::array<Sequence*, 1> sequences{&sequence};
    const auto outcome = detail::truncate(sequences, options, record.source);
    counts.longest = std::max(counts.longest, longest);
    cut = outcome.cut;
    if (!outcome.fits) {
      result.fate = CompletionFate::over_long;
    } else if (sequence.completion_begin == sequence.tokens.size()) {
      result.fate = CompletionFate::empty;
    }
  }
  ++counts.records;
  switch (result.fate) {
    case CompletionFate::over_long: ++counts.dropped_over_long; break;
    case CompletionFate::empty: ++counts.dropped_empty; break;
    case CompletionFate::kept:
      ++counts.kept;
      if (cut) detail::count_cut(options.truncation, counts);
      counts.tokens += sequence.tokens.size();
      return result;
  }
  sequence = {};
  return result;
}

/// Tokenizes all pairs that `reader.next()` gives, one at a time; only the examples are held.
template <class Reader, tokenizer Tokenizer>
std::vector<PreferenceExample> read_examples(Reader& reader, const Tokenizer& tokenizer,
                                             const TokenizeOptions& options, DataCounts& counts) {
  std::vector<PreferenceExample> examples;
  while (const auto record = reader.next()) {
    if (auto example = tokenize(*record, tokenizer, options, counts)) examples.push_back(std::move(*example));
  }
  return examples;
}

/// What held_out() in sampling.hpp is given for a pair: its prompt, so that the pairs of one prompt stay
/// together; without a prompt, the whole pair.
inline std::string split_key(const PreferenceRecord& record) {
  const auto of_text = [](const TextOrMessages& text) {
    const auto* messages = std::get_if<std::vector<Message>>(&text);
    return messages != nullptr ? render_plain(*messages) : std::get<std::string>(text);
  };
  const auto of_list = [](const auto& list) {
    std::string text;
    for (const auto& item : list) text += detail::concat(item, ' ');
    return text;
  };
  switch (record.form) {
    case RecordForm::text:
      if (record.prompt) return of_text(*record.prompt);
      return of_text(record.chosen) + '\x1E' + of_text(record.rejected);
    case RecordForm::ids:
      if (record.prompt_ids) return of_list(*record.prompt_ids);
      return of_list(record.chosen_ids) + '\x1E' + of_list(record.rejected_ids);
    case RecordForm::features:
      return of_list(record.chosen_features) + '\x1E' + of_list(record.rejected_features);
  }
  return {};
}

}  // namespace merit::inline MERIT_ABI
