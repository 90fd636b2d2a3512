// What the encoders of BERT's kind call their parameters.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "merit/core/enum_names.hpp"
#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

enum class BertFamily : std::uint8_t { bert, roberta, electra, distilbert, albert };
template <>
inline constexpr std::array<std::string_view, 5> enum_names<BertFamily>{"bert", "roberta", "electra",
                                                                        "distilbert", "albert"};

/// Names of dense layers and norms, without ".weight" and ".bias". Those of a layer stand behind `layers`, its number
/// and a point; where all layers are one, `layers` ends it.
struct BertNames {
  std::string_view prefix;      // of all but the pooler
  std::string_view projection;  // from the embeddings to hidden rows; empty: there is none
  std::string_view layers;
  std::array<std::string_view, 3> qkv;
  std::string_view output, attention_norm, up, down, output_norm;
  std::string_view pooler;
  std::string_view classifier = "classifier";  // the head behind it
};

inline constexpr BertNames bert_names(BertFamily family) {
  BertNames names{.prefix = "bert.",
                  .projection = "",
                  .layers = "encoder.layer.",
                  .qkv = {"attention.self.query", "attention.self.key", "attention.self.value"},
                  .output = "attention.output.dense",
                  .attention_norm = "attention.output.LayerNorm",
                  .up = "intermediate.dense",
                  .down = "output.dense",
                  .output_norm = "output.LayerNorm",
                  .pooler = "bert.pooler.dense"};
  switch (family) {
    case BertFamily::bert: break;
    case BertFamily::roberta:
      names.prefix = "roberta.";
      names.pooler = "classifier.dense";
      names.classifier = "classifier.out_proj";
      break;
    case BertFamily::electra:
      names.prefix = "electra.";
      names.projection = "embeddings_project";
      names.pooler = "classifier.dense";
      names.classifier = "classifier.out_proj";
      break;
    case BertFamily::distilbert:
      return {.prefix = "distilbert.",
              .projection = "",
              .layers = "transformer.layer.",
              .qkv = {"attention.q_lin", "attention.k_lin", "attention.v_lin"},
              .output = "attention.out_lin",
              .attention_norm = "sa_layer_norm",
              .up = "ffn.lin1",
              .down = "ffn.lin2",
              .output_norm = "output_layer_norm",
              .pooler = "pre_classifier"};
    case BertFamily::albert:
      return {.prefix = "albert.",
              .projection = "encoder.embedding_hidden_mapping_in",
              .layers = "encoder.albert_layer_groups.0.albert_layers.0.",
              .qkv = {"attention.query", "attention.key", "attention.value"},
              .output = "attention.dense",
              .attention_norm = "attention.LayerNorm",
              .up = "ffn",
              .down = "ffn_output",
              .output_norm = "full_layer_layer_norm",
              .pooler = "albert.pooler"};
  }
  return names;
}

}  // namespace MERIT_ABI
}  // namespace merit
