// The bodies of preference_layouts.hpp.
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
#include "merit/benchmarks/preference_layouts.hpp"
#include "merit/benchmarks/reward_bench_subsets.hpp"
#include "merit/core/error.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE std::vector<std::pair<Index, Index>> ties_pairs(std::span<const RewardBench2Row> rows) {
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

MERIT_INLINE std::string_view judge_bench_category(std::string_view origin) {
  if (origin.starts_with("mmlu-pro")) return "Knowledge";
  if (origin == "livebench-reasoning") return "Reasoning";
  if (origin == "livebench-math") return "Math";
  if (origin.starts_with("livecodebench")) return "Coding";
  return {};
}

namespace detail {

/// Texts one after another, lists with their lengths before them.
template <class Texts>
void append_list(std::vector<std::string>& to, const Texts& list) {
  to.push_back(std::to_string(list.size()));
  to.insert(to.end(), list.begin(), list.end());
}

}  // namespace detail

MERIT_INLINE std::vector<std::string> content_of(const RewardBenchRow& row) {
  return {row.subset, row.prompt, row.chosen, row.rejected};
}
MERIT_INLINE std::vector<std::string> content_of(const RewardBench2Row& row) {
  std::vector<std::string> content{row.subset, row.ties ? row.id : std::string(), row.prompt};
  detail::append_list(content, row.chosen);
  detail::append_list(content, row.rejected);
  return content;
}
MERIT_INLINE std::vector<std::string> content_of(const RmBenchRow& row) {
  std::vector<std::string> content{row.domain, row.prompt};
  detail::append_list(content, row.chosen);
  detail::append_list(content, row.rejected);
  return content;
}
MERIT_INLINE std::vector<std::string> content_of(const JudgeBenchRow& row) {
  return {row.origin, row.question, row.response_a, row.response_b, row.a_is_better ? "a" : "b"};
}
MERIT_INLINE std::vector<std::string> content_of(const LlmBarRow& row) {
  return {row.input, row.output_1, row.output_2, std::to_string(row.label)};
}

namespace detail {

MERIT_INLINE void parse_row(const BenchmarkRow& from, RewardBenchRow& row) {
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

MERIT_INLINE void parse_row(const BenchmarkRow& from, RewardBench2Row& row) {
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
    const bool fits = row.ties->reference ? row.chosen.size() == 1 : row.chosen.size() > 1;
    if (!fits) {
      from.fail("chosen", concat("a list of ", row.chosen.size(), " under the id ", quote(row.id)),
                row.ties->reference ? "one completion of a reference" : "at least two, which tie");
    }
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

MERIT_INLINE void parse_row(const BenchmarkRow& from, RmBenchRow& row) {
  row.id = from.name_or_empty("id");
  row.prompt = from.text("prompt");
  row.chosen = three_styles(from, "chosen");
  row.rejected = three_styles(from, "rejected");
  row.domain = from.text("domain");
}

MERIT_INLINE void parse_row(const BenchmarkRow& from, JudgeBenchRow& row) {
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

MERIT_INLINE void parse_row(const BenchmarkRow& from, LlmBarRow& row) {
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
