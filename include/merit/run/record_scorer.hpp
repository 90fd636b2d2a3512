// Records of any form to scores: collected, scored together, answered in their order.
#pragma once

#include <cmath>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/records/record.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/saved_model.hpp"
#include "merit/tokens/data_counts.hpp"
#include "merit/tokens/steps_of_text.hpp"
#include "merit/tokens/tokenize.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a model says of one completion.
struct CompletionScore {
  double score = 0;
  std::vector<double> rows = {};  // each token's or step's probability, or each state's value
};

/// What a model says of one record.
struct RecordScores {
  enum class Form { one, pair, judged, several };

  SourcePosition source = {};
  Form form = Form::one;
  std::vector<CompletionScore> completions =
      {};                    // chosen before rejected, a before b; none where it was dropped
  std::string dropped = {};  // why nothing was scored; empty: all was

  /// The completions' numbers, best first; equal scores in the order they came.
  std::vector<Index> order() const {
    std::vector<Index> order(completions.size());
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](Index a, Index b) { return completions[a].score > completions[b].score; });
    return order;
  }
};

/// Collects records, and scores together what waits. All completions of a record are scored or none.
class RecordScorer {
 public:
  /// All three must outlive the scorer. `batch_tokens` bounds what is computed at once.
  RecordScorer(AnyModel& model, const SavedModel& saved, const Reading& reading, Index batch_tokens)
      : model_(model), saved_(saved), reading_(reading), batch_tokens_(batch_tokens) {}

  void add(const CompletionRecord& record) {
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

  void add(StepsRecord record) {
    check_form(record.form, record.source);
    if (!scores_steps()) {
      throw DataError(record.source.text() +
                      ": found a record of steps, expected completions for a model that scores no steps");
    }
    record.labels.assign(record.labels.size(),
                         true);  // scored, not judged: without a label it would be left out
    add_steps(record, {.source = record.source});
  }

  void add(const PreferenceRecord& record) {
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

  /// The completions of one prompt, ranked or not.
  void add(const CompletionsRecord& completions) {
    check_form(completions.form, completions.source);
    add_completions(completions, {.source = completions.source, .form = RecordScores::Form::several},
                    "all completions are equal");
  }

  /// The two answers that a judge compares, in their order.
  void add(const JudgeRecord& record) {
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

  bool scores_steps() const { return reading_.meaning == ScoreMeaning::per_step; }
  /// Whether as much waits as is computed at once.
  bool full() const { return waiting_tokens_ >= batch_tokens_ || entries_.size() >= 4096; }
  Index waiting() const { return entries_.size(); }
  const DataCounts& counts() const { return counts_; }

  /// Scores everything that waits; the records in the order in which they came.
  std::vector<RecordScores> flush() {
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
      }
      if (!entry.dropped.empty()) entry.completions.clear();
    }
    waiting_.clear();
    waiting_tokens_ = 0;
    return std::exchange(entries_, {});
  }

 private:
  void check_form(RecordForm form, const SourcePosition& at) const {
    merit::check_form(form, is_features(saved_.backbone), at);
  }

  std::string reason_since(const DataCounts& before, const char* equal) const {
    if (counts_.dropped_over_long != before.dropped_over_long) return "too long";
    return counts_.dropped_equal != before.dropped_equal ? equal : "no tokens in a completion";
  }

  void drop(RecordScores entry, std::string reason) {
    entry.dropped = std::move(reason);
    entries_.push_back(std::move(entry));
  }

  void add_family(RecordScores entry, std::vector<Sequence> sequences) {
    if (const auto* features = std::get_if<Features>(&saved_.backbone)) {
      for (const Sequence& sequence : sequences) {
        if (sequence.features.size() == features->width) continue;
        throw DataError(detail::concat(entry.source.text(), ": found ", sequence.features.size(),
                                       " features, expected ", features->width, ", the width of the model"));
      }
    }
    for (const Sequence& sequence : sequences) waiting_tokens_ += sequence.tokens.size();
    entry.completions.resize(sequences.size());
    entries_.push_back(std::move(entry));
    waiting_.push_back(std::move(sequences));
  }

  void add_completions(const CompletionsRecord& completions, RecordScores entry, const char* equal) {
    if (scores_steps()) return add_each(std::move(entry), completions, completions.completions);
    RankedGroup group;
    const DataCounts before = counts_;
    if (!detail::tokenize_group(completions, true, *saved_.tokenizer, saved_.tokenize, counts_, group)) {
      return drop(std::move(entry), reason_since(before, equal));
    }
    add_family(std::move(entry), std::move(group.completions));
  }

  void add_steps(const StepsRecord& record, RecordScores entry) {
    const DataCounts before = counts_;
    auto example = tokenize(record, *saved_.tokenizer, saved_.tokenize, counts_);
    if (!example) return drop(std::move(entry), reason_since(before, ""));
    std::vector<Sequence> sequences;
    sequences.push_back(std::move(example->sequence));
    add_family(std::move(entry), std::move(sequences));
  }

  /// Completions that a model of steps cuts at its separator.
  template <class Record>
  void add_each(RecordScores entry, const Record& record, const std::vector<TextOrMessages>& completions) {
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

  AnyModel& model_;
  const SavedModel& saved_;
  const Reading& reading_;
  Index batch_tokens_;
  DataCounts counts_;
  std::vector<RecordScores> entries_;
  std::vector<std::vector<Sequence>> waiting_;  // of the entries that are scored, in order
  Index waiting_tokens_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
