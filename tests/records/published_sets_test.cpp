// Training sets as they are published: one row of each in the words of its card, and the record that it gives.
#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

#include "merit/records/jsonl.hpp"
#include "merit/records/record_source.hpp"

namespace published_sets_test {

using merit::Index;
using merit::OrderedJson;
using merit::PublishedSet;
using merit::RecordSource;
using merit::RecordSourceOptions;

struct Read {
  std::vector<OrderedJson> records;
  std::optional<PublishedSet> layout;
  std::map<std::string, Index> left_out;
  std::vector<std::string> remarks;
};

Read read(const std::string& lines, RecordSourceOptions options = {}) {
  std::istringstream in(lines);
  RecordSource source(in, "in.jsonl", std::move(options));
  Read result;
  while (auto record = source.next()) result.records.push_back(*std::move(record));
  result.layout = source.layout();
  result.left_out = source.left_out();
  result.remarks = source.remarks();
  return result;
}

std::string error_of(const std::string& lines, const RecordSourceOptions& options = {}) {
  try {
    read(lines, options);
  } catch (const merit::Error& error) {
    return error.what();
  }
  return "no error";
}

OrderedJson json(const char* text) {
  return merit::parse_ordered_json(text, "expected");
}

/// One row gives these records, and nothing of it is left out.
void check(const char* row, PublishedSet set, const std::vector<const char*>& expected,
           const RecordSourceOptions& options = {}) {
  CAPTURE(std::string(row));
  const Read found = read(row, options);
  REQUIRE(found.layout.has_value());
  CHECK(merit::name_of(*found.layout) == merit::name_of(set));
  REQUIRE(found.records.size() == expected.size());
  for (Index i = 0; i < expected.size(); ++i) CHECK(found.records[i].dump() == json(expected[i]).dump());
  CHECK(found.left_out.empty());
}

TEST_CASE("UltraFeedback: ratings, by the overall score or by those asked for") {
  const char* row =
      R"({"source":"evol","instruction":"Q","models":["m","n"],"completions":[
         {"model":"m","response":"A","overall_score":8.5,"fine-grained_score":4.0,
          "annotations":{"honesty":{"Rating":"5"},"helpfulness":{"Rating":"3"}}},
         {"model":"n","response":"B","overall_score":6,"fine-grained_score":4.5,
          "annotations":{"honesty":{"Rating":"2"},"helpfulness":{"Rating":"4"}}}]})";
  std::string line = row;
  std::erase(line, '\n');
  check(line.c_str(), PublishedSet::ultrafeedback,
        {R"({"prompt":"Q","completions":["A","B"],"scores":[8.5,6.0]})"});
  check(line.c_str(), PublishedSet::ultrafeedback,
        {R"({"prompt":"Q","completions":["A","B"],"scores":[4.0,4.5]})"},
        {.ratings = {"fine-grained_score"}});
  check(line.c_str(), PublishedSet::ultrafeedback,
        {R"({"prompt":"Q","completions":["A","B"],"scores":[[5.0,3.0],[2.0,4.0]]})"},
        {.ratings = {"honesty", "helpfulness"}});
  const Read none = read(R"({"instruction":"Q","completions":[]})"
                         "\n"
                         R"({"instruction":"Q","completions":[{"response":"A","overall_score":"N/A"}]})");
  CHECK(none.records.empty());
  CHECK(none.left_out == std::map<std::string, Index>{{"no completions", 1},
                                                      {"no completion with a rating that is a number", 1}});
}

