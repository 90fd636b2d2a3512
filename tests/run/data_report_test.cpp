// What files hold: every figure of a small file by hand.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "io/temporary.hpp"
#include "letter_model.hpp"
#include "merit/core/error.hpp"
#include "merit/run/data_report.hpp"

namespace data_report_test {

using merit::Index;
using merit_test::contains;

TEST_CASE("counts, lengths, duplicates, balance and overlaps") {
  const merit_test::TemporaryDirectory folder;
  const std::string first = (folder / "a.jsonl").string(), second = (folder / "b.jsonl").string();
  merit_test::put(first,
                  "{\"prompt\": \"p\", \"completion\": \"four\", \"label\": true}\n"
                  "{\"prompt\": \"p\", \"completion\": \"four\", \"label\": true}\n"
                  "{\"prompt\": \"p\", \"completion\": \"sevenly\", \"label\": 0, \"id\": 3}\n"
                  "{\"prompt\": \"long\", \"completion\": \"x\", \"label\": 0.5}\n"
                  "{\"prompt\": \"bad\", \"completion\": \"y\", \"label\": 7}\n");
  merit_test::put(second,
                  "{\"prompt\": \"p\", \"chosen\": \"ab\", \"rejected\": \"c\"}\n"
                  "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"c\", \"soft_label\": 0.5}\n");
  std::vector<std::string> written;
  const merit::DataReport report = merit::report_on_data(
      {first, second}, {}, [&](const merit::OrderedJson& record) { written.push_back(record.dump()); });
  REQUIRE(report.files.size() == 2);
  const merit::FileReport& outcomes = report.files[0];
  CHECK(outcomes.kind == merit::RecordKind::outcome);
  CHECK(outcomes.read == 5);
  CHECK(outcomes.kept == 4);
  CHECK(outcomes.records == 4);
  CHECK(outcomes.bad == 1);
  CHECK(contains(outcomes.first_error, "a.jsonl:5: field 'label': found 7"));
  CHECK(outcomes.prompts == 2);
  CHECK(outcomes.duplicates == 1);
  CHECK(outcomes.completion.texts == 4);
  CHECK(outcomes.completion.bytes == 4 + 4 + 7 + 1);
  CHECK(outcomes.completion.longest == 7);
  CHECK(outcomes.prompt.mean() == (1 + 1 + 1 + 4) / 4.0);
  CHECK(outcomes.balance == std::map<std::string, Index>{{"right", 2}, {"wrong", 1}, {"between", 1}});
  CHECK(outcomes.remarks == std::vector<std::string>{"field that is not read: \"id\" (in 1)"});
  CHECK(report.files[1].balance ==
        std::map<std::string, Index>{{"chosen is better", 1}, {"tie", 1}, {"the longer one is chosen", 1}});
  REQUIRE(report.overlaps.size() == 1);
  CHECK(report.overlaps[0].prompts == 1);
  CHECK(written.size() == 6);  // what can be read
  const std::string text = text_of(report);
  CHECK(contains(text, "a.jsonl: 4 records of the kind outcome; 5 rows read: 4 kept, 1 not readable\n"));
  CHECK(contains(text, "balance       between 1, right 2, wrong 1"));
  CHECK(contains(text, "1 prompt of " + first + " also in " + second));
  CHECK(merit::to_json(report)["files"][1]["kind"] == "preference");
}

TEST_CASE("a published set is written in our own form") {
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "a.jsonl").string();
  merit_test::put(file,
                  "{\"history\": \"H\", \"human_ref_A\": \"a\", \"human_ref_B\": \"b\", \"labels\": 0}\n");
  std::vector<std::string> written;
  const merit::DataReport report = merit::report_on_data(
      {file}, {}, [&](const merit::OrderedJson& record) { written.push_back(record.dump()); });
  CHECK(report.files[0].layout == "shp");
  CHECK(written == std::vector<std::string>{R"({"prompt":"H","chosen":"b","rejected":"a"})"});
  merit_test::put(file, "{\"x\": 1, \"y\": 2}\n");
  CHECK_THROWS_WITH_AS(merit::report_on_data({file}, {}),
                       doctest::Contains("a first record of no kind with the fields x, y, expected one of"),
                       merit::DataError);
}

