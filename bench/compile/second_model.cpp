// budget: 30 s, 2000 MB
// What a second model in the same unit adds to the first (tests/compile_budget/one_model.cpp).
#include <span>

#include "merit/merit.hpp"

template <class Model>
double train(std::span<const merit::PreferenceExample> examples) {
  Model model;
  merit::Trainer trainer(model, examples, {});
  trainer.run();
  return merit::evaluate_pairs(model, examples).accuracy.value;
}

template double train<merit::RewardModel<merit::Llama>>(std::span<const merit::PreferenceExample>);
template double train<merit::RewardModel<merit::Gpt2>>(std::span<const merit::PreferenceExample>);
