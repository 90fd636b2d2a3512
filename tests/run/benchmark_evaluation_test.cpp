// A published benchmark as a set, its own figures, and the page of an evaluation.
#include "merit/run/benchmark_evaluation.hpp"

#include <doctest/doctest.h>

#include <string>
#include <variant>
#include <vector>

#include "io/temporary.hpp"
#include "letter_model.hpp"
#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/run/evaluation_page.hpp"
#include "merit/run/file_kind.hpp"

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
                 "found a first record of no kind, expected one of: preference, ranking"));
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
