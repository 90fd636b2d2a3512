// The encoders' config.json.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/backbone/bert.hpp"
#include "merit/backbone/deberta.hpp"
#include "merit/backbone/modern_bert.hpp"
#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/model/config_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {

namespace detail {

inline std::optional<BertFamily> find_bert_family(std::string_view model_type) {
  if (model_type == "xlm-roberta" || model_type == "camembert") return BertFamily::roberta;
  return value_named<BertFamily>(model_type);
}

/// Whether a model_type is an encoder's.
inline bool is_encoder_type(std::string_view model_type) {
  return model_type == ModernBert::name() || model_type == Deberta::name() ||
         find_bert_family(model_type).has_value();
}

/// Whether the class of the architecture has the dense layer behind an encoder.
inline bool is_classifier(const ConfigFields& fields) {
  const auto names = fields.optional<std::vector<std::string>>("architectures");
  return names && !names->empty() && names->front().ends_with("ForSequenceClassification");
}

inline Bert bert_from(const ConfigFields& fields, BertFamily family) {
  const bool distil = family == BertFamily::distilbert;
  const auto size = [&](const char* field, const char* of_distilbert) {
    return fields.require<Index>(distil ? of_distilbert : field);
  };
  Bert bert;
  bert.family = family;
  bert.vocabulary_size = fields.require<Index>("vocab_size");
  bert.hidden_size = size("hidden_size", "dim");
  bert.intermediate_size = size("intermediate_size", "hidden_dim");
  bert.layers = size("num_hidden_layers", "n_layers");
  bert.heads = size("num_attention_heads", "n_heads");
  bert.max_positions = fields.require<Index>("max_position_embeddings");
  bert.norm_epsilon = distil ? 1e-12 : fields.value_or("layer_norm_eps", 1e-12);
  bert.init_deviation = fields.value_or("initializer_range", 0.02);
  bert.activation =
      distil ? activation_from(fields, "activation", "gelu")
             : activation_from(fields, "hidden_act", family == BertFamily::albert ? "gelu_new" : "gelu");
  bert.types = distil ? 0 : fields.value_or<Index>("type_vocab_size", 2);
  // RoBERTa counts positions from behind its pad, and its segments are all of one type.
  if (family == BertFamily::roberta) bert.first_position = fields.value_or<Index>("pad_token_id", 1) + 1;
  bert.separator = fields.value_or<Index>("merit_separator", 0);
  if (family == BertFamily::electra || family == BertFamily::albert) {
    bert.embedding_size = fields.value_or<Index>("embedding_size", 128);
    if (bert.embedding_size == bert.hidden_size) bert.embedding_size = 0;
  }
  if (family == BertFamily::albert) {
    bert.shared_layers = true;
    for (const char* field : {"num_hidden_groups", "inner_group_num"}) {
      if (fields.value_or<Index>(field, 1) != 1) fields.refuse(field, "1");
    }
    // ALBERT projects whatever the width of its embeddings.
    if (bert.embedding_size == 0) fields.refuse("embedding_size", "another width than hidden_size");
  }
  const std::string positions = fields.value_or<std::string>("position_embedding_type", "absolute");
  if (positions != "absolute") fields.refuse("position_embedding_type", "absolute");
  if (fields.value_or("sinusoidal_pos_embds", false)) fields.refuse("sinusoidal_pos_embds", "false");
  for (const char* field : {"is_decoder", "add_cross_attention"}) {
    if (fields.value_or(field, false)) fields.refuse(field, "false");
  }
  bert.pooler = fields.value_or("merit_pooler", is_classifier(fields));
  bert.pooler_activation = distil                          ? ActivationFunction::relu
                           : family == BertFamily::electra ? ActivationFunction::gelu
                                                           : ActivationFunction::tanh;
  if (fields.contains("merit_pooler_activation")) {
    bert.pooler_activation = activation_from(fields, "merit_pooler_activation", "");
  }
  const auto pooling = fields.optional<std::string>("merit_pooling");
  if (pooling) {
    const auto value = value_named<Pooling>(*pooling);
    if (!value) fields.refuse("merit_pooling", concat("one of ", list_of_names<Pooling>()));
    bert.pooling = *value;
  }
  return bert;
}

inline Json bert_json(const Bert& bert, const HfTask& task) {
  constexpr std::string_view prefixes[] = {"Bert", "Roberta", "Electra", "DistilBert", "Albert"};
  const auto number = static_cast<Index>(bert.family);
  Json json = hf_json(name_of(bert.family), prefixes[number], task);
  const bool distil = bert.family == BertFamily::distilbert;
  json.update({{"vocab_size", bert.vocabulary_size},
               {distil ? "dim" : "hidden_size", bert.hidden_size},
               {distil ? "hidden_dim" : "intermediate_size", bert.intermediate_size},
               {distil ? "n_layers" : "num_hidden_layers", bert.layers},
               {distil ? "n_heads" : "num_attention_heads", bert.heads},
               {"max_position_embeddings", bert.max_positions},
               {distil ? "activation" : "hidden_act", hf_activation_name(bert.activation)},
               {"initializer_range", bert.init_deviation},
               {"hidden_dropout_prob", 0.0},
               {"attention_probs_dropout_prob", 0.0},
               {"classifier_dropout", 0.0}});
  if (!distil) json.update({{"layer_norm_eps", bert.norm_epsilon}, {"type_vocab_size", bert.types}});
  if (distil) json.update({{"dropout", 0.0}, {"attention_dropout", 0.0}, {"seq_classif_dropout", 0.0}});
  if (bert.family == BertFamily::roberta) json["pad_token_id"] = bert.first_position - 1;
  if (bert.family == BertFamily::albert) {
    json.update({{"num_hidden_groups", 1}, {"inner_group_num", 1}, {"classifier_dropout_prob", 0.0}});
  }
  if (bert.embedding_width() != bert.hidden_size || bert.family == BertFamily::electra) {
    json["embedding_size"] = bert.embedding_width();
  }
  if (bert.separator != 0) json["merit_separator"] = bert.separator;
  // What the class in transformers has otherwise.
  const Bert usual = bert_from(ConfigFields(json, "config.json"), bert.family);
  if (usual.pooler != bert.pooler) json["merit_pooler"] = bert.pooler;
  if (usual.pooler_activation != bert.pooler_activation) {
    json["merit_pooler_activation"] = hf_activation_name(bert.pooler_activation);
  }
  if (usual.pooling != bert.pooling) json["merit_pooling"] = name_of(bert.pooling);
  return json;
}

inline ModernBert modern_bert_from(const ConfigFields& fields) {
  ModernBert bert;
  bert.vocabulary_size = fields.require<Index>("vocab_size");
  bert.hidden_size = fields.require<Index>("hidden_size");
  bert.intermediate_size = fields.require<Index>("intermediate_size");
  bert.layers = fields.require<Index>("num_hidden_layers");
  bert.heads = fields.require<Index>("num_attention_heads");
  bert.max_positions = fields.value_or<Index>("max_position_embeddings", 8192);
  bert.norm_epsilon = fields.value_or("norm_eps", 1e-5);
  bert.init_deviation = fields.value_or("initializer_range", 0.02);
  bert.activation = activation_from(fields, "hidden_activation", "gelu");
  bert.pooler_activation = activation_from(fields, "classifier_activation", "gelu");
  for (const char* field : {"norm_bias", "attention_bias", "mlp_bias", "classifier_bias"}) {
    if (fields.value_or(field, false)) fields.refuse(field, "false");
  }
  bert.pooler = fields.value_or("merit_pooler", is_classifier(fields));
  const std::string pooling = fields.value_or<std::string>("classifier_pooling", "cls");
  if (pooling != "cls" && pooling != "mean" && pooling != "token") {
    fields.refuse("classifier_pooling", "cls or mean");
  }
  bert.pooling = pooling == "cls" ? Pooling::first : pooling == "mean" ? Pooling::mean : Pooling::token;

  bert.rope_base = fields.value_or("global_rope_theta", 160000.0);
  bert.window_rope_base = fields.optional<double>("local_rope_theta").value_or(10000.0);
  if (const auto rope = fields.optional<Json>("rope_parameters"); rope && rope->is_object()) {
    const auto base = [&](const char* kind, double& value) {
      const auto own = rope->find(kind);
      if (own == rope->end() || !own->is_object()) return;
      const ConfigFields inner(*own, concat(fields.where(), ": rope_parameters: ", kind));
      if (inner.value_or<std::string>("rope_type", "default") != "default")
        inner.refuse("rope_type", "default");
      value = inner.value_or("rope_theta", value);
    };
    base("full_attention", bert.rope_base);
    base("sliding_attention", bert.window_rope_base);
  }
  if (static_cast<double>(bert.layers) > most_layers) {
    fields.refuse("num_hidden_layers", concat("at most ", most_layers));
  }
  // Half of it lies on each side.
  const Index window = fields.value_or<Index>("local_attention", 128) / 2 + 1;
  const Index each = fields.value_or<Index>("global_attn_every_n_layers", 3);
  if (each == 0) fields.refuse("global_attn_every_n_layers", "at least 1");
  const auto types = fields.optional<std::vector<std::string>>("layer_types");
  if (types && types->size() != bert.layers) fields.refuse("layer_types", "one name for each layer");
  bool any = false;
  for (Index i = 0; i < bert.layers; ++i) {
    const bool near = types ? (*types)[i] == "sliding_attention" : i % each != 0;
    bert.windows.push_back(near ? window : 0);
    any = any || near;
  }
  if (!any) bert.windows.clear();
  return bert;
}

inline Json modern_bert_json(const ModernBert& bert, const HfTask& task) {
  Json json = hf_json(ModernBert::name(), "ModernBert", task);
  Index window = 1;
  std::vector<std::string> types(bert.layers, "full_attention");
  for (Index i = 0; i < bert.windows.size(); ++i) {
    if (bert.windows[i] == 0) continue;
    types[i] = "sliding_attention";
    window = bert.windows[i];
  }
  json.update(
      {{"vocab_size", bert.vocabulary_size},
       {"hidden_size", bert.hidden_size},
       {"intermediate_size", bert.intermediate_size},
       {"num_hidden_layers", bert.layers},
       {"num_attention_heads", bert.heads},
       {"max_position_embeddings", bert.max_positions},
       {"norm_eps", bert.norm_epsilon},
       {"initializer_range", bert.init_deviation},
       {"hidden_activation", hf_activation_name(bert.activation)},
       {"classifier_activation", hf_activation_name(bert.pooler_activation)},
       {"classifier_pooling", bert.pooling == Pooling::first ? "cls" : std::string(name_of(bert.pooling))},
       {"global_rope_theta", bert.rope_base},
       {"local_rope_theta", bert.window_rope_base},
       {"local_attention", 2 * (window - 1)},
       {"layer_types", types},
       {"attention_dropout", 0.0},
       {"mlp_dropout", 0.0}});
  if (is_classifier(ConfigFields(json, "config.json")) != bert.pooler) json["merit_pooler"] = bert.pooler;
  return json;
}

inline Deberta deberta_from(const ConfigFields& fields) {
  Deberta deberta;
  deberta.vocabulary_size = fields.require<Index>("vocab_size");
  deberta.hidden_size = fields.require<Index>("hidden_size");
  deberta.intermediate_size = fields.require<Index>("intermediate_size");
  deberta.layers = fields.require<Index>("num_hidden_layers");
  deberta.heads = fields.require<Index>("num_attention_heads");
  deberta.max_positions = fields.value_or<Index>("max_position_embeddings", 512);
  deberta.norm_epsilon = fields.value_or("layer_norm_eps", 1e-7);
  deberta.init_deviation = fields.value_or("initializer_range", 0.02);
  deberta.activation = activation_from(fields, "hidden_act", "gelu");
  deberta.types = fields.value_or<Index>("type_vocab_size", 0);
  deberta.separator = fields.value_or<Index>("merit_separator", 0);
  if (!fields.value_or("relative_attention", false)) fields.refuse("relative_attention", "true");
  // A number below 1 means that it is not said.
  const auto count = [&](const char* field) { return std::max(fields.value_or(field, -1.0), 0.0); };
  deberta.buckets = static_cast<Index>(count("position_buckets"));
  const auto most = static_cast<Index>(count("max_relative_positions"));
  deberta.most_distance = most > 0 ? most : deberta.max_positions;
  const auto kinds = fields.optional<Json>("pos_att_type");
  std::string named;  // "c2p|p2c", or a list
  if (kinds && kinds->is_string()) named = kinds->get<std::string>();
  if (kinds && kinds->is_array()) named = kinds->dump();
  deberta.position_keys = named.find("c2p") != named.npos;
  deberta.position_queries = named.find("p2c") != named.npos;
  if (named.find("p2p") != named.npos) fields.refuse("pos_att_type", "c2p and p2c");
  deberta.shared_projections = fields.value_or("share_att_key", false);
  const std::string norm = fields.value_or<std::string>("norm_rel_ebd", "none");
  if (norm != "layer_norm" && norm != "none") fields.refuse("norm_rel_ebd", "layer_norm or none");
  deberta.normed_positions = norm == "layer_norm";
  deberta.absolute_positions = fields.value_or("position_biased_input", true);
  if (fields.value_or<Index>("conv_kernel_size", 0) != 0) fields.refuse("conv_kernel_size", "0");
  for (const char* field : {"embedding_size", "pooler_hidden_size"}) {
    if (fields.value_or<Index>(field, deberta.hidden_size) != deberta.hidden_size)
      fields.refuse(field, "hidden_size");
  }
  if (fields.optional<Index>("attention_head_size")) fields.refuse("attention_head_size", "no such field");
  deberta.pooler = fields.value_or("merit_pooler", is_classifier(fields));
  deberta.pooler_activation = activation_from(fields, "pooler_hidden_act", "gelu");
  if (const auto pooling = fields.optional<std::string>("merit_pooling")) {
    const auto value = value_named<Pooling>(*pooling);
    if (!value) fields.refuse("merit_pooling", concat("one of ", list_of_names<Pooling>()));
    deberta.pooling = *value;
  }
  return deberta;
}

inline Json deberta_json(const Deberta& deberta, const HfTask& task) {
  Json json = hf_json(Deberta::name(), "DebertaV2", task);
  std::vector<std::string> kinds;
  if (deberta.position_queries) kinds.emplace_back("p2c");
  if (deberta.position_keys) kinds.emplace_back("c2p");
  json.update({{"vocab_size", deberta.vocabulary_size},
               {"hidden_size", deberta.hidden_size},
               {"intermediate_size", deberta.intermediate_size},
               {"num_hidden_layers", deberta.layers},
               {"num_attention_heads", deberta.heads},
               {"max_position_embeddings", deberta.max_positions},
               {"layer_norm_eps", deberta.norm_epsilon},
               {"initializer_range", deberta.init_deviation},
               {"hidden_act", hf_activation_name(deberta.activation)},
               {"type_vocab_size", deberta.types},
               {"relative_attention", true},
               {"max_relative_positions", deberta.most_distance},
               {"pos_att_type", kinds},
               {"share_att_key", deberta.shared_projections},
               {"norm_rel_ebd", deberta.normed_positions ? "layer_norm" : "none"},
               {"position_biased_input", deberta.absolute_positions},
               {"pooler_hidden_act", hf_activation_name(deberta.pooler_activation)},
               {"pooler_hidden_size", deberta.hidden_size},
               {"pooler_dropout", 0.0},
               {"hidden_dropout_prob", 0.0},
               {"attention_probs_dropout_prob", 0.0}});
  json["position_buckets"] = deberta.buckets != 0 ? Json(deberta.buckets) : Json(-1);
  if (deberta.separator != 0) json["merit_separator"] = deberta.separator;
  if (is_classifier(ConfigFields(json, "config.json")) != deberta.pooler)
    json["merit_pooler"] = deberta.pooler;
  if (deberta.pooling != Pooling::first) json["merit_pooling"] = name_of(deberta.pooling);
  return json;
}

}  // namespace detail

}  // namespace MERIT_ABI
}  // namespace merit
