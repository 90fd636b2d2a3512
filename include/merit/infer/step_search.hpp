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
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/score_meaning.hpp"
#include "merit/infer/rerank.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Which branches are grown, and which stay.
enum class StepSearchStrategy : std::uint8_t {
  beam,            // all of the beam are grown, the best beam_width of what comes of them stay
  step_best_of_n,  // a beam of 1: of the proposals of each step the best one stays
  best_first,      // the best beam_width open ones are grown, whatever their lengths; none is crowded out
  diverse_beam,    // beam_width subtrees that do not compete: of the proposals in each the best one stays
};
template <>
inline constexpr std::array<std::string_view, 4> enum_names<StepSearchStrategy>{"beam", "step_best_of_n",
                                                                                "best_first", "diverse_beam"};

/// How wide, how far, and how strictly to search.
struct StepSearchOptions {
  StepSearchStrategy strategy = StepSearchStrategy::beam;
  Index beam_width =
      1;  // branches kept after each round, finished ones among them; of best_first those grown at once
  Index proposals = 4;     // next steps drawn for each branch that is grown, at most most_at_once
  Index max_steps = 64;    // of a solution: longer ones are not finished
  Index expansions = 256;  // of best_first: branches that are grown at most
  double threshold = 0;    // a step that scores below is pruned with its branch; 0: no probability is
  /// Of a branch's scores, to choose what stays and what is best: `last` where a score is of the whole branch, as that of a
  /// model of completions.
  Aggregation aggregation = Aggregation::product;
  AggregateOptions aggregate = {};

  /// Of proposals and of subtrees, which are drawn whatever the search finds: more is a slip of the hand.
  static constexpr Index most_at_once = 65536;

  /// Throws ConfigError naming the first option out of its range.
  void validate() const {
    const auto positive = [](const char* field, Index value) {
      if (value == 0) throw ConfigError(concat("step search: ", field, " is 0, expected at least 1"));
    };
    const auto at_most = [](const char* field, Index value, Index most) {
      if (value <= most) return;
      throw ConfigError(concat("step search: ", field, " is ", value, ", expected at most ", most));
    };
    positive("beam_width", beam_width);
    positive("proposals", proposals);
    positive("max_steps", max_steps);
    positive("expansions", expansions);
    at_most("proposals", proposals, most_at_once);
    if (strategy == StepSearchStrategy::diverse_beam) at_most("beam_width", beam_width, most_at_once);
    if (aggregation == Aggregation::mean_of_last && aggregate.last == 0)
      throw ConfigError("step search: aggregate.last is 0, expected at least 1");
    if (std::isnan(threshold)) throw ConfigError("step search: threshold is not a number");
    if (strategy == StepSearchStrategy::step_best_of_n && beam_width != 1) {
      throw ConfigError(
          concat("step search: beam_width is ", beam_width, ", expected 1 of the strategy step_best_of_n"));
    }
  }
};

/// A solution, or the beginning of one.
template <class Step>
struct StepBranch {
  std::vector<Step> steps = {};
  std::vector<double> scores = {};  // one a step
  double score = 0;                 // the aggregated ones
  bool finished = false;
};

/// Why a search ended.
enum class StepSearchEnd : std::uint8_t {
  finished,    // every branch in the beam is a finished solution; of best_first the best branch is
  all_pruned,  // every branch scored below the threshold, and nothing in the beam was finished
  step_limit,  // branches were left that had max_steps steps and were not finished
  budget,      // of best_first: as many branches were grown as may be
};
template <>
inline constexpr std::array<std::string_view, 4> enum_names<StepSearchEnd>{"finished", "all_pruned",
                                                                           "step_limit", "budget"};

/// What a search found and what it cost.
template <class Step>
struct StepSearchResult {
  std::vector<StepBranch<Step>> solutions;  // all that were finished and not pruned, best first
  StepSearchEnd end = StepSearchEnd::finished;
  Index rounds = 0;
  Index expanded = 0;     // branches that were grown
  Index generated = 0;    // steps asked of the proposer
  Index repeated = 0;     // of those, equal to another of the same branch: neither scored nor kept
  Index pruned = 0;       // branches below the threshold
  Index crowded_out = 0;  // branches above it that found no place in the beam
  Index computed = 0;     // tokens that the scorer computed, shared ones once a round
  Index reused = 0;       // tokens whose keys and values it read in place of that, once a round

