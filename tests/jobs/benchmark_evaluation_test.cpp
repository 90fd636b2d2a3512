// A published benchmark as a set, its own figures, and the page of an evaluation.
#include "merit/jobs/benchmark_evaluation.hpp"

#include <doctest/doctest.h>

#include <string>
#include <variant>
#include <vector>

#include "io/temporary.hpp"
#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/jobs/evaluation_page.hpp"
#include "merit/run/file_kind.hpp"
#include "run/letter_model.hpp"

namespace benchmark_evaluation_test {

using merit::BenchmarkLayout;
using merit::RecordKind;
using merit_test::contains;
using merit_test::error_of;
using merit_test::put;

std::string row(const char* chosen, const char* rejected, const char* subset) {
  return std::string(R"({"prompt": "p", "chosen": ")") + chosen + R"(", "rejected": ")" + rejected +
         R"(", "chosen_model": "m", "rejected_model": "n", "subset": ")" + subset + "\", \"id\": 1}\n";
}

merit::SavedModel letters() {
  merit::SavedModel saved;
  saved.head = merit::ScalarHead{};
  saved.tokenizer = merit::make_tokenizer("bytes");
  saved.tokenize.append_eos = false;
  return saved;
}

TEST_CASE("rows of a benchmark, its sections and subsets") {
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "bench.jsonl").string();
  put(file, row("z", "a", "math-prm") + row("b", "y", "donotanswer") + row("x", "m", "donotanswer"));
  CHECK(merit::kind_of_file(file) == merit::FileKind{BenchmarkLayout::reward_bench, RecordKind::preference});

  const merit::SavedModel saved = letters();
  const merit::BenchmarkSet set = merit::read_benchmark_set({file}, BenchmarkLayout::reward_bench, saved);
  CHECK(set.set.counts.kept == 3);
  CHECK(set.row_of == std::vector<merit::Index>{0, 1, 2});
  CHECK(set.set.notes[1].subset == "donotanswer");
  for (const merit::ExampleNote& note : set.set.notes) CHECK(note.split_key == "p");
  merit_test::LetterModel model(merit::ScalarHead{}, merit::PairwiseLoss{});
  const merit::Evaluation evaluation = merit::evaluate(model, set.set, {}, 0.5, 8192);
  const merit::BenchmarkScores scores = merit::benchmark_scores(set, evaluation, {}, 0.5);
  CHECK(scores.json.at("layout") == "reward_bench");
  CHECK(scores.json.at("sections").at("Safety").at("value") == 0.5);
  CHECK(scores.json.at("sections").at("Reasoning").at("value") == 1);
  CHECK(scores.json.at("subsets").at("donotanswer").at("count") == 2);
  CHECK(contains(scores.text, "layout reward_bench\nscore "));

  merit::SavedModel steps = letters();
  steps.head = merit::StepHead<1>{};
  CHECK(
      error_of<merit::ConfigError>(
          [&] { merit::read_benchmark_set({file}, BenchmarkLayout::reward_bench, steps); }) ==
      "the layout reward_bench asks for a model that scores tokens or completions, but the head of this one is "
      "step_logit");
}

/// The figures of a file as published, by the letters of its texts.
merit::BenchmarkScores figures(const std::string& text, BenchmarkLayout layout, merit::SavedModel saved) {
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "bench.jsonl").string();
  put(file, text);
  const bool steps = layout == BenchmarkLayout::process_bench || layout == BenchmarkLayout::prm_bench;
  if (steps) saved.head = merit::StepHead<1>{};
  const merit::BenchmarkSet set = merit::read_benchmark_set({file}, layout, saved);
  merit_test::LetterModel model(
      saved.head, steps ? merit::AnyLoss(merit::BinaryCrossEntropyLoss<merit::ScoreMeaning::per_step>{})
                        : merit::AnyLoss(merit::PairwiseLoss{}));
  merit::Reading reading;
  reading.meaning = model.meaning();
  const merit::Evaluation evaluation = merit::evaluate(model, set.set, reading, 0.5, 8192);
  return merit::benchmark_scores(set, evaluation, reading, 0.5);
}

