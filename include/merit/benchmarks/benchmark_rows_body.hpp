// The bodies of benchmark_rows.hpp.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <memory>
#include <span>
#include <streambuf>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/benchmarks/benchmark_rows.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/gzip.hpp"
#include "merit/io/json.hpp"
#include "merit/records/json_depth.hpp"
#include "merit/records/record.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE std::string BenchmarkRow::where() const {
  return concat(source.text(), ": row ", number);
}

[[noreturn]] MERIT_INLINE void BenchmarkRow::fail(std::string_view field, std::string_view found,
                                                  std::string_view expected) const {
  throw DataError(concat(where(), ": field '", field, "': found ", found, ", expected ", expected));
}

MERIT_INLINE const Json& BenchmarkRow::need(std::string_view field, std::string_view expected) const {
  if (!has(field)) fail(field, object.contains(field) ? "null" : "no such field", expected);
  return *object.find(field);
}

MERIT_INLINE std::string BenchmarkRow::text(std::string_view field) const {
  const Json& value = need(field, "a string");
  if (!value.is_string()) fail(field, detail::describe(value), "a string");
  return value.get<std::string>();
}

MERIT_INLINE std::string BenchmarkRow::name_or_empty(std::string_view field) const {
  if (!has(field)) return {};
  const Json& value = *object.find(field);
  if (value.is_number()) return value.dump();
  if (!value.is_string()) fail(field, detail::describe(value), "a string or a number");
  return value.get<std::string>();
}

MERIT_INLINE std::vector<std::string> BenchmarkRow::texts(std::string_view field, Index at_least) const {
  std::vector<std::string> result;
  for (const Json& item : list(field, "a list of strings", at_least)) {
    if (!item.is_string()) fail(concat(field, '[', result.size(), ']'), detail::describe(item), "a string");
    result.push_back(item.get<std::string>());
  }
  return result;
}

MERIT_INLINE std::vector<Index> BenchmarkRow::indices(std::string_view field, std::int64_t low) const {
  std::vector<Index> result;
  for (const Json& item : list(field, "a list of whole numbers", 0)) {
    result.push_back(static_cast<Index>(whole(item, concat(field, '[', result.size(), ']'), low)));
  }
  return result;
}

MERIT_INLINE bool BenchmarkRow::boolean(std::string_view field) const {
  const Json& value = need(field, "true or false");
  if (!value.is_boolean()) fail(field, detail::describe(value), "true or false");
  return value.get<bool>();
}

MERIT_INLINE std::string BenchmarkRow::no_less_than(std::int64_t low) {
  return concat("a whole number of at least ", low);
}

MERIT_INLINE std::int64_t BenchmarkRow::whole(const Json& value, std::string_view field,
                                              std::int64_t low) const {
  // Tables with a gap in a column write its whole numbers as 3.0.
  const double real = value.is_number() ? value.get<double>() : 0.5;
  const bool fits = std::abs(real) < 1e15 && real == std::floor(real);
  if (!fits || real < static_cast<double>(low)) fail(field, detail::describe(value), no_less_than(low));
  return static_cast<std::int64_t>(real);
}

MERIT_INLINE const Json& BenchmarkRow::list(std::string_view field, std::string_view expected,
                                            Index at_least) const {
  const Json& value = need(field, expected);
  if (!value.is_array()) fail(field, detail::describe(value), expected);
  if (value.size() < at_least)
    fail(field, detail::describe(value), concat(expected, ", at least ", at_least, " of them"));
  return value;
}

