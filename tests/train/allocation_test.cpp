// Nothing grows: from the second step of a shape on, training asks for no memory.
#include <doctest/doctest.h>

#include "allocations.hpp"
#include "fixtures.hpp"

namespace allocation_test {

using merit::Index;
using merit_test::can_count;
using merit_test::counted;
using Examples = std::span<const merit::PreferenceExample>;

TEST_CASE("the counter counts") {
  if (!can_count()) return;
  struct alignas(64) Wide {
    char bytes[64];
  };
  void* volatile block = nullptr;  // keeps the compiler from removing the pair
  CHECK(counted([&] {
          block = std::malloc(10);
          std::free(block);
        }) == 1);
  CHECK(counted([&] {
          auto* wide = new Wide;
          block = wide;
          delete wide;
        }) == 1);
  CHECK(counted([&] {
          std::vector<int> values;
          values.reserve(100);
          block = values.data();
        }) == 1);
  CHECK(counted([] {}) == 0);
}

/// Steps of Trainer in three epochs; the first of an epoch makes its order.
template <class Model, class Example>
void check_steps(Model& model, const std::vector<Example>& examples, Index micro_batch_tokens,
                 const merit::AnyOptimizer& optimizer = merit::AdamW{}) {
  merit::TrainOptions options;
  options.optimizer = optimizer;
  options.epochs = 3;
  options.batch_size = 8;
  options.micro_batch_tokens = micro_batch_tokens;
  merit::Trainer trainer(model, examples, options);
  const Index steps_an_epoch = trainer.steps() / options.epochs;
  REQUIRE(steps_an_epoch >= 4);
  while (!trainer.finished()) {
    const bool first_of_epoch = trainer.steps_done() % steps_an_epoch == 0;
    const long count = counted([&] { trainer.step(); });
    CAPTURE(trainer.steps_done());
    if (trainer.steps_done() == 1) CHECK(count > 0);
    if (!first_of_epoch) CHECK(count == 0);
  }
}

template <class Backend, class Backbone>
void check_trainer(const Backend& backend, const Backbone& backbone,
                   const std::vector<merit::PreferenceExample>& examples, Index micro_batch_tokens) {
  using Model = merit::RewardModel<Backbone, merit::ScalarHead, merit::PairwiseLoss, Backend>;
  Model model({.backbone = backbone, .backend = backend});
  check_steps(model, examples, micro_batch_tokens);
}

TEST_CASE("no loss and no kind of example allocates from the second step on") {
  if (!can_count()) return;
  using Backend = merit::ReferenceBackend<double>;
  const auto pairs = training::sorted_pairs(64, true);
  const merit::BagOfTokens bag{.vocabulary_size = 40, .width = 8};
  SUBCASE("rankings") {
    std::vector<merit::RankingExample> examples;
    for (const auto& pair : pairs) {
      examples.push_back(
          {{{.completions = {pair.rejected, pair.chosen, pair.rejected}, .ranks = {1, 0, 1}}}});
    }
    merit::PlackettLuceModel<merit::BagOfTokens, Backend> model({.backbone = bag});
    check_steps(model, examples, 40);
  }
  SUBCASE("steps") {
    std::vector<merit::StepsExample> examples;
    for (const auto& pair : pairs) {
      merit::StepsExample example{pair.chosen,
                                  {merit::StepLabel{0, 0, 1}, std::nullopt, merit::StepLabel{1, 0, 0}}};
      example.sequence.step_ends = {6, 8, 10};
      examples.push_back(example);
    }
    merit::ProcessRewardModel<merit::BagOfTokens, Backend> model({.backbone = bag});
    check_steps(model, examples, 40);
  }
  SUBCASE("outcomes beside a language model") {
    std::vector<merit::OutcomeExample> examples;
    for (const auto& pair : pairs) examples.push_back({pair.chosen, 1});
    merit::VerifierModel<merit::Llama, Backend> model({.backbone = training::small_llama()});
    check_steps(model, examples, 40);
  }
}

TEST_CASE("the trainer allocates nothing from the second step on") {
  if (!can_count()) return;
  const auto examples = training::sorted_pairs(64, true);
  SUBCASE("reference backend") {
    check_trainer(merit::ReferenceBackend<double>{}, training::small_llama(), examples, 10000);
  }
  SUBCASE("eigen backend, one thread") {
    check_trainer(merit::EigenBackend<float>{.threads = 1}, training::small_llama(), examples, 10000);
  }
  SUBCASE("eigen backend, several micro-batches") {
    check_trainer(merit::EigenBackend<float>{.threads = 2}, training::small_llama(), examples, 40);
  }
  SUBCASE("eigen backend, recomputing layers") {
    auto llama = training::small_llama();
    llama.recompute = merit::all_layers;
    check_trainer(merit::EigenBackend<float>{.threads = 2}, llama, examples, 10000);
  }
  SUBCASE("gpt2") {
    check_trainer(
        merit::EigenBackend<float>{},
        merit::Gpt2{.vocabulary_size = 40, .hidden_size = 16, .layers = 2, .heads = 2, .max_positions = 64},
        examples, 10000);
  }
  SUBCASE("bag of tokens") {
    check_trainer(merit::EigenBackend<float>{}, merit::BagOfTokens{.vocabulary_size = 40, .width = 8},
                  examples, 10000);
  }
  SUBCASE("features") {
    auto vectors = examples;
    merit::Rng rng(1);
    for (auto& example : vectors) {
      for (merit::Sequence* side : {&example.chosen, &example.rejected}) {
        side->tokens.clear();
        side->completion_begin = 0;
        for (int i = 0; i < 6; ++i) side->features.push_back(static_cast<float>(rng.uniform()));
      }
    }
    check_trainer(merit::EigenBackend<float>{}, merit::Features{.width = 6}, vectors, 10000);
  }
}

TEST_CASE("no optimizer allocates from the second step on") {
  if (!can_count()) return;
  const auto examples = training::sorted_pairs(64, true);
  for (const merit::AnyOptimizer& optimizer : training::other_optimizers()) {
    INFO(std::string(merit::name_of(optimizer)));
    training::Llama<merit::EigenBackend<float>> model(
        {.backbone = training::small_llama(), .backend = {.threads = 2}});
    check_steps(model, examples, 10000, optimizer);
  }
}

/// Work large enough that every operation wants several threads.
TEST_CASE("threads allocate nothing from the second step on") {
  if (!can_count()) return;
  merit::Rng rng(9);
  std::vector<merit::PreferenceExample> examples(20);
  for (auto& example : examples) {
    for (Index i = 0; i < 100; ++i)
      example.chosen.tokens.push_back(static_cast<merit::Token>(rng.below(257)));
    example.rejected.tokens = example.chosen.tokens;
    for (Index i = 50; i < 100; ++i) example.rejected.tokens[i] = (example.rejected.tokens[i] + 1) % 257;
    example.chosen.completion_begin = example.rejected.completion_begin = 50;
  }
  const merit::Llama llama{.vocabulary_size = 257,
                           .hidden_size = 128,
                           .intermediate_size = 256,
                           .layers = 2,
                           .heads = 4,
                           .kv_heads = 2};
  for (const int threads : {1, 2}) {
    CAPTURE(threads);
    training::Llama<merit::EigenBackend<float>> model({.backbone = llama, .backend = {.threads = threads}});
    merit::TrainOptions options;
    options.batch_size = 4;
    merit::Trainer trainer(model, Examples(examples), options);
    trainer.step();
    while (!trainer.finished()) CHECK(counted([&] { trainer.step(); }) == 0);
  }
}

/// Two shapes by turns, without the trainer.
template <class Backend>
void check_shapes(const Backend& backend) {
  using Model = training::Llama<Backend>;
  Model model({.backbone = training::small_llama(), .backend = backend});
  merit::AdamW::Bound<Backend> optimizer({}, model.parameters(), merit::whole_shard(model.parameters()));
  const auto examples = training::sorted_pairs(40, true);
  merit::BatchBuilder<Model> small(model);
  merit::BatchBuilder<Model> large(model);
  small.clear();
  for (Index i = 0; i < 3; ++i) small.add(examples[i]);
  small.finish();
  large.clear();
  for (const auto& example : examples) large.add(example);
  large.finish();
  const auto step = [&](const merit::BatchBuilder<Model>& batch) {
    model.begin_step();
    model.accumulate(batch.forest(), batch.targets(), model.loss().normaliser(batch.targets()));
    model.end_step();
    model.tape().reset();  // joins the memory of the step
    optimizer.update(1e-3, 1);
  };
  CHECK(counted([&] { step(small); }) > 0);
  CHECK(counted([&] { step(small); }) == 0);
  CHECK(counted([&] { step(large); }) > 0);
  for (int i = 0; i < 3; ++i) {
    CHECK(counted([&] { step(large); }) == 0);
    CHECK(counted([&] { step(small); }) == 0);
    CHECK(counted([&] { model.score(large.forest()); }) == 0);
  }
}

TEST_CASE("a shape seen before costs no allocation") {
  if (!can_count()) return;
  SUBCASE("reference, double") {
    check_shapes(merit::ReferenceBackend<double>{});
  }
  SUBCASE("eigen, float, one thread") {
    check_shapes(merit::EigenBackend<float>{.threads = 1});
  }
  SUBCASE("eigen, float, two threads") {
    check_shapes(merit::EigenBackend<float>{.threads = 2});
  }
}

}  // namespace allocation_test
