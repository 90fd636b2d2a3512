// What is written reads back, or is refused when the model is made: every field of every backbone's
// configuration and of the card, at values of every kind, through save and load.
#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "../io/temporary.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"

namespace written_back_test {

using namespace merit;
using merit_test::TemporaryDirectory;

template <class Backbone, class Backend = ReferenceBackend<double>>
using ModelOf = RewardModel<Backbone, ScalarHead, PairwiseLoss, Backend>;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// One value of one field.
template <class T>
struct Value {
  std::string name;
  std::function<void(T&)> set;
};

/// The configuration in a checkpoint of a model with it.
template <class Backbone>
Backbone read_back(const Backbone& backbone) {
  const TemporaryDirectory directory;
  ModelOf<Backbone> model({.backbone = backbone});
  save_model(directory / "m", model);
  const BackboneConfig read = read_backbone_config(directory / "m");
  REQUIRE(std::holds_alternative<Backbone>(read));
  CHECK_NOTHROW(load_model_parameters(directory / "m", model));
  return std::get<Backbone>(read);
}

/// Each value alone, set in `plain`, reads back as it is.
template <class Backbone>
void check_kept(const Backbone& plain, const std::vector<Value<Backbone>>& values) {
  CHECK((read_back(plain) == plain));
  for (const Value<Backbone>& value : values) {
    CAPTURE(value.name);
    Backbone changed = plain;
    value.set(changed);
    CHECK(!(changed == plain));
    CHECK((read_back(changed) == changed));
  }
}

/// Each value is refused when the model is made.
template <class Backbone>
void check_refused(const Backbone& plain, const std::vector<Value<Backbone>>& values) {
  for (const Value<Backbone>& value : values) {
    CAPTURE(value.name);
    Backbone changed = plain;
    value.set(changed);
    CHECK_THROWS_AS(ModelOf<Backbone>({.backbone = changed}), ConfigError);
  }
}

// Where one of these no longer compiles, the structure has another field: it needs values below.
[[maybe_unused]] void fields_of(const Llama& llama, const RotaryScaling& scaling) {
  [[maybe_unused]] const auto& [vocabulary, hidden, intermediate, layers, heads, kv_heads, head_dim, epsilon,
                                base, rope, positions, bias, norm, tied, unembedding, deviation, frozen,
                                recompute] = llama;
  [[maybe_unused]] const auto& [kind, factor, low, high, original, fast, slow, attention, mscale, mscale_all,
                                truncate, factors] = scaling;
}
[[maybe_unused]] void fields_of(const Gpt2& gpt2, const BagOfTokens& bag, const Features& features) {
  [[maybe_unused]] const auto& [vocabulary, hidden, intermediate, layers, heads, positions, epsilon,
                                activation, deviation, frozen, recompute] = gpt2;
  [[maybe_unused]] const auto& [bag_vocabulary, bag_width, bag_deviation] = bag;
  [[maybe_unused]] const auto& [width] = features;
}
[[maybe_unused]] void fields_of(const ModelCard& card) {
  [[maybe_unused]] const auto& [version, backbone, head, loss, tokenizer, template_name, hash, chat,
                                truncation, tokens, without, eos, raw, kind, separator, layout, labels,
                                reading, aggregation, calibration, scale, offset, mean, deviation, other] =
      card;
}

const Llama small_llama{.vocabulary_size = 7,
                        .hidden_size = 8,
                        .intermediate_size = 6,
                        .layers = 2,
                        .heads = 2,
                        .kv_heads = 1,
                        .max_positions = 16};

using Kind = RotaryScaling::Kind;

TEST_CASE("every value of every field of a Llama reads back") {
  check_kept<Llama>(
      small_llama,
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

TEST_CASE("a head_dim that says what 0 says reads back as 0, and what is a matter of one run as by default") {
  Llama llama = small_llama;
  llama.head_dim = 4;
  CHECK((read_back(llama) == small_llama));
  for (const bool head_norm : {false, true}) {
    Llama run = small_llama;
    run.head_norm = head_norm;
    const Llama plain = run;
    run.frozen_layers = 1;
    run.recompute = true;
    CHECK((read_back(run) == plain));
  }
}

TEST_CASE("a Llama that could not be read back is refused") {
  const auto scaled = [](RotaryScaling scaling) { return [=](Llama& l) { l.rope_scaling = scaling; }; };
  check_refused<Llama>(
      small_llama,
      {{"norm_epsilon inf", [](Llama& l) { l.norm_epsilon = infinity; }},
       {"norm_epsilon nan", [](Llama& l) { l.norm_epsilon = not_a_number; }},
       {"rope_base inf", [](Llama& l) { l.rope_base = infinity; }},
       {"init_deviation inf", [](Llama& l) { l.init_deviation = infinity; }},
       {"init_deviation nan", [](Llama& l) { l.init_deviation = not_a_number; }},
       {"init_deviation -1", [](Llama& l) { l.init_deviation = -1; }},
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
  Llama llama = small_llama;
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
  run.recompute = true;
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

using Bag = ModelOf<BagOfTokens>;
const Bag::Config small_bag{.backbone = {.vocabulary_size = 5, .width = 3}};

TEST_CASE("every value of every field of the card reads back") {
  const std::string odd = "\"ü\\\n\t\x01 {}";
  const std::vector<Value<ModelCard>> values{
      {"tokenizer", [&](ModelCard& c) { c.tokenizer = odd; }},
      {"template_name", [](ModelCard& c) { c.template_name = "chat"; }},
      {"template_hash", [](ModelCard& c) { c.template_hash = "12ab"; }},
      {"strings_as_chat", [](ModelCard& c) { c.strings_as_chat = true; }},
      {"truncation", [](ModelCard& c) { c.truncation = "drop"; }},
      {"max_tokens", [](ModelCard& c) { c.max_tokens = std::numeric_limits<Index>::max(); }},
      {"without_prompt", [](ModelCard& c) { c.without_prompt = true; }},
      {"append_eos", [](ModelCard& c) { c.append_eos = false; }},
      {"raw_scores", [](ModelCard& c) { c.raw_scores = false; }},
      {"kind", [](ModelCard& c) { c.kind = "steps"; }},
      {"step_separator", [](ModelCard& c) { c.step_separator = "\n\n"; }},
      {"step_layout", [](ModelCard& c) { c.step_layout = "plain"; }},
      {"one label", [&](ModelCard& c) { c.labels = {odd}; }},
      {"labels",
       [](ModelCard& c) {
         c.labels = {"bad", "", "good"};
       }},
      {"reading", [](ModelCard& c) { c.reading = "last_not_pad:5"; }},
      {"aggregation", [](ModelCard& c) { c.aggregation = "minimum"; }},
      {"calibration", [](ModelCard& c) { c.calibration = "platt"; }},
      {"calibration_scale", [](ModelCard& c) { c.calibration_scale = 1.0 / 3; }},
      {"calibration_scale, least", [](ModelCard& c) { c.calibration_scale = 1e-100; }},
      {"calibration_offset", [](ModelCard& c) { c.calibration_offset = -1e-300; }},
      {"reward_mean 0", [](ModelCard& c) { c.reward_mean = 0; }},
      {"reward_mean", [](ModelCard& c) { c.reward_mean = -1e100; }},
      {"reward_deviation", [](ModelCard& c) { c.reward_deviation = 1e100; }},
      {"other", [](ModelCard& c) {
         c.other = {{"from_the_future", {1, nullptr, "a"}}};
       }}};
  Bag model(small_bag);
  for (const Value<ModelCard>& value : values) {
    CAPTURE(value.name);
    ModelCard card;
    value.set(card);
    CHECK(!(card == ModelCard{}));
    const TemporaryDirectory directory;
    save_model(directory / "m", model, card);
    const auto read = read_model_card(directory / "m");
    REQUIRE(read.has_value());
    CHECK((*read == described(model, card)));
  }
  // What is filled in from the model.
  ModelCard own;
  own.merit_version = "0.0.9";
  own.backbone = "own";
  own.head = {{"name", "h"}};
  own.loss = {{"name", "l"}};
  CHECK((model_card_from(to_json(own), "card") == own));
}

TEST_CASE("a card that could not be read back is refused, and nothing is written") {
  const std::vector<Value<ModelCard>> values{
      {"calibration_scale", [](ModelCard& c) { c.calibration_scale = infinity; }},
      {"calibration_scale 0", [](ModelCard& c) { c.calibration_scale = 0; }},
      {"calibration_scale -1", [](ModelCard& c) { c.calibration_scale = -1; }},
      {"calibration_scale 1e308", [](ModelCard& c) { c.calibration_scale = 1e308; }},
      {"calibration_offset", [](ModelCard& c) { c.calibration_offset = not_a_number; }},
      {"reward_mean", [](ModelCard& c) { c.reward_mean = not_a_number; }},
      {"reward_mean -1e308", [](ModelCard& c) { c.reward_mean = -1e308; }},
      {"reward_deviation", [](ModelCard& c) { c.reward_deviation = infinity; }},
      {"reward_deviation 0", [](ModelCard& c) { c.reward_deviation = 0; }},
      {"reward_deviation -1", [](ModelCard& c) { c.reward_deviation = -1; }},
      {"reward_deviation 5e-324", [](ModelCard& c) { c.reward_deviation = 5e-324; }},
      {"other", [](ModelCard& c) {
         c.other = {{"kind", "steps"}};
       }}};
  Bag model(small_bag);
  for (const Value<ModelCard>& value : values) {
    CAPTURE(value.name);
    ModelCard card;
    value.set(card);
    const TemporaryDirectory directory;
    CHECK_THROWS_AS(save_model(directory / "m", model, card), ConfigError);
    CHECK(!std::filesystem::exists(directory / "m"));
  }
}

template <class T>
void check_dtype(std::optional<Dtype> asked, const char* torch_name, const char* file_name) {
  CAPTURE(torch_name);
  const TemporaryDirectory directory;
  ModelOf<Llama, ReferenceBackend<T>> model({.backbone = small_llama});
  save_model(directory / "m", model, {}, {.dtype = asked});
  CHECK(read_json(directory / "m/config.json").at("torch_dtype") == torch_name);
  const SafetensorsFile file(directory / "m/model.safetensors");
  CHECK(!file.tensors().empty());
  for (const TensorInfo& tensor : file.tensors()) CHECK(tensor.dtype_name == file_name);
}

TEST_CASE("config.json says the type of the weights beside it") {
  check_dtype<float>({}, "float32", "F32");
  check_dtype<double>({}, "float64", "F64");
  check_dtype<double>(Dtype::f32, "float32", "F32");
  check_dtype<float>(Dtype::f64, "float64", "F64");
  check_dtype<float>(Dtype::f16, "float16", "F16");
  check_dtype<float>(Dtype::bf16, "bfloat16", "BF16");
}

}  // namespace written_back_test
