// Scores of branches of a search over steps through a session: the prompt and the steps of the branches that stay are computed
// once, each new step by itself.
//
//   Session session(model);
//   SessionStepScorer scorer(session, model, [&](std::span<const std::string> steps) -> Sequence { … });
//   const auto result = search_steps<std::string>(propose, finished, scorer, {.beam_width = 4});
#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/infer/session_paths.hpp"
#include "merit/infer/session_types.hpp"
#include "merit/infer/step_search.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Scores branches as ModelStepScorer does, to the bit on the reference backend. Nodes of branches that can no longer grow are
/// released, all of them at the end of a search.
///
/// `S` is a Session with its model, or an AnySession with its AnyModel. `to_sequence(steps)` gives the tokens of the prompt
/// and these steps, with an end for each step; what stands behind the last of them, as an end of sequence, is computed where
/// the head reads there, and is not kept.
template <class S, class Model, class ToSequence>
class SessionStepScorer {
 public:
  /// Session and model must outlive the scorer.
  SessionStepScorer(S& session, Model& model, ToSequence to_sequence, const ProbabilityOptions& options = {})
      : paths_(session), model_(&model), to_sequence_(std::move(to_sequence)), options_(options) {}

  /// Throws UsageError when a sequence of a process model has not as many step ends as its branch has steps, or its head
  /// reads no row of one, and what the session throws, as for more tokens than the model has positions.
  template <class Step>
  NewestStepScores operator()(std::span<const StepBranch<Step>> branches) {
    const SessionCounts before = session().counts();
    std::vector<Read> reads;
    std::vector<std::vector<Token>> prompts, kept;
    for (const StepBranch<Step>& branch : branches) {
      const Read& read = reads.emplace_back(read_of(branch));
      const auto tokens = std::span(read.sequence.tokens);
      if (read.sequence.completion_begin != 0 && read.sequence.completion_begin <= read.kept) {
        const auto prompt = tokens.first(read.sequence.completion_begin);
        prompts.emplace_back(prompt.begin(), prompt.end());
      }
      kept.emplace_back(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(read.kept));
    }
    // Of the prompts too: a branch may be read at the last token of its own.
    const auto takes_several = [](const Read& read) { return read.at == Read::At::several; };
    const bool one_row = std::none_of(reads.begin(), reads.end(), takes_several);
    const auto note = [&](Index path, Index number) {
      if (one_row) paths_[path].score = score_at(number);
    };
    paths_.extend(prompts, note);
    const std::vector<Index> places = paths_.extend(kept, note);

    NewestStepScores newest;
    std::vector<SessionBranch> behind;
    for (Index i = 0; i < reads.size(); ++i) {
      const Read& read = reads[i];
      if (read.at == Read::At::behind) {
        const Index end = read.position + 1;
        behind.push_back(
            {paths_[places[i]].node, std::span(read.sequence.tokens).subspan(read.kept, end - read.kept)});
      }
    }
    const std::vector<SessionNode> ends = session().extend(std::span<const SessionBranch>(behind));
    Index number = 0;
    for (Index i = 0; i < reads.size(); ++i) {
      switch (reads[i].at) {
        case Read::At::kept: newest.scores.push_back(paths_[places[i]].score.value()); break;
        case Read::At::behind: newest.scores.push_back(score_at(number++)); break;
        case Read::At::several: newest.scores.push_back(0); break;
      }
    }
    for (const SessionNode& end : ends) session().release(end);
    for (Index i = 0; i < reads.size(); ++i) {
      if (reads[i].at != Read::At::several) continue;
      const auto rows = session().score_whole_rows(paths_[places[i]].node, std::span(&reads[i].sequence, 1));
      newest.scores[i] = detail::step_search::branch_score(*model_, rows[0], options_);
    }
    const SessionCounts after = session().counts();
    newest.computed = after.computed - before.computed;
    newest.reused = after.reused - before.reused;
    return newest;
  }

  /// Releases what none of these branches goes on from.
  template <class Step>
  void keep(std::span<const StepBranch<Step>> branches) {
    std::vector<std::vector<Token>> kept;
    for (const StepBranch<Step>& branch : branches) {
      if (branch.finished) continue;
      Read read = read_of(branch);
      read.sequence.tokens.resize(read.kept);
      kept.push_back(std::move(read.sequence.tokens));
    }
    paths_.keep(kept);
  }

 private:
  /// A branch's tokens, how many of them stay, and where its score is read.
  struct Read {
    enum class At { kept, behind, several };  // the last that stays, one behind it, or more rows than one
    Sequence sequence;
    Index kept = 0;
    Index position = 0;
    At at = At::kept;
  };

  template <class Step>
  Read read_of(const StepBranch<Step>& branch) {
    const ScoreMeaning meaning = detail::step_search::meaning_of_scores(*model_);
    Read read{.sequence = to_sequence_(std::span<const Step>(branch.steps))};
    const Sequence& sequence = read.sequence;
    detail::step_search::require_step_ends(meaning, sequence, branch.steps.size());
    std::vector<Index> positions, second;
    read_rows(model_->head(),
              SequenceShape{sequence.tokens.size(), sequence.completion_begin, sequence.step_ends}, positions,
              second);
    if (positions.empty())
      throw UsageError("step search: the head reads no row of a branch, expected one at least");
    read.position = positions.back();
    const Index steps = sequence.step_ends.empty() ? sequence.tokens.size() : sequence.step_ends.back() + 1;
    read.kept = std::min(steps, read.position + 1);
    if (meaning == ScoreMeaning::per_completion && positions.size() != 1) {
      read.kept = steps;
      read.at = Read::At::several;
    } else if (read.position >= read.kept) {
      read.at = Read::At::behind;
    }
    return read;
  }

  /// Of the row of that number among the session's scores.
  double score_at(Index number) const {
    const auto scores = session().scores().subspan(number * model_->outputs(), model_->outputs());
    RowScores row{{}, model_->outputs()};
    for (const auto value : scores) row.values.push_back(static_cast<double>(value));
    return detail::step_search::branch_score(*model_, row, options_);
  }

  S& session() const { return paths_.session(); }

  SessionPaths<S> paths_;
  Model* model_;
  ToSequence to_sequence_;
  ProbabilityOptions options_;
};

}  // namespace MERIT_ABI
}  // namespace merit
