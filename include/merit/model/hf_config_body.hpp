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
#include "merit/model/gguf_config.hpp"
#include "merit/model/hf_config.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// Fields of one object, with the file's name for errors.
class ConfigFields {
 public:
  ConfigFields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  template <class T>
  T require(std::string_view field) const {
    return checked(field, merit::require<T>(object_, field, where_));
  }
  template <class T>
  std::optional<T> optional(std::string_view field) const {
    std::optional<T> value = merit::optional<T>(object_, field, where_);
    if (value) checked(field, *value);
    return value;
  }
  template <class T>
  T value_or(std::string_view field, T otherwise) const {
    return optional<T>(field).value_or(std::move(otherwise));
  }
  bool contains(std::string_view field) const { return object_.contains(field); }
  const Json& object() const { return object_; }
  const std::string& where() const { return where_; }

  /// Where `field` is something that we do not compute.
  [[noreturn]] void refuse(std::string_view field, std::string_view expected) const {
    const auto entry = object_.find(field);
    throw ConfigError(concat(where_, ": field ", quote(field), ": expected ", expected, ", found ",
                             entry == object_.end() ? "nothing" : describe(*entry)));
  }

 private:
  /// Of a size, that it is none which is meant to do harm: products of several still fit.
  template <class T>
  T checked(std::string_view field, T value) const {
    if constexpr (std::is_same_v<T, Index>) {
      constexpr Index most = Index{1} << 40;
      if (value > most) {
        throw ConfigError(
            concat(where_, ": field ", quote(field), " is ", value, ", expected at most ", most));
      }
    }
    return value;
  }

  const Json& object_;
  std::string where_;
};

inline RotaryScaling::Kind rotary_kind(const ConfigFields& fields) {
  using Kind = RotaryScaling::Kind;
  const char* field = fields.contains("rope_type") ? "rope_type" : "type";
  const std::string name = fields.value_or<std::string>(field, "default");
  for (const Kind kind :
       {Kind::none, Kind::linear, Kind::dynamic, Kind::yarn, Kind::llama3, Kind::longrope}) {
    if (name == name_of(kind)) return kind;
  }
  if (name == "su") return Kind::longrope;  // its name before it was published
  fields.refuse(field, "one of default, linear, dynamic, yarn, llama3, longrope");
}

