// Scores completions with a saved model of any kind: one text from the command line, a file, or a pipe as it
// comes. Or puts the completions of a prompt in order.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <istream>
#include <optional>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include "command_line/line_input.hpp"
#include "command_line/open_flags.hpp"
#include "command_line/reading_flags.hpp"
#include "command_line/source_flags.hpp"
#include "merit/core/visible.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/record_source.hpp"
#include "merit/records/unread_fields.hpp"
#include "merit/run/read_saved_model.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/run/record_to_score.hpp"
#include "merit/run/spelled_number.hpp"
#include "merit/train/progress.hpp"

namespace {

using merit::Index;
using merit::Json;
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
};

// ---- Scoring, writing ---

/// A model, or its base with one of several adapters.
struct Judge {
  std::string adapter;  // empty: there is but one
  const merit::SavedModel& saved;
  merit::Reading reading;
};

/// Collects records, scores them together, writes a line for each in their order, of several judges one after another.
class Scorer {
 public:
  Scorer(merit::AnyModel& model, const std::vector<Judge>& judges, const Options& options)
      : model_(model),
        judges_(judges),
        options_(options),
        rank_cut_(merit::value_from_name<merit::RankCut>("--rank-cut", options.rank_cut)),
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
  Index read() const { return written_ + records_.front().waiting(); }

  /// Scores and writes everything that waits.
  void flush() {
    std::vector<std::vector<merit::RecordScores>> all;
    for (Index n = 0; n < judges_.size(); ++n) {
      if (judges_.size() > 1 && records_[n].waiting() != 0) model_.use_adapter(judges_[n].adapter);
      all.push_back(records_[n].flush());
    }
    for (Index i = 0; i < all.front().size(); ++i, ++written_) {
      for (Index n = 0; n < judges_.size(); ++n)
        output_.line(options_.json ? json_line(judges_[n], all[n][i]) : plain_line(judges_[n], all[n][i]));
    }
    output_.flush();
  }

 private:
  /// Said once, where there are strings.
  void note_strings() {
    if (!note_.empty()) std::fprintf(stderr, "%s: %s\n", name, merit::visible(note_).c_str());
    note_.clear();
  }

  using Form = merit::RecordScores::Form;
  using Scored = merit::CompletionScore;

  /// A reward as short as the model's own number, anything computed from it as a double.
  static std::string number(const merit::Reading& reading, double score) {
    const bool raw = !reading.has_rows() && !reading.standardised && !reading.calibrated;
    return raw ? merit::shortest(static_cast<float>(score)) : merit::shortest(score);
  }

  std::string plain_line(const Judge& judge, const merit::RecordScores& record) const {
    std::string text = judge.adapter;
    const auto put = [&](const std::string& item) { text += (text.empty() ? "" : "\t") + item; };
    if (!record.error.empty() || !record.dropped.empty()) {
      put(record.error.empty() ? "dropped: " + record.dropped : "error: " + record.error);
      return text;
    }
    if (options_.rerank) {
      for (const Index i : record.order(rank_cut_)) put(std::to_string(i));
      for (Index i = 0; i < record.completions.size(); ++i) {  // behind the order, with the reason
        const std::string& reason = record.completions[i].dropped;
        if (!reason.empty()) put(std::to_string(i) + " dropped: " + reason);
      }
    } else {
      for (const Scored& one : record.completions) {
        put(one.dropped.empty() ? number(judge.reading, one.score) : "dropped: " + one.dropped);
      }
      if (record.first_better) put(merit::shortest(*record.first_better));
    }
    return text;
  }

  static std::string quoted(const std::string& text) {
    return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  }

  /// Written by hand so that a score keeps its shortest text.
  std::string json_line(const Judge& judge, const merit::RecordScores& record) const {
    std::string text =
        "{\"index\": " + std::to_string(written_) + ", \"line\": " + std::to_string(record.source.line);
    if (!judge.adapter.empty()) text += ", \"adapter\": " + quoted(judge.adapter);
    if (!record.error.empty()) return text + ", \"error\": " + quoted(record.error) + '}';
    const auto list = [](const auto& items, const auto& write) {
      std::string inside;
      for (const auto& item : items) inside += (inside.empty() ? "" : ", ") + write(item);
      return "[" + inside + "]";
    };
    const auto score_of = [&](const Scored& one) {
      return one.dropped.empty() ? number(judge.reading, one.score) : std::string("null");
    };
    const auto rows_of = [&](const Scored& one) {
      return list(one.rows, [](double value) { return merit::shortest(value); });
    };
    const bool scores = record.dropped.empty();
    const auto put = [&](const std::string& field, const std::string& value) {
      text += ", \"" + field + "\": " + (scores ? value : "null");
    };
    const std::vector<Scored>& scored = record.completions;
    if (record.form == Form::several) {
      put("scores", scores ? list(scored, score_of) : "");
      if (options_.rows) put("rows", scores ? list(scored, rows_of) : "");
      if (options_.rerank) {
        put("order", scores ? list(record.order(rank_cut_), [](Index i) { return std::to_string(i); }) : "");
        put("ranks", scores ? list(record.ranks(rank_cut_),
                                   [](const std::optional<Index>& rank) {
                                     return rank ? std::to_string(*rank) : std::string("null");
                                   })
                            : "");
      }
    } else {
      const bool pair = record.form != Form::one;
      const std::vector<std::string> fields =
          record.form == Form::pair     ? std::vector<std::string>{"chosen", "rejected"}
          : record.form == Form::judged ? std::vector<std::string>{"response_a", "response_b"}
                                        : std::vector<std::string>{"score"};
      for (Index i = 0; i < fields.size(); ++i) put(fields[i], scores ? score_of(scored[i]) : "");
      if (record.first_better) put(fields[0] + "_better", merit::shortest(*record.first_better));
      for (Index i = 0; options_.rows && i < fields.size(); ++i) {
        put(pair ? fields[i] + "_rows" : "rows", scores ? rows_of(scored[i]) : "");
      }
    }
    if (!scores) return text + ", \"dropped\": " + quoted(record.dropped) + '}';
    put_each(scored, record.form == Form::one, text);
    return text + '}';
  }

