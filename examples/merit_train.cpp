// Trains a scalar Bradley–Terry reward model on preference files.
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "merit/files.hpp"
#include "support/metrics.hpp"
#include "support/options_file.hpp"
#include "support/pairs.hpp"
#include "support/program.hpp"
#include "support/saved_model.hpp"

namespace {

using merit::Index;
using merit::Json;

constexpr const char* name = "merit_train";

// ---- Options ---

struct Options {
  std::vector<std::string> train, eval;
  std::string out, config, from, metrics;
  bool resume = false, overwrite = false, json = false;

  std::string backbone = "llama";
  Index hidden_size = 128, layers = 4, heads = 4, kv_heads = 0, intermediate_size = 0, max_positions = 2048;
  Index width = 0, frozen_layers = 0;
  bool qkv_bias = false, head_norm = false, recompute = false;
  double init_deviation = 0;

  std::string tokenizer = "bytes", truncation = "drop";
  Index max_tokens = 2048;
  bool without_prompt = false;

  merit::ScalarHead head;
  merit::PairwiseLoss loss;
  merit::TrainOptions training;
  std::string decay = "cosine";
  bool no_sharing = false;

  Index evaluate_every = 0, patience = 0, checkpoint_every = 1000;
  std::uint16_t threads = 0;
};

constexpr const char* sizes[] = {"--hidden-size",       "--layers",        "--heads",    "--kv-heads",
                                 "--intermediate-size", "--width",         "--qkv-bias", "--head-norm",
                                 "--max-positions",     "--init-deviation"};

void declare(CLI::App& app, Options& o) {
  const char* group = "Files";
  const auto number = [&](const char* option, auto& value, const char* what) {
    return app.add_option(option, value, programs::wrapped(what))
        ->group(group)
        ->type_name("N")
        ->check(programs::not_negative, "");
  };
  const auto real = [&](const char* option, double& value, const char* what) {
    return app.add_option(option, value, programs::wrapped(what))->group(group)->type_name("X");
  };
  const auto text = [&](const char* option, auto& value, const char* type, const char* what) {
    return app.add_option(option, value, programs::wrapped(what))->group(group)->type_name(type);
  };
  const auto flag = [&](const char* option, bool& value, const char* what) {
    return app.add_flag(option, value, programs::wrapped(what))->group(group);
  };

  text("--train", o.train, "FILE", "preference records to train on, JSON lines")->default_str("");
  text("--eval", o.eval, "FILE", "preference records to evaluate on")->default_str("");
  text("--out", o.out, "DIR", "where the model is saved");
  text("--config", o.config, "FILE",
       "JSON with the names of these options; \"backbone\" may also be an object like a config.json; the "
       "command line "
       "wins over it");
  text("--from", o.from, "DIR", "start from this checkpoint, with its tokenizer; its head may be missing");
  flag("--resume", o.resume,
       "go on with the run in --out, which gives the same bits as never having stopped; from the "
       "beginning where there is none");
  flag("--overwrite", o.overwrite, "replace what --out holds");
  text("--metrics", o.metrics, "FILE", "JSON lines, one an event; a resumed run appends [DIR.metrics.jsonl]");
  flag("--json", o.json, "write the result as one JSON object on stdout");

  group = "Backbone";
  text("--backbone", o.backbone, "NAME|FILE",
       "llama, gpt2, bag_of_tokens, features, or the path of a config.json");
  number("--hidden-size", o.hidden_size, "width of a hidden row (llama, gpt2)");
  number("--layers", o.layers, "layers (llama, gpt2)");
  number("--heads", o.heads, "attention heads (llama, gpt2)");
  number("--kv-heads", o.kv_heads, "heads of keys and values (llama); 0: as many as heads");
  number("--intermediate-size", o.intermediate_size,
         "width inside the MLP (llama, gpt2); 0: 8/3 of the hidden size for llama, 4 times it for gpt2");
  number("--max-positions", o.max_positions,
         "tokens a sequence may have (gpt2), or for which it is meant (llama)");
  flag("--qkv-bias", o.qkv_bias, "biases on queries, keys and values, as Qwen2 has (llama)");
  flag("--head-norm", o.head_norm, "a norm on each head's queries and keys, as Qwen3 has (llama)");
  number("--width", o.width,
         "width of an embedding (bag_of_tokens; 0: 64) or of a vector (features; 0: that of the data)");
  real("--init-deviation", o.init_deviation,
       "standard deviation of the weights at the start; 0: 1/sqrt(inputs) of each matrix");
  number("--frozen-layers", o.frozen_layers,
         "the embedding and the first N layers are not trained; 0: all are (llama, gpt2)");
  flag("--recompute", o.recompute, "activations are computed twice, which saves memory (llama, gpt2)");
  flag("--head-bias", o.head.bias, "the head has a bias; it changes no preference");

  group = "Text";
  text("--tokenizer", o.tokenizer, "NAME",
       "bytes, words:N with N hash buckets such as words:65536, or ids:N for records of token ids below N");
  number("--max-tokens", o.max_tokens, "tokens of a sequence, prompt and end of sequence included");
  text("--truncation", o.truncation, "NAME",
       "what is done with longer ones: drop, cut_left, cut_right, keep_completion, error");
  flag("--without-prompt", o.without_prompt, "ablation: the model sees completions only");

  group = "Loss";
  real("--label-smoothing", o.loss.label_smoothing,
       "share of pairs taken to be labelled the wrong way round, 0 to 0.5");
  real("--loss-scale", o.loss.scale, "factor on the difference of scores inside the sigmoid");
  real("--centering", o.loss.centering, "weight of the squared sum of a pair's scores; 0.01 is usual");

  group = "Training";
  number("--epochs", o.training.epochs, "passes over the records");
  number("--batch-size", o.training.batch_size, "records in a step");
  number("--micro-batch-tokens", o.training.micro_batch_tokens,
         "tokens computed at once, after sharing; bounds the memory and changes no gradient");
  real("--learning-rate,--lr", o.training.schedule.peak, "the highest learning rate");
  real("--warmup", o.training.schedule.warmup, "share of the steps in which the rate rises, 0 to 1");
  text("--decay", o.decay, "NAME", "how the rate falls afterwards: constant, linear, cosine");
  real("--floor", o.training.schedule.floor, "the last rate as a share of the highest, 0 to 1");
  real("--weight-decay", o.training.optimizer.weight_decay, "of AdamW; none on norms and biases");
  real("--beta1", o.training.optimizer.beta1, "of AdamW");
  real("--beta2", o.training.optimizer.beta2, "of AdamW");
  real("--epsilon", o.training.optimizer.epsilon, "of AdamW");
  real("--clip", o.training.max_gradient_norm, "the gradient's norm is cut to this; 0: not at all");
  number("--seed", o.training.seed, "of the weights at the start and of the order of records");
  flag("--no-sharing", o.no_sharing,
       "compute the common prefix of a pair twice, to measure what sharing saves");
  number("--evaluate-every", o.evaluate_every, "steps between evaluations; 0: only at the end");
  number(
      "--patience", o.patience,
      "stop after this many evaluations in a row without better accuracy; 0: never. The last model is saved");
  number("--checkpoint-every", o.checkpoint_every, "steps between checkpoints; 0: only when interrupted");
  number("--threads", o.threads, "0: all; the result does not depend on it");
}

/// Options that mean nothing together. `given` tells whether an option was given.
template <class Given>
void check_combinations(const Options& o, Given given) {
  const auto refuse = [](const std::string& sentence) { throw merit::ConfigError(sentence); };
  if (o.train.empty()) refuse("--train is missing: the preference files to train on");
  if (o.out.empty()) refuse("--out is missing: the directory in which the model is saved");
  if (o.resume && o.overwrite) refuse("--resume and --overwrite contradict each other: give one of them");
  if (o.eval.empty() && o.evaluate_every != 0) refuse("--evaluate-every is given without --eval");
  if (o.patience != 0 && o.evaluate_every == 0) refuse("--patience is given without --evaluate-every");
  if (!o.from.empty() && given("--backbone"))
    refuse("--from and --backbone contradict each other: give one of them");
}

merit::Schedule::Decay decay_from_name(const std::string& decay) {
  for (const auto kind :
       {merit::Schedule::Decay::constant, merit::Schedule::Decay::linear, merit::Schedule::Decay::cosine}) {
    if (merit::name_of(kind) == decay) return kind;
  }
  throw merit::ConfigError("--decay is \"" + decay + "\", expected one of: constant, linear, cosine");
}

// ---- What is to be trained ---

/// Sizes that a backbone does not have may not be given.
template <class Given>
void check_sizes(const std::string& backbone, Given given) {
  const std::string llama =
      " --hidden-size --layers --heads --kv-heads --intermediate-size --max-positions --qkv-bias "
      "--head-norm --init-deviation ";
  const std::string gpt2 =
      " --hidden-size --layers --heads --intermediate-size --max-positions --init-deviation ";
  const std::string takes = backbone == "llama"           ? llama
                            : backbone == "gpt2"          ? gpt2
                            : backbone == "bag_of_tokens" ? " --width --init-deviation "
                            : backbone == "features"      ? " --width "
                                                          : "";
  for (const char* size : sizes) {
    if (!given(size) || takes.find(std::string(" ") + size + " ") != takes.npos) continue;
    throw merit::ConfigError(takes.empty() ? std::string(size) + " contradicts " + backbone +
                                                 ", which sets the sizes of the backbone"
                                           : std::string(size) + " is no size of the backbone " + backbone);
  }
}

/// A backbone from its name and the sizes among the options.
std::optional<merit::BackboneConfig> backbone_by_name(const Options& o, Index vocabulary) {
  if (o.backbone == "llama") {
    const Index usual_inner = (8 * o.hidden_size / 3 + 31) / 32 * 32;
    return merit::Llama{.vocabulary_size = vocabulary,
                        .hidden_size = o.hidden_size,
                        .intermediate_size = o.intermediate_size != 0 ? o.intermediate_size : usual_inner,
                        .layers = o.layers,
                        .heads = o.heads,
                        .kv_heads = o.kv_heads != 0 ? o.kv_heads : o.heads,
                        .max_positions = o.max_positions,
                        .qkv_bias = o.qkv_bias,
                        .head_norm = o.head_norm,
                        .init_deviation = o.init_deviation};
  }
  if (o.backbone == "gpt2") {
    return merit::Gpt2{.vocabulary_size = vocabulary,
                       .hidden_size = o.hidden_size,
                       .intermediate_size = o.intermediate_size,
                       .layers = o.layers,
                       .heads = o.heads,
                       .max_positions = o.max_positions,
                       .init_deviation = o.init_deviation};
  }
  if (o.backbone == "bag_of_tokens") {
    return merit::BagOfTokens{.vocabulary_size = vocabulary,
                              .width = o.width != 0 ? o.width : 64,
                              .init_deviation = o.init_deviation};
  }
  if (o.backbone == "features") return merit::Features{.width = o.width};
  return std::nullopt;
}

/// The vectors' width in the first record, for the features backbone.
Index feature_width(const std::string& file) {
  merit::PreferenceReader reader{std::filesystem::path(file)};
  const auto record = reader.next();
  if (!record) throw merit::DataError(file + ": there is no record");
  programs::check_form(record->form, true, record->source);
  return record->chosen_features.size();
}

/// Backbone, tokenizer and head: of the checkpoint in --from, of a config.json, or by name.
template <class Given>
programs::SavedModel choose_model(const Options& o, const Json& config, Given given) {
  programs::SavedModel chosen;
  merit::TokenizeOptions& tokenize = chosen.tokenize;
  if (!o.from.empty()) {
    check_sizes("--from " + o.from, given);
    chosen = programs::read_usable(o.from, given("--tokenizer") ? o.tokenizer : "");
    if (given("--head-bias")) chosen.head.bias = o.head.bias;
    if (given("--truncation") || !chosen.card)
      tokenize.truncation = merit::truncation_from_name(o.truncation);
    if (given("--max-tokens") || !chosen.card) tokenize.max_tokens = o.max_tokens;
    if (given("--without-prompt")) tokenize.without_prompt = o.without_prompt;
  } else {
    chosen.head = o.head;
    tokenize.truncation = merit::truncation_from_name(o.truncation);
    tokenize.max_tokens = o.max_tokens;
    tokenize.without_prompt = o.without_prompt;
    chosen.tokenizer = merit::make_tokenizer(o.tokenizer);
    const bool object =
        !given("--backbone") && config.contains("backbone") && config.at("backbone").is_object();
    if (object) {
      check_sizes(o.config, given);
      chosen.backbone = merit::read_backbone_config(config.at("backbone"), o.config + ": backbone");
    } else if (auto named = backbone_by_name(o, chosen.tokenizer->vocabulary_size())) {
      check_sizes(o.backbone, given);
      chosen.backbone = *named;
      if (auto* features = std::get_if<merit::Features>(&chosen.backbone);
          features != nullptr && o.width == 0) {
        features->width = feature_width(o.train.front());
      }
    } else {
      std::error_code ignored;
      if (!std::filesystem::exists(o.backbone, ignored)) {
        throw merit::ConfigError(
            "--backbone is \"" + o.backbone +
            "\", expected llama, gpt2, bag_of_tokens, features, or the path of a config.json");
      }
      check_sizes(o.backbone, given);
      chosen.backbone = merit::read_backbone_config(std::filesystem::path(o.backbone));
    }
  }
  if (programs::is_features(chosen.backbone) && given("--tokenizer")) {
    throw merit::ConfigError("--tokenizer is given, but the backbone features reads no text");
  }
  const Index asked = tokenize.max_tokens;
  programs::fit_to_backbone(chosen.backbone, *chosen.tokenizer, tokenize);
  if (given("--max-tokens") && asked != tokenize.max_tokens) {
    throw merit::ConfigError(merit::detail::concat("--max-tokens is ", asked, ", expected at most ",
                                                   tokenize.max_tokens, ", the positions of the backbone"));
  }
  std::visit(
      [&](auto& backbone) {
        if constexpr (requires { backbone.frozen_layers; }) {
          backbone.frozen_layers = o.frozen_layers;
          backbone.recompute = o.recompute;
        } else if (given("--frozen-layers") || given("--recompute")) {
          throw merit::ConfigError("--frozen-layers and --recompute are for the backbones llama and gpt2");
        }
      },
      chosen.backbone);
  return chosen;
}

// ---- The run ---

std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);

