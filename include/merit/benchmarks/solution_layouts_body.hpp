// The bodies of solution_layouts.hpp.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/benchmarks/benchmark_rows.hpp"
#include "merit/benchmarks/solution_layouts.hpp"
#include "merit/core/error.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE LabelledSteps to_steps(const ProcessBenchRow& row) {
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

MERIT_INLINE LabelledSteps to_steps(const PrmBenchRow& row) {
  LabelledSteps result{row.modified_question, row.modified_process, {}, row.source};
  for (Index i = 0; i < row.modified_process.size(); ++i)
    result.labels.emplace_back(row.is_error(i) ? -1 : 1);
  return result;
}

MERIT_INLINE std::vector<std::string> content_of(const ProcessBenchRow& row) {
  std::vector<std::string> content{row.subset(), row.problem,
                                   row.first_error ? std::to_string(*row.first_error) : std::string()};
  content.insert(content.end(), row.steps.begin(), row.steps.end());
  return content;
}
MERIT_INLINE std::vector<std::string> content_of(const PrmBenchRow& row) {
  return {row.classification, row.idx};
}
MERIT_INLINE std::vector<std::string> content_of(const Gsm8kRow& row) {
  std::vector<std::string> content{row.question};
  for (const Gsm8kSolution& one : row.solutions)
    content.insert(content.end(), {one.model, one.solution, one.is_correct ? "right" : "wrong"});
  return content;
}

MERIT_INLINE LabelledCompletions to_completions(const Gsm8kRow& row) {
  LabelledCompletions result{row.question, {}, {}, row.source};
  for (const Gsm8kSolution& solution : row.solutions) {
    result.completions.push_back(solution.solution);
    result.correct.push_back(solution.is_correct);
  }
  return result;
}

namespace detail {

MERIT_INLINE void parse_row(const BenchmarkRow& from, ProcessBenchRow& row) {
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

MERIT_INLINE void parse_row(const BenchmarkRow& from, PrmBenchRow& row) {
  row.idx = from.name_or_empty("idx");
  row.original_question = from.text_or_empty("original_question");
  row.modified_question = from.text("modified_question");
  if (from.has("original_process")) row.original_process = from.texts("original_process", 0);
  row.modified_process = from.texts("modified_process");
  if (from.has("modified_steps")) row.modified_steps = from.indices("modified_steps", 0);
  row.error_steps = from.indices("error_steps", 1);
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

MERIT_INLINE void parse_row(const BenchmarkRow& from, Gsm8kRow& row) {
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
