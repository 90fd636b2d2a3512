// Reading cards and checkpoints.
#include "saved_model.hpp"

#include <cstdio>
#include <limits>
#include <system_error>
#include <vector>

#include "merit/infer/aggregate.hpp"
#include "merit/model/policy_json.hpp"

namespace programs {
namespace {

merit::Index vocabulary_of(const merit::BackboneConfig& backbone) {
  return std::visit([](const auto& b) { return b.token_limit(); }, backbone);
}
merit::Index positions_of(const merit::BackboneConfig& backbone) {
  return std::visit([](const auto& b) { return b.position_limit(); }, backbone);
}

/// The tokenization options that a card holds.
merit::TokenizeOptions tokenize_options_of(const merit::ModelCard& card) {
  merit::TokenizeOptions options;
  if (card.max_tokens != 0) options.max_tokens = card.max_tokens;
  if (!card.truncation.empty()) options.truncation = merit::truncation_from_name(card.truncation);
  options.without_prompt = card.without_prompt;
  options.append_eos = card.append_eos;
  if (!card.step_separator.empty()) options.step_separator = card.step_separator;
  return options;
}

/// The loss that a card describes; nothing for one that is not of the compiled set.
std::optional<AnyLoss> loss_from(const merit::Json& card_loss, const std::string& where,
                                 const AnyHead& head) {
  std::optional<AnyLoss> loss =
      loss_named(merit::optional<std::string>(card_loss, "name", where).value_or(""), head);
  if (!loss) return loss;
  std::visit(
      [&](auto& one) {
        if constexpr (requires { merit::read_settings(card_loss, where, one); })
          merit::read_settings(card_loss, where, one);
        one.validate();
      },
      *loss);
  return loss;
}

/// Reads the description of a checkpoint, not its weights.
SavedModel read_description(const std::filesystem::path& directory) {
  std::error_code ignored;
  merit::recover_directory(directory);
  if (!std::filesystem::is_directory(directory, ignored)) {
    throw merit::IoError(directory.string() + ": there is no such directory, expected one with a model");
  }
  SavedModel saved;
  saved.card = merit::read_model_card(directory);
  saved.backbone = merit::read_backbone_config(directory);
  if (!saved.card) return saved;
  const merit::ModelCard& card = *saved.card;
  const std::string where = (directory / "merit.json").string();
  read_card(where, [&] {
    if (!card.head.empty()) saved.head = head_from(card.head, where + ": head");
    if (!card.loss.empty()) saved.loss = loss_from(card.loss, where + ": loss", saved.head);
    if (!card.tokenizer.empty()) saved.tokenizer = merit::make_tokenizer(card.tokenizer);
    saved.tokenize = tokenize_options_of(card);
    if (!card.kind.empty()) kind_named(card.kind, "field \"kind\"");
    if (!card.aggregation.empty()) merit::aggregation_from_name(card.aggregation);
    for (const char* name : {"temperature", "platt", ""}) {
      if (card.calibration == name) return;
    }
    throw merit::DataError("field \"calibration\" is \"" + card.calibration +
                           "\", expected temperature or platt");
  });
  return saved;
}

}  // namespace

merit::ModelCard card_of(const merit::BackboneConfig& backbone, const merit::AnyTokenizer& tokenizer,
                         const merit::TokenizeOptions& options) {
  merit::ModelCard card;
  if (!is_features(backbone)) {
    card.tokenizer = tokenizer.name();
    card.template_name = "plain";
  }
  card.truncation = merit::name_of(options.truncation);
  card.max_tokens = options.max_tokens == std::numeric_limits<merit::Index>::max() ? 0 : options.max_tokens;
  card.without_prompt = options.without_prompt;
  card.append_eos = options.append_eos;
  return card;
}

void fit_to_backbone(const merit::BackboneConfig& backbone, const merit::AnyTokenizer& tokenizer,
                     merit::TokenizeOptions& options) {
  if (is_features(backbone)) return;
  if (tokenizer.vocabulary_size() > vocabulary_of(backbone)) {
    throw merit::ConfigError(merit::detail::concat("the tokenizer ", tokenizer.name(), " has ",
                                                   tokenizer.vocabulary_size(), " ids, expected at most ",
                                                   vocabulary_of(backbone), ", the vocabulary of the model"));
  }
  const merit::Index positions = positions_of(backbone);
  if (positions != 0 && options.max_tokens > positions) options.max_tokens = positions;
}

SavedModel read_usable(const std::filesystem::path& directory, const std::string& tokenizer) {
  SavedModel saved = read_description(directory);
  if (!tokenizer.empty() && saved.tokenizer && saved.tokenizer->name() != tokenizer) {
    throw merit::ConfigError("--tokenizer " + tokenizer + " contradicts " + directory.string() +
                             ", whose tokenizer is " + saved.tokenizer->name());
  }
  if (!tokenizer.empty()) saved.tokenizer = merit::make_tokenizer(tokenizer);
  if (!saved.tokenizer && is_features(saved.backbone)) saved.tokenizer = merit::AnyTokenizer();
  if (!saved.tokenizer) {
    throw merit::ConfigError(
        directory.string() +
        ": no card (merit.json) names the tokenizer of this model; give it with --tokenizer");
  }
  fit_to_backbone(saved.backbone, *saved.tokenizer, saved.tokenize);
  return saved;
}

void tell(const merit::LoadReport& report, const char* program) {
  const auto list = [&](const std::vector<std::string>& names, const char* what) {
    if (names.empty()) return;
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    std::fprintf(stderr, "%s: %s: %s\n", program, what, text.c_str());
  };
  list(report.fresh, "not taken from the checkpoint, so they start anew");
  list(report.unexpected, "in the checkpoint but of no use to this model");
}

std::unique_ptr<AnyModel> load_usable(const std::filesystem::path& directory, const SavedModel& saved,
                                      int threads, const char* program) {
  std::optional<AnyLoss> loss = saved.loss;
  for (const char* name :  // else any that fits, as nothing is learned
       {"pairwise", "regression", "binary_cross_entropy", "cross_entropy", "value", "joint"}) {
    if (!loss) loss = loss_named(name, saved.head);
  }
  auto model = make_model(saved.backbone, {.head = saved.head, .loss = *loss, .threads = threads});
  tell(model->load(directory, {}), program);
  return model;
}

}  // namespace programs
