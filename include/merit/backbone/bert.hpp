// Encoders of BERT's kind: every token sees the whole sequence, learned positions, LayerNorm behind each block. BERT
// (Devlin et al. 2019), RoBERTa and XLM-R (Liu et al. 2019), ELECTRA (Clark et al. 2020), DistilBERT (Sanh et al. 2019)
// and ALBERT (Lan et al. 2020). Parameter names as transformers publishes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/backbone/bert_names.hpp"
#include "merit/backbone/layers.hpp"
#include "merit/backbone/pooling.hpp"
#include "merit/core/field.hpp"
#include "merit/core/sizes.hpp"
#include "merit/nn/activation.hpp"
#include "merit/nn/arithmetic.hpp"
#include "merit/nn/attention.hpp"
#include "merit/nn/linear.hpp"
#include "merit/nn/norm.hpp"
#include "merit/nn/select_rows.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// An encoder of BERT's kind, by the numbers of its config.json.
struct Bert {
  BertFamily family = BertFamily::bert;  // by which its parameters are named
  Index vocabulary_size = 30522;
  Index embedding_size = 0;  // 0: hidden_size; ELECTRA and ALBERT project a narrower one
  Index hidden_size = 768;
  Index intermediate_size = 3072;
  Index layers = 12;
  Index heads = 12;
  Index max_positions = 512;  // rows of the table of positions
  Index first_position = 0;   // RoBERTa: the pad's number plus one, the row of the first token
  Index types = 2;            // segments that are told apart; 0: none (DistilBERT)
  Index separator = 0;        // behind this token the second segment begins; 0: there is one segment
  double norm_epsilon = 1e-12;
  ActivationFunction activation = ActivationFunction::gelu;
  bool shared_layers = false;        // ALBERT: all layers have the parameters of one
  Pooling pooling = Pooling::first;  // what stands for a sequence
  bool pooler = true;                // a dense layer behind it, as for classification
  ActivationFunction pooler_activation = ActivationFunction::tanh;
  double init_deviation = 0;  // of the weights at the start; 0: 1/sqrt(inputs), the embeddings 0.02
  Index frozen_layers = 0;    // the embeddings and the first n layers are not trained
  Index recompute = 0;        // the first n of the trained layers keep no activations; all_layers: each

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "bert"; }
  Index token_limit() const { return vocabulary_size; }
  Index position_limit() const { return max_positions - first_position; }
  Sight sight() const { return Sight::tree; }
  /// RoBERTa's pad.
  std::optional<Token> uncounted_token() const {
    return first_position != 0 ? std::optional<Token>(static_cast<Token>(first_position - 1)) : std::nullopt;
  }
  std::optional<Token> pair_separator() const {
    return types > 1 && separator != 0 ? std::optional<Token>(static_cast<Token>(separator)) : std::nullopt;
  }
  std::string_view head_name() const { return bert_names(family).classifier; }
  Index embedding_width() const { return embedding_size != 0 ? embedding_size : hidden_size; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"family", &Bert::family, {}, "by which its parameters are named"});
    visit(Field{"vocabulary_size", &Bert::vocabulary_size, at_least(1), "tokens"});
    visit(
        Field{"embedding_size", &Bert::embedding_size, any_value(), "width of an embedding; 0: hidden_size"});
    visit(Field{"hidden_size", &Bert::hidden_size, at_least(1), "width of a hidden row"});
    visit(Field{"intermediate_size", &Bert::intermediate_size, at_least(1), "width inside the MLP"});
    visit(Field{"layers", &Bert::layers, between(1, most_layers), "layers"});
    visit(Field{"heads", &Bert::heads, at_least(1), "attention heads"});
    visit(Field{"max_positions", &Bert::max_positions, at_least(1), "rows of the table of positions"});
    visit(Field{"first_position", &Bert::first_position, any_value(), "the row of the first token"});
    visit(Field{"types", &Bert::types, any_value(), "segments that are told apart; 0: none"});
    visit(Field{"separator", &Bert::separator, any_value(),
                "token behind which the second segment begins; 0: none"});
    visit(Field{"norm_epsilon", &Bert::norm_epsilon, above(0, 1), "of LayerNorm"});
    visit(Field{"activation", &Bert::activation, {}, "inside the MLP"});
    visit(
        Field{"shared_layers", &Bert::shared_layers, {}, "all layers have the parameters of one, as ALBERT"});
    visit(Field{"pooling", &Bert::pooling, {}, "which hidden row stands for a sequence"});
    visit(Field{"pooler", &Bert::pooler, {}, "a dense layer behind it"});
    visit(Field{"pooler_activation", &Bert::pooler_activation, {}, "of that layer"});
    visit(Field{"init_deviation", &Bert::init_deviation, at_least(0),
                "standard deviation of the weights at the start; 0: 1/sqrt(inputs) of each matrix"});
    visit(Field{"frozen_layers", &Bert::frozen_layers, any_value(),
                "the embeddings and the first N layers are not trained; 0: all are"});
    visit(Field{"recompute", &Bert::recompute, any_value(), detail::recompute_help});
  }

  void validate() const {
    check_fields(*this);
    size_product(3, hidden_size, "bert: three times hidden_size");
    detail::check_heads(*this);
    if (first_position >= max_positions) {
      throw ConfigError(concat("bert: first_position is ", first_position, ", expected below max_positions, ",
                               max_positions));
    }
    detail::check_separator(*this);
    detail::check_layer_counts(*this);
    if (shared_layers && frozen_layers != 0 && frozen_layers != layers) {
      throw ConfigError(concat("bert: frozen_layers is ", frozen_layers,
                               ", expected 0 or all layers: they share their parameters"));
    }
    if (embedding_width() != hidden_size && bert_names(family).projection.empty()) {
      throw ConfigError(concat("bert: embedding_size is ", embedding_size, ", expected hidden_size, ",
                               hidden_size, ": the family ", name_of(family), " projects none"));
    }
  }

  friend bool operator==(const Bert&, const Bert&) = default;
};

