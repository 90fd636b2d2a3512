// A folder of weights as a GGUF file.
#pragma once

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

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
#include "merit/model/gguf_config.hpp"
#include "merit/model/gguf_layouts.hpp"
#include "merit/model/gguf_weights.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/weight_files.hpp"
#include "merit/run/check_tensors.hpp"
#include "merit/run/convert_report.hpp"
#include "merit/run/describe_gguf.hpp"
#include "merit/run/roberta_as_bert.hpp"
#include "merit/text/text_files.hpp"
#include "merit/text/text_sources.hpp"
#include "merit/text/write_gguf_vocabulary.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

inline constexpr std::string_view gguf_file_key = "merit.file.";
inline constexpr std::string_view gguf_tokenizer_key = "tokenizer.huggingface.json";

inline bool is_weight_file(std::string_view name) {
  for (const std::string_view end :
       {".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth"}) {
    if (name.ends_with(end)) return true;
  }
  return has_gguf_name(name);
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

/// Whether a file beside the weights says what the model is or how its text becomes tokens, and so goes into a GGUF file.
inline bool is_model_file(std::string_view name) {
  constexpr std::string_view files[] = {"config.json",
                                        "merit.json",
                                        "generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "vocab.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "merges.txt",
                                        "vocab.txt",
                                        "encoder.json",
                                        "vocab.bpe",
                                        "chat_template.jinja",
                                        "chat_template.json"};
  return std::ranges::find(files, name) != std::end(files) || name.ends_with(".tiktoken") ||
         std::ranges::find(sentencepiece_names, name) != sentencepiece_names.end() ||
         (name.starts_with("additional_chat_templates/") && name.ends_with(".jinja"));
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
  throw ConfigError(concat(
      to.string(), ": the type ", name_of(*type), " is not written ",
      gguf
          ? "to GGUF files, expected one of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K"
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

/// Throws ConfigError where the backbone that will be read from the file is not the one it is made of: what its
/// metadata cannot say would be lost without a word.
inline void check_same_backbone(const std::filesystem::path& from, const BackboneConfig& expected,
                                const GgufHead& to) {
  const auto other =
      different_setting(expected, read_backbone_config(gguf_config_json(to), to.path().string()));
  if (!other) return;
  throw ConfigError(concat(from.string(), ": its ", *other,
                           " is not what a GGUF file can say: it would be read as another"));
}

/// The tensors of a GGUF file, each put together of one or several of a folder.
class GgufTensors {
 public:
  GgufTensors(const WeightSource& weights, const GgufLayout& layout, const GgufSizes& sizes)
      : weights_(weights), layout_(layout), sizes_(sizes) {}

  /// `info` is one of `weights`, of a type that is read.
  void add(const TensorInfo& info) {
    const std::string where = weights_.path().string();
    const bool matrix = info.shape.size() > 1;
    const Index columns = matrix ? info.shape.back() : 1;
    Part part{&info, columns == 0 ? 0 : info.elements / columns, {}};
    part.place = gguf_place(layout_, sizes_, info.name, part.rows, where);
    for (Index i = 0; i < part.place.tensors.size(); ++i) {
      const std::string& name = part.place.tensors[i];
      auto tensor =
          std::find_if(tensors_.begin(), tensors_.end(), [&](const Tensor& one) { return one.name == name; });
      if (tensor == tensors_.end()) tensor = tensors_.insert(tensors_.end(), {name, info.shape, {}, {}});
      if (part.place.tensors.size() > 1) {  // InternLM2's heads of queries, keys and values
        const Index width = part.rows / (sizes_.heads + 2 * sizes_.kv_heads);
        tensor->shape[0] = (i == 0 ? sizes_.heads : sizes_.kv_heads) * width;
      }
      const auto in = layer_name(name, "blk.");
      const bool stacked = in && !gguf_expert(in->part).empty();
      for (const Part& other : tensor->parts) {
        const bool apart = stacked && other.place.first != part.place.first;
        if (apart && other.info->shape == info.shape) continue;
        throw DataError(concat(where, ": tensor ", quote(info.name), " of shape ", shape_text(info.shape),
                               " and ", quote(other.info->name), " of shape ", shape_text(other.info->shape),
                               " are ",
                               apart ? "experts of one layer, expected one shape of them all"
                                     : "one tensor of a GGUF file, expected one of them"));
      }
      if (stacked && part.place.first >= part.rows * sizes_.experts) {
        throw DataError(concat(where, ": tensor ", quote(info.name), " is of an expert beyond the ",
                               sizes_.experts, " that config.json says"));
      }
      if (stacked) {
        tensor->shape = info.shape;
        tensor->shape.insert(tensor->shape.begin(), sizes_.experts);
      }
      if (is_transposed(info)) std::swap(tensor->shape[0], tensor->shape[1]);
      tensor->numbers.push_back(i);
      tensor->parts.push_back(part);
    }
  }

  /// What is written. Throws DataError where experts are missing.
  std::vector<GgufTensorSource> sources(std::optional<Dtype> type, ConvertReport& report) const {
    std::vector<GgufTensorSource> sources;
    for (const Tensor& tensor : tensors_) {
      const TensorInfo& info = *tensor.parts.front().info;
      const bool stacked = tensor.shape.size() > info.shape.size();
      if (stacked && tensor.parts.size() != sizes_.experts) {
        throw DataError(concat(weights_.path().string(), ": ", quote(tensor.name), " is to be made of ",
                               sizes_.experts, " experts, and ", tensor.parts.size(), " are there"));
      }
      GgufTensorSource source{tensor.name, tensor.shape, Dtype::f32, {}};
      const Dtype own = *info.dtype == Dtype::f64 ? Dtype::f32 : *info.dtype;
      if (tensor.shape.size() > 1 && !stays_float(tensor.name))
        source.dtype = converted_type(own, type, tensor.shape.back(), info.name, report);
      source.bytes = [this, &tensor, dtype = source.dtype] { return bytes(tensor, dtype); };
      sources.push_back(std::move(source));
    }
    return sources;
  }

 private:
  struct Part {
    const TensorInfo* info;
    Index rows;
    GgufPlace place;
  };
  struct Tensor {
    std::string name;
    std::vector<Index> shape;
    std::vector<Part> parts;
    std::vector<Index> numbers;  // which of a part's tensors this is
  };

  bool is_transposed(const TensorInfo& info) const {
    return layout_.transposed && info.shape.size() == 2 && info.name.find(".c_") != info.name.npos;
  }

  /// Matrices that llama.cpp adds to others, for which it has no quantised types, and routers, as it writes them.
  static bool stays_float(std::string_view name) {
    return name == "position_embd.weight" || name == "token_types.weight" ||
           name.ends_with(".ffn_gate_inp.weight");
  }

  /// The blocks of a quantised type where the source has them already, in the rows of the file: made anew, some would not be
  /// the same.
  std::optional<std::vector<std::byte>> moved_blocks(const Tensor& tensor, Dtype dtype) const {
    std::vector<std::byte> bytes(stored_bytes(dtype, element_count(tensor.shape).value_or(0)));
    const Index row_bytes = stored_bytes(dtype, tensor.shape.back());
    for (Index i = 0; i < tensor.parts.size(); ++i) {
      const Part& part = tensor.parts[i];
      if (is_transposed(*part.info) || part.info->dtype != dtype) return std::nullopt;
      const std::optional<StoredTensor> stored = weights_.stored(part.info->name);
      if (!stored || stored->dtype != dtype) return std::nullopt;
      const auto* const rows = static_cast<const std::byte*>(stored->data);
      for (Index r = 0; r < part.rows; ++r) {
        const GgufPlace::Row at =
            part.place.order ? part.place.order(r) : GgufPlace::Row{0, part.place.first + r};
        if (at.tensor != tensor.numbers[i]) continue;
        std::copy_n(rows + r * row_bytes, row_bytes, bytes.data() + at.row * row_bytes);
      }
    }
    return bytes;
  }

  std::vector<std::byte> bytes(const Tensor& tensor, Dtype dtype) const {
    if (is_quantized(dtype)) {
      if (std::optional<std::vector<std::byte>> as_stored = moved_blocks(tensor, dtype))
        return *std::move(as_stored);
    }
    const std::string where = weights_.path().string();
    std::vector<float> values(element_count(tensor.shape).value_or(0));
    for (Index i = 0; i < tensor.parts.size(); ++i) {
      const Part& part = tensor.parts[i];
      const TensorInfo& info = *part.info;
      std::vector<float> own(info.elements);
      weights_.read(info.name, VectorView<float>(own));
      if (layout_.norms_add_one && info.name.ends_with("norm.weight")) {
        for (float& value : own) value += 1;
      }
      if (is_transposed(info)) transpose_in_place(VectorView<float>(own), info.shape[0], info.shape[1]);
      const Index columns = part.rows == 0 ? 0 : info.elements / part.rows;
      if (!part.place.order) {
        std::copy(own.begin(), own.end(),
                  values.begin() + static_cast<std::ptrdiff_t>(part.place.first * columns));
        continue;
      }
      for (Index r = 0; r < part.rows; ++r) {
        const GgufPlace::Row at = part.place.order(r);
        if (at.tensor == tensor.numbers[i])
          std::copy_n(own.data() + r * columns, columns, values.data() + at.row * columns);
      }
    }
    return stored_as(dtype, values, concat(where, ": tensor ", quote(tensor.parts.front().info->name)));
  }

  const WeightSource& weights_;
  const GgufLayout& layout_;
  GgufSizes sizes_;
  std::vector<Tensor> tensors_;
};

inline GgufSizes gguf_sizes(const BackboneConfig& backbone) {
  return std::visit(
      []<class Backbone>(const Backbone& config) {
        GgufSizes sizes;
        if constexpr (requires { config.heads; }) sizes.heads = config.heads;
        if constexpr (requires { config.kv_heads; }) sizes.kv_heads = config.kv_heads;
        if constexpr (requires { config.experts; }) sizes.experts = config.experts;
        return sizes;
      },
      backbone);
}

inline constexpr std::string_view idle_reason =
    ": of the language model that it was, whose class had another head";

/// What is converted.
struct ConvertSource {
  std::filesystem::path place;  // for errors
  std::unique_ptr<WeightSource> weights;
  std::map<std::string, std::string> files;  // beside the weights, config.json among them
  std::filesystem::path text_folder = {};    // where the tokenizer is
  bool of_gguf = false;                      // weights may be of its types
  std::vector<std::string> idle = {};        // tensors that the model's class does not read

  Json config() const { return parse_json(files.at("config.json"), (place / "config.json").string()); }
};

/// A folder.
inline ConvertSource source_of_folder(const std::filesystem::path& folder) {
  ConvertSource source{folder, open_weights(folder), side_files(folder), folder};
  if (!source.files.contains("config.json")) read_file(folder / "config.json");  // says what is wrong
  return source;
}

/// The tokenizer, for merit as it is and for llama.cpp as it has it, and the other files of a folder. `size` is the rows of
/// the embedding.
inline void carry_files(const ConvertSource& from, Index size, GgufMetadata& metadata,
                        ConvertReport& report) {
  std::string others;
  for (const auto& [name, bytes] : from.files) {
    if (!is_model_file(name)) {
      others += (others.empty() ? "" : ", ") + name;
      continue;
    }
    if (first_invalid_utf8(bytes) < bytes.size()) {
      report.left_out.push_back(name + ": no text, as metadata must be");
      continue;
    }
    metadata.text(name == "tokenizer.json" ? std::string(gguf_tokenizer_key) : concat(gguf_file_key, name),
                  bytes);
  }
  if (!others.empty()) report.left_out.push_back(others + ": no part of the model");
  const std::optional<TextFiles> text =
      from.text_folder.empty() ? std::nullopt : read_text_files(from.text_folder);
  if (!text) return;
  const Json description =
      text->description ? *text->description : read_json(from.text_folder / "tokenizer.json");
  if (const auto why = write_gguf_vocabulary(*text, description, size, metadata)) {
    report.left_out.push_back(concat("the tokenizer for llama.cpp: ", *why));
    // merit finds these beside the tokenizer.json.
    for (const auto& [name, id] : {std::pair("bos", text->bos), std::pair("eos", text->eos),
                                   std::pair("padding", text->pad), std::pair("unknown", text->unk)}) {
      if (id) metadata.number(concat("tokenizer.ggml.", name, "_token_id"), *id);
    }
  }
  std::vector<std::string> templates;
  for (const auto& [name, source] : text->chat_templates) {
    if (name == "default") {
      metadata.text("tokenizer.chat_template", source);
    } else {
      metadata.text(concat("tokenizer.chat_template.", name), source);
      templates.push_back(name);
    }
  }
  if (!templates.empty()) metadata.texts("tokenizer.chat_templates", templates);
}

/// Whether a tensor belongs to BERT's pooler, of a model whose class reads none.
inline bool has_idle_pooler(const BackboneConfig& backbone, std::string_view tensor) {
  const Bert* const bert = std::get_if<Bert>(&backbone);
  return bert != nullptr && !bert->pooler && tensor.find("pooler.dense.") != tensor.npos;
}

/// A RoBERTa as the BERT that computes the same; others as they are.
inline void as_in_gguf(ConvertSource& source, ConvertReport& report) {
  const std::string where = (source.place / "config.json").string();
  const Json config = source.config();
  const BackboneConfig backbone = read_backbone_config(config, where);
  const Bert* const bert = std::get_if<Bert>(&backbone);
  if (bert == nullptr || bert->family != BertFamily::roberta) return;
  source.weights = std::make_unique<RobertaAsBert>(std::move(source.weights), bert->first_position);
  source.files["config.json"] =
      json_text(roberta_config_as_bert(config, bert->position_limit()), where) + "\n";
  report.left_out.push_back(concat("the first ", bert->first_position,
                                   " rows of positions, at which no token stands: in GGUF files RoBERTa is a "
                                   "bert, as which a folder made of this one is read too"));
}

inline ConvertReport source_to_gguf(ConvertSource& from, const std::filesystem::path& to,
                                    std::optional<Dtype> type) {
  ConvertReport report;
  as_in_gguf(from, report);
  const WeightSource* const weights = from.weights.get();
  const Json config = from.config();
  const BackboneConfig backbone = read_backbone_config(config, (from.place / "config.json").string());
  const std::string name =
      std::visit([](const auto& settings) { return architecture_of(settings); }, backbone);
  const GgufLayout* const layout = find_gguf_layout(name);
  if (layout == nullptr) {
    throw ConfigError(
        concat(from.place.string(), ": the backbone ",
               std::visit([](const auto& settings) { return backbone_kind(settings); }, backbone),
               " is not written to GGUF files"));
  }
  GgufMetadata metadata;
  GgufArchitecture architecture(metadata, name);
  std::vector<GgufTensorSource> tensors;
  std::visit([&](const auto& settings) { describe_backbone(settings, config, architecture, tensors); },
             backbone);
  GgufTensors own(*weights, *layout, gguf_sizes(backbone));
  for (const std::string& tensor : weights->names()) {
    const TensorInfo& info = *weights->find(tensor);
    if (std::ranges::find(from.idle, tensor) != from.idle.end()) {
      report.left_out.push_back(tensor + std::string(idle_reason));
    } else if (!info.dtype) {
      report.left_out.push_back(concat(tensor, ": of the type ", info.dtype_name));
    } else if (is_known_extra(tensor) &&
               (gguf_name(*layout, tensor) == tensor || has_idle_pooler(backbone, tensor))) {
      report.left_out.push_back(tensor + ": what no model reads");
    } else {
      own.add(info);
    }
  }
  for (GgufTensorSource& tensor : own.sources(type, report)) tensors.push_back(std::move(tensor));
  describe_gguf_head(*weights, config, architecture, metadata);
  const auto vocabulary = [](const auto& settings) -> Index {
    if constexpr (requires { settings.vocabulary_size; }) return settings.vocabulary_size;
    return 0;
  };
  carry_files(from, std::visit(vocabulary, backbone), metadata, report);
  check_same_backbone(from.place, backbone, PlannedGguf(to, metadata, tensors));
  write_gguf(to, metadata, tensors);
  report.tensors = tensors.size();
  return report;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