TEST_CASE("the solutions of a problem are known as its own, by a model of tokens and by one of steps") {
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "bench.jsonl").string();
  std::string text;
  for (const char* question : {"1+1?", "2+2?"}) {
    text += merit::concat(R"({"question": ")", question, R"(", "ground_truth": "A: 2", "6b_finetuning": )",
                          R"({"is_correct": false, "solution": "A: 3"}, "175b_verification": )",
                          R"({"is_correct": true, "solution": "A: 2"}})", "\n");
  }
  put(file, text);
  for (const bool steps : {false, true}) {
    merit::SavedModel saved = letters();
    saved.head = steps ? merit::AnyHead(merit::StepHead<1>{}) : merit::AnyHead(merit::TokenHead{});
    const auto set = merit::read_benchmark_set({file}, BenchmarkLayout::gsm8k_solutions, saved).set;
    REQUIRE(set.notes.size() >= 4);
    CHECK(set.notes[0].prompt == set.notes[0].split_key);
    CHECK(set.notes[0].split_key == set.notes[1].split_key);
    CHECK(set.notes[0].split_key != set.notes.back().split_key);
  }
}

TEST_CASE("in RewardBench equal sides, and rows without a score, are lost and stay in the denominator") {
  const std::string text = row("z", "b", "hep-cpp") + row("y", "y", "hep-cpp") + row("", "b", "hep-cpp") +
                           row("bbbbbbz", "bbbbbby", "hep-cpp") + row("bbbbbbbbbbbz", "b", "hep-cpp");
  merit::SavedModel saved = letters();
  saved.tokenize.max_tokens = 10;
  merit::BenchmarkScores scores = figures(text, BenchmarkLayout::reward_bench, saved);
  CHECK(scores.json.at("pairs") == 5);
  CHECK(scores.json.at("ties") == 1);
  CHECK(scores.json.at("unscored") == 2);
  CHECK(scores.json.at("score").at("value") == doctest::Approx(2.0 / 5));
  CHECK(contains(scores.text, "of 5 pairs, 1 with equal scores lost, 2 without a score lost: no tokens"));
  // A cut that makes sides equal wins nothing either.
  saved.tokenize.max_tokens = 4;
  saved.tokenize.truncation = merit::Truncation::cut_right;
  scores = figures(text, BenchmarkLayout::reward_bench, saved);
  CHECK(scores.json.at("pairs") == 5);
  CHECK(scores.json.at("score").at("value") == doctest::Approx(1.0 / 5));
}

std::string four(const char* id, const char* right, const char* wrong, const char* subset) {
  return std::string(R"({"id": ")") + id + R"(", "prompt": "p", "chosen": [)" + right +
         R"(], "rejected": [)" + wrong + R"(], "subset": ")" + subset + "\"}\n";
}

TEST_CASE("RewardBench 2 gives equal answers their share, and says which figure is not defined") {
  merit::SavedModel saved = letters();
  saved.tokenize.max_tokens = 8;
  const std::string same = four("1", R"("z")", R"("z", "z", "z")", "Math");
  CHECK(figures(same, BenchmarkLayout::reward_bench_2, saved).json.at("score") == 0.25);

  const std::string long_tie = same + four("ref:0", R"("z")", R"("b")", "Ties") +
                               four("tied:0", R"("z", "y")", R"("bbbbbbbbbbbbb", "b")", "Ties");
  const merit::BenchmarkScores scores = figures(long_tie, BenchmarkLayout::reward_bench_2, saved);
  CHECK(scores.json.at("subsets").at("Math").at("accuracy").at("value") == 0.25);
  CHECK(scores.json.at("ties").is_null());
  CHECK(scores.json.at("score").is_null());
  CHECK(contains(scores.text, "not defined: no row of Ties has a score"));
  CHECK(contains(scores.text, "none of 1 problem has scores of both prompts: too long"));

  const std::string one_long = same + four("2", R"("zzzzzzzzzzzz")", R"("b", "c", "d")", "Math");
  CHECK(contains(figures(one_long, BenchmarkLayout::reward_bench_2, saved).text,
                 "of 1 of 2; 1 without a score: too long"));
}

