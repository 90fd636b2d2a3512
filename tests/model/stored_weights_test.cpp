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
#include "merit/testing/tolerance.hpp"
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
  const auto found = scores(scoring), expected = scores(trained);
#ifndef EIGEN_USE_BLAS  // which reads no other types than numbers, and sums in another order than our own product
  CHECK(found == expected);
#endif
  CHECK(relative_error(found, expected) <= Tolerance<typename B::Stat>::value);
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
              .layers = 12,
              .heads = 4,
              .kv_heads = 4};
  const auto bytes = [&] {
    // One thread: each has working memory of its own, which frozen layers need as well.
    Model<Llama, EigenBackend<float>> model({.backbone = llama, .backend = {.threads = 1}});
    std::vector<Token> tokens(150);
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
  llama.frozen_layers = 10;
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
  // So it does where it is to be saved or read.
  const TemporaryDirectory directory;
  CHECK(error_of<UsageError>([&] { save_model(directory / "m", model); }) == error);
  CHECK_FALSE(std::filesystem::exists(directory / "m"));
  CHECK(error_of<UsageError>([&] { values_of(model.parameters(), 0); }) == error);
  std::vector<float> none;
  CHECK_THROWS_AS(model.parameters().get(9, none.data()), UsageError);
  CHECK_THROWS_AS(model.loss_of_scored({}, 1), UsageError);
}

TEST_CASE("what is declared adjacent has one place, one width and one fate with what is before it") {
  using B = ReferenceBackend<double>;
  B::Handle handle{B{}};
  const auto refused = [&](ParameterSpec second) {
    Parameters<B> parameters(handle);
    parameters.declare({"a", {2, 4}, Init::ones()});
    second.name = "b";
    second.adjacent = true;
    return error_of<UsageError>([&] { parameters.declare(second); });
  };
  CHECK(refused({.shape = {2, 4}, .trainable = false}) ==
        "parameter 'b' is adjacent to none that is trained and decays as it does");
  CHECK(contains(refused({.shape = {2, 4}, .decay = false}), "trained and decays"));
  CHECK(contains(refused({.shape = {2, 3}}), "is adjacent to none of rows as wide"));
  CHECK(contains(refused({.shape = {4}}), "is adjacent to none of rows as wide"));
  Parameters<B> parameters(handle);
  CHECK(contains(error_of<UsageError>([&] { parameters.declare({.name = "a", .shape = {}}); }),
                 "no shape of one or two dimensions"));
  CHECK(contains(
      error_of<UsageError>([&] { parameters.declare({.name = "b", .shape = {3}, .adjacent = true}); }),
      "is adjacent to none"));
}

TEST_CASE("a row that is held in 16 bits is no vector of numbers") {
  using B = ReferenceBackend<double>;
  B::Handle handle{B{}};
  Parameters<B> parameters(handle);
  const auto row = parameters.declare({.name = "row", .shape = {1, 3}, .trainable = false});
  parameters.allocate(Rng(0), Initial::from_file);
  const std::vector<Bf16> ones(3, Bf16{0x3F80});
  parameters.hold(row, {ones.data(), Dtype::bf16, nullptr});
  CHECK(values_of(parameters, row) == std::vector<double>{1, 1, 1});
  CHECK_THROWS_WITH_AS(parameters.value_vector(parameters.slice(row)),
                       "parameter 'row' is held as BF16: expected a vector, or its use as a matrix",
                       UsageError);
}

TEST_CASE("adjacent tensors are one matrix in pieces, where a file holds them apart") {
  using B = ReferenceBackend<double>;
  B::Handle handle{B{}};
  Parameters<B> parameters(handle);
  const auto q = parameters.declare({"q", {3, 2}, Init::ones(), true, false, false});
  const auto k = parameters.declare({"k", {2, 2}, Init::zeros(), true, true, false});
  parameters.allocate(Rng(0));
  const ParameterSlice both = parameters.slice(q, 2);
  const auto pieces = [&](const ParameterSlice& slice) {
    std::vector<std::vector<Index>> found;
    parameters.for_each_part(slice, [&](const WeightView<>& part, Index row) {
      found.push_back({row, part.rows, part.cols, part.stride});
    });
    return found;
  };
  CHECK(pieces(both) == std::vector<std::vector<Index>>{{0, 5, 2, 2}});
  CHECK(pieces(both.columns(1, 1)) == std::vector<std::vector<Index>>{{0, 5, 1, 2}});
  CHECK(pieces(both.row(4)) == std::vector<std::vector<Index>>{{0, 1, 2, 2}});
  CHECK(value_at(parameters, both, 1, 1) == 1);

  const std::vector<float> stored{5, 6, 7, 8};
  parameters.hold(k, {stored.data(), Dtype::f32, nullptr});
  CHECK(pieces(both) == std::vector<std::vector<Index>>{{0, 3, 2, 2}, {3, 2, 2, 2}});
  CHECK(values_of(parameters, k) == std::vector<double>{5, 6, 7, 8});
  CHECK_THROWS_AS(parameters.value(both), UsageError);
  CHECK_THROWS_WITH_AS(pieces(both.columns(0, 1)),
                       "parameter 'q' and those adjacent lie apart: expected all of them, not a part",
                       UsageError);
  CHECK_THROWS_AS(parameters.offset(q), UsageError);
  const std::vector<double> again{1, 2, 3, 4};
  parameters.set(k, again.data());  // into memory of its own: the file's is not written to
  CHECK(values_of(parameters, k) == again);
  CHECK(stored == std::vector<float>{5, 6, 7, 8});
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
