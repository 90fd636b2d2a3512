// The settings of rotary positions in a config.json, in the layouts of transformers 4 and 5.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "merit/backbone/rotary_table.hpp"
#include "merit/io/json.hpp"
#include "merit/model/config_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

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

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
