// The GPT-2 family: LayerNorm, learned positions, biases, GELU. Radford et al. 2019; parameter names as
// transformers publishes them, weights (in, out) as its Conv1D stores them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/backbone/layers.hpp"
#include "merit/core/field.hpp"
#include "merit/core/sizes.hpp"
#include "merit/nn/activation.hpp"
#include "merit/nn/attention.hpp"
#include "merit/nn/linear.hpp"
#include "merit/nn/norm.hpp"
#include "merit/nn/select_rows.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A decoder of the GPT-2 family, by the numbers of its config.json.
struct Gpt2 {
  Index vocabulary_size = 50257;
  Index hidden_size = 768;
  Index intermediate_size = 0;  // 0: 4 · hidden_size
  Index layers = 12;
  Index heads = 12;
  Index max_positions = 1024;
  double norm_epsilon = 1e-5;
  ActivationFunction activation = ActivationFunction::gelu_tanh;
  double init_deviation = 0;  // of the weights at the start; 0: 1/sqrt(inputs), the embeddings 0.02
  Index frozen_layers = 0;    // the embeddings and the first n layers are not trained
  Index recompute = 0;        // the first n of the trained layers keep no activations; all_layers: each

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "gpt2"; }
  Index token_limit() const { return vocabulary_size; }
  Index position_limit() const { return max_positions; }
  Index inner_width() const { return intermediate_size != 0 ? intermediate_size : 4 * hidden_size; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"vocabulary_size", &Gpt2::vocabulary_size, at_least(1), "tokens"});
    visit(Field{"hidden_size", &Gpt2::hidden_size, at_least(1), "width of a hidden row"});
    visit(Field{"intermediate_size", &Gpt2::intermediate_size, any_value(),
                "width inside the MLP; 0: 4 times hidden_size"});
    visit(Field{"layers", &Gpt2::layers, between(1, most_layers), "layers"});
    visit(Field{"heads", &Gpt2::heads, at_least(1), "attention heads"});
    visit(Field{"max_positions", &Gpt2::max_positions, at_least(1), "tokens a sequence may have"});
    visit(Field{"norm_epsilon", &Gpt2::norm_epsilon, above(0, 1), "of LayerNorm"});
    visit(Field{"activation", &Gpt2::activation, {}, "inside the MLP"});
    visit(Field{"init_deviation", &Gpt2::init_deviation, at_least(0),
                "standard deviation of the weights at the start; 0: 1/sqrt(inputs) of each matrix"});
    visit(Field{"frozen_layers", &Gpt2::frozen_layers, any_value(),
                "the embeddings and the first N layers are not trained; 0: all are"});
    visit(Field{"recompute", &Gpt2::recompute, any_value(), detail::recompute_help});
  }

  void validate() const {
    check_fields(*this);
    size_product(4, hidden_size, "gpt2: four times hidden_size");
    detail::check_heads(*this);
    detail::check_layer_counts(*this);
  }

  friend bool operator==(const Gpt2&, const Gpt2&) = default;
};

template <class B>
class Gpt2::Bound {
 public:
  using Types = BackendTypes<B>;

  Bound(const Gpt2& settings, Parameters<B>& parameters) : settings_(settings), parameters_(&parameters) {
    const Index d = settings.hidden_size;
    const Index f = settings.inner_width();
    const Init embedding_start = Init::normal(settings.init_deviation > 0 ? settings.init_deviation : 0.02);
    // What is added to the residual stream starts smaller, by the root of how much is added (Radford et al.
    // 2019).
    const double calm = 1 / std::sqrt(2.0 * static_cast<double>(settings.layers));
    const bool train_embedding = settings.frozen_layers == 0;
    tokens_ = parameters.declare({"transformer.wte.weight",
                                  {settings.vocabulary_size, d},
                                  embedding_start,
                                  true,
                                  false,
                                  train_embedding});
    positions_ = parameters.declare({"transformer.wpe.weight",
                                     {settings.max_positions, d},
                                     embedding_start,
                                     true,
                                     false,
                                     train_embedding});
    for (Index i = 0; i < settings.layers; ++i) {
      const std::string at = concat("transformer.h.", i, ".");
      const bool train = i >= settings.frozen_layers;
      const auto weight = [&](const char* name, Index in, Index out, double scale) {
        Init init = initial_weight(settings.init_deviation, in);
        init.deviation *= scale;
        return parameters.declare({at + name, {in, out}, init, true, false, train, true, true});
      };
      const auto vector = [&](const char* name, Index size, Init init) {
        return parameters.declare({at + name, {size}, init, false, false, train});
      };
      Layer layer;
      layer.norm1 = vector("ln_1.weight", d, Init::ones());
      layer.norm1_bias = vector("ln_1.bias", d, Init::zeros());
      layer.qkv = weight("attn.c_attn.weight", d, 3 * d, 1);
      layer.qkv_bias = vector("attn.c_attn.bias", 3 * d, Init::zeros());
      layer.o = weight("attn.c_proj.weight", d, d, calm);
      layer.o_bias = vector("attn.c_proj.bias", d, Init::zeros());
      layer.norm2 = vector("ln_2.weight", d, Init::ones());
      layer.norm2_bias = vector("ln_2.bias", d, Init::zeros());
      layer.up = weight("mlp.c_fc.weight", d, f, 1);
      layer.up_bias = vector("mlp.c_fc.bias", f, Init::zeros());
      layer.down = weight("mlp.c_proj.weight", f, d, calm);
      layer.down_bias = vector("mlp.c_proj.bias", d, Init::zeros());
      layers_.push_back(layer);
    }
    norm_ = parameters.declare({"transformer.ln_f.weight", {d}, Init::ones(), false});
    norm_bias_ = parameters.declare({"transformer.ln_f.bias", {d}, Init::zeros(), false});
  }

