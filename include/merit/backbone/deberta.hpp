// DeBERTa v2 and v3 (He et al. 2021; 2023): an encoder of BERT's kind without positions of its own, whose attention knows how
// far apart two tokens are. Parameter names as transformers publishes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/backbone/layers.hpp"
#include "merit/backbone/pooling.hpp"
#include "merit/backbone/relative_buckets.hpp"
#include "merit/core/field.hpp"
#include "merit/core/sizes.hpp"
#include "merit/nn/activation.hpp"
#include "merit/nn/arithmetic.hpp"
#include "merit/nn/attention.hpp"
#include "merit/nn/dropout_keys.hpp"
#include "merit/nn/linear.hpp"
#include "merit/nn/norm.hpp"
#include "merit/nn/relative_attention.hpp"
#include "merit/nn/select_rows.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// An encoder by the numbers of DeBERTa's config.json.
struct Deberta {
  Index vocabulary_size = 128100;
  Index hidden_size = 768;
  Index intermediate_size = 3072;
  Index layers = 12;
  Index heads = 12;
  Index max_positions = 512;
  Index buckets = 256;             // of distances, on each side; 0: one for each distance
  Index most_distance = 512;       // where the last one ends
  bool position_keys = true;       // queries meet the place of keys ("c2p")
  bool position_queries = true;    // keys meet the place of queries ("p2c")
  bool shared_projections = true;  // places are projected as tokens are (v3); false: by matrices of their own
  bool normed_positions = true;    // a norm on the table of places
  bool absolute_positions = false;  // a table of positions is added to the embeddings
  Index types = 0;                  // segments that are told apart; 0: none
  Index separator = 0;              // behind this token the second segment begins; 0: there is one segment
  double norm_epsilon = 1e-7;
  ActivationFunction activation = ActivationFunction::gelu;
  Pooling pooling = Pooling::first;  // what stands for a sequence
  bool pooler = true;                // a dense layer behind it, as for classification
  ActivationFunction pooler_activation = ActivationFunction::gelu;
  double init_deviation = 0;  // of the weights at the start; 0: 1/sqrt(inputs), the embeddings 0.02
  Index frozen_layers = 0;    // the embeddings, the places and the first n layers are not trained
  Index recompute = 0;        // the first n of the trained layers keep no activations; all_layers: each

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "deberta-v2"; }
  Index token_limit() const { return vocabulary_size; }
  Index position_limit() const { return absolute_positions ? max_positions : 0; }
  Sight sight() const { return Sight::tree; }
  std::optional<Token> pair_separator() const {
    return types > 1 && separator != 0 ? std::optional<Token>(static_cast<Token>(separator)) : std::nullopt;
  }
  std::string_view head_name() const { return "classifier"; }
  Index table_rows() const { return 2 * (buckets != 0 ? buckets : most_distance); }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"vocabulary_size", &Deberta::vocabulary_size, at_least(1), "tokens"});
    visit(Field{"hidden_size", &Deberta::hidden_size, at_least(1), "width of a hidden row"});
    visit(Field{"intermediate_size", &Deberta::intermediate_size, at_least(1), "width inside the MLP"});
    visit(Field{"layers", &Deberta::layers, between(1, most_layers), "layers"});
    visit(Field{"heads", &Deberta::heads, at_least(1), "attention heads"});
    visit(Field{"max_positions", &Deberta::max_positions, at_least(1), "tokens a sequence is meant to have"});
    visit(Field{"buckets", &Deberta::buckets, any_value(), "of distances, on each side; 0: one for each"});
    visit(Field{"most_distance", &Deberta::most_distance, at_least(2), "where the last bucket ends"});
    visit(Field{"position_keys", &Deberta::position_keys, {}, "queries meet the place of keys"});
    visit(Field{"position_queries", &Deberta::position_queries, {}, "keys meet the place of queries"});
    visit(
        Field{"shared_projections", &Deberta::shared_projections, {}, "places are projected as tokens are"});
    visit(Field{"normed_positions", &Deberta::normed_positions, {}, "a norm on the table of places"});
    visit(Field{
        "absolute_positions", &Deberta::absolute_positions, {}, "positions are added to the embeddings"});
    visit(Field{"types", &Deberta::types, any_value(), "segments that are told apart; 0: none"});
    visit(
        Field{"separator", &Deberta::separator, any_value(), "token behind which the second segment begins"});
    visit(Field{"norm_epsilon", &Deberta::norm_epsilon, above(0, 1), "of LayerNorm"});
    visit(Field{"activation", &Deberta::activation, {}, "inside the MLP"});
    visit(Field{"pooling", &Deberta::pooling, {}, "which hidden row stands for a sequence"});
    visit(Field{"pooler", &Deberta::pooler, {}, "a dense layer behind it"});
    visit(Field{"pooler_activation", &Deberta::pooler_activation, {}, "of that layer"});
    visit(Field{"init_deviation", &Deberta::init_deviation, at_least(0),
                "standard deviation of the weights at the start; 0: 1/sqrt(inputs) of each matrix"});
    visit(Field{"frozen_layers", &Deberta::frozen_layers, any_value(),
                "embeddings, places and the first N layers are not trained; 0: all are"});
    visit(Field{"recompute", &Deberta::recompute, any_value(), detail::recompute_help});
  }

  void validate() const {
    check_fields(*this);
    size_product(3, hidden_size, "deberta-v2: three times hidden_size");
    detail::check_heads(*this);
    if (!position_keys && !position_queries) {
      throw ConfigError(
          "deberta-v2: position_keys and position_queries are both false, expected one of them");
    }
    if (buckets != 0 && (buckets < 4 || most_distance <= buckets / 2 + 1)) {
      throw ConfigError(concat("deberta-v2: buckets is ", buckets, " and most_distance ", most_distance,
                               ", expected 4 buckets or more and a distance beyond half of them"));
    }
    detail::check_separator(*this);
    detail::check_layer_counts(*this);
  }

  friend bool operator==(const Deberta&, const Deberta&) = default;
};

