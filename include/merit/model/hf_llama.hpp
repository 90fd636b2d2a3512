// The Llama family's config.json. A family is what its `model_type` means beyond the numbers that are written: which
// norms stand where, and what a field is when it is missing.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/backbone/llama.hpp"
#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/model/config_fields.hpp"
#include "merit/model/hf_rotary.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// Which layers have a window where `layer_types` does not say.
enum class WindowedLayers : std::uint8_t {
  none,
  all,              // Mistral, Phi-3
  from_a_layer,     // Qwen: from max_window_layers on, if use_sliding_window
  all_but_each_nth  // Gemma 2: but each second; Gemma 3: sixth; OLMo 3: fourth
};

struct LlamaFamily {
  std::string_view model_type;
  std::string_view class_prefix;  // of transformers' classes
  bool gemma = false;             // norms around one, scaled embeddings, GELU
  NormPlace norm_place = NormPlace::before;
  bool qkv_bias = false;  // always
  bool head_norm = false;
  bool width_norm = false;
  bool bare_norms = false;
  bool experts = false;
  Projections projections = Projections::apart;
  WindowedLayers windowed = WindowedLayers::none;
  Index nth = 0;               // of WindowedLayers::all_but_each_nth
  bool optional_bias = false;  // `attention_bias` puts biases on queries, keys, values and outputs
  bool two_ropes = false;      // layers with a window have rotary positions of their own
  bool tied = false;           // where `tie_word_embeddings` is missing
  Index head_dim = 0;          // where it is missing; 0: hidden_size / heads
  double rope_base = 10000;    // where it is missing
  double norm_epsilon = 1e-6;  // where it is missing
};

/// All that are read. What is written is the first that holds a model's numbers.
inline constexpr std::array<LlamaFamily, 15> llama_families{{
    {.model_type = "llama", .class_prefix = "Llama", .optional_bias = true},
    {.model_type = "mistral", .class_prefix = "Mistral", .windowed = WindowedLayers::all},
    {.model_type = "qwen2",
     .class_prefix = "Qwen2",
     .qkv_bias = true,
     .windowed = WindowedLayers::from_a_layer},
    {.model_type = "qwen3",
     .class_prefix = "Qwen3",
     .head_norm = true,
     .windowed = WindowedLayers::from_a_layer,
     .optional_bias = true,
     .head_dim = 128},
    {.model_type = "qwen3_moe",
     .class_prefix = "Qwen3Moe",
     .head_norm = true,
     .experts = true,
     .windowed = WindowedLayers::from_a_layer,
     .optional_bias = true},
    {.model_type = "gemma",
     .class_prefix = "Gemma",
     .gemma = true,
     .optional_bias = true,
     .tied = true,
     .head_dim = 256},
    {.model_type = "gemma2",
     .class_prefix = "Gemma2",
     .gemma = true,
     .norm_place = NormPlace::both,
     .windowed = WindowedLayers::all_but_each_nth,
     .nth = 2,
     .optional_bias = true,
     .tied = true,
     .head_dim = 256},
    {.model_type = "gemma3_text",
     .class_prefix = "Gemma3Text",
     .gemma = true,
     .norm_place = NormPlace::both,
     .head_norm = true,
     .windowed = WindowedLayers::all_but_each_nth,
     .nth = 6,
     .optional_bias = true,
     .two_ropes = true,
     .tied = true,
     .head_dim = 256,
     .rope_base = 1e6},
    {.model_type = "phi3",
     .class_prefix = "Phi3",
     .projections = Projections::fused,
     .windowed = WindowedLayers::all,
     .norm_epsilon = 1e-5},
    {.model_type = "smollm3",
     .class_prefix = "SmolLM3",
     .windowed = WindowedLayers::from_a_layer,
     .optional_bias = true,
     .tied = true,
     .rope_base = 2e6},
    {.model_type = "olmo",
     .class_prefix = "Olmo",
     .bare_norms = true,
     .optional_bias = true,
     .norm_epsilon = 1e-5},
    {.model_type = "olmo2",
     .class_prefix = "Olmo2",
     .norm_place = NormPlace::after,
     .width_norm = true,
     .optional_bias = true,
     .norm_epsilon = 1e-5},
    {.model_type = "olmo3",
     .class_prefix = "Olmo3",
     .norm_place = NormPlace::after,
     .width_norm = true,
     .windowed = WindowedLayers::all_but_each_nth,
     .nth = 4,
     .optional_bias = true,
     .two_ropes = true,
     .rope_base = 5e5,
     .norm_epsilon = 1e-5},
    {.model_type = "internlm2", .class_prefix = "InternLM2", .projections = Projections::grouped},
    {.model_type = "merit_llama", .class_prefix = "MeritLlama"},
}};