  Index hidden_width() const { return settings_.hidden_size; }

  /// The matrix (V, d) that turns hidden rows into token logits: the embedding.
  ParameterSlice unembedding() const { return parameters_->slice(tokens_); }

  Var forward(Tape<B>& tape, const typename Types::Forest& forest) {
    Var x = embedding(tape, forest.tokens, parameters_->slice(tokens_), forest.positions,
                      parameters_->slice(positions_));  // (T, d)
    const auto inner = [this, &forest](Tape<B>& t, Var in, Index i) {
      return this->layer(t, in, layers_[i], forest, {});
    };
    x = detail::inner_layers(tape, x, settings_, inner);
    x = layer(tape, x, layers_.back(), forest, forest.rows);  // (R, d)
    return layer_norm(tape, x, parameters_->slice(norm_), parameters_->slice(norm_bias_),
                      settings_.norm_epsilon);
  }

 private:
  struct Layer {
    std::uint32_t norm1, norm1_bias, qkv, qkv_bias, o, o_bias, norm2, norm2_bias, up, up_bias, down,
        down_bias;
  };

  /// h = x + attention(norm(x)); out = h + mlp(norm(h)). (T, d) → (T, d), or (R, d) where `rows` are given:
  /// then all but keys and values is computed for them alone.
  Var layer(Tape<B>& tape, Var x, const Layer& l, const typename Types::Forest& forest,
            typename Types::Indices rows) {
    const Index d = settings_.hidden_size;
    const auto p = [this](std::uint32_t id) { return parameters_->slice(id); };
    const Var y = layer_norm(tape, x, p(l.norm1), p(l.norm1_bias), settings_.norm_epsilon);
    // Conv1D stores queries, keys and values as columns of one matrix.
    Columns q, k, v;
    Var residual = x;
    if (rows.empty()) {
      const Var qkv = linear(tape, y, p(l.qkv), p(l.qkv_bias), {}, Layout::in_out);  // (T, 3d)
      q = {qkv, 0, d};
      k = {qkv, d, d};
      v = {qkv, 2 * d, d};
    } else {
      residual = gather(tape, x, rows);
      q = {linear(tape, gather(tape, y, rows), p(l.qkv).columns(0, d), p(l.qkv_bias).columns(0, d), {},
                  Layout::in_out),
           0, d};  // (R, d)
      const Var kv =
          linear(tape, y, p(l.qkv).columns(d, 2 * d), p(l.qkv_bias).columns(d, 2 * d), {}, Layout::in_out);
      k = {kv, 0, d};  // of (T, 2d)
      v = {kv, d, d};
    }
    const Var mixed = attention(tape, forest, shape(), rows, q, k, v);
    const Var h = linear(tape, mixed, p(l.o), p(l.o_bias), residual, Layout::in_out);
    const Var z = layer_norm(tape, h, p(l.norm2), p(l.norm2_bias), settings_.norm_epsilon);
    const Var up = linear(tape, z, p(l.up), p(l.up_bias), {}, Layout::in_out);
    return linear(tape, activate(tape, up, settings_.activation), p(l.down), p(l.down_bias), h,
                  Layout::in_out);
  }

  AttentionShape shape() const {
    const Index width = settings_.hidden_size / settings_.heads;
    return {settings_.heads, settings_.heads, width, 1.0 / std::sqrt(static_cast<double>(width))};
  }

  Gpt2 settings_;
  Parameters<B>* parameters_;
  std::vector<Layer> layers_;
  std::uint32_t tokens_ = 0;
  std::uint32_t positions_ = 0;
  std::uint32_t norm_ = 0;
  std::uint32_t norm_bias_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
