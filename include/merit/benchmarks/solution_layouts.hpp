// Published benchmarks of solutions, whole or in steps: ProcessBench, PRMBench, GSM8K's model solutions.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
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
inline LabelledSteps to_steps(const ProcessBenchRow& row) {
  LabelledSteps result{row.problem, row.steps, {}, row.source};
  for (Index i = 0; i < row.steps.size(); ++i) {
    if (!row.first_error || i < *row.first_error) {
      result.labels.emplace_back(1);
    } else if (i == *row.first_error) {
      result.labels.emplace_back(-1);
    } else {
      result.labels.emplace_back(std::nullopt);
    }
  }
  return result;
}

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
  std::vector<Index> error_steps;     // from 1; numbers beyond the last step occur and are ignored
  std::string reason;                 // empty: not said
  std::string classification;         // one of prm_bench_classes
  SourcePosition source;

  /// Is step `i` (from 0) of the modified process wrong?
  bool is_error(Index i) const {
    return std::find(error_steps.begin(), error_steps.end(), i + 1) != error_steps.end();
  }
};

/// The modified solution of the modified question, every step labelled.
inline LabelledSteps to_steps(const PrmBenchRow& row) {
  LabelledSteps result{row.modified_question, row.modified_process, {}, row.source};
  for (Index i = 0; i < row.modified_process.size(); ++i)
    result.labels.emplace_back(row.is_error(i) ? -1 : 1);
  return result;
}

/// The rows without those whose class and idx were there before, as the published evaluation leaves them out.
inline std::vector<PrmBenchRow> without_repeats(std::span<const PrmBenchRow> rows) {
  std::vector<PrmBenchRow> result;
  std::set<std::pair<std::string, std::string>> seen;
  for (const PrmBenchRow& row : rows) {
    if (seen.emplace(row.classification, row.idx).second) result.push_back(row);
  }
  return result;
}

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

inline LabelledCompletions to_completions(const Gsm8kRow& row) {
  LabelledCompletions result{row.question, {}, {}, row.source};
  for (const Gsm8kSolution& solution : row.solutions) {
    result.completions.push_back(solution.solution);
    result.correct.push_back(solution.is_correct);
  }
  return result;
}

// ---- From JSON

namespace detail {

inline void parse_row(const BenchmarkRow& from, ProcessBenchRow& row) {
  row.id = from.name_or_empty("id");
  row.generator = from.text_or_empty("generator");
  row.problem = from.text("problem");
  row.steps = from.texts("steps", 0);
  if (from.has("final_answer_correct")) row.final_answer_correct = from.boolean("final_answer_correct");
  const auto label = from.integer("label", -1);
  if (label >= static_cast<std::int64_t>(row.steps.size()))
    from.fail("label", concat(label),
              concat("-1 or the place of one of ", row.steps.size(), " steps, from 0"));
  if (label >= 0) row.first_error = static_cast<Index>(label);
}

inline void parse_row(const BenchmarkRow& from, PrmBenchRow& row) {
  row.idx = from.name_or_empty("idx");
  row.original_question = from.text_or_empty("original_question");
  row.modified_question = from.text("modified_question");
  if (from.has("original_process")) row.original_process = from.texts("original_process", 0);
  row.modified_process = from.texts("modified_process");
  if (from.has("modified_steps")) row.modified_steps = from.indices("modified_steps", 0);
  row.error_steps = from.indices("error_steps", 0);
  row.reason = from.text_or_empty("reason");
  row.classification = from.text("classification");
  if (std::find(prm_bench_classes.begin(), prm_bench_classes.end(), row.classification) ==
      prm_bench_classes.end()) {
    std::string expected;
    for (const std::string_view name : prm_bench_classes)
      expected += (expected.empty() ? "one of: " : ", ") + std::string(name);
    from.fail("classification", quote(row.classification), expected);
  }
}

inline bool is_gsm8k_solution(const Json& value) {
  return value.is_object() && value.contains("solution") && value.contains("is_correct");
}

inline void parse_row(const BenchmarkRow& from, Gsm8kRow& row) {
  row.question = from.text("question");
  row.ground_truth = from.text("ground_truth");
  for (const auto& [model, value] : from.object.items()) {
    if (!is_gsm8k_solution(value)) continue;
    const Json& solution = value["solution"];
    const Json& is_correct = value["is_correct"];
    if (!solution.is_string()) from.fail(model + ".solution", describe(solution), "a string");
    if (!is_correct.is_boolean()) from.fail(model + ".is_correct", describe(is_correct), "true or false");
    row.solutions.push_back({model, solution.get<std::string>(), is_correct.get<bool>()});
  }
  if (row.solutions.empty())
    from.fail("6b_finetuning", "no solution of any model", "an object with solution and is_correct");
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
