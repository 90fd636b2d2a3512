// The figures of a judge, each counted by hand.
#include "merit/judge/judge_report.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace judge_report_test {

using doctest::Approx;
using merit::Index;
using merit::JudgedPair;
using merit::JudgeVote;
using merit::VerdictFault;

merit::VoteReading said(std::optional<JudgeVote> vote, VerdictFault fault = VerdictFault::none) {
  return {.vote = vote, .fault = fault, .log_odds = {}, .text = {}, .cut = false};
}
const auto a = said(JudgeVote::a), b = said(JudgeVote::b), tie = said(JudgeVote::tie);
const auto absent = said({}, VerdictFault::absent), twice = said({}, VerdictFault::contradictory);

/// A pair of its own prompt.
JudgedPair pair(Index prompt, std::vector<merit::JudgeSample> samples, std::optional<double> label,
                Index length_a = 1, Index length_b = 2) {
  merit::JudgedPair judged = merit::judged_pair({std::move(samples)});
  judged.label = label;
  judged.length_a = length_a;
  judged.length_b = length_b;
  judged.prompt = prompt;
  return judged;
}

TEST_CASE("rates of replies, flips and agreement are counted apart") {
  const std::vector<JudgedPair> pairs = {
      pair(0, {{a, a}}, 1.0),             // agrees
      pair(1, {{a, b}}, 1.0),             // flips: the first place won twice
      pair(2, {{b, a}}, 0.0),             // flips: the second place won twice
      pair(3, {{b, b}}, 1.0),             // disagrees
      pair(4, {{absent, a}}, 1.0, 2, 1),  // not read in one order: no verdict
      pair(5, {{twice, absent}}, {}),     // not read, no label
      pair(6, {{tie, tie}}, 0.5),         // even
      pair(7, {{tie, b}}, 0.25),          // a tie in one order
  };
  const merit::JudgeReport report = merit::report_judge(pairs);
  CHECK(report.pairs == 8);
  CHECK(report.without_verdict == 2);
  CHECK(report.ties == 4);
  CHECK(report.replies == 16);
  CHECK(report.absent == 2);
  CHECK(report.contradictory == 1);
  CHECK(report.off_scale == 0);
  CHECK(report.parse_failures.value == Approx(3.0 / 16));
  REQUIRE(report.flips);
  CHECK(report.read_both == 6);
  CHECK(report.flips->value == Approx(3.0 / 6));
  // Of replies that name a winner: a a | a b | b a | b b | - a | - - | tie tie | tie b. The place is the first where a is shown
  // first and named, or b is and named: 1 0, 1 1, 0 0, 0 1, - 0, -, -, - 1.
  REQUIRE(report.first_place);
  CHECK(report.decided_replies == 10);
  CHECK(report.first_place->value == Approx(5.0 / 10));
  CHECK(report.labelled == 7);
  CHECK(report.even_labels == 1);
  REQUIRE(report.agreement);
  // 1, ½, ½, 0, 0 (no verdict), ½
  CHECK(report.agreement->value == Approx(2.5 / 6));
  REQUIRE(report.agreement_of_winners);
  CHECK(report.winners == 2);
  CHECK(report.agreement_of_winners->value == Approx(0.5));
  REQUIRE(report.same_verdict);
  CHECK(report.same_verdict->value == Approx(2.0 / 7));  // the first, and the even one
  // The longer is b but in the fifth: 0, 0, 1, 0, 1, and of the last, where b is better: 1.
  CHECK(report.longer_wins->value == Approx(3.0 / 6));
  CHECK(!report.agreement_of_logits);
  CHECK(report.agreement->low <= report.agreement->value);
  CHECK(report.agreement->high >= report.agreement->value);
}

TEST_CASE("weights count, and pairs of one prompt are drawn together") {
  JudgedPair right = pair(0, {{a, a}}, 1.0), wrong = pair(1, {{b, b}}, 1.0);
  right.weight = 3;
  const merit::JudgeReport report = merit::report_judge(std::vector{right, wrong});
  CHECK(report.agreement->value == Approx(0.75));
  std::vector<JudgedPair> same(6, pair(4, {{a, a}}, 1.0));
  same.push_back(pair(4, {{b, b}}, 1.0));
  const merit::JudgeReport one_prompt = merit::report_judge(same);
  CHECK(one_prompt.agreement->low == one_prompt.agreement->high);  // one prompt, which is always drawn whole
}

TEST_CASE("without labels and without a reply that was read there is no agreement") {
  const merit::JudgeReport report = merit::report_judge(std::vector{pair(0, {{absent, absent}}, {})});
  CHECK(report.parse_failures.value == 1);
  CHECK(!report.flips);
  CHECK(!report.first_place);
  CHECK(!report.agreement);
  CHECK_THROWS_AS(merit::report_judge(std::vector<JudgedPair>{}), merit::DataError);
  const std::string text = merit::text_of(report);
  CHECK(text.find("100.0% of 2 replies have no verdict") != text.npos);
  CHECK(merit::to_json(report)["flips"].is_null());
  CHECK(merit::to_json(report)["parse_failures"]["value"] == 1.0);
}

TEST_CASE("ratings have no places; the higher mean is the verdict") {
  const auto rated = [](std::optional<double> rating) {
    return merit::RatingJudgement{{{.rating = rating,
                                    .fault = rating ? VerdictFault::none : VerdictFault::off_scale,
                                    .text = {},
                                    .cut = false}}};
  };
  std::vector<merit::RatingJudgement> answers = {rated(7), rated(5), rated(7), rated({})};
  const auto judged = [&](Index i, Index j, double label) {
    JudgedPair one = merit::judged_pair(answers[i], answers[j]);
    one.label = label;
    one.prompt = i * 4 + j;
    return one;
  };
  CHECK(judged(0, 1, 1).verdict == JudgeVote::a);
  CHECK(judged(1, 0, 1).verdict == JudgeVote::b);
  CHECK(judged(0, 2, 1).verdict == JudgeVote::tie);
  CHECK(!judged(0, 3, 1).verdict);
  std::vector<merit::JudgedReply> replies;
  for (const auto& answer : answers) {
    for (const auto& sample : answer.samples) replies.push_back(merit::judged_reply(sample, 0));
  }
  const merit::JudgeReport report =
      merit::report_judge(std::vector{judged(0, 1, 1), judged(0, 2, 1), judged(3, 0, 0)}, replies);
  CHECK(report.replies == 4);
  CHECK(report.off_scale == 1);
  CHECK(report.parse_failures.value == Approx(0.25));
  CHECK(report.agreement->value == Approx(1.5 / 3));
  CHECK(!report.flips);
  CHECK(!report.first_place);
}

TEST_CASE("the mean of both orders' logits has a figure of its own") {
  const auto read = [](double log_odds) {
    merit::VoteReading reading = said(log_odds > 0 ? JudgeVote::a : JudgeVote::b);
    reading.log_odds = log_odds;
    return reading;
  };
  // All for the first place; the mean is right twice of three.
  const std::vector<JudgedPair> pairs = {pair(0, {{read(3), read(-1)}}, 1.0),
                                         pair(1, {{read(3), read(-1)}}, 1.0),
                                         pair(2, {{read(3), read(-1)}}, 0.0)};
  const merit::JudgeReport report = merit::report_judge(pairs);
  CHECK(report.agreement->value == 0.5);
  CHECK(report.first_place->value == 1);
  REQUIRE(report.agreement_of_logits);
  CHECK(report.agreement_of_logits->value == Approx(2.0 / 3));
}

}  // namespace judge_report_test
