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
      newest.computed += branch.steps.size();
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
  CHECK(result.computed == 3 * 1 + 6 * 2);
  CHECK(result.expanded == 1 + 2);
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
  // What is made whatever the search finds has a limit; places in a beam that nothing fills have none.
  CHECK_THROWS_WITH_AS(search({.proposals = ~merit::Index{0}}),
                       "step search: proposals is 18446744073709551615, expected at most 65536", ConfigError);
  CHECK_THROWS_AS(search({.strategy = StepSearchStrategy::diverse_beam, .beam_width = 1u << 20}),
                  ConfigError);
  CHECK_NOTHROW(StepSearchOptions{.beam_width = ~merit::Index{0}}.validate());
  CHECK_THROWS_AS(search({.aggregation = merit::Aggregation::mean_of_last, .aggregate = {.last = 0}}),
                  ConfigError);
  const auto too_few = [](std::span<const Branch>) { return NewestStepScores{{0.5}}; };
  CHECK_THROWS_AS(search_steps<int>(count_up, after(1), too_few), UsageError);
  const auto no_number = by_table({{2, std::numeric_limits<double>::quiet_NaN()}});
  CHECK_THROWS_AS(search_steps<int>(count_up, after(1), no_number), DataError);
}

TEST_CASE("step-level best of N is a beam of one, and says so of another width") {
  const auto scores = by_table({{0, 0.1}, {1, 0.6}, {2, 0.8}, {4, 0.2}, {5, 0.9}});
  StepSearchOptions options{.proposals = 3};
  const auto beam = search_steps<int>(count_up, after(2), scores, options);
  options.strategy = StepSearchStrategy::step_best_of_n;
  const auto result = search_steps<int>(count_up, after(2), scores, options);
  CHECK(result.best()->steps == Steps{2, 5});
  CHECK(result.best()->steps == beam.best()->steps);
  CHECK(result.generated == 3 + 3);
  CHECK(result.computed == 3 * 1 + 3 * 2);
  CHECK(result.crowded_out == beam.crowded_out);
  options.beam_width = 2;
  CHECK_THROWS_WITH_AS(search_steps<int>(count_up, after(2), scores, options),
                       "step search: beam_width is 2, expected 1 of the strategy step_best_of_n",
                       ConfigError);
}

TEST_CASE("the diverse beam keeps the best of each subtree, where a beam leaves one for the other") {
  // Subtree a draws 0 and 1, subtree b draws 2 and 3: 0 and 2 are the best of each. A beam of 2 on the same proposals
  // would keep 0 and 1.
  const std::map<int, double> table{{0, 0.9}, {1, 0.8}, {2, 0.4}, {3, 0.3},
                                    {4, 0.1}, {5, 0.2}, {6, 0.9}, {7, 0.95}};
  StepSearchOptions options{.strategy = StepSearchStrategy::diverse_beam, .beam_width = 2, .proposals = 2};
  const auto result = search_steps<int>(count_up, after(2), by_table(table), options);
  CHECK(result.end == StepSearchEnd::finished);
  CHECK(result.rounds == 2);
  CHECK(result.expanded == 2 + 2);
  CHECK(result.generated == 4 + 4);
  CHECK(result.crowded_out == 2 + 2);
  CHECK(result.computed == 4 * 1 + 4 * 2);
  // 0 goes on to 4 and 5, 2 to 6 and 7: .9 · .2 = .18 against .4 · .95 = .38.
  CHECK(result.best()->steps == Steps{2, 7});
  CHECK(result.solutions.size() == 4);

  // A subtree of which all is pruned ends alone.
  options.threshold = 0.5;
  const auto pruned =
      search_steps<int>(count_up, after(2), by_table({{0, 0.9}, {2, 0.4}, {3, 0.3}}), options);
  CHECK(pruned.generated == 4 + 2);
  CHECK(pruned.pruned == 2);
  CHECK(pruned.best()->steps == Steps{0, 4});

  // Each is the search of one alone that has the same proposals.
  options = {.strategy = StepSearchStrategy::diverse_beam, .beam_width = 5, .proposals = 3};
  const auto by_steps = [](std::span<const int> steps, Index sample) {
    return static_cast<int>(steps.size() * 3 + sample % 3);
  };
  const auto many = search_steps<int>(by_steps, after(3), by_table({{1, 0.9}, {4, 0.9}, {6, 0.7}}), options);
  options.beam_width = 1;
  const auto alone = search_steps<int>(by_steps, after(3), by_table({{1, 0.9}, {4, 0.9}, {6, 0.7}}), options);
  CHECK(many.solutions.size() == 5 * alone.solutions.size());
  CHECK(many.best()->steps == alone.best()->steps);
  CHECK(alone.best()->steps == Steps{1, 4, 6});
}

