// Heads and losses as the model card (merit.json) names them: {"name": …, settings}. A policy of your own
// takes part with a settings_json(), and a read_settings() if it is to be read back, beside it; without them
// only its name is kept.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/head/attribute_head.hpp"
#include "merit/head/gated_regression_head.hpp"
#include "merit/head/joint_head.hpp"
#include "merit/head/language_model_head.hpp"
#include "merit/head/lm_gain_bias_head.hpp"
#include "merit/head/scalar_head.hpp"
#include "merit/head/step_head.hpp"
#include "merit/head/token_head.hpp"
#include "merit/head/token_logit_head.hpp"
#include "merit/head/two_layer_head.hpp"
#include "merit/head/value_head.hpp"
#include "merit/io/json.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/loss/joint_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/loss/plackett_luce_loss.hpp"
#include "merit/loss/value_loss.hpp"

namespace merit::inline MERIT_ABI {
namespace detail {

inline std::string_view activation_name(ActivationFunction activation) {
  return activation == ActivationFunction::gelu        ? "gelu"
         : activation == ActivationFunction::gelu_tanh ? "gelu_tanh"
                                                       : "relu";
}
inline std::string_view denominator_name(Denominator denominator) {
  return denominator == Denominator::per_token ? "per_token" : "per_sequence";
}
inline std::string_view ties_name(Ties ties) {
  return ties == Ties::efron ? "efron" : "breslow";
}

template <class Policy>
Json policy_json(const Policy& policy);

}  // namespace detail

// ---- Heads ---

inline Json settings_json(const ScalarHead& head) {
  return {{"bias", head.bias}};
}
inline Json settings_json(const TokenHead& head) {
  return {{"bias", head.bias}};
}
inline Json settings_json(const ValueHead& head) {
  return {{"bias", head.bias}};
}
template <Index Classes>
Json settings_json(const StepHead<Classes>& head) {
  return {{"bias", head.bias}, {"classes", Classes}};
}
template <ScoreMeaning Meaning, Index Outputs>
Json settings_json(const TwoLayers<Meaning, Outputs>& head) {
  return {
      {"bias", head.bias}, {"inner", head.inner}, {"activation", detail::activation_name(head.activation)}};
}
inline Json settings_json(const AttributeHead& head) {
  return {{"bias", head.bias}, {"merge_weights", head.merge_weights}};
}
inline Json settings_json(const GatedRegressionHead& head) {
  return {
      {"attributes", head.attributes}, {"gate_widths", head.gate_widths}, {"temperature", head.temperature}};
}
template <ScoreMeaning Meaning, Index Count>
Json settings_json(const TokenLogitHead<Meaning, Count>& head) {
  return {{"tokens", head.tokens}, {"meaning", name_of(Meaning)}};
}
inline Json settings_json(const LmGainBiasHead& head) {
  return {{"token", head.token}};
}
template <class First, class Second>
Json settings_json(const JointHead<First, Second>& head) {
  return {{"first", detail::policy_json(head.first)}, {"second", detail::policy_json(head.second)}};
}

// ---- Losses ---

inline Json settings_json(const PairwiseLoss& loss) {
  return {{"label_smoothing", loss.label_smoothing}, {"scale", loss.scale}, {"centering", loss.centering}};
}
inline Json settings_json(const PlackettLuceLoss& loss) {
  return {{"top", loss.top},
          {"ties", detail::ties_name(loss.ties)},
          {"divide_by_choices", loss.divide_by_choices}};
}
template <ScoreMeaning Meaning>
Json settings_json(const BinaryCrossEntropyLoss<Meaning>& loss) {
  return {{"denominator", detail::denominator_name(loss.denominator)},
          {"positive_weight", loss.positive_weight},
          {"focal", loss.focal},
          {"label_smoothing", loss.label_smoothing}};
}
inline Json settings_json(const CrossEntropyLoss& loss) {
  return {{"denominator", detail::denominator_name(loss.denominator)},
          {"class_weights", loss.class_weights},
          {"label_smoothing", loss.label_smoothing}};
}
inline Json settings_json(const ValueLoss& loss) {
  return {{"clip", loss.clip}};
}
template <class First, class Second>
Json settings_json(const JointLoss<First, Second>& loss) {
  return {{"first", detail::policy_json(loss.first)},
          {"second", detail::policy_json(loss.second)},
          {"first_weight", loss.first_weight},
          {"second_weight", loss.second_weight}};
}

namespace detail {

template <class Policy>
Json policy_json(const Policy& policy) {
  Json json = Json::object();
  if constexpr (requires { settings_json(policy); }) json = settings_json(policy);
  json["name"] = std::string_view(Policy::name());
  return json;
}

template <class T>
void read_field(const Json& json, const char* name, const std::string& where, T& field) {
  if (auto value = optional<T>(json, name, where)) field = *std::move(value);
}

/// A field that names one of `choices`, where `name_of(choice)` does.
template <class T, std::size_t N, class NameOf>
void read_choice(const Json& json, const char* field_name, const std::string& where,
                 const std::array<T, N>& choices, const NameOf& name_of, T& field) {
  const auto name = optional<std::string>(json, field_name, where);
  if (!name) return;
  std::string list;
  for (const T choice : choices) {
    const std::string_view known = name_of(choice);
    if (*name == known) {
      field = choice;
      return;
    }
    list += concat(list.empty() ? "" : ", ", known);
  }
  throw DataError(
      concat(where, ": field ", quote(field_name), " is ", quote(*name), ", expected one of: ", list));
}

inline constexpr std::array denominators{Denominator::per_token, Denominator::per_sequence};

}  // namespace detail

// ---- Reading back: throws DataError about the first field that is not what it should be ---

inline void read_settings(const Json& json, const std::string& where, ScalarHead& head) {
  detail::read_field(json, "bias", where, head.bias);
}
inline void read_settings(const Json& json, const std::string& where, TokenHead& head) {
  detail::read_field(json, "bias", where, head.bias);
}
inline void read_settings(const Json& json, const std::string& where, ValueHead& head) {
  detail::read_field(json, "bias", where, head.bias);
}
template <Index Classes>
void read_settings(const Json& json, const std::string& where, StepHead<Classes>& head) {
  detail::read_field(json, "bias", where, head.bias);
}
template <ScoreMeaning Meaning, Index Outputs>
void read_settings(const Json& json, const std::string& where, TwoLayers<Meaning, Outputs>& head) {
  detail::read_field(json, "bias", where, head.bias);
  detail::read_field(json, "inner", where, head.inner);
  detail::read_choice(
      json, "activation", where,
      std::array{ActivationFunction::gelu, ActivationFunction::gelu_tanh, ActivationFunction::relu},
      detail::activation_name, head.activation);
}
inline void read_settings(const Json& json, const std::string& where, AttributeHead& head) {
  detail::read_field(json, "bias", where, head.bias);
  detail::read_field(json, "merge_weights", where, head.merge_weights);
}
inline void read_settings(const Json& json, const std::string& where, GatedRegressionHead& head) {
  detail::read_field(json, "attributes", where, head.attributes);
  detail::read_field(json, "gate_widths", where, head.gate_widths);
  detail::read_field(json, "temperature", where, head.temperature);
}
template <ScoreMeaning Meaning, Index Count>
void read_settings(const Json& json, const std::string& where, TokenLogitHead<Meaning, Count>& head) {
  auto tokens = require<std::vector<Token>>(json, "tokens", where);
  if constexpr (Count == 0) {
    head.tokens = std::move(tokens);
  } else {
    if (tokens.size() != Count) {
      throw DataError(
          detail::concat(where, ": field \"tokens\" has ", tokens.size(), " tokens, expected ", Count));
    }
    for (Index i = 0; i < Count; ++i) head.tokens[i] = tokens[i];
  }
}
inline void read_settings(const Json& json, const std::string& where, LmGainBiasHead& head) {
  head.token = require<Token>(json, "token", where);
}
inline void read_settings(const Json&, const std::string&, LanguageModelHead&) {}
template <class First, class Second>
void read_settings(const Json& json, const std::string& where, JointHead<First, Second>& head) {
  read_settings(require<Json>(json, "first", where), where + ".first", head.first);
  read_settings(require<Json>(json, "second", where), where + ".second", head.second);
}

inline void read_settings(const Json& json, const std::string& where, PairwiseLoss& loss) {
  detail::read_field(json, "label_smoothing", where, loss.label_smoothing);
  detail::read_field(json, "scale", where, loss.scale);
  detail::read_field(json, "centering", where, loss.centering);
}
inline void read_settings(const Json& json, const std::string& where, PlackettLuceLoss& loss) {
  detail::read_field(json, "top", where, loss.top);
  detail::read_choice(json, "ties", where, std::array{Ties::efron, Ties::breslow}, detail::ties_name,
                      loss.ties);
  detail::read_field(json, "divide_by_choices", where, loss.divide_by_choices);
}
template <ScoreMeaning Meaning>
void read_settings(const Json& json, const std::string& where, BinaryCrossEntropyLoss<Meaning>& loss) {
  detail::read_choice(json, "denominator", where, detail::denominators, detail::denominator_name,
                      loss.denominator);
  detail::read_field(json, "positive_weight", where, loss.positive_weight);
  detail::read_field(json, "focal", where, loss.focal);
  detail::read_field(json, "label_smoothing", where, loss.label_smoothing);
}
inline void read_settings(const Json& json, const std::string& where, CrossEntropyLoss& loss) {
  detail::read_choice(json, "denominator", where, detail::denominators, detail::denominator_name,
                      loss.denominator);
  detail::read_field(json, "class_weights", where, loss.class_weights);
  detail::read_field(json, "label_smoothing", where, loss.label_smoothing);
}
inline void read_settings(const Json& json, const std::string& where, ValueLoss& loss) {
  detail::read_field(json, "clip", where, loss.clip);
}
/// The weights of the two; what their parts are, each reads for itself.
template <class First, class Second>
void read_settings(const Json& json, const std::string& where, JointLoss<First, Second>& loss) {
  const auto part = [&](const char* name, auto& one) {
    const Json settings = require<Json>(json, name, where);
    if constexpr (requires { read_settings(settings, where, one); })
      read_settings(settings, where + "." + name, one);
  };
  part("first", loss.first);
  part("second", loss.second);
  detail::read_field(json, "first_weight", where, loss.first_weight);
  detail::read_field(json, "second_weight", where, loss.second_weight);
}

}  // namespace merit::inline MERIT_ABI
