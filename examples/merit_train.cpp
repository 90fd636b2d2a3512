// Trains a reward model of any kind on files of records and saves it.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "command_line/model_choice.hpp"
#include "command_line/options_file.hpp"
#include "command_line/program.hpp"
#include "command_line/ranks.hpp"
#include "command_line/run_console.hpp"
#include "command_line/train_options.hpp"
#include "merit/core/spelled_number.hpp"
#include "merit/core/visible.hpp"
#include "merit/jobs/cross_validation.hpp"
#include "merit/jobs/metrics_file.hpp"
#include "merit/jobs/output_lock.hpp"
#include "merit/jobs/output_place.hpp"
#include "merit/jobs/training_choice.hpp"
#include "merit/jobs/training_plan.hpp"
#include "merit/jobs/training_run.hpp"
#include "merit/run/make_model.hpp"
#include "merit/run/record_set.hpp"
#include "merit/train/checkpoint.hpp"
#include "merit/train/progress.hpp"

namespace {

using merit::Index;
using merit::RecordKind;

const char* name = "merit_train";  // or merit_evaluate, where that runs this in its place

/// The command that goes on with this run.
std::string resume_command(int argc, char** argv, Index ranks) {
  std::vector<std::string> arguments;
  if (ranks > 1) arguments = {"mpirun", "-n", std::to_string(ranks)};
  for (int i = 0; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument != "--resume" && argument != "--overwrite") arguments.push_back(argument);
  }
  arguments.push_back("--resume");
  return programs::shell_text(arguments);
}

/// Throws when the best model, kept in `best` while the run goes on, would replace something that is not this run's.
void check_best(const std::filesystem::path& best, const programs::TrainingOptions& options) {
  if (std::filesystem::exists(best)) {
    const bool kept = options.resume && merit::is_kept_best(best);
    if (!kept && !options.overwrite) {
      throw merit::ConfigError(best.string() +
                               " is there, where the best model is kept until the run ends: move it "
                               "elsewhere to keep it, or give --overwrite to replace it");
    }
    if (merit::read_model_card(best)) merit::require_only_a_model(best);
  }
  if (!options.from.empty() && merit::place_of(options.from) == merit::place_of(best.string())) {
    throw merit::ConfigError("--from is " + options.from +
                             ", where the best model is kept until the run ends, expected another "
                             "folder");
  }
  merit::AtomicDirectory writable(best, "merit.json");
}

// ---- What is said at the end ---

/// Everything is kept; how to go on is said.
int tell_interrupted(const merit::RunResult& result, const programs::TrainingOptions& options,
                     const std::string& resume_command) {
  std::fprintf(stderr,
               "%s: interrupted after step %zu of %zu; the run is saved in %s. To go on with it:\n  %s\n",
               name, result.step, result.steps, merit::visible(options.out).c_str(), resume_command.c_str());
  if (options.json) {
    programs::Output output;
    output.line(merit::json_text({{"out", options.out},
                                  {"interrupted", true},
                                  {"step", result.step},
                                  {"steps", result.steps},
                                  {"resume", resume_command}},
                                 "the result"));
    output.flush();
  }
  return programs::interrupted;
}

