// The Llama family: Llama 1–3, Mistral, Qwen2 and Qwen3, SmolLM, TinyLlama and their like. RMSNorm before
// each block, rotary positions, grouped-query attention, SwiGLU. Touvron et al. 2023; parameter names as
// transformers publishes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "merit/backbone/backbone.hpp"
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

/// A decoder of the Llama family, by the numbers of its config.json.
struct Llama {
  Index vocabulary_size = 32000;
  Index hidden_size = 512;
  Index intermediate_size = 1376;
  Index layers = 8;
  Index heads = 8;
  Index kv_heads = 8;
  Index head_dim = 0;  // 0: hidden_size / heads, as a checkpoint reads back where it is that
  double norm_epsilon = 1e-5;
  double rope_base = 10000;
  RotaryScaling rope_scaling = {};
  Index max_positions = 2048;
  bool qkv_bias = false;       // Qwen2
  bool head_norm = false;      // Qwen3: RMSNorm of each head's queries and keys
  bool tied_embedding = true;  // the unembedding, where one is wanted, is the embedding
  bool unembedding = false;    // hold `lm_head.weight` (untied) for heads that read token logits
  double init_deviation = 0;   // of the weights at the start; 0: 1/sqrt(inputs), the embedding 0.02
  Index frozen_layers = 0;     // the embedding and the first n layers are not trained
  bool recompute = false;      // activation checkpointing, layer by layer

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "llama"; }
  Index token_limit() const { return vocabulary_size; }
  /// Llama reads any position; only the length-dependent scalings have a hard end.
  Index position_limit() const {
    switch (rope_scaling.kind) {
      case RotaryScaling::Kind::dynamic: return max_positions;
      case RotaryScaling::Kind::longrope: return static_cast<Index>(rope_scaling.original_positions);
      default: return 0;
    }
  }
  Index head_width() const { return head_dim != 0 ? head_dim : hidden_size / heads; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"vocabulary_size", &Llama::vocabulary_size, at_least(1), "tokens"});
    visit(Field{"hidden_size", &Llama::hidden_size, at_least(1), "width of a hidden row"});
    visit(Field{"intermediate_size", &Llama::intermediate_size, at_least(1), "width inside the MLP"});
    visit(Field{"layers", &Llama::layers, between(1, most_layers), "layers"});
    visit(Field{"heads", &Llama::heads, at_least(1), "attention heads"});
    visit(Field{"kv_heads", &Llama::kv_heads, at_least(1), "heads of keys and values"});
    visit(Field{"head_dim", &Llama::head_dim, any_value(), "width of a head; 0: hidden_size / heads"});
    visit(Field{"norm_epsilon", &Llama::norm_epsilon, above(0, 1), "of RMSNorm"});
    visit(Field{"rope_base", &Llama::rope_base, above(1), "of rotary positions"});
    visit(Field{"rope_scaling", &Llama::rope_scaling, {}, "of rotary positions"});
    visit(Field{"max_positions", &Llama::max_positions, at_least(1), "tokens a sequence is meant to have"});
    visit(Field{"qkv_bias", &Llama::qkv_bias, {}, "biases on queries, keys and values, as Qwen2"});
    visit(Field{"head_norm", &Llama::head_norm, {}, "a norm on each head's queries and keys, as Qwen3"});
    visit(Field{"tied_embedding", &Llama::tied_embedding, {}, "the unembedding is the embedding"});
    visit(Field{"unembedding", &Llama::unembedding, {}, "holds the unembedding where it is not tied"});
    visit(Field{"init_deviation", &Llama::init_deviation, at_least(0),
                "standard deviation of the weights at the start; 0: 1/sqrt(inputs) of each matrix"});
    visit(Field{"frozen_layers", &Llama::frozen_layers, any_value(),
                "the embedding and the first N layers are not trained; 0: all are"});
    visit(Field{"recompute", &Llama::recompute, {}, "activations are computed twice, which saves memory"});
  }

  void validate() const {
    check_fields(*this);
    if (heads % kv_heads != 0) {
      throw ConfigError(concat("llama: kv_heads is ", kv_heads, ", expected a divisor of heads, ", heads));
    }
    if (head_dim == 0 && hidden_size % heads != 0) {
      throw ConfigError(
          concat("llama: hidden_size is ", hidden_size, ", expected a multiple of heads, ", heads));
    }
    constexpr Index widest = 65536;
    if (head_width() > widest) {
      throw ConfigError(concat("llama: head_dim is ", head_width(), ", expected at most ", widest));
    }
    size_product(heads, head_width(), "llama: heads times head_dim");
    if (head_width() % 2 != 0) {
      throw ConfigError(
          concat("llama: head_dim is ", head_width(), ", expected an even number for rotary positions"));
    }
    if (!(rope_scaling.factor >= 1)) {
      throw ConfigError(
          concat("llama: rope_scaling.factor is ", rope_scaling.factor, ", expected at least 1"));
    }
    detail::check_finite("llama: rope_scaling.factor", rope_scaling.factor);
    validate_rope_scaling();
    if (frozen_layers > layers) {
      throw ConfigError(
          concat("llama: frozen_layers is ", frozen_layers, ", expected at most layers, ", layers));
    }
  }

  friend bool operator==(const Llama&, const Llama&) = default;

 private:
  void validate_rope_scaling() const {
    using Kind = RotaryScaling::Kind;
    const RotaryScaling& scaling = rope_scaling;
    const auto above = [](const char* field, double value, double bound) {
      if (!(value > bound && std::isfinite(value))) {
        throw ConfigError(concat("llama: ", field, " is ", value, ", expected a number above ", bound));
      }
    };
    if (const std::string_view field = unused_field(scaling); !field.empty()) {
      throw ConfigError(concat("llama: rope_scaling.", field, " is not as by default, expected it so: ",
                               "the kind ", name_of(scaling.kind), " does not use it"));
    }
    if (scaling.kind == Kind::llama3 || scaling.kind == Kind::yarn || scaling.kind == Kind::longrope) {
      above("rope_scaling.original_positions", scaling.original_positions, 1);
      if (scaling.original_positions != std::floor(scaling.original_positions)) {
        throw ConfigError(concat("llama: rope_scaling.original_positions is ", scaling.original_positions,
                                 ", expected a whole number"));
      }
    }
    if (scaling.kind == Kind::llama3) {
      above("rope_scaling.low_frequency_factor", scaling.low_frequency_factor, 0);
      above("rope_scaling.high_frequency_factor", scaling.high_frequency_factor,
            scaling.low_frequency_factor);
    }
    if (scaling.kind == Kind::yarn) {
      above("rope_scaling.beta_fast", scaling.beta_fast, 0);
      above("rope_scaling.beta_slow", scaling.beta_slow, 0);
      if (scaling.beta_fast < scaling.beta_slow) {
        throw ConfigError(concat("llama: rope_scaling.beta_fast is ", scaling.beta_fast,
                                 ", expected at least beta_slow, ", scaling.beta_slow));
      }
    }
    detail::check_not_negative("llama: rope_scaling.attention_factor", scaling.attention_factor);
    detail::check_not_negative("llama: rope_scaling.mscale", scaling.mscale);
    detail::check_not_negative("llama: rope_scaling.mscale_all_dim", scaling.mscale_all_dim);
    if (scaling.kind == Kind::longrope) {
      if (scaling.short_factors.size() != head_width() / 2) {
        throw ConfigError(concat("llama: rope_scaling has ", scaling.short_factors.size(),
                                 " short factors, expected head_dim / 2 = ", head_width() / 2));
      }
      for (const double factor : scaling.short_factors) above("a short factor of rope_scaling", factor, 0);
    }
  }
};

