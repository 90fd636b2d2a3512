// Search over reasoning steps: several next steps are proposed for each branch, a model scores them, bad ones
// are pruned before anything is built on them.
//
//   auto propose = [&](std::span<const std::string> steps, Index sample) -> std::string { … };
//   auto finished = [](std::span<const std::string> steps) { return steps.back().starts_with("A: "); };
//   ModelStepScorer scorer(model, [&](std::span<const std::string> steps) -> Sequence { … });
//   const auto result = search_steps<std::string>(propose, finished, scorer, {.beam_width = 2});
//   if (result.best()) …
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/infer/rerank.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How wide, how far, and how strictly to search.
struct StepSearchOptions {
  Index beam_width = 1;  // branches kept after each round, finished ones among them
  Index proposals = 4;   // next steps drawn for each branch that is not finished
  Index max_steps = 64;  // of a solution: longer ones are not finished
  double threshold = 0;  // a step that scores below is pruned with its branch; 0: no probability is
  Aggregation aggregation = Aggregation::product;  // of a branch's steps, to choose the beam and the best
  AggregateOptions aggregate = {};

  /// Throws ConfigError naming the first option out of its range.
  void validate() const {
    const auto positive = [](const char* field, Index value) {
      if (value == 0) throw ConfigError(concat("step search: ", field, " is 0, expected at least 1"));
    };
    positive("beam_width", beam_width);
    positive("proposals", proposals);
    positive("max_steps", max_steps);
    if (std::isnan(threshold)) throw ConfigError("step search: threshold is not a number");
  }
};

/// A solution, or the beginning of one.
template <class Step>
struct StepBranch {
  std::vector<Step> steps;
  std::vector<double> scores;  // one a step
  double score = 0;            // the aggregated ones
  bool finished = false;
};

/// Why a search ended.
enum class StepSearchEnd : std::uint8_t {
  finished,    // every branch in the beam is a finished solution
  all_pruned,  // every branch scored below the threshold, and nothing in the beam was finished
  step_limit,  // branches were left that had max_steps steps and were not finished
};
template <>
inline constexpr std::array<std::string_view, 3> enum_names<StepSearchEnd>{"finished", "all_pruned",
                                                                           "step_limit"};

/// What a search found and what it cost.
template <class Step>
struct StepSearchResult {
  std::vector<StepBranch<Step>> solutions;  // all that were finished and not pruned, best first
  StepSearchEnd end = StepSearchEnd::finished;
  Index rounds = 0;
  Index generated = 0;    // steps asked of the proposer
  Index repeated = 0;     // of those, equal to another of the same branch: neither scored nor kept
  Index pruned = 0;       // branches below the threshold
  Index crowded_out = 0;  // branches above it that found no place in the beam
  Index tokens = 0;       // scored by the model, shared ones once a round

  /// The finished solution of the highest score, the first one made of equals; null when there is none.
  const StepBranch<Step>* best() const { return solutions.empty() ? nullptr : &solutions.front(); }
};

/// What a scorer says of some branches: the score of each one's newest step, and the tokens it looked at.
struct NewestStepScores {
  std::vector<double> scores;
  Index tokens = 0;
};

/// Proposes a step after these: (steps so far, number of the sample) → the next. Samples are numbered from 0
/// over the whole search, so that a policy that draws from (seed, number) gives the same search again.
template <class Propose, class Step>
concept step_proposer = requires(Propose& propose, std::span<const Step> steps, Index sample) {
  { propose(steps, sample) } -> std::convertible_to<Step>;
};

/// Scores the newest step of each branch, all branches of a round at once.
template <class Score, class Step>
concept step_scorer = requires(Score& score, std::span<const StepBranch<Step>> branches) {
  { score(branches) } -> std::convertible_to<NewestStepScores>;
};