  /// The finished solution of the highest score, the first one made of equals; null when there is none.
  const StepBranch<Step>* best() const { return solutions.empty() ? nullptr : &solutions.front(); }
};

/// What a scorer says of some branches: the score of each one's newest step, and what it cost in tokens.
struct NewestStepScores {
  std::vector<double> scores;
  Index computed = 0;
  Index reused = 0;
};

/// Proposes a step after these: (steps so far, number of the sample) → the next. Samples are numbered from 0
/// over the whole search, so that a policy that draws from (seed, number) gives the same search again.
template <class Propose, class Step>
concept single_step_proposer = requires(Propose& propose, std::span<const Step> steps, Index sample) {
  { propose(steps, sample) } -> std::convertible_to<Step>;
};

/// Proposes for all branches of a round at once, as a language model does in one forest: (branches, proposals of each,
/// number of the first sample) → the steps, those of the first branch first.
template <class Propose, class Step>
concept round_step_proposer = requires(Propose& propose, std::span<const StepBranch<Step>> branches,
                                       Index proposals, Index sample) {
  { propose(branches, proposals, sample) } -> std::convertible_to<std::vector<Step>>;
};
template <class Propose, class Step>
concept step_proposer = single_step_proposer<Propose, Step> || round_step_proposer<Propose, Step>;

/// Scores the newest step of each branch, all branches of a round at once. One that keeps what it computed may have a
/// member keep(branches): after each round it is told which branches may still grow, at the end none.
template <class Score, class Step>
concept step_scorer = requires(Score& score, std::span<const StepBranch<Step>> branches) {
  { score(branches) } -> std::convertible_to<NewestStepScores>;
};