template <class B>
class Deberta::Bound {
 public:
  using Types = BackendTypes<B>;

  Bound(const Deberta& settings, Parameters<B>& parameters)
      : settings_(settings),
        parameters_(&parameters),
        buckets_(parameters.handle(), settings.buckets, settings.most_distance) {
    const Index d = settings.hidden_size;
    const bool train = settings.frozen_layers == 0;
    const Init start = Init::normal(settings.init_deviation > 0 ? settings.init_deviation : 0.02);
    const auto declare_table = [&](const char* name, Index rows) {
      return parameters.declare({std::string("deberta.") + name, {rows, d}, start, true, false, train});
    };
    tokens_ = declare_table("embeddings.word_embeddings.weight", settings.vocabulary_size);
    if (settings.absolute_positions) {
      positions_ = declare_table("embeddings.position_embeddings.weight", settings.max_positions);
    }
    if (settings.types != 0)
      types_ = declare_table("embeddings.token_type_embeddings.weight", settings.types);
    embedding_norm_ = declare_norm("deberta.embeddings.LayerNorm", train);
    places_ = declare_table("encoder.rel_embeddings.weight", settings.table_rows());
    if (settings.normed_positions) place_norm_ = declare_norm("deberta.encoder.LayerNorm", train);
    for (Index i = 0; i < settings.layers; ++i) layers_.push_back(declare_layer(i));
    if (settings.pooler) pooler_ = declare_dense("pooler.dense", d, d, true);
  }

  Index hidden_width() const { return settings_.hidden_size; }

  Var forward(Tape<B>& tape, const typename Types::Forest& forest) {
    const auto of_distance = buckets_.view(forest.depth);
    Var x = settings_.absolute_positions
                ? embedding(tape, forest.tokens, parameters_->slice(tokens_), forest.positions,
                            parameters_->slice(positions_))
                : embedding(tape, forest.tokens, parameters_->slice(tokens_));  // (T, d)
    if (settings_.types != 0) x = add(tape, x, embedding(tape, forest.types, parameters_->slice(types_)));
    x = norm(tape, x, embedding_norm_);
    const auto inner = [this, of_distance, &forest](Tape<B>& t, Var in, Index i) {
      return this->layer(t, in, layers_[i], of_distance, forest, {});
    };
    x = detail::inner_layers(tape, x, settings_, inner);
    const auto rows = detail::pooled_tokens(settings_.pooling, forest);
    x = layer(tape, x, layers_.back(), of_distance, forest, rows);
    if (settings_.pooling == Pooling::mean) x = path_mean(tape, forest, x);  // (R, d)
    if (!settings_.pooler) return x;
    return activate(tape, dense(tape, x, pooler_), settings_.pooler_activation);
  }

 private:
  /// Numbers of weights; each has its bias behind it.
  struct Layer {
    std::uint32_t q, k, v, place_key, place_query, o, norm1, up, down, norm2;
  };

