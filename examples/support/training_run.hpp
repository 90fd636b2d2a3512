// One run of merit_train: train, evaluate, keep, go on after an interruption, and say how it went.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evaluation.hpp"
#include "merit/infer/normalise.hpp"
#include "merit/train/checkpoint.hpp"
#include "merit/train/progress.hpp"
#include "metrics.hpp"
#include "model_choice.hpp"
#include "output_file.hpp"
#include "program.hpp"

namespace programs {

// ---- Ctrl-C ---

inline std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);

/// The run ends after its current step. A second one ends the program at once.
inline void request_stop(int) {
  stop_requested = true;
  constexpr std::string_view text = "\nmerit_train: stopping after this step; once more to stop at once\n";
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, text.data(), text.size());
}
inline void install_handlers(bool ours) {
  struct sigaction action {};
  action.sa_handler = ours ? request_stop : SIG_DFL;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

// ---- What is counted, and the job ---

/// What a run counts beside its steps, kept in its checkpoints.
struct Totals {
  Index tokens = 0;
  Index tokens_before_sharing = 0;
  double seconds = 0;  // in steps
  double best = -1e300;
  Index best_step = 0;  // 0: there was no evaluation yet
  Index evaluations_without_better = 0;

  Json json() const {
    return {{"tokens", tokens},       {"tokens_before_sharing", tokens_before_sharing},
            {"seconds", seconds},     {"best", best},
            {"best_step", best_step}, {"evaluations_without_better", evaluations_without_better}};
  }
  static Totals from(const Json& json, const std::string& where) {
    return {merit::require<Index>(json, "tokens", where),
            merit::require<Index>(json, "tokens_before_sharing", where),
            merit::require<double>(json, "seconds", where),
            merit::require<double>(json, "best", where),
            merit::require<Index>(json, "best_step", where),
            merit::require<Index>(json, "evaluations_without_better", where)};
  }
};

/// Everything that training needs besides the model.
struct Job {
  const char* program;
  const TrainingOptions& options;
  const ModelChoice& chosen;
  const merit::ModelCard card;
  const RecordSet& train;
  const std::optional<RecordSet>& eval;
  const std::optional<RecordSet>& calibrate;
  const std::string resume_command;
  const std::string note;  // said when training starts; empty: nothing
  const bool resumes;      // a run in --out that has not ended
  const bool finished;     // --out holds the model of a run that has
};

inline Json event_of(const merit::StepReport& report) {
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

/// Where the best model is kept while a run with --patience goes on.
inline std::filesystem::path best_directory(const std::string& out) {
  return out + ".best";
}

/// Whether the model in `best` is one that a run with --patience kept there.
inline bool is_kept_best(const std::filesystem::path& best) {
  const std::optional<merit::ModelCard> card = merit::read_model_card(best);
  return card && card->other.contains("best_so_far") && foreign_files(best).empty();
}

// ---- The run ---

class Run {
 public:
  Run(AnyModel& model, const Job& job)
      : model_(model),
        job_(job),
        options_(job.options),
        run_(model.train(job.train.examples, job.options.training)),
        best_directory_(best_directory(options_.out)) {}

  int operator()() {
    start();
    if (!job_.finished) {
      const bool stopped = train();
      if (stopped) return leave();
      if (keeps_best()) restore_best();
      saved_ = finished_card();
      save_model(options_.out, saved_);
      if (keeps_best()) forget_best();
    }
    if (job_.eval && !report_) evaluate("evaluating");
    finish();
    return 0;
  }

 private:
  void start() {
    const std::filesystem::path out(options_.out);
    if (job_.finished) {
      if (const auto card = merit::read_model_card(out)) {
        merit::require_same(*card, model_.described(job_.card), out);
        const std::string where = (out / "merit.json").string();
        threshold_ = merit::optional<double>(card->other, "step_threshold", where).value_or(threshold_);
        saved_ = *card;
      }
      model_.load(out, {});
      std::fprintf(stderr, "%s: the run in %s has ended; nothing is left to train\n", job_.program,
                   options_.out.c_str());
    } else if (job_.resumes) {
      run_->resume(out);
      totals_ = Totals::from(merit::read_run_notes(out), (out / "training.json: notes").string());
      std::fprintf(stderr, "%s: going on after step %zu of %zu\n", job_.program, run_->steps_done(),
                   run_->steps());
      if (keeps_best() && totals_.best_step != 0 && !is_kept_best(best_directory_)) {
        std::fprintf(
            stderr,
            "%s: the model of step %zu, the best so far, was not kept: the best is sought from here on\n",
            job_.program, totals_.best_step);
        totals_.best = Totals{}.best;
        totals_.best_step = totals_.evaluations_without_better = 0;
      }
    } else if (!options_.from.empty()) {
      merit::LoadOptions load_options = merit::load_options(job_.chosen.model);
      load_options.allow_missing_head = true;
      load(model_, job_.chosen.model.head, options_.from, load_options, job_.program);
      if (!job_.note.empty()) std::fprintf(stderr, "%s: %s\n", job_.program, job_.note.c_str());
    }
    // Of a run that is not there any more.
    if (keeps_best() && !job_.resumes && !job_.finished) forget_best();
    constexpr Index all = std::numeric_limits<Index>::max();
    metrics_.emplace(options_.metrics, job_.finished  ? std::optional(all)
                                       : job_.resumes ? std::optional(run_->steps_done())
                                                      : std::nullopt);
    metrics_->write({{"event", job_.finished || job_.resumes ? "resume" : "start"},
                     {"step", run_->steps_done()},
                     {"steps", run_->steps()},
                     {"kind", name_of_kind(job_.chosen.kind)},
                     {"parameters", model_.parameters()},
                     {"records", to_json(job_.train.counts)}});
  }

  /// Trains to the end or until it is asked to stop; true when it was interrupted.
  bool train() {
    merit::Progress progress("training", run_->steps(), run_->steps_done());
    double smooth_loss = 0;
    double smooth_accuracy = 0;
    Index seen = 0;
    merit::TrainHooks hooks;
    hooks.stop = &stop_requested;
    hooks.evaluate_every = options_.evaluate_every;
    hooks.checkpoint_every = options_.checkpoint_every;
    hooks.on_step = [&](const merit::StepReport& report) {
      totals_.tokens += report.tokens;
      totals_.tokens_before_sharing += report.tokens_before_sharing;
      totals_.seconds += report.seconds;
      report_.reset();
      metrics_->write(event_of(report));
      // A running mean: over all steps at first, later over about the last fifty.
      const double share = 1.0 / static_cast<double>(std::min<Index>(++seen, 50));
      smooth_loss += share * (report.loss - smooth_loss);
      smooth_accuracy += share * (report.accuracy - smooth_accuracy);
      progress.update(report.step, "loss " + fixed(smooth_loss, 3) +
                                       (report.judged == 0 ? "" : "  accuracy " + fixed(smooth_accuracy, 3)));
    };
    hooks.on_checkpoint = [&](Index step) {
      save();
      metrics_->write({{"event", "checkpoint"}, {"step", step}});
    };
    if (job_.eval) {
      hooks.on_evaluate = [&](Index step) {
        // The last one comes after the model is saved, unless it may be the best.
        if (run_->finished() && !keeps_best()) return true;
        evaluate({});
        progress.say("step " + std::to_string(step) + ": held-out " + report_->headline_name() + " " +
                     fixed(report_->headline(), 3) + loss_note());
        return is_worth_going_on(step);
      };
    }
    install_handlers(true);
    const merit::StopReason reason = run_->run(hooks);
    install_handlers(false);
    progress.finish();
    return reason == merit::StopReason::requested && !stopped_early_;
  }

  std::string loss_note() const {
    if (report_->pairs) return ", loss " + fixed(report_->pairs->loss, 4);
    return report_->loss ? ", loss " + fixed(*report_->loss, 4) : "";
  }

  // ---- The best model, kept beside --out while the run goes on ---

  bool keeps_best() const { return options_.patience != 0; }

  bool is_worth_going_on(Index step) {
    if (totals_.best_step == 0 || report_->headline() > totals_.best) {
      totals_.best = report_->headline();
      totals_.best_step = step;
      totals_.evaluations_without_better = 0;
      if (keeps_best()) keep_best();
      return true;
    }
    ++totals_.evaluations_without_better;
    stopped_early_ =
        keeps_best() && totals_.evaluations_without_better >= options_.patience && !run_->finished();
    return !stopped_early_;
  }

  void restore_best() {
    if (totals_.best_step == 0 || totals_.best_step == run_->steps_done()) return;
    model_.load(best_directory_, {});
    report_.reset();
  }

  void keep_best() {
    merit::ModelCard card = job_.card;
    card.other["best_so_far"] = totals_.best_step;  // by which it is known as ours
    save_model(best_directory_, card);
  }

  void forget_best() const {
    std::error_code ignored;
    if (is_kept_best(best_directory_)) std::filesystem::remove_all(best_directory_, ignored);
  }

  // ---- Saving ---

  /// With the tokenizer and the chat template, so that the folder is whole.
  merit::SaveOptions save_options() const { return {.files = job_.chosen.model.files}; }

  void save() {
    move_foreign_files(options_.out, job_.program);
    run_->save(options_.out, job_.card, totals_.json(), save_options());
  }

  void save_model(const std::filesystem::path& folder, const merit::ModelCard& card) {
    move_foreign_files(folder, job_.program);
    model_.save(folder, card, save_options());
  }

  /// The card with what is measured of the finished model.
  merit::ModelCard finished_card() {
    merit::ModelCard card = job_.card;
    if (model_.meaning() == ScoreMeaning::per_completion && !options_.no_reward_statistics)
      measure_rewards(card);
    if (job_.calibrate) fit_calibration(card);
    return card;
  }

  /// Mean and deviation of the rewards over the training set.
  void measure_rewards(merit::ModelCard& card) {
    const Reading reading = reading_of(model_.described(card), model_.meaning(), false);
    merit::Progress progress("measuring rewards", size_of(job_.train.examples));
    const ScoredSet set = model_.measure(job_.train.examples, options_.training.micro_batch_tokens,
                                         [&](Index done, Index) { progress.update(done); });
    std::vector<double> rewards;
    for (const merit::RowScores& rows : set.rows) rewards.push_back(completion_score(rows, model_, reading));
    try {
      const merit::Normalisation fitted = merit::fit_normalisation(rewards);
      card.reward_mean = fitted.mean;
      card.reward_deviation = fitted.deviation;
    } catch (const merit::DataError&) {  // they are all equal: there is nothing to divide by
    }
  }

  /// A calibration that cannot be fitted is said, and the model is saved without one.
  void fit_calibration(merit::ModelCard& card) {
    const Reading reading = reading_of(model_.described(card), model_.meaning(), false);
    try {
      const Evaluation evaluation =
          programs::evaluate(model_, *job_.calibrate, reading, 0.5, options_.training.micro_batch_tokens);
      const LabelledLogits logits = labelled_logits(*job_.calibrate, evaluation, reading);
      const bool pairs = evaluation.pairs || evaluation.rankings;
      const std::string name = !options_.calibration.empty() ? options_.calibration
                               : pairs                       ? "temperature"
                                                             : "platt";
      if (name == "temperature") {
        card.calibration_scale = 1 / merit::fit_temperature(logits.logits, logits.labels).value;
      } else {
        const merit::PlattScaling platt = merit::fit_platt(logits.logits, logits.labels);
        card.calibration_scale = platt.slope;
        card.calibration_offset = platt.intercept;
      }
      card.calibration = name;
      if (evaluation.steps) {
        threshold_ =
            merit::fit_step_threshold(scored_solutions(*job_.calibrate, evaluation.rows, reading)).threshold;
        card.other["step_threshold"] = threshold_;
        report_.reset();  // it was made with another
      }
    } catch (const merit::DataError& error) {
      std::fprintf(stderr, "%s: there is no calibration: %s\n", job_.program, error.what());
    }
  }

  /// Empty `what`: without a progress of its own.
  void evaluate(const std::string& what) {
    std::optional<merit::Progress> progress;
    if (!what.empty()) progress.emplace(what, size_of(job_.eval->examples));
    const Reading reading = reading_of(model_.described(job_.card), model_.meaning(), false);
    report_ = programs::evaluate(model_, *job_.eval, reading, threshold_,
                                 options_.training.micro_batch_tokens, [&](Index done, Index) {
                                   if (progress) progress->update(done);
                                 });
    Json event = to_json(*report_);
    event.update({{"event", "evaluate"},
                  {"step", run_->steps_done()},
                  {"headline", report_->headline()},
                  {"headline_name", report_->headline_name()}});
    metrics_->write(event);
  }

  // ---- How it ends ---

  /// Interrupted: everything is kept, and how to go on is said.
  int leave() {
    save();
    metrics_->write({{"event", "interrupted"}, {"step", run_->steps_done()}});
    std::fprintf(
        stderr, "%s: interrupted after step %zu of %zu; the run is saved in %s. To go on with it:\n  %s\n",
        job_.program, run_->steps_done(), run_->steps(), options_.out.c_str(), job_.resume_command.c_str());
    if (options_.json) {
      Output output;
      output.line(merit::json_text({{"out", options_.out},
                                    {"interrupted", true},
                                    {"step", run_->steps_done()},
                                    {"steps", run_->steps()},
                                    {"resume", job_.resume_command}},
                                   "the result"));
      output.flush();
    }
    return interrupted;
  }

  void finish() {
    const double saved =
        totals_.tokens_before_sharing == 0
            ? 0
            : 1 - static_cast<double>(totals_.tokens) / static_cast<double>(totals_.tokens_before_sharing);
    Json json = {{"out", options_.out},
                 {"kind", name_of_kind(job_.chosen.kind)},
                 {"backbone", std::string(merit::name_of_backbone(job_.chosen.model.backbone))},
                 {"head", name_of(job_.chosen.model.head)},
                 {"loss", name_of(job_.chosen.loss)},
                 {"parameters", model_.parameters()},
                 {"step", job_.finished ? Index{0} : run_->steps_done()},
                 {"steps", run_->steps()},
                 {"stopped_early", stopped_early_},
                 {"seconds", totals_.seconds},
                 {"tokens", totals_.tokens},
                 {"tokens_before_sharing", totals_.tokens_before_sharing},
                 {"train", to_json(job_.train.counts)}};
    if (keeps_best() && totals_.best_step != 0) json["best_step"] = totals_.best_step;
    if (!saved_.calibration.empty()) {
      json["calibration"] = {{"name", saved_.calibration},
                             {"scale", saved_.calibration_scale},
                             {"offset", saved_.calibration_offset}};
      if (saved_.other.contains("step_threshold")) json["step_threshold"] = saved_.other["step_threshold"];
    }
    if (job_.eval) {
      json["eval"] = to_json(job_.eval->counts);
      json["evaluation"] = to_json(*report_);
    }
    Json event = json;
    event["event"] = "end";
    metrics_->write(event);

    Output output;
    if (options_.json) {
      output.line(merit::json_text(json, "the result"));
    } else {
      output.line("training data " + job_.train.counts.sentence());
      if (!job_.finished) {
        output.line(merit::detail::concat(
            "steps         ", run_->steps_done(), " of ", run_->steps(),
            stopped_early_ ? ", stopped early as the evaluation did not get better" : "", ", in ",
            merit::spell_seconds(totals_.seconds)));
        if (keeps_best() && totals_.best_step != 0) {
          output.line(
              merit::detail::concat("best          step ", totals_.best_step, ", which is the model saved"));
        }
        if (totals_.tokens_before_sharing != 0 && !is_features(job_.chosen.model.backbone)) {
          output.line(merit::detail::concat("tokens        ", totals_.tokens, " computed for ",
                                            totals_.tokens_before_sharing, " in the records: sharing saved ",
                                            fixed(100 * saved, 1), "%"));
        }
      }
      if (job_.eval) {
        output.line("held-out data " + job_.eval->counts.sentence());
        output.line(text_of(*report_));
      }
      if (!saved_.calibration.empty()) {
        std::string line = "calibration   " + saved_.calibration + ": logits times " +
                           fixed(saved_.calibration_scale, 4) + " plus " +
                           fixed(saved_.calibration_offset, 4);
        if (saved_.other.contains("step_threshold"))
          line += "; a step under " + fixed(threshold_, 4) + " counts as wrong";
        output.line(line);
      }
      output.line("saved in      " + options_.out);
    }
    output.flush();
  }

  AnyModel& model_;
  const Job& job_;
  const TrainingOptions& options_;
  std::unique_ptr<AnyRun> run_;
  std::optional<MetricsFile> metrics_;  // opened when the run really starts
  std::filesystem::path best_directory_;
  Totals totals_;
  std::optional<Evaluation> report_;  // of the parameters as they are
  merit::ModelCard saved_;            // of the model that has ended, with what was fitted to it
  double threshold_ = 0.5;            // under which a step counts as wrong; fitted with the calibration
  bool stopped_early_ = false;
};

}  // namespace programs
