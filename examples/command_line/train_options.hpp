// The options of merit_train: what there is, and what may not be given together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "merit/run/model_set.hpp"
#include "merit/train/train_options.hpp"
#include "open_flags.hpp"
#include "options.hpp"
#include "policy_options.hpp"
#include "source_flags.hpp"

namespace programs {

using merit::Index;

struct TrainingOptions {
  std::vector<std::string> train, eval, calibrate;
  std::string out, config, from, metrics;
  bool resume = false, overwrite = false, json = false, stream = false;

  std::string backbone = "llama";
  Index hidden_size = 128, layers = 4, heads = 4, kv_heads = 0, intermediate_size = 0, max_positions = 2048;
  Index width = 0, frozen_layers = 0;
  bool qkv_bias = false, head_norm = false;
  std::string recompute = "0";
  double init_deviation = 0;

  std::vector<PolicyOption> lora_settings = programs::lora_settings();
  std::vector<std::string> lora_targets, lora_also_trained, lora_rank_pattern, lora_alpha_pattern;
  std::string lora_pattern, base;

  std::string kind = "preference", step_separator = "\\n", step_layout = "separated",
              step_scale = "automatic", neutral = "keep", after_first_error = "keep";
  bool join_conversations = false, last_step_only = false;
  SourceFlags source;
  double validation_split = 0;
  double gamma = 1, lambda = 0.95;

  std::string head, verifier_token, bad_token = "-", good_token = "+", aggregation;
  std::vector<PolicyOption> head_settings = programs::head_settings();

  std::string tokenizer = "bytes", truncation = "drop", on_error = "stop";
  Index max_tokens = 2048;
  bool without_prompt = false, strings_as_chat = false;

  std::string loss, margin, calibration;
  std::vector<PolicyOption> loss_settings = programs::loss_settings();

  merit::TrainOptions training;
  std::string optimizer = "adamw";
  std::vector<PolicyOption> optimizer_settings = programs::optimizer_settings();
  std::string decay = "cosine";
  bool no_sharing = false;
  bool no_reward_statistics = false;

