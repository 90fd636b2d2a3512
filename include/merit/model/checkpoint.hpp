// A model on disk: config.json and model.safetensors as transformers writes them, and merit.json, the card
// that says what the numbers mean. Reading takes what transformers, TRL and others publish, and GGUF files;
// what does not fit is an error with the tensor's name, and nothing is skipped without a word.
#pragma once

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/core/buffer.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/score_meaning.hpp"
#include "merit/core/version.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/model/gguf_weights.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/policy_json.hpp"
#include "merit/model/saved_config.hpp"

namespace merit::inline MERIT_ABI {

// --- the card ---

/// merit.json: what a score of this model means and how its text became tokens. The first part is filled in
/// from the model when it is written.
struct ModelCard {
  std::string merit_version = MERIT_VERSION;  // that wrote it
  std::string backbone;                       // "llama", …
  Json head = Json::object();                 // {"name": "scalar", …settings}
  Json loss = Json::object();                 // {"name": "pairwise", …settings}

  std::string tokenizer;      // as its name() says; empty: not known
  std::string template_name;  // of conversations: "plain" or "chat"; empty: not known
  std::string template_hash;  // of a chat template's text
  bool strings_as_chat =
      false;               // a prompt and a completion that are strings are a user's message and its answer
  std::string truncation;  // policy by name; empty: not known
  Index max_tokens = 0;    // of a sequence; 0: no limit
  bool without_prompt = false;
  bool append_eos = true;
  bool raw_scores = true;           // false: squashed or standardised
  std::string kind;                 // of the records it was trained on: "preference", "steps", …
  std::string step_separator;       // what ends each step; empty: it scores no steps
  std::vector<std::string> labels;  // what each score of a row stands for: {"bad", "neutral", "good"}
  std::string reading;              // which token is read, as name_of(ReadingRule) says; empty: the last
  std::string aggregation;          // how the scores of tokens or steps become one; empty: not known
  std::string calibration;          // "temperature" or "platt"; empty: none was fitted
  double calibration_scale = 1;     // a calibrated logit is scale · logit + offset
  double calibration_offset = 0;
  std::optional<double> reward_mean;  // over the training set
  std::optional<double> reward_deviation;

