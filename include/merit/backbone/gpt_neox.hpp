// The GPT-NeoX family, and Pythia: LayerNorm, partly rotated heads, biases, GELU, and layers whose attention and MLP read
// the same input. Black et al. 2022; Biderman et al. 2023. Parameter names as transformers publishes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/backbone/layers.hpp"
#include "merit/backbone/rotary_table.hpp"
#include "merit/core/field.hpp"
#include "merit/core/sizes.hpp"
#include "merit/nn/activation.hpp"
#include "merit/nn/attention.hpp"
#include "merit/nn/linear.hpp"
#include "merit/nn/norm.hpp"
#include "merit/nn/select_rows.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A decoder of the GPT-NeoX family, by the numbers of its config.json.
struct GptNeox {
  Index vocabulary_size = 50432;
  Index hidden_size = 768;
  Index intermediate_size = 3072;
  Index layers = 12;
  Index heads = 12;
  Index max_positions = 2048;
  Index rotary_width = 16;  // columns of a head that are rotated
  double rope_base = 10000;
  double norm_epsilon = 1e-5;
  ActivationFunction activation = ActivationFunction::gelu;
  bool parallel_residual = true;  // attention and MLP read the same input
  bool attention_bias = true;
  bool tied_embedding = false;  // the unembedding, where one is wanted, is the embedding
  bool unembedding = false;     // hold `embed_out.weight` (untied) for heads that read token logits
  double init_deviation = 0;    // of the weights at the start; 0: 1/sqrt(inputs), the embedding 0.02
  Index frozen_layers = 0;      // the embedding and the first n layers are not trained
  Index recompute = 0;          // the first n of the trained layers keep no activations; all_layers: each

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "gpt_neox"; }
  Index token_limit() const { return vocabulary_size; }
  Index position_limit() const { return 0; }
  Index head_width() const { return hidden_size / heads; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"vocabulary_size", &GptNeox::vocabulary_size, at_least(1), "tokens"});
    visit(Field{"hidden_size", &GptNeox::hidden_size, at_least(1), "width of a hidden row"});
    visit(Field{"intermediate_size", &GptNeox::intermediate_size, at_least(1), "width inside the MLP"});
    visit(Field{"layers", &GptNeox::layers, between(1, most_layers), "layers"});
    visit(Field{"heads", &GptNeox::heads, at_least(1), "attention heads"});
    visit(Field{"max_positions", &GptNeox::max_positions, at_least(1), "tokens a sequence is meant to have"});
    visit(Field{"rotary_width", &GptNeox::rotary_width, at_least(2), "columns of a head that are rotated"});
    visit(Field{"rope_base", &GptNeox::rope_base, above(1), "of rotary positions"});
    visit(Field{"norm_epsilon", &GptNeox::norm_epsilon, above(0, 1), "of LayerNorm"});
    visit(Field{"activation", &GptNeox::activation, {}, "inside the MLP"});
    visit(
        Field{"parallel_residual", &GptNeox::parallel_residual, {}, "attention and MLP read the same input"});
    visit(Field{"attention_bias", &GptNeox::attention_bias, {}, "biases in attention"});
    visit(Field{"tied_embedding", &GptNeox::tied_embedding, {}, "the unembedding is the embedding"});
    visit(Field{"unembedding", &GptNeox::unembedding, {}, "holds the unembedding where it is not tied"});
    visit(Field{"init_deviation", &GptNeox::init_deviation, at_least(0),
                "standard deviation of the weights at the start; 0: 1/sqrt(inputs) of each matrix"});
    visit(Field{"frozen_layers", &GptNeox::frozen_layers, any_value(),
                "the embedding and the first N layers are not trained; 0: all are"});
    visit(Field{"recompute", &GptNeox::recompute, any_value(), detail::recompute_help});
  }

  void validate() const {
    check_fields(*this);
    size_product(3, hidden_size, "gpt_neox: three times hidden_size");
    detail::check_heads(*this);
    if (rotary_width % 2 != 0 || rotary_width > head_width()) {
      throw ConfigError(concat("gpt_neox: rotary_width is ", rotary_width,
                               ", expected an even number of at most the width of a head, ", head_width()));
    }
    detail::check_layer_counts(*this);
  }

  friend bool operator==(const GptNeox&, const GptNeox&) = default;
};