namespace detail {

/// One past the first JSON object or array in `text`, which begins with it; the size when it does not end.
inline Index end_of_value(std::string_view text) {
  JsonDepth at;
  for (Index i = 0; i < text.size(); ++i) {
    at.step(text[i]);
    if (at.depth == 0 && !at.in_string) return i + 1;
  }
  return text.size();
}

/// The lines, from 1, at which the rows of an array begin.
inline std::vector<Index> lines_of_rows(std::string_view array) {
  std::vector<Index> lines;
  JsonDepth at;
  Index line = 1;
  for (const char c : array) {
    const Index before = at.depth;
    at.step(c);
    if (before == 1 && at.depth == 2) lines.push_back(line);
    line += c == '\n' ? 1 : 0;
  }
  return lines;
}

/// Is the object one of columns: lists of one length, or objects with the same number of entries?
inline bool is_table_of_columns(const Json& object) {
  for (const Json& column : object) {
    if (!column.is_structured() || column.type() != object.begin()->type() ||
        column.size() != object.begin()->size()) {
      return false;
    }
  }
  return !object.empty();
}

/// The rows of a table of columns. A column is a list, or an object with one entry for each name of a row;
/// rows named by numbers are in the order of those.
inline std::vector<BenchmarkRow> rows_of_columns(const Json& table, const std::string& name) {
  std::vector<std::string> keys;
  if (table.begin()->is_object()) {
    for (const auto& [key, value] : table.begin()->items()) keys.push_back(key);
    // JSON objects come sorted as text, "10" before "2". Shorter numbers are smaller.
    const auto digits = [](const std::string& key) {
      return key.find_first_not_of("0123456789") == key.npos;
    };
    if (std::all_of(keys.begin(), keys.end(), digits)) {
      std::stable_sort(keys.begin(), keys.end(),
                       [](const std::string& a, const std::string& b) { return a.size() < b.size(); });
    }
  }
  std::vector<BenchmarkRow> rows(table.begin()->size());
  for (Index i = 0; i < rows.size(); ++i) {
    rows[i] = {Json::object(), {name, i + 1}, i + 1};
    for (const auto& [column, values] : table.items()) {
      if (keys.empty()) {
        rows[i].object[column] = values[i];
        continue;
      }
      const auto entry = values.find(keys[i]);
      if (entry == values.end()) rows[i].fail(column, "no such row", concat("row ", quote(keys[i])));
      rows[i].object[column] = *entry;
    }
  }
  return rows;
}

inline void refuse_binary(std::string_view text, std::string_view name) {
  std::string_view kind;
  if (text.starts_with("PAR1")) kind = "a Parquet file";
  if (text.starts_with("ARROW1")) kind = "an Arrow file";
  if (text.starts_with("\x1F\x8B")) kind = "a gzip archive";
  if (text.starts_with("PK\x03\x04")) kind = "a zip archive";
  if (kind.empty()) return;
  const bool parquet = kind == "a Parquet file";
  throw DataError(concat(
      name, ": found ", kind, ", expected JSON lines or a JSON array of the same ",
      parquet ? "columns; convert it with: python3 -c \"import pandas, sys; pandas.read_parquet(sys.argv[1])"
                ".to_json(sys.argv[2], orient='records', lines=True)\" in.parquet out.jsonl"
              : "columns; unpack or export it first"));
}

/// Takes the byte-order mark away and gives the place of the first row, or the size of text that is blank. Throws
/// where the text is none of rows.
inline Index begin_of_rows(std::string_view& text, std::string_view name) {
  refuse_binary(text, name);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const Index begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  if (begin != text.size() && text[begin] != '[' && text[begin] != '{') {
    throw DataError(concat(name, ": found text that begins with ", quote(text.substr(begin, 12)),
                           ", expected JSON lines or a JSON array of rows"));
  }
  return begin;
}

inline std::string benchmark_text(const std::filesystem::path& path, Index largest) {
  const std::string name = path.string();
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    throw IoError(name + ": found a directory, expected a file of a benchmark");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw_io("open", path, errno);
  std::streambuf* bytes = file.rdbuf();
  std::unique_ptr<std::streambuf> unpacked;
  std::string text;
  try {
    if (bytes->sgetc() == int{gzip_first_byte}) {
      unpacked = gunzip(*bytes, name);
      bytes = unpacked.get();
    }
    const bool has_end = unpacked == nullptr && std::filesystem::is_regular_file(path, ignored);
    std::vector<char> block(Index{1} << 20);
    while (true) {
      const auto got = bytes->sgetn(block.data(), static_cast<std::streamsize>(block.size()));
      if (got <= 0) return text;
      const bool first = text.empty();
      text.append(block.data(), static_cast<Index>(got));
      std::string_view begun = text;
      if (first) begin_of_rows(begun, name);  // what is no benchmark is not read to its end
      if (!has_end && text.size() > largest) {
        throw IoError(concat(name, ": holds more than ", largest, " bytes, expected a smaller benchmark"));
      }
    }
  } catch (const std::ios_base::failure&) {
    throw IoError(concat(name, ": reading failed after byte ", text.size()));
  }
}

}  // namespace detail

