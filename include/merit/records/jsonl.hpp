// JSON lines: one JSON object a line, read one at a time, with file and line in every error.
#pragma once

#include <filesystem>
#include <fstream>
#include <istream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/parse_record.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Limits that keep a wrong file from taking the machine with it.
struct JsonLinesOptions {
  Index max_line_bytes = Index{64} << 20;
  Index max_depth = json_depth_limit;  // of arrays and objects in one another; the record itself is the first
};

/// Reads a file or stream of JSON lines. Holds one line at a time. Lines of white space are skipped, though
/// counted; a byte-order mark, carriage returns before line feeds, and a last line without its line feed are
/// accepted.
///
/// Errors are DataError, "file:line: …"; after one, next() goes on with the following line.
class JsonLinesReader {
 public:
  /// Reads the file at `path`. Throws IoError if it cannot be opened.
  explicit JsonLinesReader(const std::filesystem::path& path, JsonLinesOptions options = {});

  /// Reads `in`, such as the standard input; `name` stands for the file in errors. The stream must outlive
  /// the reader. A line is given out as soon as it is complete.
  JsonLinesReader(std::istream& in, std::string name, JsonLinesOptions options = {})
      : in_(&in), position_{std::move(name), 0}, options_(options) {}

  /// The next object, or nothing at the end.
  std::optional<OrderedJson> next();

  /// The next value of any kind, or nothing at the end.
  std::optional<OrderedJson> next_value();

  /// Where the last object, or the last error, was.
  const SourcePosition& position() const { return position_; }

 private:
  /// Fills line_ with the next line without its line feed; a carriage return is white space to JSON. False at
  /// the end of the input.
  bool read_line();

  std::unique_ptr<std::ifstream> file_;  // when the reader opened it
  std::istream* in_ = nullptr;
  std::string line_;
  bool rest_of_long_line_ = false;
  SourcePosition position_;
  JsonLinesOptions options_;
};

/// Reads the records of a JSON-lines file or stream one at a time; `Record` is one of record.hpp, such as
/// PreferenceRecord. Fields that the record does not have are ignored.
///
/// Throws DataError "file:line: field 'x': found …, expected …" for a record that is not what record.hpp
/// says, and for one with features of another width than those before it, or without features after ones
/// with. The error about a record of another kind names both kinds.
template <class Record>
class RecordReader {
 public:
  /// Reads the file at `path`. Throws IoError if it cannot be opened.
  explicit RecordReader(const std::filesystem::path& path, JsonLinesOptions options = {})
      : lines_(path, options) {}

  /// Reads `in`, which must outlive the reader; `name` stands for the file in errors.
  RecordReader(std::istream& in, std::string name, JsonLinesOptions options = {})
      : lines_(in, std::move(name), options) {}

  /// The next record, or nothing at the end. After an error, next() goes on with the following line.
  std::optional<Record> next() {
    const std::optional<OrderedJson> object = lines_.next();
    if (!object) return std::nullopt;
    Record record;
    record.source = lines_.position();
    detail::parse_record(*object, record);
    check_width(detail::feature_width(record), record.source);
    return record;
  }

  /// Where the last record, or the last error, was.
  const SourcePosition& position() const { return lines_.position(); }

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

  JsonLinesReader lines_;
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

#if !defined(MERIT_COMPILED_RUN)
#include "merit/records/jsonl_body.hpp"
#endif