std::string solution(const char* id, const char* steps, int label) {
  return std::string(R"({"id": ")") + id + R"(", "generator": "x", "problem": "p", "steps": [)" + steps +
         R"(], "final_answer_correct": true, "label": )" + std::to_string(label) + "}\n";
}

TEST_CASE("ProcessBench counts an error behind the cut as missed, and gives what is defined of one class") {
  merit::SavedModel saved = letters();
  saved.tokenize.max_tokens = 8;
  saved.tokenize.truncation = merit::Truncation::cut_right;
  const std::string mixed = solution("gsm8k-0", R"("z", "z", "z", "a")", 3) +
                            solution("gsm8k-1", R"("z")", -1) + solution("gsm8k-2", R"("z", "a")", 1);
  const merit::BenchmarkScores cut = figures(mixed, BenchmarkLayout::process_bench, saved);
  CHECK(cut.json.at("mean_f1") == doctest::Approx(2.0 / 3));
  CHECK(cut.json.at("cut") == 1);
  CHECK(contains(cut.text, "of 1 solution a cut took steps"));

  const std::string right = solution("math-0", R"("z")", -1);
  const merit::BenchmarkScores one = figures(mixed + right, BenchmarkLayout::process_bench, saved);
  CHECK(one.json.at("mean_f1").is_null());
  CHECK(one.json.at("subsets").at("gsm8k").at("f1") == doctest::Approx(2.0 / 3));
  CHECK(one.json.at("subsets").at("math").at("accepted").at("value") == 1);
  CHECK(one.json.at("subsets").at("math").at("found").is_null());
  CHECK(contains(one.text, "not defined: math: no solution has an error"));

  // Of a solution whose prompt fills all room nothing is seen: it is missed, and does not go away.
  saved.tokenize.max_tokens = 2;
  const merit::BenchmarkScores none = figures(mixed, BenchmarkLayout::process_bench, saved);
  CHECK(none.json.at("mean_f1") == 0);
  CHECK(none.json.at("cut") == 3);
}

TEST_CASE("PRMBench says how many rows are repeated and how many error_steps are of no step") {
  const auto prm_row = [](const char* idx, const char* step, const char* errors) {
    return merit::concat(R"({"modified_question": "p", "modified_process": ["z", ")", step,
                         R"("], "error_steps": [)", errors, R"(], "classification": "circular", "idx": ")",
                         idx, "\"}\n");
  };
  const merit::BenchmarkScores scores =
      figures(prm_row("1", "a", "2, 5") + prm_row("1", "a", "2, 5") + prm_row("2", "b", "2"),
              BenchmarkLayout::prm_bench, letters());
  CHECK(scores.json.at("repeated_rows") == 1);
  CHECK(scores.json.at("errors_beyond_the_last_step") == 1);
  CHECK(contains(scores.text, ", of 2\n"));
  CHECK(contains(scores.text, "1 of 3 rows repeats another, which counts once"));
  CHECK(contains(scores.text, "1 error step beyond the last step"));
}

