// The bodies of convert_model.hpp.
#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/backbone/rotary_table.hpp"
#include "merit/core/buffer.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/io/quantize.hpp"
#include "merit/io/utf8.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/io/write_gguf.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/model/adapter_files.hpp"
#include "merit/model/gguf_config.hpp"
#include "merit/model/gguf_layouts.hpp"
#include "merit/model/gguf_weights.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/hf_llama.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/weight_files.hpp"
#include "merit/run/check_tensors.hpp"
#include "merit/run/convert_model.hpp"
#include "merit/run/convert_to_gguf.hpp"
#include "merit/run/model_set.hpp"
#include "merit/text/text_files.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

// --- GGUF to GGUF

inline ConvertReport gguf_to_gguf(const GgufFile& file, const std::filesystem::path& to,
                                  std::optional<Dtype> type) {
  ConvertReport report;
  GgufMetadata metadata;
  for (const std::string& key : file.keys()) {
    if (type && key == "general.file_type") continue;  // of what it was
    metadata.raw(file.entry_bytes(key));
  }
  std::vector<GgufTensorSource> tensors;
  for (const GgufTensor& tensor : file.tensors()) {
    const std::optional<Dtype> own = tensor.type->dtype();
    const std::string where = concat(file.path().string(), ": tensor ", quote(tensor.name));
    if (!own) throw DataError(concat(where, ": has the type ", tensor.type->name, ", which is not read"));
    const bool matrix = tensor.shape.size() > 1;
    const Dtype target = matrix ? converted_type(*own, type, tensor.shape.back(), tensor.name, report) : *own;
    tensors.push_back({tensor.name, tensor.shape, target, [&file, &tensor, own, target, where] {
                         if (target == *own) return file.tensor_bytes(tensor.name);
                         std::vector<float> values(tensor.elements);
                         file.read(tensor.name, VectorView<float>(values));
                         return stored_as(target, values, where);
                       }});
  }
  write_gguf(to, metadata, tensors, file.alignment());
  report.tensors = tensors.size();
  return report;
}

// --- to a folder

/// config.json with the type that is written.
inline std::string config_of_type(const std::string& bytes, Dtype dtype, const std::string& where) {
  Json config = parse_json(bytes, where);
  const std::string_view name = torch_name(dtype);
  for (const char* key : {"dtype", "torch_dtype"}) {
    if (!config.contains(key) || config.at(key) == name) continue;
    config[key] = name;
    return json_text(config, where) + "\n";
  }
  return bytes;
}

/// What config.json says of the type, if it does.
inline std::optional<Dtype> type_in_config(const Json& config) {
  for (const char* key : {"dtype", "torch_dtype"}) {
    for (const Dtype dtype : {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::f64}) {
      if (config.contains(key) && config.at(key) == torch_name(dtype)) return dtype;
    }
  }
  return std::nullopt;
}

/// The class in transformers of a model without a card.
inline std::string class_of(const std::string& model_type, bool has_head) {
  if (const LlamaFamily* const family = find_llama_family(model_type)) {
    if (has_head) return concat(family->class_prefix, "ForSequenceClassification");
    return model_type == "gemma3_text" ? "Gemma3ForCausalLM" : concat(family->class_prefix, "ForCausalLM");
  }
  if (model_type == "gpt2") return has_head ? "GPT2ForSequenceClassification" : "GPT2LMHeadModel";
  if (model_type == "gpt_neox") return has_head ? "GPTNeoXForSequenceClassification" : "GPTNeoXForCausalLM";
  return concat(model_type == "bert" ? "Bert" : "ModernBert",
                has_head ? "ForSequenceClassification" : "Model");
}

/// The files of a folder that a GGUF file makes: those it was made of, or such as say the same.
inline std::map<std::string, std::string> files_in_gguf(const GgufFile& file, const GgufWeights& weights) {
  std::map<std::string, std::string> files;
  for (const std::string& key : file.keys()) {
    if (key.starts_with(gguf_file_key))
      files[key.substr(gguf_file_key.size())] = file.require<std::string>(key);
  }
  for (const auto& [name, bytes] : files) {
    // What is written is the folder's own, and beside the weights, of which no file of text is one.
    const std::filesystem::path path(name);
    bool plain = !name.empty() && name.find('\0') == name.npos && path.has_filename() && path != "." &&
                 path.is_relative() && path.lexically_normal() == path && *path.begin() != ".." &&
                 name != adapter_config && !is_weight_file(name);
    for (auto parent = path.parent_path(); plain && !parent.empty(); parent = parent.parent_path())
      plain =
          !files.contains(parent.string()) && parent != "tokenizer.json" && !is_weight_file(parent.string());
    if (!plain) {
      throw DataError(concat(file.path().string(), ": metadata ", quote(concat(gguf_file_key, name)),
                             ": expected the name of a file inside the folder, and none of weights"));
    }
  }
  if (const auto tokenizer = file.optional<std::string>(gguf_tokenizer_key))
    files["tokenizer.json"] = *tokenizer;
  if (files.contains("config.json")) return files;
  Json config = gguf_config_json(file);
  const TensorInfo* head = weights.find("score.weight");
  if (head == nullptr) head = weights.find("classifier.weight");
  config["architectures"] = {class_of(config.at("model_type").get<std::string>(), head != nullptr)};
  if (head != nullptr && !head->shape.empty()) {
    Json labels = Json::object();
    for (Index i = 0; i < head->shape[0]; ++i) labels[std::to_string(i)] = concat("LABEL_", i);
    config["id2label"] = labels;
  }
  files["config.json"] = json_text(config, file.path().string()) + "\n";
  if (file.find("tokenizer.ggml.model") != nullptr) files.merge(saved_text_files(text_files_of_gguf(file)));
  return files;
}

