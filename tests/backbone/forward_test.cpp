// Backbones inside a model: what they compute does not depend on how, what they may not read is refused, and
// what is frozen stays.
#include <cmath>
#include <string>

#include "merit/testing/archetypes.hpp"
#include "merit/testing/gradcheck.hpp"
#include "merit/testing/tolerance.hpp"
#include "models.hpp"

namespace forward_test {

using namespace merit;
using namespace merit_test;

template <class Model>
void check_whole_gradient(Model& model) {
  const Batch batch;
  const GradientReport report = check_gradients(model, batch.view, batch.targets, {.samples = 6});
  INFO(report);
  CHECK(report.error < 1e-6);
  CHECK(report.checked >= 8);
}

template <class Backbone>
void check_recompute(Backbone settings) {
  const Batch batch;
  Model<Backbone> plain({.backbone = settings});
  const StepResult expected = step(plain, batch);
  Index nodes = expected.nodes;
  for (const Index layers : {Index{1}, settings.layers - 1, all_layers}) {
    settings.recompute = layers;
    Model<Backbone> again({.backbone = settings});
    const StepResult found = step(again, batch);
    CHECK(found.loss == expected.loss);
    CHECK(found.gradient == expected.gradient);
    CHECK((layers == all_layers ? found.nodes == nodes : found.nodes < nodes));
    nodes = found.nodes;
  }
  // Layers are counted from the first that is trained on.
  settings.frozen_layers = 1;
  settings.recompute = 0;
  Model<Backbone> frozen({.backbone = settings});
  settings.recompute = 1;
  Model<Backbone> both({.backbone = settings});
  const StepResult a = step(frozen, batch), b = step(both, batch);
  CHECK(a.gradient == b.gradient);
  CHECK(b.nodes < a.nodes);
}

template <class Backbone>
void check_sharing(const Backbone& settings) {
  Model<Backbone> model({.backbone = settings});
  const Batch shared, apart(Sharing::no);
  CHECK(shared.view.token_count() < apart.view.token_count());
  const StepResult a = step(model, shared), b = step(model, apart);
  CHECK(a.loss == doctest::Approx(b.loss).epsilon(1e-13));
  CHECK(relative_error(a.gradient, b.gradient) < 1e-12);
  const auto one = model.score(shared.view);
  const std::vector<double> scores(one.begin(), one.end());
  const auto other = model.score(apart.view);
  for (Index s = 0; s < 3; ++s) CHECK(scores[shared.row[s]] == other[apart.row[s]]);
}

/// Tensors of which any gradient is not zero.
template <class Model>
std::vector<std::string> with_gradient(const Model& model, const StepResult& result) {
  std::vector<std::string> names;
  const auto& parameters = model.parameters();
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    if (!parameters.spec(i).trainable) continue;
    for (Index e = 0; e < parameters.element_count(i); ++e) {
      if (result.gradient[parameters.offset(i) + e] == 0) continue;
      names.push_back(parameters.spec(i).name);
      break;
    }
  }
  return names;
}

