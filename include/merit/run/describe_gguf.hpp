// What llama.cpp reads of a backbone beside its tensors: metadata, and tensors of rotary factors.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/backbone/rotary_table.hpp"
#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/io/quantize.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/io/write_gguf.hpp"
#include "merit/model/hf_config.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Entries of one architecture.
class GgufArchitecture {
 public:
  GgufArchitecture(GgufMetadata& metadata, std::string name) : metadata_(metadata), name_(std::move(name)) {
    metadata_.text("general.architecture", name_);
  }
  const std::string& name() const { return name_; }
  GgufMetadata& metadata() const { return metadata_; }
  std::string key(std::string_view field) const { return concat(name_, ".", field); }
  void number(std::string_view field, Index value) {
    metadata_.number(key(field), static_cast<std::uint32_t>(value));
  }
  void real(std::string_view field, double value) { metadata_.real(key(field), static_cast<float>(value)); }
  void truth(std::string_view field, bool value) { metadata_.truth(key(field), value); }
  void text(std::string_view field, std::string_view value) { metadata_.text(key(field), value); }
  void truths(std::string_view field, const std::vector<bool>& values) {
    metadata_.truths(key(field), values);
  }

 private:
  GgufMetadata& metadata_;
  std::string name_;
};

/// As llama.cpp calls a backbone's architecture; empty: it has none.
inline std::string architecture_of(const Llama& llama) {
  const std::string kind = backbone_config_json(llama).at("model_type").get<std::string>();
  if (kind == "merit_llama") return llama.head_norm ? "qwen3" : llama.qkv_bias ? "qwen2" : "llama";
  if (kind == "mistral") return "llama";
  if (kind == "qwen3_moe") return "qwen3moe";
  if (kind == "gemma3_text") return "gemma3";
  if (kind == "olmo3") return "olmo2";
  return kind;
}
inline std::string architecture_of(const Gpt2&) {
  return "gpt2";
}
inline std::string architecture_of(const GptNeox&) {
  return "gptneox";
}
inline std::string architecture_of(const Bert& bert) {
  return bert.family == BertFamily::bert ? "bert" : "";
}
inline std::string architecture_of(const ModernBert&) {
  return "modern-bert";
}
inline std::string architecture_of(const auto&) {
  return "";
}

/// What a backbone that has no architecture is called in an error.
inline std::string backbone_kind(const Bert& bert) {
  return std::string(name_of(bert.family));
}
inline std::string backbone_kind(const auto& backbone) {
  return std::string(backbone.name());
}

inline GgufTensorSource factor_tensor(const char* name, const std::vector<float>& factors) {
  return {name, {factors.size()}, Dtype::f32, [factors] {
            std::vector<std::byte> bytes(stored_bytes(Dtype::f32, factors.size()));
            quantize(Dtype::f32, factors.data(), bytes.data(), factors.size());
            return bytes;
          }};
}

/// The factors of Llama 3's rotary scaling, by which llama.cpp divides frequencies.
inline std::vector<float> llama3_factors(const Llama& llama) {
  const auto frequencies = [&](const RotaryScaling& scaling) {
    return rotary_frequencies(llama.rotated_width(), llama.rope_base, scaling,
                              static_cast<double>(llama.max_positions))
        .angular;
  };
  const std::vector<double> plain = frequencies({}), scaled = frequencies(llama.rope_scaling);
  std::vector<float> factors(plain.size());
  for (Index i = 0; i < factors.size(); ++i) factors[i] = static_cast<float>(plain[i] / scaled[i]);
  return factors;
}

/// The factors of one list in a config.json, in either layout of it; empty: there are none.
inline std::vector<float> long_factors(const Json& config) {
  for (const char* layout : {"rope_parameters", "rope_scaling"}) {
    if (!config.contains(layout) || !config.at(layout).is_object() ||
        !config.at(layout).contains("long_factor"))
      continue;
    std::vector<float> factors;
    for (const double factor : config.at(layout).at("long_factor").get<std::vector<double>>())
      factors.push_back(static_cast<float>(factor));
    return factors;
  }
  return {};
}