/// Throws DataError where the config.json that a folder will have is not that of the metadata, or the tensors are not those
/// of either.
inline void check_gguf(const GgufWeights& weights, const Json& config) {
  const std::string where = weights.path().string();
  const BackboneConfig said = read_backbone_config(config, where + ": config.json");
  if (const auto other =
          different_setting(said, read_backbone_config(gguf_config_json(weights.file()), where)))
    throw DataError(concat(where, ": its ", *other, " is one in the metadata ",
                           quote(concat(gguf_file_key, "config.json")), " and another in the rest of it"));
  const auto architecture = weights.file().require<std::string>("general.architecture");
  const std::string size_key = architecture + ".vocab_size";
  const GgufTensor* const embedding = weights.file().find_tensor("token_embd.weight");
  const auto size = weights.file().optional<Index>(size_key);
  if (size && embedding != nullptr && embedding->shape.front() != *size)
    throw DataError(concat(where, ": metadata ", quote(size_key), " is ", *size,
                           ", but tensor \"token_embd.weight\" has shape ", shape_text(embedding->shape)));
  check_tensors(said, weights, find_gguf_layout(architecture)->layers, "the metadata");
}

inline ConvertReport to_folder(const WeightSource& weights, std::map<std::string, std::string> files,
                               Dtype dtype, bool all, const std::filesystem::path& to,
                               const std::vector<std::string>& idle = {}) {
  ConvertReport report;
  std::vector<TensorSource> tensors;
  std::vector<StoredTensor> mapped;
  std::vector<Buffer<float>> numbers;
  const std::vector<std::string> names = weights.names();
  for (const std::string& name : names) {
    const TensorInfo& info = *weights.find(name);
    if (std::ranges::find(idle, name) != idle.end()) {
      report.left_out.push_back(name + std::string(idle_reason));
      continue;
    }
    if (!info.dtype) {
      report.left_out.push_back(concat(name, ": of the type ", info.dtype_name));
      continue;
    }
    TensorSource tensor{name, info.shape, static_cast<const float*>(nullptr), all ? dtype : *info.dtype};
    const auto stored = is_quantized(*info.dtype) ? std::nullopt : weights.stored(name);
    if (stored) {
      visit_stored({stored->data, stored->dtype, 1, info.elements, info.elements},
                   [&](auto view) { tensor.data = view.data; });
      mapped.push_back(*stored);
    } else {
      Buffer<float>& values = numbers.emplace_back(info.elements);
      weights.read(name, values.view());
      tensor.data = std::as_const(values).data();
    }
    tensors.push_back(std::move(tensor));
  }
  if (all && files.contains("config.json")) {
    files["config.json"] =
        config_of_type(files.at("config.json"), dtype, weights.path().string() + ": config.json");
  }
  AtomicDirectory directory(to, "config.json");
  write_safetensors_directory(directory.staging(), tensors);
  for (const auto& [name, bytes] : files) {
    std::filesystem::create_directories((directory.staging() / name).parent_path());
    write_file_atomically(directory.staging() / name, bytes);
  }
  directory.commit();
  report.tensors = tensors.size();
  return report;
}

/// The files beside an adapter's base and those beside the adapter, as one model has them.
inline std::map<std::string, std::string> merged_files(const std::filesystem::path& adapter,
                                                       std::map<std::string, std::string> files,
                                                       const WeightSource& weights) {
  for (const auto& [name, bytes] : side_files(adapter)) {
    if (name != adapter_config) files[name] = bytes;
  }
  const std::string where = (adapter / "merit.json").string();
  if (files.contains("merit.json")) {  // a card of a whole model
    Json card = parse_json(files.at("merit.json"), where);
    card.erase("adapter");
    files["merit.json"] = json_text(card, where) + "\n";
  }
  const AdapterWeights own(adapter, nullptr);
  const std::vector<std::string> names = own.own_names();
  const auto head = std::ranges::find_if(names, [](const std::string& name) {
    return name.ends_with("score.weight") || name.ends_with("classifier.weight") ||
           name == "classifier.out_proj.weight";
  });
  if (head == names.end() || !files.contains("config.json")) return files;
  Json config = with_task_of_adapter(parse_json(files.at("config.json"), weights.path().string()), adapter);
  const TensorInfo& tensor = *own.find(*head);
  const Index labels = tensor.shape.empty() ? 1 : tensor.shape[0];
  if (!config.contains("id2label") || config.at("id2label").size() != labels) {
    config["id2label"] = Json::object();
    config["label2id"] = Json::object();
    for (Index i = 0; i < labels; ++i) {
      config["id2label"][std::to_string(i)] = concat("LABEL_", i);
      config["label2id"][concat("LABEL_", i)] = i;
    }
    if (config.contains("num_labels")) config["num_labels"] = labels;
  }
  files["config.json"] = json_text(config, weights.path().string()) + "\n";
  return files;
}

