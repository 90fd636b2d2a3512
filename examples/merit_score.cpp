// Scores completions with a saved model of any kind: one text from the command line, a file, or a pipe as it
// comes. Or puts the completions of a prompt in order.
#include <algorithm>
#include <cmath>
#include <istream>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "command_line/line_input.hpp"
#include "command_line/model_files.hpp"
#include "command_line/open_flags.hpp"
#include "command_line/reading_flags.hpp"
#include "command_line/score_lines.hpp"
#include "command_line/scores_file.hpp"
#include "command_line/source_flags.hpp"
#include "merit/core/spelled_number.hpp"
#include "merit/core/version.hpp"
#include "merit/core/visible.hpp"
#include "merit/jobs/output_place.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/record_source.hpp"
#include "merit/records/shard.hpp"
#include "merit/records/unread_fields.hpp"
#include "merit/run/read_saved_model.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/run/record_to_score.hpp"
#include "merit/train/progress.hpp"

namespace {

using merit::Index;
using programs::Judge;
using programs::Output;

constexpr const char* name = "merit_score";

struct Options {
  std::string model;
  std::vector<std::string> adapters;
  std::string file = "-";
  std::string prompt;
  std::string completion;
  programs::OpenFlags open;
  programs::SourceFlags source;
  programs::ReadingFlags reading;
  Index batch_tokens = 8192;
  std::uint16_t threads = 0;
  bool json = false;
  bool rows = false;
  bool rerank = false;
  std::string rank_cut = "last";
  std::string on_error = "skip";
  std::string max_errors = "0";
  std::string shard = "1/1";
  std::string out;
  bool resume = false;
  bool overwrite = false;
};

// ---- Scoring ---

/// Collects records, scores them together, writes a line for each in their order, of several judges one after another.
class Scorer {
 public:
  /// `file`: where lines go in place of the standard output, or nullptr. `written`: how many records of the shard have
  /// their lines there.
  Scorer(merit::AnyModel& model, const std::vector<Judge>& judges, const Options& options,
         const merit::Shard& shard = {}, programs::ScoresFile* file = nullptr, Index written = 0)
      : model_(model),
        judges_(judges),
        lines_{.json = options.json,
               .rows = options.rows,
               .rerank = options.rerank,
               .rank_cut = merit::value_from_name<merit::RankCut>("--rank-cut", options.rank_cut)},
        shard_(shard),
        file_(file),
        written_(written),
        note_(judges.front().saved.note_on_strings) {
    for (const Judge& judge : judges)
      records_.emplace_back(model, judge.saved, judge.reading, options.batch_tokens);
  }

  template <class Record>
  void add(const Record& record) {
    if (record.prompt && record.prompt->index() == 0) note_strings();
    for (merit::RecordScorer& records : records_) records.add(record);
  }
  /// A record that could not be read keeps its place.
  void add_error(const merit::SourcePosition& at, const std::string& error) {
    unread_.add(at, error);
    for (merit::RecordScorer& records : records_) records.add_error(at, error);
  }
  const merit::UnreadRecords& unread() const { return unread_; }
  bool full() const {
    return std::any_of(records_.begin(), records_.end(), [](const auto& records) { return records.full(); });
  }

  /// Scores and writes everything that waits.
  void flush() {
    std::vector<std::vector<merit::RecordScores>> all;
    for (Index n = 0; n < judges_.size(); ++n) {
      if (judges_.size() > 1 && records_[n].waiting() != 0) model_.use_adapter(judges_[n].adapter);
      all.push_back(records_[n].flush());
    }
    for (Index i = 0; i < all.front().size(); ++i, ++written_) {
      for (Index n = 0; n < judges_.size(); ++n)
        put_line(lines_.of(judges_[n], all[n][i], shard_.record(written_)));
    }
    file_ != nullptr ? file_->flush() : output_.flush();
  }

 private:
  void put_line(const std::string& text) { file_ != nullptr ? file_->line(text) : output_.line(text); }

  /// Said once, where there are strings.
  void note_strings() {
    if (!note_.empty()) std::fprintf(stderr, "%s: %s\n", name, merit::visible(note_).c_str());
    note_.clear();
  }

