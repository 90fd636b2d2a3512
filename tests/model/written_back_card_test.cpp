// What is written of the card reads back, or is refused: every field, at values of every kind, through save and load.
#include <limits>
#include <string>
#include <vector>

#include "merit/io/safetensors.hpp"
#include "written_back.hpp"

namespace written_back_card_test {

using namespace merit_test;

// Where this no longer compiles, the structure has another field: it needs values below.
[[maybe_unused]] void fields_of(const ModelCard& card) {
  [[maybe_unused]] const auto& [version, backbone, head, loss, tokenizer, template_name, hash, chat,
                                truncation, tokens, without, eos, raw, kind, separator, layout, labels,
                                reading, aggregation, calibration, scale, offset, mean, deviation, other] =
      card;
}

using Bag = ModelOf<BagOfTokens>;
const Bag::Config small_bag{.backbone = {.vocabulary_size = 5, .width = 3}};

TEST_CASE("every value of every field of the card reads back") {
  const std::string odd = "\"ü\\\n\t\x01 {}";
  const std::vector<FieldValue<ModelCard>> values{
      {"tokenizer", [&](ModelCard& c) { c.tokenizer = odd; }},
      {"template_name", [](ModelCard& c) { c.template_name = "chat"; }},
      {"template_hash", [](ModelCard& c) { c.template_hash = "12ab"; }},
      {"strings_as_chat", [](ModelCard& c) { c.strings_as_chat = true; }},
      {"truncation", [](ModelCard& c) { c.truncation = "drop"; }},
      {"max_tokens", [](ModelCard& c) { c.max_tokens = std::numeric_limits<Index>::max(); }},
      {"without_prompt", [](ModelCard& c) { c.without_prompt = true; }},
      {"append_eos", [](ModelCard& c) { c.append_eos = false; }},
      {"raw_scores", [](ModelCard& c) { c.raw_scores = false; }},
      {"kind", [](ModelCard& c) { c.kind = "steps"; }},
      {"step_separator", [](ModelCard& c) { c.step_separator = "\n\n"; }},
      {"step_layout", [](ModelCard& c) { c.step_layout = "plain"; }},
      {"one label", [&](ModelCard& c) { c.labels = {odd}; }},
      {"labels",
       [](ModelCard& c) {
         c.labels = {"bad", "", "good"};
       }},
      {"reading", [](ModelCard& c) { c.reading = "last_not_pad:5"; }},
      {"aggregation", [](ModelCard& c) { c.aggregation = "minimum"; }},
      {"calibration", [](ModelCard& c) { c.calibration = "platt"; }},
      {"calibration_scale", [](ModelCard& c) { c.calibration_scale = 1.0 / 3; }},
      {"calibration_scale, least", [](ModelCard& c) { c.calibration_scale = 1e-100; }},
      {"calibration_offset", [](ModelCard& c) { c.calibration_offset = -1e-300; }},
      {"reward_mean 0", [](ModelCard& c) { c.reward_mean = 0; }},
      {"reward_mean", [](ModelCard& c) { c.reward_mean = -1e100; }},
      {"reward_deviation", [](ModelCard& c) { c.reward_deviation = 1e100; }},
      {"other", [](ModelCard& c) {
         c.other = {{"from_the_future", {1, nullptr, "a"}}};
       }}};
  Bag model(small_bag);
  for (const FieldValue<ModelCard>& value : values) {
    CAPTURE(value.name);
    ModelCard card;
    value.set(card);
    CHECK(!(card == ModelCard{}));
    const TemporaryDirectory directory;
    save_model(directory / "m", model, card);
    const auto read = read_model_card(directory / "m");
    REQUIRE(read.has_value());
    CHECK((*read == described(model, card)));
  }
  // What is filled in from the model.
  ModelCard own;
  own.merit_version = "0.0.9";
  own.backbone = "own";
  own.head = {{"name", "h"}};
  own.loss = {{"name", "l"}};
  CHECK((model_card_from(to_json(own), "card") == own));
}

TEST_CASE("a card that could not be read back is refused, and nothing is written") {
  const std::vector<FieldValue<ModelCard>> values{
      {"calibration_scale", [](ModelCard& c) { c.calibration_scale = infinity; }},
      {"calibration_scale 0", [](ModelCard& c) { c.calibration_scale = 0; }},
      {"calibration_scale -1", [](ModelCard& c) { c.calibration_scale = -1; }},
      {"calibration_scale 1e308", [](ModelCard& c) { c.calibration_scale = 1e308; }},
      {"calibration_offset", [](ModelCard& c) { c.calibration_offset = not_a_number; }},
      {"reward_mean", [](ModelCard& c) { c.reward_mean = not_a_number; }},
      {"reward_mean -1e308", [](ModelCard& c) { c.reward_mean = -1e308; }},
      {"reward_deviation", [](ModelCard& c) { c.reward_deviation = infinity; }},
      {"reward_deviation 0", [](ModelCard& c) { c.reward_deviation = 0; }},
      {"reward_deviation -1", [](ModelCard& c) { c.reward_deviation = -1; }},
      {"reward_deviation 5e-324", [](ModelCard& c) { c.reward_deviation = 5e-324; }},
      {"other", [](ModelCard& c) {
         c.other = {{"kind", "steps"}};
       }}};
  Bag model(small_bag);
  for (const FieldValue<ModelCard>& value : values) {
    CAPTURE(value.name);
    ModelCard card;
    value.set(card);
    const TemporaryDirectory directory;
    CHECK_THROWS_AS(save_model(directory / "m", model, card), ConfigError);
    CHECK(!std::filesystem::exists(directory / "m"));
  }
}

template <class T>
void check_dtype(std::optional<Dtype> asked, const char* torch_name, const char* file_name) {
  CAPTURE(torch_name);
  const TemporaryDirectory directory;
  ModelOf<Llama, ReferenceBackend<T>> model({.backbone = written_llama});
  save_model(directory / "m", model, {}, {.dtype = asked});
  CHECK(read_json(directory / "m/config.json").at("torch_dtype") == torch_name);
  const SafetensorsFile file(directory / "m/model.safetensors");
  CHECK(!file.tensors().empty());
  for (const TensorInfo& tensor : file.tensors()) CHECK(tensor.dtype_name == file_name);
}

TEST_CASE("config.json says the type of the weights beside it") {
  check_dtype<float>({}, "float32", "F32");
  check_dtype<double>({}, "float64", "F64");
  check_dtype<double>(Dtype::f32, "float32", "F32");
  check_dtype<float>(Dtype::f64, "float64", "F64");
  check_dtype<float>(Dtype::f16, "float16", "F16");
  check_dtype<float>(Dtype::bf16, "bfloat16", "BF16");
}

}  // namespace written_back_card_test
