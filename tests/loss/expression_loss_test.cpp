// Losses written as one expression, and what the loop over units promises to every loss.
#include "merit/loss/expression_loss.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "loss_checks.hpp"
#include "merit/core/field.hpp"
#include "merit/core/rng.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/loss/plackett_luce_loss.hpp"
#include "merit/loss/value_loss.hpp"
#include "merit/testing/archetypes.hpp"
#include "merit/testing/gradcheck.hpp"

namespace expression_loss_test {

using namespace merit;
using namespace loss_checks;

struct Exponential : PairLoss<Exponential> {
  auto operator()(auto chosen, auto rejected) const { return exp(rejected - chosen); }
};

/// max(0, margin − Δ)², a loss with a setting and a name.
struct SquaredHinge : PairLoss<SquaredHinge> {
  double margin = 1;

  static constexpr std::string_view name() { return "squared_hinge"; }
  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"margin", &SquaredHinge::margin, above(0), "the difference that is enough"});
  }
  auto operator()(auto chosen, auto rejected) const { return pow(max(0, margin - (chosen - rejected)), 2); }
};

struct Logistic : PairLoss<Logistic> {
  auto operator()(auto chosen, auto rejected) const { return softplus(rejected - chosen); }
};

/// Infinite where the scores are the wrong way round.
struct OneWay : PairLoss<OneWay> {
  auto operator()(auto chosen, auto rejected) const { return -log(max(0, chosen - rejected)); }
};

struct LogLoss : RowLoss<LogLoss> {
  auto operator()(auto score, double label) const {
    return label * softplus(-score) + (1 - label) * softplus(score);
  }
};

struct HalfSquare : RowLoss<HalfSquare, ScoreMeaning::per_completion, RegressionTargets> {
  auto operator()(auto score, double rating) const { return pow(score - rating, 2) / 2; }
};

/// Plackett–Luce without ties.
struct Choices : GroupLoss<Choices> {
  auto operator()(const auto& group) const {
    auto loss = 0 * group.score(0);
    for (Index k = 0; k + 1 < group.size(); ++k) {
      auto others = 0 * group.score(0);
      for (Index j = k + 1; j < group.size(); ++j) others += exp(group.score(j) - group.score(k));
      loss += log1p(others);
    }
    return loss;
  }
};

/// Reads ranks: the squared error of a score to minus its rank.
struct ToRank : GroupLoss<ToRank> {
  auto operator()(const auto& group) const {
    auto loss = 0 * group.score(0);
    for (Index i = 0; i < group.size(); ++i) {
      loss += pow(group.score(i) + static_cast<double>(group.rank(i)), 2);
    }
    return loss;
  }
};

static_assert(loss<Exponential, float> && loss<LogLoss, double> && loss<HalfSquare, float>);
static_assert(loss<Choices, float> && term_loss<Choices> && !loop_loss<Choices, float>);
static_assert(LogLoss::reads == ScoreMeaning::per_token && LogLoss::reads_width == ScoreWidth::one);
static_assert(HalfSquare::reads_width == ScoreWidth::any);

PairTargets some_pairs(Rng& rng, bool plain = false) {
  PairTargets targets;
  for (int i = 0; i < 8; ++i) {
    const auto a = static_cast<std::uint32_t>(rng.below(6));
    const auto b = static_cast<std::uint32_t>((a + 1 + rng.below(5)) % 6);
    const double soft_label = plain || i % 2 == 0 ? 1 : rng.uniform();
    targets.pairs.push_back({a, b, plain ? 0 : rng.normal(), 0.5 + rng.uniform(), soft_label});
  }
  return targets;
}

template <class Loss>
void check_gradient(const Loss& loss, const typename Loss::Targets& targets,
                    const std::vector<double>& scores, Index width = 1) {
  const GradientReport report = check_loss_gradient(loss, scores, width, targets);
  CHECK(report.checked == scores.size());
  CHECK_MESSAGE(report.error < 1e-7, report.problem);
}

/// Two losses that are the same mathematics.
template <class A, class B>
void check_same(const A& a, const B& b, const typename A::Targets& targets, const std::vector<double>& scores,
                Index columns = 1) {
  std::vector<double> of_a, of_b;
  CHECK(evaluate(a, targets, scores, of_a, columns) ==
        doctest::Approx(evaluate(b, targets, scores, of_b, columns)).scale(0).epsilon(1e-13));
  for (Index i = 0; i < of_a.size(); ++i) CHECK(std::abs(of_a[i] - of_b[i]) < 1e-13);
}

