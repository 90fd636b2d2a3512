// Lets a language model judge answers: comparisons in both orders, or ratings, as records that merit_train reads; and how
// far its verdicts agree with labels, owe to places, or cannot be read.
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "command_line/line_input.hpp"
#include "command_line/open_flags.hpp"
#include "command_line/source_flags.hpp"
#include "merit/core/visible.hpp"
#include "merit/jobs/output_place.hpp"
#include "merit/judge/judge.hpp"
#include "merit/judge/judge_report.hpp"
#include "merit/judge/judge_template.hpp"
#include "merit/judge/record_judging.hpp"
#include "merit/judge/record_to_judge.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/record_source.hpp"
#include "merit/run/load_saved_model.hpp"
#include "merit/run/model_judge.hpp"
#include "merit/run/text_writer.hpp"
#include "merit/train/progress.hpp"

namespace {

using merit::Index;
using merit::Json;
using merit::JudgedForm;
using merit::JudgeReading;
using merit::OrderedJson;

constexpr const char* name = "merit_judge";

struct Options {
  std::string file = "-";
  std::string model;
  std::string ask = "pairwise";
  std::string reading = "words";
  Index samples = 1;
  double temperature = 0;
  double top_p = 1;
  Index max_new_tokens = 512;
  Index lookup = 0;
  std::uint64_t seed = 0;
  std::string out;
  std::string write = "automatic";
  std::string replies;
  bool overwrite = false, json = false;
  std::string base, adapter, tokenizer;
  programs::SourceFlags source;
  std::string on_error = "stop";
  std::uint16_t threads = 0;
};

// ---- Records ---

struct Item {
  merit::RecordToJudge record;
  merit::SourcePosition at;
};

struct Records {
  std::vector<Item> items;
  merit::UnreadRecords unread;
};

/// All of them, before the first is judged: what cannot be read is said before hours are spent.
Records read_records(const Options& options, const merit::JudgeTemplate& with, JudgedForm form) {
  const auto on_error = merit::value_from_name<merit::OnError>("--on-error", options.on_error);
  programs::LineFile input(options.file);
  merit::RecordSource source(input.stream, input.name, programs::source_options(options.source));
  Records records;
  while (true) {
    try {
      const auto object = source.next();
      if (!object) break;
      Item item{merit::record_to_judge(*object, source.position()), source.position()};
      merit::check_record_to_judge(item.record, item.at, with, form);
      records.items.push_back(std::move(item));
    } catch (const merit::DataError& error) {
      if (on_error == merit::OnError::stop) throw;
      records.unread.add(source.position(), error.what());
    }
  }
  programs::say_remarks(source.remarks(), name);
  programs::say_remarks(source.left_out_sentences(), name);
  programs::say_remarks(records.unread.lines(), name);
  source.require_options_used();
  if (records.items.empty()) throw merit::DataError(source.no_record());
  return records;
}

// ---- Files of what comes of them ---

/// Throws before anything is computed where --out or --replies would destroy something.
void check_outputs(const Options& options) {
  for (const auto& [option, path] :
       {std::pair{"--out", options.out}, std::pair{"--replies", options.replies}}) {
    if (path.empty()) continue;
    std::string adapter;
    if (!options.adapter.empty()) adapter = programs::adapter_from(options.adapter).folder.string();
    merit::check_output(option, path,
                        {.files = {options.file, options.ask, options.tokenizer},
                         .folders = {options.model, options.base, adapter, options.tokenizer}});
    std::error_code ignored;
    if (!options.overwrite && std::filesystem::is_regular_file(path, ignored) &&
        std::filesystem::file_size(path, ignored) != 0)
      throw merit::ConfigError(std::string(option) + " is " + path +
                               ", which is there already; --overwrite replaces it");
  }
  std::error_code ignored;
  if (!options.out.empty() && !options.replies.empty() &&
      (merit::place_of(options.out) == merit::place_of(options.replies) ||
       (std::filesystem::is_regular_file(options.out, ignored) &&
        std::filesystem::equivalent(options.out, options.replies, ignored))))
    throw merit::ConfigError("--out and --replies are both " + options.out + ", expected two files");
}

/// JSON lines, or nothing without a path. Each is in the file at once, so that a run that is ended leaves what it has judged.
class Lines {
 public:
  explicit Lines(const std::string& path) : path_(path) {
    if (path.empty()) return;
    file_.reset(std::fopen(path.c_str(), "w"));
    if (!file_) fail();
  }
  void put(const OrderedJson& json) {
    if (!file_) return;
    const std::string line = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + '\n';
    if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() || std::fflush(file_.get()) != 0)
      fail();
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  [[noreturn]] void fail() const {
    throw merit::IoError("cannot write " + path_ + ": " + std::generic_category().message(errno));
  }
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

// ---- The model ---

/// A judge with what it stands on.
struct OpenedJudge {
  std::optional<merit::SavedModel> saved;
  std::unique_ptr<merit::AnyModel> model;
  std::unique_ptr<merit::LogitJudge> logits;
  std::unique_ptr<merit::TextWriter> writer;
  std::unique_ptr<merit::WritingJudge> words;
  merit::RecordJudge judge;
};

OpenedJudge open_judge(const Options& options, const merit::JudgeTemplate& with) {
  merit::OpenOptions open{.base = options.base, .tokenizer = options.tokenizer, .threads = options.threads};
  if (!options.adapter.empty()) open.adapters = {programs::adapter_from(options.adapter)};
  OpenedJudge opened;
  if (options.reading == "logits") {
    try {
      opened.saved = programs::read_usable(options.model, merit::open_for_words(open, with), name);
    } catch (const merit::ConfigError& error) {  // it names options that nobody gave
      throw merit::ConfigError(merit::concat("--reading logits reads \"", with.words()[0], "\" and \"",
                                             with.words()[1], "\", the words of the template ", options.ask,
                                             ", by a head of its own: ", error.what()));
    }
    if (opened.saved->adapters.size() > 1)
      throw merit::ConfigError(
          "--adapter is given, but --model is an adapter itself, expected one of the two");
    opened.model = programs::load_usable(*opened.saved, open.backend, options.threads, name);
    opened.logits = std::make_unique<merit::LogitJudge>(*opened.model, *opened.saved);
    opened.judge = {[&with, logits = opened.logits.get()](const merit::PairToJudge& pair) {
                      return merit::judge_pair_by_logits(with, pair, *logits);
                    },
                    [&with, logits = opened.logits.get()](const merit::AnswerToJudge& answer) {
                      return merit::judge_answer_by_logits(with, answer, *logits);
                    }};
    return opened;
  }
  std::optional<merit::Progress> progress;
  merit::LoadProgress shown([&](Index total) { progress.emplace("loading", total); },
                            [&](Index done) { progress->update(done, "MB"); });
  open.on_progress = std::ref(shown);
  opened.writer = std::make_unique<merit::TextWriter>(merit::open_writer(options.model, open));
  if (progress) progress->finish();
  merit::WriteOptions write{
      .max_tokens = options.max_new_tokens, .seed = options.seed, .lookup = options.lookup};
  write.sampling.temperature = options.temperature;
  write.sampling.top_p = options.top_p;
  opened.words = std::make_unique<merit::WritingJudge>(*opened.writer, write);
  const Index samples = options.samples;
  opened.judge = {[&with, samples, words = opened.words.get()](const merit::PairToJudge& pair) {
                    return merit::judge_pair(with, pair, *words, samples);
                  },
                  [&with, samples, words = opened.words.get()](const merit::AnswerToJudge& answer) {
                    return merit::judge_answer(with, answer, *words, samples);
                  }};
  return opened;
}

// ---- The run ---

void check_options(const Options& options, const programs::CommandLine& line) {
  if (options.model.empty())
    throw merit::ConfigError("--model is missing: the folder or GGUF file of the language model that judges");
  merit::value_from_name<JudgeReading>("--reading", options.reading);
  if (options.reading == "logits") {
    for (const char* option :
         {"--samples", "--temperature", "--top-p", "--max-new-tokens", "--seed", "--lookup"}) {
      if (line.given(option))
        throw merit::ConfigError(std::string(option) +
                                 " is given with --reading logits, for which nothing is written");
    }
  }
  if (options.samples == 0) throw merit::ConfigError("--samples is 0, expected at least 1");
  constexpr Index most_samples = 65536;
  if (options.samples > most_samples)
    throw merit::ConfigError(
        merit::concat("--samples is ", options.samples, ", expected at most ", most_samples));
  if (options.max_new_tokens == 0) throw merit::ConfigError("--max-new-tokens is 0, expected at least 1");
  if (!(options.temperature >= 0) || std::isinf(options.temperature))
    throw merit::ConfigError(
        merit::concat("--temperature is ", options.temperature, ", expected a number of 0 or more"));
  if (!(options.top_p > 0 && options.top_p <= 1))
    throw merit::ConfigError(merit::concat("--top-p is ", options.top_p, ", expected above 0 and at most 1"));
  if (options.samples > 1 && options.temperature == 0)
    throw merit::ConfigError("--samples is given without --temperature, at 0 of which all are the same");
  for (const char* option : {"--top-p", "--seed"}) {
    if (line.given(option) && options.temperature == 0)
      throw merit::ConfigError(std::string(option) +
                               " is given without --temperature, at 0 of which nothing is drawn");
  }
  if (line.given("--write") && options.out.empty())
    throw merit::ConfigError("--write is given without --out, where records are written");
  if (options.overwrite && options.out.empty() && options.replies.empty())
    throw merit::ConfigError("--overwrite is given without --out and --replies");
}

int run(int argc, char** argv) {
  programs::CommandLine line(
      name,
      "Lets a language model judge answers, and says how far to trust it.\n\n"
      "Reads JSON lines: preference records, judged pairs, records with \"completions\", or one \"completion\"; with\n"
      "\"reference\" beside them for --template reference. Every comparison is made in both orders; a verdict that\n"
      "changes with the order is a tie, and a reply without one verdict is counted and never guessed at.\n"
      "--out has a record for each that has a verdict, which merit_train reads. The report: agreement with the labels\n"
      "of the records, position bias, flips and parse failures, each apart.\n"
      "Exit codes: 0 done, 1 data or files, 2 options.\n");
  Options options;
  line.text("FILE", options.file, "FILE", "JSON lines, a JSON array or a table; - is the standard input");
  line.text("--model", options.model, "DIR|FILE", "folder of a language model, or a GGUF file");
  line.text(
      "--template", options.ask, "NAME|FILE",
      "what is asked: pairwise, which of two answers is better; reference, the same beside a right one; rating, how "
      "good one is; or a file with slots such as {question}, {answer_a} and {answer_b}");
  line.text(
      "--reading", options.reading, "NAME",
      "words, the verdict that the model writes; or logits, those of A and B, or of yes and no: nothing is written");
  line.number("--samples", options.samples, "replies to each prompt, whose verdicts vote");
  line.number("--temperature", options.temperature, "0: the most likely reply");
  line.number("--top-p", options.top_p,
              "the most likely tokens are left that have this probability together; 1: all");
  line.number("--max-new-tokens", options.max_new_tokens,
              "tokens of a reply; one that is cut may have no verdict");
  line.number("--seed", options.seed, "of the samples");
  line.number(
      "--lookup", options.lookup,
      "tokens that are proposed at once, as they follow in the text so far where it repeats itself: for replies "
      "that quote; 0: none");
  line.text("--out", options.out, "FILE", "where records go, JSON lines");
  line.text(
      "--write", options.write, "NAME",
      "as what: votes (kind judge), preferences (without ties), scores (kind ratings; of single answers kind outcome), or "
      "automatic: votes for two answers that are compared, else scores");
  line.text("--replies", options.replies, "FILE",
            "where all that the judge said goes, JSON lines: also what has no verdict");
  line.flag("--overwrite", options.overwrite, "replace --out and --replies where they are there");
  line.flag("--json", options.json, "write the report as one JSON object");
  line.text("--adapter", options.adapter, "NAME=DIR|DIR", "an adapter of --model, with which it judges");
  line.text("--base", options.base, "DIR",
            "where the base model of an adapter in --model is; empty: where the adapter says");
  line.text("--tokenizer", options.tokenizer, "NAME|DIR", "for a model that names none");
  line.text("--on-error", options.on_error, "NAME",
            "what a record that cannot be read does: stop, or skip, which counts it by its reason");
  programs::declare(line, options.source);
  line.number("--threads", options.threads, "0: all; the verdicts do not depend on it");
  line.parse(argc, argv);
  check_options(options, line);

  const auto reading = merit::value_from_name<JudgeReading>("--reading", options.reading);
  const auto form = merit::value_from_name<JudgedForm>("--write", options.write);
  const merit::JudgeTemplate with = merit::judge_template(options.ask, reading);
  const Records records = read_records(options, with, form);
  check_outputs(options);
  const OpenedJudge opened = open_judge(options, with);
  Lines out(options.out), replies(options.replies);

  merit::RecordJudging judging(opened.judge, with, reading, form);
  merit::Progress progress("judging", records.items.size());
  for (Index i = 0; i < records.items.size(); ++i) {
    const Item& item = records.items[i];
    merit::JudgedRecord judged = judging.add(item.record, item.at);
    if (judged.record) out.put(*judged.record);
    OrderedJson said{{"line", item.at.line}};
    if (!judged.error.empty()) said["error"] = judged.error;
    said["replies"] = std::move(judged.replies);
    replies.put(said);
    progress.update(i + 1);
  }
  progress.finish();
  programs::say_remarks(judging.unjudged().lines(), name);
  if (!options.out.empty()) {
    programs::say_remarks(
        {merit::concat(judging.written(), " records written to ", options.out, ", ", judging.not_written(),
                       " not: without a verdict", form == JudgedForm::preferences ? " or a tie" : "")},
        name);
  }
  if (options.lookup != 0) {
    programs::say_remarks({merit::concat("of ", opened.words->written(), " tokens ", opened.words->accepted(),
                                         " were looked up, of ", opened.words->proposed(), " proposed")},
                          name);
  }
  const merit::JudgeReport report = judging.report();
  programs::Output output;
  if (options.json) {
    Json json = merit::to_json(report);
    json["records"] = records.items.size();
    json["unread"] = records.unread.count();
    json["not_judged"] = judging.unjudged().count();
    json["template"] = options.ask;
    json["reading"] = options.reading;
    output.line(merit::json_text(json, "the report"));
  } else {
    output.line(merit::text_of(report));
  }
  output.flush();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, argv, [&] { return run(argc, argv); });
}
