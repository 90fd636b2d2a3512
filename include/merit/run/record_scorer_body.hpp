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

MERIT_INLINE void RecordScorer::add(const CompletionRecord& record) {
  check_form(record.form, record.source);
  RecordScores entry{.source = record.source};
  if (scores_steps()) return add_steps(as_steps(record, saved_.tokenize), std::move(entry));
  TokenizedCompletion result = tokenize(record, *saved_.tokenizer, saved_.tokenize, counts_);
  switch (result.fate) {
    case CompletionFate::kept: break;
    case CompletionFate::over_long: return drop(std::move(entry), "too long");
    case CompletionFate::empty: return drop(std::move(entry), "no tokens in the completion");
  }
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
  record.labels.assign(record.labels.size(),
                       true);  // scored, not judged: without a label it would be left out
  add_steps(record, {.source = record.source});
}

MERIT_INLINE void RecordScorer::add(const PreferenceRecord& record) {
  check_form(record.form, record.source);
  RecordScores entry{.source = record.source, .form = RecordScores::Form::pair};
  if (scores_steps()) return add_each(std::move(entry), record, {record.chosen, record.rejected});
  const DataCounts before = counts_;
  auto example = tokenize(record, *saved_.tokenizer, saved_.tokenize, counts_);
  if (!example) return drop(std::move(entry), reason_since(before, "both sides are equal"));
  std::vector<Sequence> sequences;
  sequences.push_back(std::move(example->chosen));
  sequences.push_back(std::move(example->rejected));
  add_family(std::move(entry), std::move(sequences));
}

MERIT_INLINE void RecordScorer::add(const CompletionsRecord& completions) {
  check_form(completions.form, completions.source);
  add_completions(completions, {.source = completions.source, .form = RecordScores::Form::several},
                  "all completions are equal");
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
  add_completions(both, {.source = record.source, .form = RecordScores::Form::judged},
                  "both answers are equal");
}

MERIT_INLINE std::vector<RecordScores> RecordScorer::flush() {
  std::vector<Family> families;
  for (const auto& sequences : waiting_) {
    Family& family = families.emplace_back();
    for (const Sequence& sequence : sequences) family.members.push_back(&sequence);
  }
  const auto rows = model_.score_families(families, batch_tokens_);
  Index next = 0;
  for (RecordScores& entry : entries_) {
    if (!entry.dropped.empty()) continue;
    for (CompletionScore& one : entry.completions) {
      const RowScores& own = rows[next++];
      for (const double value : own.values) {
        if (!std::isfinite(value)) entry.dropped = "the score is not finite";
      }
      if (own.rows() == 0) entry.dropped = "no token that the model scores";
      if (!entry.dropped.empty()) continue;
      one = {shown_score(completion_score(own, model_, reading_), reading_), row_values(own, reading_)};
      if (!std::isfinite(one.score)) entry.dropped = "the score is not finite";
    }
    if (!entry.dropped.empty()) entry.completions.clear();
  }
  waiting_.clear();
  waiting_tokens_ = 0;
  return std::exchange(entries_, {});
}

MERIT_INLINE void RecordScorer::check_form(RecordForm form, const SourcePosition& at) const {
  merit::check_form(form, is_features(saved_.backbone), at);
}

MERIT_INLINE std::string RecordScorer::reason_since(const DataCounts& before, const char* equal) const {
  if (counts_.dropped_over_long != before.dropped_over_long) return "too long";
  return counts_.dropped_equal != before.dropped_equal ? equal : "no tokens in a completion";
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
  for (const Sequence& sequence : sequences) waiting_tokens_ += sequence.tokens.size();
  entry.completions.resize(sequences.size());
  entries_.push_back(std::move(entry));
  waiting_.push_back(std::move(sequences));
}

MERIT_INLINE void RecordScorer::add_completions(const CompletionsRecord& completions, RecordScores entry,
                                                const char* equal) {
  if (scores_steps()) return add_each(std::move(entry), completions, completions.completions);
  RankedGroup group;
  const DataCounts before = counts_;
  if (!detail::tokenize_group(completions, true, *saved_.tokenizer, saved_.tokenize, counts_, group)) {
    return drop(std::move(entry), reason_since(before, equal));
  }
  add_family(std::move(entry), std::move(group.completions));
}

MERIT_INLINE void RecordScorer::add_steps(const StepsRecord& record, RecordScores entry) {
  const DataCounts before = counts_;
  auto example = tokenize(record, *saved_.tokenizer, saved_.tokenize, counts_);
  if (!example) return drop(std::move(entry), reason_since(before, ""));
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
    auto example = tokenize(as_steps(one, saved_.tokenize), *saved_.tokenizer, saved_.tokenize, counts_);
    if (!example) return drop(std::move(entry), reason_since(before, ""));
    sequences.push_back(std::move(example->sequence));
  }
  add_family(std::move(entry), std::move(sequences));
}

}  // namespace MERIT_ABI
}  // namespace merit
