// What is written of an encoder reads back, or is refused when the model is made.
#include <cmath>

#include "merit/forest/forest.hpp"
#include "written_back.hpp"

namespace written_back_encoders_test {

using namespace merit_test;

// Where one of these no longer compiles, the structure has another field: it needs values below.
[[maybe_unused]] void fields_of(const Bert& bert, const ModernBert& modern, const Deberta& deberta) {
  [[maybe_unused]] const auto& [family, vocabulary, embedding, hidden, intermediate, layers, heads, positions,
                                first, types, separator, epsilon, activation, shared, pooling, pooler,
                                pooler_activation, deviation, frozen, recompute] = bert;
  [[maybe_unused]] const auto& [m_vocabulary, m_hidden, m_intermediate, m_layers, m_heads, m_positions,
                                windows, base, window_base, m_epsilon, m_activation, m_pooling, m_pooler,
                                m_pooler_activation, m_deviation, m_frozen, m_recompute] = modern;
  [[maybe_unused]] const auto& [d_vocabulary, d_hidden, d_intermediate, d_layers, d_heads, d_positions,
                                buckets, most, keys, queries, projections, normed, absolute, d_types,
                                d_separator, d_epsilon, d_activation, d_pooling, d_pooler,
                                d_pooler_activation, d_deviation, d_frozen, d_recompute] = deberta;
}

const Bert small_bert{.vocabulary_size = 7,
                      .hidden_size = 8,
                      .intermediate_size = 6,
                      .layers = 2,
                      .heads = 2,
                      .max_positions = 16,
                      .init_deviation = 0.02};

TEST_CASE("every value of every field of a BERT reads back, or is refused") {
  check_kept<Bert>(
      small_bert,
      {{"vocabulary_size", [](Bert& b) { b.vocabulary_size = 9; }},
       {"hidden_size", [](Bert& b) { b.hidden_size = 12; }},
       {"intermediate_size", [](Bert& b) { b.intermediate_size = 1; }},
       {"layers", [](Bert& b) { b.layers = 1; }},
       {"heads", [](Bert& b) { b.heads = 4; }},
       {"max_positions", [](Bert& b) { b.max_positions = 1; }},
       {"types 0", [](Bert& b) { b.types = 0; }},
       {"types 3", [](Bert& b) { b.types = 3; }},
       {"separator", [](Bert& b) { b.separator = 3; }},
       {"norm_epsilon", [](Bert& b) { b.norm_epsilon = 1.0 / 3; }},
       {"activation", [](Bert& b) { b.activation = ActivationFunction::gelu_tanh; }},
       {"pooling mean", [](Bert& b) { b.pooling = Pooling::mean; }},
       {"pooling token", [](Bert& b) { b.pooling = Pooling::token; }},
       {"no pooler", [](Bert& b) { b.pooler = false; }},
       {"pooler_activation", [](Bert& b) { b.pooler_activation = ActivationFunction::relu; }},
       {"init_deviation", [](Bert& b) { b.init_deviation = 1.0 / 3; }},
       {"RoBERTa", [](Bert& b) { b.family = BertFamily::roberta, b.types = 1, b.first_position = 2; }},
       {"ELECTRA",
        [](Bert& b) { b.family = BertFamily::electra, b.pooler_activation = ActivationFunction::gelu; }},
       {"ELECTRA, narrow",
        [](Bert& b) {
          b.family = BertFamily::electra, b.pooler_activation = ActivationFunction::gelu,
          b.embedding_size = 4;
        }},
       {"DistilBERT",
        [](Bert& b) {
          b.family = BertFamily::distilbert, b.types = 0, b.pooler_activation = ActivationFunction::relu;
        }},
       {"ALBERT",
        [](Bert& b) { b.family = BertFamily::albert, b.shared_layers = true, b.embedding_size = 4; }}});
  check_refused<Bert>(small_bert, {{"heads 3", [](Bert& b) { b.heads = 3; }},
                                   {"separator 7", [](Bert& b) { b.separator = 7; }},
                                   {"first_position 16", [](Bert& b) { b.first_position = 16; }},
                                   {"a narrow embedding of BERT", [](Bert& b) { b.embedding_size = 4; }},
                                   {"frozen_layers 3", [](Bert& b) { b.frozen_layers = 3; }},
                                   {"half of shared layers frozen", [](Bert& b) {
                                      b.family = BertFamily::albert, b.shared_layers = true,
                                      b.embedding_size = 4;
                                      b.frozen_layers = 1;
                                    }}});
}

TEST_CASE("every value of every field of a ModernBERT reads back, or is refused") {
  const ModernBert small{.vocabulary_size = 7,
                         .hidden_size = 8,
                         .intermediate_size = 6,
                         .layers = 2,
                         .heads = 2,
                         .max_positions = 16,
                         .init_deviation = 0.02};
  check_kept<ModernBert>(
      small, {{"vocabulary_size", [](ModernBert& b) { b.vocabulary_size = 9; }},
              {"hidden_size", [](ModernBert& b) { b.hidden_size = 12; }},
              {"intermediate_size", [](ModernBert& b) { b.intermediate_size = 1; }},
              {"layers", [](ModernBert& b) { b.layers = 1; }},
              {"heads", [](ModernBert& b) { b.heads = 4; }},
              {"max_positions", [](ModernBert& b) { b.max_positions = 1; }},
              {"windows",
               [](ModernBert& b) {
                 b.windows = {0, 5};
               }},
              {"rope_base", [](ModernBert& b) { b.rope_base = 1.5; }},
              {"window_rope_base", [](ModernBert& b) { b.window_rope_base = 1.5; }},
              {"norm_epsilon", [](ModernBert& b) { b.norm_epsilon = 1.0 / 3; }},
              {"activation", [](ModernBert& b) { b.activation = ActivationFunction::silu; }},
              {"pooling mean", [](ModernBert& b) { b.pooling = Pooling::mean; }},
              {"pooling token", [](ModernBert& b) { b.pooling = Pooling::token; }},
              {"no pooler", [](ModernBert& b) { b.pooler = false; }},
              {"pooler_activation", [](ModernBert& b) { b.pooler_activation = ActivationFunction::relu; }},
              {"init_deviation", [](ModernBert& b) { b.init_deviation = 1.0 / 3; }}});
  check_refused<ModernBert>(small, {{"heads 8", [](ModernBert& b) { b.heads = 8; }},
                                    {"windows for one layer", [](ModernBert& b) { b.windows = {5}; }},
                                    {"two windows",
                                     [](ModernBert& b) {
                                       b.windows = {4, 5};
                                     }},
                                    {"frozen_layers 3", [](ModernBert& b) { b.frozen_layers = 3; }}});
}

TEST_CASE("every value of every field of a DeBERTa reads back, or is refused") {
  const Deberta small{.vocabulary_size = 7,
                      .hidden_size = 8,
                      .intermediate_size = 6,
                      .layers = 2,
                      .heads = 2,
                      .max_positions = 16,
                      .buckets = 4,
                      .most_distance = 16,
                      .init_deviation = 0.02};
  check_kept<Deberta>(
      small, {{"vocabulary_size", [](Deberta& b) { b.vocabulary_size = 9; }},
              {"hidden_size", [](Deberta& b) { b.hidden_size = 12; }},
              {"intermediate_size", [](Deberta& b) { b.intermediate_size = 1; }},
              {"layers", [](Deberta& b) { b.layers = 1; }},
              {"heads", [](Deberta& b) { b.heads = 4; }},
              {"max_positions", [](Deberta& b) { b.max_positions = 1; }},
              {"buckets 0", [](Deberta& b) { b.buckets = 0; }},
              {"most_distance", [](Deberta& b) { b.most_distance = 9; }},
              {"no position_keys", [](Deberta& b) { b.position_keys = false; }},
              {"no position_queries", [](Deberta& b) { b.position_queries = false; }},
              {"projections of their own", [](Deberta& b) { b.shared_projections = false; }},
              {"no norm", [](Deberta& b) { b.normed_positions = false; }},
              {"absolute_positions", [](Deberta& b) { b.absolute_positions = true; }},
              {"types", [](Deberta& b) { b.types = 2, b.separator = 3; }},
              {"norm_epsilon", [](Deberta& b) { b.norm_epsilon = 1.0 / 3; }},
              {"activation", [](Deberta& b) { b.activation = ActivationFunction::relu; }},
              {"pooling mean", [](Deberta& b) { b.pooling = Pooling::mean; }},
              {"no pooler", [](Deberta& b) { b.pooler = false; }},
              {"pooler_activation", [](Deberta& b) { b.pooler_activation = ActivationFunction::tanh; }},
              {"init_deviation", [](Deberta& b) { b.init_deviation = 1.0 / 3; }}});
  check_refused<Deberta>(small,
                         {{"heads 3", [](Deberta& b) { b.heads = 3; }},
                          {"no positions", [](Deberta& b) { b.position_keys = b.position_queries = false; }},
                          {"two buckets", [](Deberta& b) { b.buckets = 2; }},
                          {"most_distance 3", [](Deberta& b) { b.most_distance = 3; }},
                          {"separator 7", [](Deberta& b) { b.separator = 7; }},
                          {"frozen_layers 3", [](Deberta& b) { b.frozen_layers = 3; }}});
}

TEST_CASE("a forest that branches, or two rows of one sequence, are refused by an encoder") {
  ModelOf<Bert> model({.backbone = small_bert});
  const std::vector<Token> first = {1, 2, 3}, second = {1, 4};
  const std::vector<std::span<const Token>> both = {first, second};
  ForestBuilder sharing;
  const Index group = sharing.add_tree(both);
  for (const Index s : {Index{0}, Index{1}}) sharing.want_row(sharing.index(group, s, 1));
  sharing.finish();
  CHECK_THROWS_WITH_AS(model.score(sharing.view()), doctest::Contains("expected each sequence by itself"),
                       UsageError);
  ForestBuilder apart(Sharing::no);
  apart.add_tree(both);
  for (const Index p : {Index{0}, Index{1}, Index{2}}) apart.want_row(apart.index(0, 0, p));
  apart.finish();
  CHECK_THROWS_WITH_AS(model.score(apart.view()), doctest::Contains("one row a sequence"), UsageError);
}

}  // namespace written_back_encoders_test
