// What a training run does.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "merit/comm/agree.hpp"
#include "merit/core/error.hpp"
#include "merit/core/spelled_number.hpp"
#include "merit/io/event_file.hpp"
#include "merit/io/json.hpp"
#include "merit/jobs/fit_card_body.hpp"
#include "merit/jobs/metrics_file.hpp"
#include "merit/jobs/output_place.hpp"
#include "merit/jobs/training_run.hpp"
#include "merit/run/evaluation.hpp"
#include "merit/run/kind_names.hpp"
#include "merit/run/load_saved_model.hpp"
#include "merit/run/reading.hpp"
#include "merit/train/checkpoint.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::training_run {

inline Json event_of(const StepReport& report) {
  Json event = {{"event", "step"},
                {"step", report.step},
                {"epoch", report.epoch},
                {"loss", report.loss},
                {"gradient_norm", report.gradient_norm},
                {"learning_rate", report.learning_rate},
                {"seconds", report.seconds},
                {"records", report.records},
                {"micro_batches", report.micro_batches},
                {"tokens", report.tokens},
                {"tokens_before_sharing", report.tokens_before_sharing}};
  if (report.judged != 0) event["accuracy"] = report.accuracy;
  return event;
}

inline double seconds_since_1970() {
  using namespace std::chrono;
  return duration<double>(system_clock::now().time_since_epoch()).count();
}

/// A running mean: over all values at first, later over about the last fifty.
class RunningMean {
 public:
  void add(double value) { mean_ += (value - mean_) / static_cast<double>(std::min<Index>(++seen_, 50)); }
  double value() const { return mean_; }

 private:
  double mean_ = 0;
  Index seen_ = 0;
};

inline RunTotals totals_from(const Json& json, const std::string& where) {
  return {
      require<Index>(json, "tokens", where),    require<Index>(json, "tokens_before_sharing", where),
      require<double>(json, "seconds", where),  require<double>(json, "best", where),
      require<Index>(json, "best_step", where), require<Index>(json, "evaluations_without_better", where)};
}

class Run {
 public:
  Run(AnyModel& model, const RunJob& job, const RunOptions& options, RunListener& listener)
      : model_(model),
        job_(job),
        options_(options),
        listener_(listener),
        among_(model, options.comm),
        run_(job.train.stored ? model.train(*job.train.stored, with_parts_of(job.train, options.training))
                              : model.train(job.train.examples, with_parts_of(job.train, options.training))),
        best_directory_(best_directory(options.out)) {}

  RunResult operator()() {
    require_same_ranks();
    if (job_.eval != nullptr && leads()) overlap_ = overlap_of(job_.train, job_.eval->examples);
    start();
    if (!finished()) {
      const bool stopped = train();
      if (stopped) return leave();
      if (keeps_best()) restore_best();
      saved_ = finished_card();
      saved_.other["run"] = identity();  // by which it is known when it is asked for again
      save_model(options_.out, saved_);
      if (keeps_best()) forget_best();
    }
    if (job_.eval != nullptr && !report_) evaluate("evaluating");
    return finish();
  }

 private:
  // ---- Ranks: all train and measure; the first one writes and tells ---

  bool leads() const { return model_.comm().rank() == 0; }

  /// Before anything is written: ranks that were asked for something else end with what differs.
  void require_same_ranks() const {
    if (model_.comm().size() == 1) return;
    RankFacts facts;
    facts.add("evaluate_every", options_.evaluate_every_epoch ? "epoch" : concat(options_.evaluate_every));
    facts.add("evaluate_at_start", options_.evaluate_at_start ? "yes" : "no");
    facts.add("the held-out examples' hash", job_.eval == nullptr ? "none" : fingerprint_of(*job_.eval));
    facts.add("micro_batch_tokens", concat(options_.training.micro_batch_tokens));  // by which they measure
    facts.add("checkpoint_every", concat(options_.checkpoint_every));
    facts.add("out", options_.out.string());  // from which all read the best model
    facts.add("the run there", finished() ? "finished" : resumes() ? "interrupted" : "none");
    const auto flat = identity().flatten();
    for (const auto& [name, value] : flat.items()) facts.add(name.substr(1), value.dump());
    const auto card = to_json(model_.described(job_.card)).flatten();  // how text becomes tokens, for one
    for (const auto& [name, value] : card.items()) facts.add("the card's " + name.substr(1), value.dump());
    require_same_facts(model_.comm(), facts);
  }