  /// What is not so of a completion that was read whole: a value, or for several a list of one each.
  static void put_each(const std::vector<Scored>& scored, bool one, std::string& text) {
    const auto put = [&](const char* field, const auto& is_so, const auto& write) {
      if (std::none_of(scored.begin(), scored.end(), is_so)) return;
      std::string values;
      for (const Scored& each : scored) values += (values.empty() ? "" : ", ") + std::string(write(each));
      text += std::string(", \"") + field + "\": " + (one ? values : "[" + values + "]");
    };
    const auto is_cut = [](const Scored& each) { return each.cut; };
    const auto lost_steps = [](const Scored& each) { return each.cut && each.rows_of != 0; };
    put("cut", is_cut, [](const Scored& each) { return each.cut ? "true" : "false"; });
    put("rows_judged", lost_steps, [](const Scored& each) { return std::to_string(each.rows.size()); });
    put("rows_of", lost_steps, [](const Scored& each) { return std::to_string(each.rows_of); });
    put(
        "dropped", [](const Scored& each) { return !each.dropped.empty(); },
        [](const Scored& each) { return each.dropped.empty() ? std::string("null") : quoted(each.dropped); });
  }

  merit::AnyModel& model_;
  const std::vector<Judge>& judges_;
  std::vector<merit::RecordScorer> records_;  // by judge
  const Options& options_;
  merit::RankCut rank_cut_;
  merit::UnreadRecords unread_;
  Output output_;
  std::string note_;
  Index written_ = 0;
};

// ---- Reading ---

/// Reads one record and gives it to the scorer; false at the end of the input.
bool read_record(merit::RecordSource& reader, const Options& options, merit::OnError on_error, Scorer& scorer,
                 merit::UnreadFields& unread) {
  try {
    const auto object = reader.next();
    if (!object) return false;
    unread.add_to_score(*object);
    std::visit([&](const auto& record) { scorer.add(record); },
               merit::parse_record_to_score(*object, reader.position(), options.rerank));
  } catch (const merit::DataError& error) {
    if (on_error == merit::OnError::stop) throw;
    scorer.add_error(reader.position(), error.what());
  }
  return true;
}

void score_stream(Scorer& scorer, const Options& options) {
  const auto on_error = merit::value_from_name<merit::OnError>("--on-error", options.on_error);
  programs::LineFile input(options.file);
  merit::RecordSource reader(input.stream, input.name, programs::source_options(options.source));

  merit::UnreadFields unread;

  // Shown where it does not mix with the scores.
  const bool shown = input.file.is_open() && ::isatty(STDOUT_FILENO) != 1;
  const Index lines = shown ? programs::count_lines(input.descriptor()) : 0;
  std::optional<merit::Progress> progress;
  if (lines > 1) progress.emplace("scoring", lines - 1);
  try {
    while (true) {
      if (scorer.full() || !input.bytes.line_ready()) {
        scorer.flush();
        if (progress) progress->update(std::min(scorer.read(), lines - 2), "");
      }
      if (!read_record(reader, options, on_error, scorer, unread)) break;
    }
  } catch (const merit::Error&) {
    if (progress) progress->finish();
    scorer.flush();  // what came before the error is answered
    throw;
  }
  scorer.flush();
  if (progress) progress->update(lines - 1);
  programs::say_remarks(reader.remarks(), name);
  programs::say_remarks(reader.left_out_sentences(), name);
  programs::say_remarks(unread.sentences(), name);
  programs::say_remarks(scorer.unread().lines(), name);
  reader.require_options_used();
}

/// "NAME=DIR", or a folder alone, whose own name is the adapter's.
merit::AdapterPlace adapter_from(const std::string& text) {
  std::error_code ignored;
  const auto equals = text.find('=');
  if (equals != text.npos && !std::filesystem::exists(text, ignored))
    return {text.substr(0, equals), text.substr(equals + 1)};
  std::filesystem::path folder = std::filesystem::path(text).lexically_normal();
  if (folder.filename().empty()) folder = folder.parent_path();
  return {folder.filename().string(), text};
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
      "code 1, or stop");
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
  if (options.batch_tokens == 0) throw merit::ConfigError("--batch-tokens is 0, expected at least 1");

  merit::OpenOptions open = programs::open_options(line, options.open);
  for (const std::string& adapter : options.adapters) open.adapters.push_back(adapter_from(adapter));
  const merit::SavedModel saved = programs::read_usable(options.model, open, name);
  const std::vector<merit::SavedModel> others = merit::read_other_adapters(saved, open);
  std::vector<Judge> judges;
  const auto judge = [&](const merit::SavedModel& one) {
    judges.push_back({others.empty() ? "" : saved.adapter_places[judges.size()].name, one,
                      programs::reading_of(options.reading, one, line, {"--threshold", "--rows"})});
  };
  judge(saved);
  for (const merit::SavedModel& other : others) judge(other);
  const auto model = programs::load_usable(saved, open.backend, options.threads, name);
  Scorer scorer(*model, judges, options);
  if (!one_text) {
    score_stream(scorer, options);
    return scorer.unread().count() == 0 ? 0 : 1;
  }
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
