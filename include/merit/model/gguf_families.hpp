// The families of models in GGUF files: what their metadata and tensors say, as the fields of a config.json.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/core/error.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/model/gguf_fields.hpp"
#include "merit/model/gguf_rotary.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Which layers have a window, as transformers names their kinds: as the file lists them or, by the number it says or
/// else `nth`, all but each nth, counted from the last of the first n or, where `whole_first`, from the first.
inline std::vector<std::string> gguf_layer_types(const GgufFields& fields, Index layers, Index nth,
                                                 bool whole_first = false) {
  constexpr const char* key = "attention.sliding_window_pattern";
  std::vector<std::string> types(layers, "sliding_attention");
  const GgufValue* const value = fields.file().find(fields.key(key));
  if (value != nullptr && value->get<std::vector<bool>>() != nullptr) {
    const std::vector<bool>& windowed = *value->get<std::vector<bool>>();
    if (windowed.size() != layers)
      fields.refuse(key, concat("one truth value for each of ", layers, " layers"));
    for (Index i = 0; i < layers; ++i)
      if (!windowed[i]) types[i] = "full_attention";
    return types;
  }
  nth = fields.optional<Index>(key).value_or(nth);
  if (nth == 0) return types;
  for (Index i = whole_first ? 0 : nth - 1; i < layers; i += nth) types[i] = "full_attention";
  return types;
}

/// The number of layers, of which a list may be made.
inline Index gguf_layers(const GgufFields& fields) {
  const auto layers = fields.require<Index>("block_count");
  if (static_cast<double>(layers) > most_layers)
    fields.refuse("block_count", concat("at most ", most_layers));
  return layers;
}

/// Windows of Gemma 2 and 3, of OLMo 3, and of Phi-3.
inline void add_gguf_windows(const GgufFields& fields, Json& json, Index layers) {
  const std::string& kind = fields.architecture();
  const Index window =
      fields.optional<Index>("attention.sliding_window").value_or(kind == "gemma2" ? 4096 : 0);
  json["sliding_window"] = window != 0 ? Json(window) : Json();
  if (kind == "phi3") return;
  if (window != 0)
    json["layer_types"] = gguf_layer_types(fields, layers, kind == "gemma2" ? 2 : kind == "gemma3" ? 6 : 4);
  if (kind == "gemma2") return;
  if (const auto base = fields.number("rope.freq_base_swa")) json["rope_local_base_freq"] = *base;
}

inline void add_gguf_gemma(const GgufFields& fields, Json& json, Index layers, Index width) {
  if (fields.architecture() == "gemma") return;
  const bool second = fields.architecture() == "gemma2";
  // The 27B models alone scale by another width than the head's, and nothing but their depth tells them.
  const bool largest = layers == (second ? 46 : 62);
  const auto heads = json["num_attention_heads"].get<Index>();
  json["query_pre_attn_scalar"] = largest ? json["hidden_size"].get<Index>() / heads : width;
  const auto cap = [&](const char* field, double otherwise) {
    const double value = fields.number(field).value_or(otherwise);
    json[field] = value != 0 ? Json(value) : Json();
  };
  cap("attn_logit_softcapping", second ? 50 : 0);
  cap("final_logit_softcapping", second ? 30 : 0);
  add_gguf_windows(fields, json, layers);
}

inline void add_gguf_experts(const GgufFields& fields, Json& json, Index layers) {
  if (!fields.optional<bool>("expert_weights_norm").value_or(true))
    fields.refuse("expert_weights_norm", "true");
  std::vector<Index> dense;
  for (Index i = 0; i < layers; ++i) {
    if (fields.file().find_tensor(concat("blk.", i, ".ffn_gate_exps.weight")) == nullptr) dense.push_back(i);
  }
  json.update({{"num_experts", fields.require<Index>("expert_count")},
               {"num_experts_per_tok", fields.require<Index>("expert_used_count")},
               {"moe_intermediate_size", fields.require<Index>("expert_feed_forward_length")},
               {"norm_topk_prob", true},
               {"decoder_sparse_step", 1},
               {"mlp_only_layers", dense}});
}

/// What is the same in all families of Llama. `width` is a head's, `rotated` that of the columns which are rotated.
inline Json gguf_llama_numbers(const GgufFields& fields, Index heads, Index width, Index rotated) {
  const GgufHead& file = fields.file();
  const double base = fields.number("rope.freq_base").value_or(10000);
  Json json = {{"vocab_size", gguf_vocabulary(file)},
               {"hidden_size", fields.require<Index>("embedding_length")},
               {"intermediate_size", fields.require<Index>("feed_forward_length")},
               {"num_hidden_layers", fields.require<Index>("block_count")},
               {"num_attention_heads", heads},
               {"num_key_value_heads", fields.optional<Index>("attention.head_count_kv").value_or(heads)},
               {"head_dim", width},
               {"max_position_embeddings", fields.require<Index>("context_length")},
               {"tie_word_embeddings", file.find_tensor("output.weight") == nullptr},
               {"rope_theta", base},
               {"rope_scaling", gguf_rope_scaling(fields, base, rotated)}};
  if (fields.architecture() == "olmo") {
    if (fields.require_number("attention.layer_norm_epsilon") != 1e-5)
      fields.refuse("attention.layer_norm_epsilon", "1e-5");
  } else {
    json["rms_norm_eps"] = fields.require_number("attention.layer_norm_rms_epsilon");
  }
  return json;
}