TEST_CASE("rows that repeat another count once in every layout, and it is said") {
  const merit::SavedModel saved = letters();
  const std::string good = row("z", "b", "hep-cpp"), bad = row("b", "z", "hep-cpp");
  merit::BenchmarkScores scores = figures(good + good + good + bad, BenchmarkLayout::reward_bench, saved);
  CHECK(scores.json.at("score").at("value") == 0.5);
  CHECK(scores.json.at("pairs") == 2);
  CHECK(scores.json.at("repeated_rows") == 2);
  CHECK(contains(scores.text, "2 of 4 rows repeat another, which counts once"));
  // The two pairs of one prompt are one draw: of the subsets' interval nothing is between.
  CHECK(scores.json.at("score").at("low") == scores.json.at("score").at("high"));

  const std::string best = four("1", R"("z")", R"("b", "c", "d")", "Math");
  const std::string last = four("2", R"("b")", R"("z", "c", "d")", "Math");
  CHECK(figures(best + best + last, BenchmarkLayout::reward_bench_2, saved).json.at("score") == 0.5);
  const std::string ties =
      four("ref:0", R"("z")", R"("b")", "Ties") + four("tied:0", R"("z", "y")", R"("c", "b")", "Ties");
  CHECK(figures(ties + ties, BenchmarkLayout::reward_bench_2, saved).json.at("ties").at("problems") == 1);

  const std::string found = solution("gsm8k-1", R"("z", "a")", 1);
  scores = figures(
      found + found + found + solution("gsm8k-2", R"("a", "a")", 1) + solution("gsm8k-3", R"("z")", -1),
      BenchmarkLayout::process_bench, saved);
  CHECK(scores.json.at("mean_f1") == doctest::Approx(2.0 / 3));
  CHECK(scores.json.at("repeated_rows") == 2);
}

TEST_CASE("an answer that was cut is not the best of four that were read whole") {
  merit::SavedModel saved = letters();
  saved.tokenize.max_tokens = 4;
  saved.tokenize.truncation = merit::Truncation::cut_right;
  const merit::BenchmarkScores scores =
      figures(four("1", R"("zzzzzz")", R"("b", "c", "d")", "Math"), BenchmarkLayout::reward_bench_2, saved);
  CHECK(scores.json.at("score") == 0);
  CHECK(scores.json.at("cut") == 1);
  CHECK(contains(scores.text, "of 1 row an answer was cut"));
}

TEST_CASE("what files are, and files that are not alike") {
  const merit_test::TemporaryDirectory folder;
  const std::string pairs = (folder / "pairs.jsonl").string(), labels = (folder / "labels.jsonl").string();
  put(pairs, "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\"}\n");
  put(labels, "{\"prompt\": \"p\", \"completion\": \"a\", \"label\": 1}\n");
  CHECK(merit::kind_of_files({pairs, pairs}).kind == RecordKind::preference);
  CHECK(error_of<merit::DataError>([&] {
          merit::kind_of_files({pairs, labels});
        }) == labels + ": found the kind outcome, expected the kind preference as in " + pairs);
  put(labels, "{\"x\": 1}\n");
  CHECK(contains(error_of<merit::DataError>([&] { merit::kind_of_file(labels); }),
                 "found a first record of no kind with the fields x, expected one of: preference, ranking"));
}

TEST_CASE("the page of an evaluation has its figures and the records worth reading") {
  merit_test::LetterModel model(merit::ScalarHead{}, merit::PairwiseLoss{});
  const merit::RecordSet set =
      merit_test::read_lines(RecordKind::preference,
                             "{\"prompt\": \"first\", \"chosen\": \"z\", \"rejected\": \"a\"}\n"
                             "{\"prompt\": \"second\", \"chosen\": \"b\", \"rejected\": \"y\"}\n");
  const merit::Evaluation evaluation = merit::evaluate(model, set, {}, 0.5, 8192);
  const merit_test::TemporaryDirectory folder;
  const std::string path = (folder / "page.html").string();
  const merit::Reading reading;
  merit::write_evaluation_page(path, {.model = (folder / "model").string(),
                                      .tokenizer = merit::make_tokenizer("bytes"),
                                      .set = set,
                                      .evaluation = evaluation,
                                      .reading = reading});
  const std::string page = merit::read_file(path);
  for (const char* part :
       {"Evaluation of ", "accuracy", "Sure and wrong", "second", "Reliability of pairs"}) {
    INFO(std::string(part));
    CHECK(contains(page, part));
  }
  CHECK_FALSE(contains(page, "Training loss"));
}

}  // namespace benchmark_evaluation_test
