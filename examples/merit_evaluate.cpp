// How good a saved model is on held-out records or a published benchmark: the figures of its kind with
// intervals, and beside them what simple baselines reach.
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

#include "command_line/open_flags.hpp"
#include "command_line/reading_flags.hpp"
#include "command_line/source_flags.hpp"
#include "merit/core/visible.hpp"
#include "merit/jobs/benchmark_evaluation.hpp"
#include "merit/jobs/evaluation_account.hpp"
#include "merit/jobs/evaluation_page.hpp"
#include "merit/model/adapter_files.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/evaluation_choice.hpp"
#include "merit/run/file_kind.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/record_set.hpp"
#include "merit/train/progress.hpp"

namespace {

using merit::Index;
using merit::Json;
using merit::RecordKind;
using merit::ScoreMeaning;

constexpr const char* name = "merit_evaluate";

struct Options {
  std::vector<std::string> files;
  std::string model;
  std::string adapter;
  std::string layout;
  std::string subset_field;
  programs::OpenFlags open;
  programs::SourceFlags source;
  programs::ReadingFlags reading;
  std::string report;
  std::string on_error = "stop";
  std::string config;
  Index folds = 0, seeds = 1;
  Index batch_tokens = 8192;
  std::uint16_t threads = 0;
  bool json = false;
};

// ---- The run ---

/// Becomes the merit_train that lies beside this program.
int cross_validate(const Options& options, const programs::CommandLine& line, const char* self) {
  if (options.config.empty())
    throw merit::ConfigError("--config is missing: how merit_train is to train each time");
  if (options.files.empty()) throw merit::ConfigError("FILE is missing: the records to cross-validate on");
  std::error_code ignored;
  std::filesystem::path place = std::filesystem::read_symlink("/proc/self/exe", ignored);
  if (place.empty()) place = self;
  const std::string trainer = place.replace_filename("merit_train").string();
  std::vector<std::string> words = {trainer};
  const auto add = [&](const std::string& option, const std::vector<std::string>& values) {
    for (const std::string& value : values) words.insert(words.end(), {option, value});
  };
  const std::map<std::string, std::vector<std::string>> values{
      {"--config", {options.config}},
      {"--cross-validate", {std::to_string(options.folds)}},
      {"--seeds", {std::to_string(options.seeds)}},
      {"--backend", {options.open.backend}},
      {"--threads", {std::to_string(options.threads)}},
      {"--on-error", {options.on_error}},
      {"--rename", options.source.rename},
      {"--select", options.source.select},
      {"--rating", options.source.ratings},
      {"--limit", {std::to_string(options.source.limit)}}};
  for (const std::string& option : line.all_given()) {
    if (option == "--json") {
      words.push_back(option);
    } else if (const auto known = values.find(option); known != values.end()) {
      add(option, known->second);
    } else {
      throw merit::ConfigError(option +
                               " means nothing with --cross-validate, which trains and keeps no model");
    }
  }
  words.emplace_back("--train");
  words.insert(words.end(), options.files.begin(), options.files.end());
  words[0] = name;  // as which it speaks
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(trainer.c_str(), arguments.data());
  throw merit::IoError("cannot run " + trainer + ": " + std::generic_category().message(errno));
}

int run(int argc, char** argv) {
  programs::CommandLine line(
      name,
      "Evaluates a saved reward model on held-out records, a published set or a published benchmark.\n\n"
      "Reports the figures of the records' kind (pairs, rankings, ratings, outcomes, steps, values) with "
      "95%\n"
      "bootstrap intervals over prompts, and beside them what needs no model: length, chance, one label for\n"
      "all. Files as published of RewardBench, RewardBench 2, RM-Bench, ProcessBench, PRMBench, JudgeBench,\n"
      "LLMBar and GSM8K's model solutions are known by their fields.\n"
      "Exit codes: 0 done, 1 data or files, 2 options.\n");
  Options options;
  line.texts("FILE", options.files, "FILE", "JSON lines of records of one kind, or a benchmark's file");
  line.text("--model", options.model, "DIR|FILE", "folder of a model, or a GGUF file");
  line.text("--adapter", options.adapter, "DIR", "an adapter of --model, with which it is evaluated");
  line.text("--layout", options.layout, "NAME",
            "the benchmark: reward_bench, reward_bench_2, rm_bench, process_bench, prm_bench, judge_bench, "
            "llm_bar, gsm8k_solutions; empty: as the fields say");
  line.text("--subset-field", options.subset_field, "NAME",
            "report also by the value of this field of the records");
  line.text("--on-error", options.on_error, "NAME",
            "what a record that cannot be read does: stop, or skip, which counts it by its reason");
  line.text("--report", options.report, "FILE", "also write one HTML page that needs no network");
  line.flag("--json", options.json, "write one JSON object");
  programs::declare(line, options.reading,
                    "; a probability under it also says wrong [for steps what --calibrate fitted, else 0.5]");
  programs::declare(line, options.open);
  programs::declare(line, options.source);
  line.number("--batch-tokens", options.batch_tokens, "tokens scored at once, which bounds the memory");
  line.number("--threads", options.threads, "0: all; the scores do not depend on it");
  line.text("--config", options.config, "FILE", "with --cross-validate: a --config of merit_train");
  line.number(
      "--cross-validate", options.folds,
      "in place of --model: train by --config without each of N parts of the prompts of FILE, and report figures on "
      "that part beside what reads nothing; merit_train --cross-validate has all options");
  line.number("--seeds", options.seeds, "with --cross-validate: so many times, parts and weights drawn anew");
  line.parse(argc, argv);
  if (options.folds != 0) return cross_validate(options, line, argv[0]);
  if (line.given("--seeds")) throw merit::ConfigError("--seeds is given without --cross-validate");
  if (options.model.empty())
    throw merit::ConfigError("--model is missing: the folder or GGUF file of the model to evaluate");
  if (options.files.empty()) throw merit::ConfigError("FILE is missing: the records to evaluate on");
  if (options.batch_tokens == 0) throw merit::ConfigError("--batch-tokens is 0, expected at least 1");
  for (const std::string& file : options.files) merit::weighted_file(file);  // throws for an empty path
  if (!options.report.empty()) {
    merit::check_evaluation_page("--report", options.report,
                                 {.files = options.files, .folders = {options.model, options.adapter}});
  }

  merit::OpenOptions open = programs::open_options(line, options.open);
  if (!options.adapter.empty()) {
    if (merit::is_adapter(options.model))
      throw merit::ConfigError("--adapter is given, but " + options.model +
                               " holds an adapter itself: give it alone, or its base as --model");
    open.adapters = {programs::adapter_from(options.adapter)};
  }
  const merit::SavedModel saved = programs::read_usable(options.model, open, name);
  const merit::Reading reading = programs::reading_of(options.reading, saved, line);
  const double threshold = options.reading.threshold.value_or(merit::fitted_threshold(saved, reading));

  merit::RecordSourceOptions source = programs::source_options(options.source);
  source.on_error = merit::value_from_name<merit::OnError>("--on-error", options.on_error);
  merit::FileKind what;
  if (!options.layout.empty()) {
    what.layout = merit::benchmark_layout_from_name(options.layout);
  } else {
    what = merit::kind_of_files(options.files, source);
  }

  std::optional<merit::BenchmarkSet> benchmark;
  merit::RecordSet records;
  if (what.layout) {
    programs::refuse_beside_layout(
        line, options.files[0], *what.layout,
        {"--subset-field", "--rename", "--select", "--limit", "--rating", "--on-error"});
    benchmark = merit::read_benchmark_set(options.files, *what.layout, saved);
  } else {
    merit::check_meaning(what.kind, saved);
    merit::TokenizeOptions tokenize = merit::labels_as_trained(saved, what.kind);
    tokenize.keep_single_ratings = tokenize.to_judge = true;
    records = merit::read_record_set(options.files, *saved.tokenizer,
                                     {.kind = what.kind,
                                      .tokenize = tokenize,
                                      .wants_features = merit::is_features(saved.backbone),
                                      .wants_steps = reading.meaning == ScoreMeaning::per_step,
                                      .notes = true,
                                      .subset_field = options.subset_field,
                                      .source = source});
    programs::say_remarks(records.remarks, name);
    if (what.kind != RecordKind::ratings) merit::require_preferences(records, "to evaluate on");
  }
  const merit::RecordSet& set = benchmark ? benchmark->set : records;

  const auto model = programs::load_usable(saved, open.backend, options.threads, name);
  merit::Progress progress("evaluating", merit::size_of(set.examples));
  merit::Evaluation evaluation = merit::evaluate(*model, set, reading, threshold, options.batch_tokens,
                                                 [&](Index done, Index) { progress.update(done); });
  progress.finish();
  if (!saved.loss) evaluation.loss.reset();  // of some loss that fits, and not of the model's

  auto [json, said] = merit::account_of(model.get(), set, benchmark ? &*benchmark : nullptr, evaluation,
                                        reading, threshold, options.subset_field);
  // The figures are not lost with a report that cannot be written after all.
  std::optional<merit::IoError> unwritten;
  if (!options.report.empty()) {
    try {
      merit::write_evaluation_page(options.report, {.model = options.model,
                                                    .tokenizer = *saved.tokenizer,
                                                    .set = set,
                                                    .evaluation = evaluation,
                                                    .reading = reading,
                                                    .threshold = threshold,
                                                    .benchmark = json.value("benchmark", Json::object())});
      json["report"] = options.report;
      said += "\n\nreport in     " + merit::visible(options.report);
    } catch (const merit::IoError& error) {
      unwritten = error;
    }
  }
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
