// The reports of outcomes, steps, rankings, ratings and values, against numbers computed with SciPy and
// scikit-learn (tests/golden/generate_reports.py) and by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "merit/eval/correlation.hpp"
#include "merit/eval/outcome_report.hpp"
#include "merit/eval/ranking_report.hpp"
#include "merit/eval/ratings_report.hpp"
#include "merit/eval/steps_report.hpp"
#include "stored_reports.hpp"

namespace kind_reports_test {

using namespace merit;
using namespace merit_test;

using Numbers = std::vector<double>;

ScoredCompletion completion(double probability, double label, Index problem, std::string answer = {}) {
  ScoredCompletion one;
  one.score = one.probability = probability;
  one.label = label;
  one.problem = problem;
  one.answer = std::move(answer);
  return one;
}

ScoredSolution solution(Numbers scores, std::vector<std::optional<bool>> good) {
  return {std::move(scores), std::move(good), 0};
}

constexpr auto none = std::nullopt;

TEST_CASE("an interval over groups is as wide as groups vary, and of single items the plain one") {
  const nlohmann::json json = golden("ratio");
  const Numbers sums = json.at("sums"), counts = json.at("counts");
  const Estimate ratio = bootstrap_ratio(sums, counts);
  check_near(ratio, json.at("value"));
  CHECK(ratio.high - ratio.low ==
        doctest::Approx(2 * 1.96 * json.at("standard_error").get<double>()).epsilon(0.1));

  const Numbers ones(sums.size(), 1.0);
  const Estimate grouped = bootstrap_ratio(sums, ones), plain = bootstrap_mean(sums);
  CHECK(grouped.value == doctest::Approx(plain.value).epsilon(1e-14));
  CHECK(grouped.low == doctest::Approx(plain.low).epsilon(1e-14));
  CHECK(grouped.high == doctest::Approx(plain.high).epsilon(1e-14));

  // Half of the resamples of two groups draw one of them twice and have no second kind: they are left out.
  const Estimate few = bootstrap_ratio(Numbers{1, 0}, Numbers{1, 0});
  CHECK(few.low == 1);
  CHECK(few.high == 1);
  CHECK_THROWS_AS(bootstrap_ratio(Numbers{}, Numbers{}), UsageError);
  CHECK_THROWS_AS(bootstrap_ratio(Numbers{0}, Numbers{0}), DataError);
  CHECK_THROWS_AS(bootstrap_ratio(Numbers{1}, Numbers{1, 2}), UsageError);
}

TEST_CASE("correlations are SciPy's, ties among the numbers") {
  const nlohmann::json json = golden("ratings");
  const Numbers scores = json.at("scores"), ratings = json.at("ratings");
  check_near(pearson_correlation(scores, ratings), json.at("pearson"));
  check_near(spearman_correlation(scores, ratings), json.at("spearman"));
  check_near(kendall_correlation(scores, ratings), json.at("kendall"));
  CHECK(spearman_correlation(Numbers{1, 2, 3}, Numbers{-1, -10, -100}) == doctest::Approx(-1).epsilon(1e-14));
  CHECK(kendall_correlation(Numbers{1, 2, 3}, Numbers{1, 3, 2}) == doctest::Approx(1.0 / 3).epsilon(1e-14));
  for (const auto& function : {pearson_correlation, spearman_correlation, kendall_correlation}) {
    CHECK_THROWS_AS(function(Numbers{0.1, 0.1, 0.1}, Numbers{1, 2, 3}), DataError);
    CHECK_THROWS_AS(function(Numbers{1, 2}, Numbers{1, 2, 3}), UsageError);
    CHECK_THROWS_AS(function(Numbers{1, std::nan("")}, Numbers{1, 2}), DataError);
    CHECK_THROWS_AS(function(Numbers{}, Numbers{}), DataError);
  }
}

TEST_CASE("the report of outcomes is the stored one, its baselines too") {
  const nlohmann::json json = golden("outcome");
  std::vector<ScoredCompletion> completions;
  for (const auto& from : json.at("completions")) {
    completions.push_back(completion(from.at("probability"), from.at("label"), from.at("problem"),
                                     from.at("answer").get<std::string>()));
    ScoredCompletion& one = completions.back();
    one.length = from.at("length");
    one.lines = from.at("lines");
    one.states_answer = from.at("states_answer");
  }
  OutcomeOptions options;
  options.threshold = json.at("threshold");
  const OutcomeReport report = report_outcomes(completions, options);
  CHECK(report.completions == 54);
  CHECK(report.problems == 12);
  CHECK(report.threshold == options.threshold);
  check_near(report.area_under_curve, json.at("area_under_curve"));
  check_near(report.accuracy, json.at("accuracy"));
  check_near(report.right, json.at("right"));
  check_near(report.accuracy_of_one_label, 1 - json.at("right").get<double>());
  check_near(report.brier, json.at("brier"));
  check_near(report.brier_of_the_share, json.at("brier_of_the_share"));
  check_near(report.calibration.expected_error, json.at("calibration_error"));
  check_near(report.calibration_error.value, json.at("calibration_error"));
  CHECK(report.calibration_error.low < report.calibration_error.high);
  CHECK(report.curve_problems == 12);
  REQUIRE(report.curve.size() == 4);
  for (Index i = 0; i < 4; ++i) {
    CAPTURE(i);
    CHECK(report.curve[i].n == i + 1);
    check_near(report.curve[i].chosen, json.at("chosen")[i]);
    check_near(report.curve[i].pass.value, json.at("pass")[i]);
    check_near(report.curve[i].majority, json.at("majority")[i]);
  }
  check_near(report.weighted_majority, json.at("weighted_majority"));
  REQUIRE(report.baselines.size() == 5);
  for (const OutcomeBaseline& baseline : report.baselines) {
    CAPTURE(baseline.name);
    const nlohmann::json& expected = json.at("baselines").at(std::string(baseline.name));
    check_near(baseline.area_under_curve, expected.at("area_under_curve"));
    REQUIRE(baseline.chosen.size() == 4);
    for (Index i = 0; i < 4; ++i) check_near(baseline.chosen[i].value, expected.at("chosen")[i]);
  }

  // A longer curve leaves out the problems that have fewer.
  options.largest_n = 5;
  const OutcomeReport longer = report_outcomes(completions, options);
  CHECK(longer.curve.size() == 5);
  CHECK(longer.curve_problems == 6);
  options.largest_n = 6;
  CHECK(report_outcomes(completions, options).curve.empty());
}

TEST_CASE(
    "outcomes that are all right, alone, unanswered, soft or on a finer scale are reported as what they "
    "are") {
  const OutcomeReport all_right =
      report_outcomes(std::vector{completion(0.9, 1, 0), completion(0.25, 1, 1), completion(0.5, 1, 2)});
  CHECK(!all_right.area_under_curve);
  CHECK(all_right.curve.empty());  // no problem has several completions
  CHECK(all_right.curve_problems == 0);
  CHECK(!all_right.weighted_majority);
  CHECK(all_right.accuracy.value == doctest::Approx(2.0 / 3));  // a half says right
  CHECK(all_right.accuracy_of_one_label == 1);
  for (const OutcomeBaseline& baseline : all_right.baselines) {
    CHECK(!baseline.area_under_curve);
    CHECK(baseline.chosen.empty());
  }

  // Two that state nothing are no majority of two.
  const OutcomeReport voted =
      report_outcomes(std::vector{completion(0.2, 0, 0), completion(0.3, 0, 0), completion(0.4, 1, 0, "4"),
                                  completion(0.1, 1, 0, "4"), completion(0.2, 0, 0)});
  CHECK(voted.curve.back().majority.value == 1);
  REQUIRE(voted.weighted_majority);
  CHECK(voted.weighted_majority->value == 1);

  // The score orders, the probability calibrates.
  std::vector<ScoredCompletion> fine{completion(0, 1, 0, "4"), completion(0, 0, 0, "5")};
  fine[0].score = -800, fine[1].score = -900;
  const OutcomeReport scored = report_outcomes(fine);
  REQUIRE(scored.area_under_curve);
  CHECK(scored.area_under_curve->value == 1);
  CHECK(scored.curve[1].chosen.value == 1);
  CHECK(scored.brier.value == 0.5);
  REQUIRE(scored.weighted_majority);
  CHECK(scored.weighted_majority->value == 0.5);  // votes are probabilities, here equal

  const OutcomeReport soft =
      report_outcomes(std::vector{completion(0.75, 0.75, 0), completion(0.25, 0.25, 0)});
  CHECK(soft.brier.value == 0);
  CHECK(soft.accuracy.value == 1);
  CHECK(soft.curve[1].chosen.value == 0.75);

  CHECK_THROWS_AS(report_outcomes({}), DataError);
  CHECK_THROWS_AS(report_outcomes(std::vector{completion(1.5, 1, 0)}), DataError);
  CHECK_THROWS_AS(report_outcomes(std::vector{completion(0.5, 2, 0)}), DataError);
  fine[0].score = std::nan("");
  CHECK_THROWS_AS(report_outcomes(fine), DataError);
}

TEST_CASE("completions of one problem count as one draw: repeating them makes no interval narrower") {
  std::vector<ScoredCompletion> once, often;
  for (Index i = 0; i < 30; ++i) {
    const ScoredCompletion one = completion(i % 3 == 0 ? 0.2 : 0.8, i % 2 == 0 ? 1 : 0, i);
    once.push_back(one);
    for (int repeat = 0; repeat < 5; ++repeat) often.push_back(one);
  }
  const OutcomeReport a = report_outcomes(once), b = report_outcomes(often);
  CHECK(a.accuracy.low == doctest::Approx(b.accuracy.low).epsilon(1e-12));
  CHECK(a.accuracy.high == doctest::Approx(b.accuracy.high).epsilon(1e-12));
  CHECK(a.area_under_curve->low == doctest::Approx(b.area_under_curve->low).epsilon(1e-12));
  CHECK(a.calibration_error.high == doctest::Approx(b.calibration_error.high).epsilon(1e-12));
}

TEST_CASE("the report of steps is the stored one, and the fitted threshold the best of all") {
  const nlohmann::json json = golden("steps");
  std::vector<ScoredSolution> solutions;
  for (const auto& from : json.at("solutions")) {
    ScoredSolution& one = solutions.emplace_back();
    one.scores = from.at("scores").get<Numbers>();
    one.problem = from.at("problem");
    for (const auto& label : from.at("good"))
      one.good.push_back(label.is_null() ? std::optional<bool>() : label.get<int>() == 1);
  }
  const StepThreshold fitted = fit_step_threshold(solutions);
  check_near(fitted.f1, json.at("best_f1"));
  check_near(fitted.exact, json.at("best_exact"));
  const StepsReport best = report_steps(solutions, fitted.threshold);
  REQUIRE(best.f1);
  check_near(best.f1->value, json.at("best_f1"));
  check_near(best.exact.value, json.at("best_exact"));

  solutions.push_back(solution({0.1, 0.2}, {none, none}));
  const StepsReport report = report_steps(solutions, json.at("threshold"));
  CHECK(report.solutions == 40);
  CHECK(report.unlabelled == 1);
  REQUIRE(report.first_errors);
  CHECK(report.first_errors->erroneous + report.first_errors->correct == 40);
  check_near(report.first_errors->found, json.at("found"));
  check_near(report.first_errors->accepted, json.at("accepted"));
  check_near(report.first_errors->f1, json.at("f1"));
  check_near(report.f1, json.at("f1"));
  check_near(report.exact, json.at("exact"));
  check_near(report.step_accuracy, json.at("step_accuracy"));
  check_near(report.f1_of_good, json.at("f1_of_good"));
  check_near(report.f1_of_bad, json.at("f1_of_bad"));
  check_near(report.macro_f1, json.at("macro_f1"));
  check_near(report.area_under_curve, json.at("area_under_curve"));
  check_near(report.step_accuracy_of_all_good, json.at("all_good"));
  REQUIRE(report.baselines.size() == 2);
  check_near(report.baselines[0].exact, json.at("no_error"));
  check_near(report.baselines[1].exact, json.at("first_step"));
  CHECK(report.baselines[0].accepted == 1);
  CHECK(report.baselines[1].found == doctest::Approx(report.baselines[1].exact * 40 /
                                                     static_cast<double>(report.first_errors->erroneous)));
  CHECK(report.baselines[0].f1 + report.baselines[1].f1 == 0);
}

TEST_CASE("a probability is in the bin whose borders hold it") {
  for (const Index bins : {Index{10}, Index{100}, Index{7}}) {
    for (Index k = 0; k <= bins; ++k) {
      const double border = static_cast<double>(k) / static_cast<double>(bins);
      CHECK(detail::bin_of(border, bins) == std::min(k, bins - 1));
      if (k > 0) CHECK(detail::bin_of(std::nextafter(border, 0.0), bins) == k - 1);
    }
  }
}

TEST_CASE("a draw without an erroneous or a correct solution has no F1, which is not an F1 of 0") {
  std::vector<ScoredSolution> solutions;
  for (Index i = 0; i < 10; ++i) {
    solutions.push_back(i == 0 ? solution({0.9, 0.1}, {true, false}) : solution({0.9, 0.8}, {true, true}));
    solutions.back().problem = i;
  }
  const StepsReport report = report_steps(solutions);
  REQUIRE(report.f1);
  CHECK(report.f1->value == 1);
  CHECK(report.f1->low == 1);
}

TEST_CASE("a threshold lies between the scores it has to part, and is in reach of all of them") {
  const auto one = solution({0.9, 0.2, 0.1}, {true, false, none});
  const auto right = solution({0.8, 0.6}, {true, true});
  StepThreshold fitted = fit_step_threshold(std::vector{one, right});
  CHECK(fitted.threshold == doctest::Approx(0.4).epsilon(1e-14));
  CHECK(fitted.f1 == 1);
  CHECK(fitted.exact == 1);
  // Only correct ones: nothing is flagged. Only errors at the first step: everything is.
  fitted = fit_step_threshold(std::vector{right});
  CHECK(fitted.threshold == 0.6);
  CHECK(fitted.exact == 1);
  fitted = fit_step_threshold(std::vector{solution({0.9, 0.2}, {false, none})});
  CHECK(fitted.threshold > 0.9);
  CHECK(fitted.exact == 1);
  // An error that scores higher than a step before it is found by no threshold.
  fitted = fit_step_threshold(std::vector{solution({0.5, 0.7}, {true, false})});
  CHECK(fitted.exact == 0);
  const double next = std::nextafter(0.5, 1.0);
  fitted = fit_step_threshold(std::vector{solution({next, 0.5}, {true, false})});
  CHECK(fitted.threshold == next);
  CHECK(report_steps(std::vector{solution({next, 0.5}, {true, false})}, fitted.threshold).exact.value == 1);
  CHECK_THROWS_AS(fit_step_threshold({}), DataError);
  CHECK_THROWS_AS(fit_step_threshold(std::vector{solution({1}, {none})}), DataError);
}

TEST_CASE(
    "steps of one kind of solution only have no F1, and labels after the first error still count as steps") {
  const StepsReport report = report_steps(std::vector{solution({0.9, 0.2, 0.8}, {true, false, true})});
  CHECK(!report.first_errors);
  CHECK(!report.f1);
  CHECK(report.exact.value == 1);
  CHECK(report.steps == 3);
  CHECK(report.counts.true_negatives == 1);
  CHECK(report.counts.true_positives == 2);
  CHECK(report.step_accuracy.value == 1);
  CHECK(report.baselines[0].accepted == 0);
  CHECK(report.area_of_earlier->value == 0.5);
  const StepsReport late = report_steps(std::vector{solution({0, 0, 0, 1}, {true, true, false, none})});
  CHECK(late.area_of_earlier->value == 1);
  const StepsReport right = report_steps(std::vector{solution({0.9}, {true})});
  CHECK(!right.area_under_curve);
  CHECK(right.baselines[0].exact == 1);
  CHECK(right.baselines[1].exact == 0);
  CHECK_THROWS_AS(report_steps({}), DataError);
  CHECK_THROWS_AS(report_steps(std::vector{solution({1, 2}, {true})}), UsageError);
  CHECK_THROWS_AS(report_steps(std::vector{solution({std::nan("")}, {true})}), DataError);
}

TEST_CASE("the report of rankings is the stored one") {
  const nlohmann::json json = golden("ranking");
  std::vector<ScoredRanking> rankings;
  for (const auto& from : json.at("rankings"))
    rankings.push_back({from.at("scores"), from.at("ranks"), from.at("lengths")});
  rankings.push_back({{1, 2}, {0, 0}, {3, 4}});
  const RankingReport report = report_rankings(rankings);
  CHECK(report.groups == 15);
  CHECK(report.all_tied == 1);
  CHECK(report.pairs == json.at("pairs").get<Index>());
  check_near(report.kendall, json.at("kendall"));
  check_near(report.spearman, json.at("spearman"));
  check_near(report.top_by_chance, json.at("top_by_chance"));
  const auto check_order = [&](const OrderReport& found, const char* name) {
    CAPTURE(name);
    check_near(found.pair_accuracy, json.at(name).at("pair_accuracy"));
    check_near(found.top, json.at(name).at("top"));
  };
  check_order(report.model, "model");
  check_order(report.longest, "longest");
  check_order(report.shortest, "shortest");
}

TEST_CASE("a hand-made ranking counts ties of ranks and of scores, and shares the top") {
  const std::vector<ScoredRanking> groups{{{2, 2, 1, 0}, {0, 1, 1, 2}, {5, 9, 5, 5}},
                                          {{1, 1}, {1, 0}, {2, 1}}};
  const RankingReport report = report_rankings(groups);
  CHECK(report.pairs == 6);
  CHECK(report.rank_ties == 1);
  CHECK(report.score_ties == 2);
  CHECK(report.model.pair_accuracy.value == doctest::Approx((4.5 + 0.5) / 6).epsilon(1e-14));
  CHECK(report.model.top.value == 0.5);
  CHECK(report.top_by_chance == doctest::Approx((0.25 + 0.5) / 2).epsilon(1e-14));
  CHECK(report.without_correlation == 1);
  CHECK(report.longest.top.value == 0);
  CHECK(report.shortest.top.value == doctest::Approx((1.0 / 3 + 1) / 2).epsilon(1e-14));
  CHECK(!report.most_lines);
  std::vector<ScoredRanking> with_lines = groups;
  with_lines[0].lines = {3, 1, 1, 0};              // 5 of 5 pairs
  CHECK(!report_rankings(with_lines).most_lines);  // not known of both groups
  with_lines[1].lines = {4, 4};                    // a tie
  const RankingReport formatted = report_rankings(with_lines);
  REQUIRE(formatted.most_lines);
  CHECK(formatted.most_lines->pair_accuracy.value == doctest::Approx(5.5 / 6).epsilon(1e-14));
  CHECK(formatted.most_lines->top.value == 0.75);
  with_lines[1].lines = {4};
  CHECK_THROWS_WITH_AS(report_rankings(with_lines),
                       "report_rankings: found lines of 1 completions, expected 2 or none", UsageError);
  const RankingReport flat = report_rankings(std::vector{groups[1]});
  CHECK(flat.kendall.value == 0);  // no order is known
  CHECK(flat.spearman.value == 0);
  CHECK_THROWS_WITH_AS(report_rankings(std::vector{ScoredRanking{{1, 2}, {1, 1}, {1, 1}}}),
                       "found 1 group of completions, all of them tied, expected at least one with two "
                       "different ranks",
                       DataError);
  CHECK_THROWS_AS(report_rankings({}), DataError);
  CHECK_THROWS_AS(report_rankings(std::vector{ScoredRanking{{1, 2}, {0}, {1, 1}}}), UsageError);
  CHECK_THROWS_AS(report_rankings(std::vector{ScoredRanking{{1, std::nan("")}, {0, 1}, {1, 1}}}), DataError);
}

TEST_CASE("the report of ratings is the stored one, beside length and the mean") {
  const nlohmann::json json = golden("ratings");
  std::vector<RatedCompletion> completions;
  for (Index i = 0; i < json.at("scores").size(); ++i) {
    completions.push_back(
        {json.at("scores")[i], json.at("ratings")[i], json.at("prompts")[i], json.at("lengths")[i]});
  }
  const RatingsReport report = report_ratings(completions);
  CHECK(report.completions == 42);
  CHECK(report.prompts == 14);
  CHECK(report.pairs == json.at("pairs").get<Index>());
  check_near(report.model.pearson, json.at("pearson"));
  check_near(report.model.spearman, json.at("spearman"));
  check_near(report.model.pair_accuracy, json.at("pair_accuracy"));
  check_near(report.mean_squared_error, json.at("mean_squared_error"));
  check_near(report.error_of_the_mean, json.at("error_of_the_mean"));
  check_near(report.length.spearman, json.at("length_spearman"));

  const RatingsReport flat =
      report_ratings(std::vector<RatedCompletion>{{1, 3, 0, 5}, {1, 3, 0, 6}, {1, 4, 1, 5}});
  CHECK(!flat.model.pearson);
  CHECK(!flat.model.spearman);
  CHECK(!flat.model.pair_accuracy);  // the two of one prompt were rated alike
  CHECK(flat.pairs == 0);
  CHECK(flat.length.pearson);
  CHECK(!flat.lines.pearson);  // all of 0 lines
  const RatingsReport lines =
      report_ratings(std::vector<RatedCompletion>{{1, 3, 0, 5, 2}, {1, 2, 0, 6, 7}, {1, 4, 1, 5, 1}});
  REQUIRE(lines.lines.spearman);
  CHECK(lines.lines.spearman->value == doctest::Approx(-1).epsilon(1e-14));
  CHECK(lines.lines.pair_accuracy->value == 0);
  CHECK_THROWS_AS(report_ratings({}), DataError);
  CHECK_THROWS_AS(report_ratings(std::vector<RatedCompletion>{{std::nan(""), 1, 0, 1}}), DataError);
}

TEST_CASE("a resample's Spearman is that of the items drawn, each as often as it was") {
  const Numbers a{1, 5, 2, 2}, b{2, 3, 1, 4}, weights{2, 1, 0, 3};
  const Numbers drawn_a{1, 1, 5, 2, 2, 2}, drawn_b{2, 2, 3, 4, 4, 4};
  const double found =
      detail::weighted_pearson(detail::weighted_ranks(a, detail::by_weight(a), weights),
                               detail::weighted_ranks(b, detail::by_weight(b), weights), weights);
  CHECK(found == doctest::Approx(spearman_correlation(drawn_a, drawn_b)).epsilon(1e-12));
}

TEST_CASE("the report of values is the stored one") {
  const nlohmann::json json = golden("values");
  std::vector<PredictedReturn> states;
  for (Index i = 0; i < json.at("values").size(); ++i)
    states.push_back({json.at("values")[i], json.at("returns")[i], json.at("rollouts")[i]});
  const ValueReport report = report_values(states);
  CHECK(report.states == 60);
  CHECK(report.rollouts == 10);
  check_near(report.explained_variance, json.at("explained_variance"));
  check_near(report.mean_squared_error, json.at("mean_squared_error"));
  check_near(report.error_of_the_mean, json.at("error_of_the_mean"));
  check_near(report.correlation, json.at("correlation"));
  const ValueReport flat = report_values(std::vector<PredictedReturn>{{1, 0.1, 0}, {2, 0.1, 0}, {3, 0.1, 1}});
  CHECK(!flat.explained_variance);
  CHECK(!flat.correlation);
  CHECK(flat.error_of_the_mean == 0);
  CHECK_THROWS_AS(report_values({}), DataError);
}

}  // namespace kind_reports_test
