// Rewards from models: at the end and on the way.
#include <doctest/doctest.h>

#include <numeric>
#include <vector>

#include "merit/backbone/llama.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/infer/rewards.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

namespace rewards_test {

using namespace merit;

using B = ReferenceBackend<double>;
using Numbers = std::vector<double>;
using Whole = RewardModel<Llama, ScalarHead, PairwiseLoss, B>;
using Tokens = RewardModel<Llama, TokenHead, BinaryCrossEntropyLoss<ScoreMeaning::per_token>, B>;
using Steps = RewardModel<Llama, StepHead<1>, BinaryCrossEntropyLoss<ScoreMeaning::per_step>, B>;

const Llama small{.vocabulary_size = 9,
                  .hidden_size = 8,
                  .intermediate_size = 6,
                  .layers = 1,
                  .heads = 2,
                  .kv_heads = 1,
                  .init_deviation = 0.4};

/// Two completions of one prompt and one of another.
std::vector<Sequence> sequences() {
  return {{.tokens = {1, 2, 3, 4, 5}, .completion_begin = 2, .step_ends = {2, 4}},
          {.tokens = {1, 2, 6, 7}, .completion_begin = 2, .step_ends = {3}},
          {.tokens = {3, 4, 5}, .completion_begin = 1, .step_ends = {1, 2}}};
}

double sum(const Numbers& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0);
}

TEST_CASE("token rewards are the scores, or what each adds, and 0 after the completion") {
  const Numbers scores{0.5, 0.25, 0.75};
  CHECK(token_rewards(scores, 5) == Numbers{0.5, 0.25, 0.75, 0, 0});
  CHECK(token_rewards(scores, 3, StepReward::change) == Numbers{0.5, -0.25, 0.5});
  CHECK_THROWS_AS(token_rewards(scores, 2), UsageError);
}

TEST_CASE("timings and worths have names") {
  CHECK(reward_timing_from_name("terminal") == RewardTiming::terminal);
  CHECK(reward_timing_from_name("dense") == RewardTiming::dense);
  CHECK(step_reward_from_name("score") == StepReward::score);
  CHECK(step_reward_from_name("change") == StepReward::change);
  CHECK_THROWS_WITH_AS(step_reward_from_name("worth"),
                       "found step reward \"worth\", expected one of: score, change", ConfigError);
}

TEST_CASE("a terminal reward is the model's score, on the last token or one past it") {
  Whole model({.backbone = small, .head = {.init_deviation = 1}});
  const auto all = sequences();
  const auto scores = score(model, all);
  const auto rewards = score_rewards(model, all);
  CHECK(rewards[0] == Numbers{0, 0, scores[0]});
  CHECK(rewards[1] == Numbers{0, scores[1]});
  CHECK(rewards[2] == Numbers{0, scores[2]});
  const auto padded = score_rewards(model, all, {.place = TerminalPlace::one_past}, 3);
  CHECK(padded[0] == Numbers{0, 0, scores[0]});  // no place after it
  CHECK(padded[1] == Numbers{0, 0, scores[1]});
  CHECK_THROWS_AS(score_rewards(model, all, {}, 2), UsageError);
  CHECK_THROWS_AS(score_rewards(model, all, {.timing = RewardTiming::dense}), ConfigError);
}

TEST_CASE("dense rewards of an outcome model are its tokens' probabilities") {
  Tokens model({.backbone = small, .head = {.init_deviation = 1}});
  const auto all = sequences();
  const auto probabilities = score_probabilities(model, std::span<const Sequence>(all));
  const auto rewards = score_rewards(model, all, {.timing = RewardTiming::dense});
  for (Index i = 0; i < all.size(); ++i) {
    REQUIRE(rewards[i].size() == probabilities[i].size());
    for (Index t = 0; t < rewards[i].size(); ++t) {
      CHECK(rewards[i][t] == doctest::Approx(probabilities[i][t]).epsilon(1e-12));
    }
  }
  const auto changes =
      score_rewards(model, all, {.timing = RewardTiming::dense, .worth = StepReward::change}, 4);
  CHECK(changes[0].size() == 4);
  CHECK(changes[0][3] == 0);
  CHECK(sum(changes[0]) == doctest::Approx(probabilities[0].back()).epsilon(1e-12));

  const RewardOptions terminal{.scoring = {.aggregation = Aggregation::minimum}};
  CHECK(score_rewards(model, all, terminal)[0][2] ==
        doctest::Approx(aggregate(probabilities[0], Aggregation::minimum)).epsilon(1e-12));
}

TEST_CASE("dense rewards of a process model land on the last token of each step") {
  Steps model({.backbone = small, .head = {.init_deviation = 1}});
  const auto all = sequences();
  const auto p = score_probabilities(model, std::span<const Sequence>(all));
  const auto rewards = score_rewards(model, all, {.timing = RewardTiming::dense});
  const auto near = [](double x) { return doctest::Approx(x).epsilon(1e-12); };
  REQUIRE(rewards[0].size() == 3);
  CHECK(rewards[0][0] == near(p[0][0]));
  CHECK(rewards[0][1] == 0);
  CHECK(rewards[0][2] == near(p[0][1]));
  REQUIRE(rewards[1].size() == 2);
  CHECK(rewards[1][0] == 0);
  CHECK(rewards[1][1] == near(p[1][0]));
  const auto changes =
      score_rewards(model, all, {.timing = RewardTiming::dense, .worth = StepReward::change});
  CHECK(changes[0][2] == near(p[0][1] - p[0][0]));
}

TEST_CASE("completions of one prompt that follow each other are scored as one tree") {
  const auto all = sequences();
  const auto prompts = detail::by_prompt(all);
  REQUIRE(prompts.size() == 2);
  CHECK(prompts[0].completions.size() == 2);
  CHECK(prompts[1].completions.data() == &all[2]);
  CHECK(detail::by_prompt({}).empty());
}

}  // namespace rewards_test
