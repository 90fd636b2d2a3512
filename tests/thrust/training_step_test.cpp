// Whole training steps on the device backend, against the reference backend, and of its systems among each other.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "../allocations.hpp"
#include "../io/temporary.hpp"
#include "../model/small_examples.hpp"
#include "../train/fixtures.hpp"
#include "merit/backend/thrust/thrust_backend.hpp"
#include "merit/model/aliases.hpp"
#include "merit/testing/tolerance.hpp"
#include "merit/testing/values.hpp"

namespace training_step_test {

using namespace merit;
using namespace merit_test;
using Plain = ReferenceBackend<double>;
// On a GPU both systems are the one there is.
#ifdef MERIT_TEST_DEVICE
using Omp = CudaSystem;
using Cpp = CudaSystem;
#else
using Omp = OmpSystem;
using Cpp = CppSystem;
#endif
using OmpSingle = ThrustBackend<Single, Omp>;
using OmpNarrow = ThrustBackend<BFloat16, Omp>;

/// All that a few steps leave behind.
struct Outcome {
  std::vector<double> losses, norms, gradients, values, scores;
  std::vector<Index> tokens;
  bool operator==(const Outcome&) const = default;
};

template <class Model, class Example>
std::vector<double> scores_of(Model& model, const std::vector<Example>& examples) {
  BatchBuilder<Model> builder(model);
  for (const Example& example : examples) builder.add(example);
  builder.finish();
  const auto scores = model.score(builder.forest());
  return {scores.begin(), scores.end()};
}

/// All parameters, tensor by tensor: blocks of other types have other gaps between them.
template <class Model>
std::vector<double> all_values(const Model& model) {
  std::vector<double> all;
  for (Index i = 0; i < model.parameters().tensor_count(); ++i) {
    const auto tensor = merit::values_of(model.parameters(), i);
    all.insert(all.end(), tensor.begin(), tensor.end());
  }
  return all;
}

/// The same of the gradients of what is trained.
template <class Model>
std::vector<double> all_gradients(Model& model) {
  const auto block = training::gradients_of(model);
  std::vector<double> all;
  for (const Index i : model.parameters().trained()) {
    const auto begin = block.begin() + static_cast<std::ptrdiff_t>(model.parameters().offset(i));
    all.insert(all.end(), begin, begin + static_cast<std::ptrdiff_t>(model.parameters().element_count(i)));
  }
  return all;
}

/// Four steps with `optimizer`; the gradients are those of the first.
template <class Model, class Example>
Outcome outcome(const std::vector<Example>& examples, const typename Model::Config& config,
                const AnyOptimizer& optimizer) {
  Outcome result;
  Model model(config);
  result.scores = scores_of(model, examples);
  Trainer trainer(model, examples, training::few_steps(optimizer));
  while (!trainer.finished()) {
    const StepReport report = trainer.step();
    result.losses.push_back(report.loss);
    result.norms.push_back(report.gradient_norm);
    result.tokens.push_back(report.tokens);
    if (result.losses.size() == 1) result.gradients = all_gradients(model);
  }
  result.values = all_values(model);
  return result;
}

/// One rounding to bfloat16 moves a number by 2^-9 of itself. Between tokens and scores of two layers lie about
/// 16 of them, and as many on the way back; that none of them makes up for another is the worst there is.
template <class B>
constexpr double forward_tolerance = narrow_activations<B> ? 16 * 0x1p-9 : Tolerance<float>::value;
template <class B>
constexpr double gradient_tolerance = narrow_activations<B> ? 32 * 0x1p-9 : Tolerance<float>::gradient;

/// `B` against the reference in double, from the same start.
template <class B, template <class, class> class Alias, class Backbone, class Example, class Head>
void check_against_reference(const Backbone& backbone, const std::vector<Example>& examples,
                             const Head& head) {
  const AnyOptimizer optimizer = Sgd{.momentum = 0.9, .weight_decay = 0.01};
  const Outcome expected =
      outcome<Alias<Backbone, Plain>>(examples, {.backbone = backbone, .head = head, .seed = 5}, optimizer);
  const Outcome found =
      outcome<Alias<Backbone, B>>(examples, {.backbone = backbone, .head = head, .seed = 5}, optimizer);
  CHECK(found.tokens == expected.tokens);
  CHECK(relative_error(found.scores, expected.scores) <= forward_tolerance<B>);
  CHECK(relative_error(found.losses, expected.losses) <= forward_tolerance<B>);
  CHECK(relative_error(found.norms, expected.norms) <= gradient_tolerance<B>);
  CHECK(relative_error(found.gradients, expected.gradients) <= gradient_tolerance<B>);
  CHECK(relative_error(found.values, expected.values) <= gradient_tolerance<B>);
}

// Both systems of the host have the same bits: see below.
TEST_CASE_TEMPLATE("training steps are the reference's", B, OmpSingle, OmpNarrow) {
  Llama qwen = tiny_reward_llama();
  qwen.qkv_bias = qwen.head_norm = true;
  qwen.recompute = merit::all_layers;
  Llama frozen = tiny_reward_llama();
  frozen.layers = 3;
  frozen.frozen_layers = 1;
  check_against_reference<B, BradleyTerryModel>(tiny_reward_llama(), random_preferences(6),
                                                ScalarHead{.bias = true});
  check_against_reference<B, BradleyTerryModel>(qwen, random_preferences(6), ScalarHead{});
  check_against_reference<B, BradleyTerryModel>(frozen, random_preferences(6), ScalarHead{});
  check_against_reference<B, BradleyTerryModel>(tiny_reward_gpt2(), random_preferences(6), ScalarHead{});
  check_against_reference<B, ProcessRewardModel>(tiny_bag(), random_steps(6), StepHead<3>{});
  check_against_reference<B, VerifierModel>(tiny_reward_llama(), random_outcomes(6),
                                            typename VerifierModel<Llama, B>::HeadType{});
}

template <class B, class Backbone>
Outcome with_threads(int threads, const Backbone& backbone, const AnyOptimizer& optimizer) {
  return outcome<BradleyTerryModel<Backbone, B>>(
      random_preferences(9), {.backbone = backbone, .backend = {.threads = threads}, .seed = 5}, optimizer);
}

TEST_CASE_TEMPLATE("training has the same bits on any system and any number of threads", P, Single,
                   BFloat16) {
  using Threaded = ThrustBackend<P, Omp>;
  std::vector<AnyOptimizer> optimizers = training::other_optimizers();
  optimizers.push_back(AdamW{});
  for (const AnyOptimizer& optimizer : optimizers) {
    INFO(std::string(name_of(optimizer)));
    const Outcome alone = with_threads<Threaded>(1, tiny_reward_llama(), optimizer);
    CHECK(std::isfinite(alone.losses.back()));
    CHECK(alone.losses.back() < alone.losses.front());
    CHECK(with_threads<Threaded>(2, tiny_reward_llama(), optimizer) == alone);
    CHECK(with_threads<Threaded>(3, tiny_reward_llama(), optimizer) == alone);
    CHECK(with_threads<ThrustBackend<P, Cpp>>(1, tiny_reward_llama(), optimizer) == alone);
  }
  const Outcome alone = with_threads<Threaded>(1, tiny_reward_gpt2(), AdamW{});
  CHECK(with_threads<Threaded>(2, tiny_reward_gpt2(), AdamW{}) == alone);
  CHECK(with_threads<Threaded>(3, tiny_reward_gpt2(), AdamW{}) == alone);
}

TEST_CASE("heads compute in float where activations are narrow") {
  using Model = BradleyTerryModel<Llama, OmpNarrow>;
  Model model({.backbone = tiny_reward_llama(), .seed = 5});
  const std::vector<double> scores = scores_of(model, random_preferences(6));
  Index rounded = 0;
  for (const double score : scores)
    rounded += static_cast<double>(from_bf16(to_bf16(static_cast<float>(score)))) == score;
  CHECK(rounded == 0);
}

TEST_CASE("what one backend saves another reads, to the bit") {
  const TemporaryDirectory directory;
  const auto examples = random_preferences(6);
  using Saved = BradleyTerryModel<Llama, OmpNarrow>;
  Saved trained({.backbone = tiny_reward_llama()});
  Trainer trainer(trained, examples, training::few_steps(AdamW{}));
  while (!trainer.finished()) trainer.step();
  save_model(directory / "model", trained, {});
  const std::vector<double> values = all_values(trained);

  const auto loaded = [&]<class Model>(std::type_identity<Model>) {
    typename Model::Config config{.backbone = tiny_reward_llama()};
    config.initial = Initial::from_file;
    Model model(config);
    load_model_parameters(directory / "model", model);
    CHECK(all_values(model) == values);
    return scores_of(model, examples);
  };
  const auto reference = loaded(std::type_identity<BradleyTerryModel<Llama, Plain>>{});
  const auto single = loaded(std::type_identity<BradleyTerryModel<Llama, OmpSingle>>{});
  const auto narrow = loaded(std::type_identity<Saved>{});
  CHECK(narrow == scores_of(trained, examples));
  CHECK(relative_error(single, reference) <= forward_tolerance<OmpSingle>);
  CHECK(relative_error(narrow, reference) <= forward_tolerance<OmpNarrow>);
}

TEST_CASE("a run that stops and goes on has the bits of one that does not stop") {
  using Model = BradleyTerryModel<Gpt2, OmpNarrow>;
  const TemporaryDirectory directory;
  const auto examples = random_preferences(6);
  const Model::Config config{.backbone = tiny_reward_gpt2()};
  Model whole(config);
  Trainer without_stop(whole, examples, training::few_steps(AdamW{}));
  while (!without_stop.finished()) without_stop.step();
  {
    Model model(config);
    Trainer trainer(model, examples, training::few_steps(AdamW{}));
    trainer.step();
    save_run(directory / "run", model, trainer, {});
  }
  Model model(config);
  Trainer trainer(model, examples, training::few_steps(AdamW{}));
  resume_run(directory / "run", model, trainer);
  while (!trainer.finished()) trainer.step();
  CHECK(all_values(model) == all_values(whole));
}

/// The weights that products read of every matrix in one piece, in their numbers.
template <class Model>
std::vector<double> weights_as_read(Model& model) {
  std::vector<double> all;
  auto& parameters = model.parameters();
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    if (parameters.spec(i).shape.size() != 2) continue;
    const auto weight = parameters.value(parameters.slice(static_cast<std::uint32_t>(i)));
    REQUIRE(weight.dtype == Dtype::bf16);
    std::vector<Bf16> host(parameters.element_count(i));
    OmpNarrow::to_host(model.handle(), static_cast<const Bf16*>(weight.data), host.data(), host.size());
    OmpNarrow::wait(model.handle());
    for (const Bf16 number : host) all.push_back(from_bf16(number.bits));
  }
  return all;
}

