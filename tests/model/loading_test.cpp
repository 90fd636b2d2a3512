// Loading without waste: nothing is drawn that a file replaces, no gradients for a model that scores, and how
// far it is.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "../io/temporary.hpp"
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/infer/score.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"
#include "packed.hpp"

namespace loading_test {

using namespace merit;
using namespace merit_test;
using Model = RewardModel<BagOfTokens, ScalarHead, PairwiseLoss, ReferenceBackend<double>>;

constexpr BagOfTokens bag{.vocabulary_size = 5, .width = 3};

std::vector<double> values_of(const Model& model) {
  const auto values = model.parameters().values();
  return {values.begin(), values.end()};
}

/// A checkpoint of an embedding alone.
void write_base(const std::filesystem::path& directory, const std::vector<float>& embedding) {
  const std::vector<TensorSource> tensors{{"embedding.weight", {5, 3}, embedding.data()}};
  write_safetensors_directory(directory, tensors);
}

TEST_CASE("a model is moved with all it holds, and gives working memory back") {
  const std::vector<Sequence> sequences{{.tokens = {0, 1, 2}}, {.tokens = {3, 4}}};
  Model first({.backbone = bag, .head = {.init_deviation = 1}, .seed = 4});
  const std::vector<double> scores = merit::score(first, sequences);
  std::vector<Model> models;
  models.push_back(std::move(first));
  models.emplace_back(Model::Config{.backbone = bag, .head = {.init_deviation = 1}, .seed = 5});
  CHECK(merit::score(models[0], sequences) == scores);
  CHECK(merit::score(models[1], sequences) != scores);
  models[1] = std::move(models[0]);
  CHECK(merit::score(models[1], sequences) == scores);

  CHECK(models[1].tape().bytes() > 0);
  models[1].trim();
  CHECK(models[1].tape().bytes() == 0);
  CHECK_THROWS_AS(models[1].loss_of_scored({}, {}), UsageError);
  CHECK(merit::score(models[1], sequences) == scores);
}

TEST_CASE("a model made for a file draws nothing, and then only what the file lacks") {
  const TemporaryDirectory directory;
  const std::vector<float> embedding(15, 0.25f);
  write_base(directory.path(), embedding);
  const Model drawn({.backbone = bag, .head = {.bias = true}, .seed = 4});
  Model model({.backbone = bag, .head = {.bias = true}, .seed = 4, .initial = Initial::from_file});
  for (const double value : values_of(model)) CHECK(value == 0);
  const LoadReport report = load_model_parameters(directory.path(), model, {.allow_missing_head = true});
  CHECK(report.fresh == std::vector<std::string>{"score.weight", "score.bias"});
  const auto& parameters = model.parameters();
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    CHECK(parameters.is_set(i));
    for (Index j = 0; j < parameters.element_count(i); ++j) {
      const Index at = parameters.offset(i) + j;
      const bool from_file = parameters.spec(i).name == "embedding.weight";
      CHECK(values_of(model)[at] == (from_file ? 0.25 : values_of(drawn)[at]));
    }
  }

  // A head that was drawn or trained stays when another base is read.
  const Index head = parameters.find("score.weight");
  const std::vector<double> trained{1, 2, 3};
  model.parameters().set(head, trained.data());
  load_model_parameters(directory.path(), model, {.allow_missing_head = true});
  CHECK(values_of(model)[parameters.offset(head) + 1] == 2);
}

TEST_CASE("a model has memory for gradients from its first step on") {
  Model model({.backbone = bag});
  const Packed packed({{1, 2}, {3}});
  model.score(packed.view());
  CHECK(std::as_const(model).parameters().gradients().size == 0);
  model.begin_step();
  CHECK(std::as_const(model).parameters().gradients().size == model.parameters().size());
}

TEST_CASE("loading says how far it is, in bytes of the file") {
  const TemporaryDirectory directory;
  const Model saved({.backbone = bag, .seed = 2});
  {
    Model writable({.backbone = bag, .seed = 2});
    save_model(directory / "m", writable);
  }
  Model model({.backbone = bag, .initial = Initial::from_file});
  std::vector<std::pair<Index, Index>> calls;
  LoadOptions options;
  options.on_progress = [&](Index done, Index total) { calls.emplace_back(done, total); };
  load_model_parameters(directory / "m", model, options);
  CHECK(values_of(model) == values_of(saved));
  CHECK(calls == std::vector<std::pair<Index, Index>>{{0, 144}, {120, 144}, {144, 144}});
}

}  // namespace loading_test
