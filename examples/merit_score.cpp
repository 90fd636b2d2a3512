// Scores completions with a saved model of any kind: one text from the command line, a file, or a pipe as it
// comes. Or puts the completions of a prompt in order.
#include <cmath>
#include <istream>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "merit/data/jsonl.hpp"
#include "merit/data/tokenize.hpp"
#include "merit/train/progress.hpp"
#include "support/line_input.hpp"
#include "support/program.hpp"
#include "support/saved_model.hpp"
#include "support/scores.hpp"

namespace {

using merit::Index;
using programs::Output;

constexpr const char* name = "merit_score";

struct Options {
  std::string model;
  std::string file = "-";
  std::string prompt;
  std::string completion;
  std::string tokenizer;
  std::string aggregation;
  std::string neutral = "good";
  Index last = 4;
  double threshold = 0.5;
  Index batch_tokens = 8192;
  std::uint16_t threads = 0;
  bool json = false;
  bool rows = false;
  bool normalised = false;
  bool rerank = false;
};

/// A record that waits for its batch. All of its completions are scored or none.
struct Entry {
  Index line = 0;
  enum class Form { one, pair, judged, several } form = Form::one;
  Index completions = 1;
  std::string dropped = {};  // why; empty: it is scored
};

/// What was found out about one completion.
struct Scored {
  double score = 0;
  std::vector<double> rows;  // each token's or step's probability, or each state's value
};

// ---- Collecting, scoring, writing ---

/// Collects records, scores them together, writes a line for each in their order.
class Scorer {
 public:
  Scorer(programs::AnyModel& model, const programs::SavedModel& saved, const programs::Reading& reading,
         const Options& options)
      : model_(model), saved_(saved), reading_(reading), options_(options) {}

  bool scores_steps() const { return reading_.meaning == programs::ScoreMeaning::per_step; }

  void add(const merit::CompletionRecord& record) {
    check_form(record.form, record.source);
    Entry entry{record.source.line, Entry::Form::one, 1};
    if (scores_steps()) {
      return add_steps(programs::as_steps(record, saved_.tokenize.step_separator), entry);
    }
    merit::TokenizedCompletion result = merit::tokenize(record, *saved_.tokenizer, saved_.tokenize, counts_);
    switch (result.fate) {
      case merit::CompletionFate::kept: break;
      case merit::CompletionFate::over_long: return drop(entry, "too long");
      case merit::CompletionFate::empty: return drop(entry, "no tokens in the completion");
    }
    add_family(entry, {std::move(result.sequence)}, record.source);
  }

  void add(merit::StepsRecord record) {
    check_form(record.form, record.source);
    if (!scores_steps()) {
      throw merit::DataError(
          record.source.text() +
          ": found a record of steps, expected completions for a model that scores no steps");
    }
    record.labels.assign(record.labels.size(),
                         true);  // scored, not judged: without a label it would be left out
    add_steps(record, {record.source.line, Entry::Form::one, 1});
  }

  void add(const merit::PreferenceRecord& record) {
    check_form(record.form, record.source);
    Entry entry{record.source.line, Entry::Form::pair, 2};
    if (scores_steps()) return add_each(entry, record, {record.chosen, record.rejected});
    const merit::DataCounts before = counts_;
    auto example = merit::tokenize(record, *saved_.tokenizer, saved_.tokenize, counts_);
    if (!example) return drop(entry, reason_since(before, "both sides are equal"));
    add_family(entry, {std::move(example->chosen), std::move(example->rejected)}, record.source);
  }

  /// The completions of one prompt, ranked or not.
  void add(const merit::CompletionsRecord& completions) {
    check_form(completions.form, completions.source);
    add_completions(completions, {completions.source.line, Entry::Form::several, completions.size()},
                    "all completions are equal");
  }

  /// The two answers that a judge compares, in their order.
  void add(const merit::JudgeRecord& record) {
    check_form(record.form, record.source);
    merit::CompletionsRecord both;
    both.source = record.source;
    both.form = record.form;
    both.prompt = record.prompt;
    both.prompt_ids = record.prompt_ids;
    both.completions = {record.response_a, record.response_b};
    both.completions_ids = {record.response_a_ids, record.response_b_ids};
    both.completions_features = {record.response_a_features, record.response_b_features};
    add_completions(both, {record.source.line, Entry::Form::judged, 2}, "both answers are equal");
  }

