// A run that stops, is saved, and goes on in new objects makes the same bits as one that never stopped.
#include <doctest/doctest.h>

#include <bit>
#include <numeric>
#include <vector>

#include "../io/temporary.hpp"
#include "fixtures.hpp"
#include "merit/comm/thread_comm.hpp"
#include "merit/train/stored_examples.hpp"

namespace resume_test {

using merit::Index;
using merit_test::contains;
using merit_test::error_of;
using merit_test::TemporaryDirectory;
using Examples = std::span<const merit::PreferenceExample>;

/// 10 steps in three epochs of 4, 4 and 2 … of 4: the order changes in the middle.
merit::TrainOptions options(const merit::AnyOptimizer& optimizer = merit::AdamW{}) {
  merit::TrainOptions options;
  options.optimizer = optimizer;
  options.epochs = 3;
  options.batch_size = 5;
  options.micro_batch_tokens = 40;
  options.schedule.peak = 0.01;
  options.seed = 11;
  return options;
}

template <class Backend, class Backbone>
void check_resume(const Backbone& backbone, int stop_after,
                  const merit::AnyOptimizer& optimizer = merit::AdamW{}) {
  using Model = merit::RewardModel<Backbone, merit::ScalarHead, merit::PairwiseLoss, Backend>;
  const typename Model::Config config{.backbone = backbone, .seed = 3};
  const auto examples = training::sorted_pairs(17);  // 4 steps an epoch, the last of 2 records
  const TemporaryDirectory directory;

  std::vector<double> straight_losses;
  Model straight(config);
  merit::Trainer straight_trainer(straight, Examples(examples), options(optimizer));
  for (int i = 0; i < 10; ++i) straight_losses.push_back(straight_trainer.step().loss);

  std::vector<double> losses;
  {
    Model model(config);
    merit::Trainer trainer(model, Examples(examples), options(optimizer));
    for (int i = 0; i < stop_after; ++i) losses.push_back(trainer.step().loss);
    merit::save_run(directory / "run", model, trainer, {}, {{"sum", 4.25}});
  }
  CHECK(merit::has_run(directory / "run"));
  CHECK(merit::read_run_notes(directory / "run") == merit::Json{{"sum", 4.25}});
  {
    auto other = config;
    other.seed = 99;  // what it starts from must not matter
    Model model(other);
    merit::Trainer trainer(model, Examples(examples), options(optimizer));
    CHECK(merit::resume_run(directory / "run", model, trainer) == static_cast<Index>(stop_after));
    CHECK(trainer.steps_done() == static_cast<Index>(stop_after));
    for (int i = stop_after; i < 10; ++i) losses.push_back(trainer.step().loss);
    CHECK(training::values_of(model) == training::values_of(straight));
  }
  CHECK(losses == straight_losses);
}

TEST_CASE("a resumed run has the bits of one that never stopped") {
  SUBCASE("a transformer in plain loops, in double") {
    check_resume<merit::ReferenceBackend<double>>(training::small_llama(), 2);
  }
  SUBCASE("the same where an epoch ends") {
    check_resume<merit::ReferenceBackend<double>>(training::small_llama(), 4);
  }
  SUBCASE("a transformer on the host, in float") {
    check_resume<merit::EigenBackend<float>>(training::small_llama(), 6);
  }
  SUBCASE("from the beginning") {
    check_resume<merit::EigenBackend<float>>(training::small_llama(), 0);
  }
  SUBCASE("a bag of tokens, near the end") {
    check_resume<merit::ReferenceBackend<double>>(merit::BagOfTokens{.vocabulary_size = 40, .width = 8}, 10);
  }
  SUBCASE("with every optimizer, and a frozen layer") {
    auto frozen = training::small_llama();
    frozen.frozen_layers = 1;
    for (const merit::AnyOptimizer& optimizer : training::other_optimizers()) {
      INFO(std::string(merit::name_of(optimizer)));
      check_resume<merit::EigenBackend<float>>(training::small_llama(), 6, optimizer);
      check_resume<merit::ReferenceBackend<double>>(frozen, 3, optimizer);
    }
  }
}

/// Examples that say how often each was asked for.
struct CountedExamples final : merit::ExampleSource<merit::PreferenceExample> {
  std::vector<merit::PreferenceExample> examples;
  mutable std::vector<int> taken;