/// `rope_parameters` or `rope_scaling`. `top` is the whole configuration.
inline RotaryScaling rotary_scaling(const ConfigFields& fields, const ConfigFields& top,
                                    double max_positions) {
  using Kind = RotaryScaling::Kind;
  for (const auto& [name, item] : fields.object().items()) {
    if (item.is_object()) fields.refuse(name, "the same angles in every layer");
  }
  if (fields.value_or<double>("partial_rotary_factor", 1) != 1) fields.refuse("partial_rotary_factor", "1");
  RotaryScaling scaling;
  scaling.kind = rotary_kind(fields);
  if (scaling.kind == Kind::none) return scaling;
  if (scaling.kind == Kind::llama3 || scaling.kind == Kind::yarn || scaling.kind == Kind::longrope) {
    const auto own = top.optional<double>("original_max_position_embeddings");  // Phi-3 keeps it outside
    scaling.original_positions =
        own ? *own : fields.value_or<double>("original_max_position_embeddings", max_positions);
    if (!(scaling.original_positions > 1)) {
      (own ? top : fields).refuse("original_max_position_embeddings", "a number above 1");
    }
  }
  const auto factor = fields.optional<double>("factor");
  if (scaling.kind == Kind::yarn || scaling.kind == Kind::longrope) {
    if (const auto given = fields.optional<double>("attention_factor")) {
      if (!(*given > 0)) fields.refuse("attention_factor", "a number above 0");
      scaling.attention_factor = *given;
    }
  }
  switch (scaling.kind) {
    case Kind::none: break;
    case Kind::linear:
    case Kind::dynamic: scaling.factor = fields.require<double>("factor"); break;
    case Kind::llama3:
      scaling.factor = fields.require<double>("factor");
      scaling.low_frequency_factor = fields.require<double>("low_freq_factor");
      scaling.high_frequency_factor = fields.require<double>("high_freq_factor");
      if (!(scaling.low_frequency_factor > 0)) fields.refuse("low_freq_factor", "a number above 0");
      if (!(scaling.high_frequency_factor > scaling.low_frequency_factor)) {
        fields.refuse("high_freq_factor", "a number above low_freq_factor");
      }
      break;
    case Kind::yarn: {
      scaling.factor = factor.value_or(max_positions / scaling.original_positions);
      scaling.beta_fast = fields.value_or("beta_fast", scaling.beta_fast);
      scaling.beta_slow = fields.value_or("beta_slow", scaling.beta_slow);
      if (!(scaling.beta_slow > 0)) fields.refuse("beta_slow", "a number above 0");
      if (!(scaling.beta_fast >= scaling.beta_slow)) fields.refuse("beta_fast", "at least beta_slow");
      scaling.mscale = fields.value_or("mscale", 0.0);
      scaling.mscale_all_dim = fields.value_or("mscale_all_dim", 0.0);
      scaling.truncate = fields.value_or("truncate", true);
      break;
    }
    case Kind::longrope:
      scaling.short_factors = fields.require<std::vector<double>>("short_factor");
      for (const double f : scaling.short_factors) {
        if (!(f > 0)) fields.refuse("short_factor", "numbers above 0");
      }
      // A factor of its own goes before the ratio of the lengths.
      if (factor && scaling.attention_factor == 0) {
        scaling.attention_factor =
            *factor <= 1 ? 1 : std::sqrt(1 + std::log(*factor) / std::log(scaling.original_positions));
      }
      break;
  }
  return scaling;
}

/// Attention over a window is refused where it would differ from attention over everything.
inline void check_window(const ConfigFields& fields, std::string_view kind, const Llama& llama) {
  std::optional<Index> window = fields.optional<Index>("sliding_window");
  if (kind == "mistral") {
    if (!fields.contains("sliding_window")) window = 4096;  // what transformers takes
  } else {
    if (!fields.value_or("use_sliding_window", false)) return;
    if (!fields.contains("sliding_window")) window = 4096;
    if (fields.value_or<Index>("max_window_layers", 28) >= llama.layers && !fields.contains("layer_types")) {
      return;
    }
    if (const auto types = fields.optional<std::vector<std::string>>("layer_types")) {
      if (std::all_of(types->begin(), types->end(), [](const auto& t) { return t == "full_attention"; })) {
        return;
      }
    }
  }
  if (window && *window < llama.max_positions) {
    fields.refuse("sliding_window", concat("null, or at least max_position_embeddings, ", llama.max_positions,
                                           ", because attention over a window is not computed"));
  }
}

