// The bodies of jsonl.hpp.
#pragma once

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/records/parse_record.hpp"
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

MERIT_INLINE std::optional<OrderedJson> JsonLinesReader::next() {
  std::optional<OrderedJson> object = next_value();
  if (object && !object->is_object()) {
    detail::throw_found(position_, "record", detail::describe(*object), "one JSON object");
  }
  return object;
}

MERIT_INLINE std::optional<OrderedJson> JsonLinesReader::next_value() {
  while (read_line()) {
    std::string_view line = line_;
    if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    if (line.find_first_not_of(" \t\r\n") == std::string_view::npos) continue;
    return parse_ordered_json(line, position_.text(), options_.max_depth);
  }
  return std::nullopt;
}

MERIT_INLINE bool JsonLinesReader::read_line() {
  using Traits = std::istream::traits_type;
  line_.clear();
  std::streambuf& bytes = *in_->rdbuf();
  try {
    auto c = bytes.sbumpc();
    while (rest_of_long_line_ && c != Traits::eof()) {
      rest_of_long_line_ = c != '\n';
      c = bytes.sbumpc();
    }
    if (c == Traits::eof()) return false;
    ++position_.line;
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
