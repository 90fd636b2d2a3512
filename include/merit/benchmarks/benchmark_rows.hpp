// The rows of a published benchmark file: JSON lines, one JSON array of rows, or one object of columns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/records/json_depth.hpp"
#include "merit/records/record.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// One row of a benchmark file. Its functions read a field, which must be there and not null unless they say
/// otherwise, and throw DataError "file:line: row N: field 'x': found …, expected …" when it is not what was
/// asked for.
struct BenchmarkRow {
  Json object;
  SourcePosition source;  // where the row begins; of a table of columns the line is the number of the row
  Index number = 0;       // of the row, from 1

  /// "file:line: row N".
  std::string where() const;

  [[noreturn]] void fail(std::string_view field, std::string_view found, std::string_view expected) const;

  /// Is the field there and not null?
  bool has(std::string_view field) const {
    const auto it = object.find(field);
    return it != object.end() && !it->is_null();
  }

  const Json& need(std::string_view field, std::string_view expected) const;

  std::string text(std::string_view field) const;

  /// The string, or an empty one when there is no such field.
  std::string text_or_empty(std::string_view field) const { return has(field) ? text(field) : std::string(); }

  /// A name that some publish as a string and some as a number; empty when there is no such field.
  std::string name_or_empty(std::string_view field) const;

  /// A list of strings, `at_least` of them.
  std::vector<std::string> texts(std::string_view field, Index at_least = 1) const;

  /// A whole number of at least `low`.
  std::int64_t integer(std::string_view field, std::int64_t low) const {
    return whole(need(field, no_less_than(low)), field, low);
  }

  /// A list of whole numbers of at least `low`; it may be empty.
  std::vector<Index> indices(std::string_view field, std::int64_t low) const;

  bool boolean(std::string_view field) const;

 private:
  static std::string no_less_than(std::int64_t low);

  std::int64_t whole(const Json& value, std::string_view field, std::int64_t low) const;

  const Json& list(std::string_view field, std::string_view expected, Index at_least) const;
};

namespace detail {

inline bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == text.npos;
}

}  // namespace detail

/// The rows in `text`, which is a benchmark file in one of three forms: JSON lines (one object a line), one
/// JSON array of objects, or one JSON object of columns (lists, or objects of row name to value, as tables
/// are exported). `name` stands for the file in errors. Throws DataError when it is none of them, when
/// there are no rows, and for a Parquet or packed file.
std::vector<BenchmarkRow> parse_benchmark_rows(std::string_view text, const std::string& name);

/// The rows of the file at `path`, packed by gzip or not, as parse_benchmark_rows. Throws IoError when it cannot be
/// read, and for a device or packed file of more bytes than `largest`, as it may have no end.
std::vector<BenchmarkRow> read_benchmark_rows(const std::filesystem::path& path,
                                              Index largest = largest_whole_file);

// ---- What the layouts are turned into, beside PreferenceRecord

/// Completions of one prompt, each right or wrong.
struct LabelledCompletions {
  std::string prompt;
  std::vector<std::string> completions;
  std::vector<bool> correct;  // one a completion
  SourcePosition source;
};

/// A solution in steps, some of them labelled.
struct LabelledSteps {
  std::string prompt;
  std::vector<std::string> steps;
  std::vector<std::optional<int>> labels;  // one a step: 1 is right, −1 wrong, nothing is not known
  SourcePosition source;
};

namespace detail {

PreferenceRecord text_preference(const std::string& prompt, const std::string& chosen,
                                 const std::string& rejected, const SourcePosition& source);

/// All pairs of a right and a wrong completion: the first right one with each wrong one, then the second.
std::vector<PreferenceRecord> all_preferences(const std::string& prompt, std::span<const std::string> chosen,
                                              std::span<const std::string> rejected,
                                              const SourcePosition& source);

/// The right completions, then the wrong ones.
LabelledCompletions right_then_wrong(const std::string& prompt, std::span<const std::string> chosen,
                                     std::span<const std::string> rejected, const SourcePosition& source);

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/benchmarks/benchmark_rows_body.hpp"
#endif