inline Llama llama_from(const ConfigFields& fields, std::string_view kind) {
  Llama llama;
  llama.vocabulary_size = fields.require<Index>("vocab_size");
  llama.hidden_size = fields.require<Index>("hidden_size");
  llama.intermediate_size = fields.require<Index>("intermediate_size");
  llama.layers = fields.require<Index>("num_hidden_layers");
  llama.heads = fields.require<Index>("num_attention_heads");
  if (kind == "llama" || fields.contains("num_key_value_heads")) {
    llama.kv_heads = fields.value_or("num_key_value_heads", llama.heads);
  } else {
    llama.kv_heads = fields.require<Index>("num_key_value_heads");
  }
  llama.head_dim = fields.value_or<Index>("head_dim", kind == "qwen3" ? 128 : 0);
  if (llama.head_dim * llama.heads == llama.hidden_size) llama.head_dim = 0;  // the usual one
  llama.norm_epsilon = fields.value_or("rms_norm_eps", 1e-6);
  llama.max_positions = fields.require<Index>("max_position_embeddings");
  llama.init_deviation = fields.value_or("initializer_range", 0.02);
  llama.tied_embedding = fields.value_or("tie_word_embeddings", false);
  llama.unembedding = fields.value_or("merit_unembedding", false);
  if (kind == "merit_llama") {
    llama.qkv_bias = fields.require<bool>("qkv_bias");
    llama.head_norm = fields.require<bool>("head_norm");
  } else {
    llama.qkv_bias = kind == "qwen2";
    llama.head_norm = kind == "qwen3";
  }

  const std::string activation = fields.value_or<std::string>("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") fields.refuse("hidden_act", "silu");
  if (fields.value_or("attention_bias", false)) {
    fields.refuse("attention_bias",
                  "false, because it puts a bias on the output projection, and merit's Llama has biases on "
                  "queries, keys and values only (as qwen2)");
  }
  if (fields.value_or("mlp_bias", false)) {
    fields.refuse("mlp_bias", "false, because merit's Llama has no biases in the MLP");
  }
  if (fields.value_or("partial_rotary_factor", 1.0) != 1) fields.refuse("partial_rotary_factor", "1");
  check_window(fields, kind, llama);

  const auto max_positions = static_cast<double>(llama.max_positions);
  llama.rope_base = fields.value_or("rope_theta", 10000.0);
  for (const char* layout : {"rope_parameters", "rope_scaling"}) {
    const auto rope = fields.optional<Json>(layout);
    if (!rope) continue;
    const ConfigFields inner(*rope, concat(fields.where(), ": ", layout));
    if (!rope->is_object()) fields.refuse(layout, "an object or null");
    llama.rope_scaling = rotary_scaling(inner, fields, max_positions);
    llama.rope_base = inner.value_or("rope_theta", llama.rope_base);
    break;
  }
  return llama;
}

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
  const std::string activation = fields.value_or<std::string>("activation_function", "gelu_new");
  if (activation == "gelu_new" || activation == "gelu_pytorch_tanh" || activation == "gelu_fast") {
    gpt2.activation = ActivationFunction::gelu_tanh;
  } else if (activation == "gelu") {
    gpt2.activation = ActivationFunction::gelu;
  } else if (activation == "relu") {
    gpt2.activation = ActivationFunction::relu;
  } else {
    fields.refuse("activation_function", "one of gelu_new, gelu_pytorch_tanh, gelu_fast, gelu, relu");
  }
  if (!fields.value_or("scale_attn_weights", true)) fields.refuse("scale_attn_weights", "true");
  for (const char* field : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"}) {
    if (fields.value_or(field, false)) fields.refuse(field, "false");
  }
  return gpt2;
}

inline BackboneConfig backbone_from(const ConfigFields& fields) {
  const auto kind = fields.require<std::string>("model_type");
  if (kind == "gpt2") return gpt2_from(fields);
  if (kind == "merit_bag_of_tokens") {
    return BagOfTokens{.vocabulary_size = fields.require<Index>("vocab_size"),
                       .width = fields.require<Index>("hidden_size"),
                       .init_deviation = fields.value_or("initializer_range", 0.02)};
  }
  if (kind == "merit_features") return Features{.width = fields.require<Index>("hidden_size")};
  for (const char* name : {"llama", "mistral", "qwen2", "qwen3", "merit_llama"}) {
    if (kind == name) return llama_from(fields, kind);
  }
  fields.refuse("model_type",
                "one of llama, mistral, qwen2, qwen3, gpt2, merit_llama, merit_bag_of_tokens, "
                "merit_features");
}

