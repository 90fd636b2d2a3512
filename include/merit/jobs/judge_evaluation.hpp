// A judge evaluated as a reward model is: on the same benchmarks and files, by the same reports.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "merit/io/json.hpp"
#include "merit/jobs/benchmark_evaluation.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_source.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/record_set.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A record and its place.
struct PlacedRecord {
  OrderedJson object;
  SourcePosition at;
};

/// The rows of a benchmark of answers as records in our fields, in their order: the better answers first, which a judge is
/// shown in both places. Throws ConfigError for a benchmark of steps or of single solutions.
std::vector<PlacedRecord> records_to_judge(const BenchmarkSet& benchmark);

/// What a judge said of one record (RecordJudging).
struct JudgedScores {
  std::vector<double> scores;             // one an answer
  std::optional<double> share_for_first;  // as RecordToJudge has it
};

/// Where a judge's scores are reported: a benchmark whose rows it was given, or the records of a file.
class JudgedSet {
 public:
  /// `benchmark` is what records_to_judge() took its records from. Lengths are in tokens of the judge's tokenizer; no row is
  /// too long, as what a judge cannot be shown has no verdict.
  JudgedSet(BenchmarkSet benchmark, const AnyTokenizer& tokenizer);
  /// Reads preferences, judged pairs, rankings or ratings. `judged`: where the records are that the judge is given. Throws
  /// DataError for other kinds, for a record that is not among those, and where nothing is left to use.
  JudgedSet(const std::string& file, const AnyTokenizer& tokenizer, const RecordSourceOptions& source,
            const std::string& subset_field, std::span<const SourcePosition> judged);

  const RecordSet& set() const { return benchmark_ ? benchmark_->set : records_; }
  const BenchmarkSet* benchmark() const { return benchmark_ ? &*benchmark_ : nullptr; }

  /// The report. `judged` has every row of the benchmark in its order, or the records in the order of their places.
  Evaluation evaluate(std::span<const JudgedScores> judged) const;

 private:
  std::optional<BenchmarkSet> benchmark_;
  RecordSet records_;
  std::vector<Index> record_of_;  // (examples) its number among those that are judged
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/jobs/judge_evaluation_body.hpp"
#endif