template <class B>
class Llama::Bound {
 public:
  using Types = BackendTypes<B>;

  Bound(const Llama& settings, Parameters<B>& parameters)
      : settings_(settings),
        parameters_(&parameters),
        table_(parameters.handle(),
               rotary_frequencies(settings.head_width(), settings.rope_base, settings.rope_scaling,
                                  static_cast<double>(settings.max_positions))) {
    const Index d = settings.hidden_size;
    const Index f = settings.intermediate_size;
    const Index q = settings.heads * settings.head_width();
    const Index kv = settings.kv_heads * settings.head_width();
    const auto start = [&](Index inputs) { return initial_weight(settings.init_deviation, inputs); };
    // What is added to the residual stream starts smaller, by the root of how much is added (Radford et al.
    // 2019).
    const double calm = 1 / std::sqrt(2.0 * static_cast<double>(settings.layers));
    const Init embedding_start = Init::normal(settings.init_deviation > 0 ? settings.init_deviation : 0.02);
    const bool train_embedding = settings.frozen_layers == 0;
    embedding_ = parameters.declare({"model.embed_tokens.weight",
                                     {settings.vocabulary_size, d},
                                     embedding_start,
                                     true,
                                     false,
                                     train_embedding});
    for (Index i = 0; i < settings.layers; ++i) {
      const std::string at = concat("model.layers.", i, ".");
      const bool train = i >= settings.frozen_layers;
      const auto weight = [&](const char* name, Index rows, Index cols, bool adjacent = false,
                              double scale = 1) {
        Init init = start(cols);
        init.deviation *= scale;
        return parameters.declare({at + name, {rows, cols}, init, true, adjacent, train, true});
      };
      const auto vector = [&](const char* name, Index size, Init init, bool adjacent = false) {
        return parameters.declare({at + name, {size}, init, false, adjacent, train});
      };
      Layer layer;
      layer.attention_norm = vector("input_layernorm.weight", d, Init::ones());
      layer.q = weight("self_attn.q_proj.weight", q, d);
      weight("self_attn.k_proj.weight", kv, d, true);
      weight("self_attn.v_proj.weight", kv, d, true);
      if (settings.qkv_bias) {
        layer.q_bias = vector("self_attn.q_proj.bias", q, Init::zeros());
        vector("self_attn.k_proj.bias", kv, Init::zeros(), true);
        vector("self_attn.v_proj.bias", kv, Init::zeros(), true);
      }
      if (settings.head_norm) {
        layer.q_norm = vector("self_attn.q_norm.weight", settings.head_width(), Init::ones());
        layer.k_norm = vector("self_attn.k_norm.weight", settings.head_width(), Init::ones());
      }
      layer.o = weight("self_attn.o_proj.weight", d, q, false, calm);
      layer.mlp_norm = vector("post_attention_layernorm.weight", d, Init::ones());
      layer.gate = weight("mlp.gate_proj.weight", f, d);
      weight("mlp.up_proj.weight", f, d, true);
      layer.down = weight("mlp.down_proj.weight", d, f, false, calm);
      layers_.push_back(layer);
    }
    norm_ = parameters.declare({"model.norm.weight", {d}, Init::ones(), false});
    if (settings.unembedding && !settings.tied_embedding) {
      unembedding_ = parameters.declare({"lm_head.weight", {settings.vocabulary_size, d}, embedding_start});
    }
  }

