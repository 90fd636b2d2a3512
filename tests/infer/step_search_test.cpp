// Search over steps: what is proposed, scored, pruned and kept, counted by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "merit/backbone/llama.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/core/rng.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/infer/step_search.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/model/reward_model.hpp"

namespace step_search_test {

using namespace merit;

using Steps = std::vector<int>;
using Branch = StepBranch<int>;

/// Proposes the numbers 0, 1, 2, … in turn.
const auto count_up = [](std::span<const int>, Index sample) { return static_cast<int>(sample); };

/// Scores the newest step by a table, 0.5 where it says nothing; a token a step.
auto by_table(std::map<int, double> table) {
  return [table = std::move(table)](std::span<const Branch> branches) {
    NewestStepScores newest;
    for (const Branch& branch : branches) {
      const auto found = table.find(branch.steps.back());
      newest.scores.push_back(found == table.end() ? 0.5 : found->second);
      newest.tokens += branch.steps.size();
    }
    return newest;
  };
}

auto after(Index steps) {
  return [steps](std::span<const int> so_far) { return so_far.size() == steps; };
}

TEST_CASE("a search of two rounds proposes, scores and keeps exactly what is counted by hand") {
  // Round 1: steps 0, 1, 2 of the root; 1 and 2 stay. Round 2: 3, 4, 5 after 2 (the better), 6, 7, 8 after 1.
  const auto result = search_steps<int>(
      count_up, after(2), by_table({{0, 0.1}, {1, 0.6}, {2, 0.8}, {4, 0.2}, {5, 0.9}, {7, 0.95}}),
      {.beam_width = 2, .proposals = 3, .threshold = 0.3});
  CHECK(result.end == StepSearchEnd::finished);
  CHECK(result.rounds == 2);
  CHECK(result.generated == 9);
  CHECK(result.repeated == 0);
  CHECK(result.pruned == 2);       // 0 and 4
  CHECK(result.crowded_out == 3);  // of 2-3, 2-5, 1-6, 1-7, 1-8
  CHECK(result.tokens == 3 * 1 + 6 * 2);
  CHECK(result.solutions.size() == 5);
  REQUIRE(result.best() != nullptr);
  CHECK(result.best()->steps == Steps{2, 5});
  CHECK(result.best()->scores == std::vector<double>{0.8, 0.9});
  CHECK(result.best()->score == doctest::Approx(std::log(0.8 * 0.9)).epsilon(1e-14));
  CHECK(result.best()->finished);
  CHECK(result.solutions[1].steps == Steps{1, 7});
}

TEST_CASE("the aggregation decides what is best") {
  const auto scores = by_table({{0, 0.9}, {1, 0.4}, {2, 0.3}, {3, 0.3}, {4, 0.5}, {5, 0.5}});
  const auto best = [&](Aggregation aggregation) {
    StepSearchOptions options{.beam_width = 2, .proposals = 2};
    options.aggregation = aggregation;
    return search_steps<int>(count_up, after(2), scores, options).best()->steps;
  };
  CHECK(best(Aggregation::product) == Steps{0, 2});  // .27 against .20; 2 before 3, which is equal
  CHECK(best(Aggregation::minimum) == Steps{1, 4});
  CHECK(best(Aggregation::last) == Steps{1, 4});
}

TEST_CASE("with equal scores the older branch stays and the first solution is the best") {
  const auto result = search_steps<int>(count_up, after(2), by_table({}), {.beam_width = 1, .proposals = 3});
  CHECK(result.best()->steps == Steps{0, 3});
  CHECK(result.crowded_out == 4);
  CHECK(result.solutions.size() == 3);
  CHECK(result.solutions[2].steps == Steps{0, 5});
}

TEST_CASE("equal steps of one branch are scored once, of two branches twice") {
  Index scored = 0;
  const auto proposer = [](std::span<const int>, Index sample) { return static_cast<int>(sample % 2); };
  const auto scorer = [&](std::span<const Branch> branches) {
    scored += branches.size();
    return by_table({})(branches);
  };
  const auto result = search_steps<int>(proposer, after(2), scorer, {.beam_width = 9, .proposals = 4});
  CHECK(result.generated == 4 + 8);
  CHECK(result.repeated == 2 + 4);
  CHECK(scored == 2 + 4);
  CHECK(result.solutions.size() == 4);
}

TEST_CASE("a threshold that prunes everything says so") {
  const auto result = search_steps<int>(count_up, after(3), by_table({}), {.threshold = 0.6});
  CHECK(result.end == StepSearchEnd::all_pruned);
  CHECK(name_of(result.end) == "all_pruned");
  CHECK(result.best() == nullptr);
  CHECK(result.rounds == 1);
  CHECK(result.generated == 4);
  CHECK(result.pruned == 4);
  // A score at the threshold is not under it.
  CHECK(search_steps<int>(count_up, after(3), by_table({}), {.threshold = 0.5}).end ==
        StepSearchEnd::finished);
}

TEST_CASE("a search in which nothing is finished ends at the limit of steps and says so") {
  const auto never = [](std::span<const int>) { return false; };
  const auto result =
      search_steps<int>(count_up, never, by_table({}), {.beam_width = 2, .proposals = 2, .max_steps = 3});
  CHECK(result.end == StepSearchEnd::step_limit);
  CHECK(result.best() == nullptr);
  CHECK(result.rounds == 3);
  CHECK(result.generated == 2 + 4 + 4);
}

TEST_CASE("a finished solution keeps its place in the beam while others go on, and is not grown") {
  // 0 is a solution by itself; 1 goes on to a third step.
  const auto finished = [](std::span<const int> steps) { return steps[0] == 0 || steps.size() == 3; };
  const auto result =
      search_steps<int>(count_up, finished, by_table({{0, 0.7}, {1, 0.9}, {2, 0.9}, {4, 0.9}}),
                        {.beam_width = 2, .proposals = 2});
  // Round 2: 1-2 and 0 stay, 1-3 finds no place. Round 3 grows 1-2 alone.
  CHECK(result.generated == 2 + 2 + 2);
  CHECK(result.crowded_out == 1 + 1);
  CHECK(result.end == StepSearchEnd::finished);
  CHECK(result.solutions.size() == 3);
  CHECK(result.best()->steps == Steps{1, 2, 4});
  CHECK(result.solutions[1].steps == Steps{0});
}

TEST_CASE("a finished solution that better beginnings crowd out of the beam is still found") {
  const auto finished = [](std::span<const int> steps) { return steps[0] == 0; };
  const auto result = search_steps<int>(count_up, finished, by_table({{1, 0.9}, {2, 0.0}, {3, 0.0}}),
                                        {.beam_width = 1, .proposals = 2, .threshold = 0.1});
  CHECK(result.end == StepSearchEnd::all_pruned);
  REQUIRE(result.best() != nullptr);
  CHECK(result.best()->steps == Steps{0});
}

TEST_CASE("with exact scores no sound branch is pruned, and a solution found is a sound one") {
  // Steps are digits; a step is sound when it is even. A search is stuck only when all of its samples are
  // odd.
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Index even_rounds = 0;
    const auto proposer = [&](std::span<const int>, Index sample) {
      return static_cast<int>(Rng(seed, sample).below(10));
    };
    const auto exact = [&](std::span<const Branch> branches) {
      NewestStepScores newest;
      bool any = false;
      for (const Branch& branch : branches) {
        const bool sound = branch.steps.back() % 2 == 0;
        newest.scores.push_back(sound ? 1 : 0);
        any = any || sound;
      }
      even_rounds += any ? 1 : 0;
      return newest;
    };
    const auto result =
        search_steps<int>(proposer, after(5), exact, {.beam_width = 2, .proposals = 3, .threshold = 0.5});
    CHECK(result.rounds == even_rounds + (result.end == StepSearchEnd::all_pruned ? 1 : 0));
    CHECK((result.best() != nullptr) == (result.end == StepSearchEnd::finished));
    for (const Branch& solution : result.solutions) {
      for (const int step : solution.steps) CHECK(step % 2 == 0);
    }
  }
}

