// The trainer: what a step means, and how a run ends.
#include <doctest/doctest.h>

#include <array>
#include <limits>
#include <type_traits>
#include <vector>

#include "../io/temporary.hpp"
#include "fixtures.hpp"

namespace trainer_test {

using merit::Index;
using merit_test::contains;
using merit_test::error_of;
using Examples = std::span<const merit::PreferenceExample>;
using Double = training::Llama<merit::ReferenceBackend<double>>;

merit::TrainOptions options() {
  merit::TrainOptions options;
  options.batch_size = 8;
  options.schedule.peak = 0.01;
  return options;
}

/// The model after `steps` steps.
template <class Model = Double>
std::vector<typename Model::BackendType::Stat> trained(const std::vector<merit::PreferenceExample>& examples,
                                                       const merit::TrainOptions& options, int steps,
                                                       Index* micro_batches = nullptr) {
  Model model({.backbone = training::small_llama()});
  merit::Trainer trainer(model, Examples(examples), options);
  for (int i = 0; i < steps; ++i) {
    const merit::StepReport report = trainer.step();
    if (micro_batches != nullptr) *micro_batches = report.micro_batches;
  }
  return training::values_of(model);
}

TEST_CASE("a step does not depend on how it is cut into micro-batches") {
  auto examples = training::sorted_pairs(16);
  merit::Rng rng(4);
  for (auto& example : examples)
    example.weight = 0.25 + rng.uniform();  // shares differ between micro-batches
  merit::TrainOptions whole = options();
  merit::TrainOptions cut = options();
  cut.micro_batch_tokens = 1;
  Index whole_count = 0;
  Index cut_count = 0;
  const auto a = trained(examples, whole, 2, &whole_count);
  const auto b = trained(examples, cut, 2, &cut_count);
  CHECK(whole_count == 1);
  CHECK(cut_count == 8);
  CHECK(training::largest_difference(a, b) < 1e-12);
  cut.micro_batch_tokens = 50;
  CHECK(training::largest_difference(a, trained(examples, cut, 2)) < 1e-12);
}

TEST_CASE("numbers of steps that would wrap round are refused, and no run ends untrained") {
  const auto examples = training::sorted_pairs(9);
  Double model({.backbone = training::small_llama()});
  merit::TrainOptions huge = options();
  huge.batch_size = ~Index{0};  // all of them in one step
  merit::Trainer whole(model, examples, huge);
  CHECK(whole.steps() == 1);
  CHECK_FALSE(whole.finished());
  CHECK(whole.step().records == 9);
  huge.epochs = ~Index{0};
  CHECK(merit::Trainer(model, examples, huge).steps() == ~Index{0});
  huge.batch_size = 8;
  CHECK(contains(
      error_of<merit::ConfigError>([&] { merit::Trainer(model, examples, huge); }),
      "training: steps of an epoch and epochs: 2 times 18446744073709551615 is more than a machine"));
}

// A trainer looks at examples that someone else owns: what would be gone after the call does not compile.
using Trainer = merit::Trainer<Double, merit::PreferenceExample>;
using Owned = std::vector<merit::PreferenceExample>;
using Options = const merit::TrainOptions&;
static_assert(std::is_constructible_v<Trainer, Double&, Owned&, Options>);
static_assert(std::is_constructible_v<Trainer, Double&, const Owned&, Options>);
static_assert(std::is_constructible_v<Trainer, Double&, Examples, Options>);
static_assert(!std::is_constructible_v<Trainer, Double&, Owned, Options>);
static_assert(!std::is_constructible_v<Trainer, Double&, const Owned, Options>);
static_assert(!std::is_constructible_v<Trainer, Double&, std::array<merit::PreferenceExample, 2>, Options>);
static_assert(std::is_constructible_v<Trainer, Double&, Owned&, Options, merit::Comm&>);
static_assert(!std::is_constructible_v<Trainer, Double&, Owned, Options, merit::Comm&>);

TEST_CASE("sharing the prompt saves tokens and changes no gradient") {
  const auto examples = training::sorted_pairs(8);
  const auto step = [&](merit::Sharing sharing, merit::StepReport& report) {
    Double model({.backbone = training::small_llama()});
    merit::TrainOptions chosen = options();
    chosen.sharing = sharing;
    merit::Trainer trainer(model, Examples(examples), chosen);
    report = trainer.step();
    return training::gradients_of(model);
  };
  merit::StepReport shared;
  merit::StepReport apart;
  const auto a = step(merit::Sharing::yes, shared);
  const auto b = step(merit::Sharing::no, apart);
  CHECK(training::largest_difference(a, b) < 1e-12);
  CHECK(shared.loss == doctest::Approx(apart.loss).epsilon(1e-12));
  Index in_records = 0;
  Index in_prompts = 0;
  for (const auto& example : examples) {
    in_records += example.chosen.tokens.size() + example.rejected.tokens.size();
    in_prompts += example.chosen.completion_begin;
  }
  CHECK(shared.tokens_before_sharing == in_records);
  CHECK(apart.tokens_before_sharing == in_records);
  CHECK(apart.tokens == in_records);
  CHECK(shared.tokens == in_records - in_prompts);
}

TEST_CASE("the same seed gives the same bits, another seed another order") {
  const auto examples = training::sorted_pairs(24);
  using Float = training::Llama<merit::EigenBackend<float>>;
  merit::TrainOptions other = options();
  other.seed = 1;
  CHECK(trained<Float>(examples, options(), 3) == trained<Float>(examples, options(), 3));
  CHECK(trained<Float>(examples, options(), 3) != trained<Float>(examples, other, 3));
}

TEST_CASE("an epoch visits every record once, the last step with what is left") {
  const auto examples = training::sorted_pairs(19);
  Double model({.backbone = training::small_llama()});
  merit::TrainOptions two = options();
  two.epochs = 2;
  merit::Trainer trainer(model, Examples(examples), two);
  CHECK(trainer.steps() == 6);
  std::vector<Index> records;
  std::vector<Index> epochs;
  while (!trainer.finished()) {
    const merit::StepReport report = trainer.step();
    records.push_back(report.records);
    epochs.push_back(report.epoch);
  }
  CHECK(records == std::vector<Index>{8, 8, 3, 8, 8, 3});
  CHECK(epochs == std::vector<Index>{1, 1, 1, 2, 2, 2});
}

TEST_CASE("a run calls its hooks when they are due") {
  const auto examples = training::sorted_pairs(80);
  Double model({.backbone = training::small_llama()});
  merit::Trainer trainer(model, Examples(examples), options());
  std::vector<Index> steps;
  std::vector<std::string> calls;
  merit::TrainHooks hooks;
  hooks.on_step = [&](const merit::StepReport& report) { steps.push_back(report.step); };
  hooks.evaluate_every = 4;
  hooks.on_evaluate = [&](Index step) {
    calls.push_back("evaluate " + std::to_string(step));
    return true;
  };
  hooks.checkpoint_every = 4;
  hooks.on_checkpoint = [&](Index step) { calls.push_back("save " + std::to_string(step)); };
  CHECK(trainer.run(hooks) == merit::StopReason::finished);
  CHECK(steps.size() == 10);
  // The checkpoint comes after the evaluation, so that a resumed run has not missed one. The end saves by
  // itself.
  CHECK(calls == std::vector<std::string>{"evaluate 4", "save 4", "evaluate 8", "save 8", "evaluate 10"});
}

TEST_CASE("an evaluation or a flag stops the run after the current step") {
  const auto examples = training::sorted_pairs(80);
  Double model({.backbone = training::small_llama()});
  merit::Trainer trainer(model, Examples(examples), options());
  merit::TrainHooks hooks;
  hooks.evaluate_every = 2;
  hooks.on_evaluate = [](Index step) { return step < 4; };
  CHECK(trainer.run(hooks) == merit::StopReason::requested);
  CHECK(trainer.steps_done() == 4);

  std::atomic<bool> stop = false;
  merit::TrainHooks stopping;
  stopping.stop = &stop;
  stopping.on_step = [&](const merit::StepReport& report) { stop = report.step == 7; };
  CHECK(trainer.run(stopping) == merit::StopReason::requested);
  CHECK(trainer.steps_done() == 7);
  stop = false;
  CHECK(trainer.run(stopping) == merit::StopReason::finished);  // and it can go on
  CHECK(trainer.steps_done() == 10);
}

TEST_CASE("a gradient that is not finite is refused with the tensor's name and the model unchanged") {
  const auto examples = training::sorted_pairs(8);
  Double model({.backbone = training::small_llama()});
  merit::Trainer trainer(model, Examples(examples), options());
  trainer.step();
  // A weight so large that the scores overflow.
  auto& parameters = model.parameters();
  const Index head = parameters.find("score.weight");
  REQUIRE(head != parameters.tensor_count());
  double* weight = parameters.values().data + parameters.offset(head);
  std::fill(weight, weight + parameters.element_count(head), 1e308);
  const auto before = training::values_of(model);
  merit::Trainer fresh(model, Examples(examples), options());
  const std::string text = error_of<merit::DataError>([&] { fresh.step(); });
  CHECK(contains(text, "step 1"));
  CHECK(contains(text, "the gradient of '"));
  CHECK(contains(text, "the model is unchanged"));
  CHECK(training::values_of(model) == before);
  CHECK(fresh.steps_done() == 0);
}

TEST_CASE("clipping scales the gradient to the norm and no further") {
  const auto examples = training::sorted_pairs(8);
  const auto moment = [&](double clip, double& norm) {
    Double model({.backbone = training::small_llama()});
    merit::TrainOptions chosen = options();
    chosen.max_gradient_norm = clip;
    merit::Trainer trainer(model, Examples(examples), chosen);
    norm = trainer.step().gradient_norm;
    double sum = 0;
    for (const auto& tensor : trainer.optimizer().state()) {
      if (!tensor.name.starts_with("first_moment.")) continue;
      for (const double value : tensor.values) sum += value * value;
    }
    return std::sqrt(sum) / (1 - merit::AdamW{}.beta1);  // the norm of the gradient that the optimizer saw
  };
  double norm = 0;
  const double unclipped = moment(0, norm);
  CHECK(unclipped == doctest::Approx(norm).epsilon(1e-10));
  double same = 0;
  CHECK(moment(norm * 2, same) == doctest::Approx(norm).epsilon(1e-10));
  CHECK(moment(norm / 4, same) == doctest::Approx(norm / 4).epsilon(1e-10));
  CHECK(same == norm);  // what is reported is the norm before clipping
}

TEST_CASE("Muon's are the matrices inside layers, and AdamW's the rest") {
  const auto examples = training::sorted_pairs(8);
  const auto maps = [&](auto backbone) {
    using Model = merit::RewardModel<decltype(backbone), merit::TwoLayerHead, merit::PairwiseLoss,
                                     merit::ReferenceBackend<double>>;
    Model model({.backbone = backbone});
    merit::TrainOptions chosen = options();
    chosen.optimizer = merit::Muon{};
    merit::Trainer trainer(model, examples, chosen);
    std::vector<std::string> names;
    Index firsts = 0, seconds = 0;
    for (const auto& tensor : trainer.optimizer().state()) {
      if (tensor.name.starts_with("momentum.")) names.push_back(tensor.name.substr(9));
      firsts += tensor.name.starts_with("first_moment.") ? 1 : 0;
      seconds += tensor.name.starts_with("second_moment.") ? 1 : 0;
    }
    CHECK(firsts == seconds);
    CHECK(names.size() + firsts == model.parameters().tensor_count());
    return names;
  };
  const auto llama = maps(training::small_llama());
  CHECK(llama.size() == 2 * 7);
  for (const std::string& name : llama) CHECK(contains(name, "_proj.weight"));
  const auto gpt2 = maps(merit::Gpt2{.vocabulary_size = 40, .hidden_size = 16, .layers = 2, .heads = 2});
  CHECK(gpt2.size() == 2 * 4);
  for (const std::string& name : gpt2) {
    CHECK(contains(name, "transformer.h."));
    CHECK(contains(name, ".c_"));
    CHECK(contains(name, ".weight"));
  }
  CHECK(maps(merit::BagOfTokens{.vocabulary_size = 40, .width = 8}).empty());
}

TEST_CASE("records whose weights sum to nothing are an error, not a division by zero") {
  auto examples = training::sorted_pairs(8);
  for (auto& example : examples) example.weight = 0;
  Double model({.backbone = training::small_llama()});
  merit::Trainer trainer(model, Examples(examples), options());
  CHECK(contains(error_of<merit::DataError>([&] { trainer.step(); }), "a whole epoch, sum to 0"));
}

TEST_CASE("options and data that cannot be are refused by name") {
  const auto examples = training::sorted_pairs(8);
  Double model({.backbone = training::small_llama()});
  const auto refusal = [&](auto change) {
    merit::TrainOptions bad = options();
    change(bad);
    return error_of<merit::ConfigError>([&] { merit::Trainer(model, Examples(examples), bad); });
  };
  CHECK(contains(refusal([](auto& o) { o.epochs = 0; }), "epochs is 0"));
  CHECK(contains(refusal([](auto& o) { o.batch_size = 0; }), "batch_size is 0"));
  CHECK(contains(refusal([](auto& o) { o.micro_batch_tokens = 0; }), "micro_batch_tokens is 0"));
  CHECK(contains(refusal([](auto& o) { o.max_gradient_norm = -1; }), "max_gradient_norm is -1"));
  CHECK(contains(refusal([](auto& o) { o.max_gradient_norm = std::numeric_limits<double>::quiet_NaN(); }),
                 "max_gradient_norm is nan"));
  CHECK(contains(refusal([](auto& o) { o.schedule.peak = 0; }), "learning rate is 0"));
  CHECK(contains(refusal([](auto& o) { o.optimizer = merit::AdamW{.beta2 = 1}; }), "beta2 is 1"));
  CHECK(contains(error_of<merit::DataError>([&] { merit::Trainer(model, Examples{}, options()); }),
                 "no records"));
}

TEST_CASE("progress says how far the work is, how long it will take, and keeps other lines apart") {
  const merit_test::TemporaryDirectory directory;
  const auto path = directory / "progress.txt";
  std::FILE* file = std::fopen(path.c_str(), "w");
  REQUIRE(file != nullptr);
  {
    merit::Progress progress("training", 100, 20, file);
    progress.update(21, "loss 0.5");
    progress.update(22, "loss 0.4");  // too soon after the first for a file
    progress.say("step 22: saved");
    progress.update(100, "loss 0.3");
    progress.update(100, "loss 0.3");  // the end is said once
  }
  std::fclose(file);
  const std::string text = merit::read_file(path);
  CHECK(contains(text, "training 21/100  loss 0.5  "));
  CHECK(contains(text, " left\n"));
  CHECK_FALSE(contains(text, "22/100"));
  CHECK(contains(text, "\nstep 22: saved\n"));
  CHECK(contains(text, "training 100/100  loss 0.3  in 0 s\n"));
  CHECK(std::count(text.begin(), text.end(), '\n') == 3);
  file = std::fopen(path.c_str(), "w");
  REQUIRE(file != nullptr);
  {
    merit::Progress progress("reading", merit::Progress::unknown, 0, file);
    progress.update(1);  // nothing is said of what does not take long
  }
  std::fclose(file);
  CHECK(merit::read_file(path).empty());
  CHECK(merit::spell_seconds(59.4) == "59 s");
  CHECK(merit::spell_seconds(185) == "3 min 05 s");
  CHECK(merit::spell_seconds(7800) == "2 h 10 min");
}

}  // namespace trainer_test
