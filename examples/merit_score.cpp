// Scores completions with a saved model: one text from the command line, a file, or a pipe as it comes.
#include <cmath>
#include <istream>
#include <string>
#include <vector>

#include "merit/files.hpp"
#include "support/line_input.hpp"
#include "support/pairs.hpp"
#include "support/program.hpp"
#include "support/saved_model.hpp"

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
  Index batch_tokens = 8192;
  std::uint16_t threads = 0;
  bool json = false;
};

/// A record that waits for its batch. A preference record has two sides; both are scored or neither.
struct Entry {
  Index line = 0;
  bool pair = false;
  std::string dropped;  // why; empty: it is scored
};

/// Collects records, scores them together, writes a line for each in their order.
template <class Model>
class Scorer {
 public:
  Scorer(Model& model, const programs::SavedModel& saved, const Options& options)
      : model_(model), saved_(saved), options_(options) {}

  void add(const merit::CompletionRecord& record) {
    programs::check_form(record.form, wants_features, record.source);
    merit::TokenizedCompletion result = merit::tokenize(record, *saved_.tokenizer, saved_.tokenize, counts_);
    check_width(result.sequence, record.source);
    switch (result.fate) {
      case merit::CompletionFate::kept: add_entry({record.source.line, false, ""}); break;
      case merit::CompletionFate::over_long: return add_entry({record.source.line, false, "too long"});
      case merit::CompletionFate::empty:
        return add_entry({record.source.line, false, "no tokens in the completion"});
    }
    waiting_tokens_ += result.sequence.tokens.size();
    sequences_.push_back(std::move(result.sequence));
  }

  void add(const merit::PreferenceRecord& record) {
    programs::check_form(record.form, wants_features, record.source);
    const merit::DataCounts before = counts_;
    auto example = merit::tokenize(record, *saved_.tokenizer, saved_.tokenize, counts_);
    if (!example) {
      const bool long_one = counts_.dropped_over_long != before.dropped_over_long;
      const bool equal = counts_.dropped_equal != before.dropped_equal;
      return add_entry({record.source.line, true,
                        long_one ? "too long"
                        : equal  ? "both sides are equal"
                                 : "no tokens in a completion"});
    }
    check_width(example->chosen, record.source);
    add_entry({record.source.line, true, ""});
    for (merit::Sequence* side : {&example->chosen, &example->rejected}) {
      waiting_tokens_ += side->tokens.size();
      sequences_.push_back(std::move(*side));
    }
  }

  bool full() const { return waiting_tokens_ >= options_.batch_tokens || entries_.size() >= 4096; }

  /// Scores and writes everything that waits.
  void flush() {
    const auto scores =
        merit::score_sequences(model_, std::span<const merit::Sequence>(sequences_), options_.batch_tokens);
    Index next = 0;
    for (const Entry& entry : entries_) {
      std::string reason = entry.dropped;
      std::vector<float> own;
      for (int side = 0; reason.empty() && side < (entry.pair ? 2 : 1); ++side) own.push_back(scores[next++]);
      for (const float score : own) {
        if (!std::isfinite(score)) reason = "the score is not finite";
      }
      output_.line(options_.json ? json_line(entry, own, reason) : plain_line(own, reason));
      ++written_;
    }
    output_.flush();
    entries_.clear();
    sequences_.clear();
    waiting_tokens_ = 0;
  }

  Index read() const { return written_ + entries_.size(); }

 private:
  static constexpr bool wants_features = merit::reads_features<typename Model::BackboneType>;

  void add_entry(Entry entry) { entries_.push_back(std::move(entry)); }

  void check_width(const merit::Sequence& sequence, const merit::SourcePosition& at) const {
    if constexpr (wants_features) {
      const Index width = model_.config().backbone.width;
      if (sequence.features.size() == width) return;
      throw merit::DataError(merit::detail::concat(at.text(), ": found ", sequence.features.size(),
                                                   " features, expected ", width,
                                                   ", the width of the model"));
    }
  }

  static std::string plain_line(const std::vector<float>& scores, const std::string& reason) {
    if (!reason.empty()) return "dropped: " + reason;
    std::string text = programs::text_of(scores[0]);
    if (scores.size() == 2) text += '\t' + programs::text_of(scores[1]);
    return text;
  }

