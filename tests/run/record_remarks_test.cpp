// What is said of the files of a set: fields that are not read, prompts by another name, published sets; and parts of
// files: a share held out by prompts, weights.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "io/temporary.hpp"
#include "letter_model.hpp"
#include "merit/core/error.hpp"
#include "merit/run/file_kind.hpp"
#include "merit/run/record_set.hpp"

namespace record_remarks_test {

using merit::ConfigError;
using merit::DataError;
using merit::Index;
using merit::RecordKind;
using merit::RecordSet;
using merit::SplitSide;
using merit_test::contains;
using merit_test::error_of;
using merit_test::read_lines;

/// Of one set, without the name of its file.
std::vector<std::string> remarks_of(const RecordSet& set) {
  std::vector<std::string> remarks;
  for (const std::string& remark : set.remarks) remarks.push_back(remark.substr(remark.find(": ") + 2));
  return remarks;
}

TEST_CASE("fields that are not read and missing prompts are said once, with counts") {
  const std::string asked = "{\"question\": \"Say 1\", \"chosen\": \"good\", \"rejected\": \"bad\"}\n";
  const std::string told = "{\"prompt\": \"Say 1\", \"chosen\": \"good\", \"rejected\": \"bad\"}\n";
  using Said = std::vector<std::string>;
  CHECK(remarks_of(read_lines(RecordKind::preference, told)).empty());
  CHECK(remarks_of(read_lines(RecordKind::preference, asked + told)) ==
        Said{"1 of 2 records has no prompt; --rename question=prompt reads 'question' as it, which 1 has",
             "field that is not read: \"question\" (in 1)"});
  const RecordSet renamed =
      read_lines(RecordKind::preference, asked + told, {.source = {.rename = {{"question", "prompt"}}}});
  CHECK(renamed.remarks.empty());
  CHECK(renamed.notes[0].prompt == "Say 1");
  CHECK(contains(error_of<ConfigError>([&] {
                   read_lines(RecordKind::preference, told, {.source = {.rename = {{"question", "prompt"}}}});
                 }),
                 "has the field \"question\""));
  for (const auto& [kind, fields] : std::vector<std::pair<RecordKind, const char*>>{
           {RecordKind::ranking, "\"completions\": [\"a\", \"b\"], \"ranks\": [0, 1]"},
           {RecordKind::ratings, "\"completions\": [\"a\", \"b\"], \"scores\": [0, 1]"},
           {RecordKind::outcome, "\"completion\": \"a\", \"label\": true"},
           {RecordKind::steps, "\"completions\": [\"a\", \"b\"], \"labels\": [1, 0]"},
           {RecordKind::judge, "\"response_a\": \"a\", \"response_b\": \"b\", \"votes\": [\"a\"]"}}) {
    const std::string line = merit::concat("{\"problem\": \"x\", ", fields, "}\n");
    CHECK(contains(
        error_of<DataError>([&, k = kind] { read_lines(k, line); }),
        "field 'prompt': found no such field but 'problem' (--rename problem=prompt reads it), expected"));
    CHECK(read_lines(kind, line, {.source = {.rename = {{"problem", "prompt"}}}}).counts.kept == 1);
  }
}

TEST_CASE("nothing selected is said so") {
  const std::string line = "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\", \"s\": \"x\"}\n";
  CHECK(contains(error_of<DataError>([&] {
                   read_lines(RecordKind::preference, line, {.source = {.select = {{"s", "y"}}}});
                 }),
                 "--select left out 1."));
}

TEST_CASE("a prompt that renaming replaced is said") {
  CHECK(contains(read_lines(RecordKind::preference,
                            "{\"q\": \"Q\", \"prompt\": \"P\", \"chosen\": \"a\", \"rejected\": \"b\"}\n",
                            {.source = {.rename = {{"q", "prompt"}}}})
                     .remarks.at(0),
                 "records.jsonl: --rename q=prompt replaced the field prompt in 1 record"));
}

TEST_CASE(
    "scores as margins: records without are counted, and none with is refused where they are asked for") {
  const std::string without = "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\"}\n";
  const std::string with =
      "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"c\", \"score_chosen\": 3, \"score_rejected\": 1}\n";
  merit::RecordSetOptions options{.source = {.margin_of_scores = true}};
  CHECK(contains(read_lines(RecordKind::preference, with + without, options).remarks.at(0),
                 "--margin scores: 1 of 2 records has no scores and no margin"));
  CHECK(contains(error_of<ConfigError>([&] { read_lines(RecordKind::preference, without, options); }),
                 "has score_chosen and score_rejected, or preference_strength, or a margin"));
  options.source.margin_of_scores = false;
  CHECK(read_lines(RecordKind::preference, without, options).counts.kept == 1);
}

TEST_CASE("a published set is named, its rows left out are counted") {
  const RecordSet set = read_lines(
      RecordKind::ratings,
      "{\"instruction\": \"Q\", \"completions\": [{\"response\": \"a\", \"overall_score\": 1},"
      "{\"response\": \"b\", \"overall_score\": 2}]}\n{\"instruction\": \"R\", \"completions\": []}\n");
  CHECK(set.counts.kept == 1);
  REQUIRE(set.remarks.size() == 2);
  CHECK(contains(set.remarks[0], "read as the published set ultrafeedback"));
  CHECK(contains(set.remarks[1], "1 row left out: no completions"));
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "f.jsonl").string();
  merit_test::put(
      file, "[{\"prompt\": \"p\", \"response_0\": \"a\", \"response_1\": \"b\", \"better_response_id\": 1}]");
  CHECK(merit::kind_of_file(file).kind == RecordKind::preference);
  merit_test::put(file, "{\"prompt\": \"p\", \"response_0\": \"a\", \"response_1\": \"b\"}");
  CHECK(contains(error_of<DataError>([&] { merit::kind_of_file(file); }),
                 "of the published set pku_safe_rlhf but not better_response_id"));
  const std::string table = (folder / "f.csv").string();
  merit_test::put(table, "prompt,completion,label\np,a,1\n");
  CHECK(merit::kind_of_file(table).kind == RecordKind::outcome);
  CHECK(contains(error_of<ConfigError>([&] { merit::kind_of_file(""); }), "found an empty path"));
}