  Index size() const override { return examples.size(); }
  merit::PreferenceExample at(Index i) const override {
    ++taken[i];
    return examples[i];
  }
};

TEST_CASE("an epoch visits the parts of a set as often as they say") {
  training::Llama<merit::ReferenceBackend<double>> model({.backbone = training::small_llama()});
  CountedExamples source;
  source.examples = training::sorted_pairs(17);
  source.taken.resize(17);
  merit::TrainOptions in_parts = options();
  in_parts.parts = {{8, 0.5}, {4, 1.75}, {5, 2}};
  merit::Trainer<decltype(model), merit::PreferenceExample> trainer(model, source, in_parts);
  std::vector<int> of_first(8);
  for (int epoch = 0; epoch < 2; ++epoch) {
    source.taken.assign(17, 0);
    for (Index i = 0; i < trainer.steps_per_epoch(); ++i) trainer.step();
    const auto sum = [&](int begin, int end) {
      return std::accumulate(source.taken.begin() + begin, source.taken.begin() + end, 0);
    };
    CHECK((sum(0, 8) == 4 && sum(8, 12) == 7 && sum(12, 17) == 10));
    for (Index i = 12; i < 17; ++i) CHECK(source.taken[i] == 2);
    for (Index i = 0; i < 8; ++i) of_first[i] += source.taken[i];
  }
  CHECK(of_first == std::vector<int>(8, 1));  // the second half in the second epoch
}

TEST_CASE("a run over parts of a set resumes, held or stored, and goes on with no other parts") {
  using Model = training::Llama<merit::ReferenceBackend<double>>;
  const Model::Config config{.backbone = training::small_llama(), .seed = 3};
  const auto examples = training::sorted_pairs(17);
  merit::TrainOptions in_parts = options();
  in_parts.parts = {{7, 0.5}, {4, 1.75}, {6, 1}};  // 3 + 7 + 6 = 16 visits, 4 steps an epoch
  const TemporaryDirectory directory;
  merit::StoredExamples<merit::PreferenceExample> stored(directory / "examples");
  for (const auto& example : examples) stored.add(example);

  Model straight(config);
  merit::Trainer straight_trainer(straight, Examples(examples), in_parts);
  CHECK(straight_trainer.steps_per_epoch() == 4);
  CHECK(straight_trainer.steps() == 12);
  std::vector<double> straight_losses, losses;
  std::vector<Index> records;
  while (!straight_trainer.finished()) {
    const merit::StepReport report = straight_trainer.step();
    straight_losses.push_back(report.loss);
    records.push_back(report.records);
  }
  CHECK(records == std::vector<Index>{5, 5, 5, 1, 5, 5, 5, 1, 5, 5, 5, 1});
  {
    Model model(config);
    merit::Trainer trainer(model, Examples(examples), in_parts);
    for (int i = 0; i < 6; ++i) losses.push_back(trainer.step().loss);
    merit::save_run(directory / "run", model, trainer, {});
  }
  Model model(config);
  merit::Trainer trainer(model, stored, in_parts);
  CHECK(merit::resume_run(directory / "run", model, trainer) == 6);
  while (!trainer.finished()) losses.push_back(trainer.step().loss);
  CHECK(losses == straight_losses);
  CHECK(training::values_of(model) == training::values_of(straight));

  merit::TrainOptions other_parts = in_parts;
  other_parts.parts[1].epochs = 1.5;
  merit::Trainer other(model, Examples(examples), other_parts);
  CHECK(contains(
      error_of<merit::ConfigError>([&] { merit::resume_run(directory / "run", model, other); }),
      "run.parts is \"7 examples 0.5 times, 4 examples 1.75 times, 6 examples 1.0 times\", expected"));
  other_parts.parts.pop_back();
  CHECK(
      contains(error_of<merit::ConfigError>([&] { merit::Trainer(model, Examples(examples), other_parts); }),
               "found parts of 11 examples together, expected 17"));
}

TEST_CASE("a run that names no optimizer is AdamW's, and goes on with no other") {
  using Model = training::Llama<merit::ReferenceBackend<double>>;
  const auto examples = training::sorted_pairs(12);
  const TemporaryDirectory directory;
  const auto run = directory / "run";
  Model model({.backbone = training::small_llama()});
  {
    merit::Trainer trainer(model, Examples(examples), options());
    trainer.step();
    merit::save_run(run, model, trainer, {});
  }
  const merit::SafetensorsFile moments(run / "optimizer.safetensors");
  for (const char* name : {"first_moment.score.weight", "second_moment.model.norm.weight"})
    CHECK(moments.find(name) != nullptr);  // as they have always been called
  auto state = merit::read_json(run / "training.json");
  REQUIRE(state["run"]["optimizer"] == "adamw");
  CHECK(state["run"]["beta2"] == 0.999);
  state["run"].erase("optimizer");  // as runs were written when there was no other
  merit::write_json(run / "training.json", state);
  {
    merit::Trainer trainer(model, Examples(examples), options());
    CHECK(merit::resume_run(run, model, trainer) == 1);
  }
  for (const merit::AnyOptimizer& optimizer : training::other_optimizers()) {
    const std::string name(merit::name_of(optimizer));
    merit::Trainer trainer(model, Examples(examples), options(optimizer));
    const std::string text = error_of<merit::ConfigError>([&] { merit::resume_run(run, model, trainer); });
    CHECK(contains(text, "run.optimizer is \"adamw\", expected \"" + name + "\""));
  }
  merit::Trainer other(model, Examples(examples), options(merit::AdamW{.beta2 = 0.9}));
  CHECK(contains(error_of<merit::ConfigError>([&] { merit::resume_run(run, model, other); }),
                 "run.beta2 is 0.999, expected 0.9"));
}

TEST_CASE("a run goes on with the same options and data only, and the error names what differs") {
  using Backend = merit::ReferenceBackend<double>;
  using Model = training::Llama<Backend>;
  const auto examples = training::sorted_pairs(12);
  const TemporaryDirectory directory;
  Model model({.backbone = training::small_llama()});
  {
    merit::Trainer trainer(model, Examples(examples), options());
    trainer.step();
    merit::save_run(directory / "run", model, trainer, {});
  }
  const auto before = training::values_of(model);
  const auto refusal = [&](auto& other, Examples data, const merit::TrainOptions& changed) {
    merit::Trainer trainer(other, data, changed);
    const std::string text =
        error_of<merit::ConfigError>([&] { merit::resume_run(directory / "run", other, trainer); });
    CHECK(contains(text, "training.json"));
    return text;
  };

  merit::TrainOptions changed = options();
  changed.batch_size = 6;
  changed.schedule.peak = 0.5;
  const std::string text = refusal(model, examples, changed);
  CHECK(contains(text, "batch_size is 5, expected 6"));
  CHECK(contains(text, "learning_rate is 0.01, expected 0.5"));
  CHECK_FALSE(contains(text, "seed"));

  merit::TrainOptions parts = options();
  parts.parts = {{4, 0.5}, {8, 1}};
  CHECK(contains(refusal(model, examples, parts),
                 "run.parts is null, expected \"4 examples 0.5 times, 8 examples 1.0 times\""));

  // How many tokens are computed at once moves no gradient.
  merit::TrainOptions smaller = options();
  smaller.micro_batch_tokens = 7;
  merit::Trainer cut(model, examples, smaller);
  CHECK(merit::resume_run(directory / "run", model, cut) == 1);

  auto other_data = examples;
  other_data[7].rejected.tokens.back() ^= 1;
  CHECK(contains(refusal(model, other_data, options()), "fingerprint"));
  other_data = examples;
  other_data[7].margin = 0.5;
  CHECK(contains(refusal(model, other_data, options()), "fingerprint"));
  other_data = examples;
  std::swap(other_data[0], other_data[1]);
  CHECK(contains(refusal(model, other_data, options()), "fingerprint"));
  CHECK(contains(refusal(model, Examples(examples).first(11), options()), "examples is 12, expected 11"));

  Model other_loss({.backbone = training::small_llama(), .loss = {.centering = 0.25}});
  CHECK(contains(refusal(other_loss, examples, options()), "loss.centering is 0.0, expected 0.25"));
  auto frozen = training::small_llama();
  frozen.frozen_layers = 1;
  Model partly({.backbone = frozen});
  CHECK(contains(refusal(partly, examples, options()), "frozen_layers is 0, expected 1"));
  training::Llama<merit::ReferenceBackend<float>> narrow({.backbone = training::small_llama()});
  CHECK(contains(refusal(narrow, examples, options()), "precision"));

  CHECK(training::values_of(model) == before);
}

TEST_CASE("a damaged run is refused and the model stays as it was") {
  using Backend = merit::ReferenceBackend<double>;
  using Model = training::Llama<Backend>;
  const auto examples = training::sorted_pairs(12);
  const TemporaryDirectory directory;
  const auto run = directory / "run";
  Model model({.backbone = training::small_llama()});
  {
    merit::Trainer trainer(model, Examples(examples), options());
    trainer.step();
    merit::save_run(run, model, trainer, {});
  }
  Model fresh({.backbone = training::small_llama(), .seed = 5});
  const auto before = training::values_of(fresh);
  merit::Trainer trainer(fresh, Examples(examples), options());
  const auto refuse = [&]<class E>(E*, const std::string& part) {
    CHECK(contains(error_of<E>([&] { merit::resume_run(run, fresh, trainer); }), part));
    CHECK(training::values_of(fresh) == before);
    CHECK(trainer.steps_done() == 0);
  };

  SUBCASE("the optimizer's state is missing") {
    std::filesystem::remove(run / "optimizer.safetensors");
    refuse(static_cast<merit::IoError*>(nullptr), "optimizer.safetensors");
  }
  SUBCASE("the optimizer's state is cut short") {
    std::filesystem::resize_file(run / "optimizer.safetensors",
                                 std::filesystem::file_size(run / "optimizer.safetensors") - 8);
    refuse(static_cast<merit::DataError*>(nullptr), "optimizer.safetensors");
  }
  SUBCASE("the optimizer keeps a mean of squares below 0, or of another shape") {
    const auto file = run / "optimizer.safetensors";
    std::vector<merit::TensorSource> tensors;
    std::vector<std::vector<double>> values;
    const merit::SafetensorsFile whole(file);
    for (const merit::TensorInfo& tensor : whole.tensors()) {
      const std::string& name = tensor.name;
      auto& own = values.emplace_back(tensor.elements);
      whole.read(name, merit::VectorView<double>(own.data(), own.size()));
      if (name == "second_moment.score.weight") own[1] = -1e-30;
    }
    for (Index i = 0; i < values.size(); ++i) {
      const merit::TensorInfo& info = whole.tensors()[i];
      tensors.push_back({info.name, info.shape, std::as_const(values[i]).data()});
    }
    merit::write_safetensors(file, tensors);
    refuse(
        static_cast<merit::DataError*>(nullptr),
        "tensor \"second_moment.score.weight\" holds -1e-30, a mean of squares, expected numbers of at least 0");
    for (merit::TensorSource& tensor : tensors) {
      if (tensor.name == "second_moment.score.weight") std::swap(tensor.shape[0], tensor.shape[1]);
    }
    merit::write_safetensors(file, tensors);
    refuse(static_cast<merit::DataError*>(nullptr), "tensor \"second_moment.score.weight\" has shape ");
  }
  SUBCASE("the weights are missing") {
    std::filesystem::remove(run / "model.safetensors");
    refuse(static_cast<merit::IoError*>(nullptr), "model.safetensors");
  }
  SUBCASE("the step is beyond the end") {
    auto state = merit::read_json(run / "training.json");
    state["step"] = 1000;
    merit::write_json(run / "training.json", state);
    refuse(static_cast<merit::DataError*>(nullptr), "\"step\" is 1000");
  }
  SUBCASE("the state is no JSON") {
    merit_test::put(run / "training.json", "{\"step\": ");
    refuse(static_cast<merit::DataError*>(nullptr), "training.json");
  }
}

TEST_CASE("a saved model without a run is no run") {
  const TemporaryDirectory directory;
  CHECK_FALSE(merit::has_run(directory / "none"));
  training::Llama<merit::ReferenceBackend<double>> model({.backbone = training::small_llama()});
  merit::save_model(directory / "model", model);
  CHECK_FALSE(merit::has_run(directory / "model"));
}

TEST_CASE("a trainer that is put back makes its step again, alone and among ranks") {
  using Backend = merit::ReferenceBackend<double>;
  const auto examples = training::sorted_pairs(17);
  for (const Index ranks : {Index{1}, Index{2}}) {
    const TemporaryDirectory directory;
    std::vector<double> first(ranks), again(ranks);
    std::vector<Index> judged(ranks), judged_again(ranks);
    merit::run_ranks(ranks, [&](merit::Comm& comm) {
      training::Llama<Backend> model({.backbone = training::small_llama()});
      merit::Trainer trainer(model, Examples(examples), options(), comm);
      trainer.step();
      merit::save_run(directory / "run", model, trainer, {});
      const merit::StepReport once = trainer.step();
      merit::resume_run(directory / "run", model, trainer);
      const merit::StepReport twice = trainer.step();
      first[comm.rank()] = once.loss;
      again[comm.rank()] = twice.loss;
      judged[comm.rank()] = once.judged;
      judged_again[comm.rank()] = twice.judged;
    });
    CHECK(first == again);
    CHECK(judged == judged_again);
    CHECK(judged[0] == 5);
  }
}

}  // namespace resume_test
