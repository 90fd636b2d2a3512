// Records of every kind: what their fields become, and one clear sentence for everything else.
#include <doctest/doctest.h>

#include <optional>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/records/record.hpp"

namespace record_kinds_test {

using merit::Index;
using merit::RecordKind;
using Ids = std::vector<merit::Token>;
using Messages = std::vector<merit::Message>;

template <class Record>
Record read(const std::string& line) {
  std::istringstream in(line);
  merit::RecordReader<Record> reader(in, "one.jsonl");
  return reader.next().value();
}

template <class Record>
std::string error_of(const std::string& line) {
  try {
    read<Record>(line);
  } catch (const merit::DataError& error) {
    return error.what();
  }
  return "no error";
}

std::string text(const merit::TextOrMessages& value) {
  return std::get<std::string>(value);
}

struct Case {
  std::string line;
  std::string expected;  // after "one.jsonl:1: "
};

template <class Record>
void check_errors(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    CAPTURE(c.line);
    CHECK(error_of<Record>(c.line) == "one.jsonl:1: " + c.expected);
  }
}

TEST_CASE("kinds of records have names") {
  for (const auto kind : {RecordKind::preference, RecordKind::ranking, RecordKind::ratings,
                          RecordKind::outcome, RecordKind::steps, RecordKind::judge, RecordKind::rollout}) {
    CHECK(merit::record_kind_from_name(merit::name_of(kind)) == kind);
  }
  CHECK(merit::name_of(RecordKind::judge) == "judge");
  CHECK_THROWS_WITH_AS(merit::record_kind_from_name("pairs"),
                       "found kind of record \"pairs\", expected one of: preference, ranking, ratings, "
                       "outcome, steps, judge, rollout",
                       merit::ConfigError);
}

TEST_CASE("an object tells its kind by its fields, in text, ids or features") {
  const auto kind = [](const char* line) { return merit::kind_of(merit::Json::parse(line)); };
  CHECK(kind(R"({"chosen": "a", "rejected": "b"})") == RecordKind::preference);
  CHECK(kind(R"({"chosen_ids": [1], "rejected_ids": [2]})") == RecordKind::preference);
  CHECK(kind(R"({"completions": ["a"], "ranks": [0]})") == RecordKind::ranking);
  CHECK(kind(R"({"completions_features": [[1]], "ranks": [0]})") == RecordKind::ranking);
  CHECK(kind(R"({"completions": ["a"], "scores": [0]})") == RecordKind::ratings);
  CHECK(kind(R"({"completions_ids": [[1]], "labels": [0]})") == RecordKind::steps);
  CHECK(kind(R"({"completion": "a", "label": true})") == RecordKind::outcome);
  CHECK(kind(R"({"completion": "a", "reward": 1})") == RecordKind::rollout);
  CHECK(kind(R"({"completion_ids": [1], "rewards": [1]})") == RecordKind::rollout);
  CHECK(kind(R"({"response_a": "a", "response_b": ""})") == RecordKind::judge);
  CHECK_FALSE(kind(R"({"completion": "a", "label": null})"));
  CHECK_FALSE(kind(R"({"completions": ["a"]})"));
  CHECK_FALSE(kind("[1]"));
}

TEST_CASE("a ranking in its three forms") {
  const auto r = read<merit::RankingRecord>(
      R"({"prompt": "p", "completions": ["a", "b", "c"], "ranks": [0, 5, 0], "weight": 2, "x": null})");
  CHECK(text(r.prompt.value()) == "p");
  CHECK(r.size() == 3);
  CHECK(text(r.completions[2]) == "c");
  CHECK(r.ranks == std::vector<Index>{0, 5, 0});
  CHECK(r.weight == 2);
  CHECK(r.source.text() == "one.jsonl:1");

  const auto ids = read<merit::RankingRecord>(
      R"({"prompt_ids": [], "completions_ids": [[1, 2], [3]], "ranks": [1, 0], "prompt": null})");
  CHECK(ids.form == merit::RecordForm::ids);
  CHECK(ids.prompt_ids.value().empty());
  CHECK(ids.completions_ids == std::vector<Ids>{{1, 2}, {3}});
  CHECK(ids.size() == 2);

  const auto features =
      read<merit::RankingRecord>(R"({"completions_features": [[1, 2], [3, 4]], "ranks": [1, 0]})");
  CHECK(features.form == merit::RecordForm::features);
  CHECK(features.completions_features[1] == std::vector<float>{3, 4});
  CHECK(features.size() == 2);
}

