// budget: 20 x yardstick, 765 MB
// A unit that holds one model and trains it.
#include <span>

#include "merit/merit.hpp"

using Model =
    merit::RewardModel<merit::Llama, merit::ScalarHead, merit::PairwiseLoss, merit::EigenBackend<float>>;

double train(std::span<const merit::PreferenceExample> examples) {
  Model model;
  merit::Trainer trainer(model, examples, {});
  trainer.run();
  return merit::evaluate_pairs(model, examples).accuracy.value;
}
