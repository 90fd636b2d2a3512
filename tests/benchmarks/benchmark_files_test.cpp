// Readers of published benchmark layouts, on small hand-made files of each.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "io/temporary.hpp"
#include "merit/benchmarks/benchmark_files.hpp"
#include "merit/records/stated_answer.hpp"

namespace benchmark_files_test {

using namespace merit;

std::vector<BenchmarkRow> rows(const std::string& text) {
  return parse_benchmark_rows(text, "f");
}

template <class Row>
Row one(const std::string& text) {
  const std::vector<Row> all = parse_benchmark<Row>(rows(text));
  REQUIRE(all.size() == 1);
  return all[0];
}

/// `row` with one field replaced.
std::string with(const std::string& row, const std::string& field, const std::string& value) {
  Json json = parse_json(row, "row");
  json[field] = parse_json(value, "value");
  return json.dump();
}

std::string without(const std::string& row, const std::string& field) {
  Json json = parse_json(row, "row");
  json.erase(field);
  return json.dump();
}

std::string text_of(const TextOrMessages& text) {
  return std::get<std::string>(text);
}

const std::string reward_bench =
    R"({"prompt": "Say hi", "chosen": "Hi", "chosen_model": "m1", "rejected": "No", "rejected_model": "m2", )"
    R"("subset": "math-prm", "id": 12})";
const std::string reward_bench_2 =
    R"({"id": "7", "prompt": "A colour?", "chosen": ["red"], "rejected": ["cat", "dog", "ox"], )"
    R"("num_correct": 1, "num_incorrect": 3, "total_completions": 4, "models": ["x"], "subset": "Focus", )"
    R"("additional_metadata": null})";
const std::string tied =
    R"({"id": "tied:3", "prompt": "A colour?", "chosen": ["red", "blue"], "rejected": ["cat"], )"
    R"("num_correct": 2, "total_completions": 3, "subset": "Ties"})";
const std::string reference =
    R"({"id": "ref:3", "prompt": "2 + 2?", "chosen": ["4"], "rejected": ["5", "6"], "subset": "Ties"})";
const std::string rm_bench =
    R"({"id": 5, "prompt": "Why?", "chosen": ["c", "cc", "*cc*"], "rejected": ["r", "rr", "*rr*"], )"
    R"("domain": "safety-refuse"})";
const std::string process_bench =
    R"({"id": "gsm8k-4", "generator": "g", "problem": "1+1+1?", "steps": ["1+1=2", "2+1=4", "So 4"], )"
    R"("final_answer_correct": false, "label": 1})";
const std::string prm_bench =
    R"({"original_question": "q", "modified_question": "q2", "original_process": ["a", "b"], )"
    R"("modified_process": ["a", "x", "y"], "modified_steps": [2, 3], "error_steps": [2, 9], "reason": "r", )"
    R"("idx": "circular_1", "question": "q", "classification": "circular"})";
const std::string judge_bench =
    R"({"pair_id": "p", "original_id": 66, "source": "mmlu-pro-law", "question": "Q?", )"
    R"("response_model": "m", "response_A": "a", "response_B": "b", "label": "B>A"})";
const std::string llm_bar = R"({"input": "Do it", "output_1": "one", "output_2": "two", "label": 2})";
const std::string gsm8k =
    R"({"question": "1+1?", "ground_truth": "1+1=2\nA: 2", "6b_finetuning": {"is_correct": false, )"
    R"("solution": "It is 3\nA: 3"}, "175b_verification": {"is_correct": true, "solution": "2\nA: 2"}})";

const std::map<std::string, std::string> samples{
    {"reward_bench", reward_bench}, {"reward_bench_2", reward_bench_2},
    {"rm_bench", rm_bench},         {"process_bench", process_bench},
    {"prm_bench", prm_bench},       {"judge_bench", judge_bench},
    {"llm_bar", llm_bar},           {"gsm8k_solutions", gsm8k}};

TEST_CASE("each layout is recognised by its fields and read as itself") {
  for (const auto& sample : samples) {
    const std::string &name = sample.first, &text = sample.second;
    CAPTURE(name);
    const std::optional<BenchmarkLayout> layout = detect_benchmark(parse_json(text, "row"));
    REQUIRE(layout);
    CHECK(name_of(*layout) == name);
    CHECK(benchmark_layout_from_name(name) == *layout);
    const BenchmarkRows found = parse_benchmark(rows(text));
    CHECK(found.index() == static_cast<Index>(*layout));
    CHECK(std::visit([](const auto& some) { return some.size(); }, found) == 1);
  }
  CHECK_THROWS_WITH_AS(benchmark_layout_from_name("mmlu"),
                       "found benchmark layout \"mmlu\", expected one of: reward_bench, reward_bench_2, "
                       "rm_bench, process_bench, prm_bench, judge_bench, llm_bar, gsm8k_solutions",
                       ConfigError);
  CHECK(name_of(static_cast<BenchmarkLayout>(8)).empty());
}

TEST_CASE("records of merit's own kinds are no benchmark") {
  for (
      const char* own :
      {R"({"prompt": "p", "chosen": "a", "rejected": "b", "subset": "mine"})",
       R"({"prompt": "p", "chosen": [{"role": "user", "content": "x"}], "rejected": [{"role": "a", "content": "b"}], "subset": "s"})",
       R"({"prompt": "p", "completion": "c", "label": 1})",
       R"({"prompt": "p", "completions": ["a", "b"], "ranks": [0, 1]})",
       R"({"prompt": "p", "steps": ["a"], "labels": [1]})", "3", "{}"}) {
    CAPTURE(own);
    CHECK(!detect_benchmark(parse_json(own, "row")));
  }
  CHECK_THROWS_WITH_AS(
      parse_benchmark(rows("\n" + without(llm_bar, "input"))),
      "f:2: row 1: found the fields label, output_1, output_2, expected those of a known layout: "
      "reward_bench, reward_bench_2, rm_bench, process_bench, prm_bench, judge_bench, llm_bar, "
      "gsm8k_solutions",
      DataError);
  CHECK_THROWS_AS(parse_benchmark(std::vector<BenchmarkRow>{}), DataError);
}

TEST_CASE("lines, an array, and columns give the same rows, with the lines they begin at") {
  const std::string second = with(llm_bar, "input", "\"a \\\" {[ b\\\\\"");
  const std::string lines = "\xEF\xBB\xBF" + llm_bar + "\r\n\n" + second + "\n" + llm_bar;
  const std::string array = "\n[\n  " + llm_bar + ",\n" + second + ", " + llm_bar + "\n]\n";
  const std::string lists =
      R"({"input": ["Do it", "a \" {[ b\\", "Do it"], "output_1": ["one", "one", "one"],)"
      "\n"
      R"("output_2": ["two", "two", "two"], "label": [2, 2.0, 2]})";
  const auto check = [](const std::string& text, const std::vector<Index>& at) {
    const auto found = parse_benchmark<LlmBarRow>(rows(text));
    REQUIRE(found.size() == 3);
    CHECK(found[0].input == "Do it");
    CHECK(found[1].input == "a \" {[ b\\");
    CHECK(found[1].output_1 == "one");
    CHECK(found[1].label == 2);
    for (Index i = 0; i < 3; ++i) CHECK(found[i].source.line == at[i]);
    CHECK(found[2].source.file == "f");
  };
  check(lines, {1, 3, 4});
  check(array, {3, 4, 4});
  check(lists, {1, 2, 3});
}

