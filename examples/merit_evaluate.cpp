// How good a saved model is on held-out records or a published benchmark: the figures of its kind with
// intervals, and beside them what simple baselines reach.
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "merit/page/report_page.hpp"
#include "merit/tokens/record_files.hpp"
#include "merit/train/progress.hpp"
#include "support/benchmark_evaluation.hpp"
#include "support/evaluation.hpp"
#include "support/output_file.hpp"
#include "support/program.hpp"
#include "support/report.hpp"
#include "support/saved_model.hpp"

namespace {

using merit::Index;
using programs::Json;
using programs::RecordKind;
using programs::ScoreMeaning;

constexpr const char* name = "merit_evaluate";

struct Options {
  std::vector<std::string> files;
  std::string model;
  std::string layout;
  std::string subset_field;
  programs::OpenFlags open;
  std::string aggregation;
  std::string neutral = "good";
  std::string report;
  Index last = 4;
  double threshold = 0;
  Index batch_tokens = 8192;
  std::uint16_t threads = 0;
  bool normalised = false;
  bool json = false;
};

// ---- What the files are ---

/// Files of records of one kind, or of one benchmark.
struct FileKind {
  std::optional<merit::BenchmarkLayout> layout;
  RecordKind kind = RecordKind::preference;

  friend bool operator==(const FileKind&, const FileKind&) = default;
  std::string text() const {
    return layout ? "the layout " + std::string(merit::name_of(*layout))
                  : "the kind " + programs::name_of_kind(kind);
  }
};

/// The first object of a file: of JSON lines, or of a table as benchmarks are published.
Json first_object(const std::string& file) {
  const std::filesystem::path path(file);
  std::optional<std::string> error;
  try {
    merit::JsonLinesReader reader(path);
    auto object = reader.next();
    if (!object) throw merit::DataError(file + ": there is no record");
    return *std::move(object);
  } catch (const merit::DataError& found) {
    error = found.what();
  }
  try {
    return merit::read_benchmark_rows(path).at(0).object;
  } catch (const merit::DataError&) {
    throw merit::DataError(*error);  // about the first line, which says more than about the whole
  }
}

FileKind kind_of(const std::string& file) {
  const Json object = first_object(file);
  if (const auto layout = merit::detect_benchmark(object)) return {layout, RecordKind::preference};
  if (const auto kind = merit::kind_of(object)) return {std::nullopt, *kind};
  throw merit::DataError(
      file +
      ": found a first record of no kind, expected one of: preference, ranking, ratings, outcome, "
      "steps, value, judge; or one of the layouts " +
      merit::list_of_names<merit::BenchmarkLayout>());
}

/// Throws ConfigError where the model's scores say nothing about the kind of records.
void check_meaning(RecordKind kind, const programs::SavedModel& saved) {
  const ScoreMeaning meaning = programs::meaning_of(saved.head);
  const bool whole = meaning == ScoreMeaning::per_completion || meaning == ScoreMeaning::per_token;
  const bool steps = meaning == ScoreMeaning::per_step;
  std::string fits = whole   ? "preference, judge, ranking, ratings, outcome"
                     : steps ? "steps, outcome"
                             : "value";
  const bool good = kind == RecordKind::rollout   ? meaning == ScoreMeaning::per_state
                    : kind == RecordKind::steps   ? steps
                    : kind == RecordKind::outcome ? whole || steps
                                                  : whole;
  if (good) return;
  throw merit::ConfigError("the head of the model is " + programs::name_of(saved.head) +
                           ", which says nothing about records of the kind " + programs::name_of_kind(kind) +
                           "; it is evaluated on those of: " + fits);
}

// ---- How scores are read ---

programs::Reading reading_of(const Options& options, const programs::SavedModel& saved) {
  const ScoreMeaning meaning = programs::meaning_of(saved.head);
  programs::Reading reading = programs::reading_of(saved.about, meaning, options.normalised);
  if (!options.aggregation.empty()) {
    if (!reading.has_rows()) {
      throw merit::ConfigError(
          "--aggregation is given, but the model scores completions as a whole: there is nothing to "
          "aggregate");
    }
    reading.aggregation = merit::aggregation_from_name(options.aggregation);
  }
  if (options.neutral != "good" && options.neutral != "bad") {
    throw merit::ConfigError("--neutral is \"" + options.neutral + "\", expected good or bad");
  }
  reading.options.last = options.last;
  reading.neutral_is_good = options.neutral == "good";
  return reading;
}

/// The threshold asked for; else for steps what was fitted with the calibration, else one half.
double threshold_of(const Options& options, bool given, const programs::SavedModel& saved,
                    const programs::Reading& reading) {
  if (given) return options.threshold;
  if (reading.meaning != ScoreMeaning::per_step || !saved.card) return 0.5;
  const auto fitted = saved.card->other.find("step_threshold");
  if (fitted == saved.card->other.end() || !fitted->is_number()) return 0.5;
  const double threshold = fitted->get<double>();
  if (!reading.calibrated || !(threshold > 0 && threshold < 1)) return threshold;
  return merit::sigmoid(reading.scale * (std::log(threshold) - std::log1p(-threshold)) + reading.offset);
}

/// What the card says of the labels that the model learned.
merit::TokenizeOptions labels_as_trained(const std::string& directory, const programs::SavedModel& saved,
                                         RecordKind kind) {
  merit::TokenizeOptions tokenize = saved.tokenize;
  if (!saved.card) return tokenize;
  const Json& card = saved.card->other;
  const std::string where = directory + "/merit.json";
  programs::read_card(where, [&] {
    const auto named = [&](const char* field) { return merit::optional<std::string>(card, field, where); };
    if (named("step_scale") == "ternary") {
      tokenize.step_scale = merit::StepScale::ternary;  // also where no step of these files is bad
    }
    if (const auto neutral = named("neutral_steps"))
      tokenize.neutral = merit::neutral_steps_from_name(*neutral);
    if (const auto margin = named("margin"); margin && programs::name_of_kind(kind) == saved.card->kind)
      tokenize.margin = programs::ranking_margin(*margin, kind);
    tokenize.gamma = merit::optional<double>(card, "gamma", where).value_or(tokenize.gamma);
    tokenize.lambda = merit::optional<double>(card, "lambda", where).value_or(tokenize.lambda);
  });
  return tokenize;
}

// ---- The run ---

/// Throws before anything is computed when the report cannot be written, or would replace what is no report.
void check_report(const Options& options) {
  programs::check_output("--report", options.report, {.files = options.files, .folders = {options.model}});
  programs::check_own(options.report, "a report of merit_evaluate", [](const std::string& page) {
    return page.substr(0, page.find("<title>")).find(merit::ReportPage::mark) != page.npos;
  });
  merit::AtomicFile writable(options.report);
}

int run(int argc, char** argv) {
  CLI::App app(
      "Evaluates a saved reward model on held-out records or a published benchmark.\n\n"
      "Reports the figures of the records' kind (pairs, rankings, ratings, outcomes, steps, values) with "
      "95%\n"
      "bootstrap intervals over prompts, and beside them what needs no model: length, chance, one label for\n"
      "all. Files as published of RewardBench, RewardBench 2, RM-Bench, ProcessBench, PRMBench, JudgeBench,\n"
      "LLMBar and GSM8K's model solutions are known by their fields.\n",
      name);
  programs::prepare(app);
  Options options;
  const auto text = [&](const char* option, std::string& value, const char* type, const char* what) {
    return app.add_option(option, value, programs::wrapped(what))->type_name(type);
  };
  const auto number = [&](const char* option, auto& value, const char* what) {
    app.add_option(option, value, programs::wrapped(what))
        ->type_name("N")
        ->check(programs::is_number<std::remove_reference_t<decltype(value)>>, "");
  };
  app.add_option("FILE", options.files, "JSON lines of records of one kind, or a benchmark's file")
      ->type_name("FILE")
      ->default_str("");
  text("--model", options.model, "DIR", "directory of the model");
  text("--layout", options.layout, "NAME",
       "the benchmark: reward_bench, reward_bench_2, rm_bench, process_bench, prm_bench, judge_bench, "
       "llm_bar, gsm8k_solutions; empty: as the fields say");
  text("--subset-field", options.subset_field, "NAME",
       "report also by the value of this field of the records");
  text("--report", options.report, "FILE", "also write one HTML page that needs no network");
  app.add_flag("--json", options.json, "write one JSON object");
  app.add_flag("--normalised", options.normalised,
               programs::wrapped(
                   "scores by the calibration of the model's card, or by its reward mean and deviation"));
  text(
      "--aggregation", options.aggregation, "NAME",
      "how tokens or steps become one: mean, minimum, product (of logarithms), last, mean_of_last, weighted, "
      "none_below; empty: as the card says");
  number("--last", options.last, "how many the mean_of_last takes");
  app.add_option(
         "--threshold", options.threshold,
         programs::wrapped("a probability under it says wrong [for steps what --calibrate fitted, else 0.5]"))
      ->type_name("X")
      ->default_str("")
      ->check(programs::is_probability, "");
  text("--neutral", options.neutral, "NAME", "what neutral steps count as: good or bad");
  programs::declare(app, options.open);
  number("--batch-tokens", options.batch_tokens, "tokens scored at once, which bounds the memory");
  number("--threads", options.threads, "0: all; the scores do not depend on it");
  programs::parse(app, argc, argv);
  if (options.model.empty())
    throw merit::ConfigError("--model is missing: the directory of the model to evaluate");
  if (options.files.empty()) throw merit::ConfigError("FILE is missing: the records to evaluate on");
  if (options.batch_tokens == 0) throw merit::ConfigError("--batch-tokens is 0, expected at least 1");
  if (!options.report.empty()) check_report(options);

  const programs::SavedModel saved =
      programs::read_usable(options.model, programs::open_options(app, options.open), name);
  const programs::Reading reading = reading_of(options, saved);
  const double threshold = threshold_of(options, app.count("--threshold") != 0, saved, reading);

  FileKind what;
  if (!options.layout.empty()) {
    what.layout = merit::benchmark_layout_from_name(options.layout);
  } else {
    programs::require_no_pipe(options.files);
    what = kind_of(options.files[0]);
    for (const std::string& file : options.files) {
      if (const FileKind other = kind_of(file); !(other == what)) {
        throw merit::DataError(file + ": found " + other.text() + ", expected " + what.text() + " as in " +
                               options.files[0]);
      }
    }
  }

  std::optional<programs::BenchmarkSet> benchmark;
  programs::RecordSet records;
  if (what.layout) {
    benchmark = programs::read_benchmark_set(options.files, *what.layout, saved);
  } else {
    check_meaning(what.kind, saved);
    merit::TokenizeOptions tokenize = labels_as_trained(options.model, saved, what.kind);
    tokenize.keep_single_ratings = true;
    records = programs::read_records(options.files, *saved.tokenizer,
                                     {.kind = what.kind,
                                      .tokenize = tokenize,
                                      .wants_features = programs::is_features(saved.backbone),
                                      .wants_steps = reading.meaning == ScoreMeaning::per_step,
                                      .notes = true,
                                      .subset_field = options.subset_field});
    if (what.kind != RecordKind::ratings) programs::require_preferences(records, "to evaluate on");
  }
  const programs::RecordSet& set = benchmark ? benchmark->set : records;

  const auto model = programs::load_usable(saved, options.threads, name);
  merit::Progress progress("evaluating", programs::size_of(set.examples));
  programs::Evaluation evaluation = programs::evaluate(*model, set, reading, threshold, options.batch_tokens,
                                                       [&](Index done, Index) { progress.update(done); });
  progress.finish();
  if (!saved.loss) evaluation.loss.reset();  // of some loss that fits, and not of the model's

  Json json = programs::to_json(evaluation);
  json["records"] = programs::to_json(set.counts);
  std::string said = set.counts.sentence() + '\n' + programs::text_of(evaluation);
  if (benchmark) {
    const programs::BenchmarkScores scores =
        programs::benchmark_scores(*benchmark, evaluation, reading, threshold);
    json["benchmark"] = scores.json;
    said += "\n\n" + scores.text;
  } else if (!options.subset_field.empty()) {
    std::map<std::string, std::vector<Index>> subsets;
    for (Index i = 0; i < set.notes.size(); ++i) subsets[set.notes[i].subset].push_back(i);
    for (const auto& [subset, numbers] : subsets) {
      std::string report;
      try {
        const auto part = programs::evaluate_some(*model, set, evaluation, numbers, reading, threshold);
        json["subsets"][subset] = programs::to_json(part);
        report = programs::text_of(part);
      } catch (const merit::DataError& error) {  // a part may have nothing to compare where the whole has
        json["subsets"][subset] = {{"not_reported", error.what()}};
        report = std::string("not reported: ") + error.what();
      }
      said += "\n\n" + options.subset_field + " " + subset + '\n' + report;
    }
  }
  // The figures are not lost with a report that cannot be written after all.
  std::optional<merit::IoError> unwritten;
  if (!options.report.empty()) {
    try {
      programs::write_report(options.report, {.model = options.model,
                                              .tokenizer = *saved.tokenizer,
                                              .set = set,
                                              .evaluation = evaluation,
                                              .reading = reading,
                                              .threshold = threshold,
                                              .benchmark = json.value("benchmark", Json::object())});
      json["report"] = options.report;
      said += "\n\nreport in     " + options.report;
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
  return programs::run(name, [&] { return run(argc, argv); });
}
