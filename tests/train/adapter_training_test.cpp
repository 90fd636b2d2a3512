// Training an adapter: the base stays, dropout does not depend on how a step is cut or shared, and a resumed run has the bits
// of one that never stopped.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "../io/temporary.hpp"
#include "fixtures.hpp"
#include "merit/model/adapter_files.hpp"
#include "merit/testing/tolerance.hpp"
#include "sanitized.hpp"

namespace adapter_training_test {

using merit::Index;
using merit_test::TemporaryDirectory;
using Examples = std::span<const merit::PreferenceExample>;

template <class Backend, class Backbone = merit::Llama>
struct Setting {
  using Model = merit::RewardModel<Backbone, merit::ScalarHead, merit::PairwiseLoss, Backend>;

  TemporaryDirectory directory;
  std::vector<merit::PreferenceExample> examples = training::sorted_pairs(17);
  typename Model::Config config{.backbone = {}, .initial = merit::Initial::from_file};
  merit::TrainOptions options;

  explicit Setting(const merit::Lora& lora, std::optional<merit::Dtype> stored = std::nullopt)
      : Setting(training::small_llama(), lora, stored) {}
  Setting(const Backbone& backbone, const merit::Lora& lora,
          std::optional<merit::Dtype> stored = std::nullopt) {
    config.backbone = backbone;
    Model base({.backbone = backbone, .seed = 3});
    merit::save_model(directory / "base", base, {}, {.dtype = stored});
    config.adapters = {{.lora = lora}};
    config.adapters.front().lora.base = (directory / "base").string();
    options = training::few_steps(merit::AdamW{});
    options.batch_size = 5;
    options.seed = 11;
  }
  Model model() const {
    Model made(config);
    merit::load_model_parameters(directory / "base", made);
    return made;
  }
  /// What is trained after so many steps.
  std::vector<typename Backend::Stat> trained(const merit::TrainOptions& chosen, int steps) const {
    Model made = model();
    merit::Trainer trainer(made, Examples(examples), chosen);
    for (int i = 0; i < steps; ++i) trainer.step();
    return training::values_of(made);
  }
};

const merit::Lora plain{.rank = 3, .alpha = 6};
const merit::Lora dropping{.rank = 3, .alpha = 6, .dropout = 0.3};

TEST_CASE("an adapter and the head are trained, and the base stays as its file stores it") {
  const Setting<merit::EigenBackend<float>> setting(plain, merit::Dtype::bf16);
  auto model = setting.model();
  const auto& parameters = model.parameters();
  const auto base_of = [&] {
    std::vector<std::vector<float>> all;
    for (Index i = 0; i < parameters.tensor_count(); ++i) {
      if (parameters.spec(i).trainable) continue;
      all.emplace_back(parameters.element_count(i));
      parameters.get(i, all.back().data());
    }
    return all;
  };
  const auto before = base_of();
  for (const Index i : parameters.trained()) {
    const std::string& name = parameters.spec(i).name;
    CHECK((name.find(".lora_") != name.npos || name == "score.weight"));
  }
  CHECK(parameters.trainable_elements() == 2 * 3 * ((16 + 16) * 2 + (16 + 8) * 2 + (16 + 24) * 3) + 16);
  const Index map = parameters.find("model.layers.0.mlp.down_proj.weight");
  CHECK(parameters.stored(map).dtype == merit::Dtype::bf16);
  merit::Trainer trainer(model, Examples(setting.examples), setting.options);
  const double first = trainer.step().loss;
  double last = first;
  while (!trainer.finished()) last = trainer.step().loss;
  CHECK(last < first);
  CHECK(base_of() == before);
  CHECK(parameters.stored(map).dtype == merit::Dtype::bf16);
}

TEST_CASE("a new adapter changes no score, nor does dropout while nothing is trained") {
  for (const merit::Lora& lora : {plain, dropping, merit::Lora{.rank = 2, .dora = true}}) {
    const Setting<merit::EigenBackend<double>> setting(lora);
    auto bare_config = setting.config;
    bare_config.adapters.clear();
    training::Llama<merit::EigenBackend<double>> bare(bare_config);
    merit::load_model_parameters(setting.directory / "base", bare);
    auto model = setting.model();
    merit::BatchBuilder batch(model), bare_batch(bare);
    for (const auto& example : setting.examples) batch.add(example), bare_batch.add(example);
    batch.finish(), bare_batch.finish();
    const auto scores = model.score(batch.forest()), expected = bare.score(bare_batch.forest());
    CHECK(merit::relative_error(std::vector<double>(scores.begin(), scores.end()),
                                std::vector<double>(expected.begin(), expected.end())) <= 1e-12);
  }
}

template <class Backbone>
void check_independent(const Backbone& backbone) {
  Setting<merit::EigenBackend<double>, Backbone> setting(backbone, dropping);
  const auto expected = setting.trained(setting.options, 4);
  merit::TrainOptions other = setting.options;
  other.micro_batch_tokens = 100000;
  CHECK(merit::relative_error(setting.trained(other, 4), expected) <= 1e-9);
  other.sharing = merit::Sharing::no;
  CHECK(merit::relative_error(setting.trained(other, 4), expected) <= 1e-9);
  other = setting.options;
  other.seed = 12;
  CHECK(merit::relative_error(setting.trained(other, 4), expected) > 1e-4);
  setting.config.backbone.recompute = merit::all_layers;
  CHECK(setting.trained(setting.options, 4) == expected);
  setting.config.adapters.front().lora.dropout = 0;
  CHECK(merit::relative_error(setting.trained(setting.options, 4), expected) > 1e-4);
}

/// Each token goes through two of three experts.
merit::Llama small_experts() {
  merit::Llama llama = training::small_llama();
  llama.head_norm = true;
  llama.experts = 3;
  llama.experts_per_token = 2;
  llama.expert_width = 6;
  return llama;
}

/// Distances have maps of their own, or those of the tokens.
merit::Deberta small_deberta(bool shared) {
  return {.vocabulary_size = 40,
          .hidden_size = 16,
          .intermediate_size = 24,
          .layers = 2,
          .heads = 2,
          .buckets = 4,
          .most_distance = 8,
          .shared_projections = shared,
          .init_deviation = 0.2};
}

TEST_CASE("a step with dropout does not depend on micro-batches, sharing or recomputed layers") {
  check_independent(training::small_llama());
  check_independent(small_experts());
  check_independent(small_deberta(true));
  check_independent(small_deberta(false));
}

/// The gradient of a step's loss beside differences of it: the same elements are dropped each time.
template <class Backbone>
void check_gradient(const Backbone& backbone) {
  Setting<merit::EigenBackend<double>, Backbone> setting(backbone, dropping);
  auto model = setting.model();
  auto& parameters = model.parameters();
  merit::Rng rng(5);
  for (const Index i : parameters.trained()) {  // B is zero at first: then nothing is seen of A
    std::vector<double> values(parameters.element_count(i));
    for (double& value : values) value = 0.3 * rng.normal();
    parameters.set(i, values.data());
  }
  merit::BatchBuilder batch(model);
  for (Index i = 0; i < 4; ++i) batch.add(setting.examples[i]);
  batch.finish();
  const auto loss = [&] {
    parameters.set_dropout_place(11, 3);
    model.begin_step();
    const double value =
        model.accumulate(batch.forest(), batch.targets(), model.loss().normaliser(batch.targets()));
    model.end_step();
    return value;
  };
  loss();
  const std::vector<double> all = training::gradients_of(model);
  std::vector<double> found, expected;
  // Of each trained tensor some elements; under the sanitizers a few.
  constexpr Index stride = MERIT_TEST_SANITIZED != 0 ? 97 : 19;
  for (const Index i : parameters.trained()) {
    const Index offset = parameters.offset(i), count = parameters.element_count(i);
    std::vector<double> values(count);
    parameters.get(i, values.data());
    for (Index e = rng.below(std::min(stride, count)); e < count; e += stride) {
      const auto at = [&](double change) {
        const double kept = values[e];
        values[e] += change;
        parameters.set(i, values.data());
        values[e] = kept;
        return loss();
      };
      constexpr double step = 1e-5;
      expected.push_back((at(step) - at(-step)) / (2 * step));
      found.push_back(all[offset + e]);
    }
    parameters.set(i, values.data());
  }
  CHECK(found.size() > (MERIT_TEST_SANITIZED != 0 ? parameters.trained().size() - 1 : 60));
  CHECK(merit::relative_error(found, expected) < 1e-6);
}

TEST_CASE("gradients under dropout are those of experts and of DeBERTa's distances too") {
  check_gradient(small_experts());
  check_gradient(small_deberta(true));
  check_gradient(small_deberta(false));
}

TEST_CASE("each step drops other elements") {
  Setting<merit::EigenBackend<double>> setting(dropping);
  setting.options.schedule.peak = 1e-300;  // nothing moves
  auto model = setting.model();
  for (const Index i : model.parameters().trained()) {  // B is zero at first: then nothing is seen of A
    std::vector<double> values(model.parameters().element_count(i), 0.1);
    model.parameters().set(i, values.data());
  }
  merit::TrainOptions whole = setting.options;
  whole.batch_size = setting.examples.size();
  merit::Trainer trainer(model, Examples(setting.examples), whole);
  const double first = trainer.step().loss;
  CHECK(std::abs(trainer.step().loss - first) > 1e-6);
}

template <class Backend>
void check_resume(const merit::Lora& lora) {
  using Model = training::Llama<Backend>;
  const Setting<Backend> setting(lora);
  const auto straight = setting.trained(setting.options, 6);
  const auto run = setting.directory / "run";
  {
    Model model = setting.model();
    merit::Trainer trainer(model, Examples(setting.examples), setting.options);
    for (int i = 0; i < 4; ++i) trainer.step();
    merit::save_run(run, model, trainer, {});
  }
  CHECK(merit::is_adapter(run));
  CHECK_FALSE(std::filesystem::exists(run / "model.safetensors"));
  Model model(setting.config);
  merit::Trainer trainer(model, Examples(setting.examples), setting.options);
  CHECK(merit::resume_run(run, model, trainer) == 4);
  for (int i = 0; i < 2; ++i) trainer.step();
  CHECK(training::values_of(model) == straight);

  auto changed = setting.config;
  changed.adapters.front().lora.alpha = 7;
  Model wrong(changed);
  merit::Trainer other(wrong, Examples(setting.examples), setting.options);
  CHECK_THROWS_WITH_AS(merit::resume_run(run, wrong, other),
                       doctest::Contains("adapter.alpha is 6.0, expected 7.0"), merit::ConfigError);
}

TEST_CASE("a resumed run of an adapter has the bits of one that never stopped") {
  check_resume<merit::ReferenceBackend<double>>(dropping);
  check_resume<merit::EigenBackend<float>>(dropping);
  check_resume<merit::EigenBackend<float>>({.rank = 2, .alpha = 6, .dropout = 0.1, .dora = true});
}

TEST_CASE("settings of adapters that cannot be are refused") {
  using Model = training::Llama<merit::ReferenceBackend<double>>;
  const auto why = [](const merit::Lora& lora, auto change) -> std::string {
    typename Model::Config config{.backbone = training::small_llama(), .adapters = {{.lora = lora}}};
    change(config);
    try {
      const Model model(config);
    } catch (const merit::ConfigError& error) {
      return error.what();
    }
    return "nothing";
  };
  const auto as_it_is = [](auto&) {};
  CHECK(why({}, as_it_is) == "nothing");
  CHECK(
      why({.targets = {"q_proj", "qproj"}}, as_it_is) ==
      "lora: the target \"qproj\" is no linear map inside a layer, expected one of: down_proj, gate_proj, k_proj, "
      "o_proj, q_proj, up_proj, v_proj");
  CHECK(why({.pattern = "nothing"}, as_it_is) ==
        "lora: a pattern is given without the targets that it matches, expected expand_pattern() before");
  const std::vector<std::string> maps = {"model.layers.0.self_attn.q_proj",
                                         "model.layers.1.self_attn.q_proj"};
  const auto expanded = [&](const std::string& pattern) {
    merit::Lora lora{.pattern = pattern};
    merit::expand_pattern(lora, maps);
    return lora.targets;
  };
  CHECK(expanded(".*q_proj") == maps);
  CHECK(expanded(".*1.*") == std::vector<std::string>{maps[1]});
  CHECK_THROWS_WITH_AS(
      expanded("q_proj"),
      "lora: the pattern of targets is \"q_proj\", expected one that matches the whole name of a linear "
      "map inside a layer, such as model.layers.0.self_attn.q_proj",
      merit::ConfigError);
  CHECK_THROWS_WITH_AS(expanded("(?P<x>q_proj)"),
                       doctest::Contains("expected a regular expression as ECMAScript writes it"),
                       merit::ConfigError);
  CHECK(why({.targets = {"q_proj"}, .rank_pattern = {{"v_proj", 2}}}, as_it_is) ==
        "lora: rank_pattern names \"v_proj\", which is none of the targets");
  CHECK(why({.targets = {"q_proj"}, .rank_pattern = {{"layers.1.self_attn.q_proj", 2}}}, as_it_is) ==
        "nothing");
  CHECK(why({.also_trained = {"embed"}}, as_it_is) ==
        "lora: \"embed\", which is to be trained too, is no module of the model");
  CHECK(why({.also_trained = {"embed_tokens", "layers.0.input_layernorm"}}, as_it_is) == "nothing");
  CHECK(why({.dropout = 1}, as_it_is) == "lora: dropout is 1, expected at least 0 and below 1");
  CHECK(why({}, [](auto& config) {
          config.adapters.push_back({"other", {}});
        }) == "lora: several adapters are given to a model that is trained, expected one");
  CHECK(why({}, [](auto& config) {
          config.scores_only = true;
          config.adapters.push_back({});
        }) == "lora: two adapters are called \"default\"");
  CHECK(
      why({.bias = merit::LoraBias::lora_only, .targets = {"q_proj"}},
          [](auto& config) { config.backbone.qkv_bias = true; })
          .find(
              "of model.layers.0.self_attn.q_proj.bias and model.layers.0.self_attn.k_proj.bias, which the model computes "
              "as one") != std::string::npos);
  CHECK(why({.bias = merit::LoraBias::all}, [](auto& config) { config.backbone.qkv_bias = true; }) ==
        "nothing");
}

}  // namespace adapter_training_test
