// An adapter trained on a base that is held as blocks (QLoRA, Dettmers et al. 2023): products read the blocks both ways, so
// that losses, gradients and steps are those of the same numbers as floats, and memory stays near the file's.
#include <doctest/doctest.h>

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "io/temporary.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/testing/tolerance.hpp"
#include "model/quantized_file.hpp"

namespace quantized_base_test {

using merit::Dtype;
using merit::Index;

/// Pairs of tokens below the file's 9.
std::vector<merit::PreferenceExample> pairs() {
  std::vector<merit::PreferenceExample> examples = training::sorted_pairs(2);
  for (merit::PreferenceExample& example : examples) {
    for (merit::Sequence* side : {&example.chosen, &example.rejected})
      for (merit::Token& token : side->tokens) token %= 9;
  }
  return examples;
}

template <class Backend>
void check_quantized_base(const std::vector<Dtype>& types, const merit::Lora& lora, double tolerance) {
  using Model = training::Llama<Backend>;
  using T = typename Backend::Stat;
  INFO(std::string(name_of(types.front())));
  const merit_test::TemporaryDirectory directory;
  merit::write_file_atomically(directory / "m.gguf", merit_test::QuantizedFile(types).bytes());
  const Index file_bytes = std::filesystem::file_size(directory / "m.gguf");
  {
    Model numbers({.backbone = merit_test::quantized_llama, .initial = merit::Initial::from_file});
    merit::load_model_parameters(directory / "m.gguf", numbers);
    merit::save_model(directory / "floats", numbers);
  }
  const std::vector<merit::PreferenceExample> examples = pairs();
  merit::TrainOptions options = training::few_steps(merit::AdamW{});
  options.epochs = 2;
  options.batch_size = 1;
  options.schedule.peak = 0.002;
  struct Run {
    std::vector<double> losses = {};
    std::vector<T> gradients = {}, trained = {};
    Index weights = 0, block = 0;
  };
  const auto run = [&](const char* place, bool quantized) {
    Model model({.backbone = merit_test::quantized_llama,
                 .seed = 4,
                 .initial = merit::Initial::from_file,
                 .adapters = {{.lora = lora}}});
    merit::load_model_parameters(directory / place, model);
    const auto& parameters = model.parameters();
    Run result{.block = parameters.size()};
    Index held = 0;
    for (Index i = 0; i < parameters.tensor_count(); ++i) {
      const Dtype dtype = parameters.stored(i).dtype;
      held += is_quantized(dtype);
      CHECK(!(is_quantized(dtype) && parameters.spec(i).trainable));
      result.weights += merit::stored_bytes(dtype, parameters.element_count(i));
    }
    CHECK(held == (quantized ? 1 + 2 * 7 : 0));
    merit::Trainer trainer(model, std::span<const merit::PreferenceExample>(examples), options);
    while (!trainer.finished()) {
      result.losses.push_back(trainer.step().loss);
      if (result.losses.size() == 2) result.gradients = training::gradients_of(model);  // B is no longer zero
    }
    result.trained = training::values_of(model);
    for (Index i = 0; i < parameters.tensor_count(); ++i)
      CHECK(is_quantized(parameters.stored(i).dtype) ==
            (quantized && !parameters.spec(i).trainable && parameters.spec(i).shape.size() == 2));
    return result;
  };
  const Run blocks = run("m.gguf", true), floats = run("floats", false);
  CHECK(blocks.losses.size() == 4);
  CHECK(blocks.losses.back() < blocks.losses.front());
  CHECK(merit::relative_error(blocks.losses, floats.losses) <= tolerance);
  CHECK(merit::relative_error(blocks.gradients, floats.gradients) <= tolerance);
  CHECK(merit::relative_error(blocks.trained, floats.trained) <= tolerance);
  CHECK(blocks.block == floats.block);
  // What is held beside the file's bytes is what is trained, and norms that are numbers of the model's type.
  CHECK(static_cast<double>(blocks.weights) <
        1.02 * static_cast<double>(file_bytes) + static_cast<double>(blocks.block * sizeof(T)));
  CHECK(blocks.weights < floats.weights / 2);
}

TEST_CASE("an adapter of a quantised base is trained as beside the same numbers as floats") {
  const merit::Lora plain{.rank = 2, .alpha = 4};
  // In double, so that what rounding tells apart is not what four steps of AdamW make of it.
  check_quantized_base<merit::EigenBackend<double>>({Dtype::q4_1, Dtype::q8_0, Dtype::q4_k, Dtype::q6_k},
                                                    plain, 1e-9);
  check_quantized_base<merit::EigenBackend<double>>(
      {Dtype::q4_0, Dtype::q5_0, Dtype::q5_1, Dtype::iq4_nl},
      {.rank = 3, .alpha = 4, .dropout = 0.2, .dora = true, .targets = {"q_proj", "down_proj"}}, 1e-9);
  check_quantized_base<merit::EigenBackend<float>>({Dtype::q4_1, Dtype::q8_0}, plain, 1e-3);
}

}  // namespace quantized_base_test
