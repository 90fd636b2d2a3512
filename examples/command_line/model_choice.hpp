// What merit_train is to train: kind of records, backbone, head and loss, from the options.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/jobs/training_choice.hpp"
#include "merit/run/read_model_text.hpp"
#include "merit/run/record_set.hpp"
#include "open_flags.hpp"
#include "train_options.hpp"

namespace programs {

// ---- Head and loss ---

/// The settings of a head from the options. `attributes` is how many ratings a record of the data gives,
/// `compares` whether the loss reads differences of scores alone.
inline void set_head(const TrainingOptions& o, const Given& given, bool compares,
                     const merit::AnyTokenizer& tokenizer, merit::Index attributes, merit::AnyHead& any) {
  std::visit(
      [&]<class Head>(Head& head) {
        set_from(o.head_settings, given, head);
        if constexpr (std::is_same_v<Head, merit::ScalarHead>) {
          if (!compares) head.bias = true;  // a constant changes no preference, but a rating or a probability
        } else if constexpr (std::is_same_v<Head, merit::AttributeHead>) {
          if (!given("--merge-weights")) head.merge_weights.assign(attributes, 1.0);
        } else if constexpr (std::is_same_v<Head, merit::VerifierHead>) {
          head.first.token = o.verifier_token.empty()
                                 ? tokenizer.eos()
                                 : merit::token_of(o.verifier_token, tokenizer, "--verifier-token");
        } else if constexpr (requires { head.tokens; }) {
          head.tokens = {merit::token_of(o.bad_token, tokenizer, "--bad-token"),
                         merit::token_of(o.good_token, tokenizer, "--good-token")};
        }
      },
      any);
}

// ---- Records ---

/// How records become examples, of what the options say beside lengths.
inline void set_tokenize(const TrainingOptions& o, merit::RecordKind kind, bool regression,
                         const Given& given, merit::TokenizeOptions& tokenize) {
  const bool fresh = o.from.empty();  // otherwise the checkpoint's own, where nothing is said
  if (fresh || given("--step-separator")) {
    tokenize.step_separator = unescaped(o.step_separator);
    tokenize.step_split.clear();
  }
  if (fresh || given("--step-layout")) tokenize.step_layout = merit::step_layout_from_name(o.step_layout);
  tokenize.step_scale = merit::step_scale_from_name(o.step_scale);
  tokenize.neutral = merit::neutral_steps_from_name(o.neutral);
  if (o.after_first_error != "keep" && o.after_first_error != "unlabelled") {
    throw merit::ConfigError("--after-first-error is \"" + o.after_first_error +
                             "\", expected keep or unlabelled");
  }
  tokenize.stop_at_first_error = o.after_first_error == "unlabelled";
  tokenize.last_step_only = o.last_step_only;
  tokenize.gamma = o.gamma;
  tokenize.lambda = o.lambda;
  tokenize.keep_single_ratings = regression;
  if (kind == merit::RecordKind::ranking || kind == merit::RecordKind::ratings) {
    tokenize.margin = merit::ranking_margin(o.margin, kind);
  } else if (!o.margin.empty() && o.margin != "none" && o.margin != "record" &&
             (o.margin != "scores" || kind != merit::RecordKind::preference)) {
    throw merit::ConfigError("--margin is \"" + o.margin + "\", expected for records of the kind " +
                             merit::name_of_kind(kind) + " one of: none, record" +
                             (kind == merit::RecordKind::preference ? ", scores" : ""));
  }
}

// ---- Backbone ---

/// Sizes that a backbone does not have may not be given.
inline void check_sizes(const std::string& backbone, const Given& given) {
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
inline std::optional<merit::BackboneConfig> backbone_by_name(const TrainingOptions& o,
                                                             merit::Index vocabulary) {
  if (o.backbone == "llama") {
    const merit::Index usual_inner = (8 * o.hidden_size / 3 + 31) / 32 * 32;
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

/// Backbone and tokenizer: of the checkpoint in --from, of a config.json, or by name.
inline merit::SavedModel choose_backbone(const TrainingOptions& o,
                                         const std::optional<merit::SavedModel>& from,
                                         const merit::Json& config, merit::RecordKind kind,
                                         const Given& given) {
  merit::SavedModel chosen;
  merit::TokenizeOptions& tokenize = chosen.tokenize;
  if (from) {
    check_sizes("--from " + o.from, given);
    chosen = *from;
    if (given("--truncation") || !chosen.card)
      tokenize.truncation = merit::truncation_from_name(o.truncation);
    if (given("--max-tokens") || !chosen.card) tokenize.max_tokens = o.max_tokens;
    if (given("--without-prompt")) tokenize.without_prompt = o.without_prompt;
  } else {
    tokenize.truncation = merit::truncation_from_name(o.truncation);
    tokenize.max_tokens = o.max_tokens;
    tokenize.without_prompt = o.without_prompt;
    merit::ModelText text = merit::text_named(o.tokenizer);
    chosen.tokenizer = text.tokenizer;
    chosen.files = std::move(text.files);
    tokenize.conversation = std::move(text.conversation);
    tokenize.strings_as_chat = o.strings_as_chat;
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
        merit::require_no_pipe(o.train);
        features->width = merit::feature_width_in(o.train.front(), kind, training_source(o));
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
  if (merit::is_features(chosen.backbone) && given("--tokenizer")) {
    throw merit::ConfigError("--tokenizer is given, but the backbone features reads no text");
  }
  const merit::Index asked = tokenize.max_tokens;
  merit::fit_to_backbone(chosen.backbone, *chosen.tokenizer, tokenize);
  if (given("--max-tokens") && asked != tokenize.max_tokens) {
    throw merit::ConfigError(merit::concat("--max-tokens is ", asked, ", expected at most ",
                                           tokenize.max_tokens, ", the positions of the backbone"));
  }
  std::visit(
      [&](auto& backbone) {
        if constexpr (requires { backbone.frozen_layers; }) {
          backbone.frozen_layers = o.frozen_layers;
          backbone.recompute =
              o.recompute == "all" ? merit::all_layers : *number_from<merit::Index>(o.recompute);
        } else if (given("--frozen-layers") || given("--recompute")) {
          throw merit::ConfigError(
              merit::concat("--frozen-layers and --recompute are for backbones of layers, which ",
                            backbone.name(), " has none of"));
        }
      },
      chosen.backbone);
  return chosen;
}

// ---- Adapter ---

/// The numbers of names, each "NAME=NUMBER".
template <class T>
std::map<std::string, T> numbers_by_name(const std::vector<std::string>& list, const char* option) {
  std::map<std::string, T> numbers;
  for (const std::string& one : list) {
    const auto equals = one.rfind('=');
    const auto number = number_from<T>(equals == one.npos ? "" : one.substr(equals + 1));
    if (!number || equals == 0)
      throw merit::ConfigError(std::string(option) + " has \"" + one + "\", expected NAME=NUMBER");
    if (!numbers.emplace(one.substr(0, equals), *number).second)
      throw merit::ConfigError(std::string(option) + " names \"" + one.substr(0, equals) + "\" twice");
  }
  return numbers;
}

/// The adapter that the options ask for, of the model in --from.
inline merit::Adapter adapter_from(const TrainingOptions& o, const merit::SavedModel& from,
                                   const Given& given) {
  if (!from.adapters.empty())
    throw merit::ConfigError(
        "--lora-… is given, but " + o.from +
        " is an adapter itself, which is trained on as it is; give its base as --from for another");
  merit::Lora lora;
  set_from(o.lora_settings, given, lora);
  lora.targets = o.lora_targets;
  if (!o.lora_pattern.empty() && !o.lora_targets.empty())
    throw merit::ConfigError("--lora-targets and --lora-pattern contradict each other: give one of them");
  lora.pattern = o.lora_pattern;
  if (!lora.pattern.empty()) merit::expand_pattern(lora, merit::linear_maps(from.backbone));
  lora.rank_pattern = numbers_by_name<merit::Index>(o.lora_rank_pattern, "--lora-rank-pattern");
  lora.alpha_pattern = numbers_by_name<double>(o.lora_alpha_pattern, "--lora-alpha-pattern");
  lora.also_trained = o.lora_also_trained;
  lora.base = std::filesystem::absolute(from.place).lexically_normal().string();
  merit::validate(lora);
  return {.lora = lora};
}

// ---- All of it ---

struct ModelChoice {
  merit::RecordKind kind = merit::RecordKind::preference;
  merit::SavedModel model;
  merit::AnyLoss loss;
};

inline ModelChoice choose_model(const TrainingOptions& o, const merit::Json& config, const Given& given,
                                const char* program) {
  ModelChoice choice;
  choice.kind = merit::kind_named(o.kind);
  const std::string kind_name = merit::name_of_kind(choice.kind);
  check_owners(kind_options(), "kind", kind_name, given);

  // Steps are labelled good or bad, or neutral too: that decides the usual head.
  merit::StepScale scale = merit::step_scale_from_name(o.step_scale);
  if (choice.kind == merit::RecordKind::steps && scale == merit::StepScale::automatic) {
    scale = merit::step_scale_in(o.train, training_source(o));
  }
  std::string usual_head = scale == merit::StepScale::ternary ? "step_ternary" : "";
  std::optional<merit::SavedModel> from;
  if (!o.from.empty()) {
    merit::OpenOptions open{.tokenizer = given("--tokenizer") ? o.tokenizer : "",
                            .makes_head = !o.head.empty()};
    if (given("--strings-as-chat")) open.strings_as_chat = o.strings_as_chat;
    open.base = o.base;
    from = read_usable(o.from, open, program);
    if (wants_adapter(o, given)) from->adapters.push_back(adapter_from(o, *from, given));
    if (from->has_head) usual_head = merit::name_of(from->head);
  }
  const merit::PolicyPair policies = merit::choose_policies(choice.kind, o.head, o.loss, usual_head);
  const std::string head_name(policies.head);
  const std::string loss_name(policies.loss);
  check_owners(o.head_settings, "head", head_name, given);
  check_owners(head_options(), "head", head_name, given);
  check_owners(o.loss_settings, "loss", loss_name, given);
  check_owners(loss_options(), "loss", loss_name, given);

  choice.model = choose_backbone(o, from, config, choice.kind, given);
  set_tokenize(o, choice.kind, loss_name == "regression", given, choice.model.tokenize);
  choice.model.tokenize.step_scale = scale;
  merit::AnyHead& head = choice.model.head;
  const bool goes_on = from && from->has_head && merit::name_of(from->head) == head_name;
  head = goes_on ? from->head : *merit::head_named(head_name);
  choice.loss = *merit::loss_named(loss_name, head);
  std::visit([&](auto& loss) { set_from(o.loss_settings, given, loss); }, choice.loss);
  std::visit([](const auto& loss) { merit::validate(loss); }, choice.loss);
  bool changed = !goes_on;
  for (const OptionOf& one : o.head_settings) changed = changed || given(one.option);
  for (const OptionOf& one : head_options()) changed = changed || given(one.option);
  if (changed) {
    merit::Index attributes = 1;
    if (choice.kind == merit::RecordKind::ratings && head_name == "attributes") {
      attributes = merit::attributes_in(o.train.front(), training_source(o));
    }
    set_head(o, given, merit::compares(choice.loss), *choice.model.tokenizer, attributes, head);
  }
  return choice;
}

}  // namespace programs