  bool full() const { return waiting_tokens_ >= options_.batch_tokens || entries_.size() >= 4096; }
  Index read() const { return written_ + entries_.size(); }

  /// Scores and writes everything that waits.
  void flush() {
    std::vector<programs::Family> families;
    for (const auto& sequences : waiting_) {
      programs::Family& family = families.emplace_back();
      for (const merit::Sequence& sequence : sequences) family.members.push_back(&sequence);
    }
    const auto rows = model_.score(families, options_.batch_tokens, {});
    Index next = 0;
    for (const Entry& entry : entries_) {
      std::string reason = entry.dropped;
      std::vector<Scored> own;
      for (Index i = 0; entry.dropped.empty() && i < entry.completions; ++i) {
        const merit::RowScores& of_one = rows[next++];
        for (const double value : of_one.values) {
          if (!std::isfinite(value)) reason = "the score is not finite";
        }
        if (of_one.rows() == 0) reason = "no token that the model scores";
        if (!reason.empty()) continue;
        const double score = programs::completion_score(of_one, model_, reading_);
        own.push_back({programs::shown_score(score, reading_), programs::row_values(of_one, reading_)});
      }
      output_.line(options_.json ? json_line(entry, own, reason) : plain_line(own, reason));
      ++written_;
    }
    output_.flush();
    entries_.clear();
    waiting_.clear();
    waiting_tokens_ = 0;
  }

 private:
  void check_form(merit::RecordForm form, const merit::SourcePosition& at) const {
    programs::check_form(form, programs::is_features(saved_.backbone), at);
  }

  std::string reason_since(const merit::DataCounts& before, const char* equal) const {
    if (counts_.dropped_over_long != before.dropped_over_long) return "too long";
    return counts_.dropped_equal != before.dropped_equal ? equal : "no tokens in a completion";
  }

  void drop(Entry entry, const std::string& reason) {
    entry.dropped = reason;
    entries_.push_back(std::move(entry));
  }

  void add_family(const Entry& entry, std::vector<merit::Sequence> sequences,
                  const merit::SourcePosition& at) {
    if (const auto* features = std::get_if<merit::Features>(&saved_.backbone)) {
      for (const merit::Sequence& sequence : sequences) {
        if (sequence.features.size() == features->width) continue;
        throw merit::DataError(merit::detail::concat(at.text(), ": found ", sequence.features.size(),
                                                     " features, expected ", features->width,
                                                     ", the width of the model"));
      }
    }
    for (const merit::Sequence& sequence : sequences) waiting_tokens_ += sequence.tokens.size();
    entries_.push_back(entry);
    waiting_.push_back(std::move(sequences));
  }

  void add_completions(const merit::CompletionsRecord& completions, const Entry& entry, const char* equal) {
    if (scores_steps()) return add_each(entry, completions, completions.completions);
    merit::RankedGroup group;
    const merit::DataCounts before = counts_;
    if (!merit::detail::tokenize_group(completions, true, *saved_.tokenizer, saved_.tokenize, counts_,
                                       group)) {
      return drop(entry, reason_since(before, equal));
    }
    add_family(entry, std::move(group.completions), completions.source);
  }

  void add_steps(const merit::StepsRecord& record, const Entry& entry) {
    const merit::DataCounts before = counts_;
    auto example = merit::tokenize(record, *saved_.tokenizer, saved_.tokenize, counts_);
    if (!example) return drop(entry, reason_since(before, ""));
    add_family(entry, {std::move(example->sequence)}, record.source);
  }

  /// Completions that a model of steps cuts at its separator.
  template <class Record>
  void add_each(const Entry& entry, const Record& record,
                const std::vector<merit::TextOrMessages>& completions) {
    std::vector<merit::Sequence> sequences;
    for (const merit::TextOrMessages& completion : completions) {
      merit::CompletionRecord one;
      one.form = record.form;
      one.prompt = record.prompt;
      one.completion = completion;
      one.source = record.source;
      const merit::DataCounts before = counts_;
      auto example = merit::tokenize(programs::as_steps(one, saved_.tokenize.step_separator),
                                     *saved_.tokenizer, saved_.tokenize, counts_);
      if (!example) return drop(entry, reason_since(before, ""));
      sequences.push_back(std::move(example->sequence));
    }
    add_family(entry, std::move(sequences), record.source);
  }

