// From records to records of verdicts, and to the report, with judges that are known.
#include "merit/judge/record_judging.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "merit/judge/recorded_judge.hpp"

namespace record_judging_test {

using doctest::Approx;
using merit::Index;
using merit::JudgedForm;
using merit::JudgeReading;
using merit::JudgeTemplate;

const JudgeTemplate compares({{"user", "{answer_a}|{answer_b}"}}, "", "t");
const JudgeTemplate rates({{"user", "{answer}"}}, "", "t");

/// Prefers what begins with a later letter; says nothing of what begins with "?".
std::string later(const merit::JudgePrompt& prompt) {
  const std::string& text = prompt.messages[0].content;
  const char a = text[0], b = text[text.find('|') + 1];
  if (a == '?' || b == '?') return "I cannot say.";
  return a > b ? "[[A]]" : a < b ? "[[B]]" : "[[C]]";
}
/// The length of the answer.
std::string length(const merit::JudgePrompt& prompt) {
  return "[[" + std::to_string(prompt.messages[0].content.size()) + "]]";
}
merit::RecordJudge judge() {
  return {[](const merit::PairToJudge& pair) { return merit::judge_pair(compares, pair, later); },
          [](const merit::AnswerToJudge& answer) { return merit::judge_answer(rates, answer, length); }};
}
merit::RecordToJudge read(const std::string& text) {
  return merit::record_to_judge(merit::parse_ordered_json(text, "f"), {"f", 1});
}

TEST_CASE("pairs become votes or preferences, and what has no verdict nothing") {
  merit::RecordJudging votes(judge(), compares, JudgeReading::words, JudgedForm::automatic);
  const auto first = votes.add(read(R"({"prompt": "q", "chosen": "x", "rejected": "b"})"), {"f", 1});
  CHECK((*first.record)["votes"].dump() == R"(["a"])");
  CHECK(first.replies.size() == 2);
  CHECK(first.replies[1]["vote"] == "a");
  CHECK(first.replies[1]["shown_first"] == "b");
  CHECK(!votes.add(read(R"({"prompt": "q", "chosen": "x", "rejected": "?"})"), {"f", 2}).record);
  CHECK(votes.written() == 1);
  CHECK(votes.not_written() == 1);
  const merit::JudgeReport report = votes.report();
  CHECK(report.pairs == 2);
  CHECK(report.parse_failures.value == 0.5);
  CHECK(report.agreement->value == 0.5);

  merit::RecordJudging preferences(judge(), compares, JudgeReading::words, JudgedForm::preferences);
  CHECK((*preferences.add(read(R"({"prompt": "q", "chosen": "a", "rejected": "b"})"), {"f", 1})
              .record)["chosen"] == "b");
  CHECK(!preferences.add(read(R"({"prompt": "q", "chosen": "a", "rejected": "a!"})"), {"f", 1})
             .record);  // a tie
}

TEST_CASE("several answers become the share of comparisons won, or ratings") {
  const auto record = read(R"({"prompt": "q", "completions": ["b", "aa", "?"], "ranks": [0, 1, 2]})");
  merit::RecordJudging compared(judge(), compares, JudgeReading::words, JudgedForm::automatic);
  const auto won = compared.add(record, {"f", 1});
  CHECK((*won.record)["completions"].dump() == R"(["b","aa"])");
  CHECK((*won.record)["scores"].dump() == "[1.0,0.0]");
  CHECK(compared.report().agreement->value == Approx(1.0 / 3));
  merit::RecordJudging rated(judge(), rates, JudgeReading::words, JudgedForm::automatic);
  CHECK((*rated.add(record, {"f", 1}).record)["scores"].dump() == "[1.0,2.0,1.0]");
  // The first against the second is wrong, against the third a tie, and the last pair right.
  CHECK(rated.report().agreement->value == Approx(1.5 / 3));
  CHECK(rated.report().replies == 3);
  const auto one = rated.add(read(R"({"prompt": "q", "completion": "abcd"})"), {"f", 1});
  CHECK((*one.record)["label"] == Approx(3.0 / 9));
  CHECK(!rated.add(read(R"({"prompt": "q", "completion": ""})"), {"f", 1}).record);  // [[0]] is off the scale
}

TEST_CASE("what cannot be judged counts against the agreement") {
  merit::RecordJudge failing = judge();
  Index calls = 0;
  failing.pair = [&](const merit::PairToJudge& pair) {
    if (++calls == 2) throw merit::DataError("the prompt is too long");
    return merit::judge_pair(compares, pair, later);
  };
  merit::RecordJudging judging(failing, compares, JudgeReading::words, JudgedForm::automatic);
  const auto record = read(R"({"prompt": "q", "chosen": "x", "rejected": "b"})");
  CHECK(judging.add(record, {"f", 1}).error.empty());
  const auto failed = judging.add(record, {"f", 2});
  CHECK(failed.error == "the prompt is too long");
  CHECK(!failed.record);
  CHECK(judging.unjudged().lines().front() == "1 record left out: f:2: the prompt is too long");
  CHECK(judging.report().pairs == 2);
  CHECK(judging.report().agreement->value == 0.5);
  CHECK_THROWS_WITH_AS(judging.add(read(R"({"prompt": "q", "completion": "x"})"), {"f", 3}),
                       "f:3: found one answer, expected two or more to compare", merit::DataError);
}

TEST_CASE("answers score by log-odds of votes, and what has no verdict stands in the wrong order") {
  merit::RecordJudging judging(judge(), compares, JudgeReading::words, JudgedForm::automatic);
  const auto scores = [&](const char* text) { return judging.add(read(text), {"f", 1}).scores; };
  const double half = std::log(2.0) / 2;  // of one vote, two to one
  CHECK(scores(R"({"prompt": "q", "chosen": "x", "rejected": "b"})") == std::vector<double>{half, -half});
  CHECK(scores(R"({"prompt": "q", "chosen": "b", "rejected": "x"})") == std::vector<double>{-half, half});
  CHECK(scores(R"({"prompt": "q", "chosen": "b", "rejected": "b!"})") == std::vector<double>{0, 0});
  CHECK(scores(R"({"prompt": "q", "chosen": "x", "rejected": "?"})") == std::vector<double>{-half, half});
  CHECK(scores(R"({"prompt": "q", "response_a": "?", "response_b": "x", "votes": ["b"]})") ==
        std::vector<double>{half, -half});
  CHECK(scores(R"({"prompt": "q", "response_a": "?", "response_b": "x", "votes": ["tie"]})") ==
        std::vector<double>{0, 0});
  CHECK(scores(R"({"prompt": "q", "completions": ["?", "x"]})") == std::vector<double>{0, 0});
  // b loses against c, and by its rank against what has no verdict; c, which is no better than that, is even with it.
  const auto three = scores(R"({"prompt": "q", "completions": ["b", "c", "?"], "ranks": [0, 1, 1]})");
  CHECK(three[0] == Approx(-4 * half / 3));
  CHECK(three[1] == Approx(2 * half / 3));
  CHECK(three[2] == Approx(2 * half / 3));

  merit::RecordJudging rating(judge(), rates, JudgeReading::words, JudgedForm::automatic);
  const auto rated = [&](const char* text) { return rating.add(read(text), {"f", 1}).scores; };
  CHECK(rated(R"({"prompt": "q", "completions": ["b", "aaa"], "ranks": [0, 1]})") ==
        std::vector<double>{1, 3});
  CHECK(rated(R"({"prompt": "q", "completions": ["", "aaa"], "ranks": [0, 1]})") ==
        std::vector<double>{2, 3});
  CHECK(rated(R"({"prompt": "q", "completions": ["bb", ""], "ranks": [0, 1]})") == std::vector<double>{2, 3});
  CHECK(rated(R"({"prompt": "q", "chosen": "", "rejected": "aaaaaaaaaaa"})") == std::vector<double>{-1, 1});

  merit::PairJudgement soft;
  soft.samples.push_back(
      {{.vote = merit::JudgeVote::a, .log_odds = 3}, {.vote = merit::JudgeVote::b, .log_odds = -1}});
  CHECK(soft.verdict() == merit::JudgeVote::tie);
  CHECK(soft.score_of_a() == 1.0);
  CHECK(!merit::PairJudgement{}.score_of_a());
}

TEST_CASE("the prompts of a record are those that judging it asks, in their order") {
  std::vector<std::string> asked, foretold;
  const auto noted = [&](const merit::JudgePrompt& prompt) {
    asked.push_back(prompt.messages[0].content);
    return std::string("[[A]]");
  };
  const merit::RecordJudge judge{
      [&](const merit::PairToJudge& pair) { return merit::judge_pair(compares, pair, noted); },
      [&](const merit::AnswerToJudge& answer) { return merit::judge_answer(rates, answer, noted); }};
  const auto record = read(R"({"prompt": "q", "completions": ["a", "b", "c"], "ranks": [0, 1, 2]})");
  for (const JudgeTemplate* with : {&compares, &rates}) {
    merit::RecordJudging(judge, *with, JudgeReading::words, JudgedForm::automatic).add(record, {"f", 1});
    for (const auto& prompt : merit::prompts_of(*with, record))
      foretold.push_back(prompt.messages[0].content);
  }
  CHECK(asked.size() == 9);
  CHECK(asked == foretold);
}

TEST_CASE("what was written down of a record says the same again") {
  merit::RecordJudge failing = judge();
  failing.pair = [&](const merit::PairToJudge& pair) {
    if (pair.answer_b == "long") throw merit::DataError("the prompt is too long");
    return merit::judge_pair(compares, pair, later, 2);
  };
  const auto same = [&](const JudgeTemplate& with, const std::string& text) {
    merit::RecordJudging first(failing, with, JudgeReading::words, JudgedForm::automatic);
    merit::RecordJudging second({}, with, JudgeReading::words, JudgedForm::automatic);
    const auto record = read(text);
    const auto said = first.add(record, {"f", 1});
    const auto again =
        second.add_again(record, {"f", 1}, merit::recorded_judge(said.replies, said.error, "r:1"));
    CHECK(again.record == said.record);
    CHECK(again.replies == said.replies);
    CHECK(again.error == said.error);
    CHECK(again.scores == said.scores);
    if (said.error.empty()) CHECK(merit::to_json(second.report()) == merit::to_json(first.report()));
    CHECK(second.unjudged().lines() == first.unjudged().lines());
  };
  same(compares, R"({"prompt": "q", "chosen": "x", "rejected": "b"})");
  same(compares, R"({"prompt": "q", "completions": ["b", "?", "c"], "ranks": [0, 1, 2]})");
  same(compares, R"({"prompt": "q", "completions": ["b", "c", "long"], "ranks": [0, 1, 2]})");
  same(rates, R"({"prompt": "q", "completions": ["b", "", "aaaaaaaaaaaa"], "ranks": [0, 1, 2]})");
  const auto record = read(R"({"prompt": "q", "chosen": "x", "rejected": "b"})");
  merit::RecordJudging judging({}, compares, JudgeReading::words, JudgedForm::automatic);
  CHECK_THROWS_WITH_AS(
      judging.add_again(record, {"f", 1}, merit::recorded_judge(merit::Json::array(), "", "r:1")),
      "r:1: found too few replies of one record", merit::UsageError);
  merit::VoteReading soft{.vote = merit::JudgeVote::a, .log_odds = 0.1, .text = "", .cut = true};
  merit::RecordJudge logits{[&](const merit::PairToJudge&) {
                              return merit::PairJudgement{{{soft, soft}}};
                            },
                            {}};
  merit::RecordJudging first(logits, compares, JudgeReading::logits, JudgedForm::automatic);
  const auto said = first.add(record, {"f", 1});
  const auto again = judging.add_again(record, {"f", 1}, merit::recorded_judge(said.replies, "", "r:1"));
  CHECK((*again.record)["probability_of_a"] == (*said.record)["probability_of_a"]);
  CHECK(again.replies == said.replies);
}

}  // namespace record_judging_test
