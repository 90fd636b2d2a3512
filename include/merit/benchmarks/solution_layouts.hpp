// Published benchmarks of solutions, whole or in steps: ProcessBench, PRMBench, GSM8K's model solutions.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/benchmarks/benchmark_rows.hpp"
#include "merit/core/error.hpp"

namespace merit {
inline namespace MERIT_ABI {

// ---- ProcessBench

/// A row of ProcessBench (Zheng et al. 2024): gsm8k.json, math.json, olympiadbench.json and omnimath.json of
/// the data set Qwen/ProcessBench.
struct ProcessBenchRow {
  std::string id;
  std::string generator;
  std::string problem;
  std::vector<std::string> steps;
  std::optional<bool> final_answer_correct;
  std::optional<Index> first_error;  // of `steps`, from 0; the label −1 is nothing: all steps are right
  SourcePosition source;

  /// The part of the id before its number: "gsm8k" of "gsm8k-0".
  std::string subset() const { return id.substr(0, id.rfind('-')); }
};

/// Steps before the first error are right, it is wrong, and what follows is not known.
LabelledSteps to_steps(const ProcessBenchRow& row);

// ---- PRMBench

/// The nine classes of PRMBench, as the files spell them, in the order of its tables: two of simplicity, four
/// of soundness, three of sensitivity.
inline constexpr std::array<std::string_view, 9> prm_bench_classes{
    "redundency",  // the files' own spelling
    "circular",   "counterfactual",    "step_contradiction", "domain_inconsistency",
    "confidence", "missing_condition", "deception",          "multi_solutions"};

/// A row of PRMBench (Song et al. 2025): the data set hitsmy/PRMBench_Preview, or the files of the task
/// prmtest_classified of ssmisya/PRMBench.
struct PrmBenchRow {
  std::string idx;
  std::string original_question;
  std::string modified_question;
  std::vector<std::string> original_process;
  std::vector<std::string> modified_process;
  std::vector<Index> modified_steps;  // from 1
  std::vector<Index> error_steps;  // from 1; numbers beyond the last step occur, in 100 of the published rows
  std::string reason;              // empty: not said
  std::string classification;      // one of prm_bench_classes
  SourcePosition source;

  /// Is step `i` (from 0) of the modified process wrong?
  bool is_error(Index i) const {
    return std::find(error_steps.begin(), error_steps.end(), i + 1) != error_steps.end();
  }
  /// How many of error_steps are of no step, and so say nothing.
  Index errors_beyond() const {
    return static_cast<Index>(std::count_if(error_steps.begin(), error_steps.end(),
                                            [&](Index step) { return step > modified_process.size(); }));
  }
};

/// The modified solution of the modified question, every step labelled.
LabelledSteps to_steps(const PrmBenchRow& row);

// ---- GSM8K's model solutions

/// One model's solution of a problem of GSM8K. stated_answer gives its final answer.
struct Gsm8kSolution {
  std::string model;  // the field's name, such as "6b_finetuning"
  std::string solution;
  bool is_correct = false;
};

/// A row of example_model_solutions.jsonl of openai/grade-school-math (Cobbe et al. 2021).
struct Gsm8kRow {
  std::string question;
  std::string ground_truth;
  std::vector<Gsm8kSolution> solutions;  // in the order of the models' names as text
  SourcePosition source;
};

LabelledCompletions to_completions(const Gsm8kRow& row);

// What a row says, as those of preferences have it. A row of PRMBench is its class and idx, as the benchmark's own code
// leaves out those that are there again: five of the published ones, although their content is another.

std::vector<std::string> content_of(const ProcessBenchRow& row);
std::vector<std::string> content_of(const PrmBenchRow& row);
std::vector<std::string> content_of(const Gsm8kRow& row);

// ---- From JSON

namespace detail {

void parse_row(const BenchmarkRow& from, ProcessBenchRow& row);

void parse_row(const BenchmarkRow& from, PrmBenchRow& row);

inline bool is_gsm8k_solution(const Json& value) {
  return value.is_object() && value.contains("solution") && value.contains("is_correct");
}

void parse_row(const BenchmarkRow& from, Gsm8kRow& row);

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/benchmarks/solution_layouts_body.hpp"
#endif