  bool finished() const { return job_.start == RunStart::finished; }
  bool resumes() const { return job_.start == RunStart::interrupted; }

  void start() {
    const std::filesystem::path& out = options_.out;
    if (finished()) {
      if (const auto card = read_model_card(out)) {
        require_same(*card, model_.described(job_.card), out);
        const std::string where = (out / "merit.json").string();
        require_same_run(*card, where);
        threshold_ = optional<double>(card->other, "step_threshold", where).value_or(threshold_);
        saved_ = *card;
      }
      model_.load(out, {});
      listener_.remark(concat("the run in ", out.string(), " has ended; nothing is left to train"));
      for (const std::filesystem::path& path :
           {std::filesystem::path(options_.metrics), options_.tensorboard}) {
        std::error_code ignored;
        if (path.empty() || std::filesystem::exists(path, ignored)) continue;
        listener_.remark(
            concat("nothing is written to ", path.string(), ": a run tells of its steps as it makes them"));
      }
      forget_best();  // a kill after the last save leaves it
    } else if (resumes()) {
      run_->resume(out);
      totals_ = totals_from(read_run_notes(out), (out / "training.json: notes").string());
      listener_.remark(concat("going on after step ", run_->steps_done(), " of ", run_->steps()));
      if (keeps_best() && totals_.best_step != 0 && !is_kept_best(best_directory_)) {
        listener_.remark(concat("the model of step ", totals_.best_step,
                                ", the best so far, was not kept: the best is sought from here on"));
        totals_.best = RunTotals{}.best;
        totals_.best_step = totals_.evaluations_without_better = 0;
      }
    } else if (!options_.from.empty()) {
      load();
    }
    // Of a run that is not there any more.
    if (keeps_best() && !resumes() && !finished()) forget_best();
    for (const std::string& remark : options_.remarks) listener_.remark(remark);
    if (finished() || !leads()) return;  // its metrics say all of it
    metrics_.emplace(options_.metrics, resumes() ? std::optional(run_->steps_done()) : std::nullopt);
    record({{"event", resumes() ? "resume" : "start"},
            {"step", run_->steps_done()},
            {"steps", run_->steps()},
            {"kind", name_of_kind(job_.kind)},
            {"parameters", model_.parameter_count()},
            {"records", merit::to_json(job_.train)}});
    if (!options_.tensorboard.empty()) {
      events_.emplace(options_.tensorboard, seconds_since_1970());
      if (resumes()) events_->restart(run_->steps_done() + 1, seconds_since_1970());
    }
  }

  void record(const Json& event) {
    if (metrics_) metrics_->write(event);
  }

  /// What decides which model is saved: the run, how the best is sought, and what is fitted in the end.
  Json identity() const {
    Json json = run_->identity();
    json["patience"] = options_.patience;
    json["keep_best"] = options_.keep_best;
    if (keeps_best()) json["evaluate_every"] = options_.evaluate_every;
    json["aggregation"] = job_.card.aggregation;
    json["reward_statistics"] = options_.reward_statistics;
    json["calibration"] = options_.calibration;
    json["calibrate"] = job_.calibrate == nullptr ? "" : fingerprint_of(*job_.calibrate);
    return json;
  }
  static std::string fingerprint_of(const RecordSet& set) {
    Fingerprint of_all;
    for_each_example(set, [&](const auto& example) { of_all.add(example); });
    return of_all.text();
  }