  /// A reward as short as the model's own number, anything computed from it as a double.
  std::string number(double score) const {
    const bool raw = !reading_.has_rows() && !reading_.standardised && !reading_.calibrated;
    return raw ? programs::text_of(static_cast<float>(score)) : programs::text_of(score);
  }

  /// The completions' numbers, best first; equal scores in the order they came.
  static std::vector<Index> order_of(const std::vector<Scored>& scored) {
    std::vector<Index> order(scored.size());
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](Index a, Index b) { return scored[a].score > scored[b].score; });
    return order;
  }

  std::string plain_line(const std::vector<Scored>& scored, const std::string& reason) const {
    if (!reason.empty()) return "dropped: " + reason;
    std::string text;
    const auto put = [&](const std::string& item) { text += (text.empty() ? "" : "\t") + item; };
    if (options_.rerank) {
      for (const Index i : order_of(scored)) put(std::to_string(i));
    } else {
      for (const Scored& one : scored) put(number(one.score));
    }
    return text;
  }

  /// Written by hand so that a score keeps its shortest text.
  std::string json_line(const Entry& entry, const std::vector<Scored>& scored,
                        const std::string& reason) const {
    std::string text =
        "{\"index\": " + std::to_string(written_) + ", \"line\": " + std::to_string(entry.line);
    const auto list = [](const auto& items, const auto& write) {
      std::string inside;
      for (const auto& item : items) inside += (inside.empty() ? "" : ", ") + write(item);
      return "[" + inside + "]";
    };
    const auto score_of = [&](const Scored& one) { return number(one.score); };
    const auto rows_of = [&](const Scored& one) {
      return list(one.rows, [](double value) { return programs::text_of(value); });
    };
    const auto put = [&](const std::string& field, const std::string& value) {
      text += ", \"" + field + "\": " + (reason.empty() ? value : "null");
    };
    const bool scores = reason.empty();
    if (entry.form == Entry::Form::several) {
      put("scores", scores ? list(scored, score_of) : "");
      if (options_.rows) put("rows", scores ? list(scored, rows_of) : "");
      if (options_.rerank) {
        put("order", scores ? list(order_of(scored), [](Index i) { return std::to_string(i); }) : "");
      }
    } else {
      const bool pair = entry.form != Entry::Form::one;
      const std::vector<std::string> fields =
          entry.form == Entry::Form::pair     ? std::vector<std::string>{"chosen", "rejected"}
          : entry.form == Entry::Form::judged ? std::vector<std::string>{"response_a", "response_b"}
                                              : std::vector<std::string>{"score"};
      for (Index i = 0; i < fields.size(); ++i) put(fields[i], scores ? number(scored[i].score) : "");
      for (Index i = 0; options_.rows && i < fields.size(); ++i) {
        put(pair ? fields[i] + "_rows" : "rows", scores ? rows_of(scored[i]) : "");
      }
    }
    if (!reason.empty()) text += ", \"dropped\": \"" + reason + '"';
    return text + '}';
  }

  programs::AnyModel& model_;
  const programs::SavedModel& saved_;
  const programs::Reading& reading_;
  const Options& options_;
  Output output_;
  merit::DataCounts counts_;
  std::vector<Entry> entries_;
  std::vector<std::vector<merit::Sequence>> waiting_;  // of the entries that are scored, in order
  Index waiting_tokens_ = 0;
  Index written_ = 0;
};

// ---- Reading ---

bool has_any(const merit::Json& object, std::initializer_list<const char*> fields) {
  for (const char* field : fields) {
    const auto value = object.find(field);
    if (value != object.end() && !value->is_null()) return true;
  }
  return false;
}

/// Completions of one prompt without anything said of them.
merit::CompletionsRecord parse_completions(const merit::Json& object, const merit::SourcePosition& at) {
  merit::CompletionsRecord record;
  record.source = at;
  merit::detail::parse_completions(merit::detail::Fields(object, record.source), record);
  return record;
}