/// Ctrl-C: the run ends after its current step. A second one ends the program at once.
void request_stop(int) {
  stop_requested = true;
  constexpr std::string_view text = "\nmerit_train: stopping after this step; once more to stop at once\n";
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, text.data(), text.size());
}
void install_handlers(bool ours) {
  struct sigaction action {};
  action.sa_handler = ours ? request_stop : SIG_DFL;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

/// What a run counts beside its steps, kept in its checkpoints.
struct Totals {
  Index tokens = 0;
  Index tokens_before_sharing = 0;
  double seconds = 0;  // in steps
  double best_accuracy = -1;
  Index evaluations_without_better = 0;

  Json json() const {
    return {{"tokens", tokens},
            {"tokens_before_sharing", tokens_before_sharing},
            {"seconds", seconds},
            {"best_accuracy", best_accuracy},
            {"evaluations_without_better", evaluations_without_better}};
  }
  static Totals from(const Json& json, const std::string& where) {
    return {merit::require<Index>(json, "tokens", where),
            merit::require<Index>(json, "tokens_before_sharing", where),
            merit::require<double>(json, "seconds", where),
            merit::require<double>(json, "best_accuracy", where),
            merit::require<Index>(json, "evaluations_without_better", where)};
  }
};

/// Everything that training needs besides the model.
struct Job {
  const Options& options;
  const programs::SavedModel& chosen;
  const merit::ModelCard card;
  const programs::PairSet& train;
  const std::optional<programs::PairSet>& eval;
  const std::string resume_command;
  const bool resumes;   // a run in --out that has not ended
  const bool finished;  // --out holds the model of a run that has
};

Json event_of(const merit::StepReport& report) {
  return {{"event", "step"},
          {"step", report.step},
          {"epoch", report.epoch},
          {"loss", report.loss},
          {"accuracy", report.accuracy},
          {"gradient_norm", report.gradient_norm},
          {"learning_rate", report.learning_rate},
          {"seconds", report.seconds},
          {"records", report.records},
          {"micro_batches", report.micro_batches},
          {"tokens", report.tokens},
          {"tokens_before_sharing", report.tokens_before_sharing}};
}

/// One run of training with one type of model.
template <class Model>
class Run {
 public:
  Run(Model& model, const Job& job)
      : model_(model),
        job_(job),
        options_(job.options),
        trainer_(model, std::span<const merit::PreferenceExample>(job.train.examples), job.options.training),
        metrics_(options_.metrics, job.resumes || job.finished) {}

  int operator()() {
    start();
    if (!job_.finished) {
      const bool interrupted = train();
      if (interrupted) return leave();
      merit::save_model(options_.out, model_, merit::described(model_, job_.card));
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
        merit::require_same(*card, merit::described(model_, job_.card), out);
      }
      merit::load_model_parameters(out, model_);
      std::fprintf(stderr, "%s: the run in %s has ended; nothing is left to train\n", name,
                   options_.out.c_str());
    } else if (job_.resumes) {
      merit::resume_run(out, model_, trainer_);
      totals_ = Totals::from(merit::read_run_notes(out), (out / "training.json: notes").string());
      std::fprintf(stderr, "%s: going on after step %zu of %zu\n", name, trainer_.steps_done(),
                   trainer_.steps());
    } else if (!options_.from.empty()) {
      programs::tell(merit::load_model_parameters(options_.from, model_, {.allow_missing_head = true}), name);
    }
    metrics_.write({{"event", job_.finished || job_.resumes ? "resume" : "start"},
                    {"step", trainer_.steps_done()},
                    {"steps", trainer_.steps()},
                    {"parameters", model_.parameters().elements()},
                    {"records", programs::to_json(job_.train.counts)}});
  }

  /// Trains to the end or until it is asked to stop; true when it was interrupted.
  bool train() {
    merit::Progress progress("training", trainer_.steps(), trainer_.steps_done());
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
      metrics_.write(event_of(report));
      // A running mean: over all steps at first, later over about the last fifty.
      const double share = 1.0 / static_cast<double>(std::min<Index>(++seen, 50));
      smooth_loss += share * (report.loss - smooth_loss);
      smooth_accuracy += share * (report.accuracy - smooth_accuracy);
      progress.update(report.step, "loss " + programs::fixed(smooth_loss, 3) + "  accuracy " +
                                       programs::fixed(smooth_accuracy, 3));
    };
    hooks.on_checkpoint = [&](Index step) {
      save();
      metrics_.write({{"event", "checkpoint"}, {"step", step}});
    };
    if (job_.eval) {
      hooks.on_evaluate = [&](Index step) {
        if (trainer_.finished()) return true;  // the last one comes after the model is saved
        evaluate({});
        progress.say("step " + std::to_string(step) + ": held-out accuracy " +
                     programs::fixed(report_->accuracy.value, 3) + ", loss " +
                     programs::fixed(report_->loss, 4));
        return is_worth_going_on();
      };
    }
    install_handlers(true);
    const merit::StopReason reason = trainer_.run(hooks);
    install_handlers(false);
    progress.finish();
    return reason == merit::StopReason::requested && !stopped_early_;
  }

  bool is_worth_going_on() {
    if (report_->accuracy.value > totals_.best_accuracy) {
      totals_.best_accuracy = report_->accuracy.value;
      totals_.evaluations_without_better = 0;
      return true;
    }
    ++totals_.evaluations_without_better;
    stopped_early_ = options_.patience != 0 && totals_.evaluations_without_better >= options_.patience;
    return !stopped_early_;
  }

  void save() {
    merit::save_run(options_.out, model_, trainer_, merit::described(model_, job_.card), totals_.json());
  }

  /// Empty `what`: without a progress of its own.
  void evaluate(const std::string& what) {
    const std::span<const merit::PreferenceExample> examples(job_.eval->examples);
    std::optional<merit::Progress> progress;
    if (!what.empty()) progress.emplace(what, examples.size());
    report_ = merit::evaluate_pairs(model_, examples, options_.training.micro_batch_tokens,
                                    progress ? programs::progress_of(*progress) : merit::OnProgress{});
    Json event = programs::to_json(*report_);
    event.update({{"event", "evaluate"}, {"step", trainer_.steps_done()}});
    metrics_.write(event);
  }

  /// Interrupted: everything is kept, and how to go on is said.
  int leave() {
    save();
    metrics_.write({{"event", "interrupted"}, {"step", trainer_.steps_done()}});
    std::fprintf(
        stderr, "%s: interrupted after step %zu of %zu; the run is saved in %s. To go on with it:\n  %s\n",
        name, trainer_.steps_done(), trainer_.steps(), options_.out.c_str(), job_.resume_command.c_str());
    if (options_.json) {
      programs::Output output;
      output.line(merit::json_text({{"out", options_.out},
                                    {"interrupted", true},
                                    {"step", trainer_.steps_done()},
                                    {"steps", trainer_.steps()},
                                    {"resume", job_.resume_command}},
                                   "the result"));
      output.flush();
    }
    return programs::interrupted;
  }

  void finish() {
    const double saved =
        totals_.tokens_before_sharing == 0
            ? 0
            : 1 - static_cast<double>(totals_.tokens) / static_cast<double>(totals_.tokens_before_sharing);
    Json json = {{"out", options_.out},
                 {"backbone", std::string(programs::name_of_kind(job_.chosen.backbone))},
                 {"parameters", model_.parameters().elements()},
                 {"step", job_.finished ? Index{0} : trainer_.steps_done()},
                 {"steps", trainer_.steps()},
                 {"stopped_early", stopped_early_},
                 {"seconds", totals_.seconds},
                 {"tokens", totals_.tokens},
                 {"tokens_before_sharing", totals_.tokens_before_sharing},
                 {"train", programs::to_json(job_.train.counts)}};
    if (job_.eval) {
      json["eval"] = programs::to_json(job_.eval->counts);
      json["evaluation"] = programs::to_json(*report_);
    }
    Json event = json;
    event["event"] = "end";
    metrics_.write(event);

    programs::Output output;
    if (options_.json) {
      output.line(merit::json_text(json, "the result"));
    } else {
      output.line("training data " + job_.train.counts.sentence());
      if (!job_.finished) {
        output.line(
            merit::detail::concat("steps         ", trainer_.steps_done(), " of ", trainer_.steps(),
                                  stopped_early_ ? ", stopped early as accuracy did not get better" : "",
                                  ", in ", merit::spell_seconds(totals_.seconds)));
        if (totals_.tokens_before_sharing != 0 && !programs::is_features(job_.chosen.backbone)) {
          output.line(merit::detail::concat("tokens        ", totals_.tokens, " computed for ",
                                            totals_.tokens_before_sharing, " in the records: sharing saved ",
                                            programs::fixed(100 * saved, 1), "%"));
        }
      }
      if (job_.eval) {
        output.line("held-out data " + job_.eval->counts.sentence());
        output.line(programs::text_of(*report_));
      }
      output.line("saved in      " + options_.out);
    }
    output.flush();
  }

  Model& model_;
  const Job& job_;
  const Options& options_;
  merit::Trainer<Model, merit::PreferenceExample> trainer_;
  programs::MetricsFile metrics_;
  Totals totals_;
  std::optional<merit::PairReport> report_;  // of the parameters as they are
  bool stopped_early_ = false;
};