inline const LlamaFamily* find_llama_family(std::string_view model_type) {
  for (const LlamaFamily& family : llama_families)
    if (family.model_type == model_type) return &family;
  return nullptr;
}

/// Rotary positions: one object of settings, or where layers with a window have their own, one for each kind.
inline void read_rotary(const ConfigFields& fields, const LlamaFamily& family, Llama& llama) {
  const auto max_positions = static_cast<double>(llama.max_positions);
  double share = fields.value_or("partial_rotary_factor", 1.0);
  llama.rope_base = fields.value_or("rope_theta", family.rope_base);
  if (family.two_ropes) {
    llama.window_rope_base =
        fields.value_or("rope_local_base_freq", family.gemma ? 10000.0 : llama.rope_base);
  }
  for (const char* layout : {"rope_parameters", "rope_scaling"}) {
    const auto rope = fields.optional<Json>(layout);
    if (!rope) continue;
    if (!rope->is_object()) fields.refuse(layout, "an object or null");
    const std::string where = concat(fields.where(), ": ", layout);
    const bool of_kinds = family.two_ropes && rope->contains("full_attention");
    const Json& own = of_kinds ? rope->at("full_attention") : *rope;
    if (!own.is_object()) fields.refuse(layout, "an object for full_attention");
    const ConfigFields inner(own, where);
    llama.rope_scaling = rotary_scaling(inner, fields, max_positions);
    llama.rope_base = inner.value_or("rope_theta", llama.rope_base);
    share = inner.value_or("partial_rotary_factor", share);
    if (of_kinds && rope->contains("sliding_attention") && rope->at("sliding_attention").is_object()) {
      const ConfigFields windowed(rope->at("sliding_attention"), where + ": sliding_attention");
      if (rotary_kind(windowed) != RotaryScaling::Kind::none) windowed.refuse("rope_type", "default");
      llama.window_rope_base = windowed.value_or("rope_theta", llama.window_rope_base);
    }
    break;
  }
  if (!(share > 0 && share <= 1)) fields.refuse("partial_rotary_factor", "a number above 0, at most 1");
  if (share != 1) {
    if (family.projections != Projections::fused) fields.refuse("partial_rotary_factor", "1");
    llama.rotary_width = static_cast<Index>(share * static_cast<double>(llama.head_width()));
  }
  // Layers without a scaling, and of the same base, are no other layers.
  if (llama.windows.empty() ||
      (llama.window_rope_base == llama.rope_base && llama.rope_scaling.kind == RotaryScaling::Kind::none)) {
    llama.window_rope_base = 0;
  }
}

/// The window of each layer; empty where no layer has one.
inline std::vector<Index> read_windows(const ConfigFields& fields, const LlamaFamily& family,
                                       const Llama& llama) {
  if (family.windowed == WindowedLayers::none) return {};
  if (family.windowed == WindowedLayers::from_a_layer && !fields.value_or("use_sliding_window", false))
    return {};
  // What transformers takes where it is missing; null says that there is none.
  const bool usual = !fields.contains("sliding_window") && family.model_type != "phi3";
  const Index width = usual ? 4096 : fields.optional<Index>("sliding_window").value_or(0);
  if (width == 0) return {};
  std::vector<Index> windows(llama.layers, width);
  if (const auto types = fields.optional<std::vector<std::string>>("layer_types")) {
    if (types->size() != llama.layers) {
      throw ConfigError(concat(fields.where(), ": field \"layer_types\" has ", types->size(),
                               " names, expected one for each of num_hidden_layers, ", llama.layers));
    }
    for (Index i = 0; i < llama.layers; ++i) {
      const std::string& type = (*types)[i];
      if (type == "full_attention") {
        windows[i] = 0;
      } else if (type != "sliding_attention") {
        throw ConfigError(concat(fields.where(), ": field \"layer_types\" names ", quote(type),
                                 ", expected full_attention or sliding_attention"));
      }
    }
  } else if (family.windowed == WindowedLayers::from_a_layer) {
    const Index first = fields.value_or<Index>("max_window_layers", 28);
    std::fill_n(windows.begin(), std::min(first, llama.layers), Index{0});
  } else if (family.windowed == WindowedLayers::all_but_each_nth) {
    const Index nth = fields.value_or<Index>("sliding_window_pattern", family.nth);
    if (nth == 0) fields.refuse("sliding_window_pattern", "at least 1");
    for (Index i = nth - 1; i < llama.layers; i += nth) windows[i] = 0;
  }
  const bool none = std::all_of(windows.begin(), windows.end(), [](Index window) { return window == 0; });
  return none ? std::vector<Index>{} : windows;
}