void tell_finished(const merit::RunResult& result, const programs::TrainingOptions& options,
                   const merit::RunJob& job) {
  programs::Output output;
  if (options.json) {
    output.line(merit::json_text(result.json, "the result"));
    output.flush();
    return;
  }
  const auto say = [&](const auto&... parts) { output.line(merit::visible(merit::concat(parts...))); };
  const merit::RunTotals& totals = result.totals;
  say("training data ", job.train.account());
  if (job.start != merit::RunStart::finished) {
    say("steps         ", result.step, " of ", result.steps,
        result.stopped_early ? ", stopped early as the evaluation did not get better" : "", ", in ",
        merit::spell_seconds(totals.seconds));
    if ((options.patience != 0 || options.keep_best) && totals.best_step != 0) {
      say("best          step ", totals.best_step, ", which is the model saved");
    }
    if (totals.tokens_before_sharing != 0 && !merit::is_features(job.saved.backbone)) {
      const double saved =
          1 - static_cast<double>(totals.tokens) / static_cast<double>(totals.tokens_before_sharing);
      say("tokens        ", totals.tokens, " computed for ", totals.tokens_before_sharing,
          " in the records: sharing saved ", merit::fixed(100 * saved, 1), "%");
    }
  }
  if (job.eval != nullptr) {
    say("held-out data ", job.eval->account());
    if (const std::string seen = result.overlap.sentence(); !seen.empty()) say("overlap       ", seen);
    output.line(merit::text_of(*result.evaluation));
  }
  if (job.calibrate != nullptr) say("calibrated on ", job.calibrate->account());
  const merit::ModelCard& card = result.card;
  if (!card.calibration.empty()) {
    say("calibration   ", card.calibration, ": logits times ", merit::fixed(card.calibration_scale, 4),
        " plus ", merit::fixed(card.calibration_offset, 4),
        card.other.contains("step_threshold")
            ? "; a step under " + merit::fixed(result.threshold, 4) + " counts as wrong"
            : std::string());
  }
  say("saved in      ", options.out);
  output.flush();
}

void tell_plan(const merit::TrainingPlan& plan, const programs::TrainingOptions& options,
               const merit::RecordSet& train) {
  programs::Output output;
  if (options.json) {
    merit::Json json = merit::to_json(plan);
    json["train"] = merit::to_json(train);
    output.line(merit::json_text(json, "the plan"));
  } else {
    output.line("training data " + train.account());
    output.line(merit::text_of(plan));
    output.line(
        "nothing was written" +
        (options.out.empty() ? "" : "; without --dry-run the model goes to " + merit::visible(options.out)));
  }
  output.flush();
}

/// What is there, and whether it may be written, before hours are spent. Completes the options' paths. The first rank looks
/// for all.
struct Place {
  Place(programs::TrainingOptions& options, const programs::Ranks& ranks) : out(folder_of(options)) {
    if (options.metrics.empty()) options.metrics = out.string() + ".metrics.jsonl";
    if (ranks.leads()) look(options);
    has_run = ranks.from_first(has_run);
    finished = ranks.from_first(finished);
  }

  merit::RunStart start(const programs::TrainingOptions& options) const {
    if (finished) return merit::RunStart::finished;
    return has_run && options.resume ? merit::RunStart::interrupted : merit::RunStart::fresh;
  }

  std::filesystem::path out;
  std::optional<merit::OutputLock> lock;  // before anybody looks at what is there; a dry run needs none
  bool has_run = false;
  bool finished = false;

 private:
  void look(const programs::TrainingOptions& options) {
    if (!options.dry_run) lock.emplace(out);
    has_run = merit::has_run(out);
    const bool has_model = !has_run && merit::read_model_card(out).has_value();
    if ((has_run || has_model) && !options.resume && !options.overwrite) {
      throw merit::ConfigError(options.out +
                               (has_run ? " holds a run that was interrupted: give --resume to go on with it"
                                        : " holds a trained model: give another --out to keep it") +
                               ", or --overwrite to replace it");
    }
    finished = has_model && options.resume;
    const std::filesystem::path best = merit::best_directory(options.out);
    if ((has_run || has_model) && !finished) merit::require_only_a_model(out);
    if (!options.dry_run) merit::AtomicDirectory writable(out, "merit.json");
    if ((options.patience != 0 || options.keep_best) && !finished) check_best(best, options);
    merit::OutputInputs inputs{.files = {options.config},
                               .folders = {out.string(), best.string(), options.from}};
    for (const auto& files : {options.train, options.eval, options.calibrate})
      for (const std::string& file : files) inputs.files.push_back(merit::weighted_file(file).path);
    merit::check_output("--metrics", options.metrics, inputs);
    merit::check_metrics(options.metrics);
  }
  static std::filesystem::path folder_of(programs::TrainingOptions& options) {
    std::filesystem::path folder = std::filesystem::path(options.out).lexically_normal();
    if (folder.filename().empty()) folder = folder.parent_path();
    if (folder.filename() == "." || folder.filename() == "..") {
      throw merit::ConfigError("--out is " + options.out +
                               ", expected a folder of its own, which a run replaces");
    }
    options.out = folder.string();
    return folder;
  }
};

