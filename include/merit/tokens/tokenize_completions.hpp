// Single completions to sequences and examples: to be scored, with an outcome, or with rewards.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/records/record.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokens/data_counts.hpp"
#include "merit/tokens/sequences.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A completion that was tokenized, or why it was not kept.
enum class CompletionFate { kept, over_long, empty, cut_away };
struct TokenizedCompletion {
  CompletionFate fate = CompletionFate::kept;
  Sequence sequence;  // empty unless kept
};

namespace detail {

/// Cuts the completions of one record that are scored, not compared: each that has no score has a reason of
/// its own, and takes none of the others with it. Those that stay are cut as if they were all. The record
/// counts as kept where any completion is.
inline std::vector<CompletionFate> shorten_each(std::span<Sequence* const> sequences,
                                                const TokenizeOptions& options, const SourcePosition& at,
                                                DataCounts& counts) {
  const bool leaves_out =
      options.truncation == Truncation::drop || options.truncation == Truncation::keep_completion;
  std::vector<CompletionFate> fates;
  std::vector<Sequence*> left;
  const auto is_empty = [](const Sequence* s) { return s->completion_begin == s->tokens.size(); };
  for (Sequence* s : sequences) {
    if (options.without_prompt) drop_prompt(*s, options);
    counts.longest = std::max(counts.longest, s->tokens.size());
    Index prompt = options.truncation == Truncation::keep_completion ? s->completion_begin : 0;
    if (options.segments) prompt -= std::min(prompt, options.segments->before.size());  // which stays
    const bool too_long = leaves_out && s->tokens.size() - prompt > options.max_tokens;
    fates.push_back(too_long      ? CompletionFate::over_long
                    : is_empty(s) ? CompletionFate::empty
                                  : CompletionFate::kept);
    if (!too_long) left.push_back(s);
  }
  const bool cut = truncate(left, options, at).cut;
  std::erase_if(left, is_empty);
  for (Index i = 0; i < fates.size(); ++i) {
    if (fates[i] == CompletionFate::kept && is_empty(sequences[i])) fates[i] = CompletionFate::cut_away;
  }
  ++counts.records;
  if (!left.empty()) {
    count_kept(left, cut, options, counts);
  } else {
    const auto any = [&](CompletionFate fate) { return std::ranges::find(fates, fate) != fates.end(); };
    ++(any(CompletionFate::over_long)  ? counts.dropped_over_long
       : any(CompletionFate::cut_away) ? counts.dropped_cut
                                       : counts.dropped_empty);
  }
  return fates;
}

/// The completion before any cut.
template <tokenizer Tokenizer>
Sequence sequence_of_completion(const CompletionRecord& record, const Tokenizer& tokenizer,
                                const TokenizeOptions& options) {
  if (record.form == RecordForm::ids) {
    return sequence_of_ids(record.prompt_ids, record.completion_ids, "completion_ids", tokenizer, options,
                           record.source);
  }
  EncodedPrompt prompt;
  return sequence_of_text(record.prompt, record.completion, record.inputs, tokenizer, options, record.source,
                          prompt);
}

/// G_t = r_t + γ·G_{t+1} without values. With them, generalised advantage estimation (Schulman et al. 2016):
/// δ_t = r_t + γ·V_{t+1} − V_t, A_t = δ_t + γλ·A_{t+1}, and the return is A_t + V_t; V and A are 0 past the
/// end. (tokens of the completion)
inline std::vector<double> returns_of(std::span<const double> rewards, std::span<const double> values,
                                      double gamma, double lambda) {
  std::vector<double> returns(rewards.size(), 0.0);
  double next_return = 0;
  double next_value = 0;
  double next_advantage = 0;
  for (Index t = rewards.size(); t-- > 0;) {
    if (values.empty()) {
      next_return = rewards[t] + gamma * next_return;
      returns[t] = next_return;
    } else {
      next_advantage = rewards[t] + gamma * next_value - values[t] + gamma * lambda * next_advantage;
      next_value = values[t];
      returns[t] = next_advantage + values[t];
    }
  }
  return returns;
}

}  // namespace detail

/// Tokenizes one completion as the sides of a pair are, and adds what became of it to `counts`. Without a
/// prompt, all of it is completion. Says why when it is not kept, so that a program that scores can answer
/// for every record.
template <tokenizer Tokenizer>
TokenizedCompletion tokenize(const CompletionRecord& record, const Tokenizer& tokenizer,
                             const TokenizeOptions& options, DataCounts& counts) {
  detail::check_options(options);
  TokenizedCompletion result;
  if (record.form == RecordForm::features) {
    result.sequence.features = record.completion_features;
    ++counts.records;
    ++counts.kept;
    return result;
  }
  result.sequence = detail::sequence_of_completion(record, tokenizer, options);
  const DataCounts before = counts;
  if (!detail::enforce_limit(std::array<Sequence*, 1>{&result.sequence}, options, record.source, counts)) {
    return {counts.dropped_over_long != before.dropped_over_long ? CompletionFate::over_long
            : counts.dropped_cut != before.dropped_cut           ? CompletionFate::cut_away
                                                                 : CompletionFate::empty,
            {}};
  }
  return result;
}

