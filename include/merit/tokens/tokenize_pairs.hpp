// Pairs to examples: preference records and the votes of judges.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
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

namespace detail {

/// One of the two completions of a record.
struct PairSide {
  const TextOrMessages& text;
  const std::vector<Token>& ids;
  const std::vector<float>& features;
  std::string_view ids_field;
};

/// Fills both sequences of `example` from the two sides, before any cut.
template <class Record, tokenizer Tokenizer>
void sequences_of_pair(const Record& record, const PairSide& better, const PairSide& worse,
                       const Tokenizer& tokenizer, const TokenizeOptions& options,
                       PreferenceExample& example) {
  check_options(options);
  Sequence& chosen = example.chosen;
  Sequence& rejected = example.rejected;
  if (record.form == RecordForm::features) {
    chosen.features = better.features;
    rejected.features = worse.features;
    return;
  }
  EncodedPrompt prompt;
  const auto sequence_of = [&](const PairSide& side) {
    return record.form == RecordForm::ids ? sequence_of_ids(record.prompt_ids, side.ids, side.ids_field,
                                                            tokenizer, options, record.source)
                                          : sequence_of_text(record.prompt, side.text, record.inputs,
                                                             tokenizer, options, record.source, prompt);
  };
  chosen = sequence_of(better);
  rejected = sequence_of(worse);
  const bool prompt_given =
      record.form == RecordForm::ids ? record.prompt_ids.has_value() : record.prompt.has_value();
  if (!prompt_given && !chosen.tokens.empty() && !rejected.tokens.empty()) {
    const Index common = std::min({common_prefix(chosen.tokens, rejected.tokens), chosen.tokens.size() - 1,
                                   rejected.tokens.size() - 1});
    chosen.completion_begin = rejected.completion_begin = common;
  }
}

/// Fills both sequences of `example` from the two sides and counts. False when the pair is dropped.
template <class Record, tokenizer Tokenizer>
bool tokenize_pair(const Record& record, const PairSide& better, const PairSide& worse,
                   const Tokenizer& tokenizer, const TokenizeOptions& options, DataCounts& counts,
                   PreferenceExample& example) {
  sequences_of_pair(record, better, worse, tokenizer, options, example);
  Sequence& chosen = example.chosen;
  Sequence& rejected = example.rejected;
  if (record.form == RecordForm::features) {
    const bool equal = chosen.features == rejected.features;
    const bool kept = !equal || options.to_judge;
    ++counts.records;
    ++(kept ? counts.kept : counts.dropped_equal);
    counts.kept_equal += kept && equal ? 1 : 0;
    return kept;
  }
  return enforce_limit(std::array<Sequence*, 2>{&chosen, &rejected}, options, record.source, counts);
}

/// The sides of a preference record.
inline PairSide chosen_of(const PreferenceRecord& record) {
  return {record.chosen, record.chosen_ids, record.chosen_features, "chosen_ids"};
}
inline PairSide rejected_of(const PreferenceRecord& record) {
  return {record.rejected, record.rejected_ids, record.rejected_features, "rejected_ids"};
}

}  // namespace detail

/// Tokenizes one pair and adds what became of it to `counts`. Gives nothing when the pair is dropped:
/// too long, a side without a token, or equal sides but for options.to_judge.
///
/// - Without a prompt, the common prefix in tokens is the prompt, though each side keeps at least its last
///   token as the completion.
/// - Ids are taken as they are: no end of sequence is added. Features are passed on.
/// - Throws DataError for an id outside the vocabulary, and under the policy `error`.
template <tokenizer Tokenizer>
std::optional<PreferenceExample> tokenize(const PreferenceRecord& record, const Tokenizer& tokenizer,
                                          const TokenizeOptions& options, DataCounts& counts) {
  PreferenceExample example;
  example.margin = record.margin.value_or(0);
  example.weight = record.weight.value_or(1);
  example.soft_label = record.soft_label.value_or(1);
  if (!detail::tokenize_pair(record, detail::chosen_of(record), detail::rejected_of(record), tokenizer,
                             options, counts, example)) {
    return std::nullopt;
  }
  counts.all_tied += example.soft_label == 0.5 ? 1 : 0;
  return example;
}

/// Tokenizes one comparison by a judge as a pair. The likelier answer is chosen (response_a when both are as likely) and its
/// probability is the soft label: the record's own, else its share of the votes, ties as half a vote for each.
template <tokenizer Tokenizer>
std::optional<PreferenceExample> tokenize(const JudgeRecord& record, const Tokenizer& tokenizer,
                                          const TokenizeOptions& options, DataCounts& counts) {
  if (record.votes.empty()) {
    throw DataError(record.source.text() + ": field 'votes': found an empty list, expected at least one");
  }
  const double share = share_for_a(record);
  PreferenceExample example;
  example.soft_label = std::max(share, 1 - share);
  example.weight = record.weight.value_or(1);
  const detail::PairSide a{record.response_a, record.response_a_ids, record.response_a_features,
                           "response_a_ids"};
  const detail::PairSide b{record.response_b, record.response_b_ids, record.response_b_features,
                           "response_b_ids"};
  const bool a_first = share >= 0.5;
  if (!detail::tokenize_pair(record, a_first ? a : b, a_first ? b : a, tokenizer, options, counts, example)) {
    return std::nullopt;
  }
  counts.all_tied += share == 0.5 ? 1 : 0;
  return example;
}

}  // namespace MERIT_ABI
}  // namespace merit