TEST_CASE("best first goes back to a shorter branch when the longer one turns bad, and ends with the best") {
  // 0 (.9) and 1 (.8); 0 goes on to 2 and 3 (.09), then 1 is the best: 4 (.72) and 5 (.08); 1-4 is finished by its third step.
  const auto scores =
      by_table({{0, 0.9}, {1, 0.8}, {2, 0.1}, {3, 0.1}, {4, 0.9}, {5, 0.1}, {6, 0.9}, {7, 0.2}});
  StepSearchOptions options{.strategy = StepSearchStrategy::best_first, .proposals = 2};
  const auto result = search_steps<int>(count_up, after(3), scores, options);
  CHECK(result.end == StepSearchEnd::finished);
  CHECK(result.best()->steps == Steps{1, 4, 6});
  CHECK(result.expanded == 4);  // the root, 0, 1, 1-4
  CHECK(result.rounds == 4);
  CHECK(result.generated == 8);
  CHECK(result.crowded_out == 0);
  CHECK(result.computed == 2 * 1 + 2 * 2 + 2 * 2 + 2 * 3);
  CHECK(result.solutions.size() == 2);
  // A beam of one does not come back.
  CHECK(search_steps<int>(count_up, after(3), scores, {.proposals = 2}).best()->steps[0] == 0);

  // Two at once: 0 and 1 in one round.
  options.beam_width = 2;
  const auto two = search_steps<int>(count_up, after(3), scores, options);
  CHECK(two.best()->steps[0] == 1);
  CHECK(two.rounds == 3);

  options = {.strategy = StepSearchStrategy::best_first, .proposals = 2, .expansions = 3};
  const auto poor = search_steps<int>(count_up, after(3), scores, options);
  CHECK(poor.end == StepSearchEnd::budget);
  CHECK(name_of(poor.end) == "budget");
  CHECK(poor.expanded == 3);
  CHECK(poor.best() == nullptr);

  // Branches that are too long do not end it while others may.
  options = {.strategy = StepSearchStrategy::best_first, .proposals = 2, .max_steps = 2};
  const auto first_is_one = [](std::span<const int> steps) { return steps[0] == 1 && steps.size() == 2; };
  const auto others = search_steps<int>(count_up, first_is_one, scores, options);
  CHECK(others.end == StepSearchEnd::finished);
  CHECK(others.best()->steps == Steps{1, 4});
  const auto none = search_steps<int>(count_up, after(3), scores, options);
  CHECK(none.end == StepSearchEnd::step_limit);
  CHECK(none.expanded == 3);

  options.threshold = 0.95;
  CHECK(search_steps<int>(count_up, after(3), scores, options).end == StepSearchEnd::all_pruned);
}

TEST_CASE("with every strategy the same search is the same again") {
  const auto proposer = [](std::span<const int>, Index sample) {
    return static_cast<int>(Rng(5, sample).below(30));
  };
  const auto scorer = [](std::span<const Branch> branches) {
    NewestStepScores newest;
    for (const Branch& branch : branches)
      newest.scores.push_back(Rng(6, static_cast<std::uint64_t>(branch.steps.back())).uniform());
    return newest;
  };
  for (const StepSearchStrategy strategy :
       {StepSearchStrategy::beam, StepSearchStrategy::step_best_of_n, StepSearchStrategy::best_first,
        StepSearchStrategy::diverse_beam}) {
    const StepSearchOptions options{
        .strategy = strategy,
        .beam_width = strategy == StepSearchStrategy::step_best_of_n ? Index{1} : 3,
        .proposals = 3};
    const auto one = search_steps<int>(proposer, after(4), scorer, options);
    const auto two = search_steps<int>(proposer, after(4), scorer, options);
    REQUIRE(one.best() != nullptr);
    CHECK(one.best()->steps == two.best()->steps);
    CHECK(one.best()->score == two.best()->score);
    CHECK(one.generated == two.generated);
    CHECK(one.end == StepSearchEnd::finished);
  }
}

TEST_CASE("a proposer of rounds sees all branches at once and the numbers of its samples") {
  std::vector<Index> asked;
  const auto rounds = [&](std::span<const Branch> branches, Index proposals, Index sample) {
    asked.push_back(branches.size());
    Steps steps;
    for (Index i = 0; i < branches.size() * proposals; ++i) steps.push_back(static_cast<int>(sample + i));
    return steps;
  };
  const auto scores = by_table({{0, 0.1}, {1, 0.6}, {2, 0.8}, {4, 0.2}, {5, 0.9}, {7, 0.95}});
  const StepSearchOptions options{.beam_width = 2, .proposals = 3};
  const auto result = search_steps<int>(rounds, after(2), scores, options);
  CHECK(asked == std::vector<Index>{1, 2});
  CHECK(result.best()->steps == search_steps<int>(count_up, after(2), scores, options).best()->steps);
  const auto too_few = [](std::span<const Branch>, Index, Index) { return Steps{1}; };
  CHECK_THROWS_WITH_AS(search_steps<int>(too_few, after(2), scores, options),
                       "search_steps: the proposer gave 1 steps, expected 3, 3 a branch", UsageError);
}

TEST_CASE("a scorer is told which branches may still grow, and at the end that none does") {
  struct Told {
    std::vector<std::vector<Steps>> kept;
    NewestStepScores operator()(std::span<const Branch> branches) {
      return by_table({{0, 0.1}, {1, 0.6}, {2, 0.8}})(branches);
    }
    void keep(std::span<const Branch> branches) {
      std::vector<Steps>& open = kept.emplace_back();
      for (const Branch& branch : branches) {
        if (!branch.finished) open.push_back(branch.steps);
      }
    }
  } told;
  search_steps<int>(count_up, after(2), told, {.beam_width = 2, .proposals = 3});
  CHECK(told.kept == std::vector<std::vector<Steps>>{{{2}, {1}}, {}, {}});
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
  CHECK(result.computed == (3 + 3 * 2) + (3 + 2 * 2 + 6 * 2));
  CHECK(result.reused == 0);
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
