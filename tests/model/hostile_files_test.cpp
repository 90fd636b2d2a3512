// Configurations and cards made to do harm: refused on reading, in a sentence that names the field, before any
// memory is taken for what they ask.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <variant>

#include "io/temporary.hpp"
#include "merit/files.hpp"

namespace hostile_files_test {

using namespace merit;
using namespace merit_test;

Json small_config() {
  return {{"model_type", "llama"},    {"vocab_size", 257},      {"hidden_size", 16},
          {"intermediate_size", 64},  {"num_hidden_layers", 1}, {"num_attention_heads", 2},
          {"num_key_value_heads", 2}, {"head_dim", 8},          {"max_position_embeddings", 2048}};
}

using M = RewardModel<Llama, ScalarHead, PairwiseLoss, EigenBackend<float>>;

/// What is said of a config.json in which `field` is `value`, beside small weights; empty: nothing.
std::string refusal(const std::string& field, const Json& value) {
  Json config = small_config();
  config[field] = value;
  const TemporaryDirectory directory;
  {
    M small({.backbone = std::get<Llama>(read_backbone_config(small_config(), "config"))});
    save_model(directory / "m", small);
  }
  write_json(directory / "m/config.json", config);
  std::filesystem::remove(directory / "m/merit.json");
  try {
    M model({.backbone = read_backbone_config<Llama>(directory / "m"), .initial = Initial::from_file});
    load_model_parameters(directory / "m", model);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

TEST_CASE("sizes of a config.json that no machine can address are refused by name") {
  const Index most = ~Index{0};
  CHECK(refusal("vocab_size", 257).empty());
  for (const char* field : {"hidden_size", "intermediate_size", "vocab_size"}) {
    for (const Index size : {most, most / 2 + 1, Index{1} << 60, (Index{1} << 40) + 1}) {
      CAPTURE(field);
      CAPTURE(size);
      CHECK(has(refusal(field, size),
                concat("config.json: field \"", field, "\" is ", size, ", expected at most 1099511627776")));
    }
  }
  Json config = small_config();
  config["num_attention_heads"] = config["num_key_value_heads"] = Index{1} << 62;
  const std::string where = "config.json";
  CHECK_THROWS_WITH_AS(
      read_backbone_config(config, where),
      "config.json: field \"num_attention_heads\" is 4611686018427387904, expected at most 1099511627776",
      ConfigError);
  CHECK(has(refusal("num_hidden_layers", most),
            "field \"num_hidden_layers\" is 18446744073709551615, expected at most"));
  CHECK(has(refusal("num_hidden_layers", 10001),
            "field \"num_hidden_layers\": expected at most 10000, found 10001"));
  CHECK(has(refusal("rms_norm_eps", 1e308), "norm_epsilon is 1e+308, expected above 0 and at most 1"));
  CHECK(has(refusal("max_position_embeddings", 0), "max_positions is 0, expected at least 1"));
  CHECK(has(refusal("initializer_range", -1), "init_deviation is -1, expected a number of at least 0"));
}

TEST_CASE("the shapes of a file are looked at before memory is taken for a configuration") {
  // 2^46 bytes for the embedding alone.
  CHECK(has(refusal("vocab_size", Index{1} << 40),
            "tensor \"model.embed_tokens.weight\" has shape [257, 16], expected [1099511627776, 16]"));
  CHECK(has(refusal("num_hidden_layers", 10000),
            "there is no tensor \"model.layers.1.input_layernorm.weight\""));
}

std::string card_refusal(const std::function<void(Json&)>& change) {
  Json json = to_json(ModelCard{});
  change(json);
  try {
    model_card_from(json, "merit.json");
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("a card whose numbers would make scores infinite or turn their order is refused on reading") {
  CHECK(card_refusal([](Json&) {}).empty());
  const auto with = [](const char* field, double value) {
    return card_refusal([&](Json& json) { json[field] = value; });
  };
  for (const char* field : {"reward_deviation", "calibration_scale"}) {
    for (const double value : {0.0, -0.0, -1.0, 1e308, 1e-320, -1e-3}) {
      CAPTURE(field);
      CAPTURE(value);
      CHECK(has(with(field, value), concat("merit.json: field \"", field, "\" is ")));
    }
    CHECK(with(field, 0.25).empty());
    CHECK(with(field, 1e-9).empty());
  }
  for (const char* field : {"reward_mean", "calibration_offset"}) {
    CHECK(has(with(field, -1e308), concat("merit.json: field \"", field, "\" is ")));
    CHECK(with(field, -12.5).empty());
  }
  CHECK(with("reward_deviation", 0) ==
        "merit.json: field \"reward_deviation\" is 0, expected a number from 1e-100 to 1e100");
}

TEST_CASE(
    "a card or configuration that is a pipe, a device or cannot be examined is refused, not waited for") {
  const TemporaryDirectory directory;
  M small({.backbone = std::get<Llama>(read_backbone_config(small_config(), "config"))});
  for (const char* file : {"merit.json", "config.json"}) {
    CAPTURE(file);
    save_model(directory / "m", small);
    std::filesystem::remove(directory / "m" / file);
    REQUIRE(::mkfifo((directory / "m" / file).c_str(), 0600) == 0);
    const std::string expected = (directory / "m" / file).string() + ": not a regular file";
    const auto read = [&] {
      read_backbone_config(directory / "m");
      read_model_card(directory / "m");
    };
    CHECK_THROWS_WITH_AS(read(), expected.c_str(), IoError);
    std::filesystem::remove(directory / "m" / file);
    std::filesystem::create_symlink("/dev/zero", directory / "m" / file);
    CHECK_THROWS_WITH_AS(read(), expected.c_str(), IoError);
    std::filesystem::remove(directory / "m" / file);
    std::filesystem::create_symlink("nowhere", directory / "m" / file);
    CHECK_THROWS_AS(read(), IoError);
    std::filesystem::remove_all(directory / "m");
  }
}

}  // namespace hostile_files_test
