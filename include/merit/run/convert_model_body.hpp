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
#include "merit/model/gguf_weights.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/load_options.hpp"
#include "merit/run/convert_model.hpp"
#include "merit/text/text_files.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

inline constexpr std::string_view gguf_file_key = "merit.file.";
inline constexpr std::string_view gguf_tokenizer_key = "tokenizer.huggingface.json";

inline bool is_weight_file(std::string_view name) {
  for (const std::string_view end :
       {".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".gguf"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

/// The files beside the weights of a folder, with their bytes, those of folders in it too.
inline std::map<std::string, std::string> side_files(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    if (entry.is_regular_file() && !is_weight_file(name)) files.emplace(name, read_file(entry.path()));
  }
  return files;
}

/// What a matrix of `cols` columns becomes: the type asked for, or its own where rows are no whole blocks of that.
inline Dtype converted_type(Dtype own, std::optional<Dtype> wanted, Index cols, const std::string& name,
                            ConvertReport& report) {
  if (!wanted || *wanted == own) return own;
  if (cols % layout_of(*wanted).elements == 0) return *wanted;
  report.kept.push_back(name);
  return own;
}

inline void require_writable(std::optional<Dtype> type, const std::filesystem::path& to, bool gguf) {
  if (!type || !is_quantized(*type) || (gguf && can_quantize(*type))) return;
  throw ConfigError(concat(to.string(), ": the type ", name_of(*type), " is not written ",
                           gguf
                               ? "to GGUF files, expected one of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1"
                               : "to safetensors, expected one of F32, F16, BF16"));
}

/// Numbers in a type, which must be finite there.
inline std::vector<std::byte> stored_as(Dtype dtype, const std::vector<float>& values,
                                        const std::string& where) {
  std::vector<std::byte> bytes(stored_bytes(dtype, values.size()));
  quantize(dtype, values.data(), bytes.data(), values.size());
  require_finite(bytes.data(), dtype, values.size(), [&](Index element, double) {
    throw DataError(
        concat(where, ": element ", element, " is ", values[element], ", too large for ", name_of(dtype)));
  });
  return bytes;
}

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

// --- a folder to GGUF

/// The factors of Llama 3's rotary scaling, by which llama.cpp divides frequencies.
inline std::vector<float> llama3_factors(const Llama& llama) {
  const auto frequencies = [&](const RotaryScaling& scaling) {
    return rotary_frequencies(llama.head_width(), llama.rope_base, scaling,
                              static_cast<double>(llama.max_positions))
        .angular;
  };
  const std::vector<double> plain = frequencies({}), scaled = frequencies(llama.rope_scaling);
  std::vector<float> factors(plain.size());
  for (Index i = 0; i < factors.size(); ++i) factors[i] = static_cast<float>(plain[i] / scaled[i]);
  return factors;
}

/// As llama.cpp calls it.
inline std::string architecture_of(const BackboneConfig& backbone) {
  const Llama* const llama = std::get_if<Llama>(&backbone);
  if (llama == nullptr) return "gpt2";
  return llama->head_norm ? "qwen3" : llama->qkv_bias ? "qwen2" : "llama";
}

/// A linear head on completions, as llama.cpp has that of a reranker.
inline void describe_gguf_head(const WeightSource& weights, const Json& config,
                               const std::string& architecture, GgufMetadata& metadata) {
  const TensorInfo* const head = weights.find("score.weight");
  if (head == nullptr || head->shape.size() != 2) return;
  std::vector<std::string> labels;
  for (Index i = 0; i < head->shape[0]; ++i) {
    const std::string number = std::to_string(i);
    const bool named = config.contains("id2label") && config.at("id2label").is_object() &&
                       config.at("id2label").contains(number) && config.at("id2label").at(number).is_string();
    labels.push_back(named ? config.at("id2label").at(number).get<std::string>() : "LABEL_" + number);
  }
  constexpr std::uint32_t rank = 4;
  metadata.number(architecture + ".pooling_type", rank);
  metadata.texts(architecture + ".classifier.output_labels", labels);
}

inline void describe_gguf_model(const Llama& llama, GgufMetadata& metadata,
                                std::vector<GgufTensorSource>& tensors) {
  const std::string kind = architecture_of(llama);
  const auto number = [&](const char* name, Index value) {
    metadata.number(concat(kind, ".", name), static_cast<std::uint32_t>(value));
  };
  const auto real = [&](const char* name, double value) {
    metadata.real(concat(kind, ".", name), static_cast<float>(value));
  };
  metadata.text("general.architecture", kind);
  number("vocab_size", llama.vocabulary_size);
  number("block_count", llama.layers);
  number("context_length", llama.max_positions);
  number("embedding_length", llama.hidden_size);
  number("feed_forward_length", llama.intermediate_size);
  number("attention.head_count", llama.heads);
  number("attention.head_count_kv", llama.kv_heads);
  number("attention.key_length", llama.head_width());
  number("attention.value_length", llama.head_width());
  number("rope.dimension_count", llama.head_width());
  real("attention.layer_norm_rms_epsilon", llama.norm_epsilon);
  real("rope.freq_base", llama.rope_base);
  const RotaryScaling& scaling = llama.rope_scaling;
  using Kind = RotaryScaling::Kind;
  if (scaling.kind == Kind::llama3) {
    const std::vector<float> factors = llama3_factors(llama);
    tensors.push_back({"rope_freqs.weight", {factors.size()}, Dtype::f32, [factors] {
                         return stored_as(Dtype::f32, factors, "rope_freqs.weight");
                       }});
  } else if (scaling.kind == Kind::linear || scaling.kind == Kind::yarn) {
    metadata.text(concat(kind, ".rope.scaling.type"), scaling.kind == Kind::yarn ? "yarn" : "linear");
    real("rope.scaling.factor", scaling.factor);
    if (scaling.kind == Kind::yarn) {
      number("rope.scaling.original_context_length", static_cast<Index>(scaling.original_positions));
      if (scaling.attention_factor != 0) real("rope.scaling.attn_factor", scaling.attention_factor);
      real("rope.scaling.yarn_beta_fast", scaling.beta_fast);
      real("rope.scaling.yarn_beta_slow", scaling.beta_slow);
    }
  }
}
inline void describe_gguf_model(const Gpt2& gpt2, GgufMetadata& metadata, std::vector<GgufTensorSource>&) {
  const auto number = [&](const char* name, Index value) {
    metadata.number(concat("gpt2.", name), static_cast<std::uint32_t>(value));
  };
  metadata.text("general.architecture", "gpt2");
  number("block_count", gpt2.layers);
  number("context_length", gpt2.max_positions);
  number("embedding_length", gpt2.hidden_size);
  number("feed_forward_length", gpt2.inner_width());
  number("attention.head_count", gpt2.heads);
  metadata.real("gpt2.attention.layer_norm_epsilon", static_cast<float>(gpt2.norm_epsilon));
}

/// Throws ConfigError where the backbone that will be read from the file is not the one it is made of: what its
/// metadata cannot say would be lost without a word.
inline void check_same_backbone(const std::filesystem::path& from, BackboneConfig expected,
                                const GgufHead& to) {
  BackboneConfig found = read_backbone_config(gguf_config_json(to), to.path().string());
  for (BackboneConfig* const config : {&expected, &found}) {
    if (auto* const gpt2 = std::get_if<Gpt2>(config)) gpt2->intermediate_size = gpt2->inner_width();
  }
  std::visit(
      [&]<class Backbone>(const Backbone& backbone) {
        const Backbone* const other = std::get_if<Backbone>(&found);
        Backbone::fields([&](const auto& field) {
          for (const std::string_view start : {"init_deviation", "unembedding", "tied_embedding"}) {
            if (field.name == start) return;  // changes no score, or is known by the tensors
          }
          if (other != nullptr && backbone.*field.member == other->*field.member) return;
          throw ConfigError(concat(from.string(), ": its ", field.name,
                                   " is not what a GGUF file can say: it would be read as another"));
        });
      },
      expected);
}

/// A tensor of a folder as llama.cpp lays it out.
inline GgufTensorSource gguf_tensor(const WeightSource& weights, const TensorInfo& info,
                                    const BackboneConfig& backbone, std::optional<Dtype> type,
                                    ConvertReport& report) {
  const Llama* const llama = std::get_if<Llama>(&backbone);
  const std::string name = gguf_name(info.name, llama == nullptr);
  GgufTensorSource tensor{name, info.shape, Dtype::f32, {}};
  const bool matrix = info.shape.size() > 1;
  const bool transposed =
      llama == nullptr && info.shape.size() == 2 && info.name.find(".c_") != info.name.npos;
  if (transposed) std::swap(tensor.shape[0], tensor.shape[1]);
  Index heads = 0;  // whose rows are interleaved
  if (llama != nullptr && !llama->qkv_bias && !llama->head_norm) {
    if (name.find(".attn_q.") != name.npos) heads = llama->heads;
    if (name.find(".attn_k.") != name.npos) heads = llama->kv_heads;
  }
  const Dtype own = *info.dtype == Dtype::f64 ? Dtype::f32 : *info.dtype;
  if (matrix) tensor.dtype = converted_type(own, type, tensor.shape.back(), info.name, report);
  tensor.bytes = [&weights, &info, heads, transposed, dtype = tensor.dtype] {
    std::vector<float> values(info.elements);
    weights.read(info.name, VectorView<float>(values));
    if (transposed) transpose_in_place(VectorView<float>(values), info.shape[0], info.shape[1]);
    if (heads != 0) {
      const std::vector<float> before = values;
      const Index rows = info.shape[0], columns = info.elements / rows;
      for (Index i = 0; i < rows; ++i) {
        std::copy_n(before.data() + i * columns, columns,
                    values.data() + interleaved_row(i, rows, heads) * columns);
      }
    }
    return stored_as(dtype, values, concat(weights.path().string(), ": tensor ", quote(info.name)));
  };
  return tensor;
}

inline void carry_files(const std::filesystem::path& from, GgufMetadata& metadata, ConvertReport& report) {
  for (const auto& [name, bytes] : side_files(from)) {
    if (first_invalid_utf8(bytes) < bytes.size()) {
      report.left_out.push_back(name + ": no text, as metadata must be");
      continue;
    }
    metadata.text(name == "tokenizer.json" ? std::string(gguf_tokenizer_key) : concat(gguf_file_key, name),
                  bytes);
  }
  if (!file_exists(from / "tokenizer.json")) return;
  const std::optional<TextFiles> text = read_text_files(from);
  if (!text) return;
  for (const auto& [name, id] : {std::pair("bos", text->bos), std::pair("eos", text->eos),
                                 std::pair("padding", text->pad), std::pair("unknown", text->unk)}) {
    if (id) metadata.number(concat("tokenizer.ggml.", name, "_token_id"), *id);
  }
  const auto usual = text->chat_templates.find("default");
  if (usual != text->chat_templates.end()) metadata.text("tokenizer.chat_template", usual->second);
}

inline ConvertReport folder_to_gguf(const std::filesystem::path& from, const std::filesystem::path& to,
                                    std::optional<Dtype> type) {
  ConvertReport report;
  const std::unique_ptr<WeightSource> weights = open_weights(from);
  const BackboneConfig backbone = read_backbone_config(from);
  GgufMetadata metadata;
  std::vector<GgufTensorSource> tensors;
  std::visit(
      [&]<class Backbone>(const Backbone& config) {
        if constexpr (requires { describe_gguf_model(config, metadata, tensors); }) {
          describe_gguf_model(config, metadata, tensors);
        } else {
          throw ConfigError(
              concat(from.string(), ": the backbone ", config.name(), " is not written to GGUF files"));
        }
      },
      backbone);
  for (const std::string& name : weights->names()) {
    const TensorInfo& info = *weights->find(name);
    if (!info.dtype) {
      report.left_out.push_back(concat(name, ": of the type ", info.dtype_name));
    } else if (detail::is_known_extra(name) && !name.ends_with("lm_head.weight")) {
      report.left_out.push_back(name + ": what no model reads");
    } else {
      tensors.push_back(gguf_tensor(*weights, info, backbone, type, report));
    }
  }
  describe_gguf_head(*weights, read_json(from / "config.json"), architecture_of(backbone), metadata);
  carry_files(from, metadata, report);
  check_same_backbone(from, backbone, PlannedGguf(to, metadata, tensors));
  write_gguf(to, metadata, tensors);
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

/// The files of a folder that a GGUF file makes: those it was made of, or such as say the same.
inline std::map<std::string, std::string> files_in_gguf(const GgufFile& file, const GgufWeights& weights) {
  std::map<std::string, std::string> files;
  for (const std::string& key : file.keys()) {
    if (key.starts_with(gguf_file_key))
      files[key.substr(gguf_file_key.size())] = file.require<std::string>(key);
  }
  for (const auto& [name, bytes] : files) {
    const std::filesystem::path path(name);
    if (path.is_absolute() || path.lexically_normal() != path || *path.begin() == "..") {
      throw DataError(concat(file.path().string(), ": metadata ", quote(concat(gguf_file_key, name)),
                             ": expected the name of a file inside the folder"));
    }
  }
  if (const auto tokenizer = file.optional<std::string>(gguf_tokenizer_key))
    files["tokenizer.json"] = *tokenizer;
  if (files.contains("config.json")) return files;
  Json config = gguf_config_json(file);
  const TensorInfo* const head = weights.find("score.weight");
  const std::string kind = file.require<std::string>("general.architecture");
  const std::string_view prefix = kind == "llama"   ? "Llama"
                                  : kind == "qwen2" ? "Qwen2"
                                  : kind == "qwen3" ? "Qwen3"
                                                    : "GPT2";
  config["architectures"] = {concat(prefix, head != nullptr  ? "ForSequenceClassification"
                                            : kind == "gpt2" ? "LMHeadModel"
                                                             : "ForCausalLM")};
  if (head != nullptr && !head->shape.empty()) {
    Json labels = Json::object();
    for (Index i = 0; i < head->shape[0]; ++i) labels[std::to_string(i)] = concat("LABEL_", i);
    config["id2label"] = labels;
  }
  files["config.json"] = json_text(config, file.path().string()) + "\n";
  if (file.find("tokenizer.ggml.model") != nullptr) files.merge(saved_text_files(text_files_of_gguf(file)));
  return files;
}

inline ConvertReport to_folder(const WeightSource& weights, std::map<std::string, std::string> files,
                               Dtype dtype, bool all, const std::filesystem::path& to) {
  ConvertReport report;
  std::vector<TensorSource> tensors;
  std::vector<StoredTensor> mapped;
  std::vector<Buffer<float>> numbers;
  const std::vector<std::string> names = weights.names();
  for (const std::string& name : names) {
    const TensorInfo& info = *weights.find(name);
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

}  // namespace detail

MERIT_INLINE ConvertReport convert_model(const std::filesystem::path& from, const std::filesystem::path& to,
                                         const ConvertOptions& options) {
  const bool to_gguf = to.extension() == ".gguf";
  if (file_exists(to)) throw IoError(concat(to.string(), " is there already, expected a new name"));
  detail::require_writable(options.type, to, to_gguf);
  const std::optional<std::filesystem::path> gguf = find_gguf(from);
  if (gguf && to_gguf) return detail::gguf_to_gguf(GgufFile(*gguf), to, options.type);
  if (to_gguf) return detail::folder_to_gguf(from, to, options.type);
  if (!gguf) {
    const Dtype type = options.type.value_or(Dtype::f32);
    return detail::to_folder(*open_weights(from), detail::side_files(from), type, options.type.has_value(),
                             to);
  }
  const GgufWeights weights(*gguf);
  std::map<std::string, std::string> files = detail::files_in_gguf(weights.file(), weights);
  const Json config = parse_json(files.at("config.json"), gguf->string() + ": config.json");
  const Dtype type = options.type.value_or(detail::type_in_config(config).value_or(Dtype::f32));
  return detail::to_folder(weights, std::move(files), type, true, to);
}

}  // namespace MERIT_ABI
}  // namespace merit
