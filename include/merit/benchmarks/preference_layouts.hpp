// Published benchmarks of better and worse answers: RewardBench, RewardBench 2, RM-Bench, JudgeBench, LLMBar.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/benchmarks/benchmark_rows.hpp"
#include "merit/benchmarks/reward_bench_subsets.hpp"
#include "merit/core/error.hpp"

namespace merit {
inline namespace MERIT_ABI {

// ---- RewardBench

/// A row of RewardBench (Lambert et al. 2024): the data set allenai/reward-bench, split `filtered`.
struct RewardBenchRow {
  std::string prompt;
  std::string chosen;
  std::string rejected;
  std::string chosen_model;    // empty: not said
  std::string rejected_model;  // empty: not said
  std::string subset;          // one of reward_bench_subsets
  std::string id;              // published as a number; empty: not said
  SourcePosition source;
};

inline PreferenceRecord to_preference(const RewardBenchRow& row) {
  return detail::text_preference(row.prompt, row.chosen, row.rejected, row.source);
}

// ---- RewardBench 2

/// The number of a prompt of the Ties subset, and which of the two prompts of that number it is.
struct TiesId {
  bool reference = false;  // it has one correct answer; else several, all of them as good
  Index number = 0;
};

/// A row of RewardBench 2 (Malik et al. 2025): the data set allenai/reward-bench-2, split `test`. Outside
/// the Ties subset it has one chosen and three rejected completions.
struct RewardBench2Row {
  std::string id;
  std::string prompt;
  std::vector<std::string> chosen;
  std::vector<std::string> rejected;
  std::string subset;  // Factuality, Precise IF, Math, Safety, Focus or Ties
  std::vector<std::string> models;
  std::optional<TiesId> ties;  // from an id "ref:0" or "tied:0", in the Ties subset only
  SourcePosition source;
};

inline std::vector<PreferenceRecord> to_preferences(const RewardBench2Row& row) {
  return detail::all_preferences(row.prompt, row.chosen, row.rejected, row.source);
}
inline LabelledCompletions to_completions(const RewardBench2Row& row) {
  return detail::right_then_wrong(row.prompt, row.chosen, row.rejected, row.source);
}

/// The two rows (indices into `rows`) of each number of the Ties subset, by number: the reference, then the
/// one with several correct answers. Throws DataError when one of them is missing or there twice.
std::vector<std::pair<Index, Index>> ties_pairs(std::span<const RewardBench2Row> rows);

// ---- RM-Bench

/// A row of RM-Bench (Liu et al. 2025): total_dataset.json of THU-KEG/RM-Bench. The three completions of
/// each side are concise, detailed, and detailed with markdown.
struct RmBenchRow {
  std::string id;
  std::string prompt;
  std::array<std::string, 3> chosen;
  std::array<std::string, 3> rejected;
  std::string domain;  // chat, code, math, safety-refuse or safety-response
  SourcePosition source;
};

/// Nine pairs: the first style of the chosen with each of the rejected, then the second.
inline std::vector<PreferenceRecord> to_preferences(const RmBenchRow& row) {
  return detail::all_preferences(row.prompt, row.chosen, row.rejected, row.source);
}
inline LabelledCompletions to_completions(const RmBenchRow& row) {
  return detail::right_then_wrong(row.prompt, row.chosen, row.rejected, row.source);
}

// ---- JudgeBench

/// A row of JudgeBench (Tan et al. 2024): data/dataset=judgebench,response_model=….jsonl of
/// ScalerLab/JudgeBench.
struct JudgeBenchRow {
  std::string pair_id;
  std::string original_id;  // published as a number or a string
  std::string origin;       // the field `source`, such as "mmlu-pro-health" or "livebench-math"
  std::string question;
  std::string response_model;
  std::string response_a;
  std::string response_b;
  bool a_is_better = false;  // the label "A>B", not "B>A"
  SourcePosition source;
};

inline PreferenceRecord to_preference(const JudgeBenchRow& row) {
  return detail::text_preference(row.question, row.a_is_better ? row.response_a : row.response_b,
                                 row.a_is_better ? row.response_b : row.response_a, row.source);
}

/// The category of JudgeBench's tables: Knowledge, Reasoning, Math or Coding; empty for an unknown origin.
std::string_view judge_bench_category(std::string_view origin);

// ---- LLMBar

/// A row of LLMBar (Zeng et al. 2024): Dataset/LLMBar/…/dataset.json of princeton-nlp/LLMBar.
struct LlmBarRow {
  std::string input;
  std::string output_1;
  std::string output_2;
  Index label = 1;  // 1 or 2: the better output
  SourcePosition source;
};

inline PreferenceRecord to_preference(const LlmBarRow& row) {
  return detail::text_preference(row.input, row.label == 1 ? row.output_1 : row.output_2,
                                 row.label == 1 ? row.output_2 : row.output_1, row.source);
}

// What a row says, as a list of texts: rows of which that is the same are one, whatever their id. (The id of a prompt
// of the Ties subset says which other it belongs to.)

std::vector<std::string> content_of(const RewardBenchRow& row);
std::vector<std::string> content_of(const RewardBench2Row& row);
std::vector<std::string> content_of(const RmBenchRow& row);
std::vector<std::string> content_of(const JudgeBenchRow& row);
std::vector<std::string> content_of(const LlmBarRow& row);

// ---- From JSON

namespace detail {

void parse_row(const BenchmarkRow& from, RewardBenchRow& row);

void parse_row(const BenchmarkRow& from, RewardBench2Row& row);

void parse_row(const BenchmarkRow& from, RmBenchRow& row);

void parse_row(const BenchmarkRow& from, JudgeBenchRow& row);

void parse_row(const BenchmarkRow& from, LlmBarRow& row);

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/benchmarks/preference_layouts_body.hpp"
#endif