inline std::vector<Index> read_unrotated(const ConfigFields& fields, Index layers) {
  std::vector<Index> unrotated;
  if (const auto rotated = fields.optional<std::vector<Index>>("no_rope_layers")) {  // 1: has positions
    for (Index i = 0; i < std::min<Index>(layers, rotated->size()); ++i)
      if ((*rotated)[i] == 0) unrotated.push_back(i);
  } else {
    const Index each = fields.value_or<Index>("no_rope_layer_interval", 4);
    if (each == 0) fields.refuse("no_rope_layer_interval", "at least 1");
    for (Index i = each - 1; i < layers; i += each) unrotated.push_back(i);
  }
  return unrotated;
}

inline void read_experts(const ConfigFields& fields, Llama& llama) {
  llama.experts =
      fields.optional<Index>("num_experts").value_or(fields.value_or<Index>("num_local_experts", 128));
  llama.experts_per_token = fields.value_or<Index>("num_experts_per_tok", 8);
  llama.expert_width = fields.require<Index>("moe_intermediate_size");
  llama.normalised_experts = fields.value_or("norm_topk_prob", false);
  llama.dense_layers = fields.value_or("mlp_only_layers", std::vector<Index>{});
  const Index step = fields.value_or<Index>("decoder_sparse_step", 1);
  if (step == 0) fields.refuse("decoder_sparse_step", "at least 1");
  for (Index i = 0; i < llama.layers; ++i) {
    if ((i + 1) % step != 0 && llama.has_experts(i)) llama.dense_layers.push_back(i);
  }
  std::sort(llama.dense_layers.begin(), llama.dense_layers.end());
}

/// What merit alone writes: our own names for what no family has.
template <class Read>
void visit_own_fields(const Read& read) {
  read("qkv_bias", &Llama::qkv_bias);
  read("output_bias", &Llama::output_bias);
  read("mlp_bias", &Llama::mlp_bias);
  read("head_norm", &Llama::head_norm);
  read("width_norm", &Llama::width_norm);
  read("norm_around_one", &Llama::norm_around_one);
  read("bare_norms", &Llama::bare_norms);
  read("embedding_scale", &Llama::embedding_scale);
  read("attention_scale", &Llama::attention_scale);
  read("soft_cap", &Llama::soft_cap);
  read("logit_soft_cap", &Llama::logit_soft_cap);
  read("rotary_width", &Llama::rotary_width);
  read("windows", &Llama::windows);
  read("window_rope_base", &Llama::window_rope_base);
  read("unrotated", &Llama::unrotated);
  read("experts", &Llama::experts);
  read("experts_per_token", &Llama::experts_per_token);
  read("expert_width", &Llama::expert_width);
  read("normalised_experts", &Llama::normalised_experts);
  read("dense_layers", &Llama::dense_layers);
  read("norm_place", &Llama::norm_place);
  read("projections", &Llama::projections);
}

inline void read_own_fields(const ConfigFields& fields, Llama& llama) {
  visit_own_fields([&]<class T>(const char* name, T Llama::*member) {
    if constexpr (std::is_enum_v<T>) {
      const auto text = fields.optional<std::string>(name);
      if (!text) return;
      const std::optional<T> value = value_named<T>(*text);
      if (!value) fields.refuse(name, concat("one of ", list_of_names<T>()));
      llama.*member = *value;
    } else {
      llama.*member = fields.value_or(name, llama.*member);
    }
  });
}

