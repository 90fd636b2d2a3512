// That training learns: a whole run on the embedded task.
#include <doctest/doctest.h>

#include <span>
#include <string>
#include <variant>

#include "fixtures.hpp"

namespace learning_test {

using Examples = std::span<const merit::PreferenceExample>;

TEST_CASE("every optimizer learns from a few pairs") {
  const auto examples = training::sorted_pairs(64);
  const auto rate = [](const merit::AnyOptimizer& optimizer) {
    return std::holds_alternative<merit::Sgd>(optimizer)         ? 0.1
           : std::holds_alternative<merit::Adafactor>(optimizer) ? 0.05  // relative to a tensor's size
           : std::holds_alternative<merit::Lion>(optimizer)      ? 2e-3
                                                                 : 1e-2;
  };
  for (const merit::AnyOptimizer& optimizer : training::other_optimizers()) {
    INFO(std::string(merit::name_of(optimizer)));
    training::Llama<merit::EigenBackend<float>> model({.backbone = training::small_llama()});
    merit::TrainOptions chosen;
    chosen.optimizer = optimizer;
    chosen.epochs = 8;
    chosen.schedule.peak = rate(optimizer);
    merit::Trainer trainer(model, Examples(examples), chosen);
    const double first = trainer.step().loss;
    double last = 0;
    while (!trainer.finished()) last = trainer.step().loss;
    MESSAGE(merit::name_of(optimizer) << ": loss " << first << " to " << last);
    CHECK(last < 0.5 * first);
  }
}

TEST_CASE("a small model learns the embedded task better than its length does") {
  const auto task = merit::EmbeddedTaskOptions::of_difficulty(1);
  const auto train = merit::embedded_examples(task, merit::EmbeddedSplit::train, 300);
  const auto held_out = merit::embedded_examples(task, merit::EmbeddedSplit::held_out, 60);
  training::Llama<merit::EigenBackend<float>> model({.backbone = {.vocabulary_size = 257,
                                                                  .hidden_size = 32,
                                                                  .intermediate_size = 64,
                                                                  .layers = 2,
                                                                  .heads = 4,
                                                                  .kv_heads = 4}});
  merit::TrainOptions chosen;
  chosen.batch_size = 16;
  chosen.schedule.peak = 5e-3;
  merit::Trainer trainer(model, Examples(train), chosen);
  double first = 0;
  double last = 0;
  while (!trainer.finished()) {
    const merit::StepReport report = trainer.step();
    if (report.step <= 10) first += report.loss / 10;
    if (report.step + 10 > report.steps) last += report.loss / 10;
  }
  MESSAGE("loss " << first << " to " << last << " in " << trainer.steps() << " steps");
  CHECK(first == doctest::Approx(0.693).epsilon(0.1));
  CHECK(last < 0.8 * first);
  const merit::PairReport report = merit::evaluate_pairs(model, Examples(held_out));
  MESSAGE("held-out accuracy " << report.accuracy.value << ", longer wins " << report.longer_wins.value);
  CHECK(report.accuracy.low > report.longer_wins.high);
}

}  // namespace learning_test
