// Records as a judge sees them, and what is written of its verdicts: what merit_train reads.
#include "merit/judge/record_to_judge.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "merit/records/parse_record.hpp"

namespace record_to_judge_test {

using doctest::Approx;
using merit::JudgeVote;
using merit::OrderedJson;
using merit::RecordToJudge;

RecordToJudge read(const std::string& text) {
  return merit::record_to_judge(merit::parse_ordered_json(text, "f"), {"f", 3});
}
std::string error_of(const std::string& text) {
  try {
    read(text);
  } catch (const merit::DataError& error) {
    return error.what();
  }
  return "";
}
template <class Record>
Record reread(const OrderedJson& json) {
  Record record;
  merit::detail::parse_record(json, record);
  return record;
}

TEST_CASE("the answers and labels of each kind") {
  const RecordToJudge pair =
      read(R"({"prompt": "q", "chosen": "x", "rejected": "y", "weight": 2, "reference": "r"})");
  CHECK(pair.question == "q");
  CHECK(pair.answers == std::vector<std::string>{"x", "y"});
  CHECK(pair.reference == "r");
  CHECK(pair.label(0, 1) == 1.0);
  CHECK(pair.label(1, 0) == 0.0);
  CHECK(pair.weight == 2);
  CHECK(read(R"({"prompt": "q", "chosen": "x", "rejected": "y", "soft_label": 0.75})").label(1, 0) == 0.25);

  const RecordToJudge judged =
      read(R"({"prompt": "q", "response_a": "x", "response_b": "", "votes": ["b", "tie"]})");
  CHECK(judged.answers == std::vector<std::string>{"x", ""});
  CHECK(judged.label(0, 1) == 0.25);
  CHECK(!read(R"({"prompt": "q", "response_a": "x", "response_b": "y"})").label(0, 1));

  const RecordToJudge ranked = read(R"({"prompt": "q", "completions": ["x", "y", "z"], "ranks": [1, 0, 1]})");
  CHECK(ranked.answers.size() == 3);
  CHECK(ranked.label(0, 1) == 0.0);
  CHECK(ranked.label(0, 2) == 0.5);
  const RecordToJudge rated =
      read(R"({"prompt": "q", "completions": ["x", "y"], "scores": [[1, 2], [2, 0]]})");
  CHECK(rated.label(0, 1) == 1.0);
  CHECK(!read(R"({"prompt": "q", "completions": ["x", "y"]})").label(0, 1));
  CHECK(read(R"({"prompt": "q", "completion": "x", "label": true})").answers ==
        std::vector<std::string>{"x"});
}

TEST_CASE("conversations become text") {
  const RecordToJudge one = read(
      R"({"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "x"}],
                                     "rejected": [{"role": "assistant", "content": "y"}]})");
  CHECK(one.question == "q");
  CHECK(one.answers == std::vector<std::string>{"x", "y"});
  const RecordToJudge turns = read(
      R"({"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], "completion": "x"})");
  CHECK(turns.question == "System: s\n\nUser: q");
  // Without a prompt what both begin with is the prompt.
  const RecordToJudge shared =
      read(R"({"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "x"}],
                                        "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "y"}]})");
  CHECK(shared.question == "q");
  CHECK(shared.answers == std::vector<std::string>{"x", "y"});
  const RecordToJudge whole =
      read(R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "x"}]})");
  CHECK(whole.question == "q");
  CHECK(whole.answers == std::vector<std::string>{"x"});
  CHECK(
      read(R"({"prompt": [{"role": "user", "content": [{"type": "text", "text": "q"}]}], "completion": "x"})")
          .question == "q");
}

TEST_CASE("what a judge cannot be shown is an error with its place") {
  CHECK(error_of(R"({"chosen": "x", "rejected": "y"})") ==
        "f:3: found no 'prompt', expected the question that was answered");
  CHECK(error_of(R"({"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3]})") ==
        "f:3: found token ids, expected text, which a judge reads");
  CHECK(error_of(R"({"prompt": "q", "completion": "x", "tools": [{"name": "f"}]})") ==
        "f:3: found 'tools', which a judge is not shown");
  CHECK(error_of(R"({"prompt": "q", "completion": "x", "reference": 3})").find("reference") !=
        std::string::npos);
  CHECK(error_of(R"({"prompt": "q", "completions": ["x"], "labels": [1]})").find("steps") !=
        std::string::npos);
  CHECK(error_of(R"({"prompt": "q", "rejected": "x"})") != "");
  CHECK(error_of(R"({"prompt": [{"role": "user", "content": "q", "tool_calls": [1]}], "completion": "x"})") ==
        "f:3: found 'tool_calls' in a message, which a judge is not shown");
  CHECK(
      error_of(
          R"({"prompt": [{"role": "user", "content": [{"type": "image", "url": "u"}]}], "completion": "x"})") ==
      "f:3: found a content that is no text, which a judge is not shown");
}

TEST_CASE("verdicts are written as records of votes, of preferences or of scores") {
  const RecordToJudge record =
      read(R"({"source": "here", "prompt": "q", "chosen": "x", "rejected": "y", "margin": 3})");
  const OrderedJson votes = merit::record_of_votes(record, std::vector{JudgeVote::b, JudgeVote::tie});
  CHECK(votes.dump() ==
        R"({"prompt":"q","response_a":"x","response_b":"y","votes":["b","tie"],"source":"here"})");
  CHECK(reread<merit::JudgeRecord>(votes).votes.size() == 2);
  const OrderedJson preference = merit::record_of_preference(record, 0.25);
  CHECK(preference.dump() ==
        R"({"prompt":"q","chosen":"y","rejected":"x","soft_label":0.75,"source":"here"})");
  CHECK(reread<merit::PreferenceRecord>(preference).soft_label == 0.75);
  CHECK_THROWS_AS(merit::record_of_preference(record, 0.5), merit::UsageError);

  const RecordToJudge ranked = read(R"({"prompt": "q", "completions": ["x", "y", "z"], "ranks": [1, 0, 1]})");
  const OrderedJson scores =
      merit::record_of_scores(ranked, std::vector<std::optional<double>>{4.5, std::nullopt, 2});
  CHECK(scores.dump() == R"({"prompt":"q","completions":["x","z"],"scores":[4.5,2.0]})");
  CHECK(reread<merit::RatingsRecord>(scores).scores.size() == 2);

  const RecordToJudge one = read(R"({"prompt": "q", "completion": "x", "label": false})");
  const OrderedJson label = merit::record_of_label(one, 0.25);
  CHECK(label.dump() == R"({"prompt":"q","completion":"x","label":0.25})");
  CHECK(reread<merit::OutcomeRecord>(label).label == 0.25);

  // Messages stay messages; a shared beginning becomes the prompt.
  const RecordToJudge shared =
      read(R"({"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "x"}],
                                        "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "y"}]})");
  const auto judged = reread<merit::JudgeRecord>(merit::record_of_votes(shared, std::vector{JudgeVote::a}));
  CHECK(judged.prompt->index() == 1);
  CHECK(std::get<1>(judged.response_b).back().content == "y");
}

}  // namespace record_to_judge_test