inline void describe_rotary(const Llama& llama, const Json& config, GgufArchitecture& out,
                            std::vector<GgufTensorSource>& tensors) {
  out.real("rope.freq_base", llama.rope_base);
  const RotaryScaling& scaling = llama.rope_scaling;
  using Kind = RotaryScaling::Kind;
  if (scaling.kind == Kind::llama3) {
    tensors.push_back(factor_tensor("rope_freqs.weight", llama3_factors(llama)));
  } else if (scaling.kind == Kind::longrope) {
    const std::vector<float> factors(scaling.short_factors.begin(), scaling.short_factors.end());
    std::vector<float> of_long = long_factors(config);
    if (of_long.size() != factors.size()) of_long = factors;  // never used here: long sequences are refused
    tensors.push_back(factor_tensor("rope_factors_short.weight", factors));
    tensors.push_back(factor_tensor("rope_factors_long.weight", of_long));
    out.number("rope.scaling.original_context_length", static_cast<Index>(scaling.original_positions));
    out.real("rope.scaling.attn_factor", rotary_frequencies(llama.rotated_width(), llama.rope_base, scaling,
                                                            static_cast<double>(llama.max_positions))
                                             .magnitude);
  } else if (scaling.kind == Kind::linear || scaling.kind == Kind::yarn) {
    out.text("rope.scaling.type", scaling.kind == Kind::yarn ? "yarn" : "linear");
    out.real("rope.scaling.factor", scaling.factor);
    if (scaling.kind == Kind::yarn) {
      out.number("rope.scaling.original_context_length", static_cast<Index>(scaling.original_positions));
      if (scaling.attention_factor != 0) out.real("rope.scaling.attn_factor", scaling.attention_factor);
      out.real("rope.scaling.yarn_beta_fast", scaling.beta_fast);
      out.real("rope.scaling.yarn_beta_slow", scaling.beta_slow);
    }
  }
}

/// Windows as the architecture has them; `window` of the layers that have one.
inline void describe_windows(const std::vector<Index>& windows, Index window, GgufArchitecture& out) {
  out.number("attention.sliding_window", window);
  std::vector<bool> windowed;
  for (const Index one : windows) windowed.push_back(one != 0);
  out.truths("attention.sliding_window_pattern", windowed);
}