inline Llama llama_from(const ConfigFields& fields, const LlamaFamily& family) {
  const bool ours = family.model_type == "merit_llama";
  Llama llama;
  llama.vocabulary_size = fields.require<Index>("vocab_size");
  llama.hidden_size = fields.require<Index>("hidden_size");
  llama.intermediate_size = fields.require<Index>("intermediate_size");
  llama.layers = fields.require<Index>("num_hidden_layers");
  llama.heads = fields.require<Index>("num_attention_heads");
  llama.kv_heads = fields.value_or("num_key_value_heads", llama.heads);
  llama.head_dim = fields.value_or<Index>("head_dim", family.head_dim);
  if (llama.head_dim * llama.heads == llama.hidden_size) llama.head_dim = 0;  // the usual one
  llama.norm_epsilon = fields.value_or("rms_norm_eps", family.norm_epsilon);
  llama.max_positions = fields.require<Index>("max_position_embeddings");
  llama.init_deviation = fields.value_or("initializer_range", 0.02);
  llama.tied_embedding = fields.value_or("tie_word_embeddings", family.tied);
  llama.unembedding = fields.value_or("merit_unembedding", false);
  if (static_cast<double>(llama.layers) > most_layers)
    fields.refuse("num_hidden_layers", concat("at most ", most_layers));

  const bool biased = family.model_type == "internlm2" ? fields.value_or("bias", false)
                                                       : fields.value_or("attention_bias", false);
  if (biased && !ours && !family.optional_bias && family.model_type != "internlm2")
    fields.refuse("attention_bias", "false");
  llama.qkv_bias = family.qkv_bias || biased;
  llama.output_bias = biased;
  const bool has_mlp_bias = family.model_type == "llama" || family.model_type == "smollm3";
  llama.mlp_bias = fields.value_or("mlp_bias", false);
  if (llama.mlp_bias && !has_mlp_bias && !ours) fields.refuse("mlp_bias", "false");
  llama.head_norm = family.head_norm;
  llama.width_norm = family.width_norm;
  llama.norm_place = family.norm_place;
  llama.bare_norms = family.bare_norms;
  llama.projections = family.projections;
  if (family.bare_norms) {
    llama.norm_epsilon = 1e-5;  // whatever the file says
    if (fields.optional<double>("clip_qkv")) fields.refuse("clip_qkv", "null");
  }
  if (family.gemma) {
    llama.norm_around_one = true;
    llama.embedding_scale = std::sqrt(static_cast<double>(llama.hidden_size));
    const bool named = fields.optional<std::string>("hidden_activation").has_value();
    llama.activation =
        activation_from(fields, named ? "hidden_activation" : "hidden_act", "gelu_pytorch_tanh");
    if (family.norm_place == NormPlace::both) {
      const double width = fields.value_or("query_pre_attn_scalar", 256.0);
      if (!(width > 0)) fields.refuse("query_pre_attn_scalar", "a number above 0");
      if (width != static_cast<double>(llama.head_width())) llama.attention_scale = 1 / std::sqrt(width);
      const bool second = family.model_type == "gemma2";
      const auto cap = [&](const char* field, double otherwise) {
        return fields.contains(field) ? fields.optional<double>(field).value_or(0) : second ? otherwise : 0;
      };
      llama.soft_cap = cap("attn_logit_softcapping", 50);
      llama.logit_soft_cap = cap("final_logit_softcapping", 30);
    }
    if (fields.value_or("use_bidirectional_attention", false))
      fields.refuse("use_bidirectional_attention", "false");
  } else {
    llama.activation = activation_from(fields, "hidden_act", "silu");
  }
  if (family.experts) read_experts(fields, llama);
  llama.windows = read_windows(fields, family, llama);
  if (family.model_type == "smollm3") llama.unrotated = read_unrotated(fields, llama.layers);
  if (ours) read_own_fields(fields, llama);
  const double own_base = llama.window_rope_base;
  read_rotary(fields, family, llama);
  if (ours) llama.window_rope_base = own_base;
  if (family.experts && llama.experts == 0) fields.refuse("num_experts", "at least 1");
  return llama;
}