template <class B>
class GptNeox::Bound {
 public:
  using Types = BackendTypes<B>;

  Bound(const GptNeox& settings, Parameters<B>& parameters)
      : settings_(settings),
        parameters_(&parameters),
        table_(parameters.handle(), rotary_frequencies(settings.rotary_width, settings.rope_base, {}, 0)) {
    const Index d = settings.hidden_size;
    const Init embedding_start = Init::normal(settings.init_deviation > 0 ? settings.init_deviation : 0.02);
    embedding_ = parameters.declare({"gpt_neox.embed_in.weight",
                                     {settings.vocabulary_size, d},
                                     embedding_start,
                                     true,
                                     false,
                                     settings.frozen_layers == 0});
    for (Index i = 0; i < settings.layers; ++i) layers_.push_back(declare_layer(i));
    norm_ = parameters.declare({"gpt_neox.final_layer_norm.weight", {d}, Init::ones(), false});
    parameters.declare({"gpt_neox.final_layer_norm.bias", {d}, Init::zeros(), false});
    if (settings.unembedding && !settings.tied_embedding) {
      unembedding_ = parameters.declare({"embed_out.weight", {settings.vocabulary_size, d}, embedding_start});
    }
  }

  Index hidden_width() const { return settings_.hidden_size; }

  /// The matrix (V, d) that turns hidden rows into token logits.
  ParameterSlice unembedding() const {
    if (!settings_.tied_embedding && !settings_.unembedding) {
      throw UsageError(
          "gpt_neox: the model holds no unembedding, expected tied_embedding or unembedding to be set");
    }
    return parameters_->slice(settings_.tied_embedding ? embedding_ : unembedding_);
  }

  Var forward(Tape<B>& tape, const typename Types::Forest& forest) {
    const auto angles = table_.view(forest.depth);
    Var x = embedding(tape, forest.tokens, parameters_->slice(embedding_));  // (T, d)
    const auto inner = [this, angles, &forest](Tape<B>& t, Var in, Index i) {
      return this->layer(t, in, layers_[i], angles, forest, {});
    };
    x = detail::inner_layers(tape, x, settings_, inner);
    x = layer(tape, x, layers_.back(), angles, forest, forest.rows);  // (R, d)
    return norm(tape, x, norm_);
  }

 private:
  struct Layer {  // numbers of the first tensor of each group; a norm's bias stands behind its weight
    std::uint32_t norm1, norm2, q, q_bias, o, o_bias, up, up_bias, down, down_bias;
  };

  Layer declare_layer(Index i) {
    const Index d = settings_.hidden_size, f = settings_.intermediate_size, head = settings_.head_width();
    const std::string at = concat("gpt_neox.layers.", i, ".");
    const bool train = i >= settings_.frozen_layers;
    // What is added to the residual stream starts smaller, by the root of how much is added (Radford et al.
    // 2019).
    const double calm = 1 / std::sqrt(2.0 * static_cast<double>(settings_.layers));
    const auto declare_weight = [&](const char* name, Index rows, Index cols, double scale,
                                    bool adjacent = false, const StoredRows& stored = {}) {
      Init init = initial_weight(settings_.init_deviation, cols);
      init.deviation *= scale;
      return parameters_->declare(
          {at + name, {rows, cols}, init, true, adjacent, train, true, false, stored});
    };
    const auto declare_vector = [&](const char* name, Index size, Init init, bool adjacent = false,
                                    const StoredRows& stored = {}) {
      return parameters_->declare({at + name, {size}, init, false, adjacent, train, false, false, stored});
    };
    const auto declare_norm = [&](const char* weight, const char* bias) {
      const std::uint32_t number = declare_vector(weight, d, Init::ones());
      declare_vector(bias, d, Init::zeros());
      return number;
    };
    // A file has the queries, keys and values of each head together.
    const auto stored = [&](const char* ending, Index part) -> StoredRows {
      return {concat(at, "attention.query_key_value.", ending), 3 * d, part * head, head, 3 * head};
    };
    Layer layer{};
    layer.norm1 = declare_norm("input_layernorm.weight", "input_layernorm.bias");
    layer.norm2 = declare_norm("post_attention_layernorm.weight", "post_attention_layernorm.bias");
    layer.q = declare_weight("attention.query.weight", d, d, 1, false, stored("weight", 0));
    declare_weight("attention.key.weight", d, d, 1, true, stored("weight", 1));
    declare_weight("attention.value.weight", d, d, 1, true, stored("weight", 2));
    layer.o = declare_weight("attention.dense.weight", d, d, calm);
    if (settings_.attention_bias) {
      layer.q_bias = declare_vector("attention.query.bias", d, Init::zeros(), false, stored("bias", 0));
      declare_vector("attention.key.bias", d, Init::zeros(), true, stored("bias", 1));
      declare_vector("attention.value.bias", d, Init::zeros(), true, stored("bias", 2));
      layer.o_bias = declare_vector("attention.dense.bias", d, Init::zeros());
    }
    layer.up = declare_weight("mlp.dense_h_to_4h.weight", f, d, 1);
    layer.up_bias = declare_vector("mlp.dense_h_to_4h.bias", f, Init::zeros());
    layer.down = declare_weight("mlp.dense_4h_to_h.weight", d, f, calm);
    layer.down_bias = declare_vector("mlp.dense_4h_to_h.bias", d, Init::zeros());
    return layer;
  }

