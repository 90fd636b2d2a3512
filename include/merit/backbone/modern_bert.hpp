// ModernBERT (Warner et al. 2024): an encoder with rotary positions, gated units, norms before each block and, but for some
// layers, attention to what is near. Parameter names as transformers publishes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/backbone/layers.hpp"
#include "merit/backbone/pooling.hpp"
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

/// An encoder by the numbers of ModernBERT's config.json.
struct ModernBert {
  Index vocabulary_size = 50368;
  Index hidden_size = 768;
  Index intermediate_size = 1152;
  Index layers = 22;
  Index heads = 12;
  Index max_positions = 8192;
  std::vector<Index> windows =
      {};  // of each layer: it sees tokens less than so many positions away; 0: all. Empty: all
  double rope_base = 160000;
  double window_rope_base = 10000;  // of layers with a window
  double norm_epsilon = 1e-5;
  ActivationFunction activation = ActivationFunction::gelu;
  Pooling pooling = Pooling::first;  // what stands for a sequence
  bool pooler = true;                // a dense layer and a norm behind it, as for classification
  ActivationFunction pooler_activation = ActivationFunction::gelu;
  double init_deviation = 0;  // of the weights at the start; 0: 1/sqrt(inputs), the embedding 0.02
  Index frozen_layers = 0;    // the embedding and the first n layers are not trained
  Index recompute = 0;        // the first n of the trained layers keep no activations; all_layers: each

  template <class B>
  class Bound;

  static constexpr std::string_view name() { return "modernbert"; }
  Index token_limit() const { return vocabulary_size; }
  Index position_limit() const { return 0; }
  Sight sight() const { return Sight::tree; }
  std::string_view head_name() const { return "classifier"; }

  template <class Visit>
  static void fields(const Visit& visit) {
    visit(Field{"vocabulary_size", &ModernBert::vocabulary_size, at_least(1), "tokens"});
    visit(Field{"hidden_size", &ModernBert::hidden_size, at_least(1), "width of a hidden row"});
    visit(Field{"intermediate_size", &ModernBert::intermediate_size, at_least(1), "width inside the MLP"});
    visit(Field{"layers", &ModernBert::layers, between(1, most_layers), "layers"});
    visit(Field{"heads", &ModernBert::heads, at_least(1), "attention heads"});
    visit(Field{"max_positions", &ModernBert::max_positions, at_least(1),
                "tokens a sequence is meant to have"});
    visit(Field{"windows", &ModernBert::windows, at_least(0), "how far each layer sees; 0: everything"});
    visit(Field{"rope_base", &ModernBert::rope_base, above(1), "of rotary positions"});
    visit(Field{"window_rope_base", &ModernBert::window_rope_base, above(1),
                "of those in layers with a window"});
    visit(Field{"norm_epsilon", &ModernBert::norm_epsilon, above(0, 1), "of LayerNorm"});
    visit(Field{"activation", &ModernBert::activation, {}, "of the gates"});
    visit(Field{"pooling", &ModernBert::pooling, {}, "which hidden row stands for a sequence"});
    visit(Field{"pooler", &ModernBert::pooler, {}, "a dense layer and a norm behind it"});
    visit(Field{"pooler_activation", &ModernBert::pooler_activation, {}, "of that layer"});
    visit(Field{"init_deviation", &ModernBert::init_deviation, at_least(0),
                "standard deviation of the weights at the start; 0: 1/sqrt(inputs) of each matrix"});
    visit(Field{"frozen_layers", &ModernBert::frozen_layers, any_value(),
                "the embedding and the first N layers are not trained; 0: all are"});
    visit(Field{"recompute", &ModernBert::recompute, any_value(), detail::recompute_help});
  }

  void validate() const {
    check_fields(*this);
    size_product(3, hidden_size, "modernbert: three times hidden_size");
    if (hidden_size % heads != 0 || hidden_size / heads % 2 != 0) {
      throw ConfigError(concat("modernbert: hidden_size is ", hidden_size,
                               ", expected a multiple of twice heads, ", 2 * heads));
    }
    if (!windows.empty() && windows.size() != layers) {
      throw ConfigError(concat("modernbert: windows has ", windows.size(),
                               " numbers, expected one for each layer, ", layers));
    }
    Index width = 0;
    for (const Index window : windows) {
      if (window == 0 || window == width) continue;
      if (width != 0 || window == 1) {
        throw ConfigError(
            concat("modernbert: windows has ", window, ", expected 0 or one width of 2 or more for all"));
      }
      width = window;
    }
    detail::check_layer_counts(*this);
  }

  friend bool operator==(const ModernBert&, const ModernBert&) = default;
};

template <class B>
class ModernBert::Bound {
 public:
  using Types = BackendTypes<B>;

