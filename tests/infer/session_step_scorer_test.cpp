// Branches scored through a session: to the bit what whole trees of them score, each token computed once, nothing left behind.
#include "merit/infer/session_step_scorer.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "infer/session_models.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/gated_regression_head.hpp"
#include "merit/model/aliases.hpp"

namespace session_step_scorer_test {

using namespace merit_test;
using Double = ReferenceBackend<double>;
using Result = StepSearchResult<int>;

/// Where a branch is read beside its step ends.
enum class Tail { none, end_of_text, gate };

/// The prompt 1 2 3; a step is two tokens of its own and a separator. The gate is read at the prompt's last token.
Sequence sequence_of(std::span<const int> steps, Tail tail) {
  Sequence sequence{.tokens = {1, 2, 3}, .completion_begin = 3};
  for (const int step : steps) {
    sequence.tokens.push_back(static_cast<Token>(step % 7 + 5));
    sequence.tokens.push_back(static_cast<Token>(step % 5 + 5));
    sequence.tokens.push_back(4);
    sequence.step_ends.push_back(sequence.tokens.size() - 1);
  }
  if (tail == Tail::end_of_text) sequence.tokens.push_back(0);
  if (tail == Tail::gate) sequence.step_ends = {2};
  return sequence;
}

template <class Scorer>
Result search(Scorer& scorer, StepSearchStrategy strategy, Aggregation aggregation) {
  StepSearchOptions options{.strategy = strategy, .beam_width = 3, .proposals = 4, .expansions = 12};
  options.aggregation = aggregation;
  options.threshold = -1e9;
  const auto propose = [](std::span<const int>, Index sample) {
    return static_cast<int>(Rng(9, sample).below(100));
  };
  return search_steps<int>(
      propose, [](std::span<const int> steps) { return steps.size() == 4; }, scorer, options);
}

template <class Model>
void check_searches(Model& model, Aggregation aggregation, Tail tail, bool saves = true) {
  for (const StepSearchStrategy strategy :
       {StepSearchStrategy::beam, StepSearchStrategy::best_first, StepSearchStrategy::diverse_beam}) {
    CAPTURE(name_of(strategy));
    const auto to_sequence = [&](std::span<const int> steps) { return sequence_of(steps, tail); };
    ModelStepScorer whole(model, to_sequence);
    Session session(model);
    SessionStepScorer kept(session, model, to_sequence);
    const Result expected = search(whole, strategy, aggregation);
    const Result found = search(kept, strategy, aggregation);
    REQUIRE(!expected.solutions.empty());
    REQUIRE(found.solutions.size() == expected.solutions.size());
    for (Index i = 0; i < found.solutions.size(); ++i) {
      CHECK(found.solutions[i].steps == expected.solutions[i].steps);
      CHECK(found.solutions[i].scores == expected.solutions[i].scores);
    }
    CHECK(found.generated == expected.generated);
    if (saves) CHECK(found.computed < expected.computed);
    CHECK(found.reused > 0);
    CHECK(found.computed == session.counts().computed);
    CHECK(session.counts().nodes == 0);
    CHECK(session.counts().held == 0);
  }
}

template <class S>
Index bytes_of_a_token(S& session) {
  const SessionNode node = session.extend({}, std::vector<Token>{1});
  const Index bytes = session.counts().bytes;
  session.release(node);
  return bytes;
}

TEST_CASE(
    "a search through a session is that of whole trees, with models that score steps, tokens, states and completions") {
  ProcessRewardModel<Llama, Double> steps({.backbone = tiny_llama(), .head = {.init_deviation = 1}});
  check_searches(steps, Aggregation::product, Tail::none);
  check_searches(steps, Aggregation::minimum, Tail::end_of_text);  // which no score depends on
  OutcomeRewardModel<Llama, Double> tokens({.backbone = tiny_llama(), .head = {.init_deviation = 1}});
  check_searches(tokens, Aggregation::last, Tail::none);
  check_searches(tokens, Aggregation::last, Tail::end_of_text);
  ValueModel<Llama, Double> states({.backbone = tiny_llama(), .head = {.init_deviation = 1}});
  check_searches(states, Aggregation::last, Tail::none);
  check_searches(states, Aggregation::last, Tail::end_of_text);
  SmallModel<Double, Llama> completions({.backbone = tiny_llama(), .head = {.init_deviation = 1}});
  check_searches(completions, Aggregation::last, Tail::none);
  check_searches(completions, Aggregation::last, Tail::end_of_text);
}

TEST_CASE("a head that reads more rows than the last is read as it is in whole trees") {
  RewardModel<Llama, GatedRegressionHead, RegressionLoss<ScoreMeaning::per_completion>, Double> gated(
      {.backbone = tiny_llama(), .head = {.attributes = 3, .gate_widths = {4}}});
  shake(gated);
  check_searches(gated, Aggregation::last, Tail::gate, false);
}

TEST_CASE("a branch that is read at the prompt's last token has the score of the whole") {
  // The state of a completion of one token is the prompt's last; a completion without tokens is read there too.
  const auto check = [](auto& model, Index tokens) {
    const auto to_sequence = [&](std::span<const int> steps) {
      Sequence sequence{.tokens = {1, 2, 3}, .completion_begin = 3};
      for (const int step : steps)
        sequence.tokens.insert(sequence.tokens.end(), tokens, static_cast<Token>(step % 7 + 5));
      return sequence;
    };
    ModelStepScorer whole(model, to_sequence);
    Session session(model);
    SessionStepScorer kept(session, model, to_sequence);
    const Result expected = search(whole, StepSearchStrategy::beam, Aggregation::last);
    const Result found = search(kept, StepSearchStrategy::beam, Aggregation::last);
    REQUIRE(found.solutions.size() == expected.solutions.size());
    for (Index i = 0; i < found.solutions.size(); ++i)
      CHECK(found.solutions[i].scores == expected.solutions[i].scores);
  };
  ValueModel<Llama, Double> states({.backbone = tiny_llama(), .head = {.init_deviation = 1}});
  check(states, 1);
  SmallModel<Double, Llama> completions({.backbone = tiny_llama(), .head = {.init_deviation = 1}});
  check(completions, 0);
}

TEST_CASE("a search computes the prompt once and each new step once") {
  ProcessRewardModel<Llama, Double> model({.backbone = tiny_llama(), .head = {.init_deviation = 1}});
  Session session(model);
  SessionStepScorer scorer(session, model,
                           [](std::span<const int> steps) { return sequence_of(steps, Tail::end_of_text); });
  const auto count_up = [](std::span<const int>, Index sample) { return static_cast<int>(sample); };
  const auto result =
      search_steps<int>(count_up, [](std::span<const int> steps) { return steps.size() == 3; }, scorer,
                        {.beam_width = 2, .proposals = 3});
  // Steps of 3 tokens: 3 of the root, 3 after each of two branches, twice.
  CHECK(result.generated == 3 + 6 + 6);
  CHECK(result.computed == 3 + 3 * (3 + 6 + 6));
  // Each once a round: the prompt; the prompt with two branches of a step; of two steps, where both may share the first.
  CHECK(result.reused >= 3 + (3 + 2 * 3) + (3 + 3 + 2 * 3));
  CHECK(result.reused <= 3 + (3 + 2 * 3) + (3 + 2 * 6));

  // What stays while a search goes on is the beam, and equal branches are one.
  using Branch = StepBranch<int>;
  const std::vector<Branch> first{{.steps = {1}}, {.steps = {2}}, {.steps = {1}}};
  const auto scores = scorer(std::span<const Branch>(first)).scores;
  CHECK(scores[0] == scores[2]);
  CHECK(session.counts().held == 3 + 2 * 3);
  CHECK(scorer(std::span<const Branch>(first)).computed == 0);  // known
  scorer.keep(std::span<const Branch>(first).first(1));
  CHECK(session.counts().held == 3 + 3);
  scorer.keep(std::span<const Branch>());
  CHECK(session.counts().nodes == 0);
}

TEST_CASE("under a limit of memory what was lost is computed again, and the scores stay what they are") {
  ProcessRewardModel<Llama, Double> model({.backbone = tiny_llama(), .head = {.init_deviation = 1}});
  const auto to_sequence = [](std::span<const int> steps) { return sequence_of(steps, Tail::none); };
  Session free(model);
  Session small(model, {.memory_limit = bytes_of_a_token(free) * 12});
  SessionStepScorer without(free, model, to_sequence);
  SessionStepScorer with(small, model, to_sequence);
  using Branch = StepBranch<int>;
  std::vector<Index> again;
  const auto round = [&](std::vector<Branch> branches) {
    const auto expected = without(std::span<const Branch>(branches));
    const auto found = with(std::span<const Branch>(branches));
    CHECK(found.scores == expected.scores);
    again.push_back(found.computed - expected.computed);
  };
  // Prompt and steps have 3 tokens each: the second round takes the memory of the step 2, the third that of 1-3 and 1-4.
  round({{.steps = {1}}, {.steps = {2}}});
  round({{.steps = {1, 3}}, {.steps = {1, 4}}});
  round({{.steps = {2, 3}}});
  CHECK(again == std::vector<Index>{0, 0, 3});
  CHECK(small.counts().evicted >= 3);
}

TEST_CASE("a scorer that goes leaves nothing in the session, and a step without its end is an error") {
  ProcessRewardModel<Llama, Double> model({.backbone = tiny_llama()});
  Session session(model);
  using Branch = StepBranch<int>;
  const std::vector<Branch> one{{.steps = {1}}};
  {
    SessionStepScorer scorer(session, model,
                             [](std::span<const int> steps) { return sequence_of(steps, Tail::none); });
    scorer(std::span<const Branch>(one));
    CHECK(session.counts().held == 6);
  }
  CHECK(session.counts().nodes == 0);
  SessionStepScorer without_ends(session, model, [](std::span<const int>) {
    return Sequence{.tokens = {1, 2}, .completion_begin = 1};
  });
  CHECK_THROWS_WITH_AS(without_ends(std::span<const Branch>(one)),
                       "step search: a sequence of 1 steps has 0 step ends, expected one each", UsageError);
}

}  // namespace session_step_scorer_test
