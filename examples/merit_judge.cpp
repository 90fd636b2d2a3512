// Lets a language model judge answers: comparisons in both orders, or ratings, as records that merit_train reads; and how
// far its verdicts agree with labels, owe to places, or cannot be read.
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "command_line/judge_options.hpp"
#include "command_line/line_input.hpp"
#include "command_line/model_files.hpp"
#include "command_line/open_flags.hpp"
#include "command_line/scores_file.hpp"
#include "command_line/source_flags.hpp"
#include "merit/core/version.hpp"
#include "merit/core/visible.hpp"
#include "merit/jobs/benchmark_evaluation.hpp"
#include "merit/jobs/evaluation_account.hpp"
#include "merit/jobs/evaluation_page.hpp"
#include "merit/jobs/judge_evaluation.hpp"
#include "merit/jobs/output_place.hpp"
#include "merit/judge/judge.hpp"
#include "merit/judge/judge_report.hpp"
#include "merit/judge/judge_template.hpp"
#include "merit/judge/record_judging.hpp"
#include "merit/judge/record_to_judge.hpp"
#include "merit/judge/recorded_judge.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/records/on_error.hpp"
#include "merit/records/record_source.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/file_kind.hpp"
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

using Options = programs::JudgeOptions;

// ---- Records ---

merit::RecordSourceOptions source_options(const Options& options) {
  merit::RecordSourceOptions source = programs::source_options(options.source);
  source.on_error = merit::value_from_name<merit::OnError>("--on-error", options.on_error);
  return source;
}

struct Item {
  merit::RecordToJudge record;
  merit::SourcePosition at;
};

struct Records {
  std::vector<Item> items;
  merit::UnreadRecords unread;
  std::optional<merit::BenchmarkSet> benchmark;  // whose rows they are

  void add(const OrderedJson& object, const merit::SourcePosition& at, const merit::JudgeTemplate& with,
           JudgedForm form) {
    Item item{merit::record_to_judge(object, at), at};
    merit::check_record_to_judge(item.record, item.at, with, form);
    items.push_back(std::move(item));
  }
};

/// The benchmark of which FILE holds rows; nothing where it holds records.
std::optional<merit::BenchmarkLayout> layout_of(const Options& options) {
  if (!options.layout.empty()) return merit::benchmark_layout_from_name(options.layout);
  if (options.file == "-") return std::nullopt;
  try {
    return merit::kind_of_files({options.file}, source_options(options)).layout;
  } catch (const merit::DataError&) {  // what is wrong with its records, their reader says
    return std::nullopt;
  }
}

