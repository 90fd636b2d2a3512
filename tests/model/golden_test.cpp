// Whole models against values from transformers, on the reference backend.
#include "golden.hpp"
#include "../io/temporary.hpp"
#include "merit/backend/reference/reference_backend.hpp"

namespace golden_test {

using namespace merit_test;

TEST_CASE("the reference backend in float agrees with transformers on every golden model") {
  CHECK(check_all_golden<merit::ReferenceBackend<float>>() >= 24);
}

TEST_CASE("the reference backend in double agrees with transformers on every golden model") {
  CHECK(check_all_golden<merit::ReferenceBackend<double>>() >= 24);
}

TEST_CASE("the layouts of transformers 4 and 5 give the same configuration") {
  int compared = 0;
  for (const auto& directory : golden_models()) {
    INFO(directory.filename().string());
    const auto newer = merit::read_backbone_config(directory / "config.json");
    const auto older = merit::read_backbone_config(directory / "config_v4.json");
    CHECK((newer == older));
    ++compared;
  }
  CHECK(compared >= 24);
}

TEST_CASE("a published model is written back as it was, bit for bit") {
  using Model = merit::RewardModel<merit::AnyBackbone, merit::ScalarHead, merit::PairwiseLoss,
                                   merit::ReferenceBackend<float>>;
  int compared = 0;
  for (const auto& directory : golden_models()) {
    INFO(directory.filename().string());
    if (merit::read_json(directory / "expected.json").contains("logits")) continue;  // no reward model
    const bool bias = merit::read_json(directory / "expected.json").value("head_bias", false);
    Model model({.backbone = {merit::read_backbone_config(directory)},
                 .head = {.bias = bias},
                 .initial = merit::Initial::from_file});
    merit::load_model_parameters(directory, model, {.allow_missing_head = true});
    const TemporaryDirectory written;
    merit::save_model(written / "m", model);
    CHECK((merit::read_backbone_config(written / "m") == merit::read_backbone_config(directory)));
    const merit::SafetensorsFile before(directory / "model.safetensors"),
        after(written / "m/model.safetensors");
    for (const merit::TensorInfo& tensor : before.tensors()) {
      CAPTURE(tensor.name);
      if (tensor.name == "lm_head.weight") continue;
      REQUIRE(after.find(tensor.name) != nullptr);
      CHECK(after.find(tensor.name)->shape == tensor.shape);
      std::vector<float> was(tensor.elements), is(tensor.elements);
      before.read(tensor.name, merit::VectorView<float>(was));
      after.read(tensor.name, merit::VectorView<float>(is));
      CHECK(was == is);
    }
    ++compared;
  }
  CHECK(compared >= 20);
}

}  // namespace golden_test