inline void describe_backbone(const Llama& llama, const Json& config, GgufArchitecture& out,
                              std::vector<GgufTensorSource>& tensors) {
  const std::string& kind = out.name();
  out.number("vocab_size", llama.vocabulary_size);
  out.number("block_count", llama.layers);
  out.number("context_length", llama.max_positions);
  out.number("embedding_length", llama.hidden_size);
  out.number("feed_forward_length", llama.intermediate_size);
  out.number("attention.head_count", llama.heads);
  out.number("attention.head_count_kv", llama.kv_heads);
  out.number("attention.key_length", llama.head_width());
  out.number("attention.value_length", llama.head_width());
  out.number("rope.dimension_count", llama.rotated_width());
  out.real(llama.bare_norms ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
           llama.norm_epsilon);
  describe_rotary(llama, config, out, tensors);
  const Index window =
      llama.windows.empty() ? 0 : *std::max_element(llama.windows.begin(), llama.windows.end());
  if (kind == "phi3") {
    out.number("attention.sliding_window", window);
  } else if (window != 0 && (kind == "gemma2" || kind == "gemma3" || kind == "olmo2")) {
    describe_windows(llama.windows, window, out);
  } else if (kind == "gemma2") {
    out.number("attention.sliding_window", 0);
  }
  if (kind == "gemma3" || (kind == "olmo2" && window != 0))
    out.real("rope.freq_base_swa", llama.window_rope_base != 0 ? llama.window_rope_base : llama.rope_base);
  if (kind == "gemma2") out.real("attn_logit_softcapping", llama.soft_cap);
  if (kind == "gemma2" || llama.logit_soft_cap != 0)
    out.real("final_logit_softcapping", llama.logit_soft_cap);
  if (llama.experts != 0) {
    out.number("expert_count", llama.experts);
    out.number("expert_used_count", llama.experts_per_token);
    out.number("expert_feed_forward_length", llama.expert_width);
  }
}
inline void describe_backbone(const Gpt2& gpt2, const Json&, GgufArchitecture& out,
                              std::vector<GgufTensorSource>&) {
  out.number("block_count", gpt2.layers);
  out.number("context_length", gpt2.max_positions);
  out.number("embedding_length", gpt2.hidden_size);
  out.number("feed_forward_length", gpt2.inner_width());
  out.number("attention.head_count", gpt2.heads);
  out.real("attention.layer_norm_epsilon", gpt2.norm_epsilon);
}
inline void describe_backbone(const auto& backbone, const Json&, GgufArchitecture& out,
                              std::vector<GgufTensorSource>&) {
  using Backbone = std::remove_cvref_t<decltype(backbone)>;
  if constexpr (std::is_same_v<Backbone, GptNeox> || std::is_same_v<Backbone, Bert> ||
                std::is_same_v<Backbone, ModernBert>) {
    out.number("vocab_size", backbone.vocabulary_size);
    out.number("block_count", backbone.layers);
    out.number("context_length", backbone.max_positions);
    out.number("embedding_length", backbone.hidden_size);
    out.number("feed_forward_length", backbone.intermediate_size);
    out.number("attention.head_count", backbone.heads);
    out.real("attention.layer_norm_epsilon", backbone.norm_epsilon);
  }
  if constexpr (std::is_same_v<Backbone, GptNeox>) {
    out.number("rope.dimension_count", backbone.rotary_width);
    out.real("rope.freq_base", backbone.rope_base);
    out.truth("use_parallel_residual", backbone.parallel_residual);
  } else if constexpr (std::is_same_v<Backbone, Bert>) {
    out.truth("attention.causal", false);
    out.metadata().number("tokenizer.ggml.token_type_count", static_cast<std::uint32_t>(backbone.types));
  } else if constexpr (std::is_same_v<Backbone, ModernBert>) {
    out.truth("attention.causal", false);
    const Index window =
        backbone.windows.empty() ? 0 : *std::max_element(backbone.windows.begin(), backbone.windows.end());
    if (window != 0) describe_windows(backbone.windows, 2 * (window - 1), out);  // on both sides together
    out.text("rope.scaling.type", "none");
    out.real("rope.freq_base", backbone.rope_base);
    out.real("rope.freq_base_swa", backbone.window_rope_base);
    out.text("hidden_activation", hf_activation_name(backbone.activation));
    out.number("classifier.pooling_type", backbone.pooling == Pooling::first ? 2 : 1);
  }
}

/// A linear head on completions, as llama.cpp has that of a reranker.
inline void describe_gguf_head(const WeightSource& weights, const Json& config,
                               const GgufArchitecture& architecture, GgufMetadata& metadata) {
  const bool encoder = architecture.name() == "bert" || architecture.name() == "modern-bert";
  const TensorInfo* const head = weights.find(encoder ? "classifier.weight" : "score.weight");
  if (head == nullptr || head->shape.size() != 2) return;
  std::vector<std::string> labels;
  for (Index i = 0; i < head->shape[0]; ++i) {
    const std::string number = std::to_string(i);
    const bool named = config.contains("id2label") && config.at("id2label").is_object() &&
                       config.at("id2label").contains(number) && config.at("id2label").at(number).is_string();
    labels.push_back(named ? config.at("id2label").at(number).get<std::string>() : "LABEL_" + number);
  }
  constexpr std::uint32_t rank = 4;
  metadata.number(architecture.key("pooling_type"), rank);
  metadata.texts(architecture.key("classifier.output_labels"), labels);
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