TEST_CASE("UltraFeedback: a completion without a rating is left out alone, and counted") {
  const Read found = read(
      R"({"instruction":"Q","completions":[{"response":"A","overall_score":8},{"response":"B","overall_score":"N/A"},)"
      R"({"response":"C","overall_score":"7"}]})");
  REQUIRE(found.records.size() == 1);
  CHECK(found.records[0].dump() == R"({"prompt":"Q","completions":["A","C"],"scores":[8.0,7.0]})");
  CHECK(found.left_out.empty());
  CHECK(found.remarks ==
        std::vector<std::string>{"1 completion left out: without a rating that is a number"});
  const std::string row =
      R"({"instruction":"Q","completions":[{"response":"A","overall_score":8,"annotations":{"honesty":)"
      R"({"Rating":"N/A"},"helpfulness":{"Rating":"5"}}}]})";
  CHECK(
      error_of(row, {.ratings = {"onesty"}}) ==
      "in.jsonl: --rating onesty: found no row with a rating of that name, expected one of: helpfulness, honesty, "
      "overall_score (did you mean honesty?)");
  CHECK(error_of(row, {.ratings = {"honesty"}}) == "no error");  // there, but no number
  CHECK(
      error_of(R"({"prompt":"P","response":"a","helpfulness":1,"correctness":3,"coherence":4,"complexity":1,)"
               R"("verbosity":2})",
               {.ratings = {"helpful"}}) ==
      "in.jsonl:1: field 'helpful': found no such rating, expected one of: helpfulness, correctness, coherence, "
      "complexity, verbosity (did you mean helpfulness?)");
}

TEST_CASE("HelpSteer: rows of one prompt behind each other are one record of five ratings") {
  const auto row = [](const char* prompt, const char* response, int helpfulness) {
    return merit::concat(R"({"prompt":")", prompt, R"(","response":")", response, R"(","helpfulness":)",
                         helpfulness, R"(,"correctness":3,"coherence":4,"complexity":1,"verbosity":2})",
                         "\n");
  };
  const Read found = read(row("P", "a", 3) + row("P", "b", 4) + row("R", "c", 0));
  REQUIRE(found.records.size() == 2);
  CHECK(found.records[0].dump() == json(R"({"prompt":"P","completions":["a","b"],
      "scores":[[3.0,3.0,4.0,1.0,2.0],[4.0,3.0,4.0,1.0,2.0]]})")
                                       .dump());
  CHECK(found.records[1]["completions"] == json(R"(["c"])"));
  const Read helpful = read(row("P", "a", 3) + row("P", "b", 4), {.ratings = {"helpfulness"}});
  CHECK(helpful.records.at(0)["scores"] == json("[3.0,4.0]"));
}

TEST_CASE("HelpSteer2 and 3: a strength below 0 prefers the first answer, and may be the margin") {
  const char* two =
      R"({"split":"train","prompt":"P","response_1":"a","response_2":"b","preference_strength":-2})";
  check(two, PublishedSet::helpsteer2_preference,
        {R"({"prompt":"P","chosen":"a","rejected":"b","preference_strength":2.0})"});
  check(two, PublishedSet::helpsteer2_preference,
        {R"({"prompt":"P","chosen":"a","rejected":"b","margin":2.0})"}, {.margin_of_scores = true});
  check(
      R"({"context":[{"role":"user","content":"P"}],"response1":"a","response2":"b","overall_preference":1})",
      PublishedSet::helpsteer3,
      {R"({"prompt":[{"role":"user","content":"P"}],"chosen":"b","rejected":"a","preference_strength":1.0})"});
  check(
      R"({"context":[{"role":"user","content":"P"}],"response1":"a","response2":"b","overall_preference":0})",
      PublishedSet::helpsteer3,
      {R"({"prompt":[{"role":"user","content":"P"}],"chosen":"a","rejected":"b","soft_label":0.5,)"
       R"("preference_strength":0.0})"});
}

