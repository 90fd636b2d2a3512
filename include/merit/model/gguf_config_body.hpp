// The bodies of gguf_config.hpp.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/model/gguf_config.hpp"
#include "merit/model/weight_files.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE std::optional<std::filesystem::path> find_gguf(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) {
    return path.extension() == ".gguf" ? std::optional(path) : std::nullopt;
  }
  if (holds_safetensors(path) || holds_torch_file(path)) return std::nullopt;
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".gguf") found.push_back(entry->path());
  }
  if (found.empty()) return std::nullopt;
  if (found.size() > 1) {
    std::sort(found.begin(), found.end());
    std::string names;
    for (const fs::path& file : found) {
      names += (names.empty() ? "" : ", ") + detail::quote(file.filename().string());
    }
    throw DataError(concat(path.string(), ": holds ", found.size(), " GGUF files (", names,
                           "), expected one: name the file itself"));
  }
  return found.front();
}

namespace detail {

/// The metadata under the prefix of the file's architecture.
class GgufFields {
 public:
  explicit GgufFields(const GgufHead& file)
      : file_(file), architecture_(file.require<std::string>("general.architecture")) {}

  const GgufHead& file() const { return file_; }
  const std::string& architecture() const { return architecture_; }
  std::string key(std::string_view name) const { return concat(architecture_, ".", name); }

  template <class T>
  T require(std::string_view name) const {
    return file_.require<T>(key(name));
  }
  template <class T>
  std::optional<T> optional(std::string_view name) const {
    return file_.optional<T>(key(name));
  }

  /// A number. One stored as a float is the shortest decimal that gives that float: 1e-5 and not
  /// 9.9999997e-06, because the float was made from such a decimal.
  std::optional<double> number(std::string_view name) const {
    const GgufValue* value = file_.find(key(name));
    const float* single = value == nullptr ? nullptr : value->get<float>();
    if (single == nullptr || !std::isfinite(*single)) return optional<double>(name);
    char digits[64];
    const auto end = std::to_chars(digits, digits + sizeof digits, *single).ptr;
    double result = 0;
    std::from_chars(digits, end, result);
    return result;
  }
  double require_number(std::string_view name) const {
    if (const auto found = number(name)) return *found;
    return require<double>(name);  // says that it is missing
  }

  /// Where `name` is something that we do not compute.
  [[noreturn]] void refuse(std::string_view name, std::string_view expected) const {
    const GgufValue* value = file_.find(key(name));
    throw ConfigError(concat(file_.path().string(), ": metadata ", quote(key(name)), ": expected ", expected,
                             ", found ", value == nullptr ? "nothing" : describe(*value)));
  }

