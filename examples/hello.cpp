#include <cstdio>

#include "merit/merit.hpp"

int main() {
  merit::RewardModel<merit::Llama, merit::ScalarHead, merit::PairwiseLoss, merit::EigenBackend<float>> model(
      {.backbone = {.vocabulary_size = 257, .hidden_size = 64, .intermediate_size = 192, .layers = 2}});
  const auto task = merit::EmbeddedTaskOptions::of_difficulty(1);
  const auto pairs = merit::embedded_examples(task, merit::EmbeddedSplit::train, 1000);
  const auto unseen = merit::embedded_examples(task, merit::EmbeddedSplit::held_out, 100);
  merit::Trainer trainer(model, pairs, {.schedule = {.peak = 2e-3}});
  trainer.run({.on_step = [](const auto& at) { std::printf("step %zu  loss %.3f\n", at.step, at.loss); }});
  std::printf("held-out accuracy %.3f\n", merit::evaluate_pairs(model, unseen).accuracy.value);
}
