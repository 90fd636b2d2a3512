// From records to records of verdicts, and to the report, with judges that are known.
#include "merit/judge/record_judging.hpp"

#include <doctest/doctest.h>

#include <string>

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

}  // namespace record_judging_test