/// Those that are trained, rounded to nearest.
template <class Model>
std::vector<double> rounded_weights(const Model& model) {
  std::vector<double> all;
  for (Index i = 0; i < model.parameters().tensor_count(); ++i) {
    if (model.parameters().spec(i).shape.size() != 2) continue;
    for (const double value : merit::values_of(model.parameters(), i))
      all.push_back(from_bf16(to_bf16(static_cast<float>(value))));
  }
  return all;
}

TEST_CASE("products read the trained weights rounded, as they are after each change") {
  using Model = BradleyTerryModel<Gpt2, OmpNarrow>;
  const auto examples = random_preferences(6);
  Model model({.backbone = tiny_reward_gpt2(), .seed = 5});
  CHECK(weights_as_read(model) == rounded_weights(model));
  Trainer trainer(model, examples, training::few_steps(AdamW{}));
  while (!trainer.finished()) {
    trainer.step();
    CHECK(weights_as_read(model) == rounded_weights(model));
  }
  const std::vector<float> ones(model.parameters().element_count(0), 1.0f);
  model.parameters().set(0, ones.data());
  CHECK(weights_as_read(model) == rounded_weights(model));
}

TEST_CASE("by chance they are rounded to either side, by seed and step, and to the same bits again") {
  BradleyTerryModel<Gpt2, OmpNarrow> model({.backbone = tiny_reward_gpt2(), .seed = 5});
  const std::vector<double> nearest = rounded_weights(model);
  const auto read = [&](const WeightRounding& rounding) {
    model.parameters().set_rounding(rounding);
    return weights_as_read(model);
  };
  const std::vector<double> by_chance = read({true, 7, 3});
  REQUIRE(by_chance.size() == nearest.size());
  Index moved = 0;
  for (Index i = 0; i < nearest.size(); ++i) {
    moved += by_chance[i] != nearest[i];
    // The neighbour on the other side is one of bf16's last digits away, 2^-7 of the number at most.
    REQUIRE(std::abs(by_chance[i] - nearest[i]) <= std::abs(nearest[i]) * 0x1p-7);
  }
  // The nearest is half as far away at most, so less often than every second time; in the mean a quarter.
  CHECK(moved > nearest.size() / 8);
  CHECK(moved < nearest.size() * 3 / 8);
  CHECK(read({true, 7, 4}) != by_chance);
  CHECK(read({true, 8, 3}) != by_chance);
  CHECK(read({true, 7, 3}) == by_chance);
  CHECK(read({}) == nearest);
}

