// Figures of solutions of which a cut took steps: what was not seen is judged wrong, and nothing is accepted that
// was not read.
#include <doctest/doctest.h>

#include <optional>
#include <utility>
#include <vector>

#include "merit/core/rng.hpp"
#include "merit/eval/outcome_report.hpp"
#include "merit/eval/ranking_report.hpp"
#include "merit/eval/ratings_report.hpp"
#include "merit/eval/steps_report.hpp"
#include "sanitized.hpp"

namespace cut_solutions_test {

using namespace merit;

using Numbers = std::vector<double>;
constexpr std::nullopt_t none = std::nullopt;

ScoredSolution solution(Numbers scores, std::vector<std::optional<bool>> good) {
  return {std::move(scores), std::move(good), 0};
}

/// A solution of which a cut took steps behind those with scores, or before them.
ScoredSolution cut_solution(Numbers scores, std::vector<std::optional<bool>> good, Index before = 0) {
  ScoredSolution one = solution(std::move(scores), std::move(good));
  one.unseen_before = before;
  one.unseen_behind = one.good.size() - one.scores.size() - before;
  return one;
}

TEST_CASE("an error behind the cut is missed, and nothing is accepted that was not read") {
  const auto seen = solution({0.9, 0.1}, {true, false});
  const auto right = solution({0.9}, {true});
  const auto behind = cut_solution({0.9, 0.9}, {true, true, true, false});
  const StepsReport report = report_steps(std::vector{seen, right, behind});
  REQUIRE(report.first_errors);
  CHECK(report.first_errors->erroneous == 2);
  CHECK(report.first_errors->correct == 1);
  CHECK(report.first_errors->found.value == 0.5);
  CHECK(report.first_errors->accepted.value == 1);
  CHECK(report.f1->value == doctest::Approx(2.0 / 3));
  CHECK(report.cut == 1);
  CHECK(report.unseen == 2);
  CHECK(report.steps == 7);
  CHECK(report.step_accuracy.value == doctest::Approx(5.0 / 7));
  CHECK(report.counts.false_negatives == 1);
  CHECK(report.counts.false_positives == 1);
  // Of 5 good ones and 2 bad ones: the bad one seen is below the 4 good ones seen, all else is lost.
  CHECK(report.area_under_curve->value == doctest::Approx(4.0 / 10));

  // All correct, but not read to the end: not accepted, whatever the threshold.
  const auto half_read = cut_solution({0.9}, {true, true});
  CHECK(report_steps(std::vector{seen, half_read}).first_errors->accepted.value == 0);
  CHECK(report_steps(std::vector{half_read}, 0).exact.value == 0);
  // Only what has no label was cut: still not read.
  CHECK(report_steps(std::vector{cut_solution({0.9}, {true, none})}, 0).exact.value == 0);
  // The first error was seen: as usual, also where steps before it were cut.
  CHECK(report_steps(std::vector{cut_solution({0.9, 0.1}, {true, false, none})}).exact.value == 1);
  CHECK(report_steps(std::vector{cut_solution({0.9, 0.1}, {true, true, false}, 1)}).exact.value == 1);
  // Of one nothing was seen.
  const StepsReport none_seen = report_steps(std::vector{right, cut_solution({}, {true, false})});
  CHECK(none_seen.first_errors->found.value == 0);
  CHECK(none_seen.unseen == 2);
  ScoredSolution odd = solution({0.9}, {true});
  odd.unseen_before = 1;
  CHECK_THROWS_AS(report_steps(std::vector{odd}), UsageError);
}

TEST_CASE("a threshold is fitted with what was not seen in the denominators") {
  const auto seen = solution({0.9, 0.2}, {true, false});
  const auto right = solution({0.8}, {true});
  StepThreshold fitted = fit_step_threshold(std::vector{seen, right, cut_solution({0.9}, {true, false})});
  CHECK(fitted.f1 == doctest::Approx(2.0 / 3));
  CHECK(fitted.exact == doctest::Approx(2.0 / 3));
  CHECK(fitted.threshold == doctest::Approx(0.5));
  fitted = fit_step_threshold(std::vector{cut_solution({0.9, 0.1}, {true, true, false}, 1)});
  CHECK(fitted.exact == 1);
  CHECK(fit_step_threshold(std::vector{cut_solution({}, {true, false})}).exact == 0);
}

TEST_CASE("a solution that is cut never makes a figure better") {
  merit::Rng rng(5);
  for (Index trial = 0; trial < merit_test::random_cases(60); ++trial) {
    std::vector<ScoredSolution> whole;
    for (Index i = 0; i < 6; ++i) {
      ScoredSolution& one = whole.emplace_back();
      one.problem = i;
      for (Index k = 2 + rng.below(4); k > 0; --k) {
        one.good.push_back(rng.below(3) != 0);
        one.scores.push_back(static_cast<double>(rng.below(10)) / 10);
      }
    }
    whole[0].good.assign(whole[0].good.size(), true);  // both kinds are there
    whole[1].good[0] = false;
    std::vector<ScoredSolution> cut = whole;
    const Index which = rng.below(cut.size());
    const Index left = rng.below(cut[which].scores.size());
    cut[which].unseen_behind = cut[which].scores.size() - left;
    cut[which].scores.resize(left);
    const StepsReport a = report_steps(whole);
    const StepsReport b = report_steps(cut);
    CHECK(b.solutions == a.solutions);
    CHECK(b.steps == a.steps);
    CHECK(b.exact.value <= a.exact.value);
    CHECK(b.f1->value <= a.f1->value);
    CHECK(b.step_accuracy.value <= a.step_accuracy.value);
    CHECK(b.area_under_curve->value <= a.area_under_curve->value + 1e-12);
    CHECK(b.macro_f1 <= a.macro_f1 + 1e-12);
    const auto best = [](const std::vector<ScoredSolution>& some) { return fit_step_threshold(some).f1; };
    CHECK(best(cut) <= best(whole));
  }
}

TEST_CASE("a weight counts as often as it says, and 0 nowhere") {
  ScoredSolution heavy = solution({0.9, 0.9}, {true, false});
  heavy.weight = 3;
  ScoredSolution nothing = solution({0.1}, {true});
  nothing.weight = 0;
  const StepsReport report = report_steps(std::vector{solution({0.9}, {true}), heavy, nothing});
  CHECK(report.solutions == 2);
  CHECK(report.exact.value == 0.25);
  CHECK(report.step_accuracy.value == doctest::Approx(4.0 / 7));
}

TEST_CASE("more than a thousand completions of one problem are reported on, but for votes") {
  std::vector<ScoredCompletion> list(1001);
  for (Index i = 0; i < list.size(); ++i) {
    list[i].score = static_cast<double>(i % 97);
    list[i].probability = 0.5;
    list[i].label = i % 3 == 0 ? 1 : 0;
    list[i].answer = i % 7 == 0 ? "7" : "8";
  }
  const merit::OutcomeReport report = merit::report_outcomes(list);
  REQUIRE(report.curve.size() == 128);
  CHECK(report.curve[0].chosen.value == doctest::Approx(report.right));
  CHECK_FALSE(report.weighted_majority);
  CHECK(report.no_majority == "a problem has 1001 completions, expected at most 1000");
  list.resize(20);
  const merit::OutcomeReport few = merit::report_outcomes(list);
  CHECK(few.curve.size() == 20);
  CHECK(few.weighted_majority);
  CHECK(few.no_majority.empty());
}

TEST_CASE("solutions that are all correct, or all not, have what is defined of them") {
  const StepsReport correct =
      report_steps(std::vector{solution({0.9, 0.9}, {true, true}), solution({0.1}, {true})});
  CHECK_FALSE(correct.first_errors);
  CHECK_FALSE(correct.found);
  REQUIRE(correct.accepted);
  CHECK(correct.accepted->value == 0.5);
  CHECK((correct.correct == 2 && correct.erroneous == 0));
  const StepsReport erroneous = report_steps(std::vector{solution({0.9, 0.1}, {true, false})});
  CHECK_FALSE(erroneous.accepted);
  CHECK(erroneous.found->value == 1);
}

TEST_CASE("a completion of which nothing was left to read is a miss in every figure of outcomes") {
  merit::Rng rng(3);
  for (Index trial = 0; trial < merit_test::random_cases(20); ++trial) {
    std::vector<ScoredCompletion> whole(8);
    for (Index i = 0; i < whole.size(); ++i) {
      whole[i].score = whole[i].probability = static_cast<double>(rng.below(11)) / 10;
      whole[i].label = i % 2 == 0 ? 1 : 0;
      whole[i].problem = i / 4;
    }
    const Index which = rng.below(whole.size());
    // A good record: of its label the surest.
    whole[which].score = whole[which].probability = whole[which].label;
    std::vector<ScoredCompletion> cut = whole;
    cut[which].cut = cut[which].unseen = true;
    const OutcomeReport a = report_outcomes(whole);
    const OutcomeReport b = report_outcomes(cut);
    CHECK(b.completions == a.completions);
    CHECK((b.cut == 1 && b.unseen == 1));
    CHECK(b.right == a.right);
    CHECK(b.accuracy.value == a.accuracy.value - 1.0 / 8);
    CHECK(b.area_under_curve->value <= a.area_under_curve->value);
    CHECK(b.brier.value == doctest::Approx(a.brier.value + 1.0 / 8));
    CHECK(b.calibration_error.value >= a.calibration_error.value);
    CHECK(b.calibration.expected_error == b.calibration_error.value);
    if (whole[which].label == 1) CHECK(b.curve.back().chosen.value <= a.curve.back().chosen.value);
  }
  std::vector<ScoredCompletion> unread(2);
  unread[0].label = 1;
  unread[0].unseen = unread[1].unseen = true;
  const OutcomeReport report = report_outcomes(unread);
  CHECK(report.accuracy.value == 0);
  CHECK(report.area_under_curve->value == 0);
  CHECK(report.calibration_error.value == 1);
}

TEST_CASE("a state that a cut took is judged wrong, and stays among the states") {
  // Rollouts of return 1 and 0; the value function is near, or far off.
  merit::Rng rng(4);
  for (Index trial = 0; trial < merit_test::random_cases(60); ++trial) {
    std::vector<PredictedReturn> whole;
    for (Index i = 0; i < 12; ++i) {
      const double actual = i / 4 == 1 ? 0 : 1;
      whole.push_back({static_cast<double>(rng.below(11)) / 10, actual, i / 4});
    }
    std::vector<PredictedReturn> cut = whole;
    const Index from = rng.below(11);
    for (Index i = from; i < from + 1 + rng.below(11 - from); ++i) cut[i].value.reset();
    const ValueReport a = report_values(whole);
    const ValueReport b = report_values(cut);
    CHECK(b.states == 12);
    CHECK(b.unseen > 0);
    CHECK(b.error_of_the_mean == a.error_of_the_mean);
    CHECK(b.mean_squared_error.value >= a.mean_squared_error.value);
    CHECK(b.explained_variance->value <= a.explained_variance->value);
    if (a.correlation && b.correlation && a.correlation->value > 0)
      CHECK(b.correlation->value <= a.correlation->value + 1e-12);
  }
  const std::vector<PredictedReturn> some{{0.5, 1, 0}, {std::nullopt, 1, 0}, {0.5, 0, 1}};
  const ValueReport report = report_values(some);
  CHECK(report.unseen == 1);
  CHECK(report.mean_squared_error.value == doctest::Approx((0.25 + 1 + 0.25) / 3));
  // Of errors ½ and −½ the variance is ¼ of two states, and 1 of the third; that of the returns is 2/9.
  CHECK(report.explained_variance->value == doctest::Approx(1 - (0.5 + 1) / 3 / (2.0 / 9)));
  CHECK_THROWS_WITH_AS(report_values(std::vector<PredictedReturn>{{std::nullopt, 1, 0}}),
                       "no state was seen: a cut took all of them", DataError);
}

TEST_CASE("in a ranking a cut completion is on top only where no other was read whole") {
  ScoredRanking ranking{{1, 2}, {1, 0}, {3, 9}};
  CHECK(report_rankings(std::vector{ranking}).model.top.value == 1);
  ranking.cut = {false, true};
  const RankingReport report = report_rankings(std::vector{ranking});
  CHECK(report.model.top.value == 0);
  CHECK(report.model.pair_accuracy.value == 1);  // pairs are judged by what was read
  CHECK(report.cut == 1);
  ranking.cut = {true, true};
  CHECK(report_rankings(std::vector{ranking}).model.top.value == 1);
  ranking.cut = {true};
  CHECK_THROWS_AS(report_rankings(std::vector{ranking}), UsageError);
}

TEST_CASE("a ranking whose scores are all equal makes no rank correlation better") {
  const ScoredRanking right{{1, 0}, {0, 1}, {1, 1}};
  const ScoredRanking half{{2, 0, 1}, {0, 1, 2}, {1, 1, 1}};
  const ScoredRanking equal{{1, 1, 1}, {0, 1, 2}, {1, 1, 1}};
  const RankingReport before = report_rankings(std::vector{right, half});
  CHECK(before.kendall.value == doctest::Approx((1 + 1.0 / 3) / 2));
  CHECK(before.spearman.value == doctest::Approx((1 + 0.5) / 2));
  const RankingReport after = report_rankings(std::vector{right, equal});
  CHECK(after.kendall.value == 0.5);
  CHECK(after.spearman.value == doctest::Approx(0.5));
  CHECK(after.without_correlation == 1);
}

TEST_CASE("completions that were cut are chosen where no other is, and weights count in all other figures") {
  const auto completion = [](double score, double label, bool cut) {
    ScoredCompletion one;
    one.score = one.probability = score;
    one.label = label;
    one.cut = cut;
    return one;
  };
  std::vector<ScoredCompletion> list{completion(0.9, 0, true), completion(0.6, 1, false),
                                     completion(0.2, 0, false)};
  CHECK(report_outcomes(list).curve.back().chosen.value == 1);
  for (ScoredCompletion& one : list) one.cut = true;  // alike: by score
  CHECK(report_outcomes(list).curve.back().chosen.value == 0);

  list[0].weight = 0;
  list[1].weight = 3;
  list[2].probability = 0.7;
  const OutcomeReport report = report_outcomes(list);
  CHECK(report.completions == 2);
  CHECK(report.accuracy.value == 0.75);
  CHECK(report.right == 0.75);
}

}  // namespace cut_solutions_test