TEST_CASE("the gradients of losses written as expressions agree with central differences") {
  Rng rng(1);
  for (int round = 0; round < 5; ++round) {
    const auto scores = random_scores(rng, 6, 1);
    check_gradient(Exponential{}, some_pairs(rng), scores);
    check_gradient(SquaredHinge{{}, 0.7}, some_pairs(rng), scores);
    BinaryTargets labels;
    RegressionTargets ratings;
    RankingTargets rankings;
    for (std::uint32_t row = 0; row < 6; ++row) {
      if (row % 3 == 0) labels.begin_sequence(0.5 + rng.uniform());
      labels.add(row, rng.uniform(), 0.5 + rng.uniform());
      ratings.values.push_back({row / 2, rng.normal(), 0.5 + rng.uniform(), row % 2});
    }
    rankings.add(std::vector<std::uint32_t>{5, 0, 3, 1, 2, 4}, std::vector<Index>{2, 0, 1, 5, 4, 3}, 1.5);
    rankings.add(std::vector<std::uint32_t>{3, 2}, std::vector<Index>{0, 0}, 0.5);
    check_gradient(LogLoss{}, labels, scores);
    check_gradient(HalfSquare{}, ratings, scores, 2);
    check_gradient(Choices{}, rankings, scores);
    check_gradient(ToRank{}, rankings, scores);
  }
}

TEST_CASE("weight, margin and soft label of a pair mean what they mean to PairwiseLoss") {
  Rng rng(2);
  for (int round = 0; round < 10; ++round) {
    check_same(Logistic{}, PairwiseLoss{}, some_pairs(rng), random_scores(rng, 6));
  }
  std::vector<double> gradient;
  const PairTargets one{{{0, 1, 0.5, 3, 1}, {1, 0, 0, 1, 0.25}}};
  const double value = evaluate(Exponential{}, one, {1.0, 0.2}, gradient);
  const double first = std::exp(0.2 - 0.5), there = std::exp(0.8), back = std::exp(-0.8);
  CHECK(value == doctest::Approx((3 * first + 0.25 * there + 0.75 * back) / 4));
  CHECK(gradient[0] == doctest::Approx((-3 * first + 0.25 * there - 0.75 * back) / 4));
  CHECK(gradient[1] == doctest::Approx(-gradient[0]));
}

TEST_CASE("a pair with a sure label is read one way alone") {
  std::vector<double> gradient;
  CHECK(evaluate(OneWay{}, PairTargets{{{0, 1}}}, {2.0, 0.0}, gradient) == doctest::Approx(-std::log(2.0)));
  CHECK(gradient[0] == -0.5);
}

TEST_CASE("a loss of rows is that of its labels or numbers") {
  Rng rng(3);
  BinaryTargets labels;
  for (int sequence = 0; sequence < 3; ++sequence) {
    labels.begin_sequence(0.5 + rng.uniform());
    for (int i = 0; i < 3; ++i) {
      labels.add(static_cast<std::uint32_t>(rng.below(6)), rng.uniform(), rng.uniform());
    }
  }
  check_same(LogLoss{}, BinaryCrossEntropyLoss<>{}, labels, random_scores(rng, 6));
  RegressionTargets ratings;
  for (std::uint32_t i = 0; i < 9; ++i) ratings.values.push_back({i % 3, rng.normal(), rng.uniform(), i % 2});
  check_same(HalfSquare{}, RegressionLoss<>{}, ratings, random_scores(rng, 6), 2);
  std::vector<double> gradient;
  CHECK_THROWS_WITH_AS(evaluate(HalfSquare{}, ratings, {1.0, 2.0, 3.0}, gradient),
                       "regression: a target is for score 1 of a row, which has 1", UsageError);
}

TEST_CASE("a loss of groups has the slopes by all of a group's scores, however many there are") {
  Rng rng(4);
  for (const std::uint32_t size : {2u, 3u, 4u, 5u, 8u, 9u}) {
    std::vector<std::uint32_t> rows;
    std::vector<Index> ranks;
    for (std::uint32_t i = 0; i < size; ++i) {
      rows.push_back(i);
      ranks.push_back(10 * size - 7 * i);
    }
    RankingTargets targets;
    targets.add(rows, ranks, 0.75);
    targets.add(std::vector<std::uint32_t>{0}, std::vector<Index>{0}, 100);  // of one: not counted
    check_same(Choices{}, PlackettLuceLoss{}, targets, random_scores(rng, size));
  }
  RankingTargets targets;
  targets.add(std::vector<std::uint32_t>{2, 0, 1}, std::vector<Index>{0, 1, 1});
  std::vector<double> gradient;
  CHECK(evaluate(ToRank{}, targets, {-1.0, -1.0, 0.5}, gradient) == 0.25);
  CHECK(gradient == std::vector<double>{0, 0, 1});
}

TEST_CASE("the settings of a loss of one's own are checked, and it equals itself") {
  CHECK_THROWS_WITH_AS(validate(SquaredHinge{{}, 0}), "squared_hinge: margin is 0, expected a number above 0",
                       ConfigError);
  validate(SquaredHinge{});
  CHECK(SquaredHinge::name() == "squared_hinge");
  CHECK(Exponential::name() == "own_pairs");
}

