// Training, saving and scoring on a machine whose memory cannot be read from above: the same bits as on the
// reference backend, whose operations it has. Whatever above the waist follows a pointer itself, forgets to
// prepare a forest, or reads before it has waited fails here.
#include <doctest/doctest.h>

#include "../backend/opaque_backend.hpp"
#include "../io/temporary.hpp"
#include "../model/small_examples.hpp"
#include "fixtures.hpp"
#include "merit/model/aliases.hpp"
#include "merit/testing/gradcheck.hpp"
#include "merit/testing/values.hpp"

namespace opaque_test {

using namespace merit;
using namespace merit_test;
using Plain = ReferenceBackend<double>;
using Opaque = OpaqueBackend<double>;

template <class Model>
std::vector<double> all_values(const Model& model) {
  std::vector<double> all;
  for (Index i = 0; i < model.parameters().tensor_count(); ++i) {
    const auto tensor = merit::values_of(model.parameters(), i);
    all.insert(all.end(), tensor.begin(), tensor.end());
  }
  return all;
}

struct Outcome {
  std::vector<double> losses, values, loaded, scores;
  bool operator==(const Outcome&) const = default;
};

/// Four steps of which the second is saved and gone on from in new objects, the result saved and read back by
/// a model that only scores.
template <class Model, class Example>
Outcome outcome(const std::vector<Example>& examples, const typename Model::Config& config,
                const AnyOptimizer& optimizer) {
  Outcome result;
  const TemporaryDirectory directory;
  {
    Model model(config);
    Trainer trainer(model, examples, training::few_steps(optimizer));
    for (int i = 0; i < 2; ++i) result.losses.push_back(trainer.step().loss);
    save_run(directory / "run", model, trainer, {});
  }
  Model model(config);
  Trainer trainer(model, examples, training::few_steps(optimizer));
  resume_run(directory / "run", model, trainer);
  while (!trainer.finished()) result.losses.push_back(trainer.step().loss);
  result.values = all_values(model);
  save_model(directory / "model", model, {}, {.dtype = Dtype::bf16});

  auto scoring = config;
  scoring.initial = Initial::from_file;
  scoring.scores_only = true;
  Model scorer(scoring);
  load_model_parameters(directory / "model", scorer);
  result.loaded = all_values(scorer);
  BatchBuilder<Model> builder(scorer);
  for (const Example& example : examples) builder.add(example);
  builder.finish();
  const auto scores = scorer.score(builder.forest());
  result.scores.assign(scores.begin(), scores.end());
  return result;
}

template <template <class, class> class Alias, class Backbone, class Example>
void check_same(const Backbone& backbone, const std::vector<Example>& examples, const auto& head = {},
                const AnyOptimizer& optimizer = AdamW{}) {
  INFO(std::string(Backbone::name()));
  using OnPlain = Alias<Backbone, Plain>;
  using OnOpaque = Alias<Backbone, Opaque>;
  const Outcome expected =
      outcome<OnPlain>(examples, {.backbone = backbone, .head = head, .seed = 5}, optimizer);
  const Outcome found =
      outcome<OnOpaque>(examples, {.backbone = backbone, .head = head, .seed = 5}, optimizer);
  CHECK(found.losses == expected.losses);
  CHECK(found.values == expected.values);
  CHECK(found.loaded == expected.loaded);
  CHECK(found.scores == expected.scores);
  CHECK(expected.losses[0] > 0);
  CHECK(expected.loaded != expected.values);  // bfloat16 keeps 8 bits
}

TEST_CASE("a machine that cannot be looked into trains and scores as the reference does") {
  Llama qwen = tiny_reward_llama();
  qwen.qkv_bias = true;
  Llama normed = tiny_reward_llama();
  normed.head_norm = true;
  normed.recompute = merit::all_layers;
  Llama frozen = tiny_reward_llama();
  frozen.layers = 3;
  frozen.frozen_layers = 1;
  check_same<BradleyTerryModel>(tiny_reward_llama(), random_preferences(6), ScalarHead{.bias = true});
  check_same<BradleyTerryModel>(qwen, random_preferences(6), ScalarHead{});
  check_same<BradleyTerryModel>(normed, random_preferences(6), ScalarHead{});
  check_same<BradleyTerryModel>(frozen, random_preferences(6), ScalarHead{});
  check_same<BradleyTerryModel>(tiny_reward_gpt2(), random_preferences(6), ScalarHead{});
  check_same<ProcessRewardModel>(tiny_bag(), random_steps(6), StepHead<3>{});
  check_same<VerifierModel>(tiny_reward_llama(), random_outcomes(6),
                            typename VerifierModel<Llama, Plain>::HeadType{});
}

TEST_CASE("adapters, with dropout and magnitudes, are trained on a machine that cannot be looked into") {
  const auto losses = [](auto backend, const auto& backbone, const Lora& lora) {
    using Backend = decltype(backend);
    using Model = BradleyTerryModel<std::decay_t<decltype(backbone)>, Backend>;
    Model model({.backbone = backbone, .seed = 5, .adapters = {{.lora = lora}}});
    const auto examples = random_preferences(6);
    TrainOptions options;
    options.batch_size = 3;
    options.epochs = 3;
    options.schedule.peak = 0.05;
    Trainer trainer(model, examples, options);
    std::vector<double> result;
    while (!trainer.finished()) result.push_back(trainer.step().loss);
    merge_adapter(model.parameters());
    BatchBuilder<Model> builder(model);
    for (const auto& example : examples) builder.add(example);
    builder.finish();
    for (const auto score : model.score(builder.forest())) result.push_back(static_cast<double>(score));
    return result;
  };
  for (const Lora& lora :
       {Lora{.rank = 2, .dropout = 0.2}, Lora{.rank = 2, .dora = true, .bias = LoraBias::all}}) {
    CHECK(losses(Opaque{}, tiny_reward_llama(), lora) == losses(Plain{}, tiny_reward_llama(), lora));
    CHECK(losses(Opaque{}, tiny_reward_gpt2(), lora) == losses(Plain{}, tiny_reward_gpt2(), lora));
  }
}

TEST_CASE("every optimizer works on a machine that cannot be looked into") {
  for (const AnyOptimizer& optimizer : training::other_optimizers()) {
    INFO(std::string(name_of(optimizer)));
    check_same<BradleyTerryModel>(tiny_reward_llama(), random_preferences(6), ScalarHead{}, optimizer);
  }
}

TEST_CASE("vectors computed elsewhere reach a machine that cannot be looked into") {
  const std::vector<float> numbers{1, 2, 3, 4, 5, 6};
  const std::vector<std::uint32_t> rows{0, 1}, none(2, 0);
  ForestView<> forest;
  forest.rows = rows;
  forest.tokens = none;
  forest.features = {numbers.data(), 2, 3};
  using OnPlain = RewardModel<Features, ScalarHead, PairwiseLoss, Plain>;
  using OnOpaque = RewardModel<Features, ScalarHead, PairwiseLoss, Opaque>;
  OnPlain plain({.backbone = {.width = 3}});
  OnOpaque opaque({.backbone = {.width = 3}});
  const auto expected = plain.score(forest);
  const auto found = opaque.score(forest);
  CHECK(std::vector<double>(found.begin(), found.end()) ==
        std::vector<double>(expected.begin(), expected.end()));
  CHECK(found[0] != 0);
}

TEST_CASE("gradients are checked on a machine that cannot be looked into") {
  using Model = BradleyTerryModel<Gpt2, Opaque>;
  Model model({.backbone = tiny_reward_gpt2()});
  BatchBuilder<Model> builder(model);
  const auto examples = random_preferences(3);
  for (const auto& example : examples) builder.add(example);
  builder.finish();
  const GradientReport report = check_gradients(model, builder.forest(), builder.targets(), {.samples = 2});
  INFO(report);
  CHECK(report.checked > 0);
  CHECK(report.error < 1e-6);
}

// What would hand a host's memory to such a machine does not compile.
static_assert(!std::is_constructible_v<VectorView<double, OpaqueSpace>, std::vector<double>&>);
static_assert(std::is_constructible_v<VectorView<double>, std::vector<double>&>);
static_assert(!std::is_convertible_v<MatrixView<double>, MatrixView<const double, OpaqueSpace>>);
static_assert(!std::is_convertible_v<MatrixView<double>, WeightView<OpaqueSpace>>);
static_assert(!std::is_convertible_v<const ForestView<HostSpace>&, const ForestView<OpaqueSpace>&>);

}  // namespace opaque_test