  /// out = x + attention(norm(x)) + mlp(norm(x)), or as in other decoders mlp(norm(h)) of h = x + attention(norm(x)).
  /// (T, d) → (T, d), or (R, d) where `rows` are given: then all but keys and values is computed for them alone.
  Var layer(Tape<B>& tape, Var x, const Layer& layer, typename Types::ConstStatMatrix angles,
            const typename Types::Forest& forest, typename Types::Indices rows) {
    const Index d = settings_.hidden_size, head = settings_.head_width();
    const auto bias = [&](std::uint32_t first, std::uint32_t count) {
      return settings_.attention_bias ? parameters_->slice(first, count) : ParameterSlice{};
    };
    const bool some = !rows.empty();
    const Var y = norm(tape, x, layer.norm1);
    const Var residual = some ? gather(tape, x, rows) : x;
    // Of a layer whose two parts read the same: before the residual becomes the sum's.
    const Var second = settings_.parallel_residual ? norm(tape, residual, layer.norm2) : Var{};
    Columns q, k, v;
    if (some) {
      q = {linear(tape, gather(tape, y, rows), parameters_->slice(layer.q), bias(layer.q_bias, 1)), 0,
           d};  // (R, d)
      const Var kv =
          linear(tape, y, parameters_->slice(layer.q + 1, 2), bias(layer.q_bias + 1, 2));  // (T, 2d)
      k = {kv, 0, d};
      v = {kv, d, d};
      rotary(tape, q, head, forest.row_positions, angles);
      rotary(tape, k, head, forest.positions, angles);
    } else {
      const Var qkv = linear(tape, y, parameters_->slice(layer.q, 3), bias(layer.q_bias, 3));  // (T, 3d)
      q = {qkv, 0, d};
      k = {qkv, d, d};
      v = {qkv, 2 * d, d};
      rotary(tape, {qkv, 0, 2 * d}, head, forest.positions, angles);
    }
    const AttentionShape shape{settings_.heads, settings_.heads, head,
                               1.0 / std::sqrt(static_cast<double>(head))};
    const Var mixed = attention(tape, forest, shape, rows, q, k, v);
    const Var h = linear(tape, mixed, parameters_->slice(layer.o), bias(layer.o_bias, 1), residual);
    const Var z = settings_.parallel_residual ? second : norm(tape, h, layer.norm2);
    const Var up = linear(tape, z, parameters_->slice(layer.up), parameters_->slice(layer.up_bias));
    return linear(tape, activate(tape, up, settings_.activation), parameters_->slice(layer.down),
                  parameters_->slice(layer.down_bias), h);
  }

  Var norm(Tape<B>& tape, Var x, std::uint32_t weight) {
    return layer_norm(tape, x, parameters_->slice(weight), parameters_->slice(weight + 1),
                      settings_.norm_epsilon);
  }

  GptNeox settings_;
  Parameters<B>* parameters_;
  RotaryTable<B> table_;
  std::vector<Layer> layers_;
  std::uint32_t embedding_ = 0;
  std::uint32_t norm_ = 0;
  std::uint32_t unembedding_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
