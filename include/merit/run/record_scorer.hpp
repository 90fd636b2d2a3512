// Records of any form to scores: collected, scored together, answered in their order.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/infer/rerank.hpp"
#include "merit/infer/score.hpp"
#include "merit/records/record.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/kept_prompts.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/saved_model.hpp"
#include "merit/tokens/data_counts.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a model says of one completion: a score, or why it has none.
struct CompletionScore {
  double score = 0;
  std::vector<double> rows = {};  // each token's or step's probability, or each state's value
  RowScores head = {};       // what the head itself says of each of these: a logit, one a class, or a value
  bool cut = false;          // a limit on length took tokens of it or of its prompt
  Index rows_of = 0;         // steps that it has; more than `rows` where a cut took some
  Index tokens = 0;          // that were read of it and of its prompt; 0 for vectors
  std::string dropped = {};  // why it has no score; empty: it has
};

/// What a model says of one record.
struct RecordScores {
  enum class Form { one, pair, judged, several };

  SourcePosition source = {};
  Form form = Form::one;
  // Chosen before rejected, a before b; none where none has a score.
  std::vector<CompletionScore> completions = {};
  std::string dropped = {};  // why no completion has a score; empty: one has
  std::string error = {};    // what is wrong with the record, where it could not be read
  /// The probability that the first of a pair is the better one, where the reading is calibrated on pairs.
  std::optional<double> first_better = {};

  /// The numbers of the completions that have a score, best first; equal scores in the order they came, and
  /// cut ones last, as far as `rank_cut` says.
  std::vector<Index> order(RankCut rank_cut = RankCut::last) const;

  /// The rank of each completion in that order: 0 for the best, equal scores share one; nothing where there
  /// is no score.
  std::vector<std::optional<Index>> ranks(RankCut rank_cut = RankCut::last) const;
};

/// Collects records, and scores together what waits. A completion that has no score takes no other with it.
class RecordScorer {
 public:
  /// All must outlive the scorer. `batch_tokens` bounds what is computed at once; `kept`: where prompts are kept, if they are.
  RecordScorer(AnyModel& model, const SavedModel& saved, const Reading& reading, Index batch_tokens,
               KeptPrompts* kept = nullptr)
      : model_(model), saved_(saved), reading_(reading), batch_tokens_(batch_tokens), kept_(kept) {}
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

  /// Keeps the place of a record that could not be read, and what is wrong with it.
  void add_error(const SourcePosition& at, std::string error);

  bool scores_steps() const { return reading_.meaning == ScoreMeaning::per_step; }
  /// Whether as much waits as is computed at once.
  bool full() const { return waiting_tokens_ >= batch_tokens_ || entries_.size() >= 4096; }
  Index waiting() const { return entries_.size(); }
  const DataCounts& counts() const { return counts_; }

  /// Scores everything that waits; the records in the order in which they came.
  std::vector<RecordScores> flush();

 private:
  void check_form(RecordForm form, const SourcePosition& at) const;
  void drop(RecordScores entry, std::string reason);
  void add_family(RecordScores entry, std::vector<Sequence> sequences);
  void add_scored(RecordScores entry, std::vector<Sequence> sequences);
  void add_sides(RecordScores entry, std::vector<Sequence> sequences);
  void add_completions(const CompletionsRecord& completions, RecordScores entry);
  void add_steps(const StepsRecord& record, RecordScores entry);

  /// Completions that a model of steps cuts at its separator.
  template <class Record>
  void add_each(RecordScores entry, const Record& record, const std::vector<TextOrMessages>& completions);

  AnyModel& model_;
  const SavedModel& saved_;
  const Reading& reading_;
  Index batch_tokens_;
  KeptPrompts* kept_;
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