TEST_CASE("PRM800K: the path that was gone on, and each other labelled step behind its beginning") {
  check(
      R"({"question":{"problem":"P","ground_truth_answer":"4"},"label":{"finish_reason":"found_error","steps":[)"
      R"({"completions":[{"text":"a","rating":1,"flagged":false}],"human_completion":null,"chosen_completion":0},)"
      R"({"completions":[{"text":"b","rating":0},{"text":"c","rating":-1},{"text":"d","rating":null}],)"
      R"("human_completion":null,"chosen_completion":0},)"
      R"({"completions":[{"text":"e","rating":-1}],"human_completion":null,"chosen_completion":null}]}})",
      PublishedSet::prm800k,
      {R"({"prompt":"P","completions":["a","c"],"labels":[null,-1]})",
       R"({"prompt":"P","completions":["a","b","e"],"labels":[1,0,-1]})"});
  // Phase 1: a person wrote the step that was gone on with.
  check(R"({"question":{"problem":"P"},"label":{"finish_reason":"solution","steps":[)"
        R"({"completions":[{"text":"x","rating":-1}],"human_completion":{"text":"h","rating":null},)"
        R"("chosen_completion":null},)"
        R"({"completions":[{"text":"y","rating":1.0}],"human_completion":null,"chosen_completion":0}]}})",
        PublishedSet::prm800k,
        {R"({"prompt":"P","completions":["x"],"labels":[-1]})",
         R"({"prompt":"P","completions":["h","y"],"labels":[null,1]})"});
  const Read none = read(R"({"question":{"problem":"P"},"label":{"finish_reason":"give_up","steps":[]}})");
  CHECK(none.records.empty());
  CHECK(none.left_out == std::map<std::string, Index>{{"finish_reason give_up", 1}});
}

TEST_CASE("Math-Shepherd: a step ends at each tag, and its sign stands in the tag's place") {
  check(
      R"({"task":"GSM8K","input":"Two and two? Step 1: 2+2=4 ки\nStep 2: so ’five’ ки",)"
      R"("label":"Two and two? Step 1: 2+2=4 +\nStep 2: so ’five’ -"})",
      PublishedSet::math_shepherd,
      {R"({"prompt":"Two and two?","completions":["Step 1: 2+2=4","Step 2: so ’five’"],"labels":[true,false]})"});
  CHECK(
      error_of(R"({"input":"Q Step 1: a ки","label":"Q Step 1: a x"})") ==
      "in.jsonl:1: field 'label': found no + or - in the place of tag 1 of the input, expected the input with one "
      "of them for each tag");
}

TEST_CASE("Math-Shepherd: text behind the last tag is a step without a label") {
  check(R"({"input":"Q Step 1: a ки\nStep 2: cut off","label":"Q Step 1: a +\nStep 2: cut off"})",
        PublishedSet::math_shepherd,
        {R"({"prompt":"Q","completions":["Step 1: a","Step 2: cut off"],"labels":[true,null]})"});
}

TEST_CASE("Arena 55k: turns in lists written as text, and one of three winners") {
  const auto row = [](const char* prompt, const char* a, const char* b, const char* winners) {
    const OrderedJson row{
        {"id", 1}, {"model_a", "x"}, {"prompt", prompt}, {"response_a", a}, {"response_b", b}};
    std::string text = row.dump();
    text.back() = ',';
    return text + winners + "}";
  };
  const char* b_wins = R"("winner_model_a":0,"winner_model_b":1,"winner_tie":0)";
  check(
      row(R"(["Q","R"])", R"(["A","A2"])", R"(["B","B2"])", b_wins).c_str(), PublishedSet::arena_55k,
      {R"({"prompt":[{"role":"user","content":"Q"}],"response_a":[{"role":"assistant","content":"A"},)"
       R"({"role":"user","content":"R"},{"role":"assistant","content":"A2"}],"response_b":[{"role":"assistant",)"
       R"("content":"B"},{"role":"user","content":"R"},{"role":"assistant","content":"B2"}],"votes":["b"]})"});
  const char* tie = R"("winner_model_a":0,"winner_model_b":0,"winner_tie":1)";
  check(row(R"(["Q"])", R"(["A"])", R"(["B"])", tie).c_str(), PublishedSet::arena_55k,
        {R"({"prompt":[{"role":"user","content":"Q"}],"response_a":[{"role":"assistant","content":"A"}],)"
         R"("response_b":[{"role":"assistant","content":"B"}],"votes":["tie"]})"});
  const Read none = read(row(R"(["Q","R"])", R"(["A",null])", R"(["B","B2"])", b_wins));
  CHECK(none.records.empty());
  CHECK(none.left_out == std::map<std::string, Index>{{"a turn without text", 1}});
  CHECK(error_of(row(R"(["Q","R"])", R"(["A"])", R"(["B","B2"])", b_wins)) ==
        "in.jsonl:1: field 'response_a': found 1 turn, expected 2 as in 'prompt'");
  CHECK(error_of(row("Q", "A", "B", b_wins)).starts_with("in.jsonl:1: field 'prompt': not valid JSON"));
  CHECK(error_of(row(R"(["Q"])", R"(["A"])", R"(["B"])",
                     R"("winner_model_a":0,"winner_model_b":0,"winner_tie":0)")) ==
        "in.jsonl:1: field 'winner_tie': found 0 as in the others, expected 1 in one of the three");
  CHECK(error_of(row(R"(["Q"])", R"(["A"])", R"(["B"])",
                     R"("winner_model_a":1,"winner_model_b":1,"winner_tie":0)")) ==
        "in.jsonl:1: field 'winner_model_b': found 1 beside another one, expected 1 in one of the three");
}