TEST_CASE("a share of the prompts is held out, and every record is on one side") {
  std::string lines;
  for (int i = 0; i < 400; ++i) {
    lines += merit::concat("{\"prompt\": \"p", i / 2, "\", \"chosen\": \"a", i, "\", \"rejected\": \"b\"}\n");
  }
  const auto side = [&](SplitSide of) {
    return read_lines(RecordKind::preference, lines, {.side = of, .held_out = 0.25, .split_seed = 7});
  };
  CHECK(contains(error_of<merit::DataError>([&] {
                   read_lines(RecordKind::preference, lines,
                              {.side = SplitSide::held_out, .held_out = 1e-12});
                 }),
                 "The split of prompts held out none."));
  const RecordSet kept = side(SplitSide::kept), held = side(SplitSide::held_out);
  CHECK(kept.counts.kept + held.counts.kept == 400);
  CHECK(held.counts.kept > 60);
  CHECK(held.counts.kept < 140);
  std::set<std::string> prompts;
  for (const auto& note : kept.notes) prompts.insert(note.prompt);
  for (const auto& note : held.notes) CHECK(!prompts.contains(note.prompt));
}

TEST_CASE("a file's weight is that of its records") {
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "f.jsonl").string();
  merit_test::put(file, "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\"}\n");
  const RecordSet set = merit::read_record_set({file + ":0.25", file}, merit::make_tokenizer("bytes"),
                                               {.kind = RecordKind::preference});
  const auto& pairs = std::get<std::vector<merit::PreferenceExample>>(set.examples);
  REQUIRE(pairs.size() == 2);
  CHECK(pairs[0].weight == 0.25);
  CHECK(pairs[1].weight == 1);
  CHECK(set.files == file + ", " + file);
}

}  // namespace record_remarks_test