  Index hidden_width() const { return settings_.hidden_size; }

  /// The matrix (V, d) that turns hidden rows into token logits.
  ParameterSlice unembedding() const {
    if (!settings_.tied_embedding && !settings_.unembedding) {
      throw UsageError(
          "llama: the model holds no unembedding, expected tied_embedding or unembedding to be set");
    }
    return parameters_->slice(settings_.tied_embedding ? embedding_ : unembedding_);
  }

  Var forward(Tape<B>& tape, const typename Types::Forest& forest) {
    const auto angles = table_.view(forest.depth);
    Var x = embedding(tape, forest.tokens, parameters_->slice(embedding_));  // (T, d)
    for (Index i = 0; i + 1 < layers_.size(); ++i) {
      const auto layer = [this, i, angles, &forest](Tape<B>& t, Var in) {
        return this->layer(t, in, i, angles, forest);
      };
      // While scoring, and of what is frozen, the checkpoint returns a layer's memory as soon as its result
      // is there.
      if (settings_.recompute || !tape.recording() || i < settings_.frozen_layers) {
        x = tape.checkpoint(layer, x, tape.rows(x), tape.cols(x));
      } else {
        x = layer(tape, x);
      }
    }
    x = last_layer(tape, x, angles, forest);  // (R, d)
    return rms_norm(tape, x, parameters_->slice(norm_), settings_.norm_epsilon);
  }

 private:
  struct Layer {  // numbers of the first tensor of each group
    std::uint32_t attention_norm, q, q_bias, q_norm, k_norm, o, mlp_norm, gate, down;
  };

