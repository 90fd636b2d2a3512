// Every number that a backbone cannot work with is refused in one sentence that names it.
#include <limits>
#include <string>

#include "models.hpp"

namespace settings_test {

using namespace merit;
using namespace merit_test;

template <class Backbone, class Change>
std::string refusal(Backbone settings, Change change) {
  change(settings);
  try {
    settings.validate();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}
template <class Change>
std::string llama(Change change) {
  return refusal(small_llama(), change);
}
template <class Change>
std::string gpt2(Change change) {
  return refusal(small_gpt2(), change);
}
using Kind = RotaryScaling::Kind;

TEST_CASE("the Llama settings that cannot be are named") {
  CHECK(llama([](Llama&) {}) == "accepted");
  CHECK(llama([](Llama& s) { s.vocabulary_size = 0; }) == "llama: vocabulary_size is 0, expected at least 1");
  CHECK(llama([](Llama& s) { s.hidden_size = 0; }) == "llama: hidden_size is 0, expected at least 1");
  CHECK(llama([](Llama& s) { s.intermediate_size = 0; }) ==
        "llama: intermediate_size is 0, expected at least 1");
  CHECK(llama([](Llama& s) { s.max_positions = 0; }) == "llama: max_positions is 0, expected at least 1");
  CHECK(llama([](Llama& s) { s.layers = 0; }) == "llama: layers is 0, expected 1 to 10000");
  CHECK(llama([](Llama& s) { s.heads = 0; }) == "llama: heads is 0, expected at least 1");
  CHECK(llama([](Llama& s) { s.kv_heads = 0; }) == "llama: kv_heads is 0, expected at least 1");
  CHECK(llama([](Llama& s) { s.heads = 4, s.kv_heads = 3; }) ==
        "llama: kv_heads is 3, expected a divisor of heads, 4");
  CHECK(llama([](Llama& s) { s.hidden_size = 9; }) ==
        "llama: hidden_size is 9, expected a multiple of heads, 2");
  CHECK(llama([](Llama& s) { s.hidden_size = 9, s.head_dim = 4; }) == "accepted");
  CHECK(llama([](Llama& s) { s.head_dim = 3; }) ==
        "llama: head_dim is 3, expected an even number for rotary positions");
  CHECK(llama([](Llama& s) { s.norm_epsilon = 0; }) ==
        "llama: norm_epsilon is 0, expected above 0 and at most 1");
  CHECK(llama([](Llama& s) { s.rope_base = std::numeric_limits<double>::quiet_NaN(); }) ==
        "llama: rope_base is nan, expected a number above 1");
  CHECK(llama([](Llama& s) { s.frozen_layers = 4; }) ==
        "llama: frozen_layers is 4, expected at most layers, 3");
}

TEST_CASE("the rotary scalings that cannot be are named") {
  CHECK(llama([](Llama& s) { s.rope_scaling = {.kind = Kind::linear, .factor = 0.5}; }) ==
        "llama: rope_scaling.factor is 0.5, expected at least 1");
  CHECK(llama([](Llama& s) {
          s.rope_scaling = {.kind = Kind::longrope, .short_factors = {1, 2, 3}};
        }) == "llama: rope_scaling has 3 short factors, expected head_dim / 2 = 2");
  CHECK(llama([](Llama& s) {
          s.rope_scaling = {.kind = Kind::longrope, .short_factors = {1, 0}};
        }) == "llama: a short factor of rope_scaling is 0, expected a number above 0");
  CHECK(llama([](Llama& s) { s.rope_scaling = {.kind = Kind::yarn, .original_positions = 0}; }) ==
        "llama: rope_scaling.original_positions is 0, expected a number above 1");
  CHECK(llama([](Llama& s) {
          s.rope_scaling = {.kind = Kind::llama3, .low_frequency_factor = 4, .high_frequency_factor = 4};
        }) == "llama: rope_scaling.high_frequency_factor is 4, expected a number above 4");
  for (const Kind kind : {Kind::none, Kind::linear, Kind::dynamic, Kind::yarn, Kind::llama3}) {
    CHECK(llama([&](Llama& s) { s.rope_scaling.kind = kind; }) == "accepted");
  }
}

TEST_CASE("the GPT-2 settings that cannot be are named") {
  CHECK(gpt2([](Gpt2&) {}) == "accepted");
  CHECK(gpt2([](Gpt2& s) { s.vocabulary_size = 0; }) == "gpt2: vocabulary_size is 0, expected at least 1");
  CHECK(gpt2([](Gpt2& s) { s.hidden_size = 0; }) == "gpt2: hidden_size is 0, expected at least 1");
  CHECK(gpt2([](Gpt2& s) { s.layers = 0; }) == "gpt2: layers is 0, expected 1 to 10000");
  CHECK(gpt2([](Gpt2& s) { s.heads = 0; }) == "gpt2: heads is 0, expected at least 1");
  CHECK(gpt2([](Gpt2& s) { s.heads = 3; }) == "gpt2: hidden_size is 8, expected a multiple of heads, 3");
  CHECK(gpt2([](Gpt2& s) { s.max_positions = 0; }) == "gpt2: max_positions is 0, expected at least 1");
  CHECK(gpt2([](Gpt2& s) { s.norm_epsilon = -1; }) ==
        "gpt2: norm_epsilon is -1, expected above 0 and at most 1");
  CHECK(gpt2([](Gpt2& s) { s.frozen_layers = 4; }) == "gpt2: frozen_layers is 4, expected at most layers, 3");
  CHECK(gpt2([](Gpt2& s) { s.recompute = 999; }) ==
        "gpt2: recompute is 999, expected at most 3, the layers that are trained, or all of them");
  CHECK(gpt2([](Gpt2& s) { s.frozen_layers = 2, s.recompute = 2; }) ==
        "gpt2: recompute is 2, expected at most 1, the layers that are trained, or all of them");
  for (const Index fits : {Index{1}, all_layers})
    CHECK(gpt2([&](Gpt2& s) { s.frozen_layers = 2, s.recompute = fits; }) == "accepted");
}

TEST_CASE("the settings of the backbones without attention are checked too") {
  CHECK(refusal(Features{}, [](Features&) {}) == "features: width is 0, expected at least 1");
  CHECK(refusal(BagOfTokens{}, [](BagOfTokens& s) { s.width = 0; }) ==
        "bag_of_tokens: width is 0, expected at least 1");
  CHECK(refusal(BagOfTokens{}, [](BagOfTokens& s) { s.vocabulary_size = 0; }) ==
        "bag_of_tokens: vocabulary_size is 0, expected at least 1");
}

TEST_CASE("a model refuses its settings before it allocates anything") {
  Model<Llama>::Config config{.backbone = small_llama()};
  config.backbone.hidden_size = ~Index{0} / 2 * 2;
  config.backbone.layers = 0;
  CHECK_THROWS_WITH_AS(Model<Llama>{config}, "llama: layers is 0, expected 1 to 10000", ConfigError);
}

}  // namespace settings_test
