// A whole training step has the same bits with any number of threads, for every backbone, in float and at
// sizes at which the Eigen backend divides its work.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "fixtures.hpp"
#include "merit/backend/eigen/parallel.hpp"

namespace step_threads_test {

using merit::Index;
using Examples = std::vector<merit::RankingExample>;

constexpr Index vocabulary = 300, prompt_length = 270;

/// Three prompts, each longer than a tile of keys of the attention, with four ranked completions that branch
/// after the prompt and again after twenty tokens more.
Examples branching_examples() {
  merit::Rng rng(3);
  const auto run = [&](std::vector<merit::Token> tokens, Index count) {
    for (Index i = 0; i < count; ++i) tokens.push_back(static_cast<merit::Token>(rng.below(vocabulary)));
    return tokens;
  };
  Examples examples(3);
  for (merit::RankingExample& example : examples) {
    merit::RankedGroup group;
    const auto prompt = run({}, prompt_length);
    for (int branch = 0; branch < 2; ++branch) {
      const auto middle = run(prompt, 20);
      for (int leaf = 0; leaf < 2; ++leaf) group.completions.push_back({run(middle, 15), prompt_length});
    }
    group.ranks = {2, 0, 1, 2};
    example.groups = {group};
  }
  return examples;
}

Examples vectors(Index count, Index width) {
  merit::Rng rng(5);
  Examples examples(count);
  for (merit::RankingExample& example : examples) {
    merit::RankedGroup group;
    for (int i = 0; i < 4; ++i) {
      group.completions.emplace_back();
      for (Index j = 0; j < width; ++j)
        group.completions.back().features.push_back(static_cast<float>(rng.normal()));
    }
    group.ranks = {1, 3, 0, 1};
    example.groups = {group};
  }
  return examples;
}

/// What a step leaves behind.
struct Step {
  double loss = 0, gradient_norm = 0;
  Index tokens = 0;
  std::vector<float> gradients, values;
};

template <class Backbone>
Step step_with(int threads, const Backbone& backbone, const Examples& examples,
               const merit::AnyOptimizer& optimizer) {
  using Model =
      merit::RewardModel<Backbone, merit::ScalarHead, merit::PairwiseLoss, merit::EigenBackend<float>>;
  Model model({.backbone = backbone, .head = {.bias = true}, .backend = {.threads = threads}});
  merit::TrainOptions options;
  options.optimizer = optimizer;
  options.batch_size = examples.size();
  options.max_gradient_norm = 1e-4;  // so that the norm of the gradient is part of the update
  options.schedule.peak = 0.01;
  merit::Trainer trainer(model, examples, options);
  const merit::StepReport report = trainer.step();
  REQUIRE(report.micro_batches == 1);
  REQUIRE(report.gradient_norm > options.max_gradient_norm);
  return {report.loss, report.gradient_norm, report.tokens, training::gradients_of(model),
          training::values_of(model)};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// `width`: of the rows that the backbone works on, one a token or a vector. With fewer, the operations on
/// rows, which count an elementary operation or more for each element, would not be divided.
template <class Backbone>
void check_step(const Backbone& backbone, const Examples& examples, Index width,
                const merit::AnyOptimizer& optimizer = merit::AdamW{}) {
  const Step alone = step_with(1, backbone, examples, optimizer);
  REQUIRE(merit::detail::eigen::useful_threads(5, alone.tokens * width) == 5);
  for (const int threads : {2, 3, 5}) {
    CAPTURE(threads);
    const Step step = step_with(threads, backbone, examples, optimizer);
    CHECK(step.loss == alone.loss);
    CHECK(step.gradient_norm == alone.gradient_norm);
    CHECK(same_bits(step.gradients, alone.gradients));
    CHECK(same_bits(step.values, alone.values));
  }
}

merit::Llama llama() {
  return {.vocabulary_size = vocabulary,
          .hidden_size = 480,
          .intermediate_size = 160,
          .layers = 2,
          .heads = 6,
          .kv_heads = 6};
}

TEST_CASE("a step of Llama has the same bits with any number of threads") {
  check_step(llama(), branching_examples(), 480);
}

TEST_CASE(
    "a step of Llama with shared keys, biases and head norms has the same bits with any number of threads") {
  merit::Llama all = llama();
  all.kv_heads = 3;
  all.qkv_bias = all.head_norm = true;
  check_step(all, branching_examples(), 480);
}

TEST_CASE("a step of GPT-2 has the same bits with any number of threads") {
  const merit::Gpt2 gpt2{.vocabulary_size = vocabulary,
                         .hidden_size = 480,
                         .intermediate_size = 160,
                         .layers = 2,
                         .heads = 6,
                         .max_positions = 512};
  check_step(gpt2, branching_examples(), 480);
}

TEST_CASE("a step of every optimizer has the same bits with any number of threads") {
  const merit::BagOfTokens bag{.vocabulary_size = vocabulary, .width = 480};
  for (const merit::AnyOptimizer& optimizer : training::other_optimizers()) {
    INFO(std::string(merit::name_of(optimizer)));
    if (std::holds_alternative<merit::Muon>(optimizer)) {
      check_step(llama(), branching_examples(), 480, optimizer);  // which has matrices inside layers
    } else {
      check_step(bag, branching_examples(), 480, optimizer);
    }
  }
}

TEST_CASE("a step of a bag of tokens has the same bits with any number of threads") {
  check_step(merit::BagOfTokens{.vocabulary_size = vocabulary, .width = 480}, branching_examples(), 480);
}

TEST_CASE("a step of feature vectors has the same bits with any number of threads") {
  check_step(merit::Features{.width = 751}, vectors(176, 751), 751);
}

}  // namespace step_threads_test
