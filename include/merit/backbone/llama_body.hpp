// The body of backbone/llama.hpp: the family's parameters and what it computes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/backbone/layers.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/backbone/rotary_table.hpp"
#include "merit/nn/activation.hpp"
#include "merit/nn/arithmetic.hpp"
#include "merit/nn/attention.hpp"
#include "merit/nn/experts.hpp"
#include "merit/nn/linear.hpp"
#include "merit/nn/norm.hpp"
#include "merit/nn/select_rows.hpp"

namespace merit {
inline namespace MERIT_ABI {

template <class B>
class Llama::Bound {
 public:
  using Types = BackendTypes<B>;

  Bound(const Llama& settings, Parameters<B>& parameters)
      : settings_(settings),
        parameters_(&parameters),
        table_(parameters.handle(),
               rotary_frequencies(settings.rotated_width(), settings.rope_base, settings.rope_scaling,
                                  static_cast<double>(settings.max_positions))),
        window_table_(parameters.handle(),
                      rotary_frequencies(settings.rotated_width(), window_base(settings), {}, 0)) {
    const Init embedding_start = Init::normal(settings.init_deviation > 0 ? settings.init_deviation : 0.02);
    const Index d = settings.hidden_size;
    embedding_ = parameters.declare({"model.embed_tokens.weight",
                                     {settings.vocabulary_size, d},
                                     embedding_start,
                                     true,
                                     false,
                                     settings.frozen_layers == 0});
    for (Index i = 0; i < settings.layers; ++i) layers_.push_back(declare_layer(i));
    if (!settings.bare_norms) norm_ = parameters.declare({"model.norm.weight", {d}, norm_start(), false});
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

  double logit_soft_cap() const { return settings_.logit_soft_cap; }

  Var forward(Tape<B>& tape, const typename Types::Forest& forest) {
    // Grown here, so that no layer moves what another has kept.
    const Angles angles{table_.view(forest.depth), window_table_.view(forest.depth)};
    Var x = embedding(tape, forest.tokens, parameters_->slice(embedding_));  // (T, d)
    if (settings_.embedding_scale != 1) x = scale(tape, x, settings_.embedding_scale);
    const auto inner = [this, angles, &forest](Tape<B>& t, Var in, Index i) {
      return this->layer(t, in, i, angles, forest, {});
    };
    x = detail::inner_layers(tape, x, settings_, inner);
    x = layer(tape, x, layers_.size() - 1, angles, forest, forest.rows);  // (R, d)
    return norm(tape, x, norm_);
  }

 private:
  struct Layer {  // numbers of the first tensor of each group
    std::uint32_t q, q_bias, q_norm, k_norm, o, o_bias;
    std::uint32_t attention_norm, attention_after, mlp_norm, mlp_after;
    std::uint32_t gate, gate_bias, down, down_bias;
    std::uint32_t router;
    std::vector<std::uint32_t> expert_gates, expert_downs;
  };
  /// Cosines and sines of all layers, and of those with a window.
  struct Angles {
    typename Types::ConstStatMatrix all, windowed;
  };
  struct Qkv {
    Columns q, k, v;
  };

  static double window_base(const Llama& settings) {
    return settings.window_rope_base != 0 ? settings.window_rope_base : settings.rope_base;
  }
  Init norm_start() const { return settings_.norm_around_one ? Init::zeros() : Init::ones(); }
  bool norm_before() const { return settings_.norm_place != NormPlace::after; }
  bool norm_after() const { return settings_.norm_place != NormPlace::before; }
  bool projects_apart() const { return settings_.head_norm || settings_.width_norm; }
  Index q_width() const { return settings_.heads * settings_.head_width(); }
  Index kv_width() const { return settings_.kv_heads * settings_.head_width(); }

  Layer declare_layer(Index i) {
    const Index d = settings_.hidden_size, f = settings_.intermediate_size;
    const Index q = q_width(), kv = kv_width(), head = settings_.head_width();
    const std::string at = concat("model.layers.", i, ".");
    const bool train = i >= settings_.frozen_layers;
    // What is added to the residual stream starts smaller, by the root of how much is added (Radford et al.
    // 2019).
    const double calm = 1 / std::sqrt(2.0 * static_cast<double>(settings_.layers));
    const auto declare_weight = [&](const std::string& name, Index rows, Index cols, double scale = 1,
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
    const auto declare_norm = [&](const char* name, Index size) {
      return settings_.bare_norms ? 0 : declare_vector(name, size, norm_start());
    };

    Layer layer{};
    if (norm_before()) layer.attention_norm = declare_norm("input_layernorm.weight", d);
    // `begin` in a matrix of queries, keys, values; `run` rows of each of the groups of one of heads.
    const Index whole = q + 2 * kv, group = settings_.heads / settings_.kv_heads * head;
    const auto stored_qkv = [&](const char* ending, Index begin, Index begin_in_group,
                                Index run) -> StoredRows {
      switch (settings_.projections) {
        case Projections::apart: break;
        case Projections::fused: return {concat(at, "self_attn.qkv_proj.", ending), whole, begin, 0, 0};
        case Projections::grouped:
          return {concat(at, "attention.wqkv.", ending), whole, begin_in_group, run, group + 2 * head};
      }
      return {};
    };
    const auto stored_q = [&](const char* ending) { return stored_qkv(ending, 0, 0, group); };
    const auto stored_k = [&](const char* ending) { return stored_qkv(ending, q, group, head); };
    const auto stored_v = [&](const char* ending) { return stored_qkv(ending, q + kv, group + head, head); };
    layer.q = declare_weight("self_attn.q_proj.weight", q, d, 1, false, stored_q("weight"));
    declare_weight("self_attn.k_proj.weight", kv, d, 1, true, stored_k("weight"));
    declare_weight("self_attn.v_proj.weight", kv, d, 1, true, stored_v("weight"));
    if (settings_.qkv_bias) {
      layer.q_bias = declare_vector("self_attn.q_proj.bias", q, Init::zeros(), false, stored_q("bias"));
      declare_vector("self_attn.k_proj.bias", kv, Init::zeros(), true, stored_k("bias"));
      declare_vector("self_attn.v_proj.bias", kv, Init::zeros(), true, stored_v("bias"));
    }
    if (projects_apart()) {
      layer.q_norm = declare_vector("self_attn.q_norm.weight", settings_.head_norm ? head : q, norm_start());
      layer.k_norm = declare_vector("self_attn.k_norm.weight", settings_.head_norm ? head : kv, norm_start());
    }
    // InternLM2 has names of its own.
    const auto stored_as = [&](const char* name, Index rows) -> StoredRows {
      if (settings_.projections != Projections::grouped) return {};
      return {at + name, rows, 0, 0, 0};
    };
    layer.o =
        declare_weight("self_attn.o_proj.weight", d, q, calm, false, stored_as("attention.wo.weight", d));
    if (settings_.output_bias) layer.o_bias = declare_vector("self_attn.o_proj.bias", d, Init::zeros());
    if (norm_after()) layer.attention_after = declare_norm("post_attention_layernorm.weight", d);
    if (norm_before()) {
      layer.mlp_norm = declare_norm(
          norm_after() ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight", d);
    }
    if (settings_.has_experts(i)) {
      const Index width = settings_.expert_width;
      layer.router = declare_weight("mlp.gate.weight", settings_.experts, d);
      for (Index e = 0; e < settings_.experts; ++e) {
        const std::string expert = concat("mlp.experts.", e, ".");
        layer.expert_gates.push_back(declare_weight(expert + "gate_proj.weight", width, d));
        declare_weight(expert + "up_proj.weight", width, d, 1, true);
        layer.expert_downs.push_back(declare_weight(expert + "down_proj.weight", d, width, calm));
      }
    } else {
      const auto stored_gate = [&](Index begin) -> StoredRows {
        if (settings_.projections != Projections::fused)
          return stored_as(begin == 0 ? "feed_forward.w1.weight" : "feed_forward.w3.weight", f);
        return {at + "mlp.gate_up_proj.weight", 2 * f, begin, 0, 0};
      };
      layer.gate = declare_weight("mlp.gate_proj.weight", f, d, 1, false, stored_gate(0));
      declare_weight("mlp.up_proj.weight", f, d, 1, true, stored_gate(f));
      layer.down =
          declare_weight("mlp.down_proj.weight", d, f, calm, false, stored_as("feed_forward.w2.weight", d));
      if (settings_.mlp_bias) {
        layer.gate_bias = declare_vector("mlp.gate_proj.bias", f, Init::zeros());
        declare_vector("mlp.up_proj.bias", f, Init::zeros(), true);
        layer.down_bias = declare_vector("mlp.down_proj.bias", d, Init::zeros());
      }
    }
    if (norm_after()) layer.mlp_after = declare_norm("post_feedforward_layernorm.weight", d);
    return layer;
  }

  /// h = x + attention(norm(x)); out = h + mlp(norm(h)), with norms where they stand. (T, d) → (T, d), or (R, d) where
  /// `rows` are given: then queries and all that follows is computed for them alone.
  Var layer(Tape<B>& tape, Var x, Index i, const Angles& angles, const typename Types::Forest& forest,
            typename Types::Indices rows) {
    const Layer& layer = layers_[i];
    const Var y = norm_before() ? norm(tape, x, layer.attention_norm) : x;
    const bool some = !rows.empty();
    Qkv parts = some || projects_apart() ? project_apart(tape, layer, y, rows) : project(tape, layer, y);
    rotate(tape, parts, i, angles, forest, some ? forest.row_positions : forest.positions);
    const Var mixed = attention(tape, forest, shape(i), rows, parts.q, parts.k, parts.v);  // (·, q)
    const Var residual = some ? gather(tape, x, rows) : x;
    const Var h = join(tape, residual, mixed, layer.o, bias(settings_.output_bias, layer.o_bias),
                       layer.attention_after);

    const Var z = norm_before() ? norm(tape, h, layer.mlp_norm) : h;
    if (settings_.has_experts(i)) {
      const Var branch = merit::experts(tape, z, expert_slices(layer));
      return add(tape, h, norm_after() ? norm(tape, branch, layer.mlp_after) : branch);
    }
    const Var gate_up =
        linear(tape, z, parameters_->slice(layer.gate, 2), bias(settings_.mlp_bias, layer.gate_bias, 2));
    const Var inner = glu(tape, gate_up, settings_.activation);  // (·, f)
    return join(tape, h, inner, layer.down, bias(settings_.mlp_bias, layer.down_bias), layer.mlp_after);
  }

  ExpertSlices expert_slices(const Layer& layer) const {
    ExpertSlices slices{.router = parameters_->slice(layer.router),
                        .per_token = settings_.experts_per_token,
                        .normalised = settings_.normalised_experts,
                        .activation = settings_.activation};
    for (Index e = 0; e < settings_.experts; ++e) {
      slices.gate_up.push_back(parameters_->slice(layer.expert_gates[e], 2));
      slices.down.push_back(parameters_->slice(layer.expert_downs[e]));
    }
    return slices;
  }

  /// residual + branch · Wᵀ, where norms stand behind blocks of the normalised product.
  Var join(Tape<B>& tape, Var residual, Var branch, std::uint32_t weight, const ParameterSlice& bias,
           std::uint32_t after) {
    if (!norm_after()) return linear(tape, branch, parameters_->slice(weight), bias, residual);
    return add(tape, residual, norm(tape, linear(tape, branch, parameters_->slice(weight), bias), after));
  }

  /// One product for queries, keys and values.
  Qkv project(Tape<B>& tape, const Layer& layer, Var y) {
    const Var qkv =
        linear(tape, y, parameters_->slice(layer.q, 3), bias(settings_.qkv_bias, layer.q_bias, 3));
    const Index q = q_width(), kv = kv_width();  // qkv (T, q + 2 kv)
    return {{qkv, 0, q}, {qkv, q, kv}, {qkv, q + kv, kv}};
  }

  /// Queries by themselves, and keys too where they have a norm.
  Qkv project_apart(Tape<B>& tape, const Layer& layer, Var y, typename Types::Indices rows) {
    const Var of_rows = rows.empty() ? y : gather(tape, y, rows);
    const bool biased = settings_.qkv_bias;
    Var q = linear(tape, of_rows, parameters_->slice(layer.q), bias(biased, layer.q_bias));
    if (!projects_apart()) {
      const Var kv = linear(tape, y, parameters_->slice(layer.q + 1, 2), bias(biased, layer.q_bias + 1, 2));
      return {{q, 0, q_width()}, {kv, 0, kv_width()}, {kv, kv_width(), kv_width()}};
    }
    Var k = linear(tape, y, parameters_->slice(layer.q + 1), bias(biased, layer.q_bias + 1));
    const Var v = linear(tape, y, parameters_->slice(layer.q + 2), bias(biased, layer.q_bias + 2));
    q = rms(tape, q, layer.q_norm);
    k = rms(tape, k, layer.k_norm);
    return {{q, 0, q_width()}, {k, 0, kv_width()}, {v, 0, kv_width()}};
  }

  void rotate(Tape<B>& tape, const Qkv& parts, Index i, const Angles& angles,
              const typename Types::Forest& forest, typename Types::Indices query_positions) {
    const std::vector<Index>& plain = settings_.unrotated;
    if (std::find(plain.begin(), plain.end(), i) != plain.end()) return;
    const auto table = settings_.window_rope_base != 0 && window(i) != 0 ? angles.windowed : angles.all;
    const Index head = settings_.head_width();
    if (parts.q.var.id == parts.k.var.id) {
      rotary(tape, {parts.q.var, 0, q_width() + kv_width()}, head, forest.positions, table);
    } else {
      rotary(tape, parts.q, head, query_positions, table);
      rotary(tape, parts.k, head, forest.positions, table);
    }
  }

  Var norm(Tape<B>& tape, Var x, std::uint32_t weight) {
    return settings_.bare_norms ? layer_norm(tape, x, {}, {}, settings_.norm_epsilon) : rms(tape, x, weight);
  }
  Var rms(Tape<B>& tape, Var x, std::uint32_t weight) {
    return rms_norm(tape, x, parameters_->slice(weight), settings_.norm_epsilon,
                    settings_.norm_around_one ? 1 : 0);
  }
  ParameterSlice bias(bool there, std::uint32_t first, std::uint32_t count = 1) const {
    return there ? parameters_->slice(first, count) : ParameterSlice{};
  }
  Index window(Index i) const { return settings_.windows.empty() ? 0 : settings_.windows[i]; }
  AttentionShape shape(Index i) const {
    const double usual = 1.0 / std::sqrt(static_cast<double>(settings_.head_width()));
    return {.heads = settings_.heads,
            .kv_heads = settings_.kv_heads,
            .head_dim = settings_.head_width(),
            .scale = settings_.attention_scale != 0 ? settings_.attention_scale : usual,
            .window = window(i),
            .soft_cap = settings_.soft_cap};
  }

  Llama settings_;
  Parameters<B>* parameters_;
  RotaryTable<B> table_;
  RotaryTable<B> window_table_;
  std::vector<Layer> layers_;
  std::uint32_t embedding_ = 0;
  std::uint32_t norm_ = 0;
  std::uint32_t unembedding_ = 0;
};

}  // namespace MERIT_ABI
}  // namespace merit