  /// Throws ConfigError where the run that has ended was made from other data or with other options. What was
  /// written before cards said so is taken as it is.
  void require_same_run(const ModelCard& card, const std::string& where) const {
    const auto found = card.other.find("run");
    if (found == card.other.end()) return;
    const Json asked = identity();
    Json before = *found;
    for (const char* name :
         {"patience", "keep_best", "aggregation", "reward_statistics", "calibration", "calibrate"})
      if (!before.contains(name)) before[name] = asked[name];
    const std::vector<std::string> differences = run_differences(std::move(before), asked);
    if (differences.empty()) return;
    throw ConfigError(concat(where, ": the run has ended, and it was another: ", joined(differences),
                             ". To train on from its weights, give --from ", options_.out.string(),
                             " and another --out"));
  }

  /// The weights of the checkpoint it starts with.
  void load() {
    LoadOptions load = load_options(job_.saved);
    load.allow_missing_head = true;
    LoadProgress progress([&](Index total) { listener_.begin("loading", total, 0); },
                          [&](Index done) { listener_.progress(done, "MB"); });
    load.on_progress = std::ref(progress);
    const LoadReport report = model_.load(options_.from, load);
    if (progress.begun()) listener_.end();
    for (const std::string& remark : remarks_of(report, job_.saved.head, options_.from))
      listener_.remark(remark);
    if (!options_.note.empty()) listener_.remark(options_.note);
  }

  /// Trains to the end or until it is asked to stop; true when it was interrupted.
  bool train() {
    listener_.begin("training", run_->steps(), run_->steps_done());
    RunningMean loss, accuracy, tokens, seconds;
    TrainHooks hooks;
    hooks.stop = options_.stop;
    hooks.evaluate_every = options_.evaluate_every_epoch ? run_->steps_per_epoch() : options_.evaluate_every;
    hooks.checkpoint_every = options_.checkpoint_every;
    hooks.on_step = [&](const StepReport& report) {
      totals_.tokens += report.tokens;
      totals_.tokens_before_sharing += report.tokens_before_sharing;
      totals_.seconds += report.seconds;
      report_.reset();
      record(event_of(report));
      tell_tensorboard(report);
      loss.add(report.loss);
      accuracy.add(report.accuracy);
      tokens.add(static_cast<double>(report.tokens));
      seconds.add(report.seconds);
      char rate[64];
      std::snprintf(rate, sizeof rate, "  rate %.2g  %.0f tokens/s", report.learning_rate,
                    tokens.value() / std::max(seconds.value(), 1e-9));
      listener_.progress(report.step,
                         "loss " + fixed(loss.value(), 3) +
                             (report.judged == 0 ? "" : "  accuracy " + fixed(accuracy.value(), 3)) + rate);
    };
    hooks.on_checkpoint = [&](Index step) {
      save();
      record({{"event", "checkpoint"}, {"step", step}});
    };
    if (job_.eval != nullptr) {
      hooks.on_evaluate = [&](Index step) {
        // The last one comes after the model is saved, unless it may be the best.
        if (run_->finished() && !keeps_best()) return true;
        evaluate_aside(step);
        return is_worth_going_on(step);
      };
      if (options_.evaluate_at_start && run_->steps_done() == 0) evaluate_aside(0);
    }
    listener_.training(true);
    const StopReason reason = run_->run(hooks);
    listener_.training(false);
    listener_.end();
    return reason == StopReason::requested && !stopped_early_;
  }

  /// Beside the progress of the training.
  void evaluate_aside(Index step) {
    evaluate({});
    listener_.say("step " + std::to_string(step) + ": held-out " + report_->headline_name() + " " +
                  fixed(report_->headline(), 3) + loss_note());
  }

  void tell_tensorboard(const StepReport& report) {
    if (!events_) return;
    const double now = seconds_since_1970();
    events_->scalar("train/loss", report.step, report.loss, now);
    if (report.judged != 0) events_->scalar("train/accuracy", report.step, report.accuracy, now);
    events_->scalar("train/gradient_norm", report.step, report.gradient_norm, now);
    events_->scalar("train/learning_rate", report.step, report.learning_rate, now);
    events_->scalar("train/tokens_per_second", report.step,
                    static_cast<double>(report.tokens) / std::max(report.seconds, 1e-9), now);
  }

