// What is written reads back, or is refused when the model is made: every field of every backbone's configuration, at
// values of every kind, through save and load.
#include <cmath>
#include <string>

#include "written_back.hpp"

namespace written_back_test {

using namespace merit_test;

// Where one of these no longer compiles, the structure has another field: it needs values below.
[[maybe_unused]] void fields_of(const Llama& llama, const RotaryScaling& scaling) {
  [[maybe_unused]] const auto& [vocabulary, hidden, intermediate, layers, heads, kv_heads, head_dim, epsilon,
                                base, rope, positions, bias, o_bias, mlp_bias, norm, width_norm, place,
                                around, bare, activation, scale, attention_scale, cap, logit_cap, rotary,
                                windows, window_base, unrotated, experts, per_token, expert_width, normalised,
                                dense, projections, tied, unembedding, deviation, frozen, recompute] = llama;
  [[maybe_unused]] const auto& [kind, factor, low, high, original, fast, slow, attention, mscale, mscale_all,
                                truncate, factors] = scaling;
}
[[maybe_unused]] void fields_of(const GptNeox& neox) {
  [[maybe_unused]] const auto& [vocabulary, hidden, intermediate, layers, heads, positions, rotary, base,
                                epsilon, activation, parallel, bias, tied, unembedding, deviation, frozen,
                                recompute] = neox;
}
[[maybe_unused]] void fields_of(const Gpt2& gpt2, const BagOfTokens& bag, const Features& features) {
  [[maybe_unused]] const auto& [vocabulary, hidden, intermediate, layers, heads, positions, epsilon,
                                activation, deviation, frozen, recompute] = gpt2;
  [[maybe_unused]] const auto& [bag_vocabulary, bag_width, bag_deviation] = bag;
  [[maybe_unused]] const auto& [width] = features;
}
using Kind = RotaryScaling::Kind;

TEST_CASE("every value of every field of a Llama reads back") {
  check_kept<Llama>(
      written_llama,
      {{"vocabulary_size 1", [](Llama& l) { l.vocabulary_size = 1; }},
       {"vocabulary_size 300", [](Llama& l) { l.vocabulary_size = 300; }},
       {"hidden_size 12", [](Llama& l) { l.hidden_size = 12; }},
       {"intermediate_size 1", [](Llama& l) { l.intermediate_size = 1; }},
       {"layers 1", [](Llama& l) { l.layers = 1; }},
       {"layers 3", [](Llama& l) { l.layers = 3; }},
       {"heads 4", [](Llama& l) { l.heads = 4; }},
       {"kv_heads 2", [](Llama& l) { l.kv_heads = 2; }},
       {"head_dim 6", [](Llama& l) { l.head_dim = 6; }},
       {"head_dim 2", [](Llama& l) { l.head_dim = 2; }},
       {"norm_epsilon 1e-12", [](Llama& l) { l.norm_epsilon = 1e-12; }},
       {"norm_epsilon 1/3", [](Llama& l) { l.norm_epsilon = 1.0 / 3; }},
       {"rope_base 1.5", [](Llama& l) { l.rope_base = 1.5; }},
       {"rope_base 5e6", [](Llama& l) { l.rope_base = 5e6; }},
       {"max_positions 1", [](Llama& l) { l.max_positions = 1; }},
       {"max_positions 2^40", [](Llama& l) { l.max_positions = Index{1} << 40; }},
       {"qkv_bias", [](Llama& l) { l.qkv_bias = true; }},
       {"head_norm", [](Llama& l) { l.head_norm = true; }},
       {"qkv_bias and head_norm", [](Llama& l) { l.qkv_bias = l.head_norm = true; }},
       {"head_norm, head_dim 128", [](Llama& l) { l.head_norm = true, l.head_dim = 128; }},
       {"output_bias", [](Llama& l) { l.output_bias = true; }},
       {"attention_bias of transformers", [](Llama& l) { l.qkv_bias = l.output_bias = true; }},
       {"mlp_bias", [](Llama& l) { l.mlp_bias = true; }},
       {"width_norm", [](Llama& l) { l.width_norm = true; }},
       {"norms behind", [](Llama& l) { l.norm_place = NormPlace::after; }},
       {"OLMo 2", [](Llama& l) { l.norm_place = NormPlace::after, l.width_norm = true; }},
       {"norms on both sides", [](Llama& l) { l.norm_place = NormPlace::both; }},
       {"norm_around_one", [](Llama& l) { l.norm_around_one = true; }},
       {"bare_norms", [](Llama& l) { l.bare_norms = true; }},
       {"OLMo", [](Llama& l) { l.bare_norms = true, l.norm_epsilon = 1e-5; }},
       {"activation", [](Llama& l) { l.activation = ActivationFunction::gelu_tanh; }},
       {"embedding_scale", [](Llama& l) { l.embedding_scale = 1.0 / 3; }},
       {"attention_scale", [](Llama& l) { l.attention_scale = 1.0 / 3; }},
       {"soft_cap", [](Llama& l) { l.soft_cap = 50; }},
       {"logit_soft_cap", [](Llama& l) { l.logit_soft_cap = 30; }},
       {"rotary_width", [](Llama& l) { l.rotary_width = 2; }},
       {"Phi-3",
        [](Llama& l) {
          l.projections = Projections::fused, l.rotary_width = 2, l.windows = {3, 3};
        }},
       {"Phi-3, longrope",
        [](Llama& l) {
          l.projections = Projections::fused;
          l.rope_scaling = {.kind = Kind::longrope, .original_positions = 8, .short_factors = {1, 2}};
        }},
       {"InternLM2",
        [](Llama& l) { l.projections = Projections::grouped, l.qkv_bias = l.output_bias = true; }},
       {"a window",
        [](Llama& l) {
          l.windows = {4, 4};
        }},
       {"a window in one layer",
        [](Llama& l) {
          l.windows = {0, 4};
        }},
       {"two windows",
        [](Llama& l) {
          l.windows = {3, 4};
        }},
       {"window_rope_base",
        [](Llama& l) {
          l.windows = {4, 0}, l.window_rope_base = 100;
        }},
       {"window_rope_base without windows", [](Llama& l) { l.window_rope_base = 100; }},
       {"unrotated", [](Llama& l) { l.unrotated = {1}; }},
       {"experts", [](Llama& l) { l.experts = 9; }},
       {"Qwen3-MoE",
        [](Llama& l) { l.head_norm = true, l.experts = 3, l.experts_per_token = 2, l.expert_width = 5; }},
       {"experts, not normalised", [](Llama& l) { l.experts = 8, l.normalised_experts = false; }},
       {"experts in one layer", [](Llama& l) { l.experts = 8, l.dense_layers = {0}; }},
       {"Gemma",
        [](Llama& l) {
          l.norm_around_one = true, l.embedding_scale = std::sqrt(8.0);
          l.activation = ActivationFunction::gelu_tanh;
        }},
       {"Gemma 2",
        [](Llama& l) {
          l.norm_around_one = true, l.embedding_scale = std::sqrt(8.0), l.norm_place = NormPlace::both;
          l.activation = ActivationFunction::gelu_tanh, l.soft_cap = 50, l.windows = {4, 0};
          l.attention_scale = 1 / std::sqrt(9.0);
        }},
       {"Gemma 3",
        [](Llama& l) {
          l.norm_around_one = true, l.embedding_scale = std::sqrt(8.0), l.norm_place = NormPlace::both;
          l.activation = ActivationFunction::gelu_tanh, l.head_norm = true, l.windows = {4, 0};
          l.window_rope_base = 100, l.rope_scaling = {.kind = Kind::linear, .factor = 8};
        }},
       {"not tied", [](Llama& l) { l.tied_embedding = false; }},
       {"unembedding", [](Llama& l) { l.unembedding = true; }},
       {"unembedding, not tied", [](Llama& l) { l.unembedding = true, l.tied_embedding = false; }},
       {"init_deviation 0.02", [](Llama& l) { l.init_deviation = 0.02; }},
       {"init_deviation 1/3", [](Llama& l) { l.init_deviation = 1.0 / 3; }},
       {"linear", [](Llama& l) { l.rope_scaling = {.kind = Kind::linear}; }},
       {"linear 8/3", [](Llama& l) { l.rope_scaling = {.kind = Kind::linear, .factor = 8.0 / 3}; }},
       {"dynamic", [](Llama& l) { l.rope_scaling = {.kind = Kind::dynamic}; }},
       {"dynamic 2", [](Llama& l) { l.rope_scaling = {.kind = Kind::dynamic, .factor = 2}; }},
       {"llama3", [](Llama& l) { l.rope_scaling = {.kind = Kind::llama3}; }},
       {"llama3 factor", [](Llama& l) { l.rope_scaling = {.kind = Kind::llama3, .factor = 8}; }},
       {"llama3 low_frequency_factor",
        [](Llama& l) { l.rope_scaling = {.kind = Kind::llama3, .low_frequency_factor = 1.5}; }},
       {"llama3 high_frequency_factor",
        [](Llama& l) { l.rope_scaling = {.kind = Kind::llama3, .high_frequency_factor = 7.5}; }},
       {"llama3 original_positions",
        [](Llama& l) { l.rope_scaling = {.kind = Kind::llama3, .original_positions = 64}; }},
       {"yarn", [](Llama& l) { l.rope_scaling = {.kind = Kind::yarn}; }},
       {"yarn factor", [](Llama& l) { l.rope_scaling = {.kind = Kind::yarn, .factor = 2.5}; }},
       {"yarn original_positions",
        [](Llama& l) { l.rope_scaling = {.kind = Kind::yarn, .original_positions = 64}; }},
       {"yarn beta_fast", [](Llama& l) { l.rope_scaling = {.kind = Kind::yarn, .beta_fast = 20.5}; }},
       {"yarn beta_slow", [](Llama& l) { l.rope_scaling = {.kind = Kind::yarn, .beta_slow = 0.5}; }},
       {"yarn attention_factor",
        [](Llama& l) { l.rope_scaling = {.kind = Kind::yarn, .attention_factor = 1.25}; }},
       {"yarn mscale", [](Llama& l) { l.rope_scaling = {.kind = Kind::yarn, .mscale = 0.7}; }},
       {"yarn mscale_all_dim",
        [](Llama& l) { l.rope_scaling = {.kind = Kind::yarn, .mscale_all_dim = 0.9}; }},
       {"yarn not truncated", [](Llama& l) { l.rope_scaling = {.kind = Kind::yarn, .truncate = false}; }},
       {"longrope",
        [](Llama& l) {
          l.rope_scaling = {.kind = Kind::longrope, .short_factors = {1, 1.0 / 3}};
        }},
       {"longrope original_positions",
        [](Llama& l) {
          l.rope_scaling = {.kind = Kind::longrope, .original_positions = 8, .short_factors = {1, 2}};
        }},
       {"longrope attention_factor", [](Llama& l) {
          l.rope_scaling = {.kind = Kind::longrope, .attention_factor = 1.5, .short_factors = {1, 2}};
        }}});
}

TEST_CASE("a Llama is written as the family in transformers that has its numbers") {
  const auto kind = [](auto set) {
    Llama llama = written_llama;
    set(llama);
    return backbone_config_json(llama).at("model_type").template get<std::string>();
  };
  CHECK(kind([](Llama&) {}) == "llama");
  CHECK(kind([](Llama& l) { l.windows = {4, 4}; }) == "mistral");
  CHECK(kind([](Llama& l) { l.qkv_bias = true; }) == "qwen2");
  CHECK(kind([](Llama& l) { l.head_norm = true; }) == "qwen3");
  CHECK(kind([](Llama& l) { l.head_norm = true, l.windows = {0, 4}; }) == "qwen3");
  CHECK(kind([](Llama& l) { l.head_norm = true, l.experts = 8; }) == "qwen3_moe");
  CHECK(kind([](Llama& l) { l.unrotated = {0}; }) == "smollm3");
  CHECK(kind([](Llama& l) { l.projections = Projections::fused; }) == "phi3");
  CHECK(kind([](Llama& l) { l.projections = Projections::grouped; }) == "internlm2");
  CHECK(kind([](Llama& l) { l.bare_norms = true; }) == "olmo");
  CHECK(kind([](Llama& l) { l.norm_place = NormPlace::after, l.width_norm = true; }) == "olmo2");
  CHECK(kind([](Llama& l) {
          l.norm_place = NormPlace::after, l.width_norm = true, l.windows = {4, 0};
        }) == "olmo3");
  CHECK(kind([](Llama& l) { l.soft_cap = 2; }) == "merit_llama");
}

TEST_CASE("every value of every field of a GPT-NeoX reads back, or is refused") {
  const GptNeox small{.vocabulary_size = 7,
                      .hidden_size = 16,
                      .intermediate_size = 6,
                      .layers = 2,
                      .heads = 2,
                      .max_positions = 16,
                      .rotary_width = 2};
  check_kept<GptNeox>(small, {{"vocabulary_size", [](GptNeox& g) { g.vocabulary_size = 1; }},
                              {"hidden_size", [](GptNeox& g) { g.hidden_size = 12; }},
                              {"intermediate_size", [](GptNeox& g) { g.intermediate_size = 1; }},
                              {"layers", [](GptNeox& g) { g.layers = 1; }},
                              {"heads", [](GptNeox& g) { g.heads = 4; }},
                              {"max_positions", [](GptNeox& g) { g.max_positions = 1; }},
                              {"rotary_width", [](GptNeox& g) { g.rotary_width = 6; }},
                              {"rope_base", [](GptNeox& g) { g.rope_base = 1.5; }},
                              {"norm_epsilon", [](GptNeox& g) { g.norm_epsilon = 1.0 / 3; }},
                              {"activation", [](GptNeox& g) { g.activation = ActivationFunction::relu; }},
                              {"parallel_residual", [](GptNeox& g) { g.parallel_residual = false; }},
                              {"attention_bias", [](GptNeox& g) { g.attention_bias = false; }},
                              {"tied_embedding", [](GptNeox& g) { g.tied_embedding = true; }},
                              {"unembedding", [](GptNeox& g) { g.unembedding = true; }},
                              {"init_deviation", [](GptNeox& g) { g.init_deviation = 1.0 / 3; }}});
  check_refused<GptNeox>(small, {{"rotary_width 3", [](GptNeox& g) { g.rotary_width = 3; }},
                                 {"rotary_width 10", [](GptNeox& g) { g.rotary_width = 10; }},
                                 {"heads 3", [](GptNeox& g) { g.heads = 3; }},
                                 {"frozen_layers 3", [](GptNeox& g) { g.frozen_layers = 3; }}});
}

TEST_CASE("a head_dim that says what 0 says reads back as 0, and what is a matter of one run as by default") {
  Llama llama = written_llama;
  llama.head_dim = 4;
  CHECK((read_back(llama) == written_llama));
  for (const bool head_norm : {false, true}) {
    Llama run = written_llama;
    run.head_norm = head_norm;
    const Llama plain = run;
    run.frozen_layers = 1;
    run.recompute = all_layers;
    CHECK((read_back(run) == plain));
  }
}

TEST_CASE("a Llama that could not be read back is refused") {
  const auto scaled = [](RotaryScaling scaling) { return [=](Llama& l) { l.rope_scaling = scaling; }; };
  check_refused<Llama>(
      written_llama,
      {{"norm_epsilon inf", [](Llama& l) { l.norm_epsilon = infinity; }},
       {"norm_epsilon nan", [](Llama& l) { l.norm_epsilon = not_a_number; }},
       {"rope_base inf", [](Llama& l) { l.rope_base = infinity; }},
       {"init_deviation inf", [](Llama& l) { l.init_deviation = infinity; }},
       {"init_deviation nan", [](Llama& l) { l.init_deviation = not_a_number; }},
       {"init_deviation -1", [](Llama& l) { l.init_deviation = -1; }},
       {"windows for one layer", [](Llama& l) { l.windows = {4}; }},
       {"a third layer unrotated", [](Llama& l) { l.unrotated = {2}; }},
       {"a third layer dense", [](Llama& l) { l.dense_layers = {2}; }},
       {"more experts a token than there are", [](Llama& l) { l.experts = 7; }},
       {"two norms of heads", [](Llama& l) { l.head_norm = l.width_norm = true; }},
       {"bare norms around one", [](Llama& l) { l.bare_norms = l.norm_around_one = true; }},
       {"experts with biases", [](Llama& l) { l.experts = 8, l.mlp_bias = true; }},
       {"rotary_width 3", [](Llama& l) { l.rotary_width = 3; }},
       {"rotary_width 6", [](Llama& l) { l.rotary_width = 6; }},
       {"embedding_scale 0", [](Llama& l) { l.embedding_scale = 0; }},
       {"soft_cap -1", [](Llama& l) { l.soft_cap = -1; }},
       {"factor inf", scaled({.kind = Kind::linear, .factor = infinity})},
       {"original_positions 8.5", scaled({.kind = Kind::yarn, .original_positions = 8.5})},
       {"original_positions inf", scaled({.kind = Kind::llama3, .original_positions = infinity})},
       {"beta_fast below beta_slow", scaled({.kind = Kind::yarn, .beta_fast = 1, .beta_slow = 2})},
       {"beta_fast inf", scaled({.kind = Kind::yarn, .beta_fast = infinity})},
       {"attention_factor -1", scaled({.kind = Kind::yarn, .attention_factor = -1})},
       {"attention_factor nan", scaled({.kind = Kind::yarn, .attention_factor = not_a_number})},
       {"mscale -1", scaled({.kind = Kind::yarn, .mscale = -1})},
       {"mscale_all_dim inf", scaled({.kind = Kind::yarn, .mscale_all_dim = infinity})},
       {"none with factor", scaled({.factor = 2})},
       {"linear with low_frequency_factor", scaled({.kind = Kind::linear, .low_frequency_factor = 2})},
       {"yarn with high_frequency_factor", scaled({.kind = Kind::yarn, .high_frequency_factor = 5})},
       {"dynamic with original_positions", scaled({.kind = Kind::dynamic, .original_positions = 64})},
       {"llama3 with beta_fast", scaled({.kind = Kind::llama3, .beta_fast = 30})},
       {"llama3 with beta_slow", scaled({.kind = Kind::llama3, .beta_slow = 2})},
       {"linear with attention_factor", scaled({.kind = Kind::linear, .attention_factor = 1.5})},
       {"llama3 with mscale", scaled({.kind = Kind::llama3, .mscale = 1})},
       {"dynamic with mscale_all_dim", scaled({.kind = Kind::dynamic, .mscale_all_dim = 1})},
       {"llama3 not truncated", scaled({.kind = Kind::llama3, .truncate = false})},
       {"yarn with short_factors", scaled({.kind = Kind::yarn, .short_factors = {1, 2}})},
       {"longrope with factor", scaled({.kind = Kind::longrope, .factor = 2, .short_factors = {1, 2}})}});
  Llama llama = written_llama;
  llama.rope_scaling = {.kind = Kind::linear, .beta_slow = 3};
  CHECK_THROWS_WITH_AS(
      llama.validate(),
      "llama: rope_scaling.beta_slow is not as by default, expected it so: the kind linear does "
      "not use it",
      ConfigError);
}

const Gpt2 small_gpt2{.vocabulary_size = 7, .hidden_size = 8, .layers = 2, .heads = 2, .max_positions = 16};

TEST_CASE("every value of every field of a GPT-2 reads back, or is refused") {
  check_kept<Gpt2>(small_gpt2, {{"vocabulary_size", [](Gpt2& g) { g.vocabulary_size = 1; }},
                                {"hidden_size", [](Gpt2& g) { g.hidden_size = 6; }},
                                {"intermediate_size 1", [](Gpt2& g) { g.intermediate_size = 1; }},
                                {"intermediate_size 32", [](Gpt2& g) { g.intermediate_size = 32; }},
                                {"layers", [](Gpt2& g) { g.layers = 1; }},
                                {"heads", [](Gpt2& g) { g.heads = 8; }},
                                {"max_positions", [](Gpt2& g) { g.max_positions = 1; }},
                                {"norm_epsilon 1e-12", [](Gpt2& g) { g.norm_epsilon = 1e-12; }},
                                {"norm_epsilon 1/3", [](Gpt2& g) { g.norm_epsilon = 1.0 / 3; }},
                                {"gelu", [](Gpt2& g) { g.activation = ActivationFunction::gelu; }},
                                {"relu", [](Gpt2& g) { g.activation = ActivationFunction::relu; }},
                                {"init_deviation", [](Gpt2& g) { g.init_deviation = 1.0 / 3; }}});
  check_refused<Gpt2>(small_gpt2, {{"norm_epsilon inf", [](Gpt2& g) { g.norm_epsilon = infinity; }},
                                   {"init_deviation inf", [](Gpt2& g) { g.init_deviation = infinity; }},
                                   {"init_deviation nan", [](Gpt2& g) { g.init_deviation = not_a_number; }},
                                   {"init_deviation -1", [](Gpt2& g) { g.init_deviation = -1; }}});
  Gpt2 run = small_gpt2;
  run.frozen_layers = 1;
  run.recompute = all_layers;
  CHECK((read_back(run) == small_gpt2));
}

TEST_CASE("activations have the names that transformers knows them by") {
  const auto name = [](ActivationFunction activation) {
    Gpt2 gpt2 = small_gpt2;
    gpt2.activation = activation;
    return backbone_config_json(gpt2).at("activation_function");
  };
  CHECK(name(ActivationFunction::gelu) == "gelu");
  CHECK(name(ActivationFunction::gelu_tanh) == "gelu_new");
  CHECK(name(ActivationFunction::relu) == "relu");
}

TEST_CASE("every value of every field of the backbones without attention reads back, or is refused") {
  const BagOfTokens bag{.vocabulary_size = 5, .width = 3};
  check_kept<BagOfTokens>(bag, {{"vocabulary_size", [](BagOfTokens& b) { b.vocabulary_size = 1; }},
                                {"width", [](BagOfTokens& b) { b.width = 17; }},
                                {"init_deviation 0", [](BagOfTokens& b) { b.init_deviation = 0; }},
                                {"init_deviation 1/3", [](BagOfTokens& b) { b.init_deviation = 1.0 / 3; }}});
  check_refused<BagOfTokens>(bag,
                             {{"init_deviation inf", [](BagOfTokens& b) { b.init_deviation = infinity; }},
                              {"init_deviation nan", [](BagOfTokens& b) { b.init_deviation = not_a_number; }},
                              {"init_deviation -1", [](BagOfTokens& b) { b.init_deviation = -1; }}});
  check_kept<Features>({.width = 3}, {{"width", [](Features& f) { f.width = 1; }}});
}

}  // namespace written_back_test
