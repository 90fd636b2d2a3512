// Weights as a file stores them: what is frozen is held in the file's own type and memory, what is trained is
// read into its place.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "../io/temporary.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/testing/values.hpp"
#include "packed.hpp"
#include "small_examples.hpp"

namespace stored_weights_test {

using namespace merit;
using namespace merit_test;

template <class Backbone, class B>
using Model = RewardModel<Backbone, ScalarHead, PairwiseLoss, B>;

template <class M>
std::vector<double> scores(M& model) {
  const Packed packed({{1, 2, 3, 4}, {1, 2, 7}, {1, 5, 6, 2, 2}});
  const auto found = model.score(packed.view());
  return {found.begin(), found.end()};
}

Llama with_biases() {
  Llama llama = tiny_reward_llama();
  llama.layers = 3;
  llama.qkv_bias = true;
  return llama;
}

/// The same weights held as stored and read as numbers: the same scores to the bit, by the same products.
template <class B, class Backbone>
void check_stored(const Backbone& backbone, Dtype dtype) {
  INFO(std::string(B::name()), " ", std::string(Backbone::name()), " ", std::string(name_of(dtype)));
  const TemporaryDirectory directory;
  {
    Model<Backbone, B> saved({.backbone = backbone, .head = {.bias = true}, .seed = 3});
    save_model(directory / "m", saved, {}, {.dtype = dtype});
  }
  Model<Backbone, B> trained({.backbone = backbone, .head = {.bias = true}, .initial = Initial::from_file});
  load_model_parameters(directory / "m", trained);
  Model<Backbone, B> scoring(
      {.backbone = backbone, .head = {.bias = true}, .initial = Initial::from_file, .scores_only = true});
  load_model_parameters(directory / "m", scoring);
  std::filesystem::remove_all(directory / "m");  // what is mapped stays

  const auto& parameters = scoring.parameters();
  Index matrices = 0;
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    const bool matrix = parameters.spec(i).shape.size() == 2;
    matrices += matrix;
    CHECK(parameters.stored(i).dtype == (matrix ? dtype : dtype_of<typename B::Stat>()));
    CHECK(values_of(parameters, i) == values_of(trained.parameters(), i));
    CHECK(trained.parameters().stored(i).dtype == dtype_of<typename B::Stat>());
  }
  CHECK(matrices >= 2);
  CHECK(parameters.size() == 0);
  CHECK(parameters.trainable_elements() == 0);
  CHECK(scores(scoring) == scores(trained));
  CHECK_THROWS_WITH_AS(scoring.begin_step(),
                       "the model was made with scores_only: expected one without it to be trained",
                       UsageError);

  save_model(directory / "again", scoring, {}, {.dtype = dtype});
  Model<Backbone, B> again({.backbone = backbone, .head = {.bias = true}, .initial = Initial::from_file});
  load_model_parameters(directory / "again", again);
  CHECK(scores(again) == scores(trained));
}

TEST_CASE("a model that only scores holds its weights as the file stores them") {
  for (const Dtype dtype : {Dtype::f32, Dtype::f16, Dtype::bf16}) {
    check_stored<ReferenceBackend<double>>(with_biases(), dtype);
    check_stored<EigenBackend<float>>(with_biases(), dtype);
    check_stored<EigenBackend<float>>(tiny_reward_gpt2(), dtype);
    check_stored<EigenBackend<float>>(tiny_bag(), Dtype::f32);
  }
  Llama normed = tiny_reward_llama();
  normed.head_norm = true;
  check_stored<EigenBackend<float>>(normed, Dtype::bf16);
  check_stored<ReferenceBackend<double>>(with_biases(), Dtype::f64);
}