namespace detail::step_search {

template <class Step>
void sort_best_first(std::vector<StepBranch<Step>>& branches) {
  std::stable_sort(branches.begin(), branches.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
}

/// The next steps of all parents, those of the first one first.
template <class Step, class Propose>
std::vector<Step> proposed(Propose& propose, std::span<const StepBranch<Step>> parents, Index proposals,
                           Index first_sample) {
  std::vector<Step> steps;
  if constexpr (round_step_proposer<Propose, Step>) {
    steps = propose(parents, proposals, first_sample);
    if (steps.size() != parents.size() * proposals) {
      throw UsageError(concat("search_steps: the proposer gave ", steps.size(), " steps, expected ",
                              parents.size() * proposals, ", ", proposals, " a branch"));
    }
  } else {
    for (const StepBranch<Step>& parent : parents) {
      for (Index k = 0; k < proposals; ++k)
        steps.push_back(propose(std::span<const Step>(parent.steps), first_sample + steps.size()));
    }
  }
  return steps;
}

/// Takes from the pool, which is sorted best first, what is grown next: nothing when the search has ended, and then says why.
template <class Step>
std::vector<StepBranch<Step>> take_parents(std::vector<StepBranch<Step>>& pool,
                                           const StepSearchOptions& options, StepSearchResult<Step>& result) {
  const bool best_first = options.strategy == StepSearchStrategy::best_first;
  const auto too_long = [&](const auto& branch) {
    return !branch.finished && branch.steps.size() >= options.max_steps;
  };
  const auto is_open = [](const auto& branch) { return !branch.finished; };
  if (std::any_of(pool.begin(), pool.end(), too_long)) {
    result.end = StepSearchEnd::step_limit;
    if (!best_first) return {};
    std::erase_if(pool, too_long);  // others may still come to an end
  }
  if (pool.empty()) {
    if (result.end != StepSearchEnd::step_limit) result.end = StepSearchEnd::all_pruned;
    return {};
  }
  if (best_first ? pool.front().finished : std::none_of(pool.begin(), pool.end(), is_open)) {
    result.end = StepSearchEnd::finished;
    return {};
  }
  Index most = pool.size();
  if (best_first) most = std::min(options.beam_width, options.expansions - result.expanded);
  if (most == 0) result.end = StepSearchEnd::budget;
  std::vector<StepBranch<Step>> parents, others;
  for (StepBranch<Step>& branch : pool)
    (parents.size() < most && !branch.finished ? parents : others).push_back(std::move(branch));
  pool = std::move(others);
  return parents;
}

}  // namespace detail::step_search

/// Search over steps with pruning (the guided search of Lightman et al.'s models in use; Snell et al. 2024).
///
/// Round by round: `proposals` next steps are drawn for the branches that are grown; equal ones of one branch count once.
/// The scorer sees all new branches at once. Those whose new step is below the threshold are pruned. Of the others,
///
/// - `beam` keeps the best `beam_width`, the finished branches already in the beam among them, by aggregated score, the
///   older first where scores are equal; `step_best_of_n` is a beam of 1;
/// - `diverse_beam` (the diverse verifier tree search of Beeching et al. 2024) keeps the best child of each branch, so that
///   `beam_width` searches of their own go on side by side;
/// - `best_first` keeps all and grows the best open ones next.
///
/// `finished(steps)` says which are solutions. The search ends when the beam holds nothing else, or nothing at all; best_first
/// when the best branch is a solution, or its budget is used up. A finished solution that left the beam is still among the
/// result's.
///
/// With scores that are exact (1 for a sound step, 0 for a bad one) and a threshold between, no sound branch
/// is ever pruned.
///
/// Throws ConfigError on bad options, UsageError when the scorer gives another number of scores than
/// branches or the proposer of steps, DataError when a score is not finite (or, for the product, no probability).
template <class Step, class Propose, class Finished, class Score>
requires std::equality_comparable<Step> && step_proposer<Propose, Step> && step_scorer<Score, Step>
    StepSearchResult<Step> search_steps(Propose&& propose, Finished&& finished, Score&& score,
                                        const StepSearchOptions& options = {}) {
  options.validate();
  using Branch = StepBranch<Step>;
  const bool diverse = options.strategy == StepSearchStrategy::diverse_beam;
  const bool best_first = options.strategy == StepSearchStrategy::best_first;
  StepSearchResult<Step> result;
  std::vector<Branch> pool(diverse ? options.beam_width : 1);  // the empty solution
  const auto keep = [&](std::span<const Branch> branches) {
    if constexpr (requires { score.keep(branches); }) score.keep(branches);
  };

  while (true) {
    const std::vector<Branch> parents = detail::step_search::take_parents(pool, options, result);
    if (parents.empty()) break;
    ++result.rounds;
    result.expanded += parents.size();
    std::vector<Step> steps =
        detail::step_search::proposed<Step>(propose, std::span(parents), options.proposals, result.generated);
    result.generated += steps.size();

    std::vector<Branch> grown;
    std::vector<Index> family;  // the parent of each
    for (Index i = 0; i < steps.size(); ++i) {
      const Index parent = i / options.proposals;
      const auto siblings = steps.begin() + static_cast<std::ptrdiff_t>(parent * options.proposals);
      const auto own = steps.begin() + static_cast<std::ptrdiff_t>(i);
      if (std::find(siblings, own, *own) != own) {
        ++result.repeated;
        continue;
      }
      grown.push_back(parents[parent]);
      grown.back().steps.push_back(*own);
      family.push_back(parent);
    }

    const NewestStepScores newest = score(std::span<const Branch>(grown));
    if (newest.scores.size() != grown.size()) {
      throw UsageError(concat("search_steps: the scorer gave ", newest.scores.size(), " scores, expected ",
                              grown.size(), ", one a branch"));
    }
    detail::require_scores("search_steps", newest.scores);
    result.computed += newest.computed;
    result.reused += newest.reused;

    std::vector<Branch> children;
    std::vector<Index> parent_of;
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
      if (!diverse || parent_of.empty() || parent_of.back() != family[i]) {
        children.push_back(std::move(branch));
        parent_of.push_back(family[i]);
        continue;
      }
      ++result.crowded_out;
      if (branch.score > children.back().score) children.back() = std::move(branch);
    }
    for (Branch& child : children) pool.push_back(std::move(child));
    detail::step_search::sort_best_first(pool);
    if (!best_first && pool.size() > options.beam_width) {
      result.crowded_out += pool.size() - options.beam_width;
      pool.resize(options.beam_width);
    }
    keep(pool);
  }
  keep({});
  detail::step_search::sort_best_first(result.solutions);
  return result;
}