  static std::optional<double> loss_of(const Evaluation& report) {
    return report.pairs ? std::optional(report.pairs->loss) : report.loss;
  }
  std::string loss_note() const {
    const std::optional<double> loss = loss_of(*report_);
    return loss ? ", loss " + fixed(*loss, 4) : "";
  }

  // ---- The best model, kept beside --out while the run goes on ---

  bool keeps_best() const { return options_.keep_best || options_.patience != 0; }

  bool is_worth_going_on(Index step) {
    if (totals_.best_step == 0 || report_->headline() > totals_.best) {
      totals_.best = report_->headline();
      totals_.best_step = step;
      totals_.evaluations_without_better = 0;
      if (keeps_best()) keep_best();
      return true;
    }
    ++totals_.evaluations_without_better;
    stopped_early_ = options_.patience != 0 && totals_.evaluations_without_better >= options_.patience &&
                     !run_->finished();
    return !stopped_early_;
  }

  void restore_best() {
    if (totals_.best_step == 0 || totals_.best_step == run_->steps_done()) return;
    model_.load(best_directory_, {});
    report_.reset();
    gather_values(model_.comm(), 0);  // all have read it: it may go
  }

  void keep_best() {
    ModelCard card = job_.card;
    card.other["best_so_far"] = totals_.best_step;  // by which it is known as ours
    save_model(best_directory_, card);
  }

  void forget_best() const {
    if (!leads()) return;
    std::error_code ignored;
    if (is_kept_best(best_directory_)) std::filesystem::remove_all(best_directory_, ignored);
    // What a disk that failed for a moment kept of earlier ones.
    remove_stale_temporaries(resolved(best_directory_));
  }

  // ---- Saving ---

  /// With the tokenizer and the chat template, so that the folder is whole.
  SaveOptions save_options() const { return {.files = job_.saved.files}; }

  void save() {
    if (leads()) move_foreign(options_.out);
    run_->save(options_.out, job_.card, merit::to_json(totals_), save_options());
  }

  void save_model(const std::filesystem::path& folder, const ModelCard& card) {
    if (!leads()) return;
    move_foreign(folder);
    model_.save(folder, card, save_options());
  }

  void move_foreign(const std::filesystem::path& folder) {
    for (const std::string& moved : move_foreign_files(folder)) listener_.remark(moved);
  }

  /// The card with what is measured of the finished model.
  ModelCard finished_card() {
    ModelCard card = job_.card;
    const Index budget = options_.training.micro_batch_tokens;
    if (model_.meaning() == ScoreMeaning::per_completion && options_.reward_statistics)
      measure_rewards(model_, job_.train, budget, listener_, card);
    if (job_.calibrate == nullptr) return card;
    if (const auto fitted =
            fit_calibration(model_, *job_.calibrate, options_.calibration, budget, listener_, card)) {
      threshold_ = *fitted;
      report_.reset();  // it was made with another
    }
    return card;
  }

  /// Empty `what`: without a progress of its own.
  void evaluate(const std::string& what) {
    const bool shown = !what.empty();
    if (shown) listener_.begin(what, size_of(job_.eval->examples), 0);
    const Reading reading = reading_of(model_.described(job_.card), model_.meaning(), false);
    report_ = merit::evaluate(model_, *job_.eval, reading, threshold_, options_.training.micro_batch_tokens,
                              [&](Index done, Index) {
                                if (shown) listener_.progress(done, "");
                              });
    if (shown) listener_.end();
    Json event = merit::to_json(*report_);
    event.update({{"event", "evaluate"},
                  {"step", run_->steps_done()},
                  {"headline", report_->headline()},
                  {"headline_name", report_->headline_name()}});
    record(event);
    if (events_) {
      std::string name = report_->headline_name();
      std::replace(name.begin(), name.end(), ' ', '_');
      events_->scalar("eval/" + name, run_->steps_done(), report_->headline(), seconds_since_1970());
      if (const std::optional<double> loss = loss_of(*report_))
        events_->scalar("eval/loss", run_->steps_done(), *loss, seconds_since_1970());
    }
  }

