// The language-modelling loss, and two losses as one.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "loss_checks.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/joint_loss.hpp"
#include "merit/loss/language_model_loss.hpp"
#include "merit/loss/regression_loss.hpp"

namespace joint_loss_test {

using namespace merit;
using namespace loss_checks;

NextTokenTargets some_tokens() {
  NextTokenTargets targets;
  // Row 0 is followed by two different tokens, as where two completions part.
  targets.next = {{0, 2, 1.0}, {0, 0, 0.5}, {1, 1, 2.0}, {2, 2, 0.25}};
  return targets;
}

using Joint = JointLoss<BinaryCrossEntropyLoss<ScoreMeaning::per_token>, LanguageModelLoss>;

TEST_CASE("the language-modelling loss is the weighted mean of −log softmax") {
  Rng rng(1);
  const auto scores = random_scores(rng, 9);
  std::vector<double> gradient;
  const NextTokenTargets targets = some_tokens();
  const double value = evaluate(LanguageModelLoss{}, targets, scores, gradient, 3);
  double expected = 0;
  std::vector<double> slopes(9);
  for (const auto& next : targets.next) {
    double sum = 0;
    for (Index j = 0; j < 3; ++j) sum += std::exp(scores[next.row * 3 + j]);
    expected -= next.weight * std::log(std::exp(scores[next.row * 3 + next.token]) / sum) / 3.75;
    for (Index j = 0; j < 3; ++j) {
      slopes[next.row * 3 + j] +=
          next.weight * (std::exp(scores[next.row * 3 + j]) / sum - (j == next.token ? 1 : 0)) / 3.75;
    }
  }
  CHECK(value == doctest::Approx(expected).scale(0).epsilon(1e-14));
  for (Index i = 0; i < 9; ++i) CHECK(std::abs(gradient[i] - slopes[i]) < 1e-14);
}

TEST_CASE("the gradient of the language-modelling loss agrees with differences, also for scores of 1e4") {
  Rng rng(2);
  check_differences(LanguageModelLoss{}, some_tokens(), random_scores(rng, 9), 1e-5, 3);
  check_differences(LanguageModelLoss{}, some_tokens(), {1e4, -1e4, 5e3, -40.0, 700.0, 0.0, 9e3, -9e3, 20.0},
                    far_step, 3);
  std::vector<double> gradient;
  NextTokenTargets sure;
  sure.next = {{0, 0, 1}};
  CHECK(evaluate(LanguageModelLoss{}, sure, {50.0, 0.0}, gradient, 2) ==
        doctest::Approx(std::exp(-50.0)).scale(0).epsilon(1e-12));
  CHECK(gradient[0] == doctest::Approx(-std::exp(-50.0)).scale(0).epsilon(1e-12));
}

TEST_CASE("shares of the language-modelling loss add up, and a token without a score is an error") {
  Rng rng(3);
  NextTokenTargets a = some_tokens();
  NextTokenTargets b = some_tokens();
  a.next.resize(1);
  b.next.erase(b.next.begin());
  check_shares(LanguageModelLoss{}, some_tokens(), std::vector{a, b}, random_scores(rng, 9), 3);
  NextTokenTargets outside;
  outside.next = {{0, 3, 1}};
  std::vector<double> gradient;
  CHECK_THROWS_WITH_AS(evaluate(LanguageModelLoss{}, outside, {1.0, 2.0, 3.0}, gradient, 3),
                       "language_model: token 3 has no score among 3", UsageError);
}

TEST_CASE("a joint loss refuses weights that are none") {
  CHECK_THROWS_WITH_AS((validate(Joint{{}, {}, -1, 1})),
                       "joint: first_weight is -1, expected a number of at least 0", ConfigError);
  CHECK_THROWS_WITH_AS((validate(Joint{{.focal = -1}, {}, 1, 1})),
                       "binary_cross_entropy: focal is -1, expected a number of at least 0", ConfigError);
}

TEST_CASE("regression reads the attribute that a target names, and refuses one that is not there") {
  RegressionTargets targets;
  targets.values = {{0, 1.0, 1.0, 1}, {1, 2.0, 3.0, 0}};
  std::vector<double> gradient;
  const RegressionLoss<ScoreMeaning::per_completion> loss;
  const double value = evaluate(loss, targets, {9.0, 3.0, 4.0, 9.0}, gradient, 2);
  CHECK(value == (1.0 * 2 * 2 / 2 + 3.0 * 2 * 2 / 2) / 4);
  CHECK(gradient == std::vector<double>{0, 0.5, 1.5, 0});
  targets.values[0].column = 2;
  CHECK_THROWS_WITH_AS(evaluate(loss, targets, {9.0, 3.0, 4.0, 9.0}, gradient, 2),
                       "regression: a target is for score 2 of a row, which has 2", UsageError);
}

}  // namespace joint_loss_test
