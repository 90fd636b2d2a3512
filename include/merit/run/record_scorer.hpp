// Records of any form to scores: collected, scored together, answered in their order.
#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <string>
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
  RecordScorer(AnyModel&, const SavedModel&&, const Reading&, Index) = delete;  // it would end with the call
  RecordScorer(AnyModel&, const SavedModel&, const Reading&&, Index) = delete;
  RecordScorer(AnyModel&, const SavedModel&&, const Reading&&, Index) = delete;

  void add(const CompletionRecord& record);
  void add(StepsRecord record);
  void add(const PreferenceRecord& record);

  /// The completions of one prompt, ranked or not.
  void add(const CompletionsRecord& completions);

  /// The two answers that a judge compares, in their order.
  void add(const JudgeRecord& record);

  bool scores_steps() const { return reading_.meaning == ScoreMeaning::per_step; }
  /// Whether as much waits as is computed at once.
  bool full() const { return waiting_tokens_ >= batch_tokens_ || entries_.size() >= 4096; }
  Index waiting() const { return entries_.size(); }
  const DataCounts& counts() const { return counts_; }

  /// Scores everything that waits; the records in the order in which they came.
  std::vector<RecordScores> flush();

 private:
  void check_form(RecordForm form, const SourcePosition& at) const;
  std::string reason_since(const DataCounts& before, const char* equal) const;
  void drop(RecordScores entry, std::string reason);
  void add_family(RecordScores entry, std::vector<Sequence> sequences);
  void add_completions(const CompletionsRecord& completions, RecordScores entry, const char* equal);
  void add_steps(const StepsRecord& record, RecordScores entry);

  /// Completions that a model of steps cuts at its separator.
  template <class Record>
  void add_each(RecordScores entry, const Record& record, const std::vector<TextOrMessages>& completions);

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

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/record_scorer_body.hpp"
#endif