TEST_CASE("frozen layers are held as stored, and what is trained has the same gradient") {
  using M = Model<Llama, EigenBackend<float>>;
  const TemporaryDirectory directory;
  {
    M saved({.backbone = with_biases(), .seed = 3});
    save_model(directory / "m", saved, {}, {.dtype = Dtype::bf16});
  }
  const Packed packed({{1, 2, 3, 4}, {1, 2, 7}});
  PairTargets targets;
  targets.pairs.push_back({packed.row(0), packed.row(1)});
  const auto step = [&](M& model) {
    load_model_parameters(directory / "m", model);
    model.begin_step();
    const double loss = model.accumulate(packed.view(), targets, 1);
    model.end_step();
    return loss;
  };
  M all({.backbone = with_biases()});
  Llama partly = with_biases();
  partly.frozen_layers = 2;
  M frozen({.backbone = partly, .initial = Initial::from_file});
  CHECK(step(frozen) == step(all));
  Index trained = 0;
  for (Index i = 0; i < frozen.parameters().tensor_count(); ++i) {
    const ParameterSpec& spec = frozen.parameters().spec(i);
    if (!spec.trainable) {
      CHECK(frozen.parameters().stored(i).dtype == (spec.shape.size() == 2 ? Dtype::bf16 : Dtype::f32));
      continue;
    }
    const float* a = frozen.parameters().gradients().data + frozen.parameters().offset(i);
    const float* b = all.parameters().gradients().data + all.parameters().offset(i);
    CHECK(std::vector<float>(a, a + frozen.parameters().element_count(i)) ==
          std::vector<float>(b, b + frozen.parameters().element_count(i)));
    trained += frozen.parameters().element_count(i);
  }
  CHECK(frozen.parameters().size() >= trained);
  CHECK(frozen.parameters().size() < all.parameters().size() / 2);
}

TEST_CASE("frozen layers keep no activations") {
  Llama llama{.vocabulary_size = 30,
              .hidden_size = 32,
              .intermediate_size = 88,
              .layers = 24,
              .heads = 4,
              .kv_heads = 4};
  const auto bytes = [&] {
    Model<Llama, EigenBackend<float>> model({.backbone = llama});
    std::vector<Token> tokens(300);
    for (Index i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<Token>(i % 30);
    const Packed packed({tokens});
    PairTargets targets;
    targets.pairs.push_back({0, 0});
    for (int step = 0; step < 2; ++step) {
      model.begin_step();
      model.accumulate(packed.view(), targets, 1);
      model.end_step();
    }
    return model.tape().bytes();
  };
  const Index all = bytes();
  llama.frozen_layers = 20;
  const Index frozen = bytes();
  CHECK(static_cast<double>(frozen) < 0.3 * static_cast<double>(all));
}

TEST_CASE("a number that is not finite is found also where it is only mapped") {
  const TemporaryDirectory directory;
  for (const Dtype dtype : {Dtype::f32, Dtype::f16, Dtype::bf16}) {
    using M = Model<BagOfTokens, EigenBackend<float>>;
    M saved({.backbone = tiny_bag()});
    save_model(directory / "m", saved, {}, {.dtype = dtype});
    const std::filesystem::path file = directory / "m" / "model.safetensors";
    std::string bytes = read_file(file);
    const Index size = size_of(dtype), place = bytes.size() - 2 * size;
    bytes.replace(place, size, size, '\xFF');  // a NaN in every type
    write_file_atomically(file, bytes);
    M scoring({.backbone = tiny_bag(), .initial = Initial::from_file, .scores_only = true});
    const std::string error = error_of<DataError>([&] { load_model_parameters(directory / "m", scoring); });
    CHECK(contains(error, "tensor \"score.weight\": element 3 is "));
    CHECK(contains(error, "nan, expected a finite number"));
  }
}

TEST_CASE("a model that waits for a file says so when it is asked for scores") {
  Model<BagOfTokens, EigenBackend<float>> model({.backbone = tiny_bag(), .initial = Initial::from_file});
  const std::string error = error_of<UsageError>([&] { scores(model); });
  CHECK(error == "parameter 'embedding.weight' has no values yet: expected a checkpoint to be loaded");
}

TEST_CASE("sizes that no machine can address are refused by name") {
  using M = Model<Llama, EigenBackend<float>>;
  const auto refused = [](Llama llama) {
    return error_of<ConfigError>([&] { M model({.backbone = llama, .initial = Initial::from_file}); });
  };
  Llama llama = tiny_reward_llama();
  llama.heads = llama.kv_heads = Index{1} << 62;
  llama.head_dim = 8;
  CHECK(refused(llama) ==
        "llama: heads times head_dim: 4611686018427387904 times 8 is more than a machine can address");
  llama = tiny_reward_llama();
  llama.hidden_size = Index{1} << 63;
  llama.head_dim = 8;
  CHECK(contains(refused(llama), "parameter 'model.embed_tokens.weight'"));
  llama = tiny_reward_llama();
  llama.vocabulary_size = ~Index{0};
  CHECK(contains(refused(llama), "parameter 'model.embed_tokens.weight'"));
  llama = tiny_reward_llama();
  llama.intermediate_size = Index{1} << 58;
  CHECK(contains(refused(llama), "more than a machine can address"));
}

}  // namespace stored_weights_test