MERIT_INLINE std::vector<BenchmarkRow> read_benchmark_rows(const std::filesystem::path& path, Index largest) {
  return parse_benchmark_rows(detail::benchmark_text(path, largest), path.string());
}

MERIT_INLINE std::vector<BenchmarkRow> parse_benchmark_rows(std::string_view text, const std::string& name) {
  const Index begin = detail::begin_of_rows(text, name);
  if (begin == text.size()) throw DataError(concat(name, ": found no rows, expected at least one"));
  std::vector<BenchmarkRow> rows;
  const bool whole =
      text[begin] == '[' || detail::is_blank(text.substr(begin + detail::end_of_value(text.substr(begin))));
  if (whole) {
    Json value = parse_json(text, name);
    if (value.is_array()) {
      const std::vector<Index> lines = detail::lines_of_rows(text);
      for (Json& row : value) {
        const Index number = rows.size() + 1;
        if (!row.is_object()) {
          throw DataError(concat(name, ": row ", number, ": found ", detail::describe(row),
                                 ", expected one JSON object"));
        }
        rows.push_back({std::move(row), {name, lines[number - 1]}, number});
      }
    } else if (detail::is_table_of_columns(value)) {
      rows = detail::rows_of_columns(value, name);
    } else {
      const auto blank_lines = std::count(text.begin(), text.begin() + static_cast<long>(begin), '\n');
      rows.push_back({std::move(value), {name, static_cast<Index>(blank_lines) + 1}, 1});
    }
  } else {
    SourcePosition at{name, 0};
    while (!text.empty()) {
      ++at.line;
      const Index end = std::min(text.find('\n'), text.size());
      const std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (detail::is_blank(line)) continue;
      Json row = parse_json(line, at.text());
      if (!row.is_object()) {
        throw DataError(concat(at.text(), ": found ", detail::describe(row), ", expected one JSON object"));
      }
      rows.push_back({std::move(row), at, rows.size() + 1});
    }
  }
  if (rows.empty()) throw DataError(concat(name, ": found no rows, expected at least one"));
  return rows;
}

namespace detail {

MERIT_INLINE PreferenceRecord text_preference(const std::string& prompt, const std::string& chosen,
                                              const std::string& rejected, const SourcePosition& source) {
  PreferenceRecord record;
  record.prompt = prompt;
  record.chosen = chosen;
  record.rejected = rejected;
  record.source = source;
  return record;
}

MERIT_INLINE std::vector<PreferenceRecord> all_preferences(const std::string& prompt,
                                                           std::span<const std::string> chosen,
                                                           std::span<const std::string> rejected,
                                                           const SourcePosition& source) {
  std::vector<PreferenceRecord> records;
  for (const std::string& good : chosen) {
    for (const std::string& bad : rejected) records.push_back(text_preference(prompt, good, bad, source));
  }
  return records;
}

MERIT_INLINE LabelledCompletions right_then_wrong(const std::string& prompt,
                                                  std::span<const std::string> chosen,
                                                  std::span<const std::string> rejected,
                                                  const SourcePosition& source) {
  LabelledCompletions result{prompt, {chosen.begin(), chosen.end()}, {}, source};
  result.completions.insert(result.completions.end(), rejected.begin(), rejected.end());
  result.correct.assign(chosen.size(), true);
  result.correct.resize(result.completions.size(), false);
  return result;
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