  Bound(const ModernBert& settings, Parameters<B>& parameters)
      : settings_(settings),
        parameters_(&parameters),
        table_(parameters.handle(), rotary_frequencies(head_width(), settings.rope_base, {}, 0)),
        window_table_(parameters.handle(),
                      rotary_frequencies(head_width(), settings.window_rope_base, {}, 0)) {
    const Index d = settings.hidden_size, f = settings.intermediate_size;
    const bool train = settings.frozen_layers == 0;
    embedding_ =
        parameters.declare({"model.embeddings.tok_embeddings.weight",
                            {settings.vocabulary_size, d},
                            Init::normal(settings.init_deviation > 0 ? settings.init_deviation : 0.02),
                            true,
                            false,
                            train});
    embedding_norm_ = declare_norm("model.embeddings.norm", train);
    for (Index i = 0; i < settings.layers; ++i) {
      const std::string at = concat("model.layers.", i, ".");
      const bool train_layer = i >= settings.frozen_layers;
      Layer layer{};
      if (i != 0) layer.attention_norm = declare_norm(at + "attn_norm", train_layer);
      layer.qkv = declare_weight(at + "attn.Wqkv", 3 * d, d, train_layer);
      layer.o = declare_weight(at + "attn.Wo", d, d, train_layer);
      layer.mlp_norm = declare_norm(at + "mlp_norm", train_layer);
      layer.gate_up = declare_weight(at + "mlp.Wi", 2 * f, d, train_layer);
      layer.down = declare_weight(at + "mlp.Wo", d, f, train_layer);
      layers_.push_back(layer);
    }
    final_norm_ = declare_norm("model.final_norm", true);
    if (settings.pooler) {
      pooler_ = declare_weight("head.dense", d, d, true);
      pooler_norm_ = declare_norm("head.norm", true);
    }
  }

  Index hidden_width() const { return settings_.hidden_size; }

  Var forward(Tape<B>& tape, const typename Types::Forest& forest) {
    const Angles angles{table_.view(forest.depth), window_table_.view(forest.depth)};
    Var x = embedding(tape, forest.tokens, parameters_->slice(embedding_));  // (T, d)
    x = norm(tape, x, embedding_norm_);
    const auto inner = [this, angles, &forest](Tape<B>& t, Var in, Index i) {
      return this->layer(t, in, i, angles, forest, {});
    };
    x = detail::inner_layers(tape, x, settings_, inner);
    x = layer(tape, x, layers_.size() - 1, angles, forest, detail::pooled_tokens(settings_.pooling, forest));
    x = norm(tape, x, final_norm_);
    if (settings_.pooling == Pooling::mean) x = path_mean(tape, forest, x);  // (R, d)
    if (!settings_.pooler) return x;
    const Var dense = linear(tape, x, parameters_->slice(pooler_));
    return norm(tape, activate(tape, dense, settings_.pooler_activation), pooler_norm_);
  }

 private:
  struct Layer {
    std::uint32_t attention_norm, qkv, o, mlp_norm, gate_up, down;
  };
  /// Cosines and sines of layers that see everything, and of those with a window.
  struct Angles {
    typename Types::ConstStatMatrix all, windowed;
  };

  Index head_width() const { return settings_.hidden_size / settings_.heads; }

  std::uint32_t declare_norm(const std::string& name, bool train) {
    return parameters_->declare(
        {name + ".weight", {settings_.hidden_size}, Init::ones(), false, false, train});
  }
  std::uint32_t declare_weight(const std::string& name, Index rows, Index cols, bool train) {
    return parameters_->declare({name + ".weight",
                                 {rows, cols},
                                 initial_weight(settings_.init_deviation, cols),
                                 true,
                                 false,
                                 train,
                                 true});
  }

  /// h = x + attention(norm(x)), the first layer's without the norm; out = h + mlp(norm(h)). (T, d) → (T, d), or (R, d)
  /// where `rows` are given: then what attention gave is used for them alone.
  Var layer(Tape<B>& tape, Var x, Index i, const Angles& angles, const typename Types::Forest& forest,
            typename Types::Indices rows) {
    const Layer& layer = layers_[i];
    const Index d = settings_.hidden_size, head = head_width();
    const Index window = settings_.windows.empty() ? 0 : settings_.windows[i];
    const auto table = window != 0 ? angles.windowed : angles.all;
    const AttentionShape shape{.heads = settings_.heads,
                               .kv_heads = settings_.heads,
                               .head_dim = head,
                               .scale = 1.0 / std::sqrt(static_cast<double>(head)),
                               .sight = Sight::tree,
                               .window = window};
    const Var y = i != 0 ? norm(tape, x, layer.attention_norm) : x;
    const Var qkv = linear(tape, y, parameters_->slice(layer.qkv));  // (T, 3d)
    rotary(tape, {qkv, 0, 2 * d}, head, forest.positions, table);
    Var mixed = attention(tape, forest, shape, {}, {qkv, 0, d}, {qkv, d, d}, {qkv, 2 * d, d});
    Var residual = x;
    if (!rows.empty()) {
      mixed = gather(tape, mixed, rows);
      residual = gather(tape, x, rows);
    }
    const Var h = linear(tape, mixed, parameters_->slice(layer.o), {}, residual);
    const Var z = norm(tape, h, layer.mlp_norm);
    const Var gate_up = linear(tape, z, parameters_->slice(layer.gate_up));  // (·, 2f)
    return linear(tape, glu(tape, gate_up, settings_.activation), parameters_->slice(layer.down), {}, h);
  }

  Var norm(Tape<B>& tape, Var x, std::uint32_t weight) {
    return layer_norm(tape, x, parameters_->slice(weight), {}, settings_.norm_epsilon);
  }

  ModernBert settings_;
  Parameters<B>* parameters_;
  RotaryTable<B> table_;
  RotaryTable<B> window_table_;
  std::vector<Layer> layers_;
  std::uint32_t embedding_ = 0, embedding_norm_ = 0, final_norm_ = 0, pooler_ = 0, pooler_norm_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