TEST_CASE("Arena: the turns that both have are the prompt, the vote goes to the winner") {
  const std::string a = R"([{"role":"user","content":"Q"},{"role":"assistant","content":"A"}])";
  const std::string b = R"([{"role":"user","content":"Q"},{"role":"assistant","content":"B"}])";
  for (const auto& [winner, vote] : std::vector<std::pair<const char*, const char*>>{
           {"model_a", "a"}, {"model_b", "b"}, {"tie", "tie"}, {"tie (bothbad)", "tie"}}) {
    const std::string row = merit::concat(R"({"model_a":"x","winner":")", winner, R"(","conversation_a":)", a,
                                          R"(,"conversation_b":)", b, "}");
    const std::string record =
        merit::concat(R"({"prompt":[{"role":"user","content":"Q"}],"response_a":[{"role":"assistant",)"
                      R"("content":"A"}],"response_b":[{"role":"assistant","content":"B"}],"votes":[")",
                      vote, R"("]})");
    check(row.c_str(), PublishedSet::arena, {record.c_str()});
  }
  CHECK(error_of(R"({"winner":"x","conversation_a":)" + a + R"(,"conversation_b":)" + b + "}") ==
        "in.jsonl:1: field 'winner': found \"x\", expected model_a, model_b or tie");
}

TEST_CASE("pairs under other names") {
  check(
      R"({"system":"S","question":"Q","chosen":"a","rejected":"b"})", PublishedSet::orca_pairs,
      {R"({"prompt":[{"role":"system","content":"S"},{"role":"user","content":"Q"}],"chosen":"a","rejected":"b"})"});
  check(R"({"system":"","input":"Q","chosen":"a","rejected":"b"})", PublishedSet::orca_pairs,
        {R"({"prompt":[{"role":"user","content":"Q"}],"chosen":"a","rejected":"b"})"});
  check(R"({"prompt":"P","response_0":"a","response_1":"b","is_response_0_safe":true,"better_response_id":1,)"
        R"("safer_response_id":0})",
        PublishedSet::pku_safe_rlhf, {R"({"prompt":"P","chosen":"b","rejected":"a"})"});
  check(R"({"prompt":"P","response_0":"a","response_1":"b","better_response_id":1,"safer_response_id":0})",
        PublishedSet::pku_safe_rlhf, {R"({"prompt":"P","chosen":"a","rejected":"b"})"},
        {.rename = {{"safer_response_id", "better_response_id"}}});
  check(R"({"history":"H","human_ref_A":"a","human_ref_B":"b","labels":0,"score_A":2,"score_B":9})",
        PublishedSet::shp, {R"({"prompt":"H","chosen":"b","rejected":"a"})"});
  check(
      R"({"question":{"full_text":"Q","id":"1"},"answer_0":"a","answer_1":"b","score_0":-0.5,"score_1":0.5})",
      PublishedSet::webgpt,
      {R"({"prompt":"Q","chosen":"b","rejected":"a","score_chosen":0.5,"score_rejected":-0.5})"});
  check(
      R"({"question":{"full_text":"Q"},"answer_0":"a","answer_1":"b","score_0":0,"score_1":0})",
      PublishedSet::webgpt,
      {R"({"prompt":"Q","chosen":"a","rejected":"b","soft_label":0.5,"score_chosen":0.0,"score_rejected":-0.0})"});
  check(
      R"({"prompt":"\n\nHuman: Q\n\nAssistant: ","answers":[{"answer":"a","rank":2.0},{"answer":"b","rank":1.0}]})",
      PublishedSet::nectar,
      {R"({"prompt":"\n\nHuman: Q\n\nAssistant: ","completions":["a","b"],"ranks":[1,0]})"});
}