  std::string evaluate_every = "0", tensorboard;
  bool evaluate_at_start = false, keep_best = false, dry_run = false;
  Index patience = 0, checkpoint_every = 1000;
  Index folds = 0, seeds = 1;
  std::string backend = "eigen";
  std::string product_plans;
  std::uint16_t threads = 0;
  int device = 0;  // of several ranks on a machine each has a GPU of its own
};

/// Where training starts from a model that knows something already.
inline constexpr double learning_rate_from_pretrained = 1e-5;
/// Where an adapter learns, which begins with nothing.
inline constexpr double learning_rate_of_adapter = 1e-4;

inline constexpr const char* sizes[] = {"--hidden-size",       "--layers",        "--heads",    "--kv-heads",
                                        "--intermediate-size", "--width",         "--qkv-bias", "--head-norm",
                                        "--max-positions",     "--init-deviation"};

/// The heads, or the losses, that learn from some kind of records.
inline std::string trained(std::string_view merit::PolicyPair::*member) {
  std::vector<std::string> names;
  for (const merit::PolicyPair& pair : merit::policy_pairs) {
    const std::string name(pair.*member);
    if (pair.is_trained() && std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return joined(names);
}

inline std::vector<std::string> optimizers() {
  std::vector<std::string> names;
  merit::for_each_type<merit::AnyOptimizer>(
      [&](const auto& optimizer) { names.emplace_back(optimizer.name()); });
  return names;
}

inline void declare(CommandLine& line, TrainingOptions& o) {
  line.group("Files");
  line.texts(
      "--train", o.train, "FILE",
      "records to train on: JSON lines, a JSON array, CSV or TSV, also packed by gzip; or a published set as it is. "
      "FILE:weight=0.3, or FILE:0.3, makes every record of it weigh 0.3; FILE:epochs=0.5 visits one half of it in an "
      "epoch and the other half in the next, FILE:epochs=3 each record three times; FILE:weight=0.3,epochs=2 both");
  line.texts("--eval", o.eval, "FILE", "records to evaluate on");
  line.texts(
      "--calibrate", o.calibrate, "FILE",
      "records, not trained on, to fit the calibration of scores to, and for steps the threshold of errors");
  line.text("--out", o.out, "DIR", "where the model is saved");
  line.flag(
      "--stream", o.stream,
      "keep the tokens of --train in a file beside --out while it runs and not in memory, for files that are larger "
      "than it; the model is the same, bit for bit");
  line.text(
      "--config", o.config, "FILE",
      "JSON with the names of these options; \"backbone\" may also be an object like a config.json; the "
      "command line wins over it");
  line.text(
      "--from", o.from, "DIR|FILE",
      "start from this checkpoint, ours or a published one, a folder or a GGUF file, with its tokenizer and chat "
      "template; a language model without a head gets a new one");
  line.flag("--resume", o.resume,
            "go on with the run in --out, which gives the same bits as never having stopped; from the "
            "beginning where there is none");
  line.flag("--overwrite", o.overwrite, "replace what --out holds");
  line.text("--metrics", o.metrics, "FILE",
            "JSON lines, one an event; a resumed run appends [DIR.metrics.jsonl]");
  line.text("--tensorboard", o.tensorboard, "DIR", "write the same numbers as events that TensorBoard reads");
  line.flag(
      "--dry-run", o.dry_run,
      "read everything, say what a run would be (lengths, steps, time and memory by a step of the longest "
      "records, how the first record is seen) and write nothing");
  line.flag("--json", o.json, "write the result as one JSON object on stdout");

  line.group("Backbone");
  line.text("--backbone", o.backbone, "NAME|FILE",
            "llama, gpt2, bag_of_tokens, features, or the path of a config.json");
  line.number("--hidden-size", o.hidden_size, "width of a hidden row (llama, gpt2)");
  line.number("--layers", o.layers, "layers (llama, gpt2)");
  line.number("--heads", o.heads, "attention heads (llama, gpt2)");
  line.number("--kv-heads", o.kv_heads, "heads of keys and values (llama); 0: as many as heads");
  line.number("--intermediate-size", o.intermediate_size,
              "width inside the MLP (llama, gpt2); 0: 8/3 of the hidden size for llama, 4 times it for gpt2");
  line.number("--max-positions", o.max_positions,
              "tokens a sequence may have (gpt2), or for which it is meant (llama)");
  line.flag("--qkv-bias", o.qkv_bias, "biases on queries, keys and values, as Qwen2 has (llama)");
  line.flag("--head-norm", o.head_norm, "a norm on each head's queries and keys, as Qwen3 has (llama)");
  line.number("--width", o.width,
              "width of an embedding (bag_of_tokens; 0: 64) or of a vector (features; 0: that of the data)");
  line.number("--init-deviation", o.init_deviation,
              "standard deviation of the weights at the start; 0: 1/sqrt(inputs) of each matrix");
  line.number("--frozen-layers", o.frozen_layers,
              "the embedding and the first N layers are not trained; 0: all are (backbones of layers)");
  line.text(
      "--recompute", o.recompute, "N|all",
      "the first N of the layers that are trained, or all but the last, compute their activations twice (gradient "
      "checkpointing), which saves memory and changes no bit; --dry-run says how much (backbones of layers)",
      [](const std::string& given) { return is_number_or<Index>("all", given); });

  line.group(
      "Adapter (LoRA): with any of these the weights of --from stay as they are, and --out is an adapter as PEFT's");
  declare(line, o.lora_settings);
  line.texts(
      "--lora-targets", o.lora_targets, "NAME,NAME",
      "the linear maps that have one, by names or what names end with, such as q_proj,v_proj; empty: all "
      "inside layers",
      Several::commas);
  line.text("--lora-pattern", o.lora_pattern, "REGEX",
            "a regular expression for their whole names, in place of --lora-targets");
  line.texts("--lora-rank-pattern", o.lora_rank_pattern, "NAME=N,NAME=N",
             "maps that have another rank, by names as in --lora-targets", Several::commas);
  line.texts("--lora-alpha-pattern", o.lora_alpha_pattern, "NAME=X,NAME=X", "maps that have another alpha",
             Several::commas);
  line.texts("--lora-also-trained", o.lora_also_trained, "NAME,NAME",
             "modules that are trained and saved whole, as the head always is", Several::commas);
  line.text("--base", o.base, "DIR",
            "where the base model is of the adapter in --from; empty: where that says");

  line.group("Records");
  line.text("--kind", o.kind, "KIND",
            "of the records: preference, ranking, ratings, outcome, steps, value, judge");
  declare(line, o.source);
  line.number("--validation-split", o.validation_split,
              "the share of the prompts of --train that is held out and evaluated on, in place of --eval");
  line.flag("--join-conversations", o.join_conversations,
            "turns of one conversation with ranked replies become one example (ranking)");
  line.text("--step-separator", o.step_separator, "TEXT",
            "ends each step; \\n is a line feed, \\t a tab; with --from the checkpoint's own (steps)");
  line.text(
      "--step-layout", o.step_layout, "NAME",
      "how prompt and steps are put together: separated, the separator behind prompt and steps; trl, as its "
      "PRMTrainer did; chat_turns, each step a user's message; with --from the checkpoint's own (steps)");
  line.text(
      "--step-scale", o.step_scale, "NAME",
      "what numbers among step labels mean: binary (0 is bad), ternary (0 is neutral), automatic (steps)");
  line.text("--neutral", o.neutral, "NAME",
            "what is done with neutral steps: keep, as_good, as_bad, unlabelled (steps)");
  line.text("--after-first-error", o.after_first_error, "NAME",
            "what is done with labels behind the first bad one: keep, unlabelled (steps)");
  line.flag("--last-step-only", o.last_step_only, "only the last label of a completion counts (steps)");
  line.number("--gamma", o.gamma, "discount of rewards to come (value)");
  line.number("--lambda", o.lambda, "of generalised advantage estimation, where records have values (value)");

  line.group("Head");
  line.text("--head", o.head, "NAME",
            trained(&merit::PolicyPair::head) + "; empty: what is usual for the kind");
  declare(line, o.head_settings);
  line.text("--verifier-token", o.verifier_token, "TEXT",
            "the token whose logit is the score; empty: the end of sequence (verifier)");
  line.text("--bad-token", o.bad_token, "TEXT", "the token of a bad step (token_logits)");
  line.text("--good-token", o.good_token, "TEXT", "the token of a good step (token_logits)");
  line.text(
      "--aggregation", o.aggregation, "NAME",
      "how scores of tokens, steps or states become one, kept in the model's card: mean, minimum, product, "
      "last, mean_of_last, weighted, none_below; empty: what is usual for the kind");

  line.group("Text");
  line.text(
      "--tokenizer", o.tokenizer, "NAME|DIR",
      "bytes, words:N with N hash buckets such as words:65536, ids:N for records of token ids below N, or a "
      "folder with tokenizer.json or another published vocabulary");
  line.flag(
      "--strings-as-chat", o.strings_as_chat,
      "a prompt and a completion that are strings are a user's message and the assistant's answer, and go "
      "through the chat template");
  line.number("--max-tokens", o.max_tokens, "tokens of a sequence, prompt and end of sequence included");
  line.text("--on-error", o.on_error, "NAME",
            "what a record that cannot be read does: stop, or skip, which counts it by its reason");
  line.text("--truncation", o.truncation, "NAME",
            "what is done with longer ones: drop, cut_left (each by itself), cut_left_together, cut_right, "
            "keep_completion, error; for encoders longest_first");
  line.flag("--without-prompt", o.without_prompt, "ablation: the model sees completions only");

  line.group("Loss");
  line.text("--loss", o.loss, "NAME",
            trained(&merit::PolicyPair::loss) + "; empty: what is usual for the head");
  declare(line, o.loss_settings);
  line.text(
      "--margin", o.margin, "NAME",
      "by how much the better one should win: none; record, what the record says; scores, score_chosen less "
      "score_rejected, or preference_strength; rating:SCALE, by the "
      "difference of ratings; strength:llama2_small or strength:llama2_large, by how many ranks it is "
      "better; empty: record for preferences, none for others (pairwise)");
  line.text(
      "--calibration", o.calibration, "NAME",
      "what --calibrate fits: temperature or platt; empty: temperature for pairs and rankings, else platt");

  line.group("Training");
  line.number("--epochs", o.training.epochs, "passes over the records");
  line.number("--max-steps", o.training.max_steps,
              "so many steps, whatever --epochs says; 0: those of the epochs");
  line.number("--batch-size", o.training.batch_size, "records in a step");
  line.number("--micro-batch-tokens", o.training.micro_batch_tokens,
              "tokens computed at once, after sharing; bounds the memory and changes no gradient");
  line.number("--learning-rate,--lr", o.training.schedule.peak,
              "the highest learning rate [with --from 1e-05, of an adapter 1e-04]");
  line.number("--warmup", o.training.schedule.warmup, "share of the steps in which the rate rises, 0 to 1");
  line.text("--decay", o.decay, "NAME", "how the rate falls afterwards: constant, linear, cosine");
  line.number("--floor", o.training.schedule.floor, "the last rate as a share of the highest, 0 to 1");
  line.text("--optimizer", o.optimizer, "NAME", joined(optimizers()));
  declare(line, o.optimizer_settings);
  line.number("--clip", o.training.max_gradient_norm, "the gradient's norm is cut to this; 0: not at all");
  line.number("--seed", o.training.seed, "of the weights at the start and of the order of records");
  line.flag(
      "--no-reward-statistics", o.no_reward_statistics,
      "leave out the mean and deviation of the rewards over the training set, which scoring it again takes a "
      "third of an epoch for; without them merit_score has no --normalised scores");
  line.flag("--fixed-tree", o.training.fixed_tree,
            "add gradients in an order that no number of ranks (mpirun -n N) changes: the same bits for any");
  line.flag("--stochastic-rounding", o.training.stochastic_rounding,
            "with --backend thrust: round weights to bfloat16 by chance, with their mean, not to nearest");
  line.flag("--no-sharing", o.no_sharing,
            "compute the common prefix of a pair twice, to measure what sharing saves");
  line.text("--evaluate-every", o.evaluate_every, "N|epoch",
            "steps between evaluations, or epoch; 0: only at the end",
            [](const std::string& given) { return is_number_or<Index>("epoch", given); });
  line.flag("--evaluate-at-start", o.evaluate_at_start, "evaluate also before the first step");
  line.flag("--keep-best", o.keep_best, "save the best model of all evaluations, not the last");
  line.number(
      "--patience", o.patience,
      "stop after this many evaluations in a row that are no better, and save the best model; 0: never "
      "stop, and save the last");
  line.number(
      "--cross-validate", o.folds,
      "save nothing; hold out each of N parts of the prompts of --train once, and report the figures of models "
      "trained on the others beside what reads nothing, with 95% intervals of the differences; 0: no");
  line.number("--seeds", o.seeds, "with --cross-validate: so many times, parts and weights drawn anew");
  line.number("--checkpoint-every", o.checkpoint_every,
              "steps between checkpoints; 0: only when interrupted");
  declare_backend(line, o.backend);
  line.text(
      "--product-plans", o.product_plans, "FILE",
      "with --backend thrust: time the algorithms of each product, and keep the fastest in FILE for the next run");
  line.number("--threads", o.threads, "0: all; the result does not depend on it");
}

/// The options that cross-validation has no use for.
inline std::vector<std::string> of_one_run() {
  return {"--out",      "--eval",      "--calibrate",         "--resume",           "--overwrite",
          "--dry-run",  "--metrics",   "--tensorboard",       "--validation-split", "--evaluate-every",
          "--patience", "--keep-best", "--evaluate-at-start", "--checkpoint-every", "--stream"};
}

/// How the files of --train are read.
inline merit::RecordSourceOptions training_source(const TrainingOptions& o) {
  merit::RecordSourceOptions source = source_options(o.source);
  source.trains = true;
  return source;
}

/// Whether an adapter is to be trained.
inline bool wants_adapter(const TrainingOptions& o, const Given& given) {
  for (const char* option : {"--lora-targets", "--lora-pattern", "--lora-rank-pattern",
                             "--lora-alpha-pattern", "--lora-also-trained"})
    if (given(option)) return true;
  return std::ranges::any_of(o.lora_settings, [&](const PolicyOption& one) { return given(one.option); });
}

/// Options that mean nothing together. `given` tells whether an option was given.
inline void check_combinations(const TrainingOptions& o, const Given& given) {
  const auto refuse = [](const std::string& sentence) { throw merit::ConfigError(sentence); };
  if (o.train.empty()) refuse("--train is missing: the files of records to train on");
  if (o.folds != 0) {
    for (const std::string& option : of_one_run()) {
      if (given(option))
        refuse(option +
               " means nothing with --cross-validate, which saves nothing and "
               "holds out parts of --train");
    }
    if (o.join_conversations)
      refuse(
          "--join-conversations and --cross-validate contradict each other: turns are judged by themselves");
  } else if (given("--seeds")) {
    refuse("--seeds is given without --cross-validate");
  }
  if (o.stream) {
    for (const char* option : {"--dry-run", "--join-conversations"}) {
      if (given(option))
        refuse(
            merit::concat("--stream and ", option,
                          " contradict each other: that needs all records at once, expected them in memory"));
    }
  }
  if (o.out.empty() && o.folds == 0 && (!o.dry_run || o.resume))
    refuse("--out is missing: the directory in which the model is saved");
  if (o.resume && o.overwrite) refuse("--resume and --overwrite contradict each other: give one of them");
  for (const std::string& file : o.train) merit::weighted_file(file);  // throws for an empty path
  for (const auto* files : {&o.eval, &o.calibrate})
    for (const std::string& file : *files) merit::require_no_epochs(file);
  if (!(o.validation_split >= 0 && o.validation_split < 1))
    refuse(
        merit::concat("--validation-split is ", o.validation_split, ", expected a share from 0 to below 1"));
  if (o.validation_split != 0 && !o.eval.empty())
    refuse("--validation-split and --eval contradict each other: give one of them");
  const bool holds_out = !o.eval.empty() || o.validation_split != 0;
  const bool evaluates = o.evaluate_every != "0";
  if (!holds_out && evaluates) refuse("--evaluate-every is given without --eval");
  if (!holds_out && o.evaluate_at_start) refuse("--evaluate-at-start is given without --eval");
  if (o.patience != 0 && !evaluates) refuse("--patience is given without --evaluate-every");
  if (o.keep_best && !evaluates) refuse("--keep-best is given without --evaluate-every");
  if (o.calibrate.empty() && given("--calibration")) refuse("--calibration is given without --calibrate");
  if (o.backend != "thrust")
    for (const char* option : {"--product-plans", "--stochastic-rounding"})
      if (given(option)) refuse(merit::concat(option, " is given without --backend thrust"));
  if (o.from.empty() && wants_adapter(o, given))
    refuse(
        "an adapter is asked for (--lora-…) without --from, expected the model whose weights stay as they are");
  if (given("--frozen-layers") && wants_adapter(o, given))
    refuse(
        "--frozen-layers and an adapter (--lora-…) contradict each other: beside one all layers are frozen");
  if (!o.from.empty() && given("--backbone"))
    refuse("--from and --backbone contradict each other: give one of them");
}

/// The optimizer of that name with the numbers given. Throws ConfigError for a number of another one.
inline merit::AnyOptimizer choose_optimizer(const TrainingOptions& o, const Given& given) {
  std::optional<merit::AnyOptimizer> chosen;
  merit::for_each_type<merit::AnyOptimizer>([&](auto optimizer) {
    if (o.optimizer != optimizer.name()) return;
    set_from(o.optimizer_settings, given, optimizer);
    chosen = optimizer;
  });
  if (!chosen) {
    throw merit::ConfigError("--optimizer is \"" + o.optimizer +
                             "\", expected one of: " + joined(optimizers()));
  }
  check_owners(o.optimizer_settings, "optimizer", o.optimizer, given);
  return *chosen;
}

/// The options of some kinds of records alone.
inline std::vector<OptionOf> kind_options() {
  return {{"--join-conversations", {"ranking"}},
          {"--step-separator", {"steps"}},
          {"--step-layout", {"steps"}},
          {"--step-scale", {"steps"}},
          {"--neutral", {"steps"}},
          {"--after-first-error", {"steps"}},
          {"--last-step-only", {"steps"}},
          {"--gamma", {"value"}},
          {"--lambda", {"value"}},
          {"--aggregation", {"outcome", "steps", "value"}},
          {"--calibrate", {"preference", "judge", "ranking", "outcome", "steps"}}};
}

/// The options of some heads alone, beside their settings: tokens, said by their texts.
inline std::vector<OptionOf> head_options() {
  return {{"--verifier-token", {"verifier"}},
          {"--bad-token", {"token_logits"}},
          {"--good-token", {"token_logits"}}};
}

/// The options of some losses alone, beside their settings: margins, which are a pair's own.
inline std::vector<OptionOf> loss_options() {
  OptionOf margin{"--margin", {}};
  merit::for_each_type<merit::AnyLoss>([&](const auto& loss) {
    if (merit::reads_pairs(loss)) margin.owners.emplace_back(loss.name());
  });
  return {margin};
}

}  // namespace programs