/// The model to be trained, its weights drawn by `seed` or left for a file to give.
std::unique_ptr<merit::AnyModel> make(const programs::TrainingOptions& options,
                                      const programs::ModelChoice& chosen, std::uint64_t seed,
                                      merit::Initial initial) {
  return merit::make_model(chosen.model.backbone, {.head = chosen.model.head,
                                                   .loss = chosen.loss,
                                                   .backend = merit::backend_named(options.backend),
                                                   .threads = options.threads,
                                                   .device = options.device,
                                                   .product_plans = options.product_plans,
                                                   .seed = seed,
                                                   .initial = initial,
                                                   .adapters = chosen.model.adapters});
}

/// Figures of models trained on parts of the records, beside what reads nothing.
int cross_validate(const programs::TrainingOptions& options, const programs::ModelChoice& chosen,
                   const merit::RecordSet& records, const merit::ModelCard& card) {
  const merit::SavedModel& saved = chosen.model;
  const bool reads_file = !options.from.empty();
  const merit::MakeModel fresh = [&](std::uint64_t seed) {
    auto model = make(options, chosen, seed, reads_file ? merit::Initial::from_file : merit::Initial::drawn);
    if (reads_file) {
      merit::LoadOptions load = merit::load_options(saved);
      load.allow_missing_head = true;
      model->load(options.from, load);
    }
    return model;
  };
  const merit::Reading reading =
      merit::reading_of(fresh(options.training.seed)->described(card), merit::meaning_of(saved.head), false);
  merit::Progress progress("cross-validating", options.folds * options.seeds);
  const merit::CrossValidation result =
      merit::cross_validate(records, reading, fresh,
                            {.folds = options.folds,
                             .seeds = options.seeds,
                             .training = options.training,
                             .tokenize = saved.tokenize},
                            [&](Index done, Index) { progress.update(done); });
  progress.finish();
  programs::Output output;
  if (options.json) {
    merit::Json json = merit::to_json(result);
    json["train"] = merit::to_json(records);
    output.line(merit::json_text(json, "the result"));
  } else {
    output.line(records.account());
    output.line(merit::text_of(result));
  }
  output.flush();
  return 0;
}

