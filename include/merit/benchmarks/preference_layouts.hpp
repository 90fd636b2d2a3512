// Published benchmarks of better and worse answers: RewardBench, RewardBench 2, RM-Bench, JudgeBench, LLMBar.
#pragma once

#include <array>
#include <map>
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
inline std::vector<std::pair<Index, Index>> ties_pairs(std::span<const RewardBench2Row> rows) {
  std::map<Index, std::array<std::optional<Index>, 2>> found;  // reference, tied
  for (Index i = 0; i < rows.size(); ++i) {
    if (!rows[i].ties) continue;
    std::optional<Index>& place = found[rows[i].ties->number][rows[i].ties->reference ? 0 : 1];
    if (place) {
      throw DataError(concat(rows[i].source.text(), ": field 'id': found ", detail::quote(rows[i].id),
                             " again, expected it once (", rows[*place].source.text(), ')'));
    }
    place = i;
  }
  std::vector<std::pair<Index, Index>> pairs;
  for (const auto& [number, both] : found) {
    const auto& [reference, tied] = both;
    if (!reference || !tied) {
      const RewardBench2Row& row = rows[reference ? *reference : *tied];
      throw DataError(concat(row.source.text(), ": field 'id': found ", detail::quote(row.id), " but no ",
                             reference ? "\"tied:" : "\"ref:", number, "\", expected both"));
    }
    pairs.emplace_back(*reference, *tied);
  }
  return pairs;
}

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
inline std::string_view judge_bench_category(std::string_view origin) {
  if (origin.starts_with("mmlu-pro")) return "Knowledge";
  if (origin == "livebench-reasoning") return "Reasoning";
  if (origin == "livebench-math") return "Math";
  if (origin.starts_with("livecodebench")) return "Coding";
  return {};
}

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

// ---- From JSON

namespace detail {

inline void parse_row(const BenchmarkRow& from, RewardBenchRow& row) {
  row.prompt = from.text("prompt");
  row.chosen = from.text("chosen");
  row.rejected = from.text("rejected");
  row.chosen_model = from.text_or_empty("chosen_model");
  row.rejected_model = from.text_or_empty("rejected_model");
  row.subset = from.text("subset");
  if (find_reward_bench_subset(row.subset) == nullptr)
    from.fail("subset", quote(row.subset), "one of the 23 subsets of RewardBench, such as \"math-prm\"");
  row.id = from.name_or_empty("id");
}

/// Checks that a count that the row states is the one it has.
inline void check_count(const BenchmarkRow& from, std::string_view field, Index count) {
  if (!from.has(field)) return;
  const auto stated = static_cast<Index>(from.integer(field, 0));
  if (stated != count) from.fail(field, concat(stated), concat(count, ", as the row has completions"));
}

inline TiesId parse_ties_id(const BenchmarkRow& from, const std::string& id) {
  const Index colon = std::min(id.find(':'), id.size());
  const std::string kind = id.substr(0, colon);
  const std::string number = id.substr(std::min(colon + 1, id.size()));
  const bool digits =
      !number.empty() && number.size() < 10 && number.find_first_not_of("0123456789") == std::string::npos;
  if ((kind != "ref" && kind != "tied") || !digits)
    from.fail("id", quote(id), "\"ref:\" or \"tied:\" and a number, in the subset Ties");
  return {kind == "ref", static_cast<Index>(std::stoul(number))};
}

inline void parse_row(const BenchmarkRow& from, RewardBench2Row& row) {
  row.id = from.name_or_empty("id");
  row.prompt = from.text("prompt");
  row.chosen = from.texts("chosen");
  row.rejected = from.texts("rejected");
  row.subset = from.text("subset");
  if (from.has("models")) row.models = from.texts("models", 0);
  check_count(from, "num_correct", row.chosen.size());
  check_count(from, "total_completions", row.chosen.size() + row.rejected.size());
  if (row.subset == "Ties" || row.subset == "ties") {
    row.ties = parse_ties_id(from, row.id);
  } else if (row.chosen.size() != 1) {
    from.fail("chosen", concat("a list of ", row.chosen.size()), "one completion outside the subset Ties");
  }
}

inline std::array<std::string, 3> three_styles(const BenchmarkRow& from, std::string_view field) {
  std::vector<std::string> texts = from.texts(field);
  if (texts.size() != 3)
    from.fail(field, concat("a list of ", texts.size()), "3 styles: concise, detailed, markdown");
  return {std::move(texts[0]), std::move(texts[1]), std::move(texts[2])};
}

inline void parse_row(const BenchmarkRow& from, RmBenchRow& row) {
  row.id = from.name_or_empty("id");
  row.prompt = from.text("prompt");
  row.chosen = three_styles(from, "chosen");
  row.rejected = three_styles(from, "rejected");
  row.domain = from.text("domain");
}

inline void parse_row(const BenchmarkRow& from, JudgeBenchRow& row) {
  row.pair_id = from.name_or_empty("pair_id");
  row.original_id = from.name_or_empty("original_id");
  row.origin = from.text_or_empty("source");
  row.question = from.text("question");
  row.response_model = from.text_or_empty("response_model");
  row.response_a = from.text("response_A");
  row.response_b = from.text("response_B");
  const std::string label = from.text("label");
  if (label != "A>B" && label != "B>A") from.fail("label", quote(label), "\"A>B\" or \"B>A\"");
  row.a_is_better = label == "A>B";
}

inline void parse_row(const BenchmarkRow& from, LlmBarRow& row) {
  row.input = from.text("input");
  row.output_1 = from.text("output_1");
  row.output_2 = from.text("output_2");
  const auto label = from.integer("label", 1);
  if (label > 2) from.fail("label", concat(label), "1 or 2");
  row.label = static_cast<Index>(label);
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