/// Beam search over steps with pruning (the guided search of Lightman et al.'s models in use).
///
/// Round by round: `proposals` next steps are drawn for every branch in the beam that is not finished; equal
/// ones of one branch count once. The scorer sees all new branches at once. Those whose new step is below the
/// threshold are pruned, and the best `beam_width` of the others and of the finished branches already in the
/// beam stay, by aggregated score, the older first where scores are equal. `finished(steps)` says which are
/// solutions. The search ends when the beam holds nothing else, or nothing at all.
///
/// With scores that are exact (1 for a sound step, 0 for a bad one) and a threshold between, no sound branch
/// is ever pruned. A finished solution that left the beam is still among the result's solutions.
///
/// Throws ConfigError on bad options, UsageError when the scorer gives another number of scores than
/// branches, DataError when a score is not finite (or, for the product, no probability).
template <class Step, class Propose, class Finished, class Score>
requires std::equality_comparable<Step> && step_proposer<Propose, Step> && step_scorer<Score, Step>
    StepSearchResult<Step> search_steps(Propose&& propose, Finished&& finished, Score&& score,
                                        const StepSearchOptions& options = {}) {
  options.validate();
  using Branch = StepBranch<Step>;
  StepSearchResult<Step> result;
  std::vector<Branch> beam(1);  // the empty solution
  const auto is_open = [](const Branch& branch) { return !branch.finished; };

  while (std::any_of(beam.begin(), beam.end(), is_open)) {
    if (result.rounds == options.max_steps) {
      result.end = StepSearchEnd::step_limit;
      break;
    }
    ++result.rounds;

    std::vector<Branch> grown;
    for (const Branch& parent : beam) {
      if (parent.finished) continue;
      const Index first_child = grown.size();
      for (Index k = 0; k < options.proposals; ++k) {
        Branch child = parent;
        child.steps.push_back(propose(std::span<const Step>(parent.steps), result.generated++));
        const bool known =
            std::any_of(grown.begin() + static_cast<std::ptrdiff_t>(first_child), grown.end(),
                        [&](const Branch& sibling) { return sibling.steps.back() == child.steps.back(); });
        if (known) {
          ++result.repeated;
        } else {
          grown.push_back(std::move(child));
        }
      }
    }

    const NewestStepScores newest = score(std::span<const Branch>(grown));
    if (newest.scores.size() != grown.size()) {
      throw UsageError(concat("search_steps: the scorer gave ", newest.scores.size(), " scores, expected ",
                              grown.size(), ", one a branch"));
    }
    detail::require_scores("search_steps", newest.scores);
    result.tokens += newest.tokens;

    std::erase_if(beam, is_open);
    for (Index i = 0; i < grown.size(); ++i) {
      if (newest.scores[i] < options.threshold) {
        ++result.pruned;
        continue;
      }
      Branch& branch = grown[i];
      branch.scores.push_back(newest.scores[i]);
      branch.score = aggregate(branch.scores, options.aggregation, options.aggregate);
      branch.finished = finished(std::span<const Step>(branch.steps));
      if (branch.finished) result.solutions.push_back(branch);
      beam.push_back(std::move(branch));
    }
    const auto better = [](const Branch& a, const Branch& b) { return a.score > b.score; };
    std::stable_sort(beam.begin(), beam.end(), better);
    if (beam.size() > options.beam_width) {
      result.crowded_out += beam.size() - options.beam_width;
      beam.resize(options.beam_width);
    }
    if (beam.empty()) result.end = StepSearchEnd::all_pruned;
  }
  std::stable_sort(result.solutions.begin(), result.solutions.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
  return result;
}

/// Scores branches with a process reward model: the probability that each one's newest step is good. All
/// branches are one tree, so that the prompt and the steps they share are computed once.
///
/// `to_sequence(steps)` gives the tokens of the prompt and these steps, with an end for each step.
template <class Model, class ToSequence>
class ModelStepScorer {
  static_assert(Model::HeadType::meaning == ScoreMeaning::per_step,
                "merit: ModelStepScorer scores reasoning steps, but this model's head scores something else: "
                "use a process reward model, such as ProcessRewardModel.");

 public:
  /// The model must outlive the scorer.
  ModelStepScorer(Model& model, ToSequence to_sequence, const ProbabilityOptions& options = {})
      : model_(&model), to_sequence_(std::move(to_sequence)), options_(options), builder_(model) {}

  /// Throws UsageError when a sequence has not as many step ends as its branch has steps.
  template <class Step>
  NewestStepScores operator()(std::span<const StepBranch<Step>> branches) {
    std::vector<Sequence> sequences;
    for (const StepBranch<Step>& branch : branches) {
      sequences.push_back(to_sequence_(std::span<const Step>(branch.steps)));
      if (sequences.back().step_ends.size() != branch.steps.size()) {
        throw UsageError(concat("step search: a sequence of ", branch.steps.size(), " steps has ",
                                sequences.back().step_ends.size(), " step ends, expected one each"));
      }
    }
    const PromptCompletions tree{sequences};
    builder_.clear();
    const Index first = builder_.add(tree);
    builder_.finish();
    const auto scores = model_->score(builder_.forest());
    NewestStepScores newest;
    newest.tokens = builder_.token_count();
    std::vector<double> row;
    for (Index i = 0; i < branches.size(); ++i) {
      row.clear();
      detail::append_row(*model_, scores, builder_.rows(first + i).back(), row);
      newest.scores.push_back(good_probability(row, options_));
    }
    return newest;
  }

 private:
  Model* model_;
  ToSequence to_sequence_;
  ProbabilityOptions options_;
  BatchBuilder<Model> builder_;
};

}  // namespace MERIT_ABI
}  // namespace merit
