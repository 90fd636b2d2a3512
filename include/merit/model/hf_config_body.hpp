// The bodies of hf_config.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backbone/features.hpp"
#include "merit/backbone/gpt2.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/model/config_fields.hpp"
#include "merit/model/gguf_config.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/hf_encoders.hpp"
#include "merit/model/hf_llama.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

inline Gpt2 gpt2_from(const ConfigFields& fields) {
  Gpt2 gpt2;
  gpt2.vocabulary_size = fields.require<Index>("vocab_size");
  gpt2.hidden_size = fields.require<Index>("n_embd");
  gpt2.layers = fields.require<Index>("n_layer");
  gpt2.heads = fields.require<Index>("n_head");
  gpt2.max_positions = fields.require<Index>("n_positions");
  gpt2.intermediate_size = fields.value_or<Index>("n_inner", 0);
  gpt2.norm_epsilon = fields.value_or("layer_norm_epsilon", 1e-5);
  gpt2.init_deviation = fields.value_or("initializer_range", 0.02);
  gpt2.activation = activation_from(fields, "activation_function", "gelu_new");
  if (!fields.value_or("scale_attn_weights", true)) fields.refuse("scale_attn_weights", "true");
  for (const char* field : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"}) {
    if (fields.value_or(field, false)) fields.refuse(field, "false");
  }
  return gpt2;
}

inline GptNeox gpt_neox_from(const ConfigFields& fields) {
  GptNeox neox;
  neox.vocabulary_size = fields.require<Index>("vocab_size");
  neox.hidden_size = fields.require<Index>("hidden_size");
  neox.intermediate_size = fields.require<Index>("intermediate_size");
  neox.layers = fields.require<Index>("num_hidden_layers");
  neox.heads = fields.require<Index>("num_attention_heads");
  neox.max_positions = fields.value_or<Index>("max_position_embeddings", 2048);
  neox.norm_epsilon = fields.value_or("layer_norm_eps", 1e-5);
  neox.activation = activation_from(fields, "hidden_act", "gelu");
  neox.parallel_residual = fields.value_or("use_parallel_residual", true);
  neox.attention_bias = fields.value_or("attention_bias", true);
  neox.tied_embedding = fields.value_or("tie_word_embeddings", false);
  neox.unembedding = fields.value_or("merit_unembedding", false);
  neox.init_deviation = fields.value_or("initializer_range", 0.02);
  double share = fields.value_or("rotary_pct", 0.25);
  neox.rope_base = fields.value_or("rotary_emb_base", fields.value_or("rope_theta", 10000.0));
  if (const auto rope = fields.optional<Json>("rope_parameters")) {
    if (!rope->is_object()) fields.refuse("rope_parameters", "an object or null");
    const ConfigFields inner(*rope, concat(fields.where(), ": rope_parameters"));
    if (rotary_kind(inner) != RotaryScaling::Kind::none) inner.refuse("rope_type", "default");
    share = inner.value_or("partial_rotary_factor", share);
    neox.rope_base = inner.value_or("rope_theta", neox.rope_base);
  }
  if (fields.optional<Json>("rope_scaling")) fields.refuse("rope_scaling", "null");
  if (!(share > 0 && share <= 1)) fields.refuse("rotary_pct", "a number above 0, at most 1");
  if (neox.heads == 0) fields.refuse("num_attention_heads", "at least 1");
  neox.rotary_width = static_cast<Index>(share * static_cast<double>(neox.hidden_size / neox.heads));
  return neox;
}

inline BackboneConfig backbone_from(const ConfigFields& fields) {
  const auto kind = fields.require<std::string>("model_type");
  if (kind == "gpt2") return gpt2_from(fields);
  if (kind == "gpt_neox") return gpt_neox_from(fields);
  if (kind == "merit_bag_of_tokens") {
    return BagOfTokens{.vocabulary_size = fields.require<Index>("vocab_size"),
                       .width = fields.require<Index>("hidden_size"),
                       .init_deviation = fields.value_or("initializer_range", 0.02)};
  }
  if (kind == "merit_features") return Features{.width = fields.require<Index>("hidden_size")};
  if (const LlamaFamily* family = find_llama_family(kind)) return llama_from(fields, *family);
  if (kind == Deberta::name()) return deberta_from(fields);
  if (kind == ModernBert::name()) return modern_bert_from(fields);
  if (const auto family = find_bert_family(kind)) return bert_from(fields, *family);
  std::string known;
  for (const LlamaFamily& family : llama_families) known += concat(family.model_type, ", ");
  fields.refuse(
      "model_type",
      concat(
          "one of ", known,
          "gpt2, gpt_neox, bert, roberta, xlm-roberta, electra, distilbert, albert, modernbert, deberta-v2, "
          "merit_bag_of_tokens, merit_features"));
}

}  // namespace detail