  Json other = Json::object();  // fields this version does not know, kept
};

namespace detail {

/// The fields of a card in which two models must agree to score alike.
inline constexpr std::string_view identity_fields[] = {
    "backbone",        "head",       "loss",       "tokenizer",      "template",   "template_hash",
    "strings_as_chat", "truncation", "max_tokens", "without_prompt", "append_eos", "raw_scores",
    "step_separator",  "labels",     "reading"};

inline bool is_filled(const Json& value) {
  return !(value.is_string() && value.get_ref<const std::string&>().empty()) &&
         !(value.is_array() && value.empty());
}

/// Appends "field is found, expected expected" for each difference, one level into objects.
inline void list_differences(const std::string& field, const Json& found, const Json& expected,
                             std::vector<std::string>& out) {
  if (found == expected) return;
  if (!found.is_object() || !expected.is_object()) {
    out.push_back(concat(field, " is ", describe(found), ", expected ", describe(expected)));
    return;
  }
  Json both = found;
  both.update(expected);
  for (const auto& [name, value] : both.items()) {
    list_differences(concat(field, ".", name), found.value(name, Json()), expected.value(name, Json()), out);
  }
}

}  // namespace detail

inline Json to_json(const ModelCard& card) {
  Json json = card.other;
  json.update({{"merit_version", card.merit_version},
               {"backbone", card.backbone},
               {"head", card.head},
               {"loss", card.loss},
               {"tokenizer", card.tokenizer},
               {"template", card.template_name},
               {"template_hash", card.template_hash},
               {"strings_as_chat", card.strings_as_chat},
               {"truncation", card.truncation},
               {"max_tokens", card.max_tokens},
               {"without_prompt", card.without_prompt},
               {"append_eos", card.append_eos},
               {"raw_scores", card.raw_scores},
               {"kind", card.kind},
               {"step_separator", card.step_separator},
               {"labels", card.labels},
               {"reading", card.reading},
               {"aggregation", card.aggregation},
               {"calibration", card.calibration},
               {"calibration_scale", card.calibration_scale},
               {"calibration_offset", card.calibration_offset},
               {"reward_mean", nullptr},
               {"reward_deviation", nullptr}});
  if (card.reward_mean) json["reward_mean"] = *card.reward_mean;
  if (card.reward_deviation) json["reward_deviation"] = *card.reward_deviation;
  return json;
}

/// Throws DataError about the first field of the wrong type.
inline ModelCard model_card_from(const Json& json, const std::string& where) {
  ModelCard card;
  card.merit_version = require<std::string>(json, "merit_version", where);
  const auto read = [&]<class T>(const char* name, T& field) {
    if (auto value = optional<T>(json, name, where)) field = *std::move(value);
  };
  read("backbone", card.backbone);
  read("head", card.head);
  read("loss", card.loss);
  read("tokenizer", card.tokenizer);
  read("template", card.template_name);
  read("template_hash", card.template_hash);
  read("strings_as_chat", card.strings_as_chat);
  read("truncation", card.truncation);
  read("max_tokens", card.max_tokens);
  read("without_prompt", card.without_prompt);
  read("append_eos", card.append_eos);
  read("raw_scores", card.raw_scores);
  read("kind", card.kind);
  read("step_separator", card.step_separator);
  read("labels", card.labels);
  read("reading", card.reading);
  read("aggregation", card.aggregation);
  read("calibration", card.calibration);
  read("calibration_scale", card.calibration_scale);
  read("calibration_offset", card.calibration_offset);
  card.reward_mean = optional<double>(json, "reward_mean", where);
  card.reward_deviation = optional<double>(json, "reward_deviation", where);
  const Json ours = to_json(card);
  for (const auto& [name, value] : json.items()) {
    if (!ours.contains(name)) card.other[name] = value;
  }
  return card;
}

/// The card of a checkpoint, or nothing for one that has none because another program wrote it. Throws
/// IoError, or DataError when merit.json is malformed.
inline std::optional<ModelCard> read_model_card(const std::filesystem::path& directory) {
  recover_directory(directory);
  const std::filesystem::path path = directory / "merit.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  return model_card_from(read_json(path), path.string());
}

/// The head, loss and backbone of `model` in a card; the rest of `card` stays.
template <class Model>
ModelCard described(const Model& model, ModelCard card = {}) {
  card.merit_version = MERIT_VERSION;
  card.backbone = std::string_view(Model::BackboneType::name());
  card.head = detail::policy_json(model.config().head);
  card.loss = detail::policy_json(model.config().loss);
  return card;
}

/// Where two cards differ in what a score means, one sentence each: "tokenizer is "bytes", expected …". A
/// field that is not known (empty) in one of them is not compared.
inline std::vector<std::string> differences(const ModelCard& found, const ModelCard& expected) {
  const Json a = to_json(found);
  const Json b = to_json(expected);
  std::vector<std::string> result;
  for (const std::string_view field : detail::identity_fields) {
    const std::string name(field);
    if (!detail::is_filled(a.at(name)) || !detail::is_filled(b.at(name))) continue;
    detail::list_differences(name, a.at(name), b.at(name), result);
  }
  return result;
}

/// Throws ConfigError that lists the differences, if any. `where` names the checkpoint.
inline void require_same(const ModelCard& found, const ModelCard& expected,
                         const std::filesystem::path& where) {
  std::string text;
  for (const std::string& difference : differences(found, expected)) {
    text += (text.empty() ? "" : "; ") + difference;
  }
  if (!text.empty()) throw ConfigError(detail::concat(where.string(), ": a different model: ", text));
}

// --- writing ---

/// A file that a checkpoint keeps beside its weights, such as tokenizer.json.
struct SavedFile {
  std::string name;  // in the checkpoint's directory
  std::string bytes;
};

struct SaveOptions {
  std::optional<Dtype> dtype = std::nullopt;  // of the weights in the file; nothing: as the model computes
  Index max_shard_bytes = Index{5'000'000'000};
  std::vector<SavedFile> files = {};  // what else the directory holds: tokenizer and chat template
};

/// Writes config.json, the weights and merit.json into an existing directory. A trainer calls this with
/// AtomicDirectory::staging() and adds its own files before the commit. Throws IoError, or DataError when a
/// weight is not finite.
template <class Model>
void write_model(const std::filesystem::path& directory, Model& model, const ModelCard& card = {},
                 const SaveOptions& options = {}) {
  using Backend = typename Model::BackendType;
  const auto& parameters = model.parameters();
  Buffer<typename Backend::Scalar> host(parameters.size());
  Backend::to_host(model.handle(), parameters.values().data, host.data(), host.size());
  std::vector<TensorSource> tensors;
  constexpr bool sequence = Model::HeadType::meaning == ScoreMeaning::per_completion;
  constexpr bool gpt2 = std::is_same_v<typename Model::BackboneType, Gpt2>;
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    const auto* data = host.data() + parameters.offset(i);
    std::string name = parameters.spec(i).name;
    // GPT2ForTokenClassification is the one class that calls its head otherwise.
    if (gpt2 && !sequence && name.starts_with("score.")) name.replace(0, 5, "classifier");
    tensors.push_back({std::move(name), parameters.spec(i).shape, data});
  }
  detail::GateConstants constants(0);
  if constexpr (std::is_same_v<typename Model::HeadType, GatedRegressionHead>) {
    const Index attributes = model.head().attributes;
    constants = detail::GateConstants(attributes);
    tensors.push_back({std::string(constants.scale_name), {1}, &constants.scale});
    tensors.push_back(
        {std::string(constants.transform_name), {attributes, attributes}, constants.transform.data()});
  }
  SafetensorsOptions file_options;
  file_options.dtype = options.dtype;
  file_options.max_shard_bytes = options.max_shard_bytes;
  write_safetensors_directory(directory, tensors, file_options);
  write_json(directory / "config.json", detail::config_json(model, card.reading, card.labels));
  for (const SavedFile& file : options.files) {
    std::filesystem::create_directories((directory / file.name).parent_path());
    write_file_atomically(directory / file.name, file.bytes);
  }
  write_json(directory / "merit.json", to_json(described(model, card)));
}

/// Replaces the checkpoint `directory` as a whole: killed at any moment, the old one or the new one is there,
/// complete. A directory with files but without merit.json is not ours and not replaced (IoError).
template <class Model>
void save_model(const std::filesystem::path& directory, Model& model, const ModelCard& card = {},
                const SaveOptions& options = {}) {
  AtomicDirectory atomic(directory, "merit.json");
  write_model(atomic.staging(), model, card, options);
  atomic.commit();
}

// --- reading ---

namespace detail {

/// "score.0.weight" and the like: a layer of a head with several.
inline bool is_deep_head(std::string_view name) {
  for (const std::string_view head : {"score.", "value_head.", "v_head.", "v_head.summary."}) {
    if (name.starts_with(head) && name.size() > head.size() &&
        std::isdigit(static_cast<unsigned char>(name[head.size()])) != 0) {
      return true;
    }
  }
  return false;
}

/// The head in the file must be one that the model can hold. `has(name)`: whether the model has a parameter.
template <class Has>
void check_head(const WeightSource& file, const std::vector<std::string>& names, const Has& has) {
  // Of a linear head on completions: what another head has is found when its own tensors are missing.
  std::string layers;
  for (const std::string& name : names) {
    if (is_deep_head(name)) layers += (layers.empty() ? "" : ", ") + name;
  }
  if (!layers.empty()) {
    throw DataError(concat(file.path().string(), ": the head has several layers (", layers,
                           "), expected one, score.weight: a linear head cannot hold it"));
  }
  if (has("score.bias")) return;
  for (const std::string& name : published_names("score.bias")) {
    if (file.find(name) == nullptr || has(name)) continue;  // a second head's own is no bias of the first
    throw DataError(concat(file.path().string(), ": the head has a bias, tensor ", quote(name),
                           ", but the model's head has none: set its `bias`"));
  }
}

template <class T, class Variant>
inline constexpr bool is_alternative = false;
template <class T, class... Ts>
inline constexpr bool is_alternative<T, std::variant<Ts...>> = (std::is_same_v<T, Ts> || ...);

/// `found` with the settings of `expected` that change no score.
template <class Backbone>
Backbone with_harmless_of(Backbone found, const Backbone& expected) {
  const auto copy = [&](auto field) { found.*field = expected.*field; };
  if constexpr (requires { found.init_deviation; }) copy(&Backbone::init_deviation);
  if constexpr (requires { found.rope_base; }) {
    if (expected.position_limit() == 0) copy(&Backbone::max_positions);
    copy(&Backbone::tied_embedding);
    copy(&Backbone::unembedding);  // a missing tensor is an error of its own
  }
  return found;
}

/// The kind of head in the checkpoint, where its card says one; empty: not known.
inline std::string saved_head_name(const std::optional<ModelCard>& card,
                                   const std::filesystem::path& directory) {
  if (!card || !is_filled(card->head)) return "";
  return optional<std::string>(card->head, "name", (directory / "merit.json: head").string()).value_or("");
}

/// Throws ConfigError when config.json or merit.json says that the weights were made for a backbone or a head
/// of other settings, which the shapes need not show. A config.json of a kind that merit does not read says
/// nothing. `head` is what the card says of the head; null: nothing that matters.
template <class Model>
void check_settings(const std::filesystem::path& directory, const Model& model, const Json& head) {
  using Backbone = typename Model::BackboneType;
  std::vector<std::string> found;
  std::error_code ignored;
  if constexpr (is_alternative<Backbone, BackboneConfig>) {
    std::optional<BackboneConfig> config;
    try {
      if (std::filesystem::exists(directory / "config.json", ignored) || find_gguf(directory))
        config = read_backbone_config(directory);
    } catch (const ConfigError&) {
    }
    if (const auto* own = config ? std::get_if<Backbone>(&*config) : nullptr) {
      const Backbone& expected = model.config().backbone;
      list_differences("backbone", backbone_config_json(with_harmless_of(*own, expected)),
                       backbone_config_json(expected), found);
    }
  }
  if (head.is_object() && !head.empty())
    list_differences("head", head, policy_json(model.config().head), found);
  if (found.empty()) return;
  std::string text;
  for (const std::string& difference : found) text += (text.empty() ? "" : "; ") + difference;
  throw ConfigError(concat(directory.string(), ": a different model: ", text));
}

}  // namespace detail

/// Reads the weights at `path` into `model`: every parameter, converted to the model's precision. `path` is a
/// checkpoint directory (one file, shards, or one GGUF file) or a GGUF file. Names are tried as we write
/// them, without "model." or "transformer.", and as TRL names value heads.
///
/// Throws DataError when a tensor is missing or has another shape, ConfigError when the shapes agree but
/// config.json, merit.json or the GGUF file say that the weights belong to other settings of the backbone or
/// head, and IoError when a file cannot be opened; then the model is unchanged. A tensor that holds an
/// infinity or NaN or has a type that is not read (DataError), or that the system cannot read (IoError), is
/// found while the others are read already: then those before it have the file's values, and the model is not
/// to be used. What else the card says, such as the loss and the tokenizer, `require_same` compares.
///
/// Beside the model this takes the memory of the largest tensor.
template <class Model>
LoadReport load_model_parameters(const std::filesystem::path& path, Model& model,
                                 const LoadOptions& options = {}) {
  using T = typename Model::BackendType::Scalar;
  recover_directory(path);
  const std::unique_ptr<WeightSource> source = open_weights(path);
  const WeightSource& file = *source;
  const std::vector<std::string> names = file.names();
  const std::optional<ModelCard> card = read_model_card(path);
  auto& parameters = model.parameters();
  const auto has = [&](const std::string& name) {
    return parameters.find(name) != parameters.tensor_count();
  };

  LoadReport report;
  // Weights of another kind of head may have the right shape: they mean something else.
  const std::string saved_head = detail::saved_head_name(card, path);
  const bool differs = !saved_head.empty() && saved_head != Model::HeadType::name();
  if (differs && options.allow_missing_head && !options.allow_other_settings) report.other_head = saved_head;
  const bool reads_head = report.other_head.empty();
  for (const auto& [ours, theirs] : options.names) {
    if (!reads_head || has(ours)) continue;
    throw DataError(detail::concat(file.path().string(), ": the head has a tensor ", detail::quote(theirs),
                                   ", but the model's head has no ", detail::quote(ours), " for it"));
  }
  if (reads_head && options.names.empty() && has("score.weight")) detail::check_head(file, names, has);

  std::vector<const TensorInfo*> tensors(parameters.tensor_count());  // null: fresh, or computed
  std::vector<const ComputedTensor*> computed(parameters.tensor_count());
  std::vector<std::string> used;
  Index head_parameters = 0, largest = 0, bytes_total = 0;
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    const ParameterSpec& spec = parameters.spec(i);
    const bool of_head = detail::is_head_parameter(spec.name);
    head_parameters += of_head ? 1 : 0;
    computed[i] = reads_head ? detail::computed_for(options, spec.name) : nullptr;
    if (computed[i] != nullptr) {
      for (const std::string& name : computed[i]->tensors) {
        bytes_total += detail::bytes_of(file, name);
        used.push_back(name);
      }
      continue;
    }
    const TensorInfo* tensor = nullptr;
    const std::string published = detail::published_as(options, spec.name);
    for (const std::string& name : detail::published_names(spec.name)) {
      if (tensor == nullptr && (name == spec.name || !has(name))) tensor = file.find(name);
    }
    if (!published.empty()) tensor = file.find(published);
    if (of_head && !reads_head) tensor = nullptr;
    if (tensor == nullptr) {
      if (options.allow_missing_head && of_head) {
        report.fresh.push_back(spec.name);
        continue;
      }
      throw DataError(detail::concat(file.path().string(), ": there is no tensor ", detail::quote(spec.name),
                                     ", expected one of shape ", detail::shape_text(spec.shape)));
    }
    if (tensor->shape != spec.shape) {
      throw DataError(detail::concat(file.path().string(), ": tensor ", detail::quote(tensor->name),
                                     " has shape ", detail::shape_text(tensor->shape), ", expected ",
                                     detail::shape_text(spec.shape)));
    }
    tensors[i] = tensor;
    largest = std::max(largest, tensor->elements);
    bytes_total += tensor->end - tensor->begin;
    used.push_back(tensor->name);
  }
  if (!options.allow_other_settings) {
    Json head;  // a head that is wholly fresh is bound to nothing
    if (card && reads_head && report.fresh.size() < std::max<Index>(head_parameters, 1)) head = card->head;
    if (!report.fresh.empty() && head.contains("bias"))  // what is fresh of it is the bias alone
      head["bias"] = detail::policy_json(model.config().head)["bias"];
    detail::check_settings(path, model, head);
  }

