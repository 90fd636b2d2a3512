// Records tokenized by their forms, and what is read from their rows.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/tokens/steps_of_text.hpp"
#include "merit/tokens/tokenize.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail::record_scorer {

inline constexpr const char* empty = "empty: no tokens in the completion";
inline constexpr const char* cut_away = "nothing is left after the cut";

/// The order of those that have a score, as the functions of rerank.hpp give it.
struct Scored {
  std::vector<Index> numbers;  // among all
  std::vector<double> scores;
  std::vector<bool> cut;
  std::vector<Index> order;  // of the three lists above

  Scored(const std::vector<CompletionScore>& completions, RankCut rank_cut) {
    for (Index i = 0; i < completions.size(); ++i) {
      if (!completions[i].dropped.empty()) continue;
      numbers.push_back(i);
      scores.push_back(completions[i].score);
      cut.push_back(completions[i].cut);
    }
    if (!numbers.empty()) order = order_by_score(scores, cut, rank_cut);
  }
};

inline std::string reason(CompletionFate fate) {
  switch (fate) {
    case CompletionFate::kept: return "";
    case CompletionFate::over_long: return "too long";
    case CompletionFate::empty: return empty;
    case CompletionFate::cut_away: break;
  }
  return cut_away;
}

/// Why steps were dropped.
inline std::string reason_of_steps(const DataCounts& before, const DataCounts& after) {
  if (after.dropped_cut != before.dropped_cut) return "no step is left after the cut";
  return after.dropped_over_long != before.dropped_over_long ? "too long" : empty;
}

}  // namespace detail::record_scorer

MERIT_INLINE std::vector<Index> RecordScores::order(RankCut rank_cut) const {
  const detail::record_scorer::Scored scored(completions, rank_cut);
  std::vector<Index> result;
  for (const Index i : scored.order) result.push_back(scored.numbers[i]);
  return result;
}

MERIT_INLINE std::vector<std::optional<Index>> RecordScores::ranks(RankCut rank_cut) const {
  const detail::record_scorer::Scored scored(completions, rank_cut);
  const std::vector<Index> own = ranks_of_order(scored.order, scored.scores, scored.cut, rank_cut);
  std::vector<std::optional<Index>> result(completions.size());
  for (Index i = 0; i < own.size(); ++i) result[scored.numbers[i]] = own[i];
  return result;
}

MERIT_INLINE void RecordScorer::add(const CompletionRecord& record) {
  check_form(record.form, record.source);
  RecordScores entry{.source = record.source};
  if (scores_steps()) {
    StepsRecord steps = as_steps(record, saved_.tokenize);
    if (steps.completions.empty()) return drop(std::move(entry), detail::record_scorer::empty);
    return add_steps(steps, std::move(entry));
  }
  TokenizedCompletion result = tokenize(record, *saved_.tokenizer, saved_.tokenize, counts_);
  if (result.fate != CompletionFate::kept) {
    return drop(std::move(entry), detail::record_scorer::reason(result.fate));
  }
  entry.completions.resize(1);
  entry.completions[0].cut = result.sequence.cut;
  std::vector<Sequence> sequences;
  sequences.push_back(std::move(result.sequence));
  add_family(std::move(entry), std::move(sequences));
}

MERIT_INLINE void RecordScorer::add(StepsRecord record) {
  check_form(record.form, record.source);
  if (!scores_steps()) {
    throw DataError(record.source.text() +
                    ": found a record of steps, expected completions for a model that scores no steps");
  }
  // Scored, not judged: without a label it would be left out.
  record.labels.assign(record.labels.size(), true);
  add_steps(record, {.source = record.source});
}