/// Reads one record and gives it to the scorer; false at the end of the input.
bool read_record(merit::JsonLinesReader& reader, const Options& options, Scorer& scorer) {
  const auto object = reader.next();
  if (!object) return false;
  const auto parse = [&]<class Record>(Record record) {
    record.source = reader.position();
    merit::detail::parse_record(*object, record);
    scorer.add(record);
  };
  const bool several = has_any(*object, {"completions", "completions_ids", "completions_features"});
  if (options.rerank && !several) {
    throw merit::DataError(reader.position().text() +
                           ": found a record without 'completions', expected several to put in order");
  }
  if (has_any(*object, {"chosen", "chosen_ids", "chosen_features"})) {
    parse(merit::PreferenceRecord{});
  } else if (has_any(*object, {"response_a", "response_a_ids", "response_a_features"})) {
    merit::Json judged = *object;
    if (!has_any(judged, {"votes"})) judged["votes"] = {"tie"};  // scored, not judged: they need not be there
    merit::JudgeRecord record;
    record.source = reader.position();
    merit::detail::parse_record(judged, record);
    scorer.add(record);
  } else if (several && !options.rerank && has_any(*object, {"labels"})) {
    parse(merit::StepsRecord{});
  } else if (several) {
    scorer.add(parse_completions(*object, reader.position()));
  } else {
    parse(merit::CompletionRecord{});
  }
  return true;
}

/// Lines of a file, counted ahead for the progress; 0 for a pipe.
Index count_lines(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  std::vector<char> block(std::size_t{1} << 20);
  Index lines = 1;
  off_t offset = 0;
  while (true) {
    const ssize_t got = ::pread(descriptor, block.data(), block.size(), offset);
    if (got <= 0) return lines;
    lines += static_cast<Index>(std::count(block.begin(), block.begin() + got, '\n'));
    offset += got;
  }
}

void score_stream(Scorer& scorer, const Options& options) {
  const bool from_pipe = options.file == "-";
  std::error_code ignored;
  if (!from_pipe && std::filesystem::is_directory(options.file, ignored)) {
    throw merit::IoError(options.file + ": found a directory, expected a file of JSON lines");
  }
  merit::detail::FileDescriptor file;
  if (!from_pipe) file = merit::detail::open_file(options.file, O_RDONLY);
  if (!from_pipe && !file.is_open()) merit::detail::throw_io("open", options.file, errno);
  const std::string source = from_pipe ? "standard input" : options.file;
  programs::LineInput bytes(from_pipe ? STDIN_FILENO : file.get(), source);
  std::istream stream(&bytes);
  merit::JsonLinesReader reader(stream, source);

  // Shown where it does not mix with the scores.
  const Index lines = from_pipe || ::isatty(STDOUT_FILENO) == 1 ? 0 : count_lines(file.get());
  std::optional<merit::Progress> progress;
  if (lines > 1) progress.emplace("scoring", lines - 1);
  try {
    while (true) {
      if (scorer.full() || !bytes.line_ready()) {
        scorer.flush();
        if (progress) progress->update(std::min(scorer.read(), lines - 2), "");
      }
      if (!read_record(reader, options, scorer)) break;
    }
  } catch (const merit::DataError&) {
    if (progress) progress->finish();
    scorer.flush();  // what came before the bad line is answered
    throw;
  }
  scorer.flush();
  if (progress) progress->update(lines - 1);
}

/// How scores are read: as the card says, and as the options say otherwise.
programs::Reading reading_of(const Options& options, const programs::SavedModel& saved, const CLI::App& app) {
  const programs::ScoreMeaning meaning = programs::meaning_of(saved.head);
  programs::Reading reading =
      programs::reading_of(saved.card.value_or(merit::ModelCard{}), meaning, options.normalised);
  if (!options.aggregation.empty()) reading.aggregation = merit::aggregation_from_name(options.aggregation);
  reading.options = {.last = options.last, .threshold = options.threshold};
  if (options.neutral != "good" && options.neutral != "bad") {
    throw merit::ConfigError("--neutral is \"" + options.neutral + "\", expected good or bad");
  }
  reading.neutral_is_good = options.neutral == "good";
  const bool of_values = meaning == programs::ScoreMeaning::per_state;  // all else is a probability
  if (!std::isfinite(options.threshold) || (!of_values && (options.threshold < 0 || options.threshold > 1))) {
    throw merit::ConfigError(merit::detail::concat("--threshold is ", options.threshold, ", expected ",
                                                   of_values ? "a number" : "a probability from 0 to 1"));
  }
  if (reading.has_rows()) return reading;
  for (const char* option : {"--aggregation", "--rows"}) {
    if (app.count(option) == 0) continue;
    throw merit::ConfigError(std::string(option) +
                             " is given, but the model scores completions as a whole: there are "
                             "no tokens or steps to aggregate or show");
  }
  return reading;
}

