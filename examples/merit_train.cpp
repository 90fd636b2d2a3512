// Trains a reward model of any kind on files of records and saves it.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "support/model_choice.hpp"
#include "support/options_file.hpp"
#include "support/output_file.hpp"
#include "support/program.hpp"
#include "support/train_options.hpp"
#include "support/training_run.hpp"

namespace {

using merit::Index;
using programs::RecordKind;

constexpr const char* name = "merit_train";

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

/// Which of two labels of steps there are: none sure, as Monte-Carlo estimates are.
bool has_soft_labels(const programs::Examples& examples) {
  const auto* steps = std::get_if<std::vector<merit::StepsExample>>(&examples);
  if (steps == nullptr) return false;
  for (const merit::StepsExample& example : *steps) {
    for (const auto& label : example.labels) {
      if (label && label->bad > 0 && label->bad < 1) return true;
    }
  }
  return false;
}

/// What each score of a row stands for; nothing where it is a reward.
std::vector<std::string> labels_of(const programs::AnyHead& any_head) {
  return std::visit(
      []<class Head>(const Head&) -> std::vector<std::string> {
        constexpr Index scores = merit::head_width<Head>;
        switch (Head::meaning) {
          case merit::ScoreMeaning::per_token: return {"right"};
          case merit::ScoreMeaning::per_state: return {"return"};
          default: break;
        }
        if (scores == 3) return {"bad", "neutral", "good"};
        if (scores == 2) return {"bad", "good"};
        if (Head::meaning == merit::ScoreMeaning::per_step) return {"good"};
        return {};
      },
      any_head);
}

/// The card of the model to be: how its records were read and how its scores are to be.
merit::ModelCard card_of(const programs::TrainingOptions& o, const programs::ModelChoice& chosen,
                         const programs::Examples& examples) {
  const programs::SavedModel& model = chosen.model;
  merit::ModelCard card = programs::card_of(model);
  card.kind = programs::name_of_kind(chosen.kind);
  const programs::ScoreMeaning meaning = programs::meaning_of(model.head);
  card.labels = labels_of(model.head);
  if (meaning == programs::ScoreMeaning::per_step) {
    card.other["step_scale"] = merit::name_of(model.tokenize.step_scale);
    card.other["neutral_steps"] = merit::name_of(model.tokenize.neutral);
    // Labels that stop at an error go with the product, Monte-Carlo estimates with the last.
    card.aggregation = has_soft_labels(examples) ? "last" : "product";
  } else if (meaning == programs::ScoreMeaning::per_token) {
    card.aggregation = "mean";
  } else if (meaning == programs::ScoreMeaning::per_state) {
    card.other["gamma"] = model.tokenize.gamma;
    card.other["lambda"] = model.tokenize.lambda;
    card.aggregation = "last";
  }
  if (model.tokenize.margin) card.other["margin"] = o.margin;
  if (!o.aggregation.empty()) {
    card.aggregation = std::string(merit::name_of(merit::aggregation_from_name(o.aggregation)));
  }
  return card;
}

/// How many ratings a completion must have; 0 where the head does not learn them one by one.
Index attributes_of(const programs::ModelChoice& chosen) {
  if (chosen.kind != RecordKind::ratings || programs::name_of(chosen.loss) != "regression") return 0;
  const auto* head = std::get_if<merit::AttributeHead>(&chosen.model.head);
  return head != nullptr ? head->merge_weights.size() : 1;
}

/// Throws IoError when `folder`, which a run replaces, holds more than a model.
void require_only_a_model(const std::filesystem::path& folder) {
  const std::vector<std::string> foreign = programs::foreign_files(folder);
  if (foreign.empty()) return;
  throw merit::IoError("will not replace " + folder.string() + ": it holds " + foreign.front() +
                       ", which would be lost: move it elsewhere");
}

/// Throws when what --patience keeps in `best` would replace something that is not this run's.
void check_best(const std::filesystem::path& best, const programs::TrainingOptions& options) {
  if (std::filesystem::exists(best)) {
    const bool kept = options.resume && programs::is_kept_best(best);
    if (!kept && !options.overwrite) {
      throw merit::ConfigError(best.string() +
                               " is there, where --patience keeps the best model until the run ends: move it "
                               "elsewhere to keep it, or give --overwrite to replace it");
    }
    if (merit::read_model_card(best)) require_only_a_model(best);
  }
  if (!options.from.empty() && programs::place_of(options.from) == programs::place_of(best.string())) {
    throw merit::ConfigError("--from is " + options.from +
                             ", where --patience keeps the best model until the run ends, expected another "
                             "folder");
  }
  merit::AtomicDirectory writable(best, "merit.json");
}

int run(int argc, char** argv) {
  CLI::App app(
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
      "130 interrupted.\n",
      name);
  programs::prepare(app);
  programs::TrainingOptions options;
  programs::declare(app, options);
  programs::parse(app, argc, argv);
  merit::Json config = merit::Json::object();
  if (!options.config.empty()) config = programs::read_options_file(app, options.config, "backbone");
  const auto given = [&app](const std::string& option) { return app.count(option) != 0; };
  programs::check_combinations(options, given);
  options.training.schedule.decay = programs::named_by<merit::Schedule::Decay>("--decay", options.decay);
  options.training.optimizer = programs::choose_optimizer(options, given);
  options.training.sharing = options.no_sharing ? merit::Sharing::no : merit::Sharing::yes;
  options.training.validate();

  // What is there, and whether it may be written, before hours are spent.
  std::filesystem::path out = std::filesystem::path(options.out).lexically_normal();
  if (out.filename().empty()) out = out.parent_path();
  if (out.filename() == "." || out.filename() == "..") {
    throw merit::ConfigError("--out is " + options.out +
                             ", expected a folder of its own, which a run replaces");
  }
  options.out = out.string();
  if (options.metrics.empty()) options.metrics = out.string() + ".metrics.jsonl";
  const bool has_run = merit::has_run(out);
  const bool has_model = !has_run && merit::read_model_card(out).has_value();
  if ((has_run || has_model) && !options.resume && !options.overwrite) {
    throw merit::ConfigError(options.out +
                             (has_run ? " holds a run that was interrupted: give --resume to go on with it"
                                      : " holds a trained model: give another --out to keep it") +
                             ", or --overwrite to replace it");
  }
  const bool finished = has_model && options.resume;
  const std::filesystem::path best = programs::best_directory(options.out);
  if ((has_run || has_model) && !finished) require_only_a_model(out);
  { merit::AtomicDirectory writable(out, "merit.json"); }
  if (options.patience != 0 && !finished) check_best(best, options);
  programs::Inputs inputs{.files = {options.config}, .folders = {out.string(), best.string(), options.from}};
  for (const auto& files : {options.train, options.eval, options.calibrate})
    inputs.files.insert(inputs.files.end(), files.begin(), files.end());
  programs::check_output("--metrics", options.metrics, inputs);
  programs::check_metrics(options.metrics);

  const programs::ModelChoice chosen = programs::choose_model(options, config, given, name);
  std::string note;
  if (!options.from.empty() && !given("--learning-rate")) {
    options.training.schedule.peak = programs::learning_rate_from_pretrained;
    note = "the learning rate is " + programs::text_of(options.training.schedule.peak) +
           ", as usual for a model that is trained already; --learning-rate sets another";
  }
  const programs::SavedModel& saved = chosen.model;
  const auto read = [&](const std::vector<std::string>& files, const char* purpose) {
    const bool held_out = purpose != nullptr;
    merit::TokenizeOptions tokenize = saved.tokenize;
    if (held_out) tokenize.last_step_only = tokenize.stop_at_first_error = false;  // all labels are judged
    programs::RecordSet set = programs::read_records(
        files, *saved.tokenizer,
        {.kind = chosen.kind,
         .tokenize = tokenize,
         .wants_features = programs::is_features(saved.backbone),
         .wants_steps = programs::meaning_of(saved.head) == programs::ScoreMeaning::per_step,
         .notes = held_out,
         .attributes = attributes_of(chosen)});
    if (held_out && chosen.kind != RecordKind::ratings) programs::require_preferences(set, purpose);
    return set;
  };
  programs::RecordSet train = read(options.train, nullptr);
  if (merit::reads_pairs(chosen.loss) &&
      (chosen.kind == RecordKind::ranking || chosen.kind == RecordKind::ratings))  // soft labels are no pairs
    programs::require_preferences(
        train, "which is what the " + programs::name_of(chosen.loss) + " loss learns from");
  if (chosen.kind == RecordKind::preference && options.margin == "none") programs::remove_margins(train);
  if (options.join_conversations) programs::join_conversations(train);
  std::optional<programs::RecordSet> eval, calibrate;
  if (!options.eval.empty()) eval = read(options.eval, "to evaluate on");
  if (!options.calibrate.empty()) calibrate = read(options.calibrate, "to calibrate on");

  const programs::Job job{.program = name,
                          .options = options,
                          .chosen = chosen,
                          .card = card_of(options, chosen, train.examples),
                          .train = train,
                          .eval = eval,
                          .calibrate = calibrate,
                          .resume_command = resume_command(argc, argv),
                          .note = note,
                          .resumes = has_run && options.resume,
                          .finished = finished};
  const bool reads_file = !options.from.empty() || job.resumes || finished;
  const auto model = programs::make_model(
      saved.backbone, {.head = saved.head,
                       .loss = chosen.loss,
                       .threads = options.threads,
                       .seed = options.training.seed,
                       .initial = reads_file ? merit::Initial::from_file : merit::Initial::drawn});
  return programs::Run(*model, job)();
}

}  // namespace

int main(int argc, char** argv) {
  return programs::run(name, [&] { return run(argc, argv); });
}
