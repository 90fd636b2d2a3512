// Losses over labelled rows: binary and class cross-entropy, regression, values.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "loss/loss_checks.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/loss/regression_loss.hpp"
#include "merit/loss/value_loss.hpp"

namespace row_losses_test {

using namespace merit;
using namespace loss_checks;

/// Two completions that share row 0, of 3 and 1 labels.
BinaryTargets binary_example() {
  BinaryTargets targets;
  targets.begin_sequence();
  for (std::uint32_t row : {0u, 1u, 2u}) targets.add(row, 1);
  targets.begin_sequence();
  targets.add(0, 0);
  return targets;
}

const std::vector<BinaryCrossEntropyLoss<>> binary_losses{
    {}, {Denominator::per_sequence, 2.5, 0, 0.1}, {Denominator::per_token, 0.5, 2, 0.2}};

const std::vector<CrossEntropyLoss> class_losses{
    {}, {Denominator::per_sequence, {2, 0, 0.5}, 0.1}, {Denominator::per_token, {}, 0.3}};

TEST_CASE("per_token counts labels, per_sequence counts completions") {
  const BinaryTargets targets = binary_example();
  const BinaryCrossEntropyLoss<> by_token;
  const BinaryCrossEntropyLoss<> by_sequence{.denominator = Denominator::per_sequence};
  CHECK(by_token.normaliser(targets) == 4.0);
  CHECK(by_sequence.normaliser(targets) == 2.0);
  const std::vector<double> scores{0.5, -1.0, 2.0};
  std::vector<double> gradient;
  const double first = (softplus(-0.5) + softplus(1.0) + softplus(-2.0));
  CHECK(evaluate(by_token, targets, scores, gradient) == doctest::Approx((first + softplus(0.5)) / 4));
  CHECK(gradient[0] == doctest::Approx((-sigmoid(-0.5) + sigmoid(0.5)) / 4));  // both labels of the row
  CHECK(evaluate(by_sequence, targets, scores, gradient) == doctest::Approx((first / 3 + softplus(0.5)) / 2));
  CHECK(gradient[0] == doctest::Approx((-sigmoid(-0.5) / 3 + sigmoid(0.5)) / 2));
}

TEST_CASE("the weight of a completion counts, and one without labels or weight does not") {
  BinaryTargets targets;
  targets.begin_sequence(3);
  targets.add(0, 1);
  targets.add(1, 1);
  targets.begin_sequence();  // empty
  targets.begin_sequence();
  targets.add(2, 1, 0);
  CHECK(BinaryCrossEntropyLoss<>{}.normaliser(targets) == 6.0);
  CHECK(BinaryCrossEntropyLoss<>{.denominator = Denominator::per_sequence}.normaliser(targets) == 3.0);
  std::vector<double> gradient;
  for (const auto& loss : binary_losses) {
    CHECK(std::isfinite(evaluate(loss, targets, {0.5, -0.5, 1.0}, gradient)));
    CHECK(gradient[2] == 0.0);
  }
  targets.clear();
  CHECK(targets.labels.empty());
  CHECK(BinaryCrossEntropyLoss<>{}.normaliser(targets) == 0.0);
}

TEST_CASE("gradients of both cross-entropies agree with central differences, near and far") {
  Rng rng(3);
  for (int round = 0; round < 10; ++round) {
    BinaryTargets binary;
    ClassTargets classes;
    for (int sequence = 0; sequence < 3; ++sequence) {
      binary.begin_sequence(0.5 + rng.uniform());
      classes.begin_sequence(0.5 + rng.uniform());
      for (int i = 0; i < 4; ++i) {
        binary.add(static_cast<std::uint32_t>(rng.below(6)), i == 0 ? 1 : rng.uniform(), 0.5 + rng.uniform());
        const double a = rng.uniform() / 2, b = rng.uniform() / 2;
        const auto row = static_cast<std::uint32_t>(rng.below(2));
        if (i == 0) {
          classes.add(row, static_cast<Index>(rng.below(3)));
        } else {
          classes.add(row, std::vector<double>{a, b, 1 - a - b}, 0.5 + rng.uniform());
        }
      }
    }
    const auto scores = random_scores(rng, 6);
    for (const auto& loss : binary_losses) {
      check_differences(loss, binary, scores);
      check_differences(loss, binary, {1e4, -1e4, 50.0, -50.0, 700.0, -700.0}, far_step);
    }
    for (const auto& loss : class_losses) {
      check_differences(loss, classes, scores, 1e-5, 3);
      check_differences(loss, classes, far_scores, far_step, 3);
    }
  }
}

TEST_CASE("cross-entropies keep the digits of a sure and right answer, and grow straight with a wrong one") {
  BinaryTargets binary;
  binary.begin_sequence();
  binary.add(0, 1);
  std::vector<double> gradient;
  CHECK(evaluate(BinaryCrossEntropyLoss<>{}, binary, {50.0}, gradient) ==
        doctest::Approx(std::exp(-50.0)).scale(0).epsilon(1e-12));
  CHECK(gradient[0] == doctest::Approx(-std::exp(-50.0)).scale(0).epsilon(1e-12));
  CHECK(evaluate(BinaryCrossEntropyLoss<>{}, binary, {-1e4}, gradient) == 1e4);
  CHECK(gradient[0] == -1.0);
  const BinaryCrossEntropyLoss<> focal{.focal = 2};
  CHECK(evaluate(focal, binary, {-1e4}, gradient) == 1e4);
  CHECK(gradient[0] == -1.0);
  CHECK(evaluate(focal, binary, {1e4}, gradient) == 0.0);
  CHECK(gradient[0] == 0.0);

  ClassTargets classes;
  classes.begin_sequence();
  classes.add(0, ternary_class(1));
  CHECK(evaluate(CrossEntropyLoss{}, classes, {0.0, 0.0, 50.0}, gradient, 3) ==
        doctest::Approx(2 * std::exp(-50.0)).scale(0).epsilon(1e-12));
  CHECK(gradient[2] == doctest::Approx(-2 * std::exp(-50.0)).scale(0).epsilon(1e-12));
  CHECK(evaluate(CrossEntropyLoss{}, classes, {1e4, 0.0, -1e4}, gradient, 3) == 2e4);
  CHECK(gradient == std::vector<double>{1, 0, -1});
  std::vector<float> narrow;
  CHECK(evaluate(CrossEntropyLoss{}, classes, std::vector<float>{1e4f, 0, -1e4f}, narrow, 3) == 2e4);
  CHECK(narrow == std::vector<float>{1, 0, -1});
}

TEST_CASE("binary cross-entropy is class cross-entropy of two classes") {
  BinaryTargets binary;
  ClassTargets classes(2);
  binary.begin_sequence();
  classes.begin_sequence();
  binary.add(0, 0.3);
  classes.add(0, std::vector<double>{0.7, 0.3});
  std::vector<double> a, b;
  CHECK(evaluate(BinaryCrossEntropyLoss<>{.positive_weight = 3, .label_smoothing = 0.2}, binary, {1.7}, a) ==
        doctest::Approx(evaluate(CrossEntropyLoss{.class_weights = {1, 3}, .label_smoothing = 0.2}, classes,
                                 {0.0, 1.7}, b, 2)));
  CHECK(a[0] == doctest::Approx(b[1]));
}

TEST_CASE("the shares of labelled rows add up to the step's loss") {
  BinaryTargets first, second;
  first.begin_sequence();
  for (std::uint32_t row : {0u, 1u, 2u}) first.add(row, 1);
  second.begin_sequence();
  second.add(0, 0);
  for (const auto& loss : binary_losses) {
    check_shares(loss, binary_example(), {first, second}, {0.5, -1.0, 2.0});
  }
  ClassTargets whole, a, b;
  for (ClassTargets* targets : {&whole, &a}) {
    targets->begin_sequence();
    targets->add(0, Index{2});
    targets->add(1, Index{0}, 0.5);
  }
  for (ClassTargets* targets : {&whole, &b}) {
    targets->begin_sequence();
    targets->add(1, std::vector<double>{0.25, 0.5, 0.25});
  }
  for (const auto& loss : class_losses) check_shares(loss, whole, {a, b}, far_scores, 3);
}

TEST_CASE("regression and value losses: half squared errors, differences, shares, extremes") {
  Rng rng(4);
  RegressionTargets whole;
  std::vector<RegressionTargets> parts;
  for (std::uint32_t i = 0; i < 8; ++i) {
    whole.values.push_back({i % 6, rng.normal(), 0.5 + rng.uniform()});
    parts.push_back({{whole.values.back()}});
  }
  const auto scores = random_scores(rng, 6);
  const RegressionLoss<> loss;
  check_differences(loss, whole, scores);
  // Differences of a square are exact whatever the step; a wide one has less rounding.
  const std::vector<double> far{1e4, -1e4, 5e3, -400.0, 700.0, 300.0};
  check_differences(loss, whole, far, 16);
  check_shares(loss, whole, parts, scores);
  std::vector<double> gradient;
  CHECK(evaluate(loss, RegressionTargets{{{0, 0, 1}}}, {1e4}, gradient) == 5e7);
  CHECK(gradient[0] == 1e4);
  static_assert(RegressionLoss<>::reads == ScoreMeaning::per_completion);
  static_assert(RegressionLoss<ScoreMeaning::per_token>::reads == ScoreMeaning::per_token);

  // Old values so far from the scores that no difference crosses a border.
  ValueTargets values;
  std::vector<ValueTargets> value_parts;
  for (std::uint32_t i = 0; i < 12; ++i) {
    values.values.push_back({i % 6, rng.normal(),
                             scores[i % 6] + (i % 3 == 0   ? 0.05
                                              : i % 3 == 1 ? 0.7
                                                           : -0.7),
                             0.5 + rng.uniform()});
    value_parts.push_back({{values.values.back()}});
  }
  for (const double clip : {0.0, 0.2}) {
    check_differences(ValueLoss{.clip = clip}, values, scores);
    check_differences(ValueLoss{.clip = clip}, values, far, 16);
    check_shares(ValueLoss{.clip = clip}, values, value_parts, scores);
  }
}

TEST_CASE(
    "a clipped value loss takes the larger error, and holds what went beyond epsilon of the old value") {
  std::vector<double> gradient;
  const ValueLoss loss{.clip = 0.5};
  // From 0 to 2 towards the return 3: the clipped value, 0.5, is worse, and does not move.
  CHECK(evaluate(loss, ValueTargets{{{0, 3, 0, 1}}}, {2.0}, gradient) == 0.5 * 2.5 * 2.5);
  CHECK(gradient[0] == 0.0);
  // From 0 to 2 away from the return −1: the value itself is worse.
  CHECK(evaluate(loss, ValueTargets{{{0, -1, 0, 1}}}, {2.0}, gradient) == 0.5 * 3.0 * 3.0);
  CHECK(gradient[0] == 3.0);
  // Within epsilon nothing is clipped, and without a clip nothing is at all.
  CHECK(evaluate(loss, ValueTargets{{{0, 3, 1.75, 1}}}, {2.0}, gradient) == 0.5);
  CHECK(gradient[0] == -1.0);
  CHECK(evaluate(ValueLoss{}, ValueTargets{{{0, 3, 0, 1}}}, {2.0}, gradient) == 0.5);
  CHECK(gradient[0] == -1.0);
  CHECK(evaluate(loss, ValueTargets{{{0, 0, 1e4, 1}}}, {-1e4}, gradient) == 0.5 * 1e4 * 1e4);
  CHECK(gradient[0] == -1e4);
}

TEST_CASE("a head and a loss agree on what a score is about") {
  static_assert(BinaryCrossEntropyLoss<>::reads == ScoreMeaning::per_token);
  static_assert(BinaryCrossEntropyLoss<ScoreMeaning::per_step>::reads == ScoreMeaning::per_step);
  static_assert(CrossEntropyLoss::reads == ScoreMeaning::per_step);
  static_assert(ValueLoss::reads == ScoreMeaning::per_state);
  CHECK(ternary_class(-1) == 0);
  CHECK(ternary_class(0) == 1);
  CHECK(ternary_class(1) == 2);
}

TEST_CASE("labels and options of rows that cannot be are named") {
  using Bce = BinaryCrossEntropyLoss<>;
  CHECK_THROWS_WITH_AS(validate(Bce{.positive_weight = 0}),
                       "binary_cross_entropy: positive_weight is 0, expected a number above 0", ConfigError);
  CHECK_THROWS_WITH_AS(validate(Bce{.focal = -1}),
                       "binary_cross_entropy: focal is -1, expected a number of at least 0", ConfigError);
  CHECK_THROWS_WITH_AS(validate(Bce{.label_smoothing = 1.5}),
                       "binary_cross_entropy: label_smoothing is 1.5, expected 0 to 1", ConfigError);
  CHECK_THROWS_WITH_AS(validate(Bce{.denominator = static_cast<Denominator>(7)}),
                       "binary_cross_entropy: denominator is 7, expected one of: per_token, "
                       "per_sequence",
                       ConfigError);
  const CrossEntropyLoss negative{.class_weights = {1, -2, 1}};
  CHECK_THROWS_WITH_AS(validate(negative),
                       "cross_entropy: class_weights[1] is -2, expected a number of at least 0", ConfigError);
  CHECK_THROWS_WITH_AS(validate(CrossEntropyLoss{.label_smoothing = -0.1}),
                       "cross_entropy: label_smoothing is -0.1, expected 0 to 1", ConfigError);
  CHECK_THROWS_AS(validate(CrossEntropyLoss{.denominator = static_cast<Denominator>(7)}), ConfigError);
  CHECK_THROWS_WITH_AS(validate(ValueLoss{.clip = -0.2}),
                       "value: clip is -0.2, expected a number of at least 0", ConfigError);
  CHECK_THROWS_AS(validate(ValueLoss{.clip = std::nan("")}), ConfigError);

  BinaryTargets binary;
  CHECK_THROWS_WITH_AS(binary.add(0, 1), "a label was added before begin_sequence()", UsageError);
  binary.begin_sequence();
  CHECK_THROWS_WITH_AS(binary.add(0, 2), "a label is 2, expected 0 to 1", DataError);
  ClassTargets classes;
  classes.begin_sequence();
  CHECK_THROWS_WITH_AS(classes.add(0, Index{3}), "a label is class 3, expected less than 3", DataError);
  CHECK_THROWS_WITH_AS(classes.add(0, std::vector<double>{1, 0}),
                       "a soft label has 2 probabilities, expected 3", DataError);
  CHECK_THROWS_WITH_AS(classes.add(0, std::vector<double>{1, 0.5, 0}),
                       "the probabilities of a soft label sum to 1.5, expected 1", DataError);
  CHECK_THROWS_WITH_AS(classes.add(0, std::vector<double>{-1, 1, 1}),
                       "a soft label has the probability -1, expected at least 0", DataError);
  CHECK_THROWS_WITH_AS(ternary_class(2), "a step's label is 2, expected -1, 0 or 1", DataError);

  classes.add(0, Index{1});
  std::vector<double> gradient;
  CHECK_THROWS_WITH_AS(evaluate(CrossEntropyLoss{}, classes, {0, 0}, gradient, 2),
                       "cross_entropy: the labels have 3 classes and the scores 2, expected as many",
                       UsageError);
  CHECK_THROWS_WITH_AS(
      evaluate(CrossEntropyLoss{.class_weights = {1, 2}}, classes, {0, 0, 0}, gradient, 3),
      "cross_entropy: there are 2 class_weights and scores of 3 classes, expected as many or none",
      UsageError);
}

}  // namespace row_losses_test