template <class Backbone>
void check_frozen(Backbone settings, const std::string& embedding, const std::string& layer) {
  const Batch batch;
  Model<Backbone> all({.backbone = settings});
  const StepResult full = step(all, batch);
  settings.frozen_layers = 2;
  Model<Backbone> model({.backbone = settings});
  const StepResult result = step(model, batch);
  CHECK(result.loss == full.loss);
  CHECK(result.nodes < full.nodes);
  CHECK(model.parameters().trainable_elements() < all.parameters().trainable_elements());
  Index in_last_layer = 0;
  for (const std::string& name : with_gradient(model, result)) {
    CHECK(name.find(embedding) == std::string::npos);
    CHECK(name.find(layer + "0.") == std::string::npos);
    CHECK(name.find(layer + "1.") == std::string::npos);
    in_last_layer += name.find(layer + "2.") != std::string::npos ? 1 : 0;
  }
  CHECK(in_last_layer >= 9);
  // What is trained has the gradient that it has when all is trained.
  for (Index i = 0; i < model.parameters().tensor_count(); ++i) {
    if (!model.parameters().spec(i).trainable) continue;
    for (Index e = 0; e < model.parameters().element_count(i); ++e) {
      CHECK(result.gradient[model.parameters().offset(i) + e] ==
            full.gradient[all.parameters().offset(i) + e]);
    }
  }
  settings.frozen_layers = settings.layers;
  settings.recompute = all_layers;
  Model<Backbone> most({.backbone = settings});
  CHECK(step(most, batch).loss == full.loss);
  for (const std::string& name : with_gradient(most, step(most, batch))) {
    CHECK(name.find(embedding) == std::string::npos);
    CHECK(name.find(layer) == std::string::npos);
  }
}

TEST_CASE("the gradients of whole models agree with central differences") {
  Model<Gpt2> gpt2({.backbone = small_gpt2(), .head = {.bias = true, .init_deviation = 0.5}});
  check_whole_gradient(gpt2);
  Llama settings = small_llama();
  settings.qkv_bias = true;
  settings.head_norm = true;
  settings.recompute = all_layers;
  Model<Llama> llama({.backbone = settings, .head = {.init_deviation = 0.5}, .loss = {.centering = 0.1}});
  check_whole_gradient(llama);
  settings.frozen_layers = 1;
  Model<Llama> frozen({.backbone = settings});
  check_whole_gradient(frozen);
  Model<BagOfTokens> bag({.backbone = {.vocabulary_size = 11, .width = 4}});
  check_whole_gradient(bag);
}

TEST_CASE("recomputed layers give the same bits") {
  check_recompute(small_llama());
  check_recompute(small_gpt2());
}

TEST_CASE("a forest gives the scores and gradients of sequences that share nothing") {
  check_sharing(small_llama());
  check_sharing(small_gpt2());
  check_sharing(BagOfTokens{.vocabulary_size = 11, .width = 4, .init_deviation = 1});
}

TEST_CASE("frozen layers get no gradient and leave that of the others as it is") {
  check_frozen(small_llama(), "embed_tokens", "model.layers.");
  check_frozen(small_gpt2(), "transformer.w", "transformer.h.");
}

TEST_CASE("a token outside the vocabulary is refused, and the model goes on") {
  const Batch good, bad(Sharing::yes, {{1, 2, 11}, {1, 3}});
  Model<Llama> model({.backbone = small_llama()});
  const StepResult before = step(model, good);
  const char* sentence =
      "token 11 is outside the model's vocabulary of 11: the tokenizer does not belong to this model";
  CHECK_THROWS_WITH_AS(model.score(bad.view), sentence, DataError);
  // In the middle of a step, after a first micro-batch.
  model.begin_step();
  model.accumulate(good.view, good.targets, 4);
  CHECK_THROWS_WITH_AS(model.accumulate(bad.view, bad.targets, 4), sentence, DataError);
  const StepResult after = step(model, good);
  CHECK(after.loss == before.loss);
  CHECK(after.gradient == before.gradient);
}

TEST_CASE("a failure inside a recomputed layer leaves the next step whole") {
  Llama settings = small_llama();
  settings.recompute = all_layers;
  Model<Llama> model({.backbone = settings});
  const Batch good;
  const StepResult before = step(model, good);
  ForestView<> broken = good.view;  // too few positions, which the first layer finds
  broken.positions = broken.positions.subview(0, 3);
  model.begin_step();
  CHECK_THROWS_AS(model.accumulate(broken, good.targets, 2), UsageError);
  CHECK_THROWS_AS(model.score(broken), UsageError);
  const StepResult after = step(model, good);
  CHECK(after.loss == before.loss);
  CHECK(after.gradient == before.gradient);
}