int run(int argc, char** argv, const programs::Ranks& ranks) {
  programs::CommandLine line(
      name,
      "Trains a reward model on records of one kind and saves it.\n\n"
      "  merit_train --train train.jsonl --eval eval.jsonl --out model\n"
      "  merit_train --kind outcome --train train.jsonl --out verifier\n\n"
      "A record is a JSON object a line, by kind:\n"
      "  preference  {\"prompt\": ..., \"chosen\": ..., \"rejected\": ...}\n"
      "  ranking     {\"prompt\": ..., \"completions\": [...], \"ranks\": [0, 2, 1]}\n"
      "  ratings     {\"prompt\": ..., \"completions\": [...], \"scores\": [4.5, 2, 3]}\n"
      "  outcome     {\"prompt\": ..., \"completion\": ..., \"label\": true}\n"
      "  steps       {\"prompt\": ..., \"completions\": [steps], \"labels\": [1, 1, -1, null]}\n"
      "  value       {\"prompt\": ..., \"completion\": ..., \"reward\": 1}\n"
      "  judge       {\"prompt\": ..., \"response_a\": ..., \"response_b\": ..., \"votes\": [\"a\", "
      "\"tie\"]}\n"
      "Ctrl-C saves the run and says how to go on with it. Exit codes: 0 done, 1 data or files, 2 options,\n"
      "130 interrupted.\n");
  programs::TrainingOptions options;
  programs::declare(line, options);
  line.parse(argc, argv);
  merit::Json config = merit::Json::object();
  if (!options.config.empty()) {
    std::vector<std::string> passed_over;
    config = programs::read_options_file(
        line, options.config, "backbone",
        line.given("--cross-validate") ? programs::of_one_run() : std::vector<std::string>{}, passed_over);
    if (!passed_over.empty())
      programs::say_remarks(
          {options.config + ": not used by --cross-validate: " + programs::joined(passed_over)}, name);
  }
  const programs::Given given = [&line](const std::string& option) { return line.given(option); };
  programs::check_combinations(options, given);
  options.training.schedule.decay = programs::named_by<merit::Schedule::Decay>("--decay", options.decay);
  options.training.optimizer = programs::choose_optimizer(options, given);
  merit::backend_named(options.backend);  // throws for one that is not here, before anything is read
  options.training.sharing = options.no_sharing ? merit::Sharing::no : merit::Sharing::yes;
  options.training.validate();

  options.device = ranks.local_rank();
  const bool cross_validates = options.folds != 0;
  if (ranks.count() > 1) {
    if (cross_validates)
      throw merit::ConfigError(
          "--cross-validate trains its models one after another: expected one rank, found " +
          std::to_string(ranks.count()));
    if (!options.product_plans.empty() && options.training.fixed_tree)
      throw merit::ConfigError(
          "--product-plans and --fixed-tree contradict each other: each rank would time algorithms by itself");
    for (const auto& files : {options.train, options.eval, options.calibrate}) merit::require_no_pipe(files);
  }
  std::optional<Place> place;
  if (!cross_validates && !options.out.empty()) place.emplace(options, ranks);  // a dry run needs none

  const programs::ModelChoice chosen = programs::choose_model(options, config, given, name);
  std::string note;
  if (!options.from.empty() && !given("--learning-rate")) {
    const bool adapter = !chosen.model.adapters.empty();
    options.training.schedule.peak =
        adapter ? programs::learning_rate_of_adapter : programs::learning_rate_from_pretrained;
    note = "the learning rate is " + merit::shortest(options.training.schedule.peak) + ", as usual for " +
           (adapter ? "an adapter" : "a model that is trained already") + "; --learning-rate sets another";
  }
  const merit::SavedModel& saved = chosen.model;
  std::vector<std::string> remarks;
  merit::RecordSourceOptions source = programs::training_source(options);
  source.margin_of_scores = options.margin == "scores";
  source.on_error = programs::named_by<merit::OnError>("--on-error", options.on_error);
  merit::RecordSourceOptions held_out_source = source;
  held_out_source.margin_of_scores = false;                // what is judged needs no margin
  held_out_source.trains = options.validation_split != 0;  // else its files are others
  const auto read = [&](const std::vector<std::string>& files, const char* purpose, merit::SplitSide side) {
    const bool held_out = purpose != nullptr;
    merit::TokenizeOptions tokenize = saved.tokenize;
    if (held_out || cross_validates) {  // all labels are judged
      tokenize.to_judge = true;
      tokenize.last_step_only = tokenize.stop_at_first_error = false;
    }
    const std::string first = merit::visible(merit::weighted_file(files.front()).path);
    merit::Progress progress("reading records of " + first + (files.size() > 1 ? ", …" : ""),
                             merit::Progress::unknown);
    merit::RecordSet set = merit::read_record_set(
        files, *saved.tokenizer,
        {.kind = chosen.kind,
         .tokenize = tokenize,
         .wants_features = merit::is_features(saved.backbone),
         .wants_steps = merit::meaning_of(saved.head) == merit::ScoreMeaning::per_step,
         .notes = held_out || cross_validates || options.dry_run,
         .margins = held_out || options.margin != "none",
         .store = options.stream && !held_out ? options.out + ".examples" : std::string(),
         .attributes = merit::attributes_of(chosen.kind, saved.head, chosen.loss),
         .source = held_out ? held_out_source : source,
         .side = side,
         .held_out = options.validation_split,
         .split_seed = options.training.seed,
         .on_record = [&](Index so_far) { progress.update(so_far); }});
    progress.finish();
    if (side != merit::SplitSide::held_out)
      remarks.insert(remarks.end(), set.remarks.begin(), set.remarks.end());
    if (held_out && chosen.kind != RecordKind::ratings) merit::require_preferences(set, purpose);
    return set;
  };
  using merit::SplitSide;
  const bool split = options.validation_split != 0;
  if (split) merit::require_no_pipe(options.train);
  merit::RecordSet train = read(options.train, nullptr, split ? SplitSide::kept : SplitSide::all);
  if (merit::compares(chosen.loss))
    merit::require_preferences(train,
                               "which is what the " + merit::name_of(chosen.loss) + " loss learns from");
  if (options.join_conversations) merit::join_conversations(train);
  std::optional<merit::RecordSet> eval, calibrate;
  if (!options.eval.empty()) eval = read(options.eval, "to evaluate on", SplitSide::all);
  if (split) eval = read(options.train, "to evaluate on", SplitSide::held_out);
  if (!options.calibrate.empty()) calibrate = read(options.calibrate, "to calibrate on", SplitSide::all);

  const merit::ModelCard card =
      merit::training_card(saved, chosen.kind, train, options.aggregation, options.margin);
  if (cross_validates) {
    programs::say_remarks(remarks, name);
    return cross_validate(options, chosen, train, card);
  }
  const merit::RunStart start = place ? place->start(options) : merit::RunStart::fresh;
  const merit::RunJob job{.start = start,
                          .kind = chosen.kind,
                          .saved = saved,
                          .loss = chosen.loss,
                          .card = card,
                          .train = train,
                          .eval = eval ? &*eval : nullptr,
                          .calibrate = calibrate ? &*calibrate : nullptr};
  const bool reads_file = !options.from.empty() || (!options.dry_run && start != merit::RunStart::fresh);
  const auto model = make(options, chosen, options.training.seed,
                          reads_file ? merit::Initial::from_file : merit::Initial::drawn);
  if (options.dry_run) {
    programs::say_remarks(remarks, name);
    if (reads_file) {  // as they will be held
      merit::LoadOptions load = merit::load_options(saved);
      load.allow_missing_head = true;
      model->load(options.from, load);
    }
    tell_plan(merit::plan_training(*model, train, *saved.tokenizer, options.training), options, train);
    return 0;
  }
  programs::RunConsole console(name);
  const merit::RunResult result =
      merit::run_training(*model, job,
                          {.out = place->out,
                           .metrics = options.metrics,
                           .from = options.from,
                           .note = note,
                           .remarks = remarks,
                           .tensorboard = options.tensorboard,
                           .training = options.training,
                           .comm = ranks.comm(),
                           .evaluate_every = programs::number_from<Index>(options.evaluate_every).value_or(0),
                           .evaluate_every_epoch = options.evaluate_every == "epoch",
                           .evaluate_at_start = options.evaluate_at_start,
                           .keep_best = options.keep_best,
                           .patience = options.patience,
                           .checkpoint_every = options.checkpoint_every,
                           .calibration = options.calibration,
                           .reward_statistics = !options.no_reward_statistics,
                           .stop = &programs::stop_requested},
                          console);
  if (result.interrupted) return tell_interrupted(result, options, resume_command(argc, argv, ranks.count()));
  tell_finished(result, options, job);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 0 && std::string_view(argv[0]).ends_with("merit_evaluate")) name = "merit_evaluate";
  return programs::run(name, argv, [&] {
    const programs::Ranks ranks;
    return ranks.run(name, [&] { return run(argc, argv, ranks); });
  });
}