  /// Written by hand so that a score keeps its shortest text.
  std::string json_line(const Entry& entry, const std::vector<float>& scores,
                        const std::string& reason) const {
    std::string text =
        "{\"index\": " + std::to_string(written_) + ", \"line\": " + std::to_string(entry.line);
    const auto put = [&](const char* field, Index i) {
      text += std::string(", \"") + field + "\": " + (reason.empty() ? programs::text_of(scores[i]) : "null");
    };
    if (entry.pair) {
      put("chosen", 0);
      put("rejected", 1);
    } else {
      put("score", 0);
    }
    if (!reason.empty()) text += ", \"dropped\": \"" + reason + '"';
    return text + '}';
  }

  Model& model_;
  const programs::SavedModel& saved_;
  const Options& options_;
  Output output_;
  merit::DataCounts counts_;
  std::vector<Entry> entries_;
  std::vector<merit::Sequence> sequences_;  // of the entries that are scored, in order
  Index waiting_tokens_ = 0;
  Index written_ = 0;
};

bool is_preference(const nlohmann::json& object) {
  for (const char* field : {"chosen", "chosen_ids", "chosen_features"}) {
    const auto value = object.find(field);
    if (value != object.end() && !value->is_null()) return true;
  }
  return false;
}

/// Reads one record and gives it to the scorer; false at the end of the input.
template <class Model>
bool read_record(merit::JsonLinesReader& reader, Scorer<Model>& scorer) {
  const auto object = reader.next();
  if (!object) return false;
  const auto parse = [&]<class Record>(Record record) {
    record.source = reader.position();
    merit::detail::parse_record(*object, record);
    scorer.add(record);
  };
  if (is_preference(*object)) {
    parse(merit::PreferenceRecord{});
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

template <class Model>
void score_stream(Scorer<Model>& scorer, const Options& options) {
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
      if (!read_record(reader, scorer)) break;
    }
  } catch (const merit::DataError&) {
    if (progress) progress->finish();
    scorer.flush();  // what came before the bad line is answered
    throw;
  }
  scorer.flush();
  if (progress) progress->update(lines - 1);
}

int run(int argc, char** argv) {
  CLI::App app(
      "Scores completions with a saved reward model.\n\n"
      "Reads JSON lines, {\"prompt\": …, \"completion\": …} or preference records with \"chosen\" and "
      "\"rejected\", and\n"
      "writes a line for each, in order: the score; two scores with a tab between for a preference record; "
      "or\n"
      "\"dropped: …\" for a record that the model's truncation policy leaves out. Text becomes tokens as in "
      "training.\n"
      "From a pipe, what has come is answered before more is waited for.\n",
      name);
  programs::prepare(app);
  Options options;
  app.add_option("FILE", options.file, "JSON lines; - is the standard input");
  app.add_option("--model", options.model, "directory of the model")->type_name("DIR");
  app.add_option("--prompt", options.prompt, "score one text: its prompt")->type_name("TEXT");
  app.add_option("--completion", options.completion, "score one text: its completion")->type_name("TEXT");
  app.add_flag("--json", options.json, "write JSON lines with index (from 0), line (from 1) and score");
  app.add_option("--tokenizer", options.tokenizer, "bytes or words:N; for a model whose card names none")
      ->type_name("NAME");
  app.add_option("--batch-tokens", options.batch_tokens, "tokens scored at once, which bounds the memory")
      ->type_name("N")
      ->check(programs::not_negative, "");
  app.add_option("--threads", options.threads, "0: all; the scores do not depend on it")
      ->type_name("N")
      ->check(programs::not_negative, "");
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
  if (options.batch_tokens == 0) throw merit::ConfigError("--batch-tokens is 0, expected at least 1");

  const programs::SavedModel saved = programs::read_usable(options.model, options.tokenizer);
  return programs::with_model(saved.backbone, {.head = saved.head, .threads = options.threads},
                              [&](auto& model) {
                                programs::tell(merit::load_model_parameters(options.model, model), name);
                                Scorer scorer(model, saved, options);
                                if (one_text) {
                                  merit::CompletionRecord record;
                                  if (app.count("--prompt") != 0) record.prompt = options.prompt;
                                  record.completion = options.completion;
                                  record.source = {"the command line", 1};
                                  scorer.add(record);
                                  scorer.flush();
                                } else {
                                  score_stream(scorer, options);
                                }
                                return 0;
                              });
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, [&] { return run(argc, argv); });
}
