// A model on disk: config.json and model.safetensors as transformers writes them, and merit.json, the card
// that says what the numbers mean. Reading takes what transformers, TRL and others publish, and GGUF files;
// what does not fit is an error with the tensor's name, and nothing is skipped without a word.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/core/buffer.hpp"
#include "merit/core/error.hpp"
#include "merit/core/score_meaning.hpp"
#include "merit/core/version.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/model/adapter_files.hpp"
#include "merit/model/gguf_weights.hpp"
#include "merit/model/head_tensors.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/model_card.hpp"
#include "merit/model/policy_json.hpp"
#include "merit/model/saved_config.hpp"
#include "merit/model/stored_rows.hpp"

namespace merit {
inline namespace MERIT_ABI {

// --- writing ---

/// The head, loss and backbone of `model` in a card; the rest of `card` stays.
template <class Model>
ModelCard described(const Model& model, ModelCard card = {}) {
  card.merit_version = MERIT_VERSION;
  card.backbone = std::string_view(model.config().backbone.name());
  card.head = detail::policy_json(model.config().head);
  card.loss = detail::policy_json(model.config().loss);
  card.other.erase("adapter");
  return card;
}

namespace detail {

/// What the files of a checkpoint say beside the weights. They are written by functions that know a model by
/// this alone, so that they are compiled once, not once for each model.
struct ModelFiles {
  std::string head_name = "score";   // as its class in transformers calls it
  bool internlm2 = false;            // under the names of its own code
  Index gate_attributes = 0;         // of a gated head, whose class reads constants; else 0
  std::optional<Lora> adapter = {};  // saved instead of the model, of which it is all that is trained
  std::string_view class_ending = {};
  Json config = {};
  Json card = {};
};
/// The settings of the adapter in use; nothing where there is none or it is merged.
template <class Model>
std::optional<Lora> adapter_of(const Model& model) {
  const Index in_use = model.parameters().adapter_in_use();
  if (in_use == LowRankMaps::no_adapter) return std::nullopt;
  return model.config().adapters[in_use].lora;
}
template <class Model>
ModelFiles files_of(const Model& model, const ModelCard& card, const SaveOptions& options) {
  const bool gpt2 = model.config().backbone.name() == Gpt2::name();
  const HeadFacts head = facts_of(model.config().head, gpt2);
  ModelCard full = described(model, card);
  const std::optional<Lora> adapter = adapter_of(model);
  if (adapter) full.other["adapter"] = lora_json(*adapter);
  const Dtype dtype = options.dtype.value_or(dtype_of<typename Model::BackendType::Stat>());
  Json config = config_json(model, card.reading, card.labels, dtype);
  // GPT2ForTokenClassification is the one class that calls its head otherwise.
  const bool tokens = head.meaning != ScoreMeaning::per_completion;
  const std::string_view name = gpt2 && tokens ? "classifier" : head_name_of(model.config().backbone);
  return {.head_name = std::string(name),
          .internlm2 = config.value("model_type", "") == "internlm2",
          .gate_attributes = head.gated != nullptr ? head.gated->attributes : 0,
          .adapter = adapter,
          .class_ending = head.class_ending,
          .config = std::move(config),
          .card = to_json(full)};
}

/// The tensors of a checkpoint in host memory, under the names that the model's class in transformers gives them: of the
/// model, or of its adapter alone as PEFT names them.
template <class Backend>
class SavedTensors {
 public:
  using T = typename Backend::Stat;

  SavedTensors(const Parameters<Backend>& parameters, const ModelFiles& files, const SaveOptions& options) {
    for (Index i = 0; i < parameters.tensor_count(); ++i) {
      const ParameterSpec& spec = parameters.spec(i);
      const bool is_part = spec.stored_in.present() && spec.stored_in.rows != spec.shape[0];
      std::string name = spec.stored_in.present() ? spec.stored_in.tensor : spec.name;
      if (name.starts_with("score.")) name.replace(0, 5, files.head_name);
      if (files.internlm2) name = name_in_internlm2(std::move(name));
      if (!files.adapter) {
        if (is_adapter_tensor(spec.name)) continue;  // merged, or not in use
      } else {
        if (!is_of_adapter(parameters, i, *files.adapter)) continue;
        name = peft_name(parameters, i, std::move(name));
      }
      if (is_part) {
        joined_.add(parameters, i, name, list);
      } else {
        add(parameters, i, std::move(name), options);
      }
    }
  }

  std::vector<TensorSource> list;
  std::set<std::string> modules;  // saved whole beside an adapter

 private:
  /// Whether a tensor differs from the base's: it is the adapter's in use, the head's, or trained with them.
  static bool is_of_adapter(const Parameters<Backend>& parameters, Index i, const Lora& lora) {
    const ParameterSpec& spec = parameters.spec(i);
    if (!is_adapter_tensor(spec.name))
      return spec.trainable || is_head_parameter(spec.name) || is_trained_with(parameters, spec, lora);
    for (const auto& [map, path] : parameters.paths(parameters.adapter_in_use())) {
      if (i == path.a || i == path.b || i == path.magnitude) return true;
    }
    return false;
  }
  std::string peft_name(const Parameters<Backend>& parameters, Index i, std::string name) {
    const std::string prefix = "base_model.model.";
    const auto part = name.find(".lora_");
    if (part != name.npos) {  // in files without the adapter's name
      const bool vector = name.find(".lora_magnitude_vector") != name.npos;
      return prefix + name.substr(0, vector ? name.find('.', part + 1) : part + 7) +
             (vector ? "" : ".weight");
    }
    const std::string module = name.substr(0, name.rfind('.')), &own = parameters.spec(i).name;
    const Index weight = parameters.find(own.substr(0, own.rfind('.')) + ".weight");
    const bool is_bias = parameters.spec(i).name.ends_with(".bias");
    if (is_bias && weight != parameters.tensor_count() &&
        parameters.path_of(static_cast<std::uint32_t>(weight)) != nullptr)
      return concat(prefix, module, ".base_layer.bias");
    if (!is_bias || is_head_parameter(parameters.spec(i).name))
      modules.insert(module.substr(0, head_end(name)));
    return prefix + name;
  }
  /// A head's layers are saved as one module.
  static std::size_t head_end(const std::string& name) {
    return is_head_parameter(name) || name.starts_with("classifier.") ? name.find('.') : name.npos;
  }
  void add(const Parameters<Backend>& parameters, Index i, std::string name, const SaveOptions& options) {
    TensorSource& tensor = list.emplace_back();
    tensor.name = std::move(name);
    tensor.shape = parameters.spec(i).shape;
    tensor.dtype = options.dtype.value_or(dtype_of<T>());  // also of what is held in another
    if constexpr (std::is_same_v<typename Backend::Space, HostSpace>) {
      if (!is_quantized(parameters.stored(i).dtype)) {
        visit_stored(parameters.stored(i), [&](auto stored) { tensor.data = stored.data; });
        return;
      }
    }
    parameters.get(i, copies_.emplace_back(parameters.element_count(i)).data());
    tensor.data = std::as_const(copies_.back()).data();
  }

  std::vector<Buffer<T>> copies_;  // of what is not in host memory
  JoinedTensors<Backend> joined_;  // of what files keep in larger tensors
};

/// Writes the weights and the files beside them.
template <class Backend>
void write_files(const std::filesystem::path& directory, const Parameters<Backend>& parameters,
                 const ModelFiles& files, const SaveOptions& options) {
  SavedTensors<Backend> saved(parameters, files, options);
  std::vector<TensorSource>& tensors = saved.list;
  const GateConstants constants(files.gate_attributes);
  if (files.gate_attributes != 0 && !files.adapter) {
    tensors.push_back({std::string(constants.scale_name), {1}, &constants.scale});
    tensors.push_back({std::string(constants.transform_name),
                       {files.gate_attributes, files.gate_attributes},
                       constants.transform.data()});
  }
  SafetensorsOptions file_options;
  file_options.dtype = options.dtype;
  file_options.max_shard_bytes = options.max_shard_bytes;
  if (files.adapter)
    file_options.max_shard_bytes = SafetensorsOptions{}.max_shard_bytes;  // PEFT has but one file
  write_safetensors_directory(directory, tensors, file_options, files.adapter ? "adapter_model" : "model");
  for (const SavedFile& file : options.files) {
    std::filesystem::create_directories((directory / file.name).parent_path());
    write_file_atomically(directory / file.name, file.bytes);
  }
  if (files.adapter) {
    const bool fan_in_fan_out =
        std::ranges::any_of(parameters.paths(parameters.adapter_in_use()),
                            [&](const auto& path) { return parameters.spec(path.first).in_out; });
    write_json(directory / "adapter_config.json",
               peft_config(*files.adapter, files.internlm2 ? std::string_view() : files.class_ending,
                           fan_in_fan_out, saved.modules));
  } else {
    write_json(directory / "config.json", files.config);
  }
  write_json(directory / "merit.json", files.card);
}

template <class Backend>
void save_files(const std::filesystem::path& directory, const Parameters<Backend>& parameters,
                const ModelFiles& files, const SaveOptions& options) {
  AtomicDirectory atomic(directory, "merit.json");
  write_files(atomic.staging(), parameters, files, options);
  atomic.commit();
}

}  // namespace detail

/// Writes config.json, the weights and merit.json into an existing directory. A trainer calls this with
/// AtomicDirectory::staging() and adds its own files before the commit. Throws IoError, DataError when a
/// weight is not finite, or ConfigError when the card says what cannot be read back.
///
/// What is a matter of one run is not written: the backend, the seed, a backbone's `frozen_layers` and
/// `recompute`.
template <class Model>
void write_model(const std::filesystem::path& directory, Model& model, const ModelCard& card = {},
                 const SaveOptions& options = {}) {
  detail::write_files(directory, model.parameters(), detail::files_of(model, card, options), options);
}

/// Replaces the checkpoint `directory` as a whole: killed at any moment, the old one or the new one is there,
/// complete. A directory with files but without merit.json is not ours and not replaced (IoError).
template <class Model>
void save_model(const std::filesystem::path& directory, Model& model, const ModelCard& card = {},
                const SaveOptions& options = {}) {
  detail::save_files(directory, model.parameters(), detail::files_of(model, card, options), options);
}

// --- reading ---

namespace detail {

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

/// `found` with the settings of `expected` that change no score.
template <class Backbone>
Backbone with_harmless_of(Backbone found, const Backbone& expected) {
  const auto copy = [&](auto field) { found.*field = expected.*field; };
  if constexpr (requires { found.init_deviation; }) copy(&Backbone::init_deviation);
  if constexpr (requires { found.separator; }) {
    if (found.separator == 0) copy(&Backbone::separator);  // only the tokenizer says it
  }
  if constexpr (requires { found.tied_embedding; }) {
    if (expected.position_limit() == 0) copy(&Backbone::max_positions);
    copy(&Backbone::tied_embedding);
    copy(&Backbone::unembedding);  // a missing tensor is an error of its own
  }
  return found;
}

/// What a checkpoint must agree with to be loaded into a model.
struct SavedSettings {
  std::optional<BackboneConfig> backbone;  // nothing: one of a user's own
  std::string head_name;
  Json head = {};
};
template <class Model>
SavedSettings settings_of(const Model& model) {
  SavedSettings settings{{}, "", policy_json(model.config().head)};
  settings.head_name = settings.head.at("name").template get<std::string>();
  if constexpr (std::is_convertible_v<const typename Model::BackboneType&, BackboneConfig>)
    settings.backbone = model.config().backbone;
  return settings;
}

/// The kind of head in the checkpoint, where its card says one; empty: not known.
std::string saved_head_name(const std::optional<ModelCard>& card, const std::filesystem::path& directory);

/// Throws ConfigError when config.json or merit.json says that the weights were made for a backbone or a head
/// of other settings, which the shapes need not show. A config.json of a kind that merit does not read says
/// nothing. `head` is what the card says of the head; null: nothing that matters.
void check_settings(const std::filesystem::path& directory, const SavedSettings& settings, const Json& head);

template <class Backend>
LoadReport load_parameters(const std::filesystem::path& path, Parameters<Backend>& parameters,
                           const SavedSettings& settings, const LoadOptions& options, bool read = true) {
  using T = typename Backend::Stat;
  recover_directory(path);
  const std::filesystem::path base = base_of(path, options.base);
  const std::unique_ptr<WeightSource> source = open_weights(path, base);
  const WeightSource& file = *source;
  const std::vector<std::string> names = file.names();
  std::optional<ModelCard> card = read_model_card(path);
  if (!card && base != path) card = read_model_card(base);
  const auto has = [&](const std::string& name) {
    return parameters.find(name) != parameters.tensor_count();
  };

  LoadReport report;
  // Weights of another kind of head may have the right shape: they mean something else.
  const std::string saved_head =
      options.published_head.empty() ? saved_head_name(card, path) : options.published_head;
  const bool differs = !saved_head.empty() && saved_head != settings.head_name;
  if (differs && options.allow_missing_head && !options.allow_other_settings) report.other_head = saved_head;
  const bool reads_head = report.other_head.empty();
  for (const auto& [ours, theirs] : options.names) {
    if (!reads_head || has(ours)) continue;
    throw DataError(concat(file.path().string(), ": the head has a tensor ", quote(theirs),
                           ", but the model's head has no ", quote(ours), " for it"));
  }
  if (reads_head && options.names.empty() && has("score.weight")) check_head(file, names, has);

  std::set<Index> first_adapter;
  if (parameters.adapter_count() != 0) {
    for (const auto& [map, low_rank] : parameters.paths(0))
      first_adapter.insert({low_rank.a, low_rank.b, low_rank.magnitude});
  }
  std::vector<const TensorInfo*> tensors(parameters.tensor_count());  // null: fresh, or computed
  std::vector<const ComputedTensor*> computed(parameters.tensor_count());
  std::vector<bool> in_larger(parameters.tensor_count());  // whether the tensor holds it among others
  std::vector<std::string> used;
  Index head_parameters = 0, bytes_total = 0;
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    const ParameterSpec& spec = parameters.spec(i);
    const bool of_head = is_head_parameter(spec.name);
    const Index numbers = parameters.is_set(i) ? 0 : parameters.element_count(i) * sizeof(T);
    head_parameters += of_head ? 1 : 0;
    computed[i] = reads_head ? computed_for(options, spec.name) : nullptr;
    if (computed[i] != nullptr) {
      report.memory.owned += numbers;
      for (const std::string& name : computed[i]->tensors) {
        bytes_total += bytes_of(file, name);
        used.push_back(name);
      }
      continue;
    }
    const TensorInfo* tensor = nullptr;
    if (spec.stored_in.present()) {
      for (const std::string& name : published_names(spec.stored_in.tensor)) {
        if (tensor == nullptr) tensor = file.find(name);
      }
    }
    in_larger[i] = tensor != nullptr;
    const std::string published = published_as(options, spec.name);
    for (const std::string& name : published_names(spec.name)) {
      if (tensor == nullptr && (name == spec.name || !has(name))) tensor = file.find(name);
    }
    if (!published.empty()) tensor = file.find(published);
    if (of_head && !reads_head) tensor = nullptr;
    if (tensor == nullptr && is_adapter_tensor(spec.name) && (base == path || !first_adapter.contains(i)))
      continue;  // a new adapter of this base, or one of several, which AdapterShelf loads
    if (tensor == nullptr) {
      if (options.allow_missing_head && of_head) {
        report.fresh.push_back(spec.name);
        report.memory.owned += numbers;
        continue;
      }
      throw DataError(concat(file.path().string(), ": there is no tensor ", quote(spec.name),
                             ", expected one of shape ", shape_text(spec.shape)));
    }
    const std::vector<Index> shape = in_larger[i] ? shape_in_file(spec) : spec.shape;
    if (tensor->shape != shape) {
      throw DataError(concat(file.path().string(), ": tensor ", quote(tensor->name), " has shape ",
                             shape_text(tensor->shape), ", expected ", shape_text(shape)));
    }
    tensors[i] = tensor;
    if (tensor->dtype && parameters.can_hold(i, *tensor->dtype)) {
      report.memory.mapped += tensor->end - tensor->begin;
    } else {
      report.memory.owned += numbers;
    }
    bytes_total += tensor->end - tensor->begin;
    used.push_back(tensor->name);
  }
  if (!options.allow_other_settings) {
    Json head;  // a head that is wholly fresh is bound to nothing
    if (card && reads_head && report.fresh.size() < std::max<Index>(head_parameters, 1)) head = card->head;
    if (!report.fresh.empty() && head.contains("bias"))  // what is fresh of it is the bias alone
      head["bias"] = settings.head.at("bias");
    check_settings(base, settings, head);
  }

  if (!read) return report;
  if (std::is_same_v<typename Backend::Space, HostSpace>)  // a device tells for itself when it is full
    check_weight_memory(file.path(), report.memory, options.memory_limit);
  std::set<Index> drawn;  // of an adapter
  Index bytes_done = 0;
  if (options.on_progress) options.on_progress(bytes_done, bytes_total);
  for (Index i = 0; i < tensors.size(); ++i) {
    if (computed[i] != nullptr) {
      const std::vector<double> values = compute(file, *computed[i], parameters.element_count(i));
      const std::vector<T> converted(values.begin(), values.end());
      parameters.set(i, converted.data());
      for (const std::string& name : computed[i]->tensors) bytes_done += bytes_of(file, name);
      if (options.on_progress) options.on_progress(bytes_done, bytes_total);
      continue;
    }
    if (tensors[i] == nullptr) {
      if (!parameters.is_set(i)) parameters.draw(i);
      if (is_adapter_tensor(parameters.spec(i).name)) drawn.insert(i);
      continue;
    }
    const std::string& name = tensors[i]->name;
    const std::optional<Dtype> dtype = tensors[i]->dtype;
    const ParameterSpec& spec = parameters.spec(i);
    std::optional<StoredTensor> stored;
    if (dtype && parameters.can_hold(i, *dtype)) stored = file.stored(name);
    if (in_larger[i]) stored = stored_rows(stored, *tensors[i], spec.stored_in);
    if (stored) {
      parameters.hold(i, *stored);
    } else if (in_larger[i]) {
      parameters.set_by(i, [&](VectorView<T> values) { read_stored_rows(file, name, spec, values); });
    } else {
      parameters.set_by(i, [&](VectorView<T> values) { file.read(name, values); });
    }
    bytes_done += tensors[i]->end - tensors[i]->begin;
    if (options.on_progress) options.on_progress(bytes_done, bytes_total);
  }
  for (Index n = 0; n < parameters.adapter_count(); ++n) start_magnitudes(parameters, n, drawn);

  std::sort(used.begin(), used.end());
  for (const std::string& name : names) {
    if (std::binary_search(used.begin(), used.end(), name)) continue;
    if (is_adapter_tensor(name)) {
      throw DataError(concat(file.path().string(), ": tensor ", quote(name),
                             " is of an adapter that the model has not, expected one of the same maps"));
    }
    const bool constant = saved_head == GatedRegressionHead::name() &&
                          (name == GateConstants::scale_name ||
                           name == GateConstants::transform_name);  // as write_model writes them
    (constant || is_known_extra(name) ? report.skipped : report.unexpected).push_back(name);
  }
  for (const std::string& name : file.unindexed()) report.unexpected.push_back(name);
  return report;
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
/// ConfigError, too, where the weights take more memory than is free, before any is read.
///
/// Tensors are read into their place. The matrices of frozen layers, and of a model with scores_only, are not
/// read but mapped: they stay in the type and in the memory of the file, which must not be changed meanwhile
/// (it may be replaced, as save_model does).
template <class Model>
LoadReport load_model_parameters(const std::filesystem::path& path, Model& model,
                                 const LoadOptions& options = {}) {
  return detail::load_parameters(path, model.parameters(), detail::settings_of(model), options);
}

/// The memory that load_model_parameters() would take for the weights, beside what `model` has taken already:
/// nothing of them is read. Gradients, moments and activations come on top. Throws as that does before it reads.
template <class Model>
WeightMemory memory_to_load(const std::filesystem::path& path, Model& model,
                            const LoadOptions& options = {}) {
  return detail::load_parameters(path, model.parameters(), detail::settings_of(model), options, false).memory;
}

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/model/checkpoint_body.hpp"
#endif