TEST_CASE("columns by name of row are in the order of numbers") {
  std::string table;
  for (const char* column : {"input", "output_1", "output_2"}) {
    table += (table.empty() ? "{\"" : ", \"") + std::string(column) + "\": {";
    for (int i = 0; i < 12; ++i)
      table += (i == 0 ? "\"" : ", \"") + std::to_string(i) + "\": \"" + column + std::to_string(i) + "\"";
    table += "}";
  }
  std::string labels = ", \"label\": {";
  for (int i = 0; i < 12; ++i)
    labels += (i == 0 ? "\"" : ", \"") + std::to_string(i) + "\": " + (i == 11 ? "1" : "2");
  const auto found = parse_benchmark<LlmBarRow>(rows(table + labels + "}}"));
  REQUIRE(found.size() == 12);
  CHECK(found[2].input == "input2");
  CHECK(found[10].output_2 == "output_210");
  CHECK(found[11].label == 1);
  CHECK_THROWS_WITH_AS(rows(R"({"a": {"0": 1, "1": 2}, "b": {"0": 1, "2": 2}})"),
                       "f:2: row 2: field 'b': found no such row, expected row \"1\"", DataError);
}

TEST_CASE("files of other kinds are named, and how to convert Parquet is said") {
  CHECK_THROWS_WITH_AS(
      rows("PAR1\x15\x04"),
      "f: found a Parquet file, expected JSON lines or a JSON array of the same columns; convert it with: "
      "python3 -c \"import pandas, sys; pandas.read_parquet(sys.argv[1]).to_json(sys.argv[2], "
      "orient='records', lines=True)\" in.parquet out.jsonl",
      DataError);
  CHECK_THROWS_WITH_AS(
      rows("\x1F\x8B\x08"),
      "f: found a gzip archive, expected JSON lines or a JSON array of the same columns; unpack "
      "or export it first",
      DataError);
  CHECK_THROWS_AS(rows("ARROW1"), DataError);
  CHECK_THROWS_AS(rows("PK\x03\x04"), DataError);
  CHECK_THROWS_WITH_AS(rows("  \n"), "f: found no rows, expected at least one", DataError);
  CHECK_THROWS_WITH_AS(rows("[]"), "f: found no rows, expected at least one", DataError);
  CHECK_THROWS_WITH_AS(
      rows("prompt,chosen\n"),
      "f: found text that begins with \"prompt,chose\", expected JSON lines or a JSON array of "
      "rows",
      DataError);
  CHECK_THROWS_WITH_AS(rows("[" + llm_bar + ", 3]"), "f: row 2: found 3, expected one JSON object",
                       DataError);
  CHECK_THROWS_WITH_AS(rows(llm_bar + "\n[1]\n"), "f:2: found an array of 1, expected one JSON object",
                       DataError);
  CHECK_THROWS_AS(rows(llm_bar + "\n{\"input\": \n"), DataError);
  CHECK_THROWS_AS(rows("[" + llm_bar), DataError);
  CHECK_THROWS_AS(read_benchmark_rows("/nonexistent/file.json"), IoError);
}

