// The figures of published benchmarks, against numbers computed with SciPy and scikit-learn
// (tests/golden/generate_reports.py) and by hand.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/stored_reports.hpp"
#include "merit/benchmarks/benchmark_scores.hpp"

namespace benchmark_reports_test {

using namespace merit;
using namespace merit_test;

using Numbers = std::vector<double>;

TEST_CASE("RewardBench's sections weigh their subsets as published, and leave out those that are not there") {
  const nlohmann::json json = golden("reward_bench");
  std::vector<std::string> names;
  Numbers chosen, rejected;
  std::vector<Index> chosen_lengths, rejected_lengths;
  Index ties = 0;
  for (const auto& pair : json.at("pairs")) {
    names.push_back(pair[0]);
    chosen.push_back(pair[1]);
    rejected.push_back(pair[2]);
    chosen_lengths.push_back(pair[3]);
    rejected_lengths.push_back(pair[4]);
    ties += pair[1] == pair[2] ? 1 : 0;
  }
  const RewardBenchReport report =
      report_reward_bench(names, chosen, rejected, chosen_lengths, rejected_lengths);
  CHECK(report.pairs == names.size());
  CHECK(report.ties == ties);
  CHECK(report.subsets.size() == 6);
  REQUIRE(report.sections.size() == 3);
  for (const SectionScore& section : report.sections)
    check_near(section.accuracy, json.at("sections").at(section.name));
  CHECK(report.sections[2].name == "Reasoning");
  CHECK(report.sections[2].weight == 984 + 2 * 164);
  check_near(report.score, json.at("score"));
  check_near(report.longer_wins, json.at("longer_wins"));

  const std::vector<Index> lengths{1, 1};
  const std::vector<std::string> two{"math-prm", "hep-go"};
  const RewardBenchReport reasoning =
      report_reward_bench(two, Numbers{1, 0}, Numbers{0, 0}, lengths, lengths);
  CHECK(reasoning.score.value == doctest::Approx(984.0 / 1148).epsilon(1e-14));  // the tie is lost
  // Pairs without a score are lost too, and stay in the denominator.
  const std::vector<std::string> unscored{"math-prm", "hep-go"};
  const RewardBenchReport lost =
      report_reward_bench(two, Numbers{1, 1}, Numbers{0, 0}, lengths, lengths, unscored);
  CHECK(lost.pairs == 4);
  CHECK(lost.unscored == 2);
  CHECK(lost.ties == 0);
  CHECK(lost.score.value == doctest::Approx(0.5).epsilon(1e-14));
  CHECK(lost.subsets[0].count == 2);
  CHECK_THROWS_AS(
      report_reward_bench(std::vector<std::string>{"a", "b"}, Numbers{1, 0}, Numbers{0, 0}, lengths, lengths),
      DataError);
  CHECK_THROWS_AS(report_reward_bench(two, Numbers{1, 0}, Numbers{0}, lengths, lengths), UsageError);
  CHECK_THROWS_AS(report_reward_bench({}, {}, {}, {}, {}), DataError);
}

TEST_CASE("subsets are averaged each for itself, and RewardBench 2 counts Ties as one of them") {
  const std::vector<std::string> names{"Math", "Focus", "Math", "Math"};
  const Numbers credits{1, 0.25, 0, 0.5};
  const SubsetsReport subsets = report_subsets(names, credits);
  REQUIRE(subsets.subsets.size() == 2);
  CHECK(subsets.subsets[0].name == "Math");
  CHECK(subsets.subsets[0].count == 3);
  CHECK(subsets.subsets[0].mean.value == 0.5);
  CHECK(subsets.subsets[1].mean.value == 0.25);
  CHECK(subsets.mean.value == 1.75 / 4);
  CHECK(subsets.mean_of_subsets == 0.375);
  const std::vector<TiesProblem> ties{{{{2}, {0, -1}}, {{3, 2.5}, {1, 0}}}};
  const RewardBench2Report report = report_reward_bench_2(names, credits, ties);
  REQUIRE(report.ties);
  CHECK(report.score == doctest::Approx((0.5 + 0.25 + report.ties->score) / 3).epsilon(1e-14));
  CHECK(report_reward_bench_2(names, credits, {}).score == 0.375);
  CHECK(report_reward_bench_2({}, {}, ties).score == report.ties->score);
  CHECK_THROWS_AS(report_reward_bench_2({}, {}, {}), DataError);
  CHECK_THROWS_AS(report_subsets(names, Numbers{1}), UsageError);
}

TEST_CASE("RM-Bench's domains count the same, and the halves of safety are one") {
  const StyleScores won{{9, 9, 9}, {1, 1, 1}}, lost{{1, 1, 1}, {9, 9, 9}}, style{{1, 2, 3}, {1, 2, 3}};
  const std::vector<std::string> domains{"chat", "safety-refuse", "safety-response", "chat", "safety-refuse"};
  const RmBenchReport report = report_rm_bench(domains, std::vector{won, lost, won, style, lost});
  REQUIRE(report.domains.size() == 2);
  CHECK(report.domains[0].name == "chat");
  CHECK(report.domains[0].easy == doctest::Approx(1).epsilon(1e-14));
  CHECK(report.domains[0].normal == doctest::Approx(0.5).epsilon(1e-14));
  CHECK(report.domains[0].hard == doctest::Approx(0.5).epsilon(1e-14));
  CHECK(report.domains[1].name == "safety");
  CHECK(report.domains[1].prompts == 3);
  CHECK(report.domains[1].mean == doctest::Approx(0.5).epsilon(1e-14));  // not 1 / 3
  CHECK(report.all.easy == doctest::Approx(0.75).epsilon(1e-14));
  CHECK(report.all.mean == doctest::Approx((2.0 / 3 + 0.5) / 2).epsilon(1e-14));
  CHECK(report.all.prompts == 5);
  CHECK(report.styles.prompts == 5);
  CHECK_THROWS_AS(report_rm_bench(domains, std::vector{won}), UsageError);
}

TEST_CASE("steps are counted by PRMBench's class") {
  const std::vector<std::string> classes{"circular", "deception", "circular"};
  const std::vector<Numbers> scores{{0.9, 0.1}, {0.5}, {0.2, 0.8}};
  const std::vector<std::vector<bool>> good{{true, false}, {false}, {true, false}};
  const std::vector<StepClass> counted = count_steps_by_class(classes, scores, good, 0.5);
  REQUIRE(counted.size() == 2);
  CHECK(counted[0].name == "circular");
  CHECK(counted[0].steps.true_positives == 1);
  CHECK(counted[0].steps.true_negatives == 1);
  CHECK(counted[0].steps.false_negatives == 1);
  CHECK(counted[0].steps.false_positives == 1);
  CHECK(counted[1].steps.false_positives == 1);  // at the threshold is good
  CHECK_THROWS_AS(count_steps_by_class(classes, scores, std::vector<std::vector<bool>>{{true}}, 0.5),
                  UsageError);
  CHECK_THROWS_AS(count_steps_by_class(classes, scores,
                                       std::vector<std::vector<bool>>{{true}, {true}, {true, true}}, 0.5),
                  UsageError);
}

}  // namespace benchmark_reports_test