MERIT_INLINE BackboneConfig read_backbone_config(const Json& json, const std::string& where) {
  try {
    BackboneConfig config = detail::backbone_from(detail::ConfigFields(json, where));
    try {
      std::visit([](const auto& backbone) { backbone.validate(); }, config);
    } catch (const ConfigError& error) {
      throw ConfigError(concat(where, ": ", error.what()));
    }
    return config;
  } catch (const DataError& error) {  // a field of the wrong type
    throw ConfigError(error.what());
  }
}

MERIT_INLINE BackboneConfig read_backbone_config(const std::filesystem::path& path) {
  std::error_code ignored;
  std::filesystem::path file = path;
  const bool is_file = std::filesystem::is_regular_file(path, ignored);
  if (!is_file) recover_directory(path);
  if (const auto gguf = find_gguf(path)) {
    return read_backbone_config(gguf_config_json(GgufFile(*gguf)), gguf->string());
  }
  if (!is_file) file /= "config.json";
  return read_backbone_config(read_json(file), file.string());
}

MERIT_INLINE Json backbone_config_json(const Llama& llama, const HfTask& task) {
  return detail::llama_json(llama, task);
}

MERIT_INLINE Json backbone_config_json(const Gpt2& gpt2, const HfTask& task) {
  Json json = detail::hf_json("gpt2", "GPT2", task);
  json.update({{"vocab_size", gpt2.vocabulary_size},
               {"n_embd", gpt2.hidden_size},
               {"n_layer", gpt2.layers},
               {"n_head", gpt2.heads},
               {"n_positions", gpt2.max_positions},
               {"n_inner", nullptr},
               {"layer_norm_epsilon", gpt2.norm_epsilon},
               {"initializer_range", gpt2.init_deviation},
               {"activation_function", gpt2.activation == ActivationFunction::gelu_tanh
                                           ? "gelu_new"
                                           : detail::hf_activation_name(gpt2.activation)},
               {"attn_pdrop", 0.0},
               {"embd_pdrop", 0.0},
               {"resid_pdrop", 0.0}});
  if (gpt2.intermediate_size != 0) json["n_inner"] = gpt2.intermediate_size;
  return json;
}

MERIT_INLINE Json backbone_config_json(const GptNeox& neox, const HfTask& task) {
  Json json = detail::hf_json("gpt_neox", "GPTNeoX", task);
  json.update(
      {{"vocab_size", neox.vocabulary_size},
       {"hidden_size", neox.hidden_size},
       {"intermediate_size", neox.intermediate_size},
       {"num_hidden_layers", neox.layers},
       {"num_attention_heads", neox.heads},
       {"max_position_embeddings", neox.max_positions},
       {"layer_norm_eps", neox.norm_epsilon},
       {"hidden_act", detail::hf_activation_name(neox.activation)},
       {"use_parallel_residual", neox.parallel_residual},
       {"attention_bias", neox.attention_bias},
       {"tie_word_embeddings", neox.tied_embedding},
       {"initializer_range", neox.init_deviation},
       {"rotary_emb_base", neox.rope_base},
       {"rotary_pct", static_cast<double>(neox.rotary_width) / static_cast<double>(neox.head_width())},
       {"attention_dropout", 0.0},
       {"hidden_dropout", 0.0},
       {"classifier_dropout", 0.0}});
  if (neox.unembedding) json["merit_unembedding"] = true;
  return json;
}

MERIT_INLINE Json backbone_config_json(const Bert& bert, const HfTask& task) {
  return detail::bert_json(bert, task);
}

MERIT_INLINE Json backbone_config_json(const ModernBert& bert, const HfTask& task) {
  return detail::modern_bert_json(bert, task);
}

MERIT_INLINE Json backbone_config_json(const Deberta& deberta, const HfTask& task) {
  return detail::deberta_json(deberta, task);
}

MERIT_INLINE Json backbone_config_json(const BagOfTokens& bag, const HfTask& task) {
  return {{"model_type", "merit_bag_of_tokens"},
          {"vocab_size", bag.vocabulary_size},
          {"hidden_size", bag.width},
          {"initializer_range", bag.init_deviation},
          {"num_labels", task.labels}};
}

MERIT_INLINE Json backbone_config_json(const BackboneConfig& config, const HfTask& task) {
  return std::visit([&](const auto& backbone) { return backbone_config_json(backbone, task); }, config);
}

}  // namespace MERIT_ABI
}  // namespace merit