TEST_CASE("files are read from the disk") {
  const auto path = std::filesystem::temp_directory_path() / "merit_benchmark_files_test.json";
  std::ofstream(path) << "[" << judge_bench << "]";
  CHECK(read_benchmark<JudgeBenchRow>(path)[0].source.file == path.string());
  CHECK(read_benchmark_file(path).index() == static_cast<Index>(BenchmarkLayout::judge_bench));
  CHECK_THROWS_AS(read_benchmark_file(path, BenchmarkLayout::llm_bar), DataError);
  std::filesystem::remove(path);
}

#if defined(MERIT_USE_ZLIB)
TEST_CASE("a packed file is read as it is unpacked") {
  const merit_test::TemporaryDirectory folder;
  const std::string row = R"({"input": "q", "output_1": "a", "output_2": "b", "label": 1})";
  // Of gzip -n: that row and a line feed.
  const std::string packed(
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\xcc\x2b\x28\x2d\x51\xb2\x52"
      "\x50\x2a\x54\xd2\x51\x50\xca\x2f\x2d\x01\x72\xe3\x0d\x41\x02\x89\x48\x02\x46\x20"
      "\x81\x24\x90\x40\x4e\x62\x52\x6a\x0e\x90\x67\x58\xcb\x05\x00\x16\x03\x13\x4d\x3d"
      "\x00\x00\x00",
      63);
  const std::string file = (folder / "b.json.gz").string();
  std::ofstream(file, std::ios::binary) << packed;
  CHECK(read_benchmark<LlmBarRow>(file).at(0).output_2 == "b");
  CHECK_THROWS_WITH_AS(read_benchmark_rows(file, 20),
                       (file + ": holds more than 20 bytes, expected a smaller benchmark").c_str(), IoError);
  std::ofstream(file, std::ios::binary) << packed.substr(0, 30);
  CHECK_THROWS_WITH_AS(read_benchmark_rows(file), doctest::Contains("in the middle of its gzip data"),
                       DataError);
}
#endif

