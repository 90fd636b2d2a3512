// Models in GGUF files of quantised types: held as the file stores them, scored to the bit as by their numbers.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "../io/temporary.hpp"
#include "backend/opaque_backend.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/core/quantized.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/testing/values.hpp"
#include "packed.hpp"
#include "quantized_file.hpp"

namespace quantized_model_test {

using namespace merit;
using namespace merit_test;

const Llama& llama = quantized_llama;

template <class B>
using Model = RewardModel<Llama, ScalarHead, PairwiseLoss, B>;

template <class B>
void check_held(const std::vector<Dtype>& types) {
  const TemporaryDirectory directory;
  write_file_atomically(directory / "m.gguf", QuantizedFile(types).bytes());
  Model<B> scoring({.backbone = llama, .initial = Initial::from_file, .scores_only = true});
  load_model_parameters(directory / "m.gguf", scoring);
  Model<B> numbers({.backbone = llama, .initial = Initial::from_file});
  load_model_parameters(directory / "m.gguf", numbers);
  Index held = 0;
  for (Index i = 0; i < scoring.parameters().tensor_count(); ++i) {
    const ParameterSpec& spec = scoring.parameters().spec(i);
    held += is_quantized(scoring.parameters().stored(i).dtype);
    CHECK(!is_quantized(numbers.parameters().stored(i).dtype));
    // Also of queries and keys, whose rows the file has in another order.
    CHECK_MESSAGE(values_of(scoring.parameters(), i) == values_of(numbers.parameters(), i), spec.name);
  }
  CHECK(held == 1 + 2 * 7);
  const Packed packed({{1, 2, 3, 4}, {1, 2, 7}, {1, 5, 6, 2, 2}});
  const auto found = scoring.score(packed.view()), expected = numbers.score(packed.view());
  CHECK(std::abs(expected[0]) > 1e-3);
#ifndef EIGEN_USE_BLAS  // which sums in another order than our own product
  CHECK(std::vector(found.begin(), found.end()) == std::vector(expected.begin(), expected.end()));
#endif

  save_model(directory / "again", scoring);  // as numbers
  Model<B> again({.backbone = llama, .initial = Initial::from_file});
  load_model_parameters(directory / "again", again);
  const auto same = again.score(packed.view());
  CHECK(std::vector(same.begin(), same.end()) == std::vector(expected.begin(), expected.end()));
}

TEST_CASE("a model that only scores holds quantised weights as the file stores them") {
  check_held<EigenBackend<float>>({Dtype::q8_0, Dtype::q4_0, Dtype::q4_1, Dtype::q5_0});
  check_held<EigenBackend<float>>({Dtype::q6_k, Dtype::q4_k, Dtype::q5_1, Dtype::q5_k, Dtype::q8_0});
  check_held<ReferenceBackend<double>>({Dtype::q4_k, Dtype::q5_0, Dtype::q6_k});
}

TEST_CASE("what weights take in memory is known before they are read, and more than there is refused") {
  const TemporaryDirectory directory;
  write_file_atomically(directory / "m.gguf", QuantizedFile({Dtype::q8_0}).bytes());
  using M = Model<EigenBackend<float>>;
  M scoring({.backbone = llama, .initial = Initial::from_file, .scores_only = true});
  M trained({.backbone = llama, .initial = Initial::from_file});
  const Index matrices = 9 * 256 + 2 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 512 * 256), norms = 5 * 256,
              head = 256;
  const WeightMemory stored = memory_to_load(directory / "m.gguf", scoring);
  CHECK(stored.mapped == stored_bytes(Dtype::q8_0, matrices) + 4 * head);
  CHECK(stored.owned == 4 * norms);
  CHECK(static_cast<double>(stored.total()) <
        1.01 * static_cast<double>(read_file(directory / "m.gguf").size()));
  const WeightMemory numbers = memory_to_load(directory / "m.gguf", trained);
  CHECK(numbers.mapped == 0);
  CHECK(numbers.owned == 4 * (matrices + norms + head));
  CHECK(!trained.parameters().is_set(0));
  CHECK(
      error_of<ConfigError>([&] {
        load_model_parameters(directory / "m.gguf", trained, {.memory_limit = numbers.total() - 1});
      }) ==
      concat(
          (directory / "m.gguf").string(),
          ": the weights take 5 MB of memory (0 MB as they are stored, 5 MB read into numbers), but only 5 MB "
          "are allowed"));
  CHECK(!trained.parameters().is_set(0));
  CHECK(load_model_parameters(directory / "m.gguf", trained, {.memory_limit = numbers.total()})
            .memory.total() == numbers.total());
  CHECK(memory_to_load(directory / "m.gguf", trained).owned == 0);  // it has what it needs
}

