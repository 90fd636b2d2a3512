// The linear probe: feature vectors, a scalar head, and a loss, from examples to a trained model.
#include "merit/eval/pairs.hpp"
#include "merit/testing/gradcheck.hpp"
#include "merit/train/trainer.hpp"
#include "models.hpp"

namespace features_test {

using namespace merit;
using namespace merit_test;

/// Pairs whose chosen side has more of a hidden direction.
std::vector<PreferenceExample> separable_pairs(Index count, Index width) {
  Rng rng(21);
  std::vector<PreferenceExample> examples(count);
  for (PreferenceExample& example : examples) {
    double chosen = 0, rejected = 0;
    for (Index i = 0; i < width; ++i) {
      const double direction = i % 2 == 0 ? 1.0 : -0.5;
      for (const auto& [side, sum] : {std::pair{&example.chosen, &chosen}, {&example.rejected, &rejected}}) {
        side->features.push_back(static_cast<float>(rng.normal()));
        *sum += direction * side->features.back();
      }
    }
    if (chosen < rejected) std::swap(example.chosen, example.rejected);
  }
  return examples;
}

TEST_CASE("a linear probe learns a separable set of feature vectors") {
  const std::vector<PreferenceExample> examples = separable_pairs(60, 5);
  Model<Features> model({.backbone = {.width = 5}});
  TrainOptions options;
  options.epochs = 40;
  options.batch_size = 20;
  options.micro_batch_tokens = 16;
  options.schedule.peak = 0.1;
  Trainer trainer(model, examples, options);
  CHECK(trainer.run() == StopReason::finished);
  const PairReport report = evaluate_pairs(model, std::span<const PreferenceExample>(examples));
  CHECK(report.accuracy.value > 0.97);
  CHECK(report.longer_wins.value == 0.5);  // vectors have no length
  CHECK(report.length_ties == 60);
  // The direction it found, up to its length.
  const auto w = model.parameters().values().subview(model.parameters().offset(0), 5);
  for (Index i = 0; i < 5; ++i) CHECK((i % 2 == 0 ? w[i] > 0 : w[i] < 0));
}

TEST_CASE("a probe's score is the product of its weight and the vector, and its gradient is right") {
  Model<Features> model({.backbone = {.width = 3}, .head = {.bias = true}});
  ForestBuilder builder;
  const std::vector<float> a{1, 2, 3}, b{-1, 0.5f, 0};
  builder.add_features(a);
  builder.add_features(b);
  builder.finish();
  auto values = model.parameters().values();
  const Index weight = model.parameters().offset(model.parameters().find("score.weight"));
  values[weight] = 2, values[weight + 1] = 4, values[weight + 2] = -1;
  values[model.parameters().offset(model.parameters().find("score.bias"))] = 10;
  const auto scores = model.score(builder.view());
  CHECK(scores[0] == 17);
  CHECK(scores[1] == 10);
  PairTargets targets;
  targets.pairs.push_back({0, 1});
  const GradientReport report = check_gradients(model, builder.view(), targets);
  INFO(report);
  CHECK(report.error < 1e-7);
}

TEST_CASE("vectors of another width than the model's are refused") {
  Model<Features> model({.backbone = {.width = 3}});
  ForestBuilder builder;
  const std::vector<float> vector{1, 2};
  builder.add_features(vector);
  builder.finish();
  CHECK_THROWS_WITH_AS(model.score(builder.view()),
                       "a feature vector has 2 numbers, expected 3, the model's width", DataError);
}

}  // namespace features_test