/// All of them, before the first is judged: what cannot be read is said before hours are spent.
Records read_records(const Options& options, const programs::CommandLine& line,
                     const merit::JudgeTemplate& with, JudgedForm form) {
  Records records;
  if (const auto layout = layout_of(options)) {
    programs::refuse_beside_layout(
        line, options.file, *layout,
        {"--subset-field", "--rename", "--select", "--limit", "--rating", "--on-error"});
    records.benchmark = merit::read_benchmark_files({options.file}, *layout);
    for (const merit::PlacedRecord& row : merit::records_to_judge(*records.benchmark))
      records.add(row.object, row.at, with, form);
    return records;
  }
  const auto on_error = merit::value_from_name<merit::OnError>("--on-error", options.on_error);
  programs::LineFile input(options.file);
  merit::RecordSource source(input.stream, input.name, programs::source_options(options.source));
  while (true) {
    try {
      const auto object = source.next();
      if (!object) break;
      records.add(*object, source.position(), with, form);
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

/// Throws before anything is computed where --out, --replies or --report would destroy something.
void check_outputs(const Options& options) {
  std::string adapter;
  if (!options.adapter.empty()) adapter = programs::adapter_from(options.adapter).folder.string();
  const merit::OutputInputs inputs{.files = {options.file, options.ask, options.tokenizer},
                                   .folders = {options.model, options.base, adapter, options.tokenizer}};
  if (!options.report.empty()) merit::check_evaluation_page("--report", options.report, inputs);
  std::error_code ignored;
  for (const auto& [option, path] :
       {std::pair{"--out", options.out}, std::pair{"--replies", options.replies}}) {
    if (path.empty()) continue;
    merit::check_output(option, path, inputs);
    // Of a run that goes on both are its own: the state beside --replies names --out.
    const bool goes_on = options.resume && merit::file_exists(options.replies + ".state");
    if (!options.overwrite && !goes_on && std::filesystem::is_regular_file(path, ignored) &&
        std::filesystem::file_size(path, ignored) != 0)
      throw merit::ConfigError(std::string(option) + " is " + path +
                               ", which is there already; --overwrite replaces it" +
                               (path == options.replies ? ", --resume goes on with it" : ""));
  }
  const auto same_place = [&](const std::string& one, const std::string& other) {
    return !one.empty() && !other.empty() &&
           (merit::place_of(one) == merit::place_of(other) ||
            (std::filesystem::is_regular_file(one, ignored) &&
             std::filesystem::equivalent(one, other, ignored)));
  };
  for (const auto& [option, one, other] :
       {std::tuple{"--out and --replies", options.out, options.replies},
        std::tuple{"--out and --report", options.out, options.report},
        std::tuple{"--replies and --report", options.replies, options.report}}) {
    if (same_place(one, other))
      throw merit::ConfigError(merit::concat(option, " are both ", one, ", expected two files"));
  }
}

std::string line_of(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

/// The records of --out, or nothing without one. Each is in the file at once, so that a run that is ended leaves what it has
/// judged.
class Lines {
 public:
  explicit Lines(const std::string& path) : path_(path) {
    if (path.empty()) return;
    file_.reset(std::fopen(path.c_str(), "w"));
    if (!file_) fail();
  }
  void put(const OrderedJson& json) {
    if (!file_) return;
    const std::string line = line_of(json) + '\n';
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

/// --replies, and what they have of records that were judged before an interruption.
class Replies {
 public:
  Replies(const Options& options, const programs::CommandLine& line, const merit::SavedModel& saved)
      : path_(options.replies) {
    if (path_.empty()) return;
    merit::Json settings = line.settings();
    // What decides no line of --replies and --out, and what is told from its bytes.
    for (const char* other :
         {"--help", "--version", "FILE", "--model", "--base", "--threads", "--batch-tokens", "--subset-field",
          "--report", "--json", "--replies", "--resume", "--overwrite"})
      settings.erase(other);
    merit::Json files = programs::model_files(saved, options.tokenizer);
    for (const auto& [of, path] : {std::pair{"FILE", options.file}, std::pair{"--template", options.ask}}) {
      std::error_code ignored;
      if (std::filesystem::is_regular_file(path, ignored)) files[of] = programs::file_identity(path);
    }
    file_.emplace(
        path_, merit::Json{{"program", {{"version", MERIT_VERSION}}}, {"option", settings}, {"file", files}},
        options.resume, options.overwrite, "--replies");
    if (!file_->resumed()) return;
    before_.emplace(path_);
    count_ = file_->resumed()->records;
    programs::say_remarks({merit::concat(path_, ": going on behind record ", count_)}, name);
    if (!file_->remark().empty()) programs::say_remarks({file_->remark()}, name);
  }

  /// How many records were judged before.
  Index judged_before() const { return count_; }
  /// The judge that says again what was said of the next one of them.
  merit::RecordJudge next() {
    const auto line = before_->next();
    if (!line) throw merit::DataError(path_ + ": found fewer lines than were written");
    const Json said = *line;
    const std::string where = before_->position().text();
    return merit::recorded_judge(merit::require<Json>(said, "replies", where),
                                 said.value("error", std::string()), where);
  }

  void put(const OrderedJson& said, Index records, bool last) {
    if (!file_) return;
    file_->line(line_of(said));
    file_->flush();
    file_->batch_done({.records = records}, last);
  }

 private:
  std::string path_;
  std::optional<programs::ScoresFile> file_;
  std::optional<merit::JsonLinesReader> before_;
  Index count_ = 0;
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

  const merit::SavedModel& about() const { return saved ? *saved : writer->about(); }
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
  merit::WriteOptions write{.sampling = options.sampling,
                            .max_tokens = options.max_new_tokens,
                            .seed = options.seed,
                            .lookup = options.lookup};
  for (const std::string& stop : options.stops) write.stops.push_back(programs::unescaped(stop));
  opened.words = std::make_unique<merit::WritingJudge>(*opened.writer, write, options.batch_tokens);
  const Index samples = options.samples;
  opened.judge = {[&with, samples, words = opened.words.get()](const merit::PairToJudge& pair) {
                    return merit::judge_pair(with, pair, *words, samples);
                  },
                  [&with, samples, words = opened.words.get()](const merit::AnswerToJudge& answer) {
                    return merit::judge_answer(with, answer, *words, samples);
                  }};
  return opened;
}

// ---- As a reward model is evaluated ---

/// Where its scores are reported; nothing for records, of which no more is asked than the judge's own report.
std::optional<merit::JudgedSet> set_of(const Options& options, Records& records,
                                       const merit::AnyTokenizer& tokenizer) {
  if (records.benchmark) return merit::JudgedSet(*std::move(records.benchmark), tokenizer);
  if (options.report.empty() && options.subset_field.empty()) return std::nullopt;
  std::vector<merit::SourcePosition> places;
  for (const Item& item : records.items) places.push_back(item.at);
  merit::JudgedSet set(options.file, tokenizer, source_options(options), options.subset_field, places);
  return set;
}

/// Puts the figures of merit_evaluate into `json` and gives them as text; writes the page, or says in `unwritten` why not.
std::string evaluate(const Options& options, const merit::JudgedSet& judged,
                     const std::vector<merit::JudgedScores>& scores, const merit::AnyTokenizer& tokenizer,
                     Json& json, std::optional<merit::IoError>& unwritten) {
  const merit::Reading reading{.compares = true};
  const merit::Evaluation evaluation = judged.evaluate(scores);
  auto [figures, said] = merit::account_of(nullptr, judged.set(), judged.benchmark(), evaluation, reading,
                                           0.5, options.subset_field);
  const Json judge = json;
  json["evaluation"] = figures;
  if (options.report.empty()) return said;
  try {
    merit::write_evaluation_page(options.report, {.model = options.model,
                                                  .tokenizer = tokenizer,
                                                  .set = judged.set(),
                                                  .evaluation = evaluation,
                                                  .reading = reading,
                                                  .benchmark = figures.value("benchmark", Json::object()),
                                                  .judge = judge});
    json["report"] = options.report;
    said += "\n\nreport in     " + merit::visible(options.report);
  } catch (const merit::IoError& error) {
    unwritten = error;
  }
  return said;
}

// ---- The run ---

int run(int argc, char** argv) {
  programs::CommandLine line(
      name,
      "Lets a language model judge answers, and says how far to trust it.\n\n"
      "Reads JSON lines: preference records, judged pairs, records with \"completions\", or one \"completion\"; with\n"
      "\"reference\" beside them for --template reference. Every comparison is made in both orders; a verdict that\n"
      "changes with the order is a tie, and a reply without one verdict is counted and never guessed at.\n"
      "--out has a record for each that has a verdict, which merit_train reads. The report: agreement with the labels\n"
      "of the records, position bias, flips and parse failures, each apart. Files as published of RewardBench,\n"
      "RewardBench 2, RM-Bench, JudgeBench and LLMBar are known by their fields: their own figures stand beside, as\n"
      "merit_evaluate gives them for a reward model; what has no verdict is lost.\n"
      "Exit codes: 0 done, 1 data or files, 2 options.\n");
  Options options;
  programs::declare(line, options);
  line.parse(argc, argv);
  programs::check(line, options);

  const auto reading = merit::value_from_name<JudgeReading>("--reading", options.reading);
  const auto form = merit::value_from_name<JudgedForm>("--write", options.write);
  const merit::JudgeTemplate with = merit::judge_template(options.ask, reading);
  Records records = read_records(options, line, with, form);
  check_outputs(options);
  const OpenedJudge opened = open_judge(options, with);
  const auto judged_set = set_of(options, records, *opened.about().tokenizer);
  Replies replies(options, line, opened.about());
  Lines out(options.out);

  merit::RecordJudging judging(opened.judge, with, reading, form);
  std::vector<merit::JudgedScores> scores;
  const Index count = records.items.size();
  Index expected = replies.judged_before();
  merit::Progress progress("judging", count);
  for (Index i = 0; i < count; ++i) {
    const auto& [record, at] = records.items[i];
    const bool again = i < replies.judged_before();
    while (!again && opened.words && expected < count && !opened.words->is_full()) {
      for (const merit::JudgePrompt& prompt : merit::prompts_of(with, records.items[expected].record))
        opened.words->expect(prompt, options.samples);
      ++expected;
    }
    merit::JudgedRecord judged =
        again ? judging.add_again(record, at, replies.next()) : judging.add(record, at);
    if (judged.record) out.put(*judged.record);
    OrderedJson said{{"line", at.line}};
    if (!judged.error.empty()) said["error"] = judged.error;
    said["replies"] = std::move(judged.replies);
    if (!again) replies.put(said, i + 1, i + 1 == count);
    scores.push_back({std::move(judged.scores), record.share_for_first});
    progress.update(i + 1);
  }
  progress.finish();
  programs::say_remarks(judging.unjudged().lines(), name);
  if (!options.out.empty()) {
    programs::say_remarks(
        {merit::concat(judging.written(), " records written to ", options.out, ", ", judging.not_written(),
                       " not: without a verdict", form == JudgedForm::preferences ? " or even" : "")},
        name);
  }
  if (options.lookup != 0) {
    programs::say_remarks({merit::concat("of ", opened.words->written(), " tokens ", opened.words->accepted(),
                                         " were looked up, of ", opened.words->proposed(), " proposed")},
                          name);
  }
  const merit::JudgeReport report = judging.report();
  Json json = merit::to_json(report);
  std::string said = merit::text_of(report);
  json["records"] = records.items.size();
  json["unread"] = records.unread.count();
  json["not_judged"] = judging.unjudged().count();
  json["template"] = options.ask;
  json["reading"] = options.reading;
  std::optional<merit::IoError> unwritten;  // the page, with which the figures are not lost
  if (judged_set)
    said += "\n\n" + evaluate(options, *judged_set, scores, *opened.about().tokenizer, json, unwritten);
  programs::Output output;
  output.line(options.json ? merit::json_text(json, "the report") : said);
  output.flush();
  if (unwritten) throw *unwritten;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, argv, [&] { return run(argc, argv); });
}