namespace detail::step_search {

template <class Model>
ScoreMeaning meaning_of_scores(const Model& model) {
  if constexpr (requires { Model::HeadType::meaning; }) {
    return Model::HeadType::meaning;
  } else {
    return model.meaning();
  }
}

/// What a model says of a branch, of the rows that its head reads there: of steps the newest, of tokens and states the last.
template <class Model>
double branch_score(const Model& model, const RowScores& rows, const ProbabilityOptions& options) {
  const ScoreMeaning meaning = meaning_of_scores(model);
  if (meaning == ScoreMeaning::per_completion) {
    if constexpr (requires { model.merged(rows.values); }) {
      return model.merged(rows.values);
    } else {
      std::vector<std::uint32_t> numbers(rows.rows());
      std::iota(numbers.begin(), numbers.end(), 0U);
      return completion_score(model, rows.values, numbers);
    }
  }
  const std::span<const double> newest = rows.row(rows.rows() - 1);
  return meaning == ScoreMeaning::per_state ? newest[0] : good_probability(newest, options);
}

/// Throws UsageError when a branch's sequence has not as many step ends as steps, where the model reads them.
inline void require_step_ends(ScoreMeaning meaning, const Sequence& sequence, Index steps) {
  if (meaning != ScoreMeaning::per_step || sequence.step_ends.size() == steps) return;
  throw UsageError(concat("step search: a sequence of ", steps, " steps has ", sequence.step_ends.size(),
                          " step ends, expected one each"));
}

}  // namespace detail::step_search

/// Scores branches with a model: of a process model the probability that each one's newest step is good; of an outcome model
/// that the branch so far is right, by its last token (the verifier of Cobbe et al. 2021); of a model of values or of
/// completions what it says of the branch so far. All branches are one tree, so that the prompt and the steps they share are
/// computed once a round; infer/session_step_scorer.hpp computes them once a search.
///
/// `to_sequence(steps)` gives the tokens of the prompt and these steps, with an end for each step.
template <class Model, class ToSequence>
class ModelStepScorer {
  static_assert(Model::HeadType::meaning != ScoreMeaning::next_token,
                "merit: ModelStepScorer scores branches, but this model's head gives logits of a vocabulary: "
                "use a reward model, such as ProcessRewardModel.");

 public:
  /// The model must outlive the scorer.
  ModelStepScorer(Model& model, ToSequence to_sequence, const ProbabilityOptions& options = {})
      : model_(&model), to_sequence_(std::move(to_sequence)), options_(options), builder_(model) {}

  /// Throws UsageError when a sequence of a process model has not as many step ends as its branch has steps.
  template <class Step>
  NewestStepScores operator()(std::span<const StepBranch<Step>> branches) {
    std::vector<Sequence> sequences;
    for (const StepBranch<Step>& branch : branches) {
      sequences.push_back(to_sequence_(std::span<const Step>(branch.steps)));
      detail::step_search::require_step_ends(Model::HeadType::meaning, sequences.back(), branch.steps.size());
    }
    const PromptCompletions tree{sequences};
    builder_.clear();
    const Index first = builder_.add(tree);
    builder_.finish();
    const auto scores = model_->score(builder_.forest());
    NewestStepScores newest;
    newest.computed = builder_.token_count();
    for (Index i = 0; i < branches.size(); ++i) {
      RowScores rows{{}, model_->outputs()};
      for (const std::uint32_t row : builder_.rows(first + i))
        detail::append_row(*model_, scores, row, rows.values);
      newest.scores.push_back(detail::step_search::branch_score(*model_, rows, options_));
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
