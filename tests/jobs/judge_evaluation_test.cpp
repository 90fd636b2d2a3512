// What a judge said in the reports of reward models: benchmarks and records of one's own.
#include "merit/jobs/judge_evaluation.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "io/temporary.hpp"
#include "merit/core/error.hpp"
#include "merit/jobs/evaluation_account.hpp"
#include "merit/judge/record_to_judge.hpp"
#include "merit/run/file_kind.hpp"
#include "run/letter_model.hpp"

namespace judge_evaluation_test {

using merit::BenchmarkLayout;
using merit::JudgedScores;
using merit::JudgedSet;
using merit::SourcePosition;
using merit_test::contains;
using merit_test::error_of;
using merit_test::put;

const merit::AnyTokenizer bytes = merit::make_tokenizer("bytes");

TEST_CASE("rows of benchmarks become records in our fields, and their scores its figures") {
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "bench.jsonl").string();
  put(file, R"({"input": "q", "output_1": "good", "output_2": "bad", "label": 1}
{"input": "q", "output_1": "good", "output_2": "bad", "label": 1}
{"input": "r", "output_1": "bad", "output_2": "good", "label": 2}
)");
  auto benchmark = merit::read_benchmark_files({file}, BenchmarkLayout::llm_bar);
  CHECK(benchmark.repeats == 1);
  const auto records = merit::records_to_judge(benchmark);
  REQUIRE(records.size() == 2);
  CHECK(records[1].object.dump() == R"({"prompt":"r","chosen":"good","rejected":"bad"})");
  CHECK(records[1].at.line == 3);
  const JudgedSet set(std::move(benchmark), bytes);
  const std::vector<JudgedScores> judged{{{1, -1}, 1}, {{0, 0}, 1}};
  const merit::Evaluation evaluation = set.evaluate(judged);
  CHECK(evaluation.pairs->accuracy.value == 0.75);
  CHECK(evaluation.pairs->loss == doctest::Approx((std::log1p(std::exp(-2.0)) + std::log(2.0)) / 2));
  CHECK(evaluation.pairs->longer_wins.value == 1);
  const auto account =
      merit::account_of(nullptr, set.set(), set.benchmark(), evaluation, {.compares = true}, 0.5, "");
  CHECK(account.json["benchmark"]["accuracy"]["value"] == 0.75);
  CHECK(contains(account.text, "layout llm_bar\naccuracy"));

  const std::string groups = (folder / "groups.jsonl").string();
  put(groups, R"({"id": "1", "prompt": "p", "chosen": ["r"], "rejected": ["w", "x", "y"], "subset": "Math"})"
              "\n");
  auto best_of = merit::read_benchmark_files({groups}, BenchmarkLayout::reward_bench_2);
  CHECK(merit::records_to_judge(best_of)[0].object.dump() ==
        R"({"prompt":"p","completions":["r","w","x","y"],"ranks":[0,1,1,1],"subset":"Math"})");
  const JudgedSet four(std::move(best_of), bytes);
  const std::vector<JudgedScores> shared{{{1, 1, 0, 0}, {}}};
  const auto figures = merit::benchmark_scores(*four.benchmark(), four.evaluate(shared), {}, 0.5);
  CHECK(figures.json["score"] == 0.5);
  const std::vector<JudgedScores> too_few{{{1, 1}, {}}};
  CHECK_THROWS_AS(four.evaluate(too_few), merit::UsageError);

  const std::string steps = (folder / "steps.jsonl").string();
  put(steps, R"({"id": "gsm8k-1", "problem": "p", "steps": ["a", "b"], "label": 1})"
             "\n");
  CHECK(contains(error_of<merit::ConfigError>([&] {
                   merit::records_to_judge(
                       merit::read_benchmark_files({steps}, BenchmarkLayout::process_bench));
                 }),
                 "the layout process_bench has no answers of which one is better"));
}

TEST_CASE("records of one's own are found by their places, and votes for the second answer turn its pair") {
  const merit_test::TemporaryDirectory folder;
  const std::string file = (folder / "votes.jsonl").string();
  put(file, R"({"prompt": "p", "response_a": "x", "response_b": "yy", "votes": ["b"], "of": "one"}
{"prompt": "q", "response_a": "x", "response_b": "yy", "votes": ["a"], "of": "two"}
{"prompt": "r", "response_a": "x", "response_b": "yy", "votes": ["tie"], "of": "two"}
)");
  const std::vector<SourcePosition> places{{file, 3}, {file, 1}, {file, 2}};
  const JudgedSet set(file, bytes, {}, "of", places);
  // b wins by 2 where b has the votes, and loses by 1 where it has none.
  const std::vector<JudgedScores> judged{{{0, 0}, 0.5}, {{-1, 1}, 0.0}, {{0.5, -0.5}, 1.0}};
  const merit::Evaluation evaluation = set.evaluate(judged);
  CHECK(evaluation.pairs->accuracy.value == 1);
  CHECK(evaluation.pairs->mean_margin == doctest::Approx(1.5));
  CHECK(evaluation.pairs->even == 1);
  const auto account = merit::account_of(nullptr, set.set(), nullptr, evaluation, {}, 0.5, "of");
  CHECK(account.json["subsets"]["one"]["pairs"] == 1);
  CHECK(account.json["subsets"]["two"]["pairs"] == 2);
  CHECK(contains(account.text, "\n\nof two\n"));

  CHECK(contains(
      error_of<merit::DataError>([&] { JudgedSet(file, bytes, {}, "", std::span(places).first(2)); }),
      "votes.jsonl:2: found a record that a judge cannot be shown"));
  const std::string outcomes = (folder / "outcomes.jsonl").string();
  put(outcomes, R"({"prompt": "p", "completion": "x", "label": true})"
                "\n");
  CHECK(contains(error_of<merit::DataError>([&] { JudgedSet(outcomes, bytes, {}, "", places); }),
                 "found records of the kind outcome, expected preference, judge, ranking or ratings"));
  const std::string ratings = (folder / "ratings.jsonl").string();
  put(ratings, R"({"prompt": "p", "completions": ["x", "y"], "scores": [1, 2]}
{"prompt": "q", "completions": ["x", "y"], "scores": [5, 2]}
)");
  const std::vector<SourcePosition> both{{ratings, 1}, {ratings, 2}};
  const std::vector<JudgedScores> rated{{{7, 8}, {}}, {{9, 3}, {}}};
  const auto report = JudgedSet(ratings, bytes, {}, "", both).evaluate(rated).ratings;
  CHECK(report->model.spearman.has_value());
  CHECK(!report->mean_squared_error);
}

}  // namespace judge_evaluation_test
