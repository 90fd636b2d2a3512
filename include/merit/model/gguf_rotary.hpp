// The settings of rotary positions in a GGUF file, as those of a config.json.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/model/gguf_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

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

/// The numbers of a small tensor, one for each pair of a head's columns.
inline std::vector<float> gguf_factors(const GgufHead& file, const char* name, Index width) {
  const GgufTensor& tensor = file.tensor(name);
  if (tensor.elements != width / 2 || width < 2) {
    throw ConfigError(concat(file.path().string(), ": tensor ", quote(name), " has ", tensor.elements,
                             " elements, expected ", width / 2, ", one for each pair of a head"));
  }
  std::vector<float> factors(tensor.elements);
  file.read_numbers(name, VectorView<float>(factors));
  return factors;
}

/// Phi-3's factors for short and for long sequences.
inline Json gguf_longrope(const GgufFields& fields, Index width) {
  const auto original = fields.require<Index>("rope.scaling.original_context_length");
  Json scaling = {{"rope_type", "longrope"}, {"original_max_position_embeddings", original}};
  for (const char* part : {"short", "long"}) {
    Json& factors = scaling[concat(part, "_factor")];
    for (const float factor :
         gguf_factors(fields.file(), concat("rope_factors_", part, ".weight").c_str(), width))
      factors.push_back(decimal(factor));
  }
  // The usual one is not said in a config.json.
  const auto attention = fields.number("rope.scaling.attn_factor");
  const double stretch =
      static_cast<double>(fields.require<Index>("context_length")) / static_cast<double>(original);
  const double usual =
      stretch > 1 ? std::sqrt(1 + std::log(stretch) / std::log(static_cast<double>(original))) : 1;
  if (attention && static_cast<float>(*attention) != static_cast<float>(usual))
    scaling["attention_factor"] = *attention;
  return scaling;
}

inline Json gguf_rope_scaling(const GgufFields& fields, double base, Index width) {
  const GgufHead& file = fields.file();
  for (const char* name : {"rope_factors_short.weight", "rope_factors_long.weight"}) {
    if (file.find_tensor(name) != nullptr) return gguf_longrope(fields, width);
  }
  const std::string kind = fields.optional<std::string>("rope.scaling.type").value_or("none");
  if (const GgufTensor* tensor = file.find_tensor("rope_freqs.weight")) {
    const std::string where = concat(file.path().string(), ": tensor ", quote(tensor->name));
    if (kind != "none")
      fields.refuse("rope.scaling.type", "\"none\" beside the tensor \"rope_freqs.weight\"");
    const std::vector<float> factors = gguf_factors(file, "rope_freqs.weight", width);
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

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
