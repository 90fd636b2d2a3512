// Files of records of any kind to the examples of a set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "merit/records/on_error.hpp"
#include "merit/records/record.hpp"
#include "merit/records/record_source.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"
#include "merit/tokens/data_counts.hpp"
#include "merit/tokens/tokenize_options.hpp"
#include "merit/train/sampling.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What an evaluation wants to know of an example besides its tokens.
struct ExampleNote {
  std::string prompt = {};  // as a reader is shown it, ids as numbers; empty where there is none
  // What is the same for the records of one prompt alone, and without a prompt for those of the same completions
  // (records/split_key.hpp). Each record of vectors has its own: its place in its file.
  std::string split_key = {};
  // The completions, chosen before rejected; of a steps record its steps; of a completion that is scored by
  // steps the whole and then those.
  std::vector<std::string> texts = {};
  std::string subset = {};
  SourcePosition source = {};
};

/// The examples of one or more files of one kind.
struct RecordSet {
  RecordKind kind = RecordKind::preference;
  Examples examples = {};
  std::shared_ptr<const StoredExampleSet> stored = nullptr;  // in their place: RecordSetOptions::store
  std::vector<ExampleNote> notes = {};                       // one an example, if they were asked for
  std::vector<SetPart> parts =
      {};  // the files, where one says how often an epoch visits it: TrainOptions::parts
  // How many records each subset had before any was dropped, where a field names them.
  std::map<std::string, Index> subsets = {};
  DataCounts counts = {};
  // Those that could not be read, where they do not end the reading. Of a split they are on the side that is kept, as
  // nobody knows on which they would be.
  UnreadRecords unread = {};
  std::string files = {};  // their names, for errors and reports
  // What a user should know of the files: layouts, rows left out, fields and records not read.
  std::vector<std::string> remarks = {};

  Index size() const {
    if (!stored) return size_of(examples);
    return std::visit([](const auto& list) { return list.size(); }, *stored);
  }

  /// What became of every record, those that could not be read among them, in one sentence.
  std::string account() const { return counts.sentence(unread.count()); }
};

/// Calls f(example) for each example of a set, held or stored.
template <class F>
void for_each_example(const RecordSet& set, const F& f) {
  if (set.stored) {
    std::visit(
        [&](const auto& list) {
          for (Index i = 0; i < list.size(); ++i) f(list.at(i));
        },
        *set.stored);
  } else {
    std::visit(
        [&](const auto& list) {
          for (const auto& example : list) f(example);
        },
        set.examples);
  }
}

/// Which side of a split by prompts is read.
enum class SplitSide { all, kept, held_out };

/// How records are read for a model.
struct RecordSetOptions {
  RecordKind kind = RecordKind::preference;
  TokenizeOptions tokenize = {};
  bool wants_features = false;
  bool wants_steps = false;  // the model scores steps: completions are split at its separator
  bool notes = false;
  std::string subset_field = {};
  bool margins = true;  // false: the margin of every pair is 0
  // Examples go to a file beside this path and not into memory, to be trained on: only `size()` and `for_each_example` know
  // of them. Empty: they are held.
  std::filesystem::path store = {};
  Index attributes = 0;  // how many ratings a completion must have; 0: any number
  RecordSourceOptions source = {};
  SplitSide side = SplitSide::all;
  double held_out = 0;  // the share of prompts that is held out, where there is a side
  std::uint64_t split_seed = 0;
  // Called after each record with how many were read of all files, those that are not used among them.
  std::function<void(Index)> on_record = {};
};

// Files are as weighted_file() has them: "a.jsonl:0.3" is a.jsonl with every weight times 0.3, and of "a.jsonl:epochs=0.5" an
// epoch of a training run visits one half.

/// Throws DataError for a pipe among files that are read more than once.
void require_no_pipe(const std::vector<std::string>& files);

/// Reads files, one record at a time. Throws DataError also when nothing is left to use.
RecordSet read_record_set(const std::vector<std::string>& files, const AnyTokenizer& tokenizer,
                          const RecordSetOptions& options);

/// The same options with the parts of a set, where it has any.
TrainOptions with_parts_of(const RecordSet& set, TrainOptions options);

/// Throws DataError when no record of a set prefers a completion, so that there is nothing to learn or to
/// judge. `what` says for what they were to be used.
void require_preferences(const RecordSet& set, const std::string& what);

/// The margin function of rankings or ratings, by name; nothing for none. Throws ConfigError.
RankingMargin ranking_margin(const std::string& name, RecordKind kind);

/// Sets every margin of a preference set to 0.
void remove_margins(RecordSet& set);
/// Makes the turns of each conversation with ranked replies one example. Where any are joined the notes, which are
/// of single records, are dropped: each conversation is known by itself.
void join_conversations(RecordSet& set);

/// The width of the vectors in the first record of a file, which must have some.
Index feature_width_in(const std::string& file, RecordKind kind, const RecordSourceOptions& source = {});

/// How many ratings the first record of a file of ratings gives each completion; 1 where there is none.
Index attributes_in(const std::string& file, const RecordSourceOptions& source = {});

/// What numbers among the step labels of these files mean.
StepScale step_scale_in(const std::vector<std::string>& files, const RecordSourceOptions& source = {});

/// A string, or a conversation as text.
std::string plain_text(const std::optional<TextOrMessages>& text);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/record_set_body.hpp"
#endif