TEST_CASE("completions may be conversations, or the next message of one") {
  const auto r = read<merit::RankingRecord>(
      R"({"prompt": [{"role": "user", "content": "Hi"}], "completions": ["a", "b"], "ranks": [0, 1]})");
  CHECK(std::get<Messages>(r.prompt.value()) == Messages{{"user", "Hi"}});
  const auto both = read<merit::RankingRecord>(
      R"({"prompt": [{"role": "user", "content": "Hi"}], "ranks": [0, 1], "completions": )"
      R"([[{"role": "assistant", "content": "a"}], [{"role": "assistant", "content": "b"}]]})");
  CHECK(std::get<Messages>(both.completions[1]) == Messages{{"assistant", "b"}});
}

TEST_CASE("ratings are numbers, or as many numbers for each completion") {
  const auto one =
      read<merit::RatingsRecord>(R"({"prompt": "p", "completions": ["a", "b"], "scores": [4.5, -1]})");
  CHECK(one.scores == std::vector<double>{4.5, -1});
  CHECK(one.attributes == 1);
  const auto several = read<merit::RatingsRecord>(
      R"({"prompt": "p", "completions": ["a", "b"], "scores": [[1, 2, 3], [4, 5, 6]]})");
  CHECK(several.scores == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(several.attributes == 3);
}

TEST_CASE("an outcome is true, false or a probability") {
  const auto label = [](const std::string& value) {
    return read<merit::OutcomeRecord>(R"({"prompt": "p", "completion": "c", "label": )" + value + "}").label;
  };
  CHECK(label("true") == 1);
  CHECK(label("false") == 0);
  CHECK(label("0.25") == 0.25);
  CHECK(label("1") == 1);
  const auto features =
      read<merit::OutcomeRecord>(R"({"completion_features": [1], "label": true, "weight": 0})");
  CHECK(features.completion_features == std::vector<float>{1});
  CHECK(features.weight == 0);
}

TEST_CASE("step labels are kept as they are written") {
  const auto r = read<merit::StepsRecord>(R"({"prompt": "p", "completions": ["a", "b", "c", "d", "e"], )"
                                          R"("labels": [true, -1, 0.5, null, [0.2, 0.3, 0.5]]})");
  CHECK(r.completions == std::vector<std::string>{"a", "b", "c", "d", "e"});
  REQUIRE(r.labels.size() == 5);
  CHECK(std::get<bool>(r.labels[0]));
  CHECK(std::get<double>(r.labels[1]) == -1);
  CHECK(std::get<double>(r.labels[2]) == 0.5);
  CHECK(std::holds_alternative<std::monostate>(r.labels[3]));
  CHECK(std::get<merit::StepLabel>(r.labels[4]).neutral == doctest::Approx(0.3));
  const auto thirds =
      read<merit::StepsRecord>(R"({"prompt": "", "completions": ["a"], "labels": [[0.333, 0.333, 0.333]]})");
  CHECK(std::get<merit::StepLabel>(thirds.labels[0]).good == doctest::Approx(1.0 / 3));
  const auto ids =
      read<merit::StepsRecord>(R"({"prompt_ids": [1], "completions_ids": [[2, 3], [4]], "labels": [1, 0]})");
  CHECK(ids.completions_ids == std::vector<Ids>{{2, 3}, {4}});
}

TEST_CASE("a judge's votes, and an answer may be empty") {
  const auto r = read<merit::JudgeRecord>(
      R"({"prompt": "p", "response_a": "", "response_b": "b", "votes": ["a", "tie", "b"]})");
  CHECK(text(r.response_a).empty());
  CHECK(r.votes ==
        std::vector<merit::JudgeVote>{merit::JudgeVote::a, merit::JudgeVote::tie, merit::JudgeVote::b});
}

TEST_CASE("a rollout has rewards for its tokens or one of the whole") {
  const auto r = read<merit::RolloutRecord>(
      R"({"prompt_ids": [1], "completion_ids": [2, 3], "rewards": [0, 1], "values": [0.5, 0.25]})");
  CHECK(r.rewards == std::vector<double>{0, 1});
  CHECK_FALSE(r.reward);
  CHECK(r.values == std::vector<double>{0.5, 0.25});
  const auto one =
      read<merit::RolloutRecord>(R"({"prompt": "p", "completion": "c", "reward": -2, "rewards": null})");
  CHECK(one.rewards.empty());
  CHECK(one.reward == -2);
}

TEST_CASE("every malformed ranking is one sentence") {
  const std::string two = R"({"prompt": "p", "completions": ["a", "b"], )";
  check_errors<merit::RankingRecord>({
      {R"({"completions": ["a", "b"], "ranks": [0, 1]})",
       "field 'prompt': found no such field, expected a string or a list of messages"},
      {R"({"prompt": null, "completions": ["a", "b"], "ranks": [0, 1]})",
       "field 'prompt': found null, expected a string or a list of messages"},
      {R"({"prompt": "p", "ranks": [0, 1]})",
       "field 'completions': found no such field, expected a list of completions"},
      {R"({"prompt": "p", "completions": "a", "ranks": [0]})",
       "field 'completions': found \"a\", expected a list of completions"},
      {R"({"prompt": "p", "completions": [], "ranks": []})",
       "field 'completions': found an empty list, expected at least one completion"},
      {R"({"prompt": "p", "completions": ["a", null], "ranks": [0, 1]})",
       "field 'completions[1]': found null, expected a string or a list of messages"},
      {R"({"prompt": "p", "completions": ["a", [{"role": "user", "content": "b"}]], "ranks": [0, 1]})",
       "field 'completions[1]': found a list of messages under a prompt that is a string, expected a string, "
       "or a prompt that is a list of messages"},
      {R"({"prompt": [{"role": "user", "content": "p"}], "completions": )"
       R"([[{"role": "assistant", "content": "b"}], "a"], "ranks": [0, 1]})",
       "field 'completions[1]': found a string beside 'completions[0]' that is a list of messages, expected "
       "both of one kind"},
      {two + R"("ranks": 0})", "field 'ranks': found 0, expected a list of one for each completion"},
      {two + R"("ranks": [0]})", "field 'ranks': found 1 entry, expected 2, one for each completion"},
      {two + R"("ranks": [0, 1, 2]})", "field 'ranks': found 3 entries, expected 2, one for each completion"},
      {two + R"("ranks": [0, -1]})",
       "field 'ranks[1]': found -1, expected an integer of 0 or more, 0 for the "
       "best"},
      {two + R"("ranks": [0, 1.5]})",
       "field 'ranks[1]': found 1.5, expected an integer of 0 or more, 0 for the best"},
      {two + R"("ranks": [null, 1]})",
       "field 'ranks[0]': found null, expected an integer of 0 or more, 0 for the best"},
      {two + R"("ranks": [true, 1]})",
       "field 'ranks[0]': found true, expected an integer of 0 or more, 0 for the best"},
      {two + R"("ranks": ["0", 1]})",
       "field 'ranks[0]': found \"0\", expected an integer of 0 or more, 0 for the best"},
      {two + R"("ranks": [0, 1], "weight": -1})", "field 'weight': found -1, expected a number of 0 or more"},
      {R"({"prompt_ids": [1], "completions_ids": [2, 3], "ranks": [0, 1]})",
       "field 'completions_ids[0]': found 2, expected a list of token ids"},
      {R"({"prompt_ids": [1], "completions_ids": [[2], [3, -4]], "ranks": [0, 1]})",
       "field 'completions_ids[1][1]': found -4, expected an integer of 0 to 4294967295"},
      {R"({"completions_ids": [[2], [3]], "ranks": [0, 1]})",
       "field 'prompt_ids': found no such field, expected a list of token ids"},
      {R"({"prompt": "p", "completions_ids": [[2], [3]], "ranks": [0, 1]})",
       "field 'completions_ids': found it beside 'prompt', expected a record of text, of ids, or of features "
       "alone"},
      {R"({"completions_features": [[1, 2], [3]], "ranks": [0, 1]})",
       "field 'completions_features[1]': found 1 numbers, expected 2 as in 'completions_features[0]'"},
  });
}

TEST_CASE("every malformed rating is one sentence") {
  const std::string two = R"({"prompt": "p", "completions": ["a", "b"], )";
  check_errors<merit::RatingsRecord>({
      {two + R"("scores": [1]})", "field 'scores': found 1 entry, expected 2, one for each completion"},
      {two + R"("scores": ["5", 1]})",
       "field 'scores[0]': found \"5\", expected a number or a list of numbers"},
      {two + R"("scores": [5, null]})", "field 'scores[1]': found null, expected a number"},
      {two + R"("scores": [5, [1]]})", "field 'scores[1]': found an array of 1, expected a number"},
      {two + R"("scores": [[1, 2], 3]})", "field 'scores[1]': found 3, expected a list of numbers"},
      {two + R"("scores": [[1, 2], [3]]})",
       "field 'scores[1]': found 1 numbers, expected 2 as in 'scores[0]'"},
      {two + R"("scores": [[], []]})",
       "field 'scores[0]': found an empty list, expected at least one number"},
      {two + R"("scores": [[1, "2"], [1, 2]]})", "field 'scores[0][1]': found \"2\", expected a number"},
  });
}

TEST_CASE("every malformed outcome is one sentence") {
  const std::string begin = R"({"prompt": "p", "completion": "c", )";
  const std::string expected = ", expected true, false or a probability of 0 to 1";
  check_errors<merit::OutcomeRecord>({
      {begin + R"("x": 1})", "field 'label': found no such field" + expected},
      {begin + R"("label": null})", "field 'label': found null" + expected},
      {begin + R"("label": "good"})", "field 'label': found \"good\"" + expected},
      {begin + R"("label": -1})", "field 'label': found -1" + expected},
      {begin + R"("label": 1.01})", "field 'label': found 1.01" + expected},
      {R"({"completion": "c", "label": true})",
       "field 'prompt': found no such field, expected a string or a list of messages"},
  });
}

TEST_CASE("every malformed record of steps is one sentence") {
  const std::string two = R"({"prompt": "p", "completions": ["a", "b"], )";
  const std::string expected =
      ", expected true, false, -1, a number of 0 to 1, the three probabilities of bad, neutral and good, or "
      "null";
  check_errors<merit::StepsRecord>({
      {two + R"("labels": [1]})", "field 'labels': found 1 entry, expected 2, one for each step"},
      {two + R"("labels": [1, "+"]})", "field 'labels[1]': found \"+\"" + expected},
      {two + R"("labels": [1, 2]})", "field 'labels[1]': found 2" + expected},
      {two + R"("labels": [1, -0.5]})", "field 'labels[1]': found -0.5" + expected},
      {two + R"("labels": [1, [0.5, 0.5]]})",
       "field 'labels[1]': found 2 numbers, expected three, the probabilities of bad, neutral and good"},
      {two + R"("labels": [1, [0.5, 0.5, 0.5]]})",
       "field 'labels[1]': found probabilities that sum to 1.5, expected a sum of 1"},
      {two + R"("labels": [1, [0.5, -0.5, 1]]})",
       "field 'labels[1][1]': found -0.5, expected a probability of 0 to 1"},
      {R"({"prompt": "p", "completions": [], "labels": []})",
       "field 'completions': found an empty list, expected at least one step"},
      {R"({"prompt": "p", "completions": [["a"]], "labels": [1]})",
       "field 'completions[0]': found an array of 1, expected a string"},
      {R"({"prompt": "p", "completions": "a", "labels": [1]})",
       "field 'completions': found \"a\", expected a list of steps, strings"},
      {R"({"completions_features": [[1]], "labels": [1]})",
       "field 'completions_features': found features, expected text or ids, for a step's place is a token"},
  });
}

TEST_CASE("every malformed record of a judge is one sentence") {
  const std::string begin = R"({"prompt": "p", "response_a": "a", "response_b": "b", )";
  check_errors<merit::JudgeRecord>({
      {begin + R"("x": 1})", "field 'votes': found no such field, expected a list of votes: a, b or tie"},
      {begin + R"("votes": "a"})", "field 'votes': found \"a\", expected a list of votes: a, b or tie"},
      {begin + R"("votes": []})",
       "field 'votes': found an empty list, expected at least one vote: a, b or tie"},
      {begin + R"("votes": ["a", "A"]})", "field 'votes[1]': found \"A\", expected a, b or tie"},
      {begin + R"("votes": ["a", 1]})", "field 'votes[1]': found 1, expected a, b or tie"},
      {R"({"prompt": "p", "response_a": "a", "votes": ["a"]})",
       "field 'response_b': found no such field, expected a string or a list of messages"},
  });
}

TEST_CASE("every malformed rollout is one sentence") {
  const std::string begin = R"({"prompt": "p", "completion": "c", )";
  const std::string expected = ", expected a number here, or one for each token in 'rewards'";
  check_errors<merit::RolloutRecord>({
      {begin + R"("x": 1})", "field 'reward': found no such field" + expected},
      {begin + R"("reward": "1"})", "field 'reward': found \"1\"" + expected},
      {begin + R"("reward": 1, "rewards": [1]})",
       "field 'reward': found it beside 'rewards', expected one of the two"},
      {begin + R"("rewards": 1})", "field 'rewards': found 1, expected a list of numbers"},
      {begin + R"("rewards": []})", "field 'rewards': found an empty list, expected at least one number"},
      {begin + R"("rewards": [0, null]})", "field 'rewards[1]': found null, expected a number"},
      {begin + R"("reward": 1, "values": [true]})", "field 'values[0]': found true, expected a number"},
      {R"({"completion_features": [1], "reward": 1})",
       "field 'completion_features': found features, expected text or ids, for a rollout has a value for "
       "each token"},
  });
}

TEST_CASE("a record of another kind is an error that names both kinds") {
  const std::string ranking = R"({"prompt": "p", "completions": ["a", "b"], "ranks": [0, 1]})";
  const std::string steps = R"({"prompt": "p", "completions": ["a", "b"], "labels": [0, 1]})";
  const std::string outcome = R"({"prompt": "p", "completion": "a", "label": true})";
  const std::string preference = R"({"prompt": "p", "chosen": "a", "rejected": "b"})";
  const std::string ids = R"({"prompt_ids": [1], "chosen_ids": [1], "rejected_ids": [2]})";
  const std::string judge = R"({"prompt": "p", "response_a": "a", "response_b": "b", "votes": ["a"]})";

  CHECK(
      error_of<merit::StepsRecord>(ranking) ==
      "one.jsonl:1: field 'labels': found no such field but the fields completions and ranks of a record of "
      "kind ranking, expected a list of one for each step in a record of kind steps");
  CHECK(
      error_of<merit::RankingRecord>(steps) ==
      "one.jsonl:1: field 'ranks': found no such field but the fields completions and labels of a record of "
      "kind steps, expected a list of one for each completion in a record of kind ranking");
  CHECK(error_of<merit::RatingsRecord>(judge) ==
        "one.jsonl:1: field 'completions': found no such field but the fields response_a and response_b of a "
        "record of kind judge, expected a list of completions in a record of kind ratings");
  CHECK(
      error_of<merit::RolloutRecord>(outcome) ==
      "one.jsonl:1: field 'reward': found no such field but the fields completion and label of a record of "
      "kind outcome, expected a number here, or one for each token in 'rewards' in a record of kind rollout");
  CHECK(error_of<merit::JudgeRecord>(preference) ==
        "one.jsonl:1: field 'response_a': found no such field but the fields chosen and rejected of a record "
        "of kind preference, expected a string or a list of messages in a record of kind judge");
  CHECK(error_of<merit::OutcomeRecord>(ids) ==
        "one.jsonl:1: field 'completion_ids': found no such field but the fields chosen_ids and rejected_ids "
        "of a record of kind preference, expected a list of token ids in a record of kind outcome");
  CHECK(error_of<merit::PreferenceRecord>(judge).find(
            "of a record of kind judge, expected a string or a list of messages in a record of kind "
            "preference") != std::string::npos);

  // In the middle of a file: the line is named, and reading goes on after it.
  std::istringstream in(ranking + "\n" + outcome + "\n" + ranking + "\n");
  merit::RankingReader reader(in, "mixed.jsonl");
  CHECK(reader.next());
  CHECK_THROWS_WITH_AS(
      reader.next(),
      "mixed.jsonl:2: field 'completions': found no such field but the fields completion and "
      "label of a record of kind outcome, expected a list of completions in a record of kind "
      "ranking",
      merit::DataError);
  CHECK(reader.next());
  CHECK_FALSE(reader.next());
}

}  // namespace record_kinds_test