TEST_CASE("what renaming replaced and found nowhere is said, and completions that were left out") {
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "a.jsonl").string();
  merit_test::put(file, "{\"q\": \"Q\", \"prompt\": \"P\", \"completion\": \"a\", \"label\": 1}\n");
  CHECK(merit::report_on_data({file}, {.rename = {{"q", "prompt"}, {"no", "label"}}}).files[0].remarks ==
        std::vector<std::string>{"--rename q=prompt replaced the field prompt in 1 record",
                                 "--rename no=label: no record has the field \"no\""});
  merit_test::put(file,
                  "{\"instruction\": \"Q\", \"completions\": [{\"response\": \"A\", \"overall_score\": 8},"
                  "{\"response\": \"B\", \"overall_score\": \"N/A\"}]}\n");
  CHECK(contains(text_of(merit::report_on_data({file}, {})),
                 "remark        1 completion left out: without a rating that is a number"));
}

TEST_CASE("the rows of a file are kept, or left out for a reason, and the counts sum") {
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "a.jsonl").string();
  const std::string good = R"({"input":"Q Step 1: 3 ки","label":"Q Step 1: 3 +","task":"a"})";
  merit_test::put(file, good + "\n" + good + "\n" + R"({"input":"Q","label":"Q","task":"a"})" + "\n" +
                            R"({"input":"Q Step 1: 3 ки","label":"Q Step 1: 3 x","task":"a"})" +
                            "\n{broken\n" +
                            R"({"input":"Q Step 1: 3 ки","label":"Q Step 1: 3 +","task":"b"})" + "\n");
  const merit::DataReport report = merit::report_on_data({file}, {.select = {{"task", "a"}}});
  const merit::FileReport& sums = report.files[0];
  CHECK(sums.read == 6);
  CHECK(sums.kept == 2);
  CHECK(sums.records == 2);
  CHECK(sums.bad == 2);
  CHECK(sums.not_selected == 1);
  CHECK(contains(text_of(report),
                 "a.jsonl: 2 records of the kind steps, of the published set math_shepherd; 6 rows read: "
                 "2 kept, 2 not readable, 1 left out, 1 not selected\n"));
  CHECK(merit::to_json(report)["files"][0]["read"] == 6);
  CHECK(merit::to_json(report)["files"][0]["kept"] == 2);
  // Rows that are one record together.
  std::string rows;
  for (const char* response : {"a", "b"}) {
    rows += std::string(R"({"prompt":"p","response":")") + response +
            R"(","helpfulness":1,"correctness":2,"coherence":3,"complexity":1,"verbosity":1})" + "\n";
  }
  merit_test::put(file, rows);
  CHECK(contains(
      text_of(merit::report_on_data({file}, {})),
      "a.jsonl: 1 record of the kind ratings, of the published set helpsteer; 2 rows read: 2 kept\n"));
}

TEST_CASE("the name of a file draws nothing and begins no line") {
  const merit_test::TemporaryDirectory folder;
  const std::string line = "{\"prompt\": \"p\", \"completion\": \"four\", \"label\": true}\n";
  std::vector<std::string> files;
  for (const char* name : {"e\x1b[31m.jsonl", "f\nf.jsonl"}) {
    files.push_back((folder / name).string());
    merit_test::put(files.back(), line);
  }
  const std::string text = text_of(merit::report_on_data(files, {}));
  CHECK(text.find('\x1b') == text.npos);
  CHECK(text.find("\nf.jsonl") == text.npos);
  CHECK(contains(text, "e\\x1b[31m.jsonl: 1 record"));
  CHECK(contains(text, "also in " + merit::visible(files[1])));
}

TEST_CASE("a file of which no row is left says what was left out and why") {
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "a.jsonl").string();
  merit_test::put(file, "{\"instruction\": \"Q\", \"completions\": [{\"response\": \"A\"}]}\n");
  CHECK_THROWS_WITH_AS(
      merit::report_on_data({file}, {}),
      (file + ": there is no record: 1 row left out: no completion with a rating that is a number").c_str(),
      merit::DataError);
}

}  // namespace data_report_test