TEST_CASE("a device without an end is refused by its beginning, or by its size") {
  CHECK_THROWS_WITH_AS(read_benchmark_rows("/dev/zero"),
                       doctest::Contains("/dev/zero: found text that begins with"), DataError);
  const merit_test::TemporaryDirectory folder;
  CHECK_THROWS_WITH_AS(read_benchmark_rows(folder.path()), doctest::Contains("found a directory"), IoError);
}

TEST_CASE("RewardBench: one pair, a known subset") {
  const auto row = one<RewardBenchRow>(reward_bench);
  CHECK(row.id == "12");
  CHECK(row.chosen_model == "m1");
  CHECK(row.rejected_model == "m2");
  const PreferenceRecord record = to_preference(row);
  CHECK(text_of(*record.prompt) == "Say hi");
  CHECK(text_of(record.chosen) == "Hi");
  CHECK(text_of(record.rejected) == "No");
  CHECK(record.source.line == 1);
  CHECK(find_reward_bench_subset("math-prm")->weight == 984);
  CHECK(find_reward_bench_subset("nonsense") == nullptr);
  Index code = 0;
  std::map<std::string_view, Index> sections;
  for (const RewardBenchSubset& subset : reward_bench_subsets) {
    sections[subset.section] += subset.weight;
    if (subset.name.starts_with("hep-")) code += subset.weight;
  }
  CHECK(code == 984);
  CHECK(sections == std::map<std::string_view, Index>{
                        {"Chat", 358}, {"Chat Hard", 456}, {"Safety", 740}, {"Reasoning", 1968}});
  CHECK_THROWS_WITH_AS(one<RewardBenchRow>(with(reward_bench, "subset", "\"maths\"")),
                       "f:1: row 1: field 'subset': found \"maths\", expected one of the 23 subsets of "
                       "RewardBench, such as \"math-prm\"",
                       DataError);
  CHECK_THROWS_WITH_AS(one<RewardBenchRow>(with(reward_bench, "chosen", "[1]")),
                       "f:1: row 1: field 'chosen': found an array of 1, expected a string", DataError);
  CHECK_THROWS_WITH_AS(one<RewardBenchRow>(with(reward_bench, "rejected", "null")),
                       "f:1: row 1: field 'rejected': found null, expected a string", DataError);
  CHECK_THROWS_WITH_AS(one<RewardBenchRow>(without(reward_bench, "prompt")),
                       "f:1: row 1: field 'prompt': found no such field, expected a string", DataError);
  CHECK_THROWS_WITH_AS(one<RewardBenchRow>(with(reward_bench, "id", "true")),
                       "f:1: row 1: field 'id': found true, expected a string or a number", DataError);
}

