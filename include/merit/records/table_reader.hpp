// Tables of comma- or tab-separated values with a header, a row at a time.
#pragma once

#include <optional>
#include <streambuf>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What separates the cells of a file of that name: a comma for .csv, a tab for .tsv, each also with .gz behind it.
/// Nothing: by its name it is no table.
std::optional<char> table_separator(std::string_view file_name);

/// Rows as objects of strings, by the header's names; a cell that is empty is an empty string. Cells may be in quotes, in
/// which separators and line ends are text and a quote is written twice (RFC 4180). Holds one row at a time.
///
/// Errors are DataError, "file:line: …"; after one, next() goes on with the following row. A header that is none and a
/// row that does not end are an IoError, as nothing that follows could be read.
class TableReader {
 public:
  /// `bytes` must outlive the reader; `name` stands for the file in errors.
  TableReader(std::streambuf& bytes, std::string name, char separator)
      : bytes_(bytes), position_{std::move(name), 0}, separator_(separator) {}

  /// The next row, or nothing at the end. Throws for a header with a name twice, a row with another number of
  /// cells, and a quote that does not end.
  std::optional<OrderedJson> next();

  /// Where the last row, or the last error, began.
  const SourcePosition& position() const { return position_; }

 private:
  void read_header();
  /// The cells of the next row that is not empty; none at the end.
  std::vector<std::string> cells();

  std::streambuf& bytes_;
  SourcePosition position_;
  char separator_;
  Index lines_ = 0;  // ended so far
  std::vector<std::string> header_;
};

/// Gives the cells of a row the types that records have: numbers, true and false, lists and conversations where a
/// field of that name has them, so that a prompt "42" stays text. An empty cell is an empty text, and of a field that
/// is no text no field at all. `at` is the row's place; throws DataError for lists as Python writes them, and for a
/// conversation that is no JSON.
void type_cells(OrderedJson& row, const SourcePosition& at);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/records/table_reader_body.hpp"
#endif