TEST_CASE("options and scores that make no sense are errors that name them") {
  const auto search = [](const StepSearchOptions& options) {
    search_steps<int>(count_up, after(1), by_table({}), options);
  };
  CHECK_THROWS_WITH_AS(search({.beam_width = 0}), "step search: beam_width is 0, expected at least 1",
                       ConfigError);
  CHECK_THROWS_AS(search({.proposals = 0}), ConfigError);
  CHECK_THROWS_AS(search({.max_steps = 0}), ConfigError);
  CHECK_THROWS_AS(search({.threshold = std::numeric_limits<double>::quiet_NaN()}), ConfigError);
  const auto too_few = [](std::span<const Branch>) { return NewestStepScores{{0.5}, 0}; };
  CHECK_THROWS_AS(search_steps<int>(count_up, after(1), too_few), UsageError);
  const auto no_number = by_table({{2, std::numeric_limits<double>::quiet_NaN()}});
  CHECK_THROWS_AS(search_steps<int>(count_up, after(1), no_number), DataError);
}

TEST_CASE("a model scores all branches of a round as one tree, each as it would alone") {
  using Model = RewardModel<Llama, StepHead<3>, CrossEntropyLoss, ReferenceBackend<double>>;
  Model model({.backbone = {.vocabulary_size = 30,
                            .hidden_size = 8,
                            .intermediate_size = 6,
                            .layers = 2,
                            .heads = 2,
                            .kv_heads = 1,
                            .init_deviation = 0.4},
               .head = {.init_deviation = 1}});
  // The prompt 1 2 3; a step is one token of its own and a separator.
  const auto to_sequence = [](std::span<const int> steps) {
    Sequence sequence{.tokens = {1, 2, 3}, .completion_begin = 3};
    for (const int step : steps) {
      sequence.tokens.push_back(static_cast<Token>(step + 5));
      sequence.tokens.push_back(4);
      sequence.step_ends.push_back(sequence.tokens.size() - 1);
    }
    return sequence;
  };
  ModelStepScorer scorer(model, to_sequence);
  const auto result = search_steps<int>(count_up, after(2), scorer, {.beam_width = 2, .proposals = 3});
  // Round 1: the prompt and three steps. Round 2: the prompt, two steps and three after each.
  CHECK(result.tokens == (3 + 3 * 2) + (3 + 2 * 2 + 6 * 2));
  REQUIRE(result.solutions.size() == 6);
  for (const Branch& solution : result.solutions) {
    const Sequence alone = to_sequence(solution.steps);
    const auto p = score_probabilities(model, std::span(&alone, 1));
    for (Index k = 0; k < 2; ++k) CHECK(solution.scores[k] == doctest::Approx(p[0][k]).epsilon(1e-12));
  }
  CHECK(result.best()->score > result.solutions.back().score);
  // The same search again is the same.
  CHECK(search_steps<int>(count_up, after(2), scorer, {.beam_width = 2, .proposals = 3}).best()->steps ==
        result.best()->steps);

  ModelStepScorer without_ends(model, [](std::span<const int>) {
    return Sequence{.tokens = {1, 2}, .completion_begin = 1};
  });
  CHECK_THROWS_AS(search_steps<int>(count_up, after(1), without_ends), UsageError);
}

}  // namespace step_search_test
