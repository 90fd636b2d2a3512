// What the tests of training share: a small model, examples, and the bits of a model.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "merit/files.hpp"

namespace training {

using merit::Index;

/// Pairs of byte tokens: a common prompt, then two completions of which the chosen one is in alphabetical
/// order. With equal lengths, every step has the same shape.
inline std::vector<merit::PreferenceExample> sorted_pairs(Index count, bool equal_lengths = false) {
  merit::Rng rng(7);
  std::vector<merit::PreferenceExample> examples(count);
  for (merit::PreferenceExample& example : examples) {
    const Index prompt = equal_lengths ? 6 : 3 + rng.below(6);
    const Index completion = equal_lengths ? 5 : 3 + rng.below(5);
    std::vector<merit::Token> shared;
    for (Index i = 0; i < prompt; ++i) shared.push_back(static_cast<merit::Token>(rng.below(20)));
    std::vector<merit::Token> good;
    for (Index i = 0; i < completion; ++i)
      good.push_back(static_cast<merit::Token>(20 + 2 * i + rng.below(2)));
    std::vector<merit::Token> bad(good.rbegin(), good.rend());
    example.chosen.tokens = example.rejected.tokens = shared;
    example.chosen.completion_begin = example.rejected.completion_begin = prompt;
    example.chosen.tokens.insert(example.chosen.tokens.end(), good.begin(), good.end());
    example.rejected.tokens.insert(example.rejected.tokens.end(), bad.begin(), bad.end());
  }
  return examples;
}

/// A few steps of small batches, clipped, in micro-batches.
inline merit::TrainOptions few_steps(const merit::AnyOptimizer& optimizer) {
  merit::TrainOptions options;
  options.optimizer = optimizer;
  options.epochs = 2;
  options.batch_size = 3;
  options.micro_batch_tokens = 40;
  options.max_gradient_norm = 0.5;
  options.schedule.peak = 0.02;
  return options;
}

inline merit::Llama small_llama() {
  return {.vocabulary_size = 40,
          .hidden_size = 16,
          .intermediate_size = 24,
          .layers = 2,
          .heads = 2,
          .kv_heads = 1,
          .init_deviation = 0.2};
}

/// One of each kind beside AdamW, with something kept between updates.
inline std::vector<merit::AnyOptimizer> other_optimizers() {
  return {merit::Sgd{.momentum = 0.9, .nesterov = true, .weight_decay = 0.01},
          merit::Adafactor{.weight_decay = 0.01}, merit::Lion{.weight_decay = 0.1}, merit::Muon{}};
}

template <class Backend>
using Llama = merit::RewardModel<merit::Llama, merit::ScalarHead, merit::PairwiseLoss, Backend>;

/// All parameters on the host.
template <class Model>
std::vector<typename Model::BackendType::Stat> values_of(Model& model) {
  std::vector<typename Model::BackendType::Stat> values(model.parameters().size());
  const auto& parameters = std::as_const(model).parameters();
  Model::BackendType::to_host(model.handle(), parameters.values().data, values.data(), values.size());
  Model::BackendType::wait(model.handle());
  return values;
}

/// All gradients on the host.
template <class Model>
std::vector<typename Model::BackendType::Stat> gradients_of(Model& model) {
  std::vector<typename Model::BackendType::Stat> values(model.parameters().size());
  const auto& parameters = std::as_const(model).parameters();
  Model::BackendType::to_host(model.handle(), parameters.gradients().data, values.data(), values.size());
  Model::BackendType::wait(model.handle());
  return values;
}

/// The largest difference of two lists of numbers.
template <class T>
double largest_difference(const std::vector<T>& a, const std::vector<T>& b) {
  double largest = a.size() == b.size() ? 0 : 1e300;
  for (Index i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, static_cast<double>(std::abs(a[i] - b[i])));
  }
  return largest;
}

}  // namespace training
