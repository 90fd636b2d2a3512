// The bodies of json_lines.hpp.
#pragma once

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/gzip.hpp"
#include "merit/io/json.hpp"
#include "merit/records/json_depth.hpp"
#include "merit/records/json_lines.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE JsonLinesReader::JsonLinesReader(const std::filesystem::path& path, JsonLinesOptions options)
    : position_{path.string(), 0}, options_(options) {
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    throw IoError(concat(path.string(), ": found a directory, expected a file of JSON lines"));
  }
  file_ = std::make_unique<std::ifstream>(path, std::ios::binary);
  if (!*file_) {
    throw IoError(concat(path.string(), ": cannot be opened: ", std::generic_category().message(errno)));
  }
  in_ = file_.get();
}

namespace detail::jsonl {

/// Throws IoError where the first line of a file is that of something else, which is named with what to do: no line
/// of it is a record.
inline void refuse_other_formats(std::string_view line, const std::string& file) {
  const auto refuse = [&](std::string_view found, std::string_view todo) {
    throw IoError(concat(file, ": found ", found, ", expected JSON lines, a JSON array or a table; ", todo));
  };
  constexpr std::string_view unpack = "unpack it first";
  if (line.starts_with("PAR1")) {
    refuse("a Parquet file",
           "convert it with: python3 -c \"import pandas, sys; pandas.read_parquet(sys.argv[1])"
           ".to_json(sys.argv[2], orient='records', lines=True)\" in.parquet out.jsonl");
  }
  if (line.starts_with("ARROW1")) refuse("an Arrow file", "export it as JSON lines");
  if (line.starts_with("PK\x03\x04")) refuse("a zip archive", unpack);
  if (line.starts_with("\x28\xB5\x2F\xFD")) refuse("a zstd archive", "unpack it first, with zstd -d");
  if (line.starts_with("BZh")) refuse("a bzip2 archive", "unpack it first, with bunzip2");
  if (line.starts_with("\xFD"
                       "7zXZ"))
    refuse("an xz archive", "unpack it first, with unxz");
  if (line.starts_with("\xFF\xFE") || line.starts_with("\xFE\xFF")) {
    refuse("text in UTF-16", "convert it to UTF-8 with: iconv -f UTF-16 -t UTF-8 in > out");
  }
  if (line.starts_with("version https://git-lfs")) {
    refuse("a pointer of Git LFS in place of the file", "get the file with: git lfs pull");
  }
  const auto begin = std::min(line.find_first_not_of(" \t\r\n"), line.size());
  if (line.substr(begin).starts_with("<!DOCTYPE") || line.substr(begin).starts_with("<html")) {
    refuse("a web page", "download the file itself");
  }
}

inline std::string_view trimmed_line(std::string_view line) {
  if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  const auto begin = line.find_first_not_of(" \t\r\n");
  if (begin == line.npos) return {};
  return line.substr(begin, line.find_last_not_of(" \t\r\n") - begin + 1);
}

}  // namespace detail::jsonl

MERIT_INLINE std::optional<OrderedJson> JsonLinesReader::next() {
  begin(true);
  std::optional<OrderedJson> object = in_array_ ? next_element() : next_value();
  if (object && !object->is_object()) {
    detail::throw_found(position_, "record", detail::describe(*object), "one JSON object");
  }
  return object;
}

MERIT_INLINE std::optional<OrderedJson> JsonLinesReader::next_value() {
  begin(false);
  while (read_line()) {
    if (first_line_) detail::jsonl::refuse_other_formats(line_, position_.file);
    first_line_ = false;
    std::string_view line = detail::jsonl::trimmed_line(line_);
    if (line.empty()) continue;
    if (line == "{") {  // a key or its end may follow on the next line; anything else is another record
      while (bytes_->sgetc() == ' ' || bytes_->sgetc() == '\t') bytes_->sbumpc();
      if (bytes_->sgetc() == '"' || bytes_->sgetc() == '}') read_rest_of_object();
    }
    std::string_view text = line_;
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    return parse_ordered_json(text, position_.text(), options_.max_depth);
  }
  return std::nullopt;
}

MERIT_INLINE void JsonLinesReader::begin(bool may_be_array) {
  if (bytes_ != nullptr) return;
  bytes_ = in_->rdbuf();
  if (bytes_->sgetc() == int{gzip_first_byte}) {
    unpacked_ = gunzip(*bytes_, position_.file);
    bytes_ = unpacked_.get();
  }
  if (!may_be_array) return;
  // White space before the first record belongs to no line that is parsed.
  while (bytes_->sgetc() == ' ' || bytes_->sgetc() == '\t' || bytes_->sgetc() == '\r' ||
         bytes_->sgetc() == '\n') {
    lines_begun_ += bytes_->sbumpc() == '\n' ? 1 : 0;
  }
  if (bytes_->sgetc() == 0xEF) {  // a byte-order mark, or no JSON
    bytes_->sbumpc();
    for (const int expected : {0xBB, 0xBF}) {
      if (bytes_->sgetc() == expected) bytes_->sbumpc();
    }
    while (bytes_->sgetc() == ' ' || bytes_->sgetc() == '\t') bytes_->sbumpc();
  }
  if (bytes_->sgetc() != '[') return;
  bytes_->sbumpc();
  in_array_ = true;
  array_line_ = ++lines_begun_;
}

