// The bodies of benchmark_files.hpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "merit/benchmarks/benchmark_files.hpp"
#include "merit/benchmarks/benchmark_rows.hpp"
#include "merit/benchmarks/preference_layouts.hpp"
#include "merit/benchmarks/solution_layouts.hpp"
#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/records/record_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE std::optional<BenchmarkLayout> detect_benchmark(const Json& row) {
  if (!row.is_object()) return std::nullopt;
  const auto has = [&](std::string_view name) { return row.contains(name) && !row.at(name).is_null(); };
  const auto strings = [&](std::string_view name) {
    return has(name) && row.at(name).is_array() && !row.at(name).empty() && row.at(name).front().is_string();
  };
  if (has("modified_process") && has("error_steps")) return BenchmarkLayout::prm_bench;
  if (has("problem") && has("steps") && has("label")) return BenchmarkLayout::process_bench;
  if (has("response_A") && has("response_B") && has("label")) return BenchmarkLayout::judge_bench;
  if (has("input") && has("output_1") && has("output_2")) return BenchmarkLayout::llm_bar;
  if (has("question") && has("ground_truth") &&
      std::any_of(row.begin(), row.end(), detail::is_gsm8k_solution)) {
    return BenchmarkLayout::gsm8k_solutions;
  }
  if (!has("prompt")) return std::nullopt;
  if (strings("chosen") && strings("rejected")) {
    if (has("subset")) return BenchmarkLayout::reward_bench_2;
    if (has("domain")) return BenchmarkLayout::rm_bench;
  }
  // A preference record may have a field `subset` too: here it must be one of RewardBench's.
  if (has("chosen") && has("rejected") && has("subset") && row.at("subset").is_string() &&
      find_reward_bench_subset(row.at("subset").get_ref<const std::string&>()) != nullptr) {
    return BenchmarkLayout::reward_bench;
  }
  return std::nullopt;
}

MERIT_INLINE BenchmarkRows parse_benchmark(std::span<const BenchmarkRow> rows,
                                           std::optional<BenchmarkLayout> layout) {
  if (rows.empty()) throw DataError("parse_benchmark: found no rows, expected at least one");
  if (!layout) layout = detect_benchmark(rows[0].object);
  if (!layout) {
    throw DataError(concat(rows[0].where(), ": found the fields ", detail::names_of_fields(rows[0].object),
                           ", expected those of a known layout: ", list_of_names<BenchmarkLayout>()));
  }
  return detail::parse_layout_number(static_cast<Index>(*layout), rows);
}

}  // namespace MERIT_ABI
}  // namespace merit