  /// h = x + attention(norm(x)); out = h + mlp(norm(h)). (T, d) → (T, d)
  Var layer(Tape<B>& tape, Var x, Index i, typename Types::ConstStatMatrix angles,
            const typename Types::Forest& forest) {
    const Layer& layer = layers_[i];
    const Var y = rms_norm(tape, x, parameters_->slice(layer.attention_norm), settings_.norm_epsilon);
    Projections parts;
    if (settings_.head_norm) {
      parts = {queries(tape, layer, y), {}, {}};
      keys_values(tape, layer, y, parts);
    } else {  // one product for all three
      const Var qkv = linear(tape, y, parameters_->slice(layer.q, 3), bias(layer, 0, 3));  // (T, q + 2 kv)
      parts = {{qkv, 0, q_width()}, {qkv, q_width(), kv_width()}, {qkv, q_width() + kv_width(), kv_width()}};
    }
    if (parts.q.var.id == parts.k.var.id) {
      rotary(tape, {parts.q.var, 0, q_width() + kv_width()}, settings_.head_width(), forest.positions,
             angles);
    } else {
      rotary(tape, parts.q, settings_.head_width(), forest.positions, angles);
      rotary(tape, parts.k, settings_.head_width(), forest.positions, angles);
    }
    const Var mixed = attention(tape, forest, shape(), {}, parts.q, parts.k, parts.v);  // (T, q)
    const Var h = linear(tape, mixed, parameters_->slice(layer.o), {}, x);
    return mlp(tape, layer, h);
  }

  /// The same, but queries and all that follows only for the rows a head reads. (T, d) → (R, d)
  Var last_layer(Tape<B>& tape, Var x, typename Types::ConstStatMatrix angles,
                 const typename Types::Forest& forest) {
    const Layer& layer = layers_.back();
    const Var y = rms_norm(tape, x, parameters_->slice(layer.attention_norm), settings_.norm_epsilon);
    Projections parts{queries(tape, layer, gather(tape, y, forest.rows)), {}, {}};
    keys_values(tape, layer, y, parts);
    rotary(tape, parts.q, settings_.head_width(), forest.row_positions, angles);
    rotary(tape, parts.k, settings_.head_width(), forest.positions, angles);
    const Var mixed = attention(tape, forest, shape(), forest.rows, parts.q, parts.k, parts.v);  // (R, q)
    const Var h = linear(tape, mixed, parameters_->slice(layer.o), {}, gather(tape, x, forest.rows));
    return mlp(tape, layer, h);
  }

  Var mlp(Tape<B>& tape, const Layer& layer, Var h) {
    const Var y = rms_norm(tape, h, parameters_->slice(layer.mlp_norm), settings_.norm_epsilon);
    const Var gate_up = linear(tape, y, parameters_->slice(layer.gate, 2));  // (·, 2f)
    return linear(tape, glu(tape, gate_up), parameters_->slice(layer.down), {}, h);
  }

  struct Projections {
    Columns q, k, v;
  };
  Columns queries(Tape<B>& tape, const Layer& layer, Var y) {
    Var q = linear(tape, y, parameters_->slice(layer.q), bias(layer, 0, 1));
    if (settings_.head_norm) q = rms_norm(tape, q, parameters_->slice(layer.q_norm), settings_.norm_epsilon);
    return {q, 0, q_width()};
  }
  void keys_values(Tape<B>& tape, const Layer& layer, Var y, Projections& parts) {
    if (settings_.head_norm) {  // the norm wants the keys by themselves
      Var k = linear(tape, y, parameters_->slice(layer.q + 1), bias(layer, 1, 1));
      k = rms_norm(tape, k, parameters_->slice(layer.k_norm), settings_.norm_epsilon);
      parts.k = {k, 0, kv_width()};
      parts.v = {linear(tape, y, parameters_->slice(layer.q + 2), bias(layer, 2, 1)), 0, kv_width()};
    } else {
      const Var kv = linear(tape, y, parameters_->slice(layer.q + 1, 2), bias(layer, 1, 2));  // (T, 2 kv)
      parts.k = {kv, 0, kv_width()};
      parts.v = {kv, kv_width(), kv_width()};
    }
  }
  ParameterSlice bias(const Layer& layer, std::uint32_t first, std::uint32_t count) const {
    return settings_.qkv_bias ? parameters_->slice(layer.q_bias + first, count) : ParameterSlice{};
  }
  AttentionShape shape() const {
    return {settings_.heads, settings_.kv_heads, settings_.head_width(),
            1.0 / std::sqrt(static_cast<double>(settings_.head_width()))};
  }
  Index q_width() const { return settings_.heads * settings_.head_width(); }
  Index kv_width() const { return settings_.kv_heads * settings_.head_width(); }

  Llama settings_;
  Parameters<B>* parameters_;
  RotaryTable<B> table_;
  std::vector<Layer> layers_;
  std::uint32_t embedding_ = 0;
  std::uint32_t norm_ = 0;
  std::uint32_t unembedding_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
