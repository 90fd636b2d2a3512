// Intervals over prompts: several pairs or rankings of one prompt are one draw.
#include <doctest/doctest.h>

#include <optional>
#include <vector>

#include "merit/eval/bootstrap.hpp"
#include "merit/eval/pairs.hpp"
#include "merit/eval/ranking_report.hpp"

namespace prompt_intervals_test {

using namespace merit;

/// A pair whose chosen side is the longer one where it says so.
PreferenceExample pair_of(bool longer) {
  PreferenceExample example;
  example.chosen.tokens.resize(longer ? 2 : 1);
  example.rejected.tokens.resize(longer ? 1 : 2);
  return example;
}

void check_same(const Estimate& a, const Estimate& b) {
  CHECK(a.value == b.value);
  CHECK(a.low == b.low);
  CHECK(a.high == b.high);
}
void check_whole(const Estimate& estimate) {
  CHECK(estimate.value == 0.5);
  CHECK(estimate.low == 0);
  CHECK(estimate.high == 1);
}

TEST_CASE("of two prompts with a hundred copies of a pair each, one right, nothing is known") {
  std::vector<PairScores> scores;
  std::vector<PreferenceExample> examples;
  std::vector<PairLines> lines;
  std::vector<Index> prompts, own;
  for (Index i = 0; i < 200; ++i) {
    const bool right = i % 2 == 0;
    scores.push_back(right ? PairScores{1, 0} : PairScores{0, 1});
    examples.push_back(pair_of(right));
    lines.push_back(right ? PairLines{2, 1} : PairLines{1, 2});
    prompts.push_back(right ? 7 : 3);
    own.push_back(1000 - i);
  }
  const PairReport report = report_pairs(scores, examples, lines, prompts);
  check_whole(report.accuracy);
  check_whole(report.longer_wins);
  REQUIRE(report.more_lines_win);
  check_whole(*report.more_lines_win);
  // Weights that differ change nothing of that.
  examples[0].weight = examples[1].weight = 3;
  check_whole(report_pairs(scores, examples, lines, prompts).accuracy);
  examples[0].weight = examples[1].weight = 1;

  // Without prompts, or where each is another, each pair is a draw.
  const PairReport apart = report_pairs(scores, examples, lines, own), plain = report_pairs(scores, examples);
  check_same(apart.accuracy, plain.accuracy);
  check_same(apart.longer_wins, plain.longer_wins);
  CHECK(plain.accuracy.low == doctest::Approx(0.43).epsilon(0.02));
  CHECK(plain.accuracy.high == doctest::Approx(0.57).epsilon(0.02));
  own.pop_back();
  CHECK_THROWS_AS(report_pairs(scores, examples, lines, own), UsageError);
}

TEST_CASE("a pair judged even takes no prompt from the others") {
  std::vector<PreferenceExample> examples{pair_of(true), pair_of(true), pair_of(false), pair_of(false)};
  examples[0].soft_label = 0.5;
  const std::vector<PairScores> scores{{0, 0}, {1, 0}, {0, 1}, {0, 1}};
  const PairReport report = report_pairs(scores, examples, {}, std::vector<Index>{2, 1, 2, 2});
  CHECK(report.accuracy.value == doctest::Approx(1.0 / 3));
  CHECK(report.accuracy.low == 0);
  CHECK(report.accuracy.high == 1);
}

TEST_CASE("rankings of one prompt are one draw, those without a prompt their own") {
  std::vector<ScoredRanking> apart, together;
  for (Index i = 0; i < 100; ++i) {
    const bool right = i % 2 == 0;
    ScoredRanking one{{1, 0}, {right ? Index{0} : Index{1}, right ? Index{1} : Index{0}}, {2, 1}};
    one.lines = {2, 1};
    apart.push_back(one);
    one.prompt = right ? 5 : 9;
    together.push_back(one);
  }
  const RankingReport report = report_rankings(together);
  REQUIRE(report.most_lines);
  for (const OrderReport* order : {&report.model, &report.longest, &report.shortest, &*report.most_lines}) {
    check_whole(order->pair_accuracy);
    check_whole(order->top);
  }
  for (const auto& correlation : {report.kendall, report.spearman}) {
    CHECK(correlation.value == doctest::Approx(0));
    CHECK(correlation.low == doctest::Approx(-1));
    CHECK(correlation.high == doctest::Approx(1));
  }

  const RankingReport plain = report_rankings(apart);
  CHECK(plain.model.top.low > 0.35);
  for (Index i = 0; i < apart.size(); ++i) together[i].prompt = 2 * i;
  const RankingReport distinct = report_rankings(together);
  check_same(distinct.model.pair_accuracy, plain.model.pair_accuracy);
  check_same(distinct.model.top, plain.model.top);
  check_same(distinct.kendall, plain.kendall);
  check_same(distinct.spearman, plain.spearman);
}

TEST_CASE("equal shares of distinct prompts are one number without an interval") {
  std::vector<ScoredRanking> rankings(49, {{1, 1, 1}, {0, 1, 2}, {1, 1, 1}});
  for (Index i = 0; i < rankings.size(); ++i) rankings[i].prompt = i;
  const Estimate top = report_rankings(rankings).model.top;  // a third, which sums round
  CHECK(top.low == top.value);
  CHECK(top.high == top.value);
}

}  // namespace prompt_intervals_test