/// Llama, Qwen 2 and 3: biases and norms are what tensors there are, and where they are not the family's usual ones, or
/// there are windows, the model is of a kind that only merit reads.
inline void add_gguf_llama_kind(const GgufFields& fields, Json& json) {
  const auto has = [&](const char* name) {
    return fields.file().find_tensor(concat("blk.0.", name)) != nullptr;
  };
  const Index window = fields.optional<Index>("attention.sliding_window").value_or(0);
  const bool windowed = window != 0 && window < json["max_position_embeddings"].get<Index>();
  const bool biases = has("attn_q.bias"), norms = has("attn_q_norm.weight");
  const bool output_bias = has("attn_output.bias"), mlp_bias = has("ffn_down.bias");
  const std::string& kind = fields.architecture();
  const bool usual =
      biases == (kind == "qwen2") && norms == (kind == "qwen3") && !windowed && !output_bias && !mlp_bias;
  json["model_type"] = usual ? kind : "merit_llama";
  if (usual) return;
  json.update(
      {{"qkv_bias", biases}, {"head_norm", norms}, {"output_bias", output_bias}, {"mlp_bias", mlp_bias}});
  const auto layers = json["num_hidden_layers"].get<Index>();
  if (windowed && static_cast<double>(layers) <= most_layers)
    json["windows"] = std::vector<Index>(layers, window);
}

inline Json gguf_llama_json(const GgufFields& fields) {
  const GgufHead& file = fields.file();
  const std::string& kind = fields.architecture();
  const auto hidden = fields.require<Index>("embedding_length");
  const auto heads = fields.require<Index>("attention.head_count");
  if (heads == 0) fields.refuse("attention.head_count", "at least 1");
  const Index width = fields.optional<Index>("attention.key_length").value_or(hidden / heads);
  if (fields.optional<Index>("attention.value_length").value_or(width) != width)
    fields.refuse("attention.value_length", concat("the width of a head, ", width));
  const Index rotated = fields.optional<Index>("rope.dimension_count").value_or(width);
  if (kind != "phi3" && rotated != width)
    fields.refuse("rope.dimension_count", concat("the width of a head, ", width));
  Json json = gguf_llama_numbers(fields, heads, width, rotated);
  if (kind == "llama" || kind == "qwen2" || kind == "qwen3") {
    add_gguf_llama_kind(fields, json);
    return json;
  }
  const Index layers = gguf_layers(fields);
  const bool windows = fields.optional<Index>("attention.sliding_window").value_or(0) != 0;
  const auto has = [&](const char* name) { return file.find_tensor(concat("blk.0.", name)) != nullptr; };
  json["model_type"] = kind;
  json["attention_bias"] = has("attn_q.bias");
  if (kind == "gemma" || kind == "gemma2" || kind == "gemma3") {
    if (kind == "gemma3") json["model_type"] = "gemma3_text";
    add_gguf_gemma(fields, json, layers, width);
  } else if (kind == "phi3") {
    json["partial_rotary_factor"] = static_cast<double>(rotated) / static_cast<double>(width);
    json["attention_bias"] = false;
    if (json["rope_scaling"].is_object())  // stands outside, too
      json["original_max_position_embeddings"] = json["rope_scaling"]["original_max_position_embeddings"];
    add_gguf_windows(fields, json, layers);
  } else if (kind == "olmo2") {
    if (windows) json["model_type"] = "olmo3";
    add_gguf_windows(fields, json, layers);
  } else if (windows) {
    fields.refuse("attention.sliding_window", "no such field, or 0: it is not computed");
  }
  if (kind == "smollm3") json.update({{"mlp_bias", has("ffn_down.bias")}, {"no_rope_layer_interval", 4}});
  if (kind == "internlm2") json["bias"] = has("attn_q.bias");
  if (kind == "qwen3moe") {
    json["model_type"] = "qwen3_moe";
    add_gguf_experts(fields, json, layers);
  }
  return json;
}

inline Json gguf_gpt2_json(const GgufFields& fields) {
  return {{"model_type", "gpt2"},
          {"vocab_size", gguf_vocabulary(fields.file())},
          {"n_embd", fields.require<Index>("embedding_length")},
          {"n_layer", fields.require<Index>("block_count")},
          {"n_head", fields.require<Index>("attention.head_count")},
          {"n_positions", fields.require<Index>("context_length")},
          {"n_inner", fields.require<Index>("feed_forward_length")},
          {"layer_norm_epsilon", fields.require_number("attention.layer_norm_epsilon")},
          {"activation_function", "gelu_new"}};
}