  std::uint32_t declare_norm(const std::string& name, bool train) {
    return detail::declare_layer_norm(*parameters_, name, settings_.hidden_size, train);
  }
  std::uint32_t declare_dense(const std::string& name, Index rows, Index cols, bool train) {
    return detail::declare_dense(*parameters_, name, rows, cols, settings_.init_deviation, train);
  }

  Layer declare_layer(Index i) {
    const Index d = settings_.hidden_size, f = settings_.intermediate_size;
    const bool train = i >= settings_.frozen_layers;
    const std::string at = concat("deberta.encoder.layer.", i, ".");
    Layer layer{};
    layer.q = declare_dense(at + "attention.self.query_proj", d, d, train);
    layer.k = declare_dense(at + "attention.self.key_proj", d, d, train);
    layer.v = declare_dense(at + "attention.self.value_proj", d, d, train);
    if (!settings_.shared_projections) {
      if (settings_.position_keys)
        layer.place_key = declare_dense(at + "attention.self.pos_key_proj", d, d, train);
      if (settings_.position_queries)
        layer.place_query = declare_dense(at + "attention.self.pos_query_proj", d, d, train);
    }
    layer.o = declare_dense(at + "attention.output.dense", d, d, train);
    layer.norm1 = declare_norm(at + "attention.output.LayerNorm", train);
    layer.up = declare_dense(at + "intermediate.dense", f, d, train);
    layer.down = declare_dense(at + "output.dense", d, f, train);
    layer.norm2 = declare_norm(at + "output.LayerNorm", train);
    return layer;
  }

  /// h = norm(x + attention(x)); out = norm(h + mlp(h)). (T, d) → (T, d), or (R, d) where `rows` are given: then all but
  /// keys and values is computed for them alone.
  Var layer(Tape<B>& tape, Var x, const Layer& layer, typename Types::Indices of_distance,
            const typename Types::Forest& forest, typename Types::Indices rows) {
    const Index d = settings_.hidden_size, width = d / settings_.heads;
    // Each kind of score adds its part, of which the sum is kept as large.
    const Index kinds = 1 + (settings_.position_keys ? 1 : 0) + (settings_.position_queries ? 1 : 0);
    const AttentionShape shape{.heads = settings_.heads,
                               .kv_heads = settings_.heads,
                               .head_dim = width,
                               .scale = 1.0 / std::sqrt(static_cast<double>(width * kinds)),
                               .sight = Sight::tree};
    // Read anew in each layer, so that a layer can be computed twice by itself.
    Var places = embedding(tape, buckets_.rows(), parameters_->slice(places_));  // (P, d)
    if (settings_.normed_positions) places = norm(tape, places, place_norm_);
    set_keys_of_table(tape, places);
    Var place_keys, place_queries;  // (P, d)
    if (settings_.position_keys)
      place_keys = dense(tape, places, settings_.shared_projections ? layer.k : layer.place_key);
    if (settings_.position_queries)
      place_queries = dense(tape, places, settings_.shared_projections ? layer.q : layer.place_query);
    const Var of_rows = rows.empty() ? x : gather(tape, x, rows);
    const Columns q{dense(tape, of_rows, layer.q), 0, d}, k{dense(tape, x, layer.k), 0, d},
        v{dense(tape, x, layer.v), 0, d};
    const Var mixed =
        relative_attention(tape, forest, shape, rows, q, k, v, place_keys, place_queries, of_distance);
    const Var h = norm(tape, dense(tape, mixed, layer.o, of_rows), layer.norm1);
    const Var inner = activate(tape, dense(tape, h, layer.up), settings_.activation);
    return norm(tape, dense(tape, inner, layer.down, h), layer.norm2);
  }

  Var dense(Tape<B>& tape, Var x, std::uint32_t weight, Var residual = {}) {
    return linear(tape, x, parameters_->slice(weight), parameters_->slice(weight + 1), residual);
  }
  Var norm(Tape<B>& tape, Var x, std::uint32_t weight) {
    return layer_norm(tape, x, parameters_->slice(weight), parameters_->slice(weight + 1),
                      settings_.norm_epsilon);
  }

  Deberta settings_;
  Parameters<B>* parameters_;
  RelativeBuckets<B> buckets_;
  std::vector<Layer> layers_;
  std::uint32_t tokens_ = 0, positions_ = 0, types_ = 0, places_ = 0;
  std::uint32_t embedding_norm_ = 0, place_norm_ = 0, pooler_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