 private:
  const GgufHead& file_;
  std::string architecture_;
};

/// Fields that change what a model computes and that none of ours has; each must be missing or 0 (false).
inline void check_gguf_fields(const GgufFields& fields) {
  for (const auto& [key, value] : fields.file().metadata()) {
    if (!key.starts_with(fields.architecture() + ".")) continue;
    const std::string_view name = std::string_view(key).substr(fields.architecture().size() + 1);
    constexpr std::string_view known[] = {"attention.head_count",
                                          "attention.head_count_kv",
                                          "attention.key_length",
                                          "attention.value_length",
                                          "attention.layer_norm_epsilon",
                                          "attention.layer_norm_rms_epsilon",
                                          "attention.causal",
                                          "attention.sliding_window",
                                          "rope.dimension_count",
                                          "rope.freq_base",
                                          "rope.scale_linear",
                                          "rope.scaling.type",
                                          "rope.scaling.factor",
                                          "rope.scaling.attn_factor",
                                          "rope.scaling.original_context_length",
                                          "rope.scaling.finetuned",
                                          "rope.scaling.yarn_attn_factor",
                                          "rope.scaling.yarn_ext_factor",
                                          "rope.scaling.yarn_log_multiplier",
                                          "rope.scaling.yarn_beta_fast",
                                          "rope.scaling.yarn_beta_slow"};
    const bool computes = name.starts_with("attention.") || name.starts_with("rope.") ||
                          name.starts_with("expert_count") || name.starts_with("nextn_") ||
                          name.ends_with("_scale") || name.ends_with("_softcapping");
    if (!computes || std::find(std::begin(known), std::end(known), name) != std::end(known)) continue;
    const bool neutral = std::visit(
        []<class T>(const T& held) {
          if constexpr (std::is_arithmetic_v<T>) {
            return held == T{};
          } else {
            return false;
          }
        },
        value.held);
    if (!neutral) fields.refuse(name, "no such field, or 0: it is not computed");
  }
  if (!fields.optional<bool>("attention.causal").value_or(true)) fields.refuse("attention.causal", "true");
}

/// The rotary scaling that the factors of `rope_freqs.weight` were made from: null for factors of 1, and the
/// one of Llama 3 where they are its, with the borders that all its models have (1, 4, 8192 positions).
/// Nothing when they are neither.
inline std::optional<Json> llama3_scaling(const std::vector<float>& factors, double base) {
  constexpr double low = 1, high = 4, original = 8192;
  const double factor = std::round(factors.back());
  bool plain = true, scaled = factor > 1;
  for (Index i = 0; i < factors.size(); ++i) {
    const double part = static_cast<double>(i) / static_cast<double>(factors.size());
    const double wavelength = 2 * std::numbers::pi * std::pow(base, part);
    const double smooth = std::clamp((original / wavelength - low) / (high - low), 0.0, 1.0);
    const double expected = 1 / ((1 - smooth) / factor + smooth);
    const auto found = static_cast<double>(factors[i]);
    plain = plain && found == 1;
    scaled = scaled && std::abs(found - expected) <= 1e-5 * expected;  // they were computed in float
  }
  if (plain) return Json(nullptr);
  if (!scaled) return std::nullopt;
  return Json{{"rope_type", "llama3"},
              {"factor", factor},
              {"low_freq_factor", low},
              {"high_freq_factor", high},
              {"original_max_position_embeddings", static_cast<Index>(original)}};
}

inline Json gguf_rope_scaling(const GgufFields& fields, double base, Index width) {
  const GgufHead& file = fields.file();
  for (const char* name : {"rope_factors_long.weight", "rope_factors_short.weight"}) {
    if (file.find_tensor(name) == nullptr) continue;
    throw ConfigError(concat(file.path().string(), ": tensor ", quote(name), ": rotary scaling ",
                             quote("longrope"), " of a GGUF file is not read"));
  }
  const std::string kind = fields.optional<std::string>("rope.scaling.type").value_or("none");
  if (const GgufTensor* tensor = file.find_tensor("rope_freqs.weight")) {
    const std::string where = concat(file.path().string(), ": tensor ", quote(tensor->name));
    if (kind != "none")
      fields.refuse("rope.scaling.type", "\"none\" beside the tensor \"rope_freqs.weight\"");
    if (tensor->elements != width / 2 || width < 2) {
      throw ConfigError(concat(where, " has ", tensor->elements, " elements, expected ", width / 2,
                               ", one for each pair of a head"));
    }
    std::vector<float> factors(tensor->elements);
    file.read_numbers(tensor->name, VectorView<float>(factors));
    if (auto scaling = llama3_scaling(factors, base)) return *std::move(scaling);
    throw ConfigError(concat(where,
                             ": expected the factors of Llama 3's rotary scaling or all 1, found "
                             "others, which are not computed"));
  }
  if (kind == "none") {
    const double scale = fields.number("rope.scale_linear").value_or(1);  // of early files
    if (scale == 1 || scale == 0) return nullptr;
    return {{"rope_type", "linear"}, {"factor", scale}};
  }
  Json scaling = {{"rope_type", kind}, {"factor", fields.require_number("rope.scaling.factor")}};
  if (kind == "linear") return scaling;
  if (kind != "yarn") fields.refuse("rope.scaling.type", "one of none, linear, yarn");
  scaling["original_max_position_embeddings"] = fields.require<Index>("rope.scaling.original_context_length");
  if (fields.number("rope.scaling.yarn_log_multiplier").value_or(0) != 0)
    fields.refuse("rope.scaling.yarn_log_multiplier", "0");
  if (fields.number("rope.scaling.yarn_ext_factor").value_or(1) != 1)
    fields.refuse("rope.scaling.yarn_ext_factor", "1");
  for (const char* name : {"attn_factor", "yarn_attn_factor"}) {
    if (const auto given = fields.number(concat("rope.scaling.", name))) scaling["attention_factor"] = *given;
  }
  for (const char* name : {"beta_fast", "beta_slow"}) {
    if (const auto given = fields.number(concat("rope.scaling.yarn_", name))) scaling[name] = *given;
  }
  return scaling;
}

MERIT_INLINE Index gguf_vocabulary(const GgufHead& file) {
  const GgufTensor& tokens = file.tensor("token_embd.weight");
  if (tokens.shape.size() != 2) {
    throw ConfigError(concat(file.path().string(), ": tensor \"token_embd.weight\" has shape ",
                             shape_text(tokens.shape), ", expected two dimensions"));
  }
  return tokens.shape[0];
}

inline Json gguf_llama_json(const GgufFields& fields) {
  const GgufHead& file = fields.file();
  const auto hidden = fields.require<Index>("embedding_length");
  const auto heads = fields.require<Index>("attention.head_count");
  if (heads == 0) fields.refuse("attention.head_count", "at least 1");
  const Index width = fields.optional<Index>("attention.key_length").value_or(hidden / heads);
  for (const char* name : {"attention.value_length", "rope.dimension_count"}) {
    if (fields.optional<Index>(name).value_or(width) != width)
      fields.refuse(name, concat("the width of a head, ", width));
  }
  const auto positions = fields.require<Index>("context_length");
  const Index window = fields.optional<Index>("attention.sliding_window").value_or(0);
  const bool windowed = window != 0 && window < positions;
  const auto has = [&](const char* name) { return file.find_tensor(concat("blk.0.", name)) != nullptr; };
  const bool biases = has("attn_q.bias"), norms = has("attn_q_norm.weight");
  const bool output_bias = has("attn_output.bias"), mlp_bias = has("ffn_down.bias");
  const std::string& kind = fields.architecture();
  const bool usual =
      biases == (kind == "qwen2") && norms == (kind == "qwen3") && !windowed && !output_bias && !mlp_bias;
  const double base = fields.number("rope.freq_base").value_or(10000);
  Json json = {{"model_type", usual ? kind : "merit_llama"},
               {"vocab_size", gguf_vocabulary(file)},
               {"hidden_size", hidden},
               {"intermediate_size", fields.require<Index>("feed_forward_length")},
               {"num_hidden_layers", fields.require<Index>("block_count")},
               {"num_attention_heads", heads},
               {"num_key_value_heads", fields.optional<Index>("attention.head_count_kv").value_or(heads)},
               {"head_dim", width},
               {"max_position_embeddings", positions},
               {"rms_norm_eps", fields.require_number("attention.layer_norm_rms_epsilon")},
               {"tie_word_embeddings", file.find_tensor("output.weight") == nullptr},
               {"rope_theta", base},
               {"rope_scaling", gguf_rope_scaling(fields, base, width)}};
  if (!usual) {
    json.update(
        {{"qkv_bias", biases}, {"head_norm", norms}, {"output_bias", output_bias}, {"mlp_bias", mlp_bias}});
    const auto layers = json["num_hidden_layers"].get<Index>();
    if (windowed && static_cast<double>(layers) <= most_layers)
      json["windows"] = std::vector<Index>(layers, window);
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

}  // namespace detail

MERIT_INLINE Json gguf_config_json(const GgufHead& file) {
  const detail::GgufFields fields(file);
  const std::string& kind = fields.architecture();
  if (kind != "llama" && kind != "qwen2" && kind != "qwen3" && kind != "gpt2") {
    throw ConfigError(concat(file.path().string(),
                             ": metadata \"general.architecture\": expected one of llama, qwen2, "
                             "qwen3, gpt2, found ",
                             detail::quote(kind)));
  }
  if (const auto parts = file.optional<Index>("split.count"); parts && *parts > 1) {
    throw ConfigError(concat(file.path().string(), ": one of ", *parts,
                             " files of a split model, expected a whole one: join them first"));
  }
  detail::check_gguf_fields(fields);
  return kind == "gpt2" ? detail::gguf_gpt2_json(fields) : detail::gguf_llama_json(fields);
}

}  // namespace MERIT_ABI
}  // namespace merit