  merit::AnyModel& model_;
  const std::vector<Judge>& judges_;
  std::vector<merit::RecordScorer> records_;  // by judge
  programs::ScoreLines lines_;
  merit::Shard shard_;
  programs::ScoresFile* file_;
  Index written_ = 0;  // records
  merit::UnreadRecords unread_;
  Output output_;
  std::string note_;
};

// ---- Reading ---

/// The records of an input, of which a shard's go to the scorer.
class Records {
 public:
  Records(merit::RecordSource& source, const Options& options, const merit::Shard& shard)
      : source_(source),
        options_(options),
        on_error_(merit::value_from_name<merit::OnError>("--on-error", options.on_error)),
        shard_(shard) {}

  /// Reads one record and gives it to the scorer if it is the shard's; false at the end of the input.
  bool next(Scorer& scorer) {
    const bool own = shard_.has(read_);
    try {
      const auto object = source_.next();
      if (!object) return false;
      if (own) {
        unread_.add_to_score(*object);
        std::visit([&](const auto& record) { scorer.add(record); },
                   merit::parse_record_to_score(*object, source_.position(), options_.rerank));
      }
    } catch (const merit::DataError& error) {
      if (on_error_ == merit::OnError::stop) throw;
      if (own) scorer.add_error(source_.position(), error.what());
    }
    ++read_;
    return true;
  }

  /// Passes over the first records, whose lines are written.
  void pass_over(Index records) {
    for (; read_ < records; ++read_) {
      try {
        const auto object = source_.next();
        if (!object) return;
        if (shard_.has(read_)) unread_.add_to_score(*object);
      } catch (const merit::DataError&) {  // counted when it was met
      }
    }
  }

  /// Records read, those of other shards and those that cannot be read among them.
  Index read() const { return read_; }
  const merit::UnreadFields& unread() const { return unread_; }

