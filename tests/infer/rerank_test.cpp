// Orders of completions, with models of completions, tokens and steps.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include "merit/backbone/llama.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/infer/rerank.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

namespace rerank_test {

using namespace merit;

using B = ReferenceBackend<double>;
using Whole = RewardModel<Llama, ScalarHead, PairwiseLoss, B>;
using Tokens = RewardModel<Llama, TokenHead, BinaryCrossEntropyLoss<ScoreMeaning::per_token>, B>;
using Steps = RewardModel<Llama, StepHead<3>, CrossEntropyLoss, B>;

const Llama small{.vocabulary_size = 9,
                  .hidden_size = 8,
                  .intermediate_size = 6,
                  .layers = 2,
                  .heads = 2,
                  .kv_heads = 1,
                  .init_deviation = 0.4};

/// Four completions of the prompt 1 2 3; the last is the first again.
std::vector<Sequence> completions() {
  return {{.tokens = {1, 2, 3, 4, 5, 6}, .completion_begin = 3, .step_ends = {4, 5}},
          {.tokens = {1, 2, 3, 4, 7}, .completion_begin = 3, .step_ends = {3, 4}},
          {.tokens = {1, 2, 3, 8}, .completion_begin = 3, .step_ends = {3}},
          {.tokens = {1, 2, 3, 4, 5, 6}, .completion_begin = 3, .step_ends = {4, 5}}};
}

// Completions are looked at where they are: what ends with the call does not compile.
static_assert(std::is_constructible_v<PromptCompletions, const std::vector<Sequence>&>);
static_assert(!std::is_constructible_v<PromptCompletions, std::vector<Sequence>>);

TEST_CASE("completions are ordered by descending score, equal ones by position") {
  CHECK(order_by_score(std::vector<double>{1, 3, 2, 3, 1}) == std::vector<Index>{1, 3, 2, 0, 4});
  CHECK_THROWS_AS(order_by_score({}), DataError);
  CHECK_THROWS_AS(order_by_score(std::vector<double>{1, std::numeric_limits<double>::quiet_NaN()}),
                  DataError);
}

TEST_CASE("a model of whole completions orders by its scores, and the best of N is the first") {
  Whole model({.backbone = small, .head = {.init_deviation = 1}});
  const auto sequences = completions();
  const auto scores = score_candidates(model, sequences);
  CHECK(scores == score(model, sequences));
  const auto ranked = rerank(model, sequences);
  REQUIRE(ranked.size() == 4);
  for (Index i = 0; i < 4; ++i) CHECK(ranked[i].score == scores[ranked[i].index]);
  for (Index i = 0; i + 1 < 4; ++i) CHECK(ranked[i].score >= ranked[i + 1].score);
  const auto place = [&](Index index) {
    return std::find_if(ranked.begin(), ranked.end(), [&](const auto& r) { return r.index == index; });
  };
  CHECK(place(3) == place(0) + 1);  // equal scores, in order
  const Pick pick = best_of_n(model, sequences);
  CHECK(pick.index == ranked[0].index);
  CHECK(pick.tied.size() == (ranked[0].index == 0 ? 2u : 1u));
}

TEST_CASE("models of tokens and of steps order by what their rows' probabilities aggregate to") {
  Tokens tokens({.backbone = small, .head = {.init_deviation = 1}});
  Steps steps({.backbone = small, .head = {.init_deviation = 1}});
  const auto sequences = completions();
  for (const Aggregation aggregation : {Aggregation::minimum, Aggregation::product, Aggregation::last}) {
    const RerankOptions options{.aggregation = aggregation};
    const auto of_tokens = score_candidates(tokens, sequences, options);
    const auto of_steps = score_candidates(steps, sequences, options);
    for (Index i = 0; i < sequences.size(); ++i) {
      const std::span<const Sequence> one(&sequences[i], 1);
      CHECK(of_tokens[i] ==
            doctest::Approx(completion_probability(score_rows(tokens, one)[0], aggregation)).epsilon(1e-12));
      CHECK(of_steps[i] ==
            doctest::Approx(completion_probability(score_rows(steps, one)[0], aggregation)).epsilon(1e-12));
    }
  }
  const RerankOptions strict{.aggregation = Aggregation::last,
                             .probabilities = {.neutral = NeutralCountsAs::bad}};
  CHECK(score_candidates(steps, sequences, strict)[0] <
        score_candidates(steps, sequences, {.aggregation = Aggregation::last})[0]);
}

TEST_CASE("completions of a prompt cost what their tree has tokens, and many prompts keep their order") {
  const auto sequences = completions();
  CHECK(shared_tokens(PromptCompletions{sequences}) == 3 + 3 + 1 + 1);
  Whole model({.backbone = small, .head = {.init_deviation = 1}});
  const std::vector<Sequence> other{{.tokens = {2, 2}, .completion_begin = 1}};
  const std::vector<PromptCompletions> prompts{{other}, {sequences}, {}, {other}};
  const auto scores = score_candidates(model, std::span(prompts), {.token_budget = 8});
  REQUIRE(scores.size() == 4);
  CHECK(scores[0] == score(model, other));
  CHECK(scores[1] == score(model, sequences));
  CHECK(scores[2].empty());
  CHECK(scores[3] == scores[0]);
}

}  // namespace rerank_test
