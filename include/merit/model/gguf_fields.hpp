// The metadata of a GGUF file under the prefix of its architecture, and which of them change what a model computes.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "merit/core/error.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/io/tensor_info.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The shortest decimal that gives a float: 1e-5 and not 9.9999997e-06, because the float was made from such a decimal.
inline double decimal(float value) {
  char digits[64];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  double result = 0;
  std::from_chars(digits, end, result);
  return result;
}

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

  /// A number; one stored as a float as `decimal` has it.
  std::optional<double> number(std::string_view name) const {
    const GgufValue* value = file_.find(key(name));
    const float* single = value == nullptr ? nullptr : value->get<float>();
    if (single == nullptr || !std::isfinite(*single)) return optional<double>(name);
    return decimal(*single);
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

/// The rows of the embedding, which count the vocabulary whatever the metadata say.
inline Index gguf_vocabulary(const GgufHead& file) {
  const GgufTensor& tokens = file.tensor("token_embd.weight");
  if (tokens.shape.size() != 2) {
    throw ConfigError(concat(file.path().string(), ": tensor \"token_embd.weight\" has shape ",
                             shape_text(tokens.shape), ", expected two dimensions"));
  }
  return tokens.shape[0];
}

/// Whether what a model computes depends on a field of this name.
inline bool computes_by(std::string_view name) {
  return name.starts_with("attention.") || name.starts_with("rope.") || name.starts_with("expert_") ||
         name.starts_with("nextn_") || name.ends_with("_scale") || name.ends_with("_softcapping");
}

/// Such fields as are read: those of all architectures, and of some.
inline bool is_known_gguf_field(std::string_view architecture, std::string_view name) {
  constexpr std::string_view of_all[] = {"attention.head_count",
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
  constexpr std::string_view of_windowed[] = {"attention.sliding_window_pattern", "rope.freq_base_swa"};
  constexpr std::string_view of_gemma[] = {"attn_logit_softcapping", "final_logit_softcapping"};
  constexpr std::string_view of_experts[] = {"expert_count", "expert_used_count",
                                             "expert_feed_forward_length", "expert_weights_norm"};
  const auto is_in = [name](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  const bool gemma = architecture == "gemma2" || architecture == "gemma3";
  return is_in(of_all) || (gemma && is_in(of_gemma)) || (architecture == "qwen3moe" && is_in(of_experts)) ||
         ((gemma || architecture == "olmo2" || architecture == "modern-bert") && is_in(of_windowed));
}

/// Throws ConfigError for a field that changes what a model computes and that is not read; it must be missing or 0.
inline void check_gguf_fields(const GgufFields& fields) {
  for (const auto& [key, value] : fields.file().metadata()) {
    if (!key.starts_with(fields.architecture() + ".")) continue;
    const std::string_view name = std::string_view(key).substr(fields.architecture().size() + 1);
    if (!computes_by(name) || is_known_gguf_field(fields.architecture(), name)) continue;
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
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