TEST_CASE("a scale that is not finite is found in a file that is only mapped, and in rows that are moved") {
  const TemporaryDirectory directory;
  for (const char* name : {"blk.1.ffn_up.weight", "blk.1.attn_k.weight"}) {
    write_file_atomically(directory / "m.gguf", QuantizedFile({Dtype::q8_0}).bytes());
    std::string bytes = read_file(directory / "m.gguf");
    const GgufFile file(directory / "m.gguf");
    const Index row = stored_bytes(Dtype::q8_0, 256), block = 34;
    bytes[file.tensor(name).begin + 3 * row + 2 * block + 1] = '\x7C';  // row 3, the third block
    write_file_atomically(directory / "m.gguf", bytes);
    Model<EigenBackend<float>> model({.backbone = llama, .initial = Initial::from_file, .scores_only = true});
    const std::string error =
        error_of<DataError>([&] { load_model_parameters(directory / "m.gguf", model); });
    CHECK(contains(error, concat("tensor \"", name, "\": element ", 3 * 256 + 64, " is ")));
    CHECK(contains(error, "expected a finite number"));
  }
}

TEST_CASE("columns of quantised weights begin and end with a block") {
  using B = ReferenceBackend<double>;
  B::Handle handle{B{}};
  Parameters<B> parameters(handle);
  const auto matrix = parameters.declare({.name = "m", .shape = {2, 64}, .trainable = false});
  const auto narrow = parameters.declare({.name = "n", .shape = {64, 2}, .trainable = false});
  parameters.allocate(Rng(0), Initial::from_file);
  CHECK(parameters.can_hold(matrix, Dtype::q8_0));
  CHECK_FALSE(parameters.can_hold(matrix, Dtype::q6_k));  // rows of 64 are no blocks of 256
  CHECK_FALSE(parameters.can_hold(narrow, Dtype::q8_0));
  using Elsewhere = OpaqueBackend<double>;  // as a device: it is given numbers
  Elsewhere::Handle device{Elsewhere{}};
  Parameters<Elsewhere> copied(device);
  copied.declare({.name = "m", .shape = {2, 64}, .trainable = false});
  CHECK(copied.can_hold(0, Dtype::bf16));
  CHECK_FALSE(copied.can_hold(0, Dtype::q8_0));
  std::vector<std::byte> blocks(4 * 34);
  for (Index i = 0; i < 4; ++i)
    blocks[34 * i + 1] = std::byte{0x3C}, blocks[34 * i + 2] = static_cast<std::byte>(i);
  parameters.hold(matrix, {blocks.data(), Dtype::q8_0, nullptr});
  const ParameterSlice whole = parameters.slice(matrix);
  std::vector<double> values(64);
  detail::dequantize(Dtype::q8_0, static_cast<const std::byte*>(parameters.value(whole.row(1)).data),
                     values.data(), 64);
  CHECK(values[0] == 2);  // the first number of the third block
  CHECK(parameters.value(whole.columns(32, 32)).cols == 32);
  CHECK(error_of<UsageError>([&] { parameters.value(whole.columns(16, 32)); }) ==
        "parameter 'm' is held as Q8_0: expected its rows, or columns in whole blocks of 32");
  CHECK_THROWS_AS(parameters.value(whole.columns(0, 16)), UsageError);
}

}  // namespace quantized_model_test