TEST_CASE("TRL's scores are the margin when asked for, and not before") {
  const char* row = R"({"prompt":"P","chosen":"a","rejected":"b","score_chosen":8,"score_rejected":6.5})";
  CHECK(!read(row).records.at(0).contains("margin"));
  CHECK(read(row, {.margin_of_scores = true}).records.at(0)["margin"] == 1.5);
  CHECK(!read(row).layout.has_value());
}

TEST_CASE("records without scores are counted where scores are to be the margin, and text is no score") {
  const RecordSourceOptions options{.margin_of_scores = true};
  const std::string with =
      R"({"prompt":"P","chosen":"a","rejected":"b","score_chosen":8,"score_rejected":6})";
  const std::string half = R"({"prompt":"P","chosen":"a","rejected":"b","score_chosen":8})";
  const std::string own = R"({"prompt":"P","chosen":"a","rejected":"b","margin":1})";
  CHECK(read(with + '\n' + half + '\n' + own, options).remarks ==
        std::vector<std::string>{"--margin scores: 1 of 3 records has no scores and no margin"});
  CHECK(read(with + '\n' + half).remarks.empty());
  CHECK(error_of(R"({"chosen":"a","rejected":"b","score_chosen":"8","score_rejected":6})", options) ==
        "in.jsonl:1: field 'score_chosen': found \"8\", expected a number");
}

TEST_CASE("a row of no set, of two, or of another than the first says so") {
  CHECK(
      merit::partly_published(json(R"({"prompt":"P","response_0":"a","response_1":"b"})")) ==
      "it has prompt, response_0, response_1 of the published set pku_safe_rlhf but not better_response_id");
  CHECK(merit::partly_published(json(R"({"prompt":"P","completion":"a"})")).empty());
  const char* pku = R"("prompt":"P","response_0":"a","response_1":"b","better_response_id":1)";
  CHECK(
      error_of(
          merit::concat("{", pku, R"(,"history":"H","human_ref_A":"a","human_ref_B":"b","labels":0})")) ==
      "in.jsonl:1: row: found the fields of pku_safe_rlhf and of shp, expected those of one published set: leave "
      "one out by --rename");
  CHECK(error_of(merit::concat("{", pku, "}\n{\"prompt\":\"P\"}\n")) ==
        "in.jsonl:2: field 'better_response_id': found no such field, expected a field of the published set "
        "pku_safe_rlhf");
}

TEST_CASE("each set's records are read as records of their kind") {
  std::istringstream in(R"({"prompt":"P","response_0":"a","response_1":"b","better_response_id":1})"
                        "\n");
  merit::PreferenceReader reader(in, "in.jsonl");
  const auto record = reader.next().value();
  CHECK(std::get<std::string>(record.chosen) == "b");
  CHECK(record.source.line == 1);
  CHECK(!reader.next());
}

}  // namespace published_sets_test