 private:
  merit::RecordSource& source_;
  const Options& options_;
  merit::OnError on_error_;
  merit::Shard shard_;
  merit::UnreadFields unread_;
  Index read_ = 0;
};

/// Opens --out, for lines made of this input with this model and these options.
std::optional<programs::ScoresFile> open_scores_file(const Options& options,
                                                     const programs::CommandLine& line,
                                                     const merit::SavedModel& saved,
                                                     const std::optional<programs::LineFile>& input) {
  if (options.out.empty()) return std::nullopt;
  merit::OutputInputs inputs{.files = {options.file}, .folders = {saved.place.string(), saved.base.string()}};
  for (const merit::AdapterPlace& adapter : saved.adapter_places)
    inputs.folders.push_back(adapter.folder.string());
  merit::check_output("--out", options.out, inputs);

  merit::Json settings = line.settings();
  // What decides no line, and what is told from its bytes.
  for (const char* other : {"--help", "--version", "--model", "--base", "--threads", "--out", "--resume",
                            "--overwrite", "--on-error", "--max-errors"})
    settings.erase(other);
  const std::optional<Index> size = input->size();
  const merit::Json made_of = {
      {"program", {{"version", MERIT_VERSION}}},
      {"option", settings},
      {"input", {{"name", input->name}, {"size", size ? merit::Json(*size) : merit::Json()}}},
      {"file", programs::model_files(saved, options.open.tokenizer)}};
  return std::optional<programs::ScoresFile>(std::in_place, options.out, made_of, options.resume,
                                             options.overwrite);
}

/// 0 where as many records could be read as --max-errors asks for, else 1.
int exit_code(Index errors, Index records, const programs::CommandLine& line, const std::string& max_errors) {
  const double most = *programs::number_from<double>(max_errors);
  // A quotient: 29 of 100 are 0.29, and 0.29 times 100 are less than 29.
  if (errors == 0 || static_cast<double>(errors) / static_cast<double>(records) <= most) return 0;
  if (line.given("--max-errors")) {
    std::fprintf(stderr, "%s: %s\n", name,
                 merit::concat(errors, " of ", records, " records could not be read, more than the share of ",
                               max_errors, " that --max-errors allows")
                     .c_str());
  }
  return programs::failed;
}

int score_stream(merit::AnyModel& model, const std::vector<Judge>& judges, const Options& options,
                 const programs::CommandLine& line, programs::LineFile& input,
                 std::optional<programs::ScoresFile>& file) {
  const merit::Shard shard = merit::Shard::from(options.shard, "--shard");
  const programs::ScoresFile::Progress before =
      file && file->resumed() ? *file->resumed() : programs::ScoresFile::Progress{};
  if (file) input.bytes.count_bytes(before.input);
  merit::RecordSource source(input.stream, input.name, programs::source_options(options.source));
  Records records(source, options, shard);
  records.pass_over(before.records);
  input.bytes.require_same();
  if (file && !file->remark().empty()) programs::say_remarks({file->remark()}, name);
  if (file && file->resumed()) {
    programs::say_remarks({merit::concat(options.out, ": going on behind record ", before.records)}, name);
  }
  Scorer scorer(model, judges, options, shard, file ? &*file : nullptr, shard.count_of(before.records));
  const auto errors = [&] { return before.errors + scorer.unread().count(); };
  const auto flush = [&](bool last) {
    scorer.flush();
    if (file) file->batch_done({records.read(), errors(), input.bytes.taken()}, last);
  };

  // Shown where it does not mix with the scores.
  const bool shown = input.file.is_open() && (file || ::isatty(STDOUT_FILENO) != 1);
  const Index lines = shown ? programs::count_lines(input.descriptor()) : 0;
  std::optional<merit::Progress> progress;
  if (lines > 1) progress.emplace("scoring", lines - 1);
  try {
    while (true) {
      // A file is not waited for, and its batches do not depend on when records come.
      if (scorer.full() || (!file && !input.bytes.line_ready())) {
        flush(false);
        if (progress) progress->update(std::min(records.read(), lines - 2), "");
      }
      if (!records.next(scorer)) break;
    }
  } catch (const merit::Error&) {
    if (progress) progress->finish();
    scorer.flush();  // what came before the error is answered
    throw;
  }
  flush(true);
  if (progress) progress->update(lines - 1);
  programs::say_remarks(source.remarks(), name);
  programs::say_remarks(source.left_out_sentences(), name);
  programs::say_remarks(records.unread().sentences(), name);
  if (before.errors != 0) {
    programs::say_remarks({merit::concat(before.errors, before.errors == 1 ? " record" : " records",
                                         " left out before the interruption")},
                          name);
  }
  programs::say_remarks(scorer.unread().lines(), name);
  source.require_options_used();
  return exit_code(errors(), shard.count_of(records.read()), line, options.max_errors);
}

/// The options of scoring at scale, and what of them contradicts another.
void declare_scale(programs::CommandLine& line, Options& options) {
  line.text(
      "--out", options.out, "FILE",
      "write the scores there, and to FILE.state how far they are, for --resume; empty: the standard output");
  line.flag(
      "--resume", options.resume,
      "go on with --out where it was interrupted, however that was, or begin it; the same input, model and options "
      "are needed, but for --threads");
  line.flag("--overwrite", options.overwrite, "replace what --out holds");
  line.text(
      "--shard", options.shard, "I/N",
      "score every N-th record from the I-th on, I from 1: record k, from 0, belongs to shard k mod N + 1 alone; a "
      "record's index is that in the whole input");
  line.text("--max-errors", options.max_errors, "SHARE",
            "the exit code is 0 where at most this share of the records cannot be read, from 0 to 1",
            programs::is_probability);
}
void check_scale(const programs::CommandLine& line, const Options& options, bool one_text) {
  merit::Shard::from(options.shard, "--shard");
  for (const char* option : {"--resume", "--overwrite"}) {
    if (line.given(option) && options.out.empty())
      throw merit::ConfigError(std::string(option) + " is given without --out, the file that it is about");
  }
  if (options.resume && options.overwrite)
    throw merit::ConfigError("--resume and --overwrite contradict each other: give one of them");
  for (const char* option : {"--out", "--shard", "--max-errors"}) {
    if (one_text && line.given(option))
      throw merit::ConfigError("--completion and " + std::string(option) +
                               " contradict each other: one text is no stream");
  }
  if (line.given("--max-errors") && options.on_error == "stop")
    throw merit::ConfigError(
        "--max-errors and --on-error stop contradict each other: the first error ends it");
}

int run(int argc, char** argv) {
  programs::CommandLine line(
      name,
      "Scores completions with a saved reward model.\n\n"
      "Reads JSON lines: {\"prompt\": …, \"completion\": …}, preference records with \"chosen\" and\n"
      "\"rejected\", judged ones with \"response_a\" and \"response_b\", records with \"completions\" of "
      "one\n"
      "prompt, or steps with \"labels\". Writes a line for each, in order: the score; several with tabs\n"
      "between; \"dropped: …\" in place of one that has none, as it is too long for the model's truncation\n"
      "policy or empty; or \"error: …\" for a record that cannot be read. A model of\n"
      "tokens or steps gives one number for a completion by the aggregation of its card. Text becomes "
      "tokens\n"
      "as in training. From a pipe, what has come is answered before more is waited for.\n"
      "Exit codes: 0 done, 1 data or files, 2 options.\n");
  Options options;
  line.text("FILE", options.file, "FILE", "JSON lines, a JSON array or a table; - is the standard input");
  line.text("--model", options.model, "DIR|FILE", "folder of a model, or a GGUF file");
  line.texts(
      "--adapter", options.adapters, "NAME=DIR|DIR",
      "an adapter of --model, given once for each; with several each scores every record, and its name stands before "
      "the score, or in the field adapter",
      programs::Several::one_each);
  line.text("--prompt", options.prompt, "TEXT", "score one text: its prompt");
  line.text("--completion", options.completion, "TEXT", "score one text: its completion");
  line.flag("--json", options.json, "write JSON lines with index (from 0), line (from 1) and score");
  line.flag("--rows", options.rows,
            "also each token's or step's probability, or each state's value; with --json");
  line.flag(
      "--rerank", options.rerank,
      "of records with \"completions\", write their numbers (from 0), best first; behind them those without a score, with the reason");
  line.text("--rank-cut", options.rank_cut, "NAME",
            "where completions stand that were cut to the model's length: last, below those read whole, or "
            "as_scored; with --rerank");
  line.text(
      "--on-error", options.on_error, "NAME",
      "what a record that cannot be read does: skip, which writes an error in its place and ends with exit "
      "code 1 (but for --max-errors), or stop");
  declare_scale(line, options);
  programs::declare(line, options.reading, "");
  programs::declare(line, options.open);
  programs::declare(line, options.source);
  line.number("--batch-tokens", options.batch_tokens, "tokens scored at once, which bounds the memory");
  line.number("--threads", options.threads, "0: all; the scores do not depend on it");
  line.parse(argc, argv);
  if (options.model.empty())
    throw merit::ConfigError("--model is missing: the folder or GGUF file of the model to score with");
  const bool one_text = line.given("--completion");
  if (line.given("--prompt") && !one_text) {
    throw merit::ConfigError("--prompt is given without --completion, the text to score");
  }
  if (one_text && line.given("FILE")) {
    throw merit::ConfigError("--completion and FILE contradict each other: give one of them");
  }
  if (one_text && options.rerank) {
    throw merit::ConfigError("--completion and --rerank contradict each other: one completion has no order");
  }
  if (options.rows && !options.json)
    throw merit::ConfigError("--rows is given without --json, which has room for them");
  if (line.given("--rank-cut") && !options.rerank)
    throw merit::ConfigError("--rank-cut is given without --rerank, which puts completions in order");
  check_scale(line, options, one_text);
  if (options.batch_tokens == 0) throw merit::ConfigError("--batch-tokens is 0, expected at least 1");

  merit::OpenOptions open = programs::open_options(line, options.open);
  for (const std::string& adapter : options.adapters)
    open.adapters.push_back(programs::adapter_from(adapter));
  const merit::SavedModel saved = programs::read_usable(options.model, open, name);
  const std::vector<merit::SavedModel> others = merit::read_other_adapters(saved, open);
  std::vector<Judge> judges;
  const auto judge = [&](const merit::SavedModel& one) {
    judges.push_back({others.empty() ? "" : saved.adapter_places[judges.size()].name, one,
                      programs::reading_of(options.reading, one, line, {"--threshold", "--rows"})});
  };
  judge(saved);
  for (const merit::SavedModel& other : others) judge(other);
  // Before the weights: what may not be written is said at once.
  std::optional<programs::LineFile> input;
  if (!one_text) input.emplace(options.file);
  std::optional<programs::ScoresFile> file = open_scores_file(options, line, saved, input);
  const auto model = programs::load_usable(saved, open.backend, options.threads, name);
  if (input) return score_stream(*model, judges, options, line, *input, file);
  Scorer scorer(*model, judges, options);
  merit::CompletionRecord record;
  if (line.given("--prompt")) record.prompt = options.prompt;
  record.completion = options.completion;
  record.source = {"the command line", 1};
  scorer.add(record);
  scorer.flush();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, argv, [&] { return run(argc, argv); });
}