TEST_CASE("more tokens than positions are refused where positions are limited") {
  const std::vector<Token> thirteen(13, 1);
  const Batch batch(Sharing::yes, {thirteen, {1, 2}});
  const char* sentence =
      "a sequence has 13 tokens, expected at most 12, the model's positions: cut it with a truncation policy";
  Model<Gpt2> gpt2({.backbone = small_gpt2()});
  CHECK_THROWS_WITH_AS(gpt2.score(batch.view), sentence, DataError);
  Llama settings = small_llama();
  settings.max_positions = 12;
  CHECK_NOTHROW(Model<Llama>({.backbone = settings}).score(batch.view));  // angles have no end
  settings.rope_scaling = {.kind = RotaryScaling::Kind::dynamic, .factor = 2};
  CHECK_THROWS_WITH_AS(Model<Llama>({.backbone = settings}).score(batch.view), sentence, DataError);
  settings.max_positions = 100;
  settings.rope_scaling = {
      .kind = RotaryScaling::Kind::longrope, .original_positions = 12, .short_factors = {1, 2}};
  CHECK_THROWS_WITH_AS(Model<Llama>({.backbone = settings}).score(batch.view), sentence, DataError);
  settings.rope_scaling.original_positions = 13;
  CHECK_NOTHROW(Model<Llama>({.backbone = settings}).score(batch.view));
}

TEST_CASE("a forest without rows is refused") {
  ForestBuilder builder;
  const std::vector<Token> tokens{1, 2};
  const std::span<const Token> one(tokens);
  builder.add_tree({&one, 1});
  builder.finish();
  Model<Llama> model({.backbone = small_llama()});
  CHECK_THROWS_WITH_AS(model.score(builder.view()), "the forest has no rows: nothing to score", UsageError);
}

TEST_CASE("an unembedding is given only where the model holds one") {
  Llama settings = small_llama();
  Model<Llama> tied({.backbone = settings});
  CHECK(tied.backbone().unembedding().rows == 11);
  settings.tied_embedding = false;
  Model<Llama> without({.backbone = settings});
  CHECK_THROWS_AS(without.backbone().unembedding(), UsageError);
  settings.unembedding = true;
  Model<Llama> untied({.backbone = settings});
  CHECK(untied.parameters().spec(untied.backbone().unembedding().first).name == "lm_head.weight");
}

TEST_CASE("a bag of tokens is the mean of its embeddings, in any order") {
  Model<BagOfTokens> model({.backbone = {.vocabulary_size = 11, .width = 4, .init_deviation = 1}});
  const Batch batch(Sharing::yes, {{3, 5}, {5, 3}, {3}, {5}});
  const auto scores = model.score(batch.view);
  CHECK(scores[batch.row[0]] == doctest::Approx(scores[batch.row[1]]).epsilon(1e-14));
  CHECK(scores[batch.row[0]] ==
        doctest::Approx((scores[batch.row[2]] + scores[batch.row[3]]) / 2).epsilon(1e-13));
}

TEST_CASE("a model works with policies that have nothing but what the concepts ask") {
  RewardModel<BackboneArchetype, HeadArchetype<>, LossArchetype<>, B> model;
  const Batch batch(Sharing::yes, {{0, 0}, {0}});
  CHECK(model.score(batch.view).size() == 2);
  model.begin_step();
  CHECK(model.accumulate(batch.view, {}, 1) == 0);
  model.end_step();
  CHECK(model.parameters().size() == 0);
  CHECK(model.loss_value(batch.view, {}) == 0);
  CHECK_THROWS_AS(model.score(Batch().view), DataError);
  CHECK(check_gradients(model, batch.view, {}).error == 0);
  static_assert(head<HeadArchetype<ScoreMeaning::per_step>, B>);
  static_assert(loss<LossArchetype<ScoreMeaning::per_token>, float>);
}

}  // namespace forward_test
