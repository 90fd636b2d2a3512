// Files of published benchmarks, read as they are published: which layout a file has, and its rows.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/benchmarks/benchmark_rows.hpp"
#include "merit/benchmarks/preference_layouts.hpp"
#include "merit/benchmarks/solution_layouts.hpp"
#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The layouts that are known. The structs of their rows say where each is from.
enum class BenchmarkLayout {
  reward_bench,
  reward_bench_2,
  rm_bench,
  process_bench,
  prm_bench,
  judge_bench,
  llm_bar,
  gsm8k_solutions,
};

/// The rows of a benchmark file, in the order of BenchmarkLayout.
using BenchmarkRows =
    std::variant<std::vector<RewardBenchRow>, std::vector<RewardBench2Row>, std::vector<RmBenchRow>,
                 std::vector<ProcessBenchRow>, std::vector<PrmBenchRow>, std::vector<JudgeBenchRow>,
                 std::vector<LlmBarRow>, std::vector<Gsm8kRow>>;

template <>
inline constexpr std::array<std::string_view, 8> enum_names<BenchmarkLayout>{
    "reward_bench", "reward_bench_2", "rm_bench", "process_bench",
    "prm_bench",    "judge_bench",    "llm_bar",  "gsm8k_solutions"};

/// The layout of that name. Throws ConfigError that lists the known ones.
inline BenchmarkLayout benchmark_layout_from_name(std::string_view name) {
  return value_from_name<BenchmarkLayout>("benchmark layout", name);
}

/// The layout of which `row`, the first object of a file, has the fields; nothing when it is none of them.
/// A record of merit's own kinds is none of them.
std::optional<BenchmarkLayout> detect_benchmark(const Json& row);

namespace detail {

template <class Row>
std::vector<Row> parse_layout(std::span<const BenchmarkRow> from) {
  std::vector<Row> rows(from.size());
  for (Index i = 0; i < from.size(); ++i) {
    rows[i].source = from[i].source;
    parse_row(from[i], rows[i]);
  }
  return rows;
}

template <Index I = 0>
BenchmarkRows parse_layout_number(Index layout, std::span<const BenchmarkRow> from) {
  if constexpr (I + 1 < std::variant_size_v<BenchmarkRows>) {
    if (layout != I) return parse_layout_number<I + 1>(layout, from);
  }
  using Row = typename std::variant_alternative_t<I, BenchmarkRows>::value_type;
  return BenchmarkRows(std::in_place_index<I>, parse_layout<Row>(from));
}

}  // namespace detail

/// The rows without those of which content_of() is that of one before them.
template <class Row>
std::vector<Row> without_repeats(const std::vector<Row>& rows) {
  std::vector<Row> result;
  std::set<std::vector<std::string>> seen;
  for (const Row& row : rows) {
    if (seen.insert(content_of(row)).second) result.push_back(row);
  }
  return result;
}

/// Rows as structs of one layout, say parse_benchmark<ProcessBenchRow>(rows). Throws DataError that names
/// file, line, row and field.
template <class Row>
std::vector<Row> parse_benchmark(std::span<const BenchmarkRow> rows) {
  return detail::parse_layout<Row>(rows);
}

/// Reads a benchmark file of one layout, say read_benchmark<RewardBenchRow>("filtered.jsonl").
template <class Row>
std::vector<Row> read_benchmark(const std::filesystem::path& path) {
  return detail::parse_layout<Row>(read_benchmark_rows(path));
}

/// Rows of the layout that is given, or else of the one that the first row has. Throws DataError when it has
/// none of them.
BenchmarkRows parse_benchmark(std::span<const BenchmarkRow> rows,
                              std::optional<BenchmarkLayout> layout = std::nullopt);

/// Reads a benchmark file of the layout that is given, or else of the one that its first row has.
inline BenchmarkRows read_benchmark_file(const std::filesystem::path& path,
                                         std::optional<BenchmarkLayout> layout = std::nullopt) {
  return parse_benchmark(read_benchmark_rows(path), layout);
}

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/benchmarks/benchmark_files_body.hpp"
#endif