MERIT_INLINE int JsonLinesReader::take() {
  const auto c = bytes_->sbumpc();
  if (c == '\n') ++lines_begun_;
  return c;
}

MERIT_INLINE int JsonLinesReader::peek_past_space() {
  auto c = bytes_->sgetc();
  for (; c == ' ' || c == '\t' || c == '\r' || c == '\n'; c = bytes_->sgetc()) take();
  return c;
}

MERIT_INLINE std::optional<OrderedJson> JsonLinesReader::next_element() {
  using Traits = std::istream::traits_type;
  if (array_ended_) return std::nullopt;
  const auto fail = [&](std::string_view found, std::string_view expected) {
    array_ended_ = true;
    position_.line = lines_begun_;
    position_.record = 0;
    detail::throw_found(position_, "the JSON array", found, expected);
  };
  int c = peek_past_space();
  if (!first_element_ && c == ',') {
    take();
    c = peek_past_space();
    if (c == ']') fail("a comma behind the last element", "none, as JSON has it");
  } else if (!first_element_ && c != ']' && c != Traits::eof()) {
    fail("no comma between two elements", "one");
  }
  if (c == Traits::eof()) fail("the end of the file", "a ] that ends it");
  if (c == ']') {
    take();
    array_ended_ = true;
    if (peek_past_space() != Traits::eof()) fail("more behind its end", "one array alone");
    return std::nullopt;
  }
  first_element_ = false;
  // The line says which it is, unless the element before it, or the array, begins there, too.
  ++elements_begun_;
  const bool alone = lines_begun_ != (elements_begun_ == 1 ? array_line_ : position_.line);
  position_.line = lines_begun_;
  position_.record = alone ? 0 : elements_begun_;
  line_.clear();
  detail::JsonDepth depth;
  bool inside = true;
  bool too_long = false;
  Index skipped = 0;
  while (inside) {
    c = bytes_->sgetc();
    if (c == Traits::eof())
      fail("the end of the file within an element", "a whole element and a ] behind it");
    // A number, or what is no JSON, ends where the next element or the end of the array begins.
    if (depth.depth == 0 && !depth.in_string && !line_.empty() && (c == ',' || c == ']')) break;
    take();
    depth.step(Traits::to_char_type(c));
    too_long |= line_.size() >= options_.max_line_bytes;
    if (too_long && ++skipped > options_.most_skipped) refuse_endless();
    if (!too_long || line_.empty()) line_.push_back(Traits::to_char_type(c));
    inside = !(depth.depth == 0 && !depth.in_string && (c == '}' || c == ']' || c == '"'));
  }
  if (too_long) {
    detail::throw_found(position_, "record",
                        concat("an element of more than ", options_.max_line_bytes, " bytes"),
                        "a shorter one");
  }
  return parse_ordered_json(line_, position_.text(), options_.max_depth);
}

MERIT_INLINE void JsonLinesReader::read_rest_of_object() {
  const SourcePosition at = position_;
  std::string object = line_;
  detail::JsonDepth depth;
  for (const char c : object) depth.step(c);
  while (depth.depth != 0) {
    const bool more = read_line();
    position_ = at;
    if (!more) detail::throw_found(at, "record", "an object that does not end", "a } that ends it");
    if (object.size() + line_.size() >= options_.max_line_bytes) {
      detail::throw_found(at, "record", concat("an object of more than ", options_.max_line_bytes, " bytes"),
                          "a shorter one");
    }
    object += '\n';
    for (const char c : line_) depth.step(c);
    object += line_;
  }
  line_ = std::move(object);
}

[[noreturn]] MERIT_INLINE void JsonLinesReader::refuse_endless() const {
  throw IoError(concat(position_.text(), position_.record == 0 ? ": record" : "", ": found no end within ",
                       options_.max_line_bytes + options_.most_skipped,
                       " bytes, expected a file of records"));
}

MERIT_INLINE void JsonLinesReader::skip_rest_of_line() {
  using Traits = std::istream::traits_type;
  for (Index skipped = 0;; ++skipped) {
    const auto c = bytes_->sbumpc();
    if (c == Traits::eof() || c == '\n') break;
    if (skipped == options_.most_skipped) refuse_endless();
  }
  rest_of_long_line_ = false;
}

MERIT_INLINE bool JsonLinesReader::read_line() {
  using Traits = std::istream::traits_type;
  line_.clear();
  std::streambuf& bytes = *bytes_;
  try {
    if (rest_of_long_line_) skip_rest_of_line();
    auto c = bytes.sbumpc();
    if (c == Traits::eof()) return false;
    position_.line = ++lines_begun_;
    for (; c != Traits::eof() && c != '\n'; c = bytes.sbumpc()) {
      if (line_.size() == options_.max_line_bytes) {
        rest_of_long_line_ = true;  // not read now: it may have no end
        detail::throw_found(position_, "record",
                            concat("a line of more than ", options_.max_line_bytes, " bytes"),
                            "a shorter one");
      }
      line_.push_back(Traits::to_char_type(c));
    }
  } catch (const std::ios_base::failure&) {
    throw IoError(concat(position_.file, ": reading failed after line ", position_.line));
  }
  return true;
}

}  // namespace MERIT_ABI
}  // namespace merit
