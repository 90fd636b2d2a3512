// Whole models at sequences of 300 tokens and more, against values from transformers: attention goes over
// more than one tile of keys, and positions go far.
#include <cmath>

#include "golden.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/backend/reference/reference_backend.hpp"

namespace golden_long_test {

using namespace merit_test;
using merit::Index;

/// Scores, loss, the norm of every gradient and some gradients whole, all sequences packed in one forest.
template <class Model>
void check_model(Model& model, const std::filesystem::path& weights, const std::filesystem::path& values) {
  using Backend = typename Model::BackendType;
  const merit::Json expected = merit::read_json(values / "expected.json");
  merit::load_model_parameters(weights, model);
  const Packed packed(golden_sequences(expected));
  const auto scores = model.score(packed.view());
  CHECK(row_error(packed, {scores.begin(), scores.end()}, expected.at("sequences"), "score") <
        golden_tolerance);

  check_step(model, packed, expected);

  const merit::SafetensorsFile whole(values / "gradients.safetensors");
  const auto& parameters = model.parameters();
  std::vector<typename Backend::Stat> block(parameters.size());
  Backend::to_host(model.handle(), parameters.gradients().data, block.data(), block.size());
  Index compared = 0;
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    const std::string& name = parameters.spec(i).name;
    INFO("gradient of ", name);
    const auto begin = block.begin() + static_cast<std::ptrdiff_t>(parameters.offset(i));
    const std::vector<double> found(begin, begin + static_cast<std::ptrdiff_t>(parameters.element_count(i)));
    double norm = 0;
    for (const double g : found) norm += g * g;
    const auto want = expected.at("gradient_norms").at(name).template get<double>();
    // A gradient that is nothing but rounding, as that of GPT-2's last bias, is compared absolutely.
    CHECK(std::abs(std::sqrt(norm) - want) <= golden_tolerance * std::max(want, 0.1));
    if (whole.find(name) == nullptr) continue;
    std::vector<double> gradient(found.size());
    whole.read(name, merit::VectorView<double>(gradient));
    CHECK(merit::relative_error(found, gradient) < golden_tolerance);
    ++compared;
  }
  CHECK(parameters.tensor_count() == expected.at("gradient_norms").size());
  CHECK(compared == whole.tensors().size());
  CHECK(compared >= 2);
}

template <class Backend>
void check_long(const std::string& name) {
  INFO(name);
  const auto values = stored("long/" + name);
  const auto weights = name == "gpt2" ? values : stored(name);
  const merit::BackboneConfig config = merit::read_backbone_config(weights);
  const auto check = [&]<class Backbone>(const Backbone& backbone) {
    merit::RewardModel<Backbone, merit::ScalarHead, merit::PairwiseLoss, Backend> model(
        {.backbone = backbone});
    check_model(model, weights, values);
  };
  if (name == "gpt2") {
    check(std::get<merit::Gpt2>(config));
  } else {
    check(std::get<merit::Llama>(config));
  }
}

TEST_CASE_TEMPLATE("models agree with transformers at sequences of 300 tokens and more", Backend,
                   merit::ReferenceBackend<double>, merit::ReferenceBackend<float>,
                   merit::EigenBackend<float>) {
  for (const char* name : {"llama", "qwen2", "qwen3", "gpt2"}) check_long<Backend>(name);
}

}  // namespace golden_long_test