TEST_CASE(
    "steps whose weights are rounded by chance have the same bits with a stop, and between them nobody sees it") {
  using Model = BradleyTerryModel<Gpt2, OmpNarrow>;
  const TemporaryDirectory directory;
  const auto examples = random_preferences(6);
  const Model::Config config{.backbone = tiny_reward_gpt2()};
  TrainOptions options = training::few_steps(AdamW{});
  Model to_nearest(config);
  Trainer usual(to_nearest, examples, options);
  while (!usual.finished()) usual.step();
  options.stochastic_rounding = true;
  Model whole(config);
  Trainer trainer(whole, examples, options);
  while (!trainer.finished()) {
    trainer.step();
    CHECK(weights_as_read(whole) == rounded_weights(whole));
  }
  CHECK(all_values(whole) != all_values(to_nearest));
  Model again(config);
  {
    Model model(config);
    Trainer half(model, examples, options);
    half.step();
    save_run(directory / "run", model, half, {});
  }
  Trainer rest(again, examples, options);
  resume_run(directory / "run", again, rest);
  while (!rest.finished()) rest.step();
  CHECK(all_values(again) == all_values(whole));
}

/// A loss of one's own, of which no library has a loop.
struct Exponential : PairLoss<Exponential> {
  static constexpr std::string_view name() { return "exponential"; }
  auto operator()(auto chosen, auto rejected) const { return exp(rejected - chosen); }
};

