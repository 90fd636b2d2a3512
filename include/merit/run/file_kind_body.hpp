// Reading what files are.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "merit/benchmarks/benchmark_files.hpp"
#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/records/json_lines.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/records/record_source.hpp"
#include "merit/run/file_kind.hpp"
#include "merit/run/record_set.hpp"
#include "merit/tokens/record_files.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The first object of a file: of JSON lines, or of a table as benchmarks are published.
inline Json first_object(const std::string& file) {
  const std::filesystem::path path(file);
  std::optional<std::string> error;
  try {
    JsonLinesReader reader(path);
    auto object = reader.next();
    if (!object) throw DataError(file + ": there is no record");
    return *std::move(object);
  } catch (const DataError& found) {
    error = found.what();
  }
  try {
    return read_benchmark_rows(path).at(0).object;
  } catch (const DataError&) {
    throw DataError(*error);  // about the first line, which says more than about the whole
  }
}

/// What the first line is that is of any kind; nothing where none is.
inline std::optional<FileKind> first_kind(const std::string& file, const RecordSourceOptions& source) {
  RecordSource reader(file, source);
  for (Index bad = 0; bad < most_unreadable;) {
    try {
      const auto object = reader.next();
      if (!object) return std::nullopt;
      const Json plain = *object;
      if (const auto layout = detect_benchmark(plain)) return FileKind{layout, RecordKind::preference};
      if (const auto kind = kind_of(*object)) return FileKind{std::nullopt, *kind};
    } catch (const DataError&) {  // the next one may say
      ++bad;
    }
  }
  return std::nullopt;
}

}  // namespace detail

MERIT_INLINE FileKind kind_of_file(const std::string& file, const RecordSourceOptions& source) {
  if (const auto kind = source.on_error == OnError::skip ? detail::first_kind(file, source) : std::nullopt)
    return *kind;
  const std::string path = weighted_file(file).path;
  if (!table_separator(path)) {
    if (const auto layout = detect_benchmark(detail::first_object(path)))
      return {layout, RecordKind::preference};
  }
  RecordSource records(file, source);
  const std::optional<OrderedJson> object = records.next();
  if (!object) throw DataError(records.no_record());
  if (const auto kind = kind_of(*object)) return {std::nullopt, *kind};
  const std::string partly = partly_published(*object);
  throw DataError(
      concat(path, ": found a first record of no kind with the fields ", detail::names_of_fields(*object),
             partly.empty() ? std::string() : concat(" (", partly, ")"),
             ", expected one of: preference, ranking, ratings, outcome, steps, value, judge; one of the "
             "layouts ",
             list_of_names<BenchmarkLayout>(), "; or one of the published sets ",
             list_of_names<PublishedSet>(), "; --rename reads a field under another name"));
}

MERIT_INLINE FileKind kind_of_files(const std::vector<std::string>& files,
                                    const RecordSourceOptions& source) {
  require_no_pipe(files);
  const FileKind what = kind_of_file(files.at(0), source);
  for (const std::string& file : files) {
    if (const FileKind other = kind_of_file(file, source); !(other == what)) {
      throw DataError(file + ": found " + other.text() + ", expected " + what.text() + " as in " + files[0]);
    }
  }
  return what;
}

}  // namespace MERIT_ABI
}  // namespace merit
