// Models whose tensors or metadata say what no model has, which are not converted to something else.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "../io/gguf_file.hpp"
#include "../io/temporary.hpp"
#include "merit/io/file.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/run/convert_model.hpp"
#include "stored.hpp"

namespace convert_damaged_test {

using namespace merit;
using namespace merit_test;
namespace fs = std::filesystem;

TEST_CASE("files in a GGUF file's metadata take no place of the weights, and lie in the folder") {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "m");
  for (const char* name : {"config.json", "model.safetensors"})
    fs::copy(stored("llama") / name, directory / "m" / name);
  write_file_atomically(directory / "m" / "added_tokens.json", "{}");
  convert_model(directory / "m", directory / "good.gguf");
  const std::string bytes = read_file(directory / "good.gguf"), key = "merit.file.added_tokens.json";
  REQUIRE(bytes.find(key) != bytes.npos);
  for (const std::string& name :
       {std::string("model.safetensors"), std::string("pytorch_model.bin"), std::string("config.json/a/b/c"),
        std::string("a_folder_of_that/"), std::string("added\0tokens.json", 17)}) {
    CAPTURE(name);
    std::string changed = bytes;
    changed.replace(changed.find(key), key.size(), "merit.file." + name);
    write_file_atomically(directory / "bad.gguf", changed);
    CHECK(contains(error_of<DataError>([&] { convert_model(directory / "bad.gguf", directory / "d"); }),
                   "expected the name of a file inside the folder, and none of weights"));
    CHECK_FALSE(fs::exists(directory / "d"));
  }
}

/// A GGUF file of the golden llama in which a number of the metadata is another.
std::string with_number(const fs::path& file, const std::string& key, std::uint32_t number,
                        bool with_config) {
  std::string bytes = read_file(file);
  const auto at = bytes.find(key);
  REQUIRE(at != bytes.npos);
  std::memcpy(bytes.data() + at + key.size() + 4, &number, sizeof number);
  if (!with_config) {  // under a name that nobody knows
    const std::string config = "merit.file.config.json";
    bytes.replace(bytes.find(config), config.size(), "merit.none.config.json");
  }
  return bytes;
}

TEST_CASE("a GGUF file whose tensors are not those that its metadata says becomes no folder") {
  const TemporaryDirectory directory;
  convert_model(stored("llama"), directory / "good.gguf");
  const auto error = [&](const std::string& bytes) {
    write_file_atomically(directory / "bad.gguf", bytes);
    const std::string text =
        error_of<DataError>([&] { convert_model(directory / "bad.gguf", directory / "d"); });
    CHECK_FALSE(fs::exists(directory / "d"));
    return text;
  };
  const auto changed = [&](const char* key, std::uint32_t number, bool with_config) {
    return error(with_number(directory / "good.gguf", key, number, with_config));
  };
  CHECK(contains(
      changed("llama.block_count", 2, false),
      "bad.gguf: tensor \"model.layers.2.input_layernorm.weight\" is none of the model that the metadata says"));
  CHECK(contains(
      changed("llama.block_count", 4, false),
      "there is no tensor \"model.layers.3.input_layernorm.weight\", expected one of shape [32] by what the metadata says"));
  CHECK(contains(changed("llama.feed_forward_length", 48, false),
                 "mlp.gate_proj.weight\" has shape [40, 32], expected [48, 32] by what the metadata says"));
  CHECK(
      contains(changed("llama.embedding_length", 64, false), "expected [96, 64] by what the metadata says"));
  CHECK(contains(changed("llama.vocab_size", 60, false),
                 "metadata \"llama.vocab_size\" is 60, but tensor \"token_embd.weight\" has shape [96, 32]"));
  // The config.json in it is another's.
  CHECK(
      contains(changed("llama.attention.head_count", 2, true),
               "its heads is one in the metadata \"merit.file.config.json\" and another in the rest of it"));
  std::string name = read_file(directory / "good.gguf");
  name[name.find("blk.0.attn_q.weight")] = '\xff';
  CHECK(contains(error(name), "its name is not UTF-8"));
}

TEST_CASE("InternLM2's heads of queries are a multiple of those of keys") {
  const TemporaryDirectory directory;
  convert_model(stored("internlm2"), directory / "good.gguf");
  std::string bytes = read_file(directory / "good.gguf");
  const std::string key = "internlm2.attention.head_count";
  const auto at = bytes.find(key);
  REQUIRE(at != bytes.npos);
  const std::uint32_t heads = 7;
  std::memcpy(bytes.data() + at + key.size() + 4, &heads, sizeof heads);
  write_file_atomically(directory / "bad.gguf", bytes);
  CHECK(contains(error_of<DataError>([&] { convert_model(directory / "bad.gguf", directory / "d"); }),
                 "7 heads of queries and 2 of keys"));
}

/// The tensors of a golden model, of which one has another name, or another number of rows.
std::string error_with(const char* model, const std::string& tensor, const std::string& name, Index rows) {
  const TemporaryDirectory directory;
  const fs::path folder = directory / "m";
  fs::create_directory(folder);
  fs::copy(stored(model) / "config.json", folder / "config.json");
  const SafetensorsDirectory weights(stored(model));
  std::vector<TensorSource> tensors;
  std::vector<std::vector<float>> values;
  values.reserve(weights.names().size());  // tensors point into them
  for (const std::string& one : weights.names()) {
    std::vector<Index> shape = weights.at(one).shape;
    values.emplace_back(weights.at(one).elements);
    weights.read(one, VectorView<float>(values.back()));
    if (one == tensor && rows != 0) {
      values.back().resize(values.back().size() / shape[0] * rows);
      shape[0] = rows;
    }
    tensors.push_back({one == tensor ? name : one, shape, values.back().data(), Dtype::f32});
  }
  write_safetensors_directory(folder, tensors);
  const std::string error = error_of<DataError>([&] { convert_model(folder, directory / "a.gguf"); });
  CHECK_FALSE(fs::exists(directory / "a.gguf"));
  return error;
}

TEST_CASE("experts that are no stack, and two tensors that are one in a GGUF file, are refused") {
  const std::string expert = "model.layers.0.mlp.experts.1.gate_proj.weight";
  CHECK(contains(error_with("qwen3_moe", expert, expert, 40), "expected one shape of them all"));
  CHECK(contains(error_with("qwen3_moe", expert, "model.layers.0.mlp.experts.900.gate_proj.weight", 0),
                 "is of an expert beyond the 5"));
  CHECK(contains(error_with("qwen3_moe", expert, "layers.0.mlp.experts.2.gate_proj.weight", 0),
                 "are one tensor of a GGUF file, expected one of them"));
  CHECK(contains(error_with("llama", "model.layers.1.self_attn.v_proj.weight", "blk.0.attn_v.weight", 0),
                 "are one tensor of a GGUF file, expected one of them"));
}

}  // namespace convert_damaged_test
