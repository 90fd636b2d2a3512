// JSON lines: one JSON object a line, read one at a time, with file and line in every error.
#pragma once

#include <filesystem>
#include <fstream>
#include <istream>
#include <memory>
#include <optional>
#include <streambuf>
#include <string>
#include <string_view>
#include <utility>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Limits that keep a wrong file from taking the machine with it.
struct JsonLinesOptions {
  Index max_line_bytes = Index{64} << 20;
  Index max_depth = json_depth_limit;  // of arrays and objects in one another; the record itself is the first
  Index most_skipped =
      Index{1} << 30;  // bytes passed over behind those, to look for the end of a line too long:
                       // a device may have none
};

/// Reads a file or stream of JSON lines, or one JSON array of objects. Holds one line or element at a time. Lines
/// of white space are skipped, though counted; a byte-order mark, carriage returns before line feeds, a last line
/// without its line feed, an object that begins with { on a line of its own and goes on over the next ones, and all
/// of it packed by gzip are accepted.
///
/// Errors are DataError, "file:line: …", of one of several elements in a line
/// "file:line: record 2: …"; after one, next() goes on with the following line or element. A line whose
/// end is nowhere to be found is an IoError, as nothing can follow it, and so is a file in another format.
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

  /// The value of the next line, of any kind, or nothing at the end.
  std::optional<OrderedJson> next_value();

  /// Where the last object, or the last error, was.
  const SourcePosition& position() const { return position_; }

 private:
  /// Fills line_ with the next line without its line feed; a carriage return is white space to JSON. False at
  /// the end of the input.
  bool read_line();
  /// Takes the rest of a line that was too long.
  void skip_rest_of_line();
  [[noreturn]] void refuse_endless() const;

  /// Before the first byte is taken: unpacks gzip, and sees an array where there may be one.
  void begin(bool may_be_array);
  /// The next element of the array.
  std::optional<OrderedJson> next_element();
  /// Appends to line_ what is left of the object that it begins.
  void read_rest_of_object();
  /// The next byte that is no white space, not taken.
  int peek_past_space();
  int take();

  std::unique_ptr<std::ifstream> file_;  // when the reader opened it
  std::istream* in_ = nullptr;
  std::unique_ptr<std::streambuf> unpacked_;  // of gzip
  std::streambuf* bytes_ = nullptr;           // once reading has begun
  std::string line_;
  bool first_line_ = true;
  bool in_array_ = false;
  bool array_ended_ = false;
  bool first_element_ = true;
  Index lines_begun_ = 0;
  Index elements_begun_ = 0;  // of the array
  Index array_line_ = 0;
  bool rest_of_long_line_ = false;
  SourcePosition position_;
  JsonLinesOptions options_;
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/records/json_lines_body.hpp"
#endif