/// The tensors of a merged model that its class does not read: of a classifier that was a language model, the unembedding.
inline std::vector<std::string> idle_tensors(const WeightSource& weights,
                                             const std::map<std::string, std::string>& files) {
  const auto card_file = files.find("merit.json"), config_file = files.find("config.json");
  if (card_file != files.end()) {
    const Json card = parse_json(card_file->second, "merit.json");
    const bool reads = card.contains("head") && is_filled(card.at("head")) &&
                       std::visit([]<class Head>(const Head&) { return reads_unembedding<Head>; },
                                  head_from(card.at("head"), "merit.json: head"));
    if (reads) return {};
  }
  if (config_file == files.end()) return {};
  const Json config = parse_json(config_file->second, "config.json");
  const std::string classes = config.value("architectures", Json::array()).dump();
  if (classes.find("ForSequenceClassification\"") == classes.npos &&
      classes.find("ForTokenClassification\"") == classes.npos)
    return {};
  std::vector<std::string> idle;
  for (const char* name : {"lm_head.weight", "embed_out.weight"}) {
    if (weights.find(name) != nullptr) idle.emplace_back(name);
  }
  return idle;
}

/// An adapter merged into its base, which is at `base` or where the adapter says.
inline ConvertSource source_of_adapter(const std::filesystem::path& adapter,
                                       const std::filesystem::path& base) {
  const std::filesystem::path place = base_of(adapter, base);
  if (is_adapter(place)) open_adapter(adapter, base);  // says what is wrong
  const bool in_out = std::holds_alternative<Gpt2>(read_backbone_config(place));
  auto weights = std::make_unique<MergedWeights>(adapter, place, in_out);
  const std::optional<std::filesystem::path> gguf = find_gguf(place);
  std::map<std::string, std::string> files;
  if (gguf) {
    const GgufWeights of_base(*gguf);
    files = files_in_gguf(of_base.file(), of_base);
  } else {
    files = side_files(place);
  }
  files = merged_files(adapter, std::move(files), *weights);
  std::filesystem::path text = adapter;
  if (!read_text_files(adapter)) text = gguf ? std::filesystem::path() : place;
  std::vector<std::string> idle = idle_tensors(*weights, files);
  return {adapter, std::move(weights), std::move(files), text, gguf.has_value(), std::move(idle)};
}

}  // namespace detail

MERIT_INLINE ConvertReport convert_model(const std::filesystem::path& from, const std::filesystem::path& to,
                                         const ConvertOptions& options) {
  const bool to_gguf = has_gguf_name(to);
  if (file_exists(to)) throw IoError(concat(to.string(), " is there already, expected a new name"));
  detail::require_writable(options.type, to, to_gguf);
  if (is_adapter(from) != options.merge) {
    throw ConfigError(concat(from.string(),
                             options.merge ? ": holds no adapter, expected one to merge into its base"
                                           : ": holds an adapter, which is no whole model: expected it to be "
                                             "merged into its base (--merge, or ConvertOptions::merge)"));
  }
  if (!options.merge && !options.base.empty())
    throw ConfigError(
        concat("--base is given, but ", from.string(), " is not to be merged into it (--merge)"));
  const std::optional<std::filesystem::path> gguf = options.merge ? std::nullopt : find_gguf(from);
  if (gguf && to_gguf) return detail::gguf_to_gguf(GgufFile(*gguf), to, options.type);
  if (!gguf) {
    detail::ConvertSource source =
        options.merge ? detail::source_of_adapter(from, options.base) : detail::source_of_folder(from);
    if (to_gguf) return detail::source_to_gguf(source, to, options.type);
    std::optional<Dtype> type = options.type;
    if (source.of_gguf && !type) type = detail::type_in_config(source.config()).value_or(Dtype::f32);
    return detail::to_folder(*source.weights, std::move(source.files), type.value_or(Dtype::f32),
                             type.has_value(), to, source.idle);
  }
  const GgufWeights weights(*gguf);
  std::map<std::string, std::string> files = detail::files_in_gguf(weights.file(), weights);
  const Json config = parse_json(files.at("config.json"), gguf->string() + ": config.json");
  detail::check_gguf(weights, config);
  const Dtype type = options.type.value_or(detail::type_in_config(config).value_or(Dtype::f32));
  return detail::to_folder(weights, std::move(files), type, true, to);
}

}  // namespace MERIT_ABI
}  // namespace merit