MERIT_INLINE void RecordScorer::add(const PreferenceRecord& record) {
  check_form(record.form, record.source);
  RecordScores entry{.source = record.source, .form = RecordScores::Form::pair};
  if (scores_steps()) return add_each(std::move(entry), record, {record.chosen, record.rejected});
  PreferenceExample pair;
  detail::sequences_of_pair(record, detail::chosen_of(record), detail::rejected_of(record), *saved_.tokenizer,
                            saved_.tokenize, pair);
  std::vector<Sequence> sequences;
  sequences.push_back(std::move(pair.chosen));
  sequences.push_back(std::move(pair.rejected));
  add_sides(std::move(entry), std::move(sequences));
}

MERIT_INLINE void RecordScorer::add(const CompletionsRecord& completions) {
  check_form(completions.form, completions.source);
  add_completions(completions, {.source = completions.source, .form = RecordScores::Form::several});
}

MERIT_INLINE void RecordScorer::add(const JudgeRecord& record) {
  check_form(record.form, record.source);
  CompletionsRecord both;
  both.source = record.source;
  both.form = record.form;
  both.prompt = record.prompt;
  both.inputs = record.inputs;
  both.prompt_ids = record.prompt_ids;
  both.completions = {record.response_a, record.response_b};
  both.completions_ids = {record.response_a_ids, record.response_b_ids};
  both.completions_features = {record.response_a_features, record.response_b_features};
  add_completions(both, {.source = record.source, .form = RecordScores::Form::judged});
}

MERIT_INLINE void RecordScorer::add_error(const SourcePosition& at, std::string error) {
  RecordScores entry{.source = at};
  entry.error = std::move(error);
  entries_.push_back(std::move(entry));
}

MERIT_INLINE std::vector<RecordScores> RecordScorer::flush() {
  std::vector<Family> families;
  for (const auto& sequences : waiting_) {
    Family& family = families.emplace_back();
    for (const Sequence& sequence : sequences) family.members.push_back(&sequence);
  }
  auto rows = kept_ != nullptr ? kept_->score_families(families, batch_tokens_)
                               : model_.score_families(families, batch_tokens_);
  Index next = 0;
  for (RecordScores& entry : entries_) {
    if (!entry.dropped.empty() || !entry.error.empty()) continue;
    std::vector<double> raw;
    for (CompletionScore& one : entry.completions) {
      if (!one.dropped.empty()) continue;
      RowScores& own = rows[next++];
      for (const double value : own.values) {
        if (!std::isfinite(value)) one.dropped = "the score is not finite";
      }
      if (own.rows() == 0) one.dropped = "no token that the model scores";
      if (!one.dropped.empty()) continue;
      raw.push_back(completion_score(own, model_, reading_));
      one.score = shown_score(raw.back(), reading_);
      one.rows = row_values(own, reading_);
      if (reading_.has_rows()) one.head = std::move(own);
      if (std::isfinite(one.score)) continue;
      one.dropped = "the score is not finite";
      raw.pop_back();
    }
    const bool is_pair = entry.form == RecordScores::Form::pair || entry.form == RecordScores::Form::judged;
    if (is_pair && raw.size() == 2 && reading_.calibrated && reading_.compares) {
      entry.first_better = sigmoid(pair_logit(raw[0], raw[1], reading_));
    }
    if (raw.empty()) {
      entry.dropped = entry.completions.front().dropped;
      entry.completions.clear();
    }
  }
  waiting_.clear();
  waiting_tokens_ = 0;
  return std::exchange(entries_, {});
}

MERIT_INLINE void RecordScorer::check_form(RecordForm form, const SourcePosition& at) const {
  merit::check_form(form, is_features(saved_.backbone), at);
}

MERIT_INLINE void RecordScorer::drop(RecordScores entry, std::string reason) {
  entry.dropped = std::move(reason);
  entries_.push_back(std::move(entry));
}