TEST_CASE("a loop of one's own is called as it is") {
  static_assert(!term_loss<LoopLossArchetype<>>);
  std::vector<float> gradient;
  CHECK(scratch_size(LoopLossArchetype<>{}, {}) == 0);
  const LoopLossArchetype<>::Targets nothing;
  CHECK(evaluate(LoopLossArchetype<>{}, nothing, std::vector<float>{1, 2}, gradient) == 0);
  CHECK(gradient == std::vector<float>{0, 0});
}

TEST_CASE("scratch is what scratch_size() says, and its content does not matter") {
  RankingTargets targets;
  targets.add(std::vector<std::uint32_t>{0, 1}, std::vector<Index>{0, 1});
  targets.add(std::vector<std::uint32_t>{2, 1, 0}, std::vector<Index>{0, 1, 1});
  const PlackettLuceLoss loss;
  CHECK(scratch_size(loss, targets) == 3 * 4);
  CHECK(scratch_size(Exponential{}, PairTargets{{{0, 1}}}) == 4);
  CHECK(scratch_size(loss, RankingTargets{}) == 0);
  const std::vector<double> scores{0.5, -1, 2};
  std::vector<double> values;
  for (const double content : {0.0, 777.0, std::numeric_limits<double>::quiet_NaN()}) {
    std::vector<double> gradient(3), scratch(12, content);
    values.push_back(evaluate_loss(
        loss, targets, 2.0, LossArrays<double>{{scores.data(), 3, 1}, {gradient.data(), 3, 1}, scratch}));
    values.insert(values.end(), gradient.begin(), gradient.end());
  }
  for (Index i = 4; i < 12; ++i) CHECK(values[i] == values[i - 4]);
  std::vector<double> gradient(3), small(11);
  CHECK_THROWS_WITH_AS(
      evaluate_loss(loss, targets, 2.0,
                    LossArrays<double>{{scores.data(), 3, 1}, {gradient.data(), 3, 1}, small}),
      "a loss has scratch for 11 numbers, expected 12 as scratch_size() says", UsageError);
}

TEST_CASE("a unit that counts nothing is not read") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  BinaryTargets labels;
  labels.begin_sequence();
  labels.add(0, 1, 0);
  labels.begin_sequence();
  labels.add(1, 1);
  std::vector<double> gradient;
  CHECK(evaluate(BinaryCrossEntropyLoss<>{}, labels, {nan, 0.0}, gradient) == std::log(2.0));
  CHECK(gradient == std::vector<double>{0, -0.5});
  const BinaryCrossEntropyLoss<> by_sequence{.denominator = Denominator::per_sequence};
  CHECK(evaluate(by_sequence, labels, {nan, 0.0}, gradient) == std::log(2.0));
  CHECK(evaluate(LogLoss{}, labels, {nan, 0.0}, gradient) == std::log(2.0));
}

/// What a device copies byte by byte.
template <class Loss>
constexpr bool goes_to_a_device =
    std::is_trivially_copyable_v<std::remove_cvref_t<decltype(plain_loss(std::declval<const Loss&>()))>>&&
        std::is_trivially_copyable_v<
            std::remove_cvref_t<decltype(std::declval<const typename Loss::Targets&>().unit(Index{}))>>;

TEST_CASE("losses and units are plain structs") {
  static_assert(goes_to_a_device<PairwiseLoss> && goes_to_a_device<PlackettLuceLoss>);
  static_assert(goes_to_a_device<BinaryCrossEntropyLoss<>> && goes_to_a_device<CrossEntropyLoss>);
  static_assert(goes_to_a_device<RegressionLoss<>> && goes_to_a_device<ValueLoss>);
  static_assert(goes_to_a_device<Exponential> && goes_to_a_device<LogLoss> && goes_to_a_device<Choices>);
  const CrossEntropyLoss loss{.class_weights = {1, 2, 3}};
  CHECK(loss.plain().class_weights == loss.class_weights.data());
  CHECK(CrossEntropyLoss{}.plain().class_weights == nullptr);
}

/// Infinite where the rejected one is at 0 or above.
struct Wall : PairLoss<Wall> {
  auto operator()(auto, auto rejected) const { return log(0 - rejected); }
};

TEST_CASE("a direction without weight does not matter, whatever its value") {
  PairTargets one;
  one.pairs = {{0, 1, 0, 1, 0}};  // the rejected one is the better one
  std::vector<double> gradient;
  CHECK(evaluate(Wall{}, one, std::vector<double>{-1, 0}, gradient) == 0);  // log(0 − −1), and not 0 · log(0)
}

}  // namespace expression_loss_test