/// Tokenizes one completion with its outcome. Gives nothing when it is dropped. With options.to_judge one that a cut
/// took whole stays, without a token: it is judged by what was not seen.
template <tokenizer Tokenizer>
std::optional<OutcomeExample> tokenize(const OutcomeRecord& record, const Tokenizer& tokenizer,
                                       const TokenizeOptions& options, DataCounts& counts) {
  TokenizedCompletion completion =
      tokenize(static_cast<const CompletionRecord&>(record), tokenizer, options, counts);
  if (completion.fate != CompletionFate::kept) return std::nullopt;
  return OutcomeExample{std::move(completion.sequence), record.label, record.weight.value_or(1)};
}

/// Tokenizes one rollout. The returns are those of the whole completion, also where part of it is cut off: a
/// reward of the completion is paid at its last token, and returns are discounted by γ (or, with values,
/// λ-returns: the advantages of generalised advantage estimation and the values); those of states that were cut off
/// stand in returns_unseen. With options.to_judge a rollout stays of which no state is left. Rewards and values must
/// be as many as the completion has tokens, its end of sequence included; throws DataError otherwise.
template <tokenizer Tokenizer>
std::optional<RolloutExample> tokenize(const RolloutRecord& record, const Tokenizer& tokenizer,
                                       const TokenizeOptions& options, DataCounts& counts) {
  detail::check_options_of_parts(options);
  if (record.form == RecordForm::features) {
    throw DataError(record.source.text() + ": record: found features, expected text or ids of a rollout");
  }
  RolloutExample example;
  Sequence& sequence = example.sequence;
  sequence = detail::sequence_of_completion(record, tokenizer, options);
  const Index tokens = sequence.tokens.size() - sequence.completion_begin;
  const auto check = [&](const std::vector<double>& numbers, std::string_view field) {
    if (numbers.size() == tokens) return;
    throw DataError(concat(record.source.text(), ": field '", field, "': found ", numbers.size(),
                           numbers.size() == 1 ? " number" : " numbers", ", expected ", tokens,
                           ", one for each token of the completion",
                           record.form == RecordForm::text ? " and its end of sequence" : ""));
  };
  std::vector<double> rewards = record.rewards;
  if (record.reward) {
    rewards.assign(tokens, 0.0);
    if (tokens != 0) rewards.back() = *record.reward;
  } else {
    check(rewards, "rewards");
  }
  if (!record.values.empty()) check(record.values, "values");
  example.returns = detail::returns_of(rewards, record.values, options.gamma, options.lambda);
  example.old_values = record.values;
  example.weight = record.weight.value_or(1);

  // A state is the token before one of the completion: the first of all tokens has none.
  const Index first = sequence.completion_begin == 0 || options.without_prompt ? 1 : 0;
  const Index states = tokens - std::min(tokens, first);
  const std::array<Sequence*, 1> sequences{&sequence};
  const auto [kept, cut] = detail::shorten(sequences, options, record.source, counts);
  if (!kept) {
    counts.labels_lost += states;
    return std::nullopt;
  }
  const Index left = sequence.tokens.size() - sequence.completion_begin;
  const Index begin = options.truncation == Truncation::cut_right ? 0 : tokens - left;  // of the tokens left
  const Index end = begin + left;
  const Index seen = begin + (sequence.completion_begin == 0 && left > 0 ? 1 : 0);  // the first state left
  if (seen == end && (states == 0 || !options.to_judge)) {
    ++(states == 0 ? counts.dropped_empty : counts.dropped_cut);
    counts.labels_lost += states;
    return std::nullopt;
  }
  detail::count_kept(sequences, cut, options, counts);
  for (Index t = first; t < tokens; ++t) {
    if (t < seen || t >= end) example.returns_unseen.push_back(example.returns[t]);
  }
  counts.labels += end - seen;
  counts.labels_lost += example.returns_unseen.size();
  for (std::vector<double>* numbers : {&example.returns, &example.old_values}) {
    if (numbers->empty()) continue;
    *numbers = {numbers->begin() + static_cast<std::ptrdiff_t>(begin),
                numbers->begin() + static_cast<std::ptrdiff_t>(end)};
  }
  return example;
}

}  // namespace MERIT_ABI
}  // namespace merit