MERIT_INLINE void RecordScorer::add_family(RecordScores entry, std::vector<Sequence> sequences) {
  if (const auto* features = std::get_if<Features>(&saved_.backbone)) {
    for (const Sequence& sequence : sequences) {
      if (sequence.features.size() == features->width) continue;
      throw DataError(concat(entry.source.text(), ": found ", sequence.features.size(),
                             " features, expected ", features->width, ", the width of the model"));
    }
  }
  Index next = 0;
  for (CompletionScore& one : entry.completions) {
    if (one.dropped.empty()) one.tokens = sequences[next++].tokens.size();
  }
  for (const Sequence& sequence : sequences) waiting_tokens_ += sequence.tokens.size();
  entries_.push_back(std::move(entry));
  waiting_.push_back(std::move(sequences));
}

MERIT_INLINE void RecordScorer::add_sides(RecordScores entry, std::vector<Sequence> sequences) {
  entry.completions.resize(sequences.size());
  if (!is_features(saved_.backbone)) {
    std::vector<Sequence*> all;
    for (Sequence& sequence : sequences) all.push_back(&sequence);
    const auto fates = detail::shorten_each(all, saved_.tokenize, entry.source, counts_);
    for (Index i = 0; i < fates.size(); ++i) {
      entry.completions[i].cut = sequences[i].cut;
      entry.completions[i].dropped = detail::record_scorer::reason(fates[i]);
    }
  }
  add_scored(std::move(entry), std::move(sequences));
}

MERIT_INLINE void RecordScorer::add_completions(const CompletionsRecord& completions, RecordScores entry) {
  if (scores_steps()) return add_each(std::move(entry), completions, completions.completions);
  add_sides(std::move(entry), detail::sequences_of_group(completions, *saved_.tokenizer, saved_.tokenize));
}

/// Of the sequences, one a completion, those of completions without a score do not count.
MERIT_INLINE void RecordScorer::add_scored(RecordScores entry, std::vector<Sequence> sequences) {
  std::vector<Sequence> scored;
  for (Index i = 0; i < sequences.size(); ++i) {
    if (entry.completions[i].dropped.empty()) scored.push_back(std::move(sequences[i]));
  }
  if (!scored.empty()) return add_family(std::move(entry), std::move(scored));
  std::string reason = entry.completions.front().dropped;
  entry.completions.clear();
  drop(std::move(entry), std::move(reason));
}

MERIT_INLINE void RecordScorer::add_steps(const StepsRecord& record, RecordScores entry) {
  const DataCounts before = counts_;
  auto example = tokenize(record, *saved_.tokenizer, saved_.tokenize, counts_);
  if (!example) {
    return drop(std::move(entry), detail::record_scorer::reason_of_steps(before, counts_));
  }
  entry.completions = {{.cut = example->sequence.cut, .rows_of = record.labels.size()}};
  std::vector<Sequence> sequences;
  sequences.push_back(std::move(example->sequence));
  add_family(std::move(entry), std::move(sequences));
}

template <class Record>
void RecordScorer::add_each(RecordScores entry, const Record& record,
                            const std::vector<TextOrMessages>& completions) {
  std::vector<Sequence> sequences;
  for (const TextOrMessages& completion : completions) {
    CompletionRecord one;
    one.form = record.form;
    one.prompt = record.prompt;
    one.inputs = record.inputs;
    one.completion = completion;
    one.source = record.source;
    const DataCounts before = counts_;
    auto example = tokenize_as_steps(one, *saved_.tokenizer, saved_.tokenize, counts_);
    CompletionScore& of_one = entry.completions.emplace_back();
    of_one.rows_of = as_steps(one, saved_.tokenize).completions.size();
    of_one.cut = example ? example->sequence.cut : counts_.dropped_cut != before.dropped_cut;
    if (example) {
      sequences.push_back(std::move(example->sequence));
    } else {
      of_one.dropped = detail::record_scorer::reason_of_steps(before, counts_);
      sequences.emplace_back();
    }
  }
  add_scored(std::move(entry), std::move(sequences));
}

}  // namespace MERIT_ABI
}  // namespace merit