template <class B>
class Bert::Bound {
 public:
  using Types = BackendTypes<B>;

  Bound(const Bert& settings, Parameters<B>& parameters) : settings_(settings), parameters_(&parameters) {
    const BertNames& names = bert_names(settings.family);
    const Index e = settings.embedding_width(), d = settings.hidden_size;
    const bool train = settings.frozen_layers == 0;
    const Init start = Init::normal(settings.init_deviation > 0 ? settings.init_deviation : 0.02);
    const std::string at = concat(names.prefix, "embeddings.");
    const auto declare_table = [&](const char* name, Index rows) {
      return parameters.declare({at + name, {rows, e}, start, true, false, train});
    };
    tokens_ = declare_table("word_embeddings.weight", settings.vocabulary_size);
    positions_ = declare_table("position_embeddings.weight", settings.max_positions);
    if (settings.types != 0) types_ = declare_table("token_type_embeddings.weight", settings.types);
    embedding_norm_ = declare_norm(at + "LayerNorm", e, train);
    if (e != d)
      projection_ = declare_dense(std::string(names.prefix) + std::string(names.projection), d, e, train);
    for (Index i = 0; i < (settings.shared_layers ? 1 : settings.layers); ++i) {
      layers_.push_back(declare_layer(names, i));
    }
    if (settings.pooler) pooler_ = declare_dense(std::string(names.pooler), d, d, true);
  }

  Index hidden_width() const { return settings_.hidden_size; }

  Var forward(Tape<B>& tape, const typename Types::Forest& forest) {
    ParameterSlice positions = parameters_->slice(positions_);
    const bool placed = !forest.places.empty();
    if (!placed) {
      positions.begin += settings_.first_position * positions.stride;
      positions.rows -= settings_.first_position;
    }
    Var x = embedding(tape, forest.tokens, parameters_->slice(tokens_),
                      placed ? forest.places : forest.positions, positions);  // (T, e)
    if (settings_.types != 0) x = add(tape, x, embedding(tape, forest.types, parameters_->slice(types_)));
    x = norm(tape, x, embedding_norm_);
    if (settings_.embedding_width() != settings_.hidden_size) x = dense(tape, x, projection_);  // (T, d)
    const auto inner = [this, &forest](Tape<B>& t, Var in, Index i) {
      return this->layer(t, in, of_layer(i), forest, {});
    };
    x = detail::inner_layers(tape, x, settings_, inner);
    x = layer(tape, x, of_layer(settings_.layers - 1), forest,
              detail::pooled_tokens(settings_.pooling, forest));
    if (settings_.pooling == Pooling::mean) x = path_mean(tape, forest, x);  // (R, d)
    if (!settings_.pooler) return x;
    return activate(tape, dense(tape, x, pooler_), settings_.pooler_activation);
  }

