// The bodies of load_options.hpp.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/free_memory.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/model/computed_tensor.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/tensor_prefixes.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

MERIT_INLINE std::string name_in_internlm2(std::string name) {
  constexpr std::pair<std::string_view, std::string_view> parts[] = {
      {"self_attn.o_proj.", "attention.wo."},
      {"mlp.gate_proj.", "feed_forward.w1."},
      {"mlp.up_proj.", "feed_forward.w3."},
      {"mlp.down_proj.", "feed_forward.w2."},
      {"input_layernorm.", "attention_norm."},
      {"post_attention_layernorm.", "ffn_norm."},
      {"model.embed_tokens.", "model.tok_embeddings."},
      {"score.", "v_head."},
      {"lm_head.", "output."}};
  for (const auto& [ours, theirs] : parts) {
    const auto at = name.find(ours);
    if (at != name.npos) return concat(name.substr(0, at), theirs, name.substr(at + ours.size()));
  }
  return name;
}

MERIT_INLINE std::vector<std::string> published_names(const std::string& name) {
  std::vector<std::string> names{name};
  if (name.starts_with("regression_layer.") || name.starts_with("gating.")) return names;
  if (is_head_parameter(name)) {
    const std::string ending = name.substr(name.find('.') + 1);
    const bool value = name.starts_with("value_head.");
    if (!value) {
      names.push_back("classifier." + ending);
      names.push_back("classifier.out_proj." + ending);  // RoBERTa's and ELECTRA's
    }
    if (name == "score.weight") names.push_back(name_in_internlm2(name));
    for (const char* head : {"v_head.summary.", "value_head.summary.", "value_head."}) {
      if (head + ending != name) names.push_back(head + ending);
    }
    return names;
  }
  if (std::string internlm2 = name_in_internlm2(name); internlm2 != name)
    names.push_back(std::move(internlm2));
  for (const std::string_view prefix : backbone_prefixes) {
    if (!name.starts_with(prefix)) continue;
    names.push_back(name.substr(prefix.size()));
    names.push_back("module." + names.back());
    if (prefix == "model.") names.push_back("transformer." + name.substr(prefix.size()));  // Starling's
  }
  names.push_back("pretrained_model." + name);  // TRL's models with a value head
  names.push_back("module." + name);            // of a wrapper for several devices
  return names;
}

MERIT_INLINE std::string published_as(const LoadOptions& options, const std::string& name) {
  for (const auto& [ours, theirs] : options.names) {
    if (ours == name) return theirs;
  }
  return "";
}

MERIT_INLINE Index bytes_of(const WeightSource& file, const std::string& name) {
  const TensorInfo* tensor = file.find(name);
  if (tensor == nullptr) {
    throw DataError(concat(file.path().string(), ": there is no tensor ", quote(name),
                           ", expected it as a part of the head"));
  }
  return tensor->end - tensor->begin;
}

MERIT_INLINE void check_weight_memory(const std::filesystem::path& path, const WeightMemory& memory,
                                      const std::optional<Index>& limit) {
  const std::optional<Index> most = limit ? limit : merit::free_memory();
  if (!most || memory.total() <= *most) return;
  const auto megabytes = [](Index bytes) { return concat((bytes + 999'999) / 1'000'000, " MB"); };
  throw ConfigError(concat(path.string(), ": the weights take ", megabytes(memory.total()), " of memory (",
                           megabytes(memory.mapped), " as they are stored, ", megabytes(memory.owned),
                           " read into numbers), but only ", megabytes(*most),
                           limit ? " are allowed" : " are free"));
}

MERIT_INLINE std::vector<double> compute(const WeightSource& file, const ComputedTensor& computed,
                                         Index count) {
  std::vector<std::vector<double>> inputs;
  for (const std::string& name : computed.tensors) {
    std::vector<double>& input = inputs.emplace_back(file.find(name)->elements);
    file.read(name, VectorView<double>(input));
  }
  std::vector<double> values = computed.compute(inputs);
  if (values.size() != count) {
    throw DataError(concat(file.path().string(), ": the tensors of ", quote(computed.parameter), " make ",
                           values.size(), " numbers, expected ", count));
  }
  return values;
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
