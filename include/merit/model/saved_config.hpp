// config.json of a model with its head: the class that others read it with.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "merit/core/score_meaning.hpp"
#include "merit/forest/reading_rule.hpp"
#include "merit/fwd.hpp"
#include "merit/head/attribute_head.hpp"
#include "merit/head/gated_regression_head.hpp"
#include "merit/head/joint_head.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/head/two_layer_head.hpp"
#include "merit/model/hf_config.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

/// The ending of the class that gives a saved head's scores: of transformers, or of the model that was first
/// published with such a head, which transformers alone refuses rather than invents weights for.
template <class Head>
constexpr std::string_view class_ending(bool gpt2) {
  if constexpr (is_joint_head<Head>) {
    return class_ending<decltype(Head::first)>(gpt2);
  } else if constexpr (reads_unembedding<Head>) {
    return gpt2 ? "LMHeadModel" : "ForCausalLM";
  } else if constexpr (std::is_same_v<Head, TwoLayerHead>) {
    return "ForRewardModel";
  } else if constexpr (std::is_same_v<Head, TwoLayerStepHead>) {
    return "ForProcessRewardModel";
  } else if constexpr (std::is_same_v<Head, GatedRegressionHead>) {
    return "ForRewardModelWithGating";  // of ArmoRM's form
  } else if constexpr (is_linear_head<Head> || std::is_same_v<Head, AttributeHead>) {
    return Head::meaning == ScoreMeaning::per_completion ? "ForSequenceClassification"
                                                         : "ForTokenClassification";
  } else {
    return "ForRewardModel";  // of a user's own: no class of transformers has it
  }
}

/// `config` of a model with so many outputs, with what its card says of reading, as name_of(ReadingRule) or
/// empty, and labels.
inline void add_reading(Json& config, const std::string& reading, const std::vector<std::string>& names,
                        Index outputs) {
  if (!reading.empty()) {
    const ReadingRule rule = reading_rule_from_name(reading);
    using Kind = ReadingRule::Kind;
    if (rule.kind == Kind::last_not_pad || rule.kind == Kind::before_first_pad)
      config["pad_token_id"] = rule.tokens.at(0);
  }
  if (names.size() == outputs && config.contains("id2label")) {
    config["label2id"] = Json::object();
    for (Index i = 0; i < names.size(); ++i) {
      config["id2label"][std::to_string(i)] = names[i];
      config["label2id"][names[i]] = i;
    }
  }
}

/// What the files of a checkpoint must know of a head.
struct HeadFacts {
  ScoreMeaning meaning = ScoreMeaning::per_completion;
  std::string_view class_ending;               // of its class in transformers
  const GatedRegressionHead* gated = nullptr;  // it itself, where it is one of ArmoRM's form
};
template <class Head>
HeadFacts facts_of(const Head& head, bool gpt2) {
  HeadFacts facts{Head::meaning, class_ending<Head>(gpt2), nullptr};
  if constexpr (std::is_same_v<Head, GatedRegressionHead>) {
    if (head.is_linear_with_gate_at_answer() && head.activation == ActivationFunction::relu) {
      facts.gated = &head;
    } else {
      facts.class_ending = "ForRewardModel";
    }
  }
  return facts;
}
template <class... Heads>
HeadFacts facts_of(const std::variant<Heads...>& any, bool gpt2) {
  return std::visit([&](const auto& head) { return facts_of(head, gpt2); }, any);
}

/// config.json of a model, with what its card says of reading and labels, and the type of the weights beside
/// it.
template <class Model>
Json config_json(const Model& model, const std::string& reading, const std::vector<std::string>& names,
                 Dtype dtype = Dtype::f32) {
  const auto& backbone = model.config().backbone;
  const HeadFacts head = facts_of(model.config().head, backbone.name() == Gpt2::name());
  Json config = backbone_config_json(backbone, HfTask{head.class_ending, model.outputs(), dtype});
  add_reading(config, reading, names, model.outputs());
  if (head.gated != nullptr) {
    const std::vector<Index>& widths = head.gated->gate_widths;
    config.update({{"num_objectives", head.gated->attributes},
                   {"gating_temperature", head.gated->temperature},
                   {"gating_n_hidden", widths.size()},
                   {"gating_hidden_dim", widths.empty() ? 0 : widths[0]}});
  }
  return config;
}

/// Tensors that the class of a gated head reads beside its layers: ours say what changes nothing.
struct GateConstants {
  static constexpr std::string_view scale_name = "gating.logit_scale";
  static constexpr std::string_view transform_name = "reward_transform_matrix";

  float scale = 1;
  std::vector<float> transform;  // the identity

  explicit GateConstants(Index attributes) : transform(attributes * attributes) {
    for (Index i = 0; i < attributes; ++i) transform[i * attributes + i] = 1;
  }
};

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