TEST_CASE("RewardBench 2: one of four, and ties with their references") {
  const auto row = one<RewardBench2Row>(reward_bench_2);
  CHECK(row.rejected == std::vector<std::string>{"cat", "dog", "ox"});
  CHECK(row.models == std::vector<std::string>{"x"});
  CHECK(!row.ties);
  const LabelledCompletions all = to_completions(row);
  CHECK(all.completions == std::vector<std::string>{"red", "cat", "dog", "ox"});
  CHECK(all.correct == std::vector<bool>{true, false, false, false});
  CHECK(to_preferences(row).size() == 3);

  const auto both = parse_benchmark<RewardBench2Row>(rows(reward_bench_2 + "\n" + tied + "\n" + reference));
  REQUIRE(both[1].ties);
  CHECK(!both[1].ties->reference);
  CHECK(both[2].ties->reference);
  CHECK(both[2].ties->number == 3);
  CHECK(ties_pairs(both) == std::vector<std::pair<Index, Index>>{{2, 1}});
  CHECK(to_preferences(both[1]).size() == 2);
  CHECK_THROWS_WITH_AS(ties_pairs(std::vector{both[1]}),
                       "f:2: field 'id': found \"tied:3\" but no \"ref:3\", expected both", DataError);
  CHECK_THROWS_WITH_AS(ties_pairs(std::vector{both[2]}),
                       "f:3: field 'id': found \"ref:3\" but no \"tied:3\", expected both", DataError);
  CHECK_THROWS_WITH_AS(ties_pairs(std::vector{both[2], both[2]}),
                       "f:3: field 'id': found \"ref:3\" again, expected it once (f:3)", DataError);

  CHECK_THROWS_WITH_AS(one<RewardBench2Row>(with(tied, "id", "\"3\"")),
                       "f:1: row 1: field 'id': found \"3\", expected \"ref:\" or \"tied:\" and a number, in "
                       "the subset Ties",
                       DataError);
  CHECK_THROWS_WITH_AS(
      one<RewardBench2Row>(
          with(with(with(tied, "chosen", "[\"x\"]"), "num_correct", "1"), "total_completions", "2")),
      "f:1: row 1: field 'chosen': found a list of 1 under the id \"tied:3\", expected at least "
      "two, which tie",
      DataError);
  CHECK_THROWS_WITH_AS(one<RewardBench2Row>(with(reference, "chosen", "[\"4\", \"four\"]")),
                       "f:1: row 1: field 'chosen': found a list of 2 under the id \"ref:3\", expected one "
                       "completion of a reference",
                       DataError);
  CHECK_THROWS_WITH_AS(one<RewardBench2Row>(with(tied, "num_correct", "3")),
                       "f:1: row 1: field 'num_correct': found 3, expected 2, as the row has completions",
                       DataError);
  CHECK_THROWS_WITH_AS(
      one<RewardBench2Row>(with(tied, "total_completions", "-1")),
      "f:1: row 1: field 'total_completions': found -1, expected a whole number of at least 0", DataError);
  CHECK_THROWS_WITH_AS(one<RewardBench2Row>(with(tied, "subset", "\"Math\"")),
                       "f:1: row 1: field 'chosen': found a list of 2, expected one completion outside the "
                       "subset Ties",
                       DataError);
  CHECK_THROWS_WITH_AS(one<RewardBench2Row>(with(tied, "rejected", "[]")),
                       "f:1: row 1: field 'rejected': found an empty array, expected a list of strings, at "
                       "least 1 of them",
                       DataError);
  CHECK_THROWS_WITH_AS(one<RewardBench2Row>(with(tied, "rejected", R"(["a", 4])")),
                       "f:1: row 1: field 'rejected[1]': found 4, expected a string", DataError);
}

TEST_CASE("RM-Bench: three styles a side") {
  const auto row = one<RmBenchRow>(rm_bench);
  CHECK(row.id == "5");
  CHECK(row.domain == "safety-refuse");
  CHECK(row.chosen[2] == "*cc*");
  const auto pairs = to_preferences(row);
  REQUIRE(pairs.size() == 9);
  CHECK(text_of(pairs[1].chosen) == "c");
  CHECK(text_of(pairs[1].rejected) == "rr");
  CHECK(text_of(pairs[3].chosen) == "cc");
  CHECK(to_completions(row).correct == std::vector<bool>{true, true, true, false, false, false});
  CHECK_THROWS_WITH_AS(one<RmBenchRow>(with(rm_bench, "chosen", R"(["a", "b"])")),
                       "f:1: row 1: field 'chosen': found a list of 2, expected 3 styles: concise, detailed, "
                       "markdown",
                       DataError);
}

