// A weight counts as often as it says, in a figure and in the baseline beside it.
#include <doctest/doctest.h>

#include <optional>
#include <utility>
#include <vector>

#include "merit/core/rng.hpp"
#include "merit/eval/calibration.hpp"
#include "merit/eval/outcome_report.hpp"
#include "merit/eval/ranking_report.hpp"
#include "merit/eval/ratings_report.hpp"
#include "merit/eval/steps_report.hpp"

namespace weighted_reports_test {

using namespace merit;

using Numbers = std::vector<double>;

void check_same(const std::optional<Estimate>& a, const std::optional<Estimate>& b) {
  REQUIRE(a);
  REQUIRE(b);
  CHECK(a->value == doctest::Approx(b->value).epsilon(1e-12));
  CHECK(a->low == doctest::Approx(b->low).epsilon(1e-12));
  CHECK(a->high == doctest::Approx(b->high).epsilon(1e-12));
}

/// Each item as many times as it weighs, with a weight of 1.
template <class Item>
std::vector<Item> repeated(const std::vector<Item>& items) {
  std::vector<Item> all;
  for (Item item : items) {
    const double times = item.weight;
    item.weight = 1;
    for (double k = 0; k < times; ++k) all.push_back(item);
  }
  return all;
}

TEST_CASE("chance of the best on top is of the same weights as the best on top") {
  ScoredRanking two{{1, 0}, {0, 1}, {1, 1}}, four{{3, 2, 1, 0}, {0, 1, 1, 1}, {1, 1, 1, 1}};
  four.weight = 3;
  const RankingReport report = report_rankings(std::vector{two, four});
  CHECK(report.top_by_chance == doctest::Approx((0.5 + 3 * 0.25) / 4).epsilon(1e-14));
}

TEST_CASE("rankings that all weigh nothing are said to, and not to be tied") {
  ScoredRanking weightless{{1, 0}, {0, 1}, {1, 1}};
  weightless.weight = 0;
  const ScoredRanking tied{{1, 0}, {0, 0}, {1, 1}};
  CHECK_THROWS_WITH_AS(report_rankings(std::vector{weightless, tied, weightless}),
                       "found 3 groups of completions, 2 of them with two different ranks, which have the "
                       "weight 0, expected at least one with two different ranks and a weight above 0",
                       DataError);
}

TEST_CASE("calling all steps good is judged with the weights that the steps have") {
  const auto solution = [](std::vector<std::optional<bool>> good, double weight) {
    ScoredSolution one;
    one.scores.assign(good.size(), 0.9);
    one.good = std::move(good);
    one.weight = weight;
    return one;
  };
  const StepsReport report = report_steps(std::vector{solution({true, true}, 1), solution({true, false}, 3)});
  CHECK(report.step_accuracy_of_all_good == doctest::Approx(5.0 / 8).epsilon(1e-14));
  CHECK(report.step_accuracy.value == doctest::Approx(5.0 / 8).epsilon(1e-14));
}

TEST_CASE("calibration is of the weights: in the error, its interval, and the table") {
  const Numbers probabilities{0.1, 0.15, 0.8, 0.85, 0.9}, outcomes{0, 1, 1, 0, 1}, weights{3, 1, 2, 0, 4};
  Numbers p, y;
  std::vector<ScoredCompletion> completions;
  for (Index i = 0; i < weights.size(); ++i) {
    for (double k = 0; k < weights[i]; ++k) p.push_back(probabilities[i]), y.push_back(outcomes[i]);
    ScoredCompletion& one = completions.emplace_back();
    one.score = one.probability = probabilities[i];
    one.label = outcomes[i];
    one.problem = i / 2;
    one.weight = weights[i];
  }
  const CalibrationReport expected = report_calibration(p, y),
                          report = report_calibration(probabilities, outcomes, 10, weights);
  CHECK(report.predictions == 4);
  CHECK(report.expected_error == doctest::Approx(expected.expected_error).epsilon(1e-12));
  CHECK(report.largest_error == doctest::Approx(expected.largest_error).epsilon(1e-12));
  CHECK(report.brier == doctest::Approx(expected.brier).epsilon(1e-12));
  CHECK(report.cross_entropy == doctest::Approx(expected.cross_entropy).epsilon(1e-12));
  for (Index b = 0; b < 10; ++b) {
    CHECK(report.bins[b].mean_probability == doctest::Approx(expected.bins[b].mean_probability));
    CHECK(report.bins[b].mean_outcome == doctest::Approx(expected.bins[b].mean_outcome));
    CHECK(report.bins[b].weight == static_cast<double>(expected.bins[b].count));
  }
  CHECK(report.bins[1].count == 2);
  CHECK(report.bins[8].count == 1);  // 0.85 weighs nothing
  CHECK_THROWS_AS(report_calibration(probabilities, outcomes, 10, Numbers{1}), UsageError);
  CHECK_THROWS_AS(report_calibration(Numbers{0.5}, Numbers{1}, 10, Numbers{0}), DataError);

  const OutcomeReport outcome = report_outcomes(completions), same = report_outcomes(repeated(completions));
  CHECK(outcome.calibration.brier == doctest::Approx(outcome.brier.value).epsilon(1e-12));
  check_same(outcome.calibration_error, same.calibration_error);
  CHECK(outcome.calibration_error.value ==
        doctest::Approx(outcome.calibration.expected_error).epsilon(1e-12));
}

std::vector<RatedCompletion> rated(bool one_weight_a_prompt) {
  Rng rng(3);
  std::vector<RatedCompletion> list;
  for (Index i = 0; i < 40; ++i) {
    RatedCompletion& one = list.emplace_back();
    one.rating = static_cast<double>(rng.below(5));
    one.score = one.rating + static_cast<double>(rng.below(7));
    one.prompt = i / 4;
    one.length = 1 + rng.below(9);
    one.lines = rng.below(4);
    one.weight = static_cast<double>(one_weight_a_prompt ? i / 4 % 3 : rng.below(4));
  }
  return list;
}

TEST_CASE("ratings count as often as they weigh") {
  const std::vector<RatedCompletion> list = rated(false);
  const RatingsReport report = report_ratings(list), same = report_ratings(repeated(list));
  check_same(report.model.pearson, same.model.pearson);
  check_same(report.model.spearman, same.model.spearman);
  check_same(report.length.spearman, same.length.spearman);
  check_same(report.lines.pearson, same.lines.pearson);
  check_same(report.mean_squared_error, same.mean_squared_error);
  CHECK(report.error_of_the_mean == doctest::Approx(same.error_of_the_mean).epsilon(1e-12));
  CHECK(report.completions < list.size());  // those of weight 0 count nowhere

  std::vector<RatedCompletion> weightless = list;
  for (RatedCompletion& one : weightless) one.weight = 0;
  CHECK_THROWS_AS(report_ratings(weightless), DataError);
}

TEST_CASE("the pairs of a prompt weigh as its ratings do in the mean") {
  // One pair in order that weighs (1 + 3) / 2, three of which one is in order that weigh 1 each.
  const std::vector<RatedCompletion> list{
      {2, 2, 0, 1, 1, 1}, {1, 1, 0, 1, 1, 3}, {3, 1, 1, 1, 1, 1}, {2, 2, 1, 1, 1, 1}, {2.5, 3, 1, 1, 1, 1}};
  const RatingsReport report = report_ratings(list);
  CHECK(report.pairs == 4);
  REQUIRE(report.model.pair_accuracy);
  CHECK(report.model.pair_accuracy->value == doctest::Approx((2 + 1) / 5.0).epsilon(1e-14));
  CHECK(report.length.pair_accuracy->value == 0.5);
}

TEST_CASE("pairs of ratings are those that a look at every pair finds, also of very many") {
  std::vector<RatedCompletion> list = rated(true);
  double credits = 0, weights = 0;
  Index pairs = 0;
  for (const RatedCompletion& a : list) {
    for (const RatedCompletion& b : list) {
      if (a.prompt != b.prompt || a.rating <= b.rating || a.weight == 0) continue;
      credits += a.weight * (a.score > b.score ? 1 : a.score < b.score ? 0 : 0.5);
      weights += a.weight;
      ++pairs;
    }
  }
  const RatingsReport report = report_ratings(list);
  CHECK(report.pairs == pairs);
  CHECK(report.model.pair_accuracy->value == doctest::Approx(credits / weights).epsilon(1e-12));

  // Looked at one by one, these would be 80 billion pairs.
  constexpr Index many = 400'000;
  Numbers scores, actual, weight(many, 1.0), found, number;
  std::vector<std::vector<Index>> members(1);
  for (Index i = 0; i < many; ++i) {
    scores.push_back(-static_cast<double>(i));
    actual.push_back(static_cast<double>(i / 2));
    members[0].push_back(i);
  }
  detail::add_pairs(scores, actual, weight, members, found, number, pairs);
  CHECK(found == Numbers{0});
  CHECK(number == Numbers{static_cast<double>(many) * (many - 1) / 2 - many / 2});
}

TEST_CASE("states count as often as their rollout weighs") {
  Rng rng(8);
  std::vector<PredictedReturn> list;
  for (Index i = 0; i < 30; ++i) {
    const double actual = static_cast<double>(rng.below(9));
    list.push_back(
        {actual + static_cast<double>(rng.below(5)), actual, i / 5, static_cast<double>(i / 5 % 3)});
  }
  const ValueReport report = report_values(list), same = report_values(repeated(list));
  check_same(report.mean_squared_error, same.mean_squared_error);
  check_same(report.explained_variance, same.explained_variance);
  check_same(report.correlation, same.correlation);
  CHECK(report.error_of_the_mean == doctest::Approx(same.error_of_the_mean).epsilon(1e-12));
  CHECK(report.states == 20);
  CHECK(report.rollouts == 4);
  for (PredictedReturn& one : list) one.weight = 0;
  CHECK_THROWS_AS(report_values(list), DataError);
}

}  // namespace weighted_reports_test
