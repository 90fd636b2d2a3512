// What a checkpoint says about itself: which model it is, and how its text becomes tokens.
#pragma once

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/data/tokenize_options.hpp"
#include "merit/infer/aggregate.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/gguf_config.hpp"
#include "merit/model/gguf_weights.hpp"
#include "merit/model/head_tensors.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/policy_json.hpp"
#include "merit/model/published_head.hpp"
#include "merit/run/model_set.hpp"
#include "merit/run/model_text.hpp"
#include "merit/run/record_kind.hpp"
#include "merit/text/any_tokenizer.hpp"

namespace merit::inline MERIT_ABI {

/// What a checkpoint says about itself.
struct SavedModel {
  std::filesystem::path place;  // the directory or file
  BackboneConfig backbone;
  AnyHead head;
  bool has_head = true;  // false: a language model, to which a head is still to be made
  std::vector<std::pair<std::string, std::string>> head_names;  // LoadOptions::names of a published head
  std::vector<ComputedTensor> head_computed;                    // and LoadOptions::computed
  std::optional<AnyLoss> loss;            // nothing: not known, or not of the compiled set
  std::optional<ModelCard> card;          // nothing: written by another program
  ModelCard about;                        // the card, or what a published model says in its own way
  std::optional<AnyTokenizer> tokenizer;  // always there in what read_saved_model() gives
  TokenizeOptions tokenize;
  std::vector<SavedFile> files;      // of the tokenizer and the template
  std::vector<std::string> remarks;  // what its user should know, a sentence each
  std::string note_on_strings;       // one about records of strings; empty: there is nothing to say of them
};

/// What its user says of a checkpoint beside what it says itself.
struct OpenOptions {
  std::string tokenizer = {};  // of one that has none: a name that make_tokenizer() knows, or a folder
  std::string head = {};       // of one whose head is not recognised, or another than that: by its name
  std::vector<std::string> head_tokens = {};  // the tokens whose logits are read, bad before good, as text
  bool makes_head = false;                    // its own head need not be known: another is made
  std::string reading = {};                   // which token is read, as name_of(ReadingRule) says
  std::string step_separator = {};            // what ends each step
  std::optional<bool> strings_as_chat = std::nullopt;
  int threads = 0;                                                            // 0: all
  std::function<void(Index bytes_done, Index bytes_total)> on_progress = {};  // of loading
};

inline bool is_features(const BackboneConfig& backbone) {
  return std::holds_alternative<Features>(backbone);
}
inline std::string_view name_of_backbone(const BackboneConfig& backbone) {
  return std::visit([](const auto& b) { return std::string_view(b.name()); }, backbone);
}

/// What loading the weights of a checkpoint needs to know.
inline LoadOptions load_options(const SavedModel& saved) {
  LoadOptions options;
  options.names = saved.head_names;
  options.computed = saved.head_computed;
  return options;
}

namespace detail {

inline Index vocabulary_of(const BackboneConfig& backbone) {
  return std::visit([](const auto& b) { return b.token_limit(); }, backbone);
}
inline Index positions_of(const BackboneConfig& backbone) {
  return std::visit([](const auto& b) { return b.position_limit(); }, backbone);
}

/// Throws what is wrong in a card, which is data, as DataError with the card's name.
template <class F>
void read_card(const std::string& where, const F& f) {
  try {
    f();
  } catch (const Error& error) {
    const std::string what = error.what();
    throw DataError(what.starts_with(where) ? what : where + ": " + what);
  }
}

/// The tokenization options that a card holds.
inline TokenizeOptions tokenize_options_of(const ModelCard& card) {
  TokenizeOptions options;
  if (card.max_tokens != 0) options.max_tokens = card.max_tokens;
  if (!card.truncation.empty()) options.truncation = truncation_from_name(card.truncation);
  options.without_prompt = card.without_prompt;
  options.append_eos = card.append_eos;
  options.strings_as_chat = card.strings_as_chat;
  if (!card.step_separator.empty()) options.step_separator = card.step_separator;
  options.step_split = optional<std::string>(card.other, "step_split", "merit.json").value_or("");
  if (!card.reading.empty()) options.reading = reading_rule_from_name(card.reading);
  return options;
}

/// The loss that a card describes; nothing for one that is not of the compiled set.
inline std::optional<AnyLoss> loss_from(const Json& card_loss, const std::string& where,
                                        const AnyHead& head) {
  std::optional<AnyLoss> loss =
      loss_named(optional<std::string>(card_loss, "name", where).value_or(""), head);
  if (!loss) return loss;
  std::visit(
      [&](auto& one) {
        if constexpr (requires { read_settings(card_loss, where, one); })
          read_settings(card_loss, where, one);
        one.validate();
      },
      *loss);
  return loss;
}

/// The name and the hash of a template in a card: "plain", or "chat" and what tells its text from others.
struct TemplateIdentity {
  std::string name = "plain";
  std::string hash = {};
};
inline TemplateIdentity identity_of(const ConversationTemplate* conversation) {
  if (conversation == nullptr) return {};
  const std::string name = conversation->name();
  const auto colon = name.find(':');
  return {name.substr(0, colon), colon == name.npos ? "" : name.substr(colon + 1)};
}

/// Whether a tokenizer of this name is made of files.
inline bool has_files(std::string_view name) {
  return name.starts_with("pretrained:");
}

/// The tokenizer and the template of the place, its card and its user.
inline void set_text(SavedModel& saved, const OpenOptions& options) {
  const std::string where = saved.place.string();
  const std::string carded = saved.card ? saved.card->tokenizer : "";
  std::optional<ModelText> own;
  if (carded.empty() || has_files(carded)) own = read_model_text(saved.place);
  if (has_files(carded)) {
    if (!own) {
      throw DataError(concat(where, ": the card names the tokenizer ", carded,
                             ", but its files are not there: expected tokenizer.json beside the weights"));
    }
    if (own->tokenizer.name() != carded) {
      throw ConfigError(concat(where, ": a different tokenizer: found ", own->tokenizer.name(),
                               " in the files, expected ", carded, ", with which the model was trained"));
    }
  } else if (!carded.empty()) {
    read_card((saved.place / "merit.json").string(),
              [&] { own = ModelText{.tokenizer = make_tokenizer(carded)}; });
  }
  if (!options.tokenizer.empty()) {
    const ModelText given = text_named(options.tokenizer);
    if (own && own->tokenizer.name() != given.tokenizer.name()) {
      throw ConfigError(concat("--tokenizer ", options.tokenizer, " contradicts ", where,
                               ", whose tokenizer is ", own->tokenizer.name()));
    }
    if (!own) own = given;
    // Ids have no words of their own, so any vocabulary that holds them will do.
    const std::string name = given.tokenizer.name();
    if (carded.empty() && !is_features(saved.backbone) && !name.starts_with("ids:") && !has_files(name) &&
        given.tokenizer.vocabulary_size() != vocabulary_of(saved.backbone)) {
      throw ConfigError(concat("--tokenizer ", options.tokenizer, " has ", given.tokenizer.vocabulary_size(),
                               " ids, but ", where, " was trained with a vocabulary of ",
                               vocabulary_of(saved.backbone),
                               ": its scores would mean nothing; expected its own tokenizer"));
    }
  }
  if (!own && is_features(saved.backbone)) own = ModelText{};
  if (!own) {
    throw ConfigError(
        concat(where,
               ": neither files of a tokenizer (tokenizer.json, vocab.json with merges.txt, vocab.txt, "
               "tokenizer.model) nor a card (merit.json) say how text becomes tokens for this model; "
               "give a tokenizer with --tokenizer"));
  }
  saved.tokenizer = own->tokenizer;
  saved.files = std::move(own->files);
  saved.tokenize.conversation = own->conversation;
  if (options.strings_as_chat) saved.tokenize.strings_as_chat = *options.strings_as_chat;

  const TemplateIdentity found = identity_of(own->conversation.get());
  if (!saved.card || saved.card->template_name.empty()) return;
  if (saved.card->template_name == "plain") {
    saved.tokenize.conversation.reset();
  } else if (found.name != saved.card->template_name || found.hash != saved.card->template_hash) {
    throw ConfigError(concat(where, ": a different chat template: found ",
                             own->conversation ? own->conversation->name() : std::string("none"),
                             ", expected ", saved.card->template_name, ":", saved.card->template_hash,
                             ", with which the model was trained"));
  }
}

/// The one token that a text is. Throws ConfigError.
inline Token token_of(const std::string& text, const AnyTokenizer& tokenizer, const char* option) {
  std::vector<Token> tokens;
  tokenizer.encode(text, tokens);
  if (tokens.size() == 1) return tokens[0];
  throw ConfigError(concat(option, " is ", quote(text), ", which is ", tokens.size(), " tokens of ",
                           tokenizer.name(), ", expected one"));
}

/// One number of a small tensor.
inline double number_in(const WeightSource& weights, const std::string& name) {
  const TensorInfo* tensor = weights.find(name);
  if (tensor == nullptr || tensor->elements != 1) {
    throw DataError(concat(weights.path().string(), ": tensor ", quote(name), " holds no single number"));
  }
  double value = 0;
  weights.read(name, VectorView<double>(&value, 1));
  return value;
}

/// The head of a model that no card describes: as its config.json and its tensors say, or its user.
inline void set_published_head(SavedModel& saved, const OpenOptions& options) {
  HeadRequest request{.name = options.head};
  for (const std::string& text : options.head_tokens) {
    request.tokens.push_back(token_of(text, *saved.tokenizer, "--head-tokens"));
  }
  if (!options.reading.empty()) request.reading = reading_rule_from_name(options.reading);
  const std::filesystem::path file = saved.place / "config.json";
  std::error_code ignored;
  const std::optional<std::filesystem::path> gguf = find_gguf(saved.place);
  const Json config = gguf ? gguf_config_json(GgufFile(*gguf)) : read_json(file);
  const std::unique_ptr<WeightSource> weights = open_weights(saved.place);
  const std::vector<PublishedTensor> tensors = tensors_of(*weights);
  std::optional<PublishedHead> head;
  try {
    head = recognise_head(config, tensors, saved.place.string(), request);
  } catch (const DataError&) {
    if (!options.makes_head) throw;
  }
  if (!head) {
    saved.has_head = false;
    return;
  }
  std::visit([&](const auto& one) { saved.head = one; }, head->settings);
  saved.head_names = head->names;
  saved.head_computed = head->computed;
  saved.tokenize.reading = head->reading;
  saved.tokenize.step_split = head->step_split;
  if (!head->step_separator.empty()) saved.tokenize.step_separator = head->step_separator;
  saved.about.labels = head->labels;
  saved.about.step_separator = head->step_separator;
  if (!head->mean.empty()) {
    saved.about.reward_mean = number_in(*weights, head->mean);
    saved.about.reward_deviation = std::sqrt(number_in(*weights, head->variance));
  }
  if (!head->note.empty()) saved.remarks.push_back(head->note);
  std::visit(
      [&]<class Head>(const Head&) {
        auto* llama = std::get_if<Llama>(&saved.backbone);
        if (reads_unembedding<Head> && llama != nullptr && !llama->tied_embedding) llama->unembedding = true;
      },
      saved.head);
}

}  // namespace detail
/// The card of a model whose text becomes tokens like this.
inline ModelCard card_of(const SavedModel& model) {
  const AnyTokenizer& tokenizer = *model.tokenizer;
  const TokenizeOptions& options = model.tokenize;
  ModelCard card;
  if (!is_features(model.backbone)) {
    const detail::TemplateIdentity identity = detail::identity_of(options.conversation.get());
    card.tokenizer = tokenizer.name();
    card.template_name = identity.name;
    card.template_hash = identity.hash;
    card.strings_as_chat = options.strings_as_chat;
  }
  card.truncation = name_of(options.truncation);
  card.max_tokens = options.max_tokens == std::numeric_limits<Index>::max() ? 0 : options.max_tokens;
  card.without_prompt = options.without_prompt;
  card.append_eos = options.append_eos;
  if (!(options.reading == ReadingRule{})) card.reading = name_of(options.reading);
  if (!options.step_split.empty()) card.other["step_split"] = options.step_split;
  for (const SavedFile& file : model.files) card.other["files"].push_back(file.name);
  return card;
}

/// The names of the files that the card of a checkpoint lists as its own beside weights, config.json and
/// merit.json: those of its tokenizer and template. None where there is no card, or one that cannot be read.
inline std::set<std::string> kept_files(const std::filesystem::path& directory) {
  try {
    const auto card = read_model_card(directory);
    if (!card) return {};
    const auto names = optional<std::vector<std::string>>(card->other, "files", "merit.json");
    return names ? std::set<std::string>(names->begin(), names->end()) : std::set<std::string>{};
  } catch (const Error&) {
    return {};
  }
}

/// A sequence may not be longer than the model's positions, and its ids must be in the vocabulary. Throws
/// ConfigError.
inline void fit_to_backbone(const BackboneConfig& backbone, const AnyTokenizer& tokenizer,
                            TokenizeOptions& options) {
  if (is_features(backbone)) return;
  if (tokenizer.vocabulary_size() > detail::vocabulary_of(backbone)) {
    throw ConfigError(detail::concat("the tokenizer ", tokenizer.name(), " has ", tokenizer.vocabulary_size(),
                                     " ids, expected at most ", detail::vocabulary_of(backbone),
                                     ", the vocabulary of the model"));
  }
  const Index positions = detail::positions_of(backbone);
  if (positions != 0 && options.max_tokens > positions) options.max_tokens = positions;
}

/// The description of a checkpoint, not its weights: a directory as transformers or merit writes it, or a
/// GGUF file. Throws IoError, DataError about what is malformed, ConfigError about what does not go together.
inline SavedModel read_saved_model(const std::filesystem::path& place, const OpenOptions& options = {}) {
  std::error_code ignored;
  const bool directory = std::filesystem::is_directory(place, ignored);
  recover_directory(place);
  if (!directory && !std::filesystem::is_directory(place, ignored) &&
      !std::filesystem::exists(place, ignored)) {
    throw IoError(place.string() + ": there is no such directory, expected one with a model");
  }
  SavedModel saved;
  saved.place = place;
  saved.card = read_model_card(place);
  saved.backbone = read_backbone_config(place);
  if (saved.card) {
    const ModelCard& card = *saved.card;
    const std::string where = (place / "merit.json").string();
    detail::read_card(where, [&] {
      if (!card.head.empty()) saved.head = head_from(card.head, where + ": head");
      if (!card.loss.empty()) saved.loss = detail::loss_from(card.loss, where + ": loss", saved.head);
      saved.tokenize = detail::tokenize_options_of(card);
      if (!card.kind.empty()) kind_named(card.kind, "field \"kind\"");
      if (!card.aggregation.empty()) aggregation_from_name(card.aggregation);
      if (card.calibration != "temperature" && card.calibration != "platt" && !card.calibration.empty()) {
        throw DataError("field \"calibration\" is " + detail::quote(card.calibration) +
                        ", expected temperature or platt");
      }
    });
  }
  detail::set_text(saved, options);
  saved.about = saved.card.value_or(ModelCard{});
  if (!saved.card || saved.card->head.empty()) detail::set_published_head(saved, options);
  if (!options.step_separator.empty()) saved.tokenize.step_separator = options.step_separator;
  if (!saved.card && saved.tokenize.conversation && !options.strings_as_chat) {
    saved.note_on_strings =
        "a prompt and a completion that are strings are read as plain text, as they stand; strings_as_chat "
        "makes them a "
        "user's message and the assistant's answer in the model's chat template";
  }
  fit_to_backbone(saved.backbone, *saved.tokenizer, saved.tokenize);
  return saved;
}

}  // namespace merit::inline MERIT_ABI
