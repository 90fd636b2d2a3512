// A judge over any callable: both orders, samples, flips, failures; and over the logits of two words.
#include "merit/judge/judge.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

namespace judge_test {

using doctest::Approx;
using merit::Index;
using merit::JudgePrompt;
using merit::JudgeReply;
using merit::JudgeTemplate;
using merit::JudgeVote;
using merit::VerdictFault;

JudgeTemplate pairwise() {
  return JudgeTemplate({{"user", "{question}: <{answer_a}> or <{answer_b}>"}}, "", "t");
}
JudgeTemplate rating() {
  return JudgeTemplate({{"user", "{question}: {answer}"}}, "", "t");
}
const merit::PairToJudge two{.question = "which", .answer_a = "good", .answer_b = "bad", .reference = {}};

bool shows_good_first(const JudgePrompt& prompt) {
  return prompt.messages[0].content == "which: <good> or <bad>";
}

TEST_CASE("a judge that looks at the answers names the same one in both orders") {
  const auto judge = [](const JudgePrompt& prompt) {
    return std::string(shows_good_first(prompt) ? "[[A]]" : "[[B]]");
  };
  const merit::PairJudgement found = merit::judge_pair(pairwise(), two, judge);
  REQUIRE(found.samples.size() == 1);
  CHECK(found.samples[0].given.vote == JudgeVote::a);
  CHECK(found.samples[0].swapped.vote == JudgeVote::a);  // in terms of the record, not of the place
  CHECK(!found.samples[0].flipped());
  CHECK(found.verdict() == JudgeVote::a);
  CHECK(found.votes() == std::vector<JudgeVote>{JudgeVote::a});
}

TEST_CASE("a judge that looks at the place alone flips, and a flip is a tie") {
  const merit::PairJudgement found =
      merit::judge_pair(pairwise(), two, [](const JudgePrompt&) { return std::string("first. [[A]]"); });
  CHECK(found.samples[0].given.vote == JudgeVote::a);
  CHECK(found.samples[0].swapped.vote == JudgeVote::b);
  CHECK(found.samples[0].flipped());
  CHECK(found.verdict() == JudgeVote::tie);
  // A winner in one order and a tie in the other is a flip as well.
  const merit::PairJudgement half = merit::judge_pair(pairwise(), two, [](const JudgePrompt& prompt) {
    return std::string(shows_good_first(prompt) ? "[[A]]" : "[[C]]");
  });
  CHECK(half.samples[0].flipped());
  CHECK(half.verdict() == JudgeVote::tie);
}

TEST_CASE("a reply without a verdict is no vote, and its sample none") {
  const merit::PairJudgement found = merit::judge_pair(pairwise(), two, [](const JudgePrompt& prompt) {
    return std::string(shows_good_first(prompt) ? "[[A]]" : "A is better");
  });
  CHECK(found.samples[0].given.vote == JudgeVote::a);
  CHECK(found.samples[0].swapped.fault == VerdictFault::absent);
  CHECK(!found.samples[0].vote());
  CHECK(!found.samples[0].flipped());
  CHECK(found.votes().empty());
  CHECK(!found.verdict());
}

TEST_CASE("samples vote") {
  // The replies of one prompt together, as from a model that computes the prompt once.
  const auto judge = [](const JudgePrompt& prompt, Index samples) {
    std::vector<JudgeReply> replies;
    const bool first = shows_good_first(prompt);
    const std::vector<std::string> texts = {first ? "[[A]]" : "[[B]]", first ? "[[A]]" : "[[A]]", "?",
                                            first ? "[[A]]" : "[[B]]"};
    for (Index i = 0; i < samples; ++i) replies.push_back({texts[i], i == 2});
    return replies;
  };
  const merit::PairJudgement found = merit::judge_pair(pairwise(), two, judge, 4);
  CHECK(found.votes() == std::vector<JudgeVote>{JudgeVote::a, JudgeVote::tie, JudgeVote::a});
  CHECK(found.verdict() == JudgeVote::a);
  CHECK(found.samples[2].given.cut);
  CHECK(found.samples[0].given.text == "[[A]]");
  // One for each is an even vote.
  const auto even = [](const JudgePrompt& prompt, Index) {
    const bool first = shows_good_first(prompt);
    return std::vector<JudgeReply>{{first ? "[[A]]" : "[[B]]", false}, {first ? "[[B]]" : "[[A]]", false}};
  };
  CHECK(merit::judge_pair(pairwise(), two, even, 2).verdict() == JudgeVote::tie);
  const auto too_few = [](const JudgePrompt&, Index) { return std::vector<JudgeReply>(1); };
  CHECK_THROWS_AS(merit::judge_pair(pairwise(), two, too_few, 2), merit::UsageError);
  CHECK_THROWS_AS(merit::judge_pair(rating(), two, judge), merit::UsageError);
  CHECK_THROWS_AS(merit::judge_pair(pairwise(), two, judge, 0), merit::UsageError);
}

TEST_CASE("of the logits of two words, what the place adds goes out in the mean of both orders") {
  // In favour of the first place by 3, of the good answer by 1.
  const auto logits = [](const JudgePrompt& prompt, std::span<const std::string> words) {
    CHECK(words[0] == "A");
    CHECK(words[1] == "B");
    const double good = shows_good_first(prompt) ? 1 : -1;
    return std::vector<double>{5 + 3 + good, 5};
  };
  const merit::PairJudgement found = merit::judge_pair_by_logits(pairwise(), two, logits);
  REQUIRE(found.samples.size() == 1);
  CHECK(found.samples[0].given.log_odds == 4);
  CHECK(found.samples[0].swapped.log_odds == -2);
  CHECK(found.samples[0].flipped());
  CHECK(found.verdict() == JudgeVote::tie);
  CHECK(*found.probability_of_a() == Approx(1 / (1 + std::exp(-1.0))));
  // Equal logits name nobody.
  const auto equal = [](const JudgePrompt&, std::span<const std::string>) {
    return std::vector<double>{2, 2};
  };
  CHECK(merit::judge_pair_by_logits(pairwise(), two, equal).verdict() == JudgeVote::tie);
  CHECK(!merit::judge_pair_by_logits(pairwise(), two, equal).samples[0].flipped());
  const auto nan = [](const JudgePrompt&, std::span<const std::string>) {
    return std::vector<double>{NAN, 2};
  };
  CHECK_THROWS_AS(merit::judge_pair_by_logits(pairwise(), two, nan), merit::DataError);
  const auto one = [](const JudgePrompt&, std::span<const std::string>) { return std::vector<double>{1}; };
  CHECK_THROWS_AS(merit::judge_pair_by_logits(pairwise(), two, one), merit::UsageError);
}

TEST_CASE("ratings: the mean of those that were read, none of none") {
  Index call = 0;
  const auto judge = [&](const JudgePrompt& prompt) {
    CHECK(prompt.messages[0].content == "q: an answer");
    return std::vector<std::string>{"[[4]]", "seven", "[[7]]"}[call++];
  };
  const merit::AnswerToJudge answer{.question = "q", .answer = "an answer", .reference = {}};
  const merit::RatingJudgement found = merit::judge_answer(rating(), answer, judge, 3);
  CHECK(found.mean() == 5.5);
  CHECK(found.samples[1].fault == VerdictFault::absent);
  CHECK(
      !merit::judge_answer(rating(), answer, [](const JudgePrompt&) { return std::string("none"); }).mean());
  const auto logits = [](const JudgePrompt&, std::span<const std::string> words) {
    CHECK(words[0] == "yes");
    return std::vector<double>{1, 0};
  };
  CHECK(*merit::judge_answer_by_logits(rating(), answer, logits).mean() == Approx(1 / (1 + std::exp(-1.0))));
  CHECK_THROWS_AS(merit::judge_answer(pairwise(), answer, judge), merit::UsageError);
}

}  // namespace judge_test