/// The command that goes on with this run.
std::string resume_command(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = 0; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument != "--resume" && argument != "--overwrite") arguments.push_back(argument);
  }
  arguments.push_back("--resume");
  return programs::shell_text(arguments);
}

int run(int argc, char** argv) {
  CLI::App app(
      "Trains a scalar reward model on pairs of completions (Bradley-Terry) and saves it.\n\n"
      "  merit_train --train train.jsonl --eval eval.jsonl --out model\n\n"
      "A record is a JSON object a line: {\"prompt\": ..., \"chosen\": ..., \"rejected\": ...}. Ctrl-C saves "
      "the run and\n"
      "says how to go on with it. Exit codes: 0 done, 1 data or files, 2 options, 130 interrupted.\n",
      name);
  programs::prepare(app);
  Options options;
  declare(app, options);
  programs::parse(app, argc, argv);
  Json config = Json::object();
  if (!options.config.empty()) config = programs::read_options_file(app, options.config, "backbone");
  const auto given = [&app](const std::string& option) { return app.count(option) != 0; };
  check_combinations(options, given);
  options.training.schedule.decay = decay_from_name(options.decay);
  options.training.sharing = options.no_sharing ? merit::Sharing::no : merit::Sharing::yes;
  options.training.validate();
  options.loss.validate();

  // What is there, and whether it may be written, before hours are spent.
  std::filesystem::path out = std::filesystem::path(options.out).lexically_normal();
  if (out.filename().empty()) out = out.parent_path();
  if (options.metrics.empty()) options.metrics = out.string() + ".metrics.jsonl";
  const bool has_run = merit::has_run(out);
  const bool has_model = !has_run && merit::read_model_card(out).has_value();
  if ((has_run || has_model) && !options.resume && !options.overwrite) {
    throw merit::ConfigError(options.out +
                             (has_run ? " holds a run that was interrupted: give --resume to go on with it"
                                      : " holds a trained model: give another --out to keep it") +
                             ", or --overwrite to replace it");
  }
  { merit::AtomicDirectory writable(out, "merit.json"); }

  const programs::SavedModel chosen = choose_model(options, config, given);
  const bool features = programs::is_features(chosen.backbone);
  const programs::PairSet train =
      programs::read_pairs(options.train, *chosen.tokenizer, chosen.tokenize, features);
  std::optional<programs::PairSet> eval;
  if (!options.eval.empty()) {
    eval = programs::read_pairs(options.eval, *chosen.tokenizer, chosen.tokenize, features);
  }
  const Job job{.options = options,
                .chosen = chosen,
                .card = programs::card_of(chosen.backbone, *chosen.tokenizer, chosen.tokenize),
                .train = train,
                .eval = eval,
                .resume_command = resume_command(argc, argv),
                .resumes = has_run && options.resume,
                .finished = has_model && options.resume};
  return programs::with_model(
      chosen.backbone,
      {.head = chosen.head, .loss = options.loss, .threads = options.threads, .seed = options.training.seed},
      [&](auto& model) { return Run(model, job)(); });
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, [&] { return run(argc, argv); });
}
