// Files of records: one record of a kind at a time, with file and line in every error.
#pragma once

#include <filesystem>
#include <istream>
#include <optional>
#include <string>
#include <utility>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/json_lines.hpp"
#include "merit/records/parse_record.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/records/record_source.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Reads the records of a file in any of the forms that RecordSource knows, or of a stream of JSON lines, one at a
/// time; `Record` is one of record.hpp, such as PreferenceRecord. Fields that the record does not have are ignored.
///
/// Throws DataError "file:line: field 'x': found …, expected …" for a record that is not what record.hpp
/// says, and for one with features of another width than those before it, or without features after ones
/// with. The error about a record of another kind names both kinds.
template <class Record>
class RecordReader {
 public:
  /// Reads the file at `path`. Throws IoError if it cannot be opened.
  explicit RecordReader(const std::filesystem::path& path, JsonLinesOptions lines = {},
                        RecordSourceOptions options = {})
      : records_(path.string(), std::move(options), lines) {}

  /// Reads `in`, which must outlive the reader; `name` stands for the file in errors.
  RecordReader(std::istream& in, std::string name, JsonLinesOptions lines = {},
               RecordSourceOptions options = {})
      : records_(in, std::move(name), std::move(options), lines) {}

  /// The next record, or nothing at the end. After an error, next() goes on with the following line.
  std::optional<Record> next() {
    const std::optional<OrderedJson> object = records_.next();
    if (!object) return std::nullopt;
    Record record;
    record.source = records_.position();
    detail::parse_record(*object, record);
    check_width(detail::feature_width(record), record.source);
    return record;
  }

  /// Where the last record, or the last error, was.
  const SourcePosition& position() const { return records_.position(); }

 private:
  void check_width(Index width, const SourcePosition& at) {
    if (first_line_ == 0) {
      width_ = width;
      first_line_ = at.line;
    }
    if (width == width_) return;
    const auto words = [](Index n) {
      return n == 0 ? std::string("a record without features") : concat(n, " features");
    };
    detail::throw_found(at, "record", words(width), concat(words(width_), " as in line ", first_line_));
  }

  RecordSource records_;
  Index width_ = 0;
  Index first_line_ = 0;  // of the first record; 0 before it
};

using PreferenceReader = RecordReader<PreferenceRecord>;
using JudgeReader = RecordReader<JudgeRecord>;
using RankingReader = RecordReader<RankingRecord>;
using RatingsReader = RecordReader<RatingsRecord>;
using OutcomeReader = RecordReader<OutcomeRecord>;
using StepsReader = RecordReader<StepsRecord>;
using RolloutReader = RecordReader<RolloutRecord>;
using CompletionReader = RecordReader<CompletionRecord>;

}  // namespace MERIT_ABI
}  // namespace merit
