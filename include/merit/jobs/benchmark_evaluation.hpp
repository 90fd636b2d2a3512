// Published benchmarks: their rows as records, and their own scores beside the usual report.
#pragma once

#include <string>
#include <vector>

#include "merit/benchmarks/benchmark_files.hpp"
#include "merit/io/json.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_set.hpp"
#include "merit/run/saved_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A row that has no score, and why.
struct UnscoredRow {
  Index row = 0;
  std::string subset;
  std::string reason;
  std::string prompt;  // as ExampleNote::split_key has it
};

/// The rows of a benchmark as a set of the kind that they are: preferences, rankings, outcomes or steps. The
/// notes name each row's subset, and `row_of` its number in the file.
struct BenchmarkSet {
  BenchmarkLayout layout = BenchmarkLayout::reward_bench;
  BenchmarkRows rows;
  RecordSet set;
  std::vector<Index> row_of;          // (examples)
  std::vector<UnscoredRow> unscored;  // the rows without an example
  Index repeats = 0;  // rows that say what one before them says (content_of), which are not among `rows`
};

/// The rows of the files of one layout, of which no example is made yet.
BenchmarkSet read_benchmark_files(const std::vector<std::string>& files, BenchmarkLayout layout);
/// Makes the examples, as the model reads text.
void make_examples(BenchmarkSet& benchmark, const SavedModel& saved);

/// Both. Throws ConfigError where the model does not score what the layout asks for.
BenchmarkSet read_benchmark_set(const std::vector<std::string>& files, BenchmarkLayout layout,
                                const SavedModel& saved);

/// What the benchmark's own code would say.
struct BenchmarkScores {
  Json json;
  std::string text;
};
BenchmarkScores benchmark_scores(const BenchmarkSet& benchmark, const Evaluation& evaluation,
                                 const Reading& reading, double threshold);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/jobs/benchmark_evaluation_body.hpp"
#include "merit/jobs/benchmark_figures_body.hpp"
#endif
