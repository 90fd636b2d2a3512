// Calibration, classification and published benchmarks against numbers computed with NumPy and scikit-learn
// (tests/golden/generate_rl.py) and by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "merit/benchmarks/benchmark_scores.hpp"
#include "merit/eval/calibration.hpp"
#include "merit/eval/classification.hpp"
#include "stored.hpp"

namespace benchmarks_test {

using namespace merit;

using Numbers = std::vector<double>;
using Bits = std::vector<std::uint8_t>;

nlohmann::json golden(const char* part) {
  std::ifstream file(merit_test::stored("rl.json"));
  REQUIRE(file.good());
  return nlohmann::json::parse(file).at(part);
}

void check_near(double found, const nlohmann::json& expected) {
  CHECK(std::abs(found - expected.get<double>()) <= 1e-12);
}

std::vector<FirstError> first_errors(const nlohmann::json& labels) {
  std::vector<FirstError> result;
  for (const auto& label : labels) result.push_back(process_bench_label(label.get<long>()));
  return result;
}

TEST_CASE("calibration is the stored one") {
  const nlohmann::json json = golden("calibration");
  const Numbers probabilities = json.at("probabilities"), outcomes = json.at("outcomes");
  const CalibrationReport report = report_calibration(probabilities, outcomes);
  CHECK(report.predictions == 80);
  check_near(report.expected_error, json.at("expected_error"));
  check_near(report.brier, json.at("brier"));
  check_near(report.cross_entropy, json.at("cross_entropy"));
  Index counted = 0;
  for (const ReliabilityBin& bin : report.bins) {
    counted += bin.count;
    if (bin.count == 0) continue;
    CHECK(bin.mean_probability >= bin.low);
    CHECK(bin.mean_probability < bin.high + 1e-12);
  }
  CHECK(counted == 80);
}

TEST_CASE("the bins of a reliability table hold their lower border, and the last one its upper") {
  const CalibrationReport report =
      report_calibration(Numbers{0, 0.25, 0.5, 0.75, 1}, Numbers{0, 0, 1, 1, 0}, 4);
  REQUIRE(report.bins.size() == 4);
  CHECK(report.bins[0].count == 1);
  CHECK(report.bins[1].count == 1);
  CHECK(report.bins[2].count == 1);
  CHECK(report.bins[3].count == 2);
  CHECK(report.bins[3].mean_probability == 0.875);
  CHECK(report.bins[3].mean_outcome == 0.5);
  CHECK(report.expected_error == doctest::Approx((0 + 0.25 + 0.5 + 2 * 0.375) / 5).epsilon(1e-14));
  CHECK(report.largest_error == 0.5);
  CHECK(report.brier == doctest::Approx((0 + 0.0625 + 0.25 + 0.0625 + 1) / 5).epsilon(1e-14));
  CHECK(std::isfinite(report.cross_entropy));  // although a sure prediction was wrong
  CHECK_THROWS_AS(report_calibration({}, {}), DataError);
  CHECK_THROWS_AS(report_calibration(Numbers{1.5}, Numbers{1}), DataError);
  CHECK_THROWS_AS(report_calibration(Numbers{0.5}, Numbers{2}), DataError);
  CHECK_THROWS_AS(report_calibration(Numbers{0.5}, Numbers{1, 0}), UsageError);
  CHECK_THROWS_AS(report_calibration(Numbers{0.5}, Numbers{1}, 0), UsageError);
}

TEST_CASE("a temperature fitted on one half calibrates the other") {
  // Logits of ±6 that are right three times in four: the best temperature makes them log 3.
  Numbers logits, labels;
  for (int i = 0; i < 200; ++i) {
    const bool up = i % 2 == 0;
    logits.push_back(up ? 6 : -6);
    labels.push_back((i / 2 % 4 != 0) == up ? 1 : 0);
  }
  const TemperatureReport report = report_temperature(logits, labels, logits, labels);
  CHECK(report.temperature.value == doctest::Approx(6 / std::log(3.0)).epsilon(1e-12));
  CHECK(report.before.expected_error == doctest::Approx(sigmoid(6) - 0.75).epsilon(1e-12));
  CHECK(report.after.expected_error < 1e-12);
  CHECK(report.after.cross_entropy < report.before.cross_entropy);
}

TEST_CASE("the area under the curve and F1 are scikit-learn's, ties half") {
  const nlohmann::json json = golden("calibration");
  Numbers scores = json.at("probabilities");
  const Bits outcomes = json.at("outcomes");
  Bits predicted;
  for (const double score : scores) predicted.push_back(score >= 0.5 ? 1 : 0);
  check_near(area_under_curve(scores, outcomes), json.at("area_under_curve"));
  for (double& score : scores) score = std::nearbyint(score * 10) / 10;
  check_near(area_under_curve(scores, outcomes), json.at("area_under_curve_of_one_digit"));
  const BinaryCounts counts = count_predictions(predicted, outcomes);
  check_near(counts.f1(), json.at("f1_at_half"));
  check_near(counts.flipped().f1(), json.at("f1_of_zeros_at_half"));
}

TEST_CASE("counts give accuracy, precision, recall and F1, and nothing counts as 0") {
  const BinaryCounts counts = count_predictions(Bits{1, 1, 1, 0, 0, 0}, Bits{1, 1, 0, 1, 0, 0});
  CHECK(counts.true_positives == 2);
  CHECK(counts.false_positives == 1);
  CHECK(counts.false_negatives == 1);
  CHECK(counts.true_negatives == 2);
  CHECK(counts.accuracy() == 4.0 / 6);
  CHECK(counts.precision() == 2.0 / 3);
  CHECK(counts.recall() == 2.0 / 3);
  CHECK(counts.f1() == 2.0 / 3);
  CHECK(BinaryCounts{1, 2, 3, 4}.precision() == 1.0 / 3);
  CHECK(BinaryCounts{1, 2, 3, 4}.recall() == 1.0 / 5);
  CHECK(BinaryCounts{}.f1() == 0);
  CHECK(BinaryCounts{}.accuracy() == 0);
  CHECK(area_under_curve(Numbers{1, 2, 2, 3}, Bits{0, 1, 0, 1}) == 3.5 / 4);
  CHECK(area_under_curve(Numbers{5, 5, 5}, Bits{0, 1, 0}) == 0.5);
  CHECK_THROWS_AS(area_under_curve(Numbers{1, 2}, Bits{1, 1}), DataError);
  CHECK_THROWS_AS(area_under_curve(Numbers{1, 2}, Bits{1}), UsageError);
  CHECK_THROWS_AS(area_under_curve({}, {}), DataError);
  CHECK_THROWS_AS(count_predictions(Bits{1}, Bits{}), UsageError);
}

TEST_CASE("of solutions of one kind every figure is given that is defined") {
  const std::vector<FirstError> right{FirstError{}, FirstError{}}, guessed{FirstError{}, 1};
  const FirstErrorFigures correct = first_error_figures(guessed, right);
  CHECK(correct.accepted->value == 0.5);
  CHECK(!correct.found);
  CHECK(!correct.f1);
  const FirstErrorFigures erroneous = first_error_figures(guessed, std::vector<FirstError>{1, 1});
  CHECK(erroneous.found->value == 0.5);
  CHECK(!erroneous.accepted);
}

TEST_CASE("ProcessBench's F1 is the stored one, from exact places only") {
  const nlohmann::json json = golden("process_bench");
  const FirstErrorSubset subset{first_errors(json.at("predicted")), first_errors(json.at("actual"))};
  const FirstErrorReport report = report_first_errors(subset.predicted, subset.actual);
  CHECK(report.erroneous + report.correct == 60);
  check_near(report.found.value, json.at("found"));
  check_near(report.accepted.value, json.at("accepted"));
  check_near(report.f1, json.at("f1"));

  const FirstErrorSubset half{{0, 2, FirstError{}, 1}, {0, 3, FirstError{}, FirstError{}}};
  const ProcessBenchReport both = report_process_bench(std::vector{subset, half});
  CHECK(both.subsets[1].f1 == 0.5);  // a near miss is a miss
  CHECK(both.mean_f1 == doctest::Approx((report.f1 + 0.5) / 2).epsilon(1e-14));
  const std::vector<FirstError> none{FirstError{}, 1}, wrong{2, FirstError{}};
  CHECK(report_first_errors(wrong, none).f1 == 0);
  CHECK_THROWS_AS(report_first_errors(std::vector<FirstError>{1}, std::vector<FirstError>{1}), DataError);
  CHECK_THROWS_AS(report_first_errors(none, std::vector<FirstError>{1}), UsageError);
  CHECK_THROWS_AS(report_process_bench({}), DataError);
  CHECK_THROWS_AS(process_bench_label(-2), DataError);
  CHECK(process_bench_label(-1) == std::nullopt);
  CHECK(process_bench_label(4) == 4);
}

TEST_CASE("one of four gets its share when it is at the top") {
  CHECK(best_of_four_credit(Numbers{3, 1, 2, 0}) == 1);
  CHECK(best_of_four_credit(Numbers{3, 3, 2, 0}) == 0.5);
  CHECK(best_of_four_credit(Numbers{1, 1, 1, 1}) == 0.25);
  CHECK(best_of_four_credit(Numbers{3, 4, 4, 0}) == 0);
  CHECK_THROWS_AS(best_of_four_credit({}), DataError);
}

TEST_CASE("the Ties score of RewardBench 2 is the stored one, spreads of 0 among them") {
  const nlohmann::json json = golden("ties");
  const auto scores = [](const nlohmann::json& prompt) {
    return TiesScores{prompt.at("correct"), prompt.at("incorrect")};
  };
  std::vector<TiesProblem> problems;
  for (const auto& problem : json.at("problems"))
    problems.push_back({scores(problem.at("reference")), scores(problem.at("tied"))});
  const TiesReport report = report_ties(problems);
  CHECK(report.problems == 12);
  check_near(report.preferred, json.at("preferred"));
  check_near(report.preferred_hard, json.at("preferred_hard"));
  check_near(report.margin, json.at("margin"));
  check_near(report.score, json.at("score"));
}

TEST_CASE("a hand-made Ties problem has the score its formula says") {
  const TiesProblem problem{{{2}, {0, -1}}, {{3, 2.5}, {1, 0}}};  // gaps 2 and 1.5, spread 0.5
  const TiesReport report = report_ties(std::vector{problem});
  CHECK(report.margin == doctest::Approx(std::tanh(2.0)).epsilon(1e-14));
  CHECK(report.score == doctest::Approx(1 + 0.01 * std::tanh(2.0)).epsilon(1e-14));
  const TiesProblem lost{{{0}, {0, -1}}, {{3, 1.5}, {1, 0}}};  // gaps 0 and 0.5, spread 1.5
  CHECK(report_ties(std::vector{lost}).score ==
        doctest::Approx(0.30 + 0.01 * std::tanh(-1.0)).epsilon(1e-14));
  CHECK_THROWS_AS(report_ties({}), DataError);
  CHECK_THROWS_AS(report_ties(std::vector{TiesProblem{{{2}, {}}, {{3, 2}, {1}}}}), DataError);
  CHECK_THROWS_AS(report_ties(std::vector{TiesProblem{{{2}, {1}}, {{3}, {1}}}}), DataError);
  CHECK_THROWS_AS(report_ties(std::vector{TiesProblem{{{2, 3}, {1}}, {{3, 2}, {1}}}}), DataError);
}

TEST_CASE("RM-Bench's easy, normal and hard are the stored ones") {
  const nlohmann::json json = golden("styles");
  std::vector<StyleScores> prompts;
  for (Index i = 0; i < json.at("chosen").size(); ++i)
    prompts.push_back({json.at("chosen")[i], json.at("rejected")[i]});
  const StyleReport report = report_styles(prompts);
  check_near(report.easy, json.at("easy"));
  check_near(report.normal, json.at("normal"));
  check_near(report.hard, json.at("hard"));
  CHECK(report.mean == doctest::Approx((report.easy + report.normal + report.hard) / 3).epsilon(1e-14));
}

TEST_CASE("a judge of style alone finds the easy pairs easy and the hard ones hopeless") {
  const StyleReport report = report_styles(std::vector{StyleScores{{1, 2, 3}, {1, 2, 3}}});
  CHECK(report.easy == doctest::Approx(1).epsilon(1e-14));
  CHECK(report.normal == 0);  // ties are lost
  CHECK(report.hard == 0);
  CHECK(report.ties == 3);
  CHECK(report.wins[2][0] == 1);
  CHECK(report.wins[0][2] == 0);
  CHECK_THROWS_AS(report_styles({}), DataError);
  CHECK_THROWS_AS(report_styles(std::vector{StyleScores{{1, std::nan(""), 3}, {1, 2, 3}}}), DataError);
}

TEST_CASE("PRMScore is half the F1 of good steps and half that of bad ones, by class and over all steps") {
  // {good taken as good, bad as good, bad as bad, good as bad}
  const std::vector<StepClass> classes{{"confidence", {6, 2, 3, 1}}, {"multi_solutions", {8, 0, 0, 2}}};
  const PrmBenchReport report = report_prm_bench(classes);
  REQUIRE(report.classes.size() == 2);
  CHECK(report.classes[0] == doctest::Approx((12.0 / 15 + 6.0 / 9) / 2).epsilon(1e-14));
  CHECK(report.classes[1] == doctest::Approx(16.0 / 18).epsilon(1e-14));
  CHECK(report.score == doctest::Approx((28.0 / 33 + 6.0 / 11) / 2).epsilon(1e-14));
  CHECK_THROWS_AS(report_prm_bench({}), DataError);
}

}  // namespace benchmarks_test