inline Json rotary_json(const RotaryScaling& scaling) {
  using Kind = RotaryScaling::Kind;
  if (scaling.kind == Kind::none) return nullptr;
  Json json = {{"rope_type", name_of(scaling.kind)}};
  if (scaling.kind != Kind::longrope) json["factor"] = scaling.factor;
  if (scaling.kind == Kind::llama3 || scaling.kind == Kind::yarn || scaling.kind == Kind::longrope) {
    // A whole number, as transformers wants it.
    json["original_max_position_embeddings"] = static_cast<Index>(std::llround(scaling.original_positions));
  }
  if (scaling.kind == Kind::llama3) {
    json["low_freq_factor"] = scaling.low_frequency_factor;
    json["high_freq_factor"] = scaling.high_frequency_factor;
  }
  if (scaling.attention_factor > 0) json["attention_factor"] = scaling.attention_factor;
  if (scaling.kind == Kind::yarn) {
    json["beta_fast"] = scaling.beta_fast;
    json["beta_slow"] = scaling.beta_slow;
    json["truncate"] = scaling.truncate;
    if (scaling.mscale > 0) json["mscale"] = scaling.mscale;
    if (scaling.mscale_all_dim > 0) json["mscale_all_dim"] = scaling.mscale_all_dim;
  }
  if (scaling.kind == Kind::longrope) {
    json["short_factor"] = scaling.short_factors;
    json["long_factor"] = scaling.short_factors;  // never used: longer sequences are refused
  }
  return json;
}

/// As transformers calls it.
constexpr std::string_view hf_activation_name(ActivationFunction activation) {
  switch (activation) {
    case ActivationFunction::gelu: return "gelu";
    case ActivationFunction::gelu_tanh: return "gelu_new";
    case ActivationFunction::relu: return "relu";
  }
  return "?";
}

/// What every configuration for transformers says. No pad token: then transformers scores the last token of
/// the one sequence it is given, and refuses to guess in a padded batch. With one, it would step over a last
/// token that happens to be it.
inline Json hf_json(std::string_view kind, std::string_view class_prefix, const HfTask& task) {
  Json labels = Json::object();
  Json ids = Json::object();
  for (Index i = 0; i < task.labels; ++i) {
    const std::string name = concat("LABEL_", i);
    labels[std::to_string(i)] = name;
    ids[name] = i;
  }
  return {{"architectures", {concat(class_prefix, task.class_ending)}},
          {"model_type", kind},
          {"id2label", labels},
          {"label2id", ids},
          {"num_labels", task.labels},
          {"torch_dtype", torch_name(task.dtype)},
          {"pad_token_id", nullptr},
          {"bos_token_id", nullptr},
          {"eos_token_id", nullptr}};
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
  const bool ours = llama.qkv_bias && llama.head_norm;
  const char* kind = ours ? "merit_llama" : llama.qkv_bias ? "qwen2" : llama.head_norm ? "qwen3" : "llama";
  const char* prefix = ours ? "MeritLlama" : llama.qkv_bias ? "Qwen2" : llama.head_norm ? "Qwen3" : "Llama";
  Json json = detail::hf_json(kind, prefix, task);
  json.update({{"vocab_size", llama.vocabulary_size},
               {"hidden_size", llama.hidden_size},
               {"intermediate_size", llama.intermediate_size},
               {"num_hidden_layers", llama.layers},
               {"num_attention_heads", llama.heads},
               {"num_key_value_heads", llama.kv_heads},
               {"head_dim", llama.head_width()},
               {"hidden_act", "silu"},
               {"rms_norm_eps", llama.norm_epsilon},
               {"max_position_embeddings", llama.max_positions},
               {"initializer_range", llama.init_deviation},
               {"tie_word_embeddings", llama.tied_embedding},
               {"attention_bias", false},
               {"attention_dropout", 0.0},
               {"rope_theta", llama.rope_base},
               {"rope_scaling", detail::rotary_json(llama.rope_scaling)}});
  if (llama.qkv_bias || llama.head_norm) json["use_sliding_window"] = false;
  if (llama.unembedding) json["merit_unembedding"] = true;
  if (ours) json.update({{"qkv_bias", true}, {"head_norm", true}});
  return json;
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
               {"activation_function", detail::hf_activation_name(gpt2.activation)},
               {"attn_pdrop", 0.0},
               {"embd_pdrop", 0.0},
               {"resid_pdrop", 0.0}});
  if (gpt2.intermediate_size != 0) json["n_inner"] = gpt2.intermediate_size;
  return json;
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
