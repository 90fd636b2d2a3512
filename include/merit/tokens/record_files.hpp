// Whole files of records: which kind they are, which scale their step labels have, and all examples at once.
#pragma once

#include <filesystem>
#include <span>
#include <type_traits>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/records/record_source.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokens/data_counts.hpp"
#include "merit/tokens/tokenize.hpp"
#include "merit/tokens/tokenize_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The kind of the first record of a file. Throws DataError when the file has no record or the first is of no
/// kind.
RecordKind detect_record_kind(const std::filesystem::path& path, const RecordSourceOptions& source = {});

/// What the numbers among the step labels of these files mean, which a record by itself does not say:
/// ternary when one of them is -1; binary when one is a fraction, and when all are 0 or 1. Throws DataError
/// that names both places when there is a -1 and a fraction. With OnError::skip, by the records that can be
/// read.
StepScale detect_step_scale(std::span<const std::filesystem::path> paths,
                            const RecordSourceOptions& source = {});
inline StepScale detect_step_scale(const std::filesystem::path& path,
                                   const RecordSourceOptions& source = {}) {
  return detect_step_scale(std::span(&path, 1), source);
}

/// Reads a file of records of one kind, say read_examples<RankingRecord>("train.jsonl", …). Steps with
/// step_scale automatic are read twice: the first time to detect_step_scale().
template <class Record, tokenizer Tokenizer>
std::vector<ExampleOf<Record>> read_examples(const std::filesystem::path& path, const Tokenizer& tokenizer,
                                             const TokenizeOptions& options, DataCounts& counts) {
  TokenizeOptions resolved = options;
  if constexpr (std::is_same_v<Record, StepsRecord>) {
    if (options.step_scale == StepScale::automatic) resolved.step_scale = detect_step_scale(path);
  }
  RecordReader<Record> reader(path);
  return read_examples(reader, tokenizer, resolved, counts);
}

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/tokens/record_files_body.hpp"
#endif