int run(int argc, char** argv) {
  CLI::App app(
      "Scores completions with a saved reward model.\n\n"
      "Reads JSON lines: {\"prompt\": …, \"completion\": …}, preference records with \"chosen\" and\n"
      "\"rejected\", judged ones with \"response_a\" and \"response_b\", records with \"completions\" of "
      "one\n"
      "prompt, or steps with \"labels\". Writes a line for each, in order: the score; several with tabs\n"
      "between; or \"dropped: …\" for a record that the model's truncation policy leaves out. A model of\n"
      "tokens or steps gives one number for a completion by the aggregation of its card. Text becomes "
      "tokens\n"
      "as in training. From a pipe, what has come is answered before more is waited for.\n",
      name);
  programs::prepare(app);
  Options options;
  const auto text = [&](const char* option, std::string& value, const char* type, const char* what) {
    app.add_option(option, value, programs::wrapped(what))->type_name(type);
  };
  const auto number = [&](const char* option, auto& value, const char* what) {
    app.add_option(option, value, programs::wrapped(what))
        ->type_name("N")
        ->check(programs::is_number<std::remove_reference_t<decltype(value)>>, "");
  };
  app.add_option("FILE", options.file, "JSON lines; - is the standard input");
  text("--model", options.model, "DIR", "directory of the model");
  text("--prompt", options.prompt, "TEXT", "score one text: its prompt");
  text("--completion", options.completion, "TEXT", "score one text: its completion");
  app.add_flag("--json", options.json, "write JSON lines with index (from 0), line (from 1) and score");
  app.add_flag(
      "--rows", options.rows,
      programs::wrapped("also each token's or step's probability, or each state's value; with --json"));
  app.add_flag(
      "--rerank", options.rerank,
      programs::wrapped("of records with \"completions\", write their numbers (from 0), best first"));
  app.add_flag("--normalised", options.normalised,
               programs::wrapped(
                   "scores by the calibration of the model's card, or by its reward mean and deviation"));
  text("--aggregation", options.aggregation, "NAME",
       "how tokens, steps or states become one: mean, minimum, product (of logarithms), last, mean_of_last, "
       "weighted, "
       "none_below; empty: as the card says");
  number("--last", options.last, "how many the mean_of_last takes");
  app.add_option("--threshold", options.threshold, "of none_below")
      ->type_name("X")
      ->check(programs::is_number<double>, "");
  text("--neutral", options.neutral, "NAME", "what neutral steps count as: good or bad");
  text("--tokenizer", options.tokenizer, "NAME",
       "bytes, words:N or ids:N; for a model whose card names none");
  number("--batch-tokens", options.batch_tokens, "tokens scored at once, which bounds the memory");
  number("--threads", options.threads, "0: all; the scores do not depend on it");
  programs::parse(app, argc, argv);
  if (options.model.empty())
    throw merit::ConfigError("--model is missing: the directory of the model to score with");
  const bool one_text = app.count("--completion") != 0;
  if (app.count("--prompt") != 0 && !one_text) {
    throw merit::ConfigError("--prompt is given without --completion, the text to score");
  }
  if (one_text && app.count("FILE") != 0) {
    throw merit::ConfigError("--completion and FILE contradict each other: give one of them");
  }
  if (one_text && options.rerank) {
    throw merit::ConfigError("--completion and --rerank contradict each other: one completion has no order");
  }
  if (options.rows && !options.json)
    throw merit::ConfigError("--rows is given without --json, which has room for them");
  if (options.batch_tokens == 0) throw merit::ConfigError("--batch-tokens is 0, expected at least 1");

  const programs::SavedModel saved = programs::read_usable(options.model, options.tokenizer);
  const programs::Reading reading = reading_of(options, saved, app);
  const auto model = programs::load_usable(options.model, saved, options.threads, name);
  Scorer scorer(*model, saved, reading, options);
  if (!one_text) {
    score_stream(scorer, options);
    return 0;
  }
  merit::CompletionRecord record;
  if (app.count("--prompt") != 0) record.prompt = options.prompt;
  record.completion = options.completion;
  record.source = {"the command line", 1};
  scorer.add(record);
  scorer.flush();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, [&] { return run(argc, argv); });
}
