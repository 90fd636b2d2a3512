// The Llama family: rotary positions, grouped-query attention, gated units. Llama 1–3, SmolLM, TinyLlama (Touvron et
// al. 2023), Mistral, Qwen2 and Qwen3, and by their numbers here Gemma 1–3, Qwen3-MoE, Phi-3, SmolLM3, OLMo 1–3 and
// InternLM2. Parameter names as transformers publishes.
//
// These are the numbers; backbone/llama_body.hpp computes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/backbone/layers.hpp"
#include "merit/backbone/rotary_table.hpp"
#include "merit/core/enum_names.hpp"
#include "merit/core/field.hpp"
#include "merit/core/sizes.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Where a layer normalises: before each block (Llama), the block's result (OLMo 2), or both (Gemma 2).
enum class NormPlace : std::uint8_t { before, after, both };
template <>
inline constexpr std::array<std::string_view, 3> enum_names<NormPlace>{"before", "after", "both"};

/// How the projections of a layer lie in a file: each by itself; queries, keys and values in one matrix and gates and
/// ups in another (Phi-3); or queries, keys and values in one, by key/value head (InternLM2).
enum class Projections : std::uint8_t { apart, fused, grouped };
template <>
inline constexpr std::array<std::string_view, 3> enum_names<Projections>{"apart", "fused", "grouped"};

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
  bool qkv_bias = false;     // Qwen2
  bool output_bias = false;  // a bias behind attention, as Llama's attention_bias has beside those of qkv
  bool mlp_bias = false;     // biases in the MLP
  bool head_norm = false;    // Qwen3: RMSNorm of each head's queries and keys
  bool width_norm = false;   // OLMo 2: RMSNorm of all heads' queries, and of all keys, together
  NormPlace norm_place = NormPlace::before;
  bool norm_around_one = false;  // Gemma: the weights of norms are what is added to 1
  bool bare_norms = false;       // OLMo 1: LayerNorm without weights in place of RMSNorm
  ActivationFunction activation = ActivationFunction::silu;  // of the gates
  double embedding_scale = 1;                                // Gemma: the root of hidden_size
  double attention_scale = 0;                                // of q·k; 0: 1 / sqrt(head_dim)
  double soft_cap = 0;                                       // of attention's scores (Gemma 2); 0: none
  double logit_soft_cap = 0;  // of a language model's logits (Gemma 2); 0: none
  Index rotary_width = 0;     // columns of a head that are rotated; 0: all
  std::vector<Index> windows =
      {};  // of each layer: it sees so many positions back, itself one; 0: all. Empty: all
  double window_rope_base =
      0;  // of layers with a window, which then have no rope_scaling (Gemma 3); 0: as others
  std::vector<Index> unrotated = {};     // layers without positions (SmolLM3)
  Index experts = 0;                     // MLPs a layer chooses from (Qwen3-MoE); 0: one for all tokens
  Index experts_per_token = 8;           // of them
  Index expert_width = 768;              // width inside each
  bool normalised_experts = true;        // the weights of the chosen ones add up to 1
  std::vector<Index> dense_layers = {};  // layers with one MLP for all tokens, where others choose
  Projections projections = Projections::apart;
  bool tied_embedding = true;  // the unembedding, where one is wanted, is the embedding
  bool unembedding = false;    // hold `lm_head.weight` (untied) for heads that read token logits
  double init_deviation = 0;   // of the weights at the start; 0: 1/sqrt(inputs), the embedding 0.02
  Index frozen_layers = 0;     // the embedding and the first n layers are not trained
  Index recompute = 0;         // the first n of the trained layers keep no activations; all_layers: each

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
  /// Columns of a head that are rotated.
  Index rotated_width() const { return rotary_width != 0 ? rotary_width : head_width(); }
  bool has_experts(Index layer) const {
    return experts != 0 && std::find(dense_layers.begin(), dense_layers.end(), layer) == dense_layers.end();
  }

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
    visit(Field{"output_bias", &Llama::output_bias, {}, "a bias behind attention"});
    visit(Field{"mlp_bias", &Llama::mlp_bias, {}, "biases in the MLP"});
    visit(Field{"head_norm", &Llama::head_norm, {}, "a norm on each head's queries and keys, as Qwen3"});
    visit(Field{"width_norm", &Llama::width_norm, {}, "a norm on all queries and all keys, as OLMo 2"});
    visit(Field{"norm_place", &Llama::norm_place, {}, "where a layer normalises, as OLMo 2, Gemma 2"});
    visit(Field{"norm_around_one", &Llama::norm_around_one, {}, "norms add 1 to their weights, as Gemma"});
    visit(Field{"bare_norms", &Llama::bare_norms, {}, "LayerNorm without weights, as OLMo 1"});
    visit(Field{"activation", &Llama::activation, {}, "of the gates"});
    visit(Field{"embedding_scale", &Llama::embedding_scale, above(0), "multiplies the embeddings"});
    visit(Field{"attention_scale", &Llama::attention_scale, at_least(0), "of q·k; 0: 1 / sqrt(head_dim)"});
    visit(Field{"soft_cap", &Llama::soft_cap, at_least(0), "of attention's scores, as Gemma 2; 0: none"});
    visit(Field{"logit_soft_cap", &Llama::logit_soft_cap, at_least(0),
                "of a language model's logits; 0: none"});
    visit(Field{"rotary_width", &Llama::rotary_width, any_value(),
                "columns of a head that are rotated; 0: all"});
    visit(Field{"windows", &Llama::windows, at_least(0), "positions each layer sees; 0: all"});
    visit(Field{"window_rope_base", &Llama::window_rope_base, at_least(0),
                "of rotary positions in layers with a window; 0: as in others"});
    visit(Field{"unrotated", &Llama::unrotated, at_least(0), "layers without positions, as SmolLM3"});
    visit(Field{"experts", &Llama::experts, between(0, most_experts), "MLPs to choose from; 0: one for all"});
    visit(Field{"experts_per_token", &Llama::experts_per_token, between(1, most_experts),
                "experts a token takes"});
    visit(Field{"expert_width", &Llama::expert_width, at_least(1), "width inside an expert"});
    visit(Field{"normalised_experts", &Llama::normalised_experts, {}, "the experts' weights add up to 1"});
    visit(Field{"dense_layers", &Llama::dense_layers, at_least(0), "layers without experts"});
    visit(Field{"projections", &Llama::projections, {}, "how they lie in a file"});
    visit(Field{"tied_embedding", &Llama::tied_embedding, {}, "the unembedding is the embedding"});
    visit(Field{"unembedding", &Llama::unembedding, {}, "holds the unembedding where it is not tied"});
    visit(Field{"init_deviation", &Llama::init_deviation, at_least(0),
                "standard deviation of the weights at the start; 0: 1/sqrt(inputs) of each matrix"});
    visit(Field{"frozen_layers", &Llama::frozen_layers, any_value(),
                "the embedding and the first N layers are not trained; 0: all are"});
    visit(Field{"recompute", &Llama::recompute, any_value(), detail::recompute_help});
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
    if (rotated_width() % 2 != 0 || rotated_width() > head_width()) {
      throw ConfigError(concat("llama: ", rotary_width != 0 ? "rotary_width" : "head_dim", " is ",
                               rotated_width(), ", expected an even number for rotary positions",
                               rotary_width != 0 ? concat(", at most head_dim, ", head_width()) : ""));
    }
    if (!(rope_scaling.factor >= 1)) {
      throw ConfigError(
          concat("llama: rope_scaling.factor is ", rope_scaling.factor, ", expected at least 1"));
    }
    detail::check_finite("llama: rope_scaling.factor", rope_scaling.factor);
    validate_rope_scaling();
    validate_layers();
    detail::check_layer_counts(*this);
  }

  friend bool operator==(const Llama&, const Llama&) = default;

 private:
  static constexpr double most_experts = 4096;

  /// What holds of some layers, and what cannot be together.
  void validate_layers() const {
    if (!windows.empty() && windows.size() != layers) {
      throw ConfigError(
          concat("llama: windows has ", windows.size(), " numbers, expected one for each layer, ", layers));
    }
    const auto check_numbers = [this](const char* field, const std::vector<Index>& numbers) {
      for (const Index number : numbers) {
        if (number < layers) continue;
        throw ConfigError(
            concat("llama: ", field, " names layer ", number, ", expected numbers below layers, ", layers));
      }
    };
    check_numbers("unrotated", unrotated);
    check_numbers("dense_layers", dense_layers);
    if (experts != 0 && experts_per_token > experts) {
      throw ConfigError(
          concat("llama: experts_per_token is ", experts_per_token, ", expected at most experts, ", experts));
    }
    if (experts != 0) size_product(experts, expert_width, "llama: experts times expert_width");
    const auto refuse = [](const char* what) {
      throw ConfigError(concat("llama: ", what, ", expected one of the two"));
    };
    if (head_norm && width_norm) refuse("head_norm and width_norm are both set");
    if (bare_norms && norm_around_one) refuse("bare_norms and norm_around_one are both set");
    if (experts != 0 && mlp_bias) refuse("experts and mlp_bias are both set");
  }

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
      if (scaling.short_factors.size() != rotated_width() / 2) {
        throw ConfigError(concat("llama: rope_scaling has ", scaling.short_factors.size(),
                                 " short factors, expected head_dim / 2 = ", rotated_width() / 2));
      }
      for (const double factor : scaling.short_factors) above("a short factor of rope_scaling", factor, 0);
    }
  }
};

}  // namespace MERIT_ABI
}  // namespace merit

#include "merit/backbone/llama_body.hpp"
