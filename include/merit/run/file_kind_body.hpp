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
#include "merit/records/jsonl.hpp"
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
inline std::optional<FileKind> first_kind(const std::string& file) {
  JsonLinesReader reader{std::filesystem::path(file)};
  while (true) {
    try {
      const auto object = reader.next();
      if (!object) return std::nullopt;
      const Json plain = *object;
      if (const auto layout = detect_benchmark(plain)) return FileKind{layout, RecordKind::preference};
      if (const auto kind = kind_of(*object)) return FileKind{std::nullopt, *kind};
    } catch (const DataError&) {  // the next one may say
    }
  }
}

}  // namespace detail

MERIT_INLINE FileKind kind_of_file(const std::string& file, OnError on_error) {
  if (const auto kind = on_error == OnError::skip ? detail::first_kind(file) : std::nullopt) return *kind;
  const Json object = detail::first_object(file);
  if (const auto layout = detect_benchmark(object)) return {layout, RecordKind::preference};
  if (const auto kind = kind_of(object)) return {std::nullopt, *kind};
  throw DataError(
      file +
      ": found a first record of no kind, expected one of: preference, ranking, ratings, outcome, "
      "steps, value, judge; or one of the layouts " +
      list_of_names<BenchmarkLayout>());
}

MERIT_INLINE FileKind kind_of_files(const std::vector<std::string>& files, OnError on_error) {
  require_no_pipe(files);
  const FileKind what = kind_of_file(files.at(0), on_error);
  for (const std::string& file : files) {
    if (const FileKind other = kind_of_file(file, on_error); !(other == what)) {
      throw DataError(file + ": found " + other.text() + ", expected " + what.text() + " as in " + files[0]);
    }
  }
  return what;
}

}  // namespace MERIT_ABI
}  // namespace merit