  Buffer<T> host(largest);
  Index bytes_done = 0;
  if (options.on_progress) options.on_progress(bytes_done, bytes_total);
  for (Index i = 0; i < tensors.size(); ++i) {
    if (computed[i] != nullptr) {
      const std::vector<double> values = detail::compute(file, *computed[i], parameters.element_count(i));
      const std::vector<T> converted(values.begin(), values.end());
      parameters.set(i, converted.data());
      for (const std::string& name : computed[i]->tensors) bytes_done += detail::bytes_of(file, name);
      if (options.on_progress) options.on_progress(bytes_done, bytes_total);
      continue;
    }
    if (tensors[i] == nullptr) {
      if (!parameters.is_set(i)) parameters.draw(i);
      continue;
    }
    file.read(tensors[i]->name, VectorView<T>(host.data(), tensors[i]->elements));
    parameters.set(i, host.data());
    bytes_done += tensors[i]->end - tensors[i]->begin;
    if (options.on_progress) options.on_progress(bytes_done, bytes_total);
  }

  std::sort(used.begin(), used.end());
  for (const std::string& name : names) {
    if (std::binary_search(used.begin(), used.end(), name)) continue;
    const bool constant = saved_head == GatedRegressionHead::name() &&
                          (name == detail::GateConstants::scale_name ||
                           name == detail::GateConstants::transform_name);  // as write_model writes them
    (constant || detail::is_known_extra(name) ? report.skipped : report.unexpected).push_back(name);
  }
  for (const std::string& name : file.unindexed()) report.unexpected.push_back(name);
  return report;
}

}  // namespace merit::inline MERIT_ABI