  // ---- How it ends ---

  RunResult result() const {
    return {.step = finished() ? 0 : run_->steps_done(),
            .steps = run_->steps(),
            .stopped_early = stopped_early_,
            .totals = totals_,
            .threshold = threshold_};
  }

  /// Interrupted: everything is kept.
  RunResult leave() {
    save();
    record({{"event", "interrupted"}, {"step", run_->steps_done()}});
    RunResult left = result();
    left.interrupted = true;
    return left;
  }

  RunResult finish() {
    RunResult done = result();
    done.overlap = overlap_;
    done.card = saved_;
    done.evaluation = report_;
    Json& json = done.json;
    json = {{"out", options_.out.string()},
            {"kind", name_of_kind(job_.kind)},
            {"backbone", std::string(name_of_backbone(job_.saved.backbone))},
            {"head", name_of(job_.saved.head)},
            {"loss", name_of(job_.loss)},
            {"parameters", model_.parameter_count()},
            {"step", done.step},
            {"steps", done.steps},
            {"stopped_early", stopped_early_},
            {"seconds", totals_.seconds},
            {"tokens", totals_.tokens},
            {"tokens_before_sharing", totals_.tokens_before_sharing},
            {"train", merit::to_json(job_.train)}};
    if (keeps_best() && totals_.best_step != 0) json["best_step"] = totals_.best_step;
    if (!saved_.calibration.empty()) {
      json["calibration"] = {{"name", saved_.calibration},
                             {"scale", saved_.calibration_scale},
                             {"offset", saved_.calibration_offset}};
      if (saved_.other.contains("step_threshold")) json["step_threshold"] = saved_.other["step_threshold"];
    }
    if (job_.calibrate != nullptr) json["calibrate"] = merit::to_json(*job_.calibrate);
    if (job_.eval != nullptr) {
      json["eval"] = merit::to_json(*job_.eval);
      json["evaluation"] = merit::to_json(*report_);
      json["overlap"] = {{"prompts", overlap_.prompts}, {"same", overlap_.same}};
    }
    Json event = json;
    event["event"] = "end";
    record(event);
    return done;
  }

  AnyModel& model_;
  const RunJob& job_;
  const RunOptions& options_;
  RunListener& listener_;
  WorkAmong among_;
  std::unique_ptr<AnyRun> run_;
  std::optional<MetricsFile> metrics_;  // opened when the run really starts
  std::optional<EventFile> events_;     // for TensorBoard, where it is asked for
  std::filesystem::path best_directory_;
  RunTotals totals_;
  std::optional<Evaluation> report_;  // of the parameters as they are
  ModelCard saved_;                   // of the model that has ended, with what was fitted to it
  Overlap overlap_;                   // of what is held out with what is trained on
  double threshold_ = 0.5;            // under which a step counts as wrong; fitted with the calibration
  bool stopped_early_ = false;
};

}  // namespace detail::training_run

MERIT_INLINE Json to_json(const RunTotals& totals) {
  return {{"tokens", totals.tokens},       {"tokens_before_sharing", totals.tokens_before_sharing},
          {"seconds", totals.seconds},     {"best", totals.best},
          {"best_step", totals.best_step}, {"evaluations_without_better", totals.evaluations_without_better}};
}

MERIT_INLINE std::filesystem::path best_directory(const std::filesystem::path& out) {
  return out.string() + ".best";
}

MERIT_INLINE bool is_kept_best(const std::filesystem::path& best) {
  const std::optional<ModelCard> card = read_model_card(best);
  return card && card->other.contains("best_so_far") && foreign_files(best).empty();
}

MERIT_INLINE RunResult run_training(AnyModel& model, const RunJob& job, const RunOptions& options,
                                    RunListener& listener) {
  return detail::training_run::Run(model, job, options, listener)();
}

}  // namespace MERIT_ABI
}  // namespace merit