 private:
  /// Numbers of weights; each has its bias behind it, but for queries, keys and values, whose biases are apart.
  struct Layer {
    std::uint32_t q, q_bias, o, norm1, up, down, norm2;
  };

  std::uint32_t declare_norm(const std::string& name, Index size, bool train) {
    return detail::declare_layer_norm(*parameters_, name, size, train);
  }
  std::uint32_t declare_dense(const std::string& name, Index rows, Index cols, bool train) {
    return detail::declare_dense(*parameters_, name, rows, cols, settings_.init_deviation, train);
  }

  Layer declare_layer(const BertNames& names, Index i) {
    const Index d = settings_.hidden_size, f = settings_.intermediate_size;
    const bool train = settings_.shared_layers ? settings_.frozen_layers == 0 : i >= settings_.frozen_layers;
    const std::string at = settings_.shared_layers ? concat(names.prefix, names.layers)
                                                   : concat(names.prefix, names.layers, i, ".");
    Layer layer{};
    // Beside each other, so that one product gives all three.
    bool first = true;
    for (const std::string_view part : names.qkv) {
      const std::uint32_t number = parameters_->declare({concat(at, part, ".weight"),
                                                         {d, d},
                                                         initial_weight(settings_.init_deviation, d),
                                                         true,
                                                         !first,
                                                         train,
                                                         true});
      if (first) layer.q = number;
      first = false;
    }
    first = true;
    for (const std::string_view part : names.qkv) {
      const std::uint32_t number =
          parameters_->declare({concat(at, part, ".bias"), {d}, Init::zeros(), false, !first, train});
      if (first) layer.q_bias = number;
      first = false;
    }
    layer.o = declare_dense(concat(at, names.output), d, d, train);
    layer.norm1 = declare_norm(concat(at, names.attention_norm), d, train);
    layer.up = declare_dense(concat(at, names.up), f, d, train);
    layer.down = declare_dense(concat(at, names.down), d, f, train);
    layer.norm2 = declare_norm(concat(at, names.output_norm), d, train);
    return layer;
  }

  const Layer& of_layer(Index i) const { return layers_[settings_.shared_layers ? 0 : i]; }

  /// h = norm(x + attention(x)); out = norm(h + mlp(h)). (T, d) → (T, d), or (R, d) where `rows` are given: then all but
  /// keys and values is computed for them alone.
  Var layer(Tape<B>& tape, Var x, const Layer& layer, const typename Types::Forest& forest,
            typename Types::Indices rows) {
    const Index d = settings_.hidden_size, width = d / settings_.heads;
    const AttentionShape shape{.heads = settings_.heads,
                               .kv_heads = settings_.heads,
                               .head_dim = width,
                               .scale = 1.0 / std::sqrt(static_cast<double>(width)),
                               .sight = Sight::tree};
    Columns q, k, v;
    Var residual = x;
    if (rows.empty()) {
      const Var qkv =
          linear(tape, x, parameters_->slice(layer.q, 3), parameters_->slice(layer.q_bias, 3));  // (T, 3d)
      q = {qkv, 0, d};
      k = {qkv, d, d};
      v = {qkv, 2 * d, d};
    } else {
      const Var of_rows = gather(tape, x, rows);
      q = {linear(tape, of_rows, parameters_->slice(layer.q), parameters_->slice(layer.q_bias)), 0,
           d};  // (R, d)
      const Var kv = linear(tape, x, parameters_->slice(layer.q + 1, 2),
                            parameters_->slice(layer.q_bias + 1, 2));  // (T, 2d)
      k = {kv, 0, d};
      v = {kv, d, d};
      residual = of_rows;
    }
    const Var mixed = attention(tape, forest, shape, rows, q, k, v);
    const Var h = norm(tape, dense(tape, mixed, layer.o, residual), layer.norm1);
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

  Bert settings_;
  Parameters<B>* parameters_;
  std::vector<Layer> layers_;
  std::uint32_t tokens_ = 0, positions_ = 0, types_ = 0;
  std::uint32_t embedding_norm_ = 0, projection_ = 0, pooler_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