/// The activation of GPT-NeoX, of BERT and of ModernBERT is no field: it is what published ones have.
inline Json gguf_neox_json(const GgufFields& fields) {
  const auto hidden = fields.require<Index>("embedding_length"),
             heads = fields.require<Index>("attention.head_count");
  if (heads == 0) fields.refuse("attention.head_count", "at least 1");
  const Index width = hidden / heads,
              rotated = fields.optional<Index>("rope.dimension_count").value_or(width);
  const double base = fields.number("rope.freq_base").value_or(10000);
  if (!gguf_rope_scaling(fields, base, rotated).is_null()) fields.refuse("rope.scaling.type", "none");
  return {{"model_type", "gpt_neox"},
          {"vocab_size", gguf_vocabulary(fields.file())},
          {"hidden_size", hidden},
          {"intermediate_size", fields.require<Index>("feed_forward_length")},
          {"num_hidden_layers", fields.require<Index>("block_count")},
          {"num_attention_heads", heads},
          {"max_position_embeddings", fields.require<Index>("context_length")},
          {"layer_norm_eps", fields.require_number("attention.layer_norm_epsilon")},
          {"hidden_act", "gelu"},
          {"use_parallel_residual", fields.optional<bool>("use_parallel_residual").value_or(true)},
          {"attention_bias", fields.file().find_tensor("blk.0.attn_qkv.bias") != nullptr},
          {"tie_word_embeddings", fields.file().find_tensor("output.weight") == nullptr},
          {"rotary_pct", width == 0 ? 1.0 : static_cast<double>(rotated) / static_cast<double>(width)},
          {"rotary_emb_base", base}};
}

/// Throws ConfigError where a file has a tensor of another kind of encoder of the same architecture.
inline void refuse_gguf_tensor(const GgufFields& fields, const char* name) {
  if (fields.file().find_tensor(name) == nullptr) return;
  throw ConfigError(concat(fields.file().path().string(), ": tensor ", quote(name),
                           ": expected none of this name in a ", fields.architecture()));
}

inline Json gguf_bert_json(const GgufFields& fields) {
  const GgufHead& file = fields.file();
  refuse_gguf_tensor(fields, "blk.0.attn_qkv.weight");
  const GgufTensor* const types = file.find_tensor("token_types.weight");
  return {{"model_type", "bert"},
          {"vocab_size", gguf_vocabulary(file)},
          {"hidden_size", fields.require<Index>("embedding_length")},
          {"intermediate_size", fields.require<Index>("feed_forward_length")},
          {"num_hidden_layers", fields.require<Index>("block_count")},
          {"num_attention_heads", fields.require<Index>("attention.head_count")},
          {"max_position_embeddings", fields.require<Index>("context_length")},
          {"layer_norm_eps", fields.require_number("attention.layer_norm_epsilon")},
          {"hidden_act", "gelu"},
          {"type_vocab_size", types == nullptr || types->shape.empty() ? 0 : types->shape[0]},
          {"merit_pooler", file.find_tensor("cls.weight") != nullptr}};
}

inline Json gguf_modern_bert_json(const GgufFields& fields) {
  const GgufHead& file = fields.file();
  const Index layers = gguf_layers(fields),
              window = fields.optional<Index>("attention.sliding_window").value_or(0);
  const std::string act = fields.optional<std::string>("hidden_activation").value_or("gelu");
  const double base = fields.number("rope.freq_base").value_or(10000);
  if (!gguf_rope_scaling(fields, base, 0).is_null()) fields.refuse("rope.scaling.type", "none");
  // 1: the mean of all rows stands for a sequence, which is what is taken where nothing is said; 2: the first.
  const Index pooling = fields.optional<Index>("classifier.pooling_type").value_or(1);
  if (pooling != 1 && pooling != 2) fields.refuse("classifier.pooling_type", "1 or 2");
  Json json = {{"model_type", "modernbert"},
               {"vocab_size", gguf_vocabulary(file)},
               {"hidden_size", fields.require<Index>("embedding_length")},
               {"intermediate_size", fields.require<Index>("feed_forward_length")},
               {"num_hidden_layers", layers},
               {"num_attention_heads", fields.require<Index>("attention.head_count")},
               {"max_position_embeddings", fields.require<Index>("context_length")},
               {"norm_eps", fields.require_number("attention.layer_norm_epsilon")},
               {"hidden_activation", act},
               {"classifier_pooling", pooling == 2 ? "cls" : "mean"},
               {"global_rope_theta", base},
               {"local_rope_theta", fields.number("rope.freq_base_swa").value_or(10000)},
               {"merit_pooler", file.find_tensor("cls.weight") != nullptr},
               {"layer_types", std::vector<std::string>(layers, "full_attention")}};
  if (window != 0) {
    json["local_attention"] = window;
    json["layer_types"] = gguf_layer_types(fields, layers, 3, true);
  }
  return json;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
