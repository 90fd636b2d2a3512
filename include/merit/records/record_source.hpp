// The records of one file in whatever form it is published: JSON lines, an array or a table, packed or not, in our
// fields, under other names, or in the layout of a published set.
#pragma once

#include <filesystem>
#include <fstream>
#include <istream>
#include <map>
#include <memory>
#include <optional>
#include <streambuf>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/json_lines.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/published_sets.hpp"
#include "merit/records/record.hpp"
#include "merit/records/table_reader.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A name and what goes with it: a field and its new name, or a field and the value that it must have.
using NamePair = std::pair<std::string, std::string>;

/// "question=prompt" as its two parts. Throws ConfigError that names the option for anything else.
NamePair name_pair(const std::string& text, const std::string& option);

/// Throws ConfigError: no record of `files` has the field that is to be renamed.
[[noreturn]] void refuse_rename(const NamePair& rename, const std::string& files);

/// How the records of a file are taken.
struct RecordSourceOptions {
  // Fields, of any kind of record, before anything else is looked at, all of the row as it was; what had the new name
  // is dropped, and counted.
  std::vector<NamePair> rename = {};
  // Only rows in which each of these fields has one of the values given for it.
  std::vector<NamePair> select = {};
  Index limit = 0;                   // only so many records, the first; 0: all
  bool margin_of_scores = false;     // score_chosen − score_rejected, or preference_strength, is the margin
  OnError on_error = OnError::stop;  // what whoever reads does after an error: it ends there, or goes on
  // Whoever reads trains, and visits a file as often as it says (WeightedFile): otherwise a file that says so is refused.
  bool trains = false;
  std::vector<std::string> ratings = {};  // which ratings of a published set count; empty: as its layout says
};

/// A file of records, what its records weigh, and how often an epoch of a training run visits them.
struct WeightedFile {
  std::string path;
  double weight = 1;
  double epochs = 1;  // SetPart (train/sampling.hpp)
};

/// "a.jsonl:0.3", or "a.jsonl:weight=0.3", is a.jsonl with every weight times 0.3; "a.jsonl:epochs=0.5", of which an epoch
/// visits one half; "a.jsonl:weight=0.3,epochs=2" both. Where a file has that name itself it is that file. Throws
/// ConfigError for an empty path and for numbers that are none.
WeightedFile weighted_file(const std::string& text);

/// Throws ConfigError where a file that is not trained on says how often an epoch visits it.
void require_no_epochs(const std::string& file);

/// Reads the records of a file one at a time, as objects in our own fields (README.md).
///
/// Errors are DataError, "file:line: …"; after one, next() goes on with what follows.
class RecordSource {
 public:
  /// Reads a file as weighted_file() has it, each record once. Throws IoError if it cannot be opened.
  explicit RecordSource(const std::string& file, RecordSourceOptions options = {},
                        JsonLinesOptions lines = {});

  /// Reads `in`, which must outlive this; `name` stands for the file in errors, and says whether it is a table.
  RecordSource(std::istream& in, std::string name, RecordSourceOptions options = {},
               JsonLinesOptions lines = {});

  /// The next record, or nothing at the end.
  std::optional<OrderedJson> next();

  /// Where the last record, or the last error, was.
  const SourcePosition& position() const { return position_; }

  /// The layout of the file, once its first row was read; nothing for our own.
  std::optional<PublishedSet> layout() const {
    return published_ ? std::optional(published_->set()) : std::nullopt;
  }
  /// Rows of a published set that give no record, by reason.
  const std::map<std::string, Index>& left_out() const;
  /// The same as sentences: "3 rows left out: …".
  std::vector<std::string> left_out_sentences() const;
  /// In how many rows each field of options.rename was there.
  const std::vector<Index>& renamed() const { return renamed_; }
  /// Records given so far, and those of them for which options.margin_of_scores found neither a margin nor scores.
  Index given() const { return given_; }
  Index without_scores() const { return without_scores_; }
  /// A sentence for each thing that was done to records and that a user should know, but for rows left out.
  std::vector<std::string> remarks() const;
  /// That there is no record, and what became of the rows; once the end was reached.
  std::string no_record() const;
  /// How many rows options.select left out.
  Index not_selected() const { return not_selected_; }
  /// Rows taken so far, those that could not be read among them.
  Index rows() const { return rows_; }
  /// Throws ConfigError for a field of options.rename that no row had, DataError where options.select left out all;
  /// once the end was reached.
  void require_options_used() const;

 private:
  void read_table(std::istream& in, char separator);
  std::optional<OrderedJson> next_row();
  void rename(OrderedJson& row);
  void set_margin(OrderedJson& record);
  void set_weight(OrderedJson& record) const;
  bool is_selected(const OrderedJson& row) const;
  OrderedJson finished(OrderedJson record);

  RecordSourceOptions options_;
  double weight_ = 1;
  SourcePosition position_;
  std::unique_ptr<JsonLinesReader> lines_;
  std::unique_ptr<std::ifstream> file_;  // of a table
  std::unique_ptr<std::streambuf> unpacked_;
  std::unique_ptr<TableReader> table_;
  bool layout_known_ = false;
  std::optional<PublishedRows> published_;
  std::vector<Index> renamed_;
  std::vector<Index> replaced_;  // how often each of options_.rename dropped what had the new name
  Index without_scores_ = 0;
  Index not_selected_ = 0;
  Index given_ = 0;
  Index rows_ = 0;
  bool ended_ = false;
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/records/record_source_body.hpp"
#endif
