// Reports of pairs and of best-of-N choices against numbers worked out by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "merit/eval/best_of_n.hpp"
#include "merit/eval/pairs.hpp"

namespace reports_test {

using namespace merit;

/// A pair of which only the lengths of the completions matter here.
PreferenceExample lengths(Index prompt, Index chosen, Index rejected) {
  PreferenceExample example;
  example.chosen.tokens.resize(prompt + chosen);
  example.rejected.tokens.resize(prompt + rejected);
  example.chosen.completion_begin = example.rejected.completion_begin = prompt;
  return example;
}

constexpr double infinity = std::numeric_limits<double>::infinity();

TEST_CASE("the report of pairs counts ties as a half and takes lengths of completions") {
  const std::vector<PairScores> scores{{2, 1}, {0, 3}, {1.5, 1.5}, {-1, -4}};
  const std::vector<PreferenceExample> examples{lengths(5, 3, 2), lengths(1, 3, 2), lengths(9, 4, 4),
                                                lengths(0, 1, 7)};
  const PairReport report = report_pairs(scores, examples);
  CHECK(report.pairs == 4);
  CHECK(report.ties == 1);
  CHECK(report.accuracy.value == 2.5 / 4);
  CHECK(report.mean_margin == (1 - 3 + 0 + 3) / 4.0);
  CHECK(report.min_score == -4);
  CHECK(report.max_score == 3);
  CHECK(report.mean_score == doctest::Approx((2 + 1 + 0 + 3 + 1.5 + 1.5 - 1 - 4) / 8));
  const auto loss = [](double margin) { return std::log(1 + std::exp(-margin)); };
  CHECK(report.loss == doctest::Approx((loss(1) + loss(-3) + loss(0) + loss(3)) / 4).epsilon(1e-12));
  CHECK(report.longer_wins.value == 2.5 / 4);
  CHECK(report.length_ties == 1);
  CHECK(!report.more_lines_win);
  const std::vector<PairLines> lines{{1, 3}, {2, 1}, {0, 0}, {5, 4}};
  CHECK(report_pairs(scores, examples, lines).more_lines_win->value == 2.5 / 4);
  CHECK(report_pairs(scores, examples, lines).accuracy.value == 2.5 / 4);
  CHECK_THROWS_AS(report_pairs(scores, examples, std::vector<PairLines>(3)), UsageError);
}

TEST_CASE("the better side of a pair is the likelier one, and an even pair has none") {
  std::vector<PreferenceExample> examples{lengths(0, 1, 7), lengths(0, 3, 2), lengths(0, 5, 1),
                                          lengths(0, 2, 1)};
  examples[0].soft_label = 0.25;
  examples[1].soft_label = 0.5;
  examples[2].soft_label = 0.75;
  const std::vector<PairScores> scores{{-5, 5}, {3, 0}, {1, 0}, {0, 2}};
  const PairReport report =
      report_pairs(scores, examples, std::vector<PairLines>{{1, 2}, {9, 1}, {1, 2}, {1, 2}});
  CHECK(report.pairs == 4);
  CHECK(report.even == 1);
  CHECK(report.accuracy.value == doctest::Approx(2.0 / 3).epsilon(1e-14));
  CHECK(report.longer_wins.value == 1);
  CHECK(report.more_lines_win->value == doctest::Approx(1.0 / 3).epsilon(1e-14));
  const auto loss = [](double p, double margin) {
    return p * std::log(1 + std::exp(-margin)) + (1 - p) * std::log(1 + std::exp(margin));
  };
  CHECK(report.loss ==
        doctest::Approx((loss(0.25, -10) + loss(0.5, 3) + loss(0.75, 1) + loss(1, -2)) / 4).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(report_pairs(std::vector{scores[1]}, std::vector{examples[1]}),
                       "all 1 pairs were judged even: there is no better side", DataError);
}

TEST_CASE("the length of the prompt is no part of the length baseline") {
  PreferenceExample example = lengths(0, 4, 5);
  example.chosen.completion_begin = 0;
  example.rejected.completion_begin = 3;  // 2 tokens
  const PairReport report = report_pairs(std::vector<PairScores>{{0, 1}}, std::vector{example});
  CHECK(report.longer_wins.value == 1);
  CHECK(report.accuracy.value == 0);
}

TEST_CASE("an interval holds its mean, is the same each time, and narrows with more pairs") {
  std::vector<double> few, many;
  for (Index i = 0; i < 400; ++i) {
    (i < 40 ? few : many).push_back(i % 10 < 7 ? 1 : 0);
    if (i < 40) many.push_back(few.back());
  }
  const Estimate a = bootstrap_mean(few), b = bootstrap_mean(many), again = bootstrap_mean(few);
  CHECK(a.value == 0.7);
  CHECK(a.low == again.low);
  CHECK(a.high == again.high);
  CHECK(a.low < 0.7);
  CHECK(a.high > 0.7);
  // The normal approximation: 1.96 · sqrt(0.7 · 0.3 / n).
  CHECK(a.high - a.low == doctest::Approx(2 * 1.96 * std::sqrt(0.21 / 40)).epsilon(0.15));
  CHECK(b.high - b.low == doctest::Approx(2 * 1.96 * std::sqrt(0.21 / 400)).epsilon(0.15));
  const Estimate other = bootstrap_mean(many, 1);
  CHECK(other.value == b.value);
  CHECK((other.low != b.low || other.high != b.high));
}

TEST_CASE("equal credits give one number with no interval, whatever their count") {
  for (const Index n : {Index{1}, Index{3}, Index{10}, Index{49}}) {
    for (const double credit : {1.0, 0.5, 0.0}) {
      const Estimate estimate = bootstrap_mean(std::vector<double>(n, credit));
      CHECK(estimate.value == credit);
      CHECK(estimate.low == credit);
      CHECK(estimate.high == credit);
    }
  }
}

TEST_CASE("a credit is 1, 0, or a half for a tie") {
  CHECK(pair_credit(2, 1) == 1);
  CHECK(pair_credit(1, 2) == 0);
  CHECK(pair_credit(1, 1) == 0.5);
}

TEST_CASE("the best of N shares the credit of ties, beside chance and the best there is") {
  const std::vector<Candidates> problems{
      {{0.1, 0.9, 0.9, 0.2}, {0, 1, 0, 1}},  // a tie of right and wrong
      {{3, 2, 1}, {1, 0, 0}},                // right
      {{3, 2, 1}, {0, 1, 1}},                // wrong
      {{5}, {0}},                            // no right answer
  };
  const BestOfNReport report = report_best_of_n(problems);
  CHECK(report.problems == 4);
  CHECK(report.chosen.value == 1.5 / 4);
  CHECK(report.random == doctest::Approx((0.5 + 1.0 / 3 + 2.0 / 3 + 0) / 4).epsilon(1e-14));
  CHECK(report.oracle == 0.75);
  CHECK(report.chosen.low <= report.chosen.value);
  CHECK(report.chosen.high >= report.chosen.value);
  const std::vector<Candidates> right(10, Candidates{{1, 0}, {1, 1}});
  CHECK(report_best_of_n(right).oracle == 1);
  CHECK(report_best_of_n(right).random == 1);
  CHECK(report_best_of_n(right).chosen.value == 1);
}

TEST_CASE("nothing to report, numbers that do not match, and scores that are no numbers are refused") {
  CHECK_THROWS_WITH_AS(report_pairs({}, {}), "there are no pairs to evaluate", DataError);
  CHECK_THROWS_WITH_AS(report_pairs(std::vector<PairScores>(2), std::vector<PreferenceExample>(1)),
                       "report_pairs: the scores, examples, lines and prompts differ in number", UsageError);
  CHECK_THROWS_WITH_AS(
      report_pairs(std::vector<PairScores>{{1, 2}, {1, infinity}}, std::vector<PreferenceExample>(2)),
      "pair 1 of 2 has the scores 1 and inf, expected finite numbers", DataError);
  CHECK_THROWS_AS(
      report_pairs(std::vector<PairScores>{{infinity - infinity, 0}}, std::vector<PreferenceExample>(1)),
      DataError);
  CHECK_THROWS_WITH_AS(bootstrap_mean({}), "bootstrap_mean: there is nothing to average", UsageError);
  CHECK_THROWS_WITH_AS(report_best_of_n({}), "there are no problems to choose answers for", DataError);
  CHECK_THROWS_AS(report_best_of_n(std::vector<Candidates>{{{}, {}}}), UsageError);
  CHECK_THROWS_AS(report_best_of_n(std::vector<Candidates>{{{1, 2}, {1}}}), UsageError);
  CHECK_THROWS_WITH_AS(report_best_of_n(std::vector<Candidates>{{{1, -infinity}, {1, 0}}}),
                       "problem 0 of 1 has the score -inf, expected finite numbers", DataError);
}

}  // namespace reports_test
