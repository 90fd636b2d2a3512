// Adapters merged into their bases as files: the scores that PEFT gives unmerged, the matrices that it merges, and what is refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "../io/temporary.hpp"
#include "../model/golden.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/io/file.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/adapter_files.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/run/convert_model.hpp"

namespace merge_adapter_test {

using namespace merit;
using namespace merit_test;
namespace fs = std::filesystem;

/// The scores of a whole model in a folder or a GGUF file.
std::vector<double> scores_of(const fs::path& place, const Packed& packed) {
  return std::visit(
      [&]<class Backbone>(const Backbone& backbone) {
        std::vector<double> scores;
        if constexpr (std::is_same_v<Backbone, Llama> || std::is_same_v<Backbone, Gpt2> ||
                      std::is_same_v<Backbone, GptNeox>) {
          RewardModel<Backbone, ScalarHead, PairwiseLoss, ReferenceBackend<float>> model(
              {.backbone = backbone, .initial = Initial::from_file});
          load_model_parameters(place, model);
          for (const float score : model.score(packed.view())) scores.push_back(double{score});
        }
        return scores;
      },
      read_backbone_config(place));
}

TEST_CASE("a merged adapter scores as PEFT's unmerged one, and has the matrices that PEFT merges") {
  Index seen = 0;  // of PEFT's merged matrices, which are kept for some
  for (const char* name :
       {"llama_plain", "llama_dora", "llama_pattern", "llama_ranks", "llama_layers", "gpt2_bias_all",
        "gpt2_dora", "phi3_fused", "phi3_dora", "gpt_neox_fused", "internlm2_fused"}) {
    CAPTURE(name);
    const fs::path adapter = stored("adapters") / name;
    const Json expected = read_json(adapter / "expected.json");
    const auto sequences = golden_sequences(read_json(base_of(adapter) / "expected.json"));
    const Packed packed(sequences);
    const auto want = expected.at("scores").get<std::vector<double>>();
    const TemporaryDirectory directory;
    convert_model(adapter, directory / "m", {.merge = true});
    convert_model(adapter, directory / "m.gguf", {.merge = true});
    for (const char* form : {"m", "m.gguf"}) {
      const std::vector<double> found = scores_of(directory / form, packed);
      REQUIRE(found.size() == want.size());
      for (Index i = 0; i < want.size(); ++i)
        CHECK(found[packed.row(i)] == doctest::Approx(want[i]).epsilon(1e-5).scale(1));
    }
    const auto weights = open_weights(directory / "m");
    const Json merged = expected.value("merged", Json::object());
    for (const auto& tensor : merged.items()) {
      const std::string key = tensor.key();
      std::vector<double> values(weights->find(key)->elements);
      weights->read(key, VectorView<double>(values));
      const auto numbers = tensor.value().get<std::vector<double>>();
      for (Index i = 0; i < numbers.size(); ++i)
        CHECK_MESSAGE(values[i * (values.size() / 4)] == doctest::Approx(numbers[i]).epsilon(1e-5).scale(0.1),
                      key);
    }
    seen += merged.size();
    for (const std::string& tensor : weights->names()) CHECK_FALSE(contains(tensor, "lora"));
    CHECK_FALSE(fs::exists(directory / "m" / "adapter_config.json"));
  }
  CHECK(seen > 10);
}

TEST_CASE("what cannot be merged is said, and leaves nothing behind") {
  const TemporaryDirectory directory;
  const auto refused = [&]<class Kind>(const fs::path& from, const ConvertOptions& options, Kind) {
    const std::string error = error_of<Kind>([&] { convert_model(from, directory / "m", options); });
    CHECK_FALSE(fs::exists(directory / "m"));
    return error;
  };
  const ConfigError config("");
  const DataError data("");
  const fs::path adapter = stored("adapters") / "llama_plain";
  CHECK(contains(refused(adapter, {}, config), "holds an adapter, which is no whole model"));
  CHECK(
      contains(refused(stored("llama"), {.merge = true}, config), "holds no adapter, expected one to merge"));
  CHECK(contains(refused(stored("llama"), {.base = stored("llama")}, config), "--base is given, but "));
  // Another base, which has other shapes, or other maps.
  CHECK(contains(refused(adapter, {.merge = true, .base = stored("mistral")}, data),
                 "which do not fit the base's"));
  CHECK(contains(refused(adapter, {.merge = true, .base = stored("gpt2")}, data),
                 "its map is not among the tensors of the base"));
  CHECK(contains(refused(adapter, {.merge = true, .base = adapter}, data), "which is an adapter itself"));
}

TEST_CASE("an adapter with a head of its own has no bias of its base's head, also merged") {
  const TemporaryDirectory directory;
  const fs::path base = directory / "base", adapter = directory / "adapter";
  fs::copy(stored("llama"), base);
  fs::copy(stored("adapters") / "llama_plain", adapter);
  const auto weights = open_weights(base);
  std::vector<std::vector<float>> values;
  std::vector<TensorSource> tensors;
  for (const std::string& name : weights->names()) {
    const TensorInfo& info = *weights->find(name);
    weights->read(name, VectorView<float>(values.emplace_back(info.elements)));
    tensors.push_back({name, info.shape, values.back().data(), Dtype::f32});
  }
  const std::vector<float> bias{1};
  tensors.push_back({"score.bias", {1}, bias.data(), Dtype::f32});
  write_safetensors(base / "model.safetensors", tensors);
  REQUIRE(AdapterWeights(adapter, nullptr).is_own("score.weight"));
  convert_model(adapter, directory / "m", {.merge = true, .base = base});
  for (const auto& source : {open_weights(adapter, base), open_weights(directory / "m")}) {
    CHECK(source->find("score.weight") != nullptr);
    CHECK(source->find("score.bias") == nullptr);
    const std::vector<std::string> names = source->names();
    CHECK(std::ranges::find(names, "score.bias") == names.end());
  }
  CHECK(open_weights(base)->find("score.bias") != nullptr);
}

TEST_CASE("a classifier merged into a language model leaves its unembedding out, and says so") {
  const TemporaryDirectory directory;
  const fs::path base = directory / "base", adapter = stored("adapters") / "llama_plain";
  fs::copy(stored("llama"), base);
  const auto weights = open_weights(base);
  std::vector<std::vector<float>> values;
  std::vector<TensorSource> tensors;
  for (const std::string& name : weights->names()) {
    const TensorInfo& info = *weights->find(name);
    weights->read(name, VectorView<float>(values.emplace_back(info.elements)));
    if (name != "score.weight") tensors.push_back({name, info.shape, values.back().data(), Dtype::f32});
  }
  const std::vector<Index> shape = weights->find("model.embed_tokens.weight")->shape;
  const std::vector<float> unembedding(shape[0] * shape[1], 1);
  tensors.push_back({"lm_head.weight", shape, unembedding.data(), Dtype::f32});
  write_safetensors(base / "model.safetensors", tensors);
  Json config = read_json(base / "config.json");
  config["architectures"] = {"LlamaForCausalLM"};
  write_json(base / "config.json", config);
  for (const char* to : {"m", "m.gguf"}) {
    const ConvertReport report = convert_model(adapter, directory / to, {.merge = true, .base = base});
    REQUIRE(!report.left_out.empty());
    CHECK(contains(report.left_out[0], "lm_head.weight: of the language model that it was"));
    CHECK(open_weights(directory / to)->find("lm_head.weight") == nullptr);
    CHECK(open_weights(directory / to)->find("score.weight") != nullptr);
  }
  // An adapter of the language model itself has use for it.
  fs::copy(adapter, directory / "a");
  Json own = read_json(directory / "a" / "adapter_config.json");
  own["task_type"] = "CAUSAL_LM";
  write_json(directory / "a" / "adapter_config.json", own);
  convert_model(directory / "a", directory / "whole", {.merge = true, .base = base});
  CHECK(open_weights(directory / "whole")->find("lm_head.weight") != nullptr);
}

TEST_CASE("what an adapter's file holds beside its maps is not left out without a word") {
  const TemporaryDirectory directory;
  const auto refused = [&](const char* place, const char* before, const char* after) {
    fs::copy(stored("adapters") / "llama_plain", directory / place);
    for (const char* file : {"adapter_config.json", "adapter_model.safetensors"}) {
      std::string bytes = read_file(directory / place / file);
      for (auto at = bytes.find(before); at != bytes.npos; at = bytes.find(before, at + 1))
        bytes.replace(at, std::string(before).size(), after);
      write_file_atomically(directory / place / file, bytes);
    }
    return error_of<DataError>(
        [&] { convert_model(directory / place, directory / "m", {.merge = true, .base = stored("llama")}); });
  };
  CHECK(
      contains(refused("a", "\"v_proj\"", "\"w_proj\""), "none that target_modules of adapter_config.json"));
  CHECK(contains(refused("b", "layers.0.self_attn.v_proj.lora_A", "layers.9.self_attn.v_proj.lora_A"),
                 "there is no lora_A beside it"));
}

TEST_CASE("a pattern that would be tried in more ways than can be counted is answered at once") {
  const TemporaryDirectory directory;
  fs::copy(stored("adapters") / "llama_plain", directory / "a");
  Json config = read_json(directory / "a" / "adapter_config.json");
  for (const char* field : {"target_modules", "exclude_modules"}) {
    Json changed = config;
    changed[field] = "(.*)*x";
    write_json(directory / "a" / "adapter_config.json", changed);
    if (field == std::string("exclude_modules")) {
      CHECK(read_lora(directory / "a").targets.size() == 21);
      continue;
    }
    CHECK(contains(error_of<DataError>([&] { read_lora(directory / "a"); }),
                   "expected one that matches the whole"));
  }
  config["target_modules"] = "(q)_\\1";
  write_json(directory / "a" / "adapter_config.json", config);
  CHECK(contains(error_of<DataError>([&] { read_lora(directory / "a"); }), "without back-references"));
}

TEST_CASE("a tensor saved whole fits the base's in its columns") {
  const TemporaryDirectory directory;
  fs::copy(stored("adapters") / "llama_plain", directory / "a");
  std::string bytes = read_file(directory / "a" / "adapter_model.safetensors");
  const std::string name = "base_model.model.score.weight", shape = "[1,32]";
  const auto at = bytes.find(shape, bytes.find(name));
  REQUIRE(at < bytes.find(name) + 60);
  bytes.replace(at, shape.size(), "[2,16]");
  write_file_atomically(directory / "a" / "adapter_model.safetensors", bytes);
  CHECK(contains(error_of<DataError>([&] {
                   convert_model(directory / "a", directory / "m", {.merge = true, .base = stored("llama")});
                 }),
                 "has shape [2, 16], which does not fit the base's"));
}

TEST_CASE("magnitudes are not left out where adapter_config.json says nothing of DoRA") {
  const TemporaryDirectory directory;
  fs::copy(stored("adapters") / "llama_dora", directory / "a");
  Json config = read_json(directory / "a" / "adapter_config.json");
  config["use_dora"] = false;
  write_json(directory / "a" / "adapter_config.json", config);
  CHECK(contains(error_of<DataError>([&] {
                   convert_model(directory / "a", directory / "m", {.merge = true, .base = stored("llama")});
                 }),
                 "has magnitudes of DoRA beside it"));
  // As many of them in another shape are none of DoRA's, as where the adapter is scored with.
  fs::copy(stored("adapters") / "llama_dora", directory / "b");
  std::string bytes = read_file(directory / "b" / "adapter_model.safetensors");
  const auto at = bytes.find("[32]", bytes.find("q_proj.lora_magnitude_vector"));
  REQUIRE(at != bytes.npos);
  bytes.replace(at, 4, "[4,8]");
  bytes.erase(bytes.find("}} ") + 2, 1);  // of the spaces behind the header
  write_file_atomically(directory / "b" / "adapter_model.safetensors", bytes);
  CHECK(contains(error_of<DataError>([&] {
                   convert_model(directory / "b", directory / "m", {.merge = true, .base = stored("llama")});
                 }),
                 "magnitudes of DoRA beside it, found [4, 8]"));
}

TEST_CASE("into a base of quantised matrices an adapter is merged as into the numbers that they are") {
  const TemporaryDirectory directory;
  convert_model(stored("llama"), directory / "base.gguf", {.type = Dtype::q8_0});
  convert_model(directory / "base.gguf", directory / "base", {.type = Dtype::f32});
  const fs::path adapter = stored("adapters") / "llama_plain";
  convert_model(adapter, directory / "a", {.merge = true, .base = directory / "base.gguf"});
  convert_model(adapter, directory / "b", {.merge = true, .base = directory / "base"});
  const auto a = open_weights(directory / "a"), b = open_weights(directory / "b");
  CHECK(a->names() == b->names());
  for (const std::string& name : b->names()) {
    std::vector<float> x(b->find(name)->elements), y(x.size());
    a->read(name, VectorView<float>(x));
    b->read(name, VectorView<float>(y));
    CHECK_MESSAGE(x == y, name);
  }
  // In a GGUF file again, what no adapter is merged into keeps its blocks.
  const fs::path some = stored("adapters") / "llama_pattern";  // layers 0 and 1 alone
  convert_model(some, directory / "again.gguf", {.merge = true, .base = directory / "base.gguf"});
  const GgufFile before(directory / "base.gguf"), after(directory / "again.gguf");
  for (const char* name : {"blk.2.attn_q.weight", "blk.0.attn_v.weight", "token_embd.weight"}) {
    CHECK(after.tensor(name).type->name == "Q8_0");
    CHECK(after.tensor_bytes(name) == before.tensor_bytes(name));
  }
  CHECK(after.tensor("blk.0.attn_k.weight").type->name == "F32");
}

}  // namespace merge_adapter_test
