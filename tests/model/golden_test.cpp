// Whole models against values from transformers, on the reference backend.
#include "golden.hpp"
#include "merit/backend/reference/reference_backend.hpp"

namespace golden_test {

using namespace merit_test;

TEST_CASE("the reference backend in float agrees with transformers on every golden model") {
  CHECK(check_all_golden<merit::ReferenceBackend<float>>() >= 10);
}

TEST_CASE("the reference backend in double agrees with transformers on every golden model") {
  CHECK(check_all_golden<merit::ReferenceBackend<double>>() >= 10);
}

TEST_CASE("the layouts of transformers 4 and 5 give the same configuration") {
  int compared = 0;
  for (const auto& directory : golden_models()) {
    if (directory.filename() == "llama_biases") continue;
    INFO(directory.filename().string());
    const auto newer = merit::read_backbone_config(directory / "config.json");
    const auto older = merit::read_backbone_config(directory / "config_v4.json");
    CHECK((newer == older));
    ++compared;
  }
  CHECK(compared >= 10);
}

TEST_CASE("a Llama with biases on its output projections is refused, not read without them") {
  for (const auto& directory : golden_models()) {
    if (directory.filename() != "llama_biases") continue;
    CHECK_THROWS_WITH_AS(merit::read_backbone_config(directory), doctest::Contains("\"attention_bias\""),
                         merit::ConfigError);
    return;
  }
  FAIL("tests/golden/llama_biases is missing");
}

}  // namespace golden_test
