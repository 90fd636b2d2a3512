// What files of records hold: their counts, lengths, duplicates, overlaps and balance, and the records in our own form.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_source.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Lengths over the texts of a file.
struct TextLengths {
  Index texts = 0;
  Index bytes = 0;  // of all
  Index longest = 0;

  void add(Index length) {
    ++texts;
    bytes += length;
    longest = length > longest ? length : longest;
  }
  double mean() const { return texts == 0 ? 0 : static_cast<double>(bytes) / static_cast<double>(texts); }
};

/// What one file is and holds.
struct FileReport {
  std::string file = {};
  std::string layout = {};  // of a published set; empty: our own fields
  RecordKind kind = RecordKind::preference;
  // Rows are what a file holds one of behind another; of published sets one may give several records, or several one.
  // read is the sum of kept, bad, not_selected and left_out.
  Index read = 0;
  Index kept = 0;                // rows of which there are records
  Index records = 0;             // of those
  Index bad = 0;                 // rows that cannot be read
  std::string first_error = {};  // of them
  Index prompts = 0;             // different ones; a record without a prompt counts by its completions
  Index duplicates = 0;          // records that are the same, in every field, as one before them
  TextLengths prompt = {}, completion = {};   // in bytes; conversations by the plain template
  std::map<std::string, Index> balance = {};  // label or verdict to how many
  std::map<std::string, Index> left_out = {};
  Index not_selected = 0;
  std::vector<std::string> remarks = {};
};

/// Two files and the prompts that both have.
struct FileOverlap {
  std::string first, second;
  Index prompts = 0;
};

struct DataReport {
  std::vector<FileReport> files;
  std::vector<FileOverlap> overlaps;  // of each pair of files, where there are some
};

/// Reads the files, each of one kind, and gives each record in our own form to `each`, if there is one. Throws
/// IoError, ConfigError, and DataError for a file without a record or whose first one is of no kind.
DataReport report_on_data(const std::vector<std::string>& files, const RecordSourceOptions& source,
                          const std::function<void(const OrderedJson&)>& each = {});

std::string text_of(const DataReport& report);
Json to_json(const DataReport& report);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/data_report_body.hpp"
#endif