TEST_CASE("ProcessBench: right until the first error, unknown after it") {
  const auto row = one<ProcessBenchRow>(process_bench);
  CHECK(row.first_error == 1);
  CHECK(row.final_answer_correct == false);
  CHECK(row.subset() == "gsm8k");
  const LabelledSteps steps = to_steps(row);
  CHECK(steps.prompt == "1+1+1?");
  CHECK(steps.labels == std::vector<std::optional<int>>{1, -1, std::nullopt});
  const auto right = one<ProcessBenchRow>(with(process_bench, "label", "-1"));
  CHECK(!right.first_error);
  CHECK(to_steps(right).labels == std::vector<std::optional<int>>{1, 1, 1});
  CHECK_THROWS_WITH_AS(
      one<ProcessBenchRow>(with(process_bench, "label", "3")),
      "f:1: row 1: field 'label': found 3, expected -1 or the place of one of 3 steps, from 0", DataError);
  CHECK_THROWS_WITH_AS(one<ProcessBenchRow>(with(process_bench, "label", "-2")),
                       "f:1: row 1: field 'label': found -2, expected a whole number of at least -1",
                       DataError);
  for (const char* bad : {"1.5", "\"1\"", "18446744073709551615", "null"})
    CHECK_THROWS_AS(one<ProcessBenchRow>(with(process_bench, "label", bad)), DataError);
  CHECK_THROWS_AS(one<ProcessBenchRow>(with(process_bench, "final_answer_correct", "1")), DataError);
}

TEST_CASE("PRMBench: steps from 1, numbers beyond the last ignored, repeats left out") {
  const auto row = one<PrmBenchRow>(prm_bench);
  CHECK(row.error_steps == std::vector<Index>{2, 9});
  CHECK(row.modified_steps == std::vector<Index>{2, 3});
  CHECK(row.original_process.size() == 2);
  const LabelledSteps steps = to_steps(row);
  CHECK(steps.prompt == "q2");
  CHECK(steps.steps == std::vector<std::string>{"a", "x", "y"});
  CHECK(steps.labels == std::vector<std::optional<int>>{1, -1, 1});
  const auto other = one<PrmBenchRow>(with(prm_bench, "classification", "\"deception\""));
  CHECK(without_repeats(std::vector{row, row, other}).size() == 2);
  CHECK(row.errors_beyond() == 1);
  CHECK(other.classification == "deception");
  CHECK(std::set<std::string_view>(prm_bench_classes.begin(), prm_bench_classes.end()).size() == 9);
  CHECK_THROWS_WITH_AS(one<PrmBenchRow>(with(prm_bench, "classification", "\"wrong\"")),
                       "f:1: row 1: field 'classification': found \"wrong\", expected one of: redundency, "
                       "circular, counterfactual, step_contradiction, domain_inconsistency, confidence, "
                       "missing_condition, deception, multi_solutions",
                       DataError);
  CHECK_THROWS_WITH_AS(
      one<PrmBenchRow>(with(prm_bench, "error_steps", "[2, \"3\"]")),
      "f:1: row 1: field 'error_steps[1]': found \"3\", expected a whole number of at least 1", DataError);
  CHECK_THROWS_WITH_AS(one<PrmBenchRow>(with(prm_bench, "error_steps", "[0]")),
                       "f:1: row 1: field 'error_steps[0]': found 0, expected a whole number of at least 1",
                       DataError);
}

TEST_CASE("PRMBench: of rows of one class and idx the first is taken, whatever the others say") {
  const auto row = one<PrmBenchRow>(prm_bench);
  auto again = row;
  again.source.line = 7;
  const auto other = one<PrmBenchRow>(with(prm_bench, "modified_process", R"(["a", "z"])"));
  const std::vector<PrmBenchRow> left = without_repeats(std::vector{row, other, again});
  REQUIRE(left.size() == 1);
  CHECK(left[0].modified_process == row.modified_process);
}

