// Scores to probabilities.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "merit/backbone/llama.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/infer/probabilities.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/model/reward_model.hpp"

namespace probabilities_test {

using namespace merit;

using Row = std::vector<double>;

double softmax(const Row& row, const std::vector<Index>& classes) {
  double all = 0;
  for (const double x : row) all += std::exp(x);
  double some = 0;
  for (const Index c : classes) some += std::exp(row[c]);
  return some / all;
}

TEST_CASE("one score goes through the logistic function, two and three through the softmax") {
  CHECK(good_probability(Row{0.7}) == doctest::Approx(1 / (1 + std::exp(-0.7))).epsilon(1e-14));
  const Row two{0.4, -1.1};
  CHECK(good_probability(two) == doctest::Approx(softmax(two, {1})).epsilon(1e-14));
  const Row three{0.4, -1.1, 0.9};
  CHECK(good_probability(three) == doctest::Approx(softmax(three, {1, 2})).epsilon(1e-14));
  CHECK(good_probability(three, {.neutral = NeutralCountsAs::bad}) ==
        doctest::Approx(softmax(three, {2})).epsilon(1e-14));
}

TEST_CASE("what neutral counts as changes nothing where there is no neutral class") {
  for (const Row& row : {Row{0.3}, Row{0.3, 0.8}}) {
    CHECK(good_logit(row, NeutralCountsAs::bad) == good_logit(row, NeutralCountsAs::good));
  }
}

TEST_CASE("logits stay exact where probabilities are 0 or 1") {
  CHECK(good_logit(Row{-1e4, 0, 1e4}) == 2e4);
  CHECK(good_logit(Row{1e4, 0, -1e4}) == -1e4);  // neutral, at 0, is the better of the two good ones
  CHECK(good_logit(Row{1e4, 0, -1e4}, NeutralCountsAs::bad) == -2e4);
  CHECK(good_probability(Row{1e4, -1e4, -1e4}) == 0);
  CHECK(good_probability(Row{-1e4, 1e4, -1e4}) == 1);
}

TEST_CASE("calibration is a line on the logit, a temperature and Platt scaling are such lines") {
  const Row three{0.4, -1.1, 0.9};
  const double logit = good_logit(three);
  CHECK(good_probability(three, {.calibration = {2, -0.5}}) == sigmoid(2 * logit - 0.5));
  CHECK(good_probability(three, {.calibration = Temperature{4}}) ==
        doctest::Approx(Temperature{4}(logit)).epsilon(1e-15));
  CHECK(good_probability(three, {.calibration = PlattScaling{0.3, 0.2}}) == PlattScaling{0.3, 0.2}(logit));
}

TEST_CASE("a completion has a probability a row, and one by aggregation") {
  const RowScores rows{{0, 1, 2, 0, -1, 3}, 2};  // (3, 2)
  const std::vector<double> probabilities = row_probabilities(rows);
  REQUIRE(probabilities.size() == 3);
  CHECK(probabilities[0] == sigmoid(1));
  CHECK(probabilities[1] == sigmoid(-2));
  CHECK(probabilities[2] == sigmoid(4));
  CHECK(completion_probability(rows, Aggregation::minimum) == sigmoid(-2));
  CHECK(completion_probability(rows, Aggregation::mean_of_last, {.last = 1}) == sigmoid(4));
  CHECK(completion_probability(rows, Aggregation::last, {}, {.calibration = {1, -4}}) == 0.5);
  CHECK_THROWS_AS(completion_probability({{}, 2}, Aggregation::mean), DataError);
}

TEST_CASE("rows that are no classes, and scores that are no numbers, are errors") {
  CHECK_THROWS_AS(good_logit(Row{}), UsageError);
  CHECK_THROWS_AS(good_logit(Row{1, 2, 3, 4}), UsageError);
  CHECK_THROWS_AS(good_logit(Row{0, std::numeric_limits<double>::infinity()}), DataError);
}

TEST_CASE("score_probabilities gives a model's rows of any width as probabilities") {
  const Llama backbone{.vocabulary_size = 9,
                       .hidden_size = 8,
                       .intermediate_size = 6,
                       .layers = 1,
                       .heads = 2,
                       .kv_heads = 1,
                       .init_deviation = 0.4};
  const std::vector<Sequence> sequences{{.tokens = {1, 2, 3, 4}, .completion_begin = 1, .step_ends = {2, 3}},
                                        {.tokens = {1, 5, 6}, .completion_begin = 1, .step_ends = {2}}};
  const std::span<const Sequence> all(sequences);
  using B = ReferenceBackend<double>;
  RewardModel<Llama, TokenHead, BinaryCrossEntropyLoss<ScoreMeaning::per_token>, B> tokens(
      {.backbone = backbone, .head = {.init_deviation = 1}});
  RewardModel<Llama, StepHead<3>, CrossEntropyLoss, B> steps(
      {.backbone = backbone, .head = {.init_deviation = 1}});
  const auto of_tokens = score_probabilities(tokens, all);
  const auto of_steps = score_probabilities(steps, all);
  REQUIRE(of_tokens.size() == 2);
  CHECK(of_tokens[0].size() == 3);
  CHECK(of_tokens[1].size() == 2);
  CHECK(of_steps[0].size() == 2);
  CHECK(of_steps[1].size() == 1);
  const auto raw = score_rows(steps, all);
  CHECK(of_steps[0][1] == good_probability(raw[0].row(1)));
  CHECK(of_steps[0][1] != of_steps[0][0]);
}

}  // namespace probabilities_test