TEST_CASE("a loss of one's own is computed on the host, and said") {
  RewardModel<BagOfTokens, ScalarHead, Exponential, OmpSingle> model({.backbone = tiny_bag(), .seed = 5});
  BatchBuilder batch(model);
  const auto examples = random_preferences(6);
  for (const PreferenceExample& example : examples) batch.add(example);
  batch.finish();
  model.begin_step();
  const double loss = model.accumulate(batch.forest(), batch.targets(), 6);
  model.end_step();
  double expected = 0;
  for (const PairTargets::Pair& pair : batch.targets().pairs) {
    const auto score = [&](std::uint32_t row) { return static_cast<double>(model.scores()[row]); };
    expected += pair.weight * std::exp(score(pair.rejected) - score(pair.chosen)) / 6;
  }
  CHECK(loss == doctest::Approx(expected).epsilon(1e-12));
}

TEST_CASE("what has no narrow weights is not rounded by chance") {
  using Model = BradleyTerryModel<Gpt2, OmpSingle>;
  const auto examples = random_preferences(2);
  Model model({.backbone = tiny_reward_gpt2()});
  TrainOptions options;
  options.stochastic_rounding = true;
  CHECK_THROWS_WITH_AS(Trainer(model, examples, options),
                       doctest::Contains("stochastic_rounding is for weights that products read rounded"),
                       ConfigError);
}

TEST_CASE_TEMPLATE("steps of a shape that was seen ask for no memory", B, OmpSingle, OmpNarrow) {
  if (!can_count()) return;
  using Model = VerifierModel<Llama, B>;
  Model model({.backbone = tiny_reward_llama(), .backend = {.threads = 2}});
  std::vector<OutcomeExample> examples = random_outcomes(1);
  for (Index i = 1; i < 24; ++i) examples.push_back(examples[0]);
  TrainOptions options;
  options.batch_size = 4;
  Trainer trainer(model, examples, options);
  std::vector<long> counts;
  while (!trainer.finished()) counts.push_back(counted([&] { trainer.step(); }));
  REQUIRE(counts.size() == 6);
  CHECK(counts[0] > 0);
  for (Index i = 3; i < counts.size(); ++i) CHECK(counts[i] == 0);
}

}  // namespace training_step_test