TEST_CASE("JudgeBench and LLMBar: the label says which is better") {
  const auto judged = one<JudgeBenchRow>(judge_bench);
  CHECK(judged.original_id == "66");
  CHECK(judged.origin == "mmlu-pro-law");
  CHECK(text_of(to_preference(judged).chosen) == "b");
  CHECK(text_of(to_preference(judged).rejected) == "a");
  CHECK(text_of(to_preference(one<JudgeBenchRow>(with(judge_bench, "label", "\"A>B\""))).chosen) == "a");
  CHECK(judge_bench_category(judged.origin) == "Knowledge");
  CHECK(judge_bench_category("livebench-math") == "Math");
  CHECK(judge_bench_category("livebench-reasoning") == "Reasoning");
  CHECK(judge_bench_category("livecodebench") == "Coding");
  CHECK(judge_bench_category("x").empty());
  CHECK_THROWS_WITH_AS(one<JudgeBenchRow>(with(judge_bench, "label", "\"A=B\"")),
                       "f:1: row 1: field 'label': found \"A=B\", expected \"A>B\" or \"B>A\"", DataError);

  CHECK(text_of(to_preference(one<LlmBarRow>(llm_bar)).chosen) == "two");
  const PreferenceRecord first = to_preference(one<LlmBarRow>(with(llm_bar, "label", "1")));
  CHECK(text_of(first.chosen) == "one");
  CHECK(text_of(first.rejected) == "two");
  CHECK_THROWS_WITH_AS(one<LlmBarRow>(with(llm_bar, "label", "3")),
                       "f:1: row 1: field 'label': found 3, expected 1 or 2", DataError);
  CHECK_THROWS_AS(one<LlmBarRow>(with(llm_bar, "label", "0")), DataError);
}

TEST_CASE("the stated answer is found by its mark, and equal answers are equal strings") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"x\nA: 90,000 \n\n", "90000"},
      {"first\n#### 7", "7"},
      {"We pop \"<\". So the answer is >", ">"},
      {"The Answer is: 5. No, the answer is $1,234.50.", "1234.50"},
      {"Final answer: (a), (b)", "(a), (b)"},
      {"So \\boxed{\\frac{1}{2}} it is.\nDone", "\\frac{1}{2}"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.first);
    CHECK(stated_answer(one.first) == one.second);
  }
  for (const char* none :
       {"", "\n", "cut off\nA: ", "A: 3\nwait", "B:A: 3", "the answers are 3", "\\boxed{1"})
    CHECK(stated_answer(none) == std::nullopt);
  CHECK(count_lines("a\n\n b\n  \nc") == 3);
  CHECK(count_lines("") == 0);
}

TEST_CASE("GSM8K's model solutions: every model of the row, and the answer they state") {
  const auto row = one<Gsm8kRow>(gsm8k);
  REQUIRE(row.solutions.size() == 2);
  CHECK(row.solutions[0].model == "175b_verification");
  CHECK(row.solutions[0].is_correct);
  CHECK(!row.solutions[1].is_correct);
  const LabelledCompletions all = to_completions(row);
  CHECK(all.prompt == "1+1?");
  CHECK(all.completions == std::vector<std::string>{"2\nA: 2", "It is 3\nA: 3"});
  CHECK(all.correct == std::vector<bool>{true, false});
  CHECK(stated_answer(row.ground_truth) == "2");
  CHECK_THROWS_WITH_AS(one<Gsm8kRow>(with(gsm8k, "6b_finetuning", R"({"solution": "s", "is_correct": 1})")),
                       "f:1: row 1: field '6b_finetuning.is_correct': found 1, expected true or false",
                       DataError);
  CHECK_THROWS_WITH_AS(
      one<Gsm8kRow>(R"({"question": "q", "ground_truth": "g"})"),
      "f:1: row 1: field '6b_finetuning': found no solution of any model, expected an object "
      "with solution and is_correct",
      DataError);
}

}  // namespace benchmark_files_test