/// As `family` would have it; read back, it need not be the same model.
inline Json llama_json(const Llama& llama, const LlamaFamily& family, const HfTask& task) {
  Json json = hf_json(family.model_type, family.class_prefix, task);
  json.update({{"vocab_size", llama.vocabulary_size},
               {"hidden_size", llama.hidden_size},
               {"intermediate_size", llama.intermediate_size},
               {"num_hidden_layers", llama.layers},
               {"num_attention_heads", llama.heads},
               {"num_key_value_heads", llama.kv_heads},
               {"head_dim", llama.head_width()},
               {"hidden_act", hf_activation_name(llama.activation)},
               {"rms_norm_eps", llama.norm_epsilon},
               {"max_position_embeddings", llama.max_positions},
               {"initializer_range", llama.init_deviation},
               {"tie_word_embeddings", llama.tied_embedding},
               {"attention_bias", llama.output_bias},
               {"attention_dropout", 0.0},
               {"rope_theta", llama.rope_base},
               {"rope_scaling", rotary_json(llama.rope_scaling)}});
  if (llama.mlp_bias) json["mlp_bias"] = true;
  if (llama.unembedding) json["merit_unembedding"] = true;
  if (llama.rotary_width != 0 && family.projections == Projections::fused) {
    json["partial_rotary_factor"] =
        static_cast<double>(llama.rotary_width) / static_cast<double>(llama.head_width());
  }
  if (family.projections == Projections::fused && llama.rope_scaling.kind == RotaryScaling::Kind::longrope) {
    json["original_max_position_embeddings"] = json["rope_scaling"]["original_max_position_embeddings"];
  }
  if (family.model_type == "internlm2") json["bias"] = llama.output_bias;
  if (family.gemma) {
    json["hidden_activation"] = llama.activation == ActivationFunction::gelu_tanh
                                    ? "gelu_pytorch_tanh"
                                    : hf_activation_name(llama.activation);
    json["hidden_act"] = json["hidden_activation"];
    if (family.norm_place == NormPlace::both) {
      const double scale = llama.attention_scale;
      // A whole number, as transformers wants it.
      json["query_pre_attn_scalar"] =
          scale == 0 ? llama.head_width() : static_cast<Index>(std::llround(1 / (scale * scale)));
      json["attn_logit_softcapping"] = llama.soft_cap != 0 ? Json(llama.soft_cap) : Json();
      json["final_logit_softcapping"] = llama.logit_soft_cap != 0 ? Json(llama.logit_soft_cap) : Json();
    }
  }
  if (family.model_type == "smollm3") {
    std::vector<int> rotated(llama.layers, 1);
    for (const Index layer : llama.unrotated) rotated[layer] = 0;
    json["no_rope_layers"] = rotated;
  }
  if (family.experts) {
    json.update({{"num_experts", llama.experts},
                 {"num_experts_per_tok", llama.experts_per_token},
                 {"moe_intermediate_size", llama.expert_width},
                 {"norm_topk_prob", llama.normalised_experts},
                 {"decoder_sparse_step", 1},
                 {"mlp_only_layers", llama.dense_layers}});
  }
  if (family.windowed != WindowedLayers::none) {
    if (family.windowed == WindowedLayers::from_a_layer) json["use_sliding_window"] = !llama.windows.empty();
    const Index width =
        llama.windows.empty() ? 0 : *std::max_element(llama.windows.begin(), llama.windows.end());
    json["sliding_window"] = width != 0 ? Json(width) : Json();
    std::vector<std::string> types(llama.layers, "full_attention");
    for (Index i = 0; i < llama.windows.size(); ++i)
      if (llama.windows[i] != 0) types[i] = "sliding_attention";
    if (family.windowed != WindowedLayers::all) json["layer_types"] = types;
  }
  if (family.two_ropes && llama.window_rope_base != 0) json["rope_local_base_freq"] = llama.window_rope_base;
  if (family.model_type == "merit_llama") {
    visit_own_fields([&]<class T>(const char* name, T Llama::*member) {
      if constexpr (std::is_enum_v<T>) {
        json[name] = name_of(llama.*member);
      } else {
        json[name] = llama.*member;
      }
    });
  }
  return json;
}

/// As the first family that reads back as the same model.
inline Json llama_json(const Llama& llama, const HfTask& task) {
  Llama expected = llama;  // these two are a matter of one run and not written
  expected.frozen_layers = 0;
  expected.recompute = 0;
  if (expected.head_dim * expected.heads == expected.hidden_size) expected.head_dim = 0;
  for (const LlamaFamily& family : llama_families) {
    Json json = llama_json(llama, family, task);
    try {
      if (llama_from(ConfigFields(json, "config.json"), family) == expected) return json;
    } catch (const Error&) {  // a family that refuses what this model has
    }
  }
  return llama_json(llama, *find_llama_family("merit_llama"), task);
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
