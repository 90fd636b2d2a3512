// Models from one format to another and back.
#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "../io/gguf_file.hpp"
#include "../io/temporary.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/torch_file.hpp"
#include "merit/model/model_card.hpp"
#include "merit/run/convert_model.hpp"
#include "stored.hpp"

namespace convert_model_test {

using namespace merit;
using namespace merit_test;
namespace fs = std::filesystem;

/// What a reader finds in a folder: the bytes of every tensor with its type and shape, and of the other files.
std::map<std::string, std::string> content(const fs::path& folder) {
  std::map<std::string, std::string> found;
  const SafetensorsDirectory weights(folder);
  for (const std::string& name : weights.names()) {
    const TensorInfo& info = weights.at(name);
    const std::string bytes = read_file(weights.path()).substr(info.begin, info.end - info.begin);
    found["tensor " + name] = info.dtype_name + detail::shape_text(info.shape) + bytes;
  }
  for (const auto& [name, bytes] : detail::side_files(folder)) found[name] = bytes;
  return found;
}

/// A golden model with a tokenizer and a card beside it.
void make_folder(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  fs::copy(from / "config.json", to / "config.json");
  fs::copy(from / "model.safetensors", to / "model.safetensors");
  write_json(to / "tokenizer.json", read_json(stored("tokenizers/byte_level.json")).at("base"));
  write_file_atomically(to / "chat_template.jinja", "{{ messages[0].content }}");
  write_file_atomically(to / "merit.json",
                        json_text(to_json(ModelCard{.merit_version = "0.1.0", .backbone = "llama"}), "card"));
}

TEST_CASE("a folder becomes a GGUF file and a folder again, the same to the bit") {
  for (const char* name :
       {"llama", "qwen2", "qwen3", "mistral", "gpt2", "llama_rope_linear", "llama_rope_yarn"}) {
    CAPTURE(name);
    const TemporaryDirectory directory;
    make_folder(stored(name), directory / "m");
    const ConvertReport report = convert_model(directory / "m", directory / "m.gguf");
    CHECK(report.kept.empty());
    CHECK(report.left_out.empty());
    const std::map<std::string, std::string> before = content(directory / "m");
    CHECK(report.tensors + 4 == before.size());
    convert_model(directory / "m.gguf", directory / "again");
    CHECK(content(directory / "again") == before);
    // The file alone tells the same, and its weights are read as the folder's.
    CHECK(read_model_card(directory / "m.gguf")->backbone == "llama");
    const auto ours = open_weights(directory / "m.gguf"), theirs = open_weights(directory / "m");
    const TensorInfo& head = *theirs->find("score.weight");
    std::vector<float> a(head.elements), b(head.elements);
    ours->read("score.weight", VectorView<float>(a));
    theirs->read("score.weight", VectorView<float>(b));
    CHECK(a == b);
    const GgufFile file(directory / "m.gguf");
    CHECK(file.find_tensor("cls.output.weight") != nullptr);
    CHECK(file.require<std::vector<std::string>>(file.require<std::string>("general.architecture") +
                                                 ".classifier.output_labels")
              .size() == 1);
    const TextFiles text = text_files_of_gguf(file), folder = *read_text_files(directory / "m");
    std::vector<Token> tokens, expected;
    text.tokenizer.encode("words of some text", tokens);
    folder.tokenizer.encode("words of some text", expected);
    CHECK(!tokens.empty());
    CHECK(tokens == expected);
    CHECK(text.chat_templates == folder.chat_templates);
  }
}

TEST_CASE("types: rounded once, kept on the way, and said in config.json") {
  const TemporaryDirectory directory;
  make_folder(stored("llama"), directory / "m");
  convert_model(directory / "m", directory / "half", {.type = Dtype::bf16});
  const SafetensorsDirectory half(directory / "half"), whole(directory / "m");
  for (const std::string& name : half.names()) {
    REQUIRE(half.at(name).dtype == Dtype::bf16);
    std::vector<float> a(half.at(name).elements), b(a.size());
    half.read(name, VectorView<float>(a));
    whole.read(name, VectorView<float>(b));
    for (Index i = 0; i < a.size(); ++i) b[i] = from_bf16(to_bf16(b[i]));
    CHECK(a == b);
  }
  CHECK(read_json(directory / "half" / "config.json").at("dtype") == "bfloat16");
  convert_model(directory / "half", directory / "half.gguf");
  CHECK(GgufFile(directory / "half.gguf").tensor("blk.0.attn_q.weight").type->name == "BF16");
  CHECK(GgufFile(directory / "half.gguf").tensor("output_norm.weight").type->name == "F32");
  convert_model(directory / "half.gguf", directory / "again");
  CHECK(content(directory / "again") == content(directory / "half"));

  // To q8_0: of rows that are whole blocks; llama's MLP is 48 wide.
  const ConvertReport report = convert_model(directory / "m", directory / "q.gguf", {.type = Dtype::q8_0});
  const GgufFile quantised(directory / "q.gguf");
  Index blocks = 0;
  for (const GgufTensor& tensor : quantised.tensors()) blocks += tensor.type->name == "Q8_0";
  CHECK(blocks > 10);
  CHECK(blocks + report.kept.size() + 1 + 2 * 3 == quantised.tensors().size());  // and the norms
  // The same by way of a GGUF file of floats.
  convert_model(directory / "m", directory / "f.gguf");
  convert_model(directory / "f.gguf", directory / "q2.gguf", {.type = Dtype::q8_0});
  for (const GgufTensor& tensor : quantised.tensors()) {
    CHECK_MESSAGE(
        GgufFile(directory / "q2.gguf").tensor_bytes(tensor.name) == quantised.tensor_bytes(tensor.name),
        tensor.name);
  }
}

TEST_CASE("a GGUF file of llama.cpp becomes itself, or by way of a folder has the same tensors") {
  const TemporaryDirectory directory;
  fs::copy(stored("gguf/types.gguf"), directory / "types.gguf");
  convert_model(directory / "types.gguf", directory / "same.gguf");
  const GgufFile a(directory / "types.gguf"), b(directory / "same.gguf");
  CHECK(a.keys() == b.keys());
  for (const std::string& key : a.keys()) CHECK(a.entry_bytes(key) == b.entry_bytes(key));
  for (const GgufTensor& tensor : a.tensors())
    CHECK(a.tensor_bytes(tensor.name) == b.tensor_bytes(tensor.name));
  convert_model(directory / "same.gguf", directory / "third.gguf");
  CHECK(read_file(directory / "third.gguf") == read_file(directory / "same.gguf"));

  make_folder(stored("llama"), directory / "m");
  convert_model(directory / "m", directory / "m.gguf");
  convert_model(directory / "m.gguf", directory / "folder");
  convert_model(directory / "folder", directory / "again.gguf");
  CHECK(read_file(directory / "again.gguf") == read_file(directory / "m.gguf"));
}

TEST_CASE("what cannot be converted is said, and leaves nothing behind") {
  const TemporaryDirectory directory;
  make_folder(stored("llama_rope_llama3"), directory / "m");
  const auto refused = [&](const char* to, std::optional<Dtype> type) {
    const std::string error =
        error_of<Error>([&] { convert_model(directory / "m", directory / to, {.type = type}); });
    CHECK_FALSE(fs::exists(directory / to));
    return error;
  };
  // Its borders are not those of Llama 3's models, which is all that the factors in a file can tell.
  CHECK(contains(refused("a.gguf", {}), "rope_freqs.weight"));
  CHECK(contains(refused("b", Dtype::q8_0), "the type Q8_0 is not written to safetensors"));
  CHECK(contains(refused("c.gguf", Dtype::q4_k), "the type Q4_K is not written to GGUF files"));
  fs::create_directory(directory / "there");
  CHECK(error_of<IoError>([&] { convert_model(directory / "m", directory / "there"); }) ==
        (directory / "there").string() + " is there already, expected a new name");
  // The settings are compared before a tensor is read: this one would be refused.
  make_folder(stored("mistral_window"), directory / "windows");
  std::string weights = read_file(directory / "windows" / "model.safetensors");
  weights.replace(weights.size() - 4, 4, "\xff\xff\xff\x7f");  // no number
  write_file_atomically(directory / "windows" / "model.safetensors", weights);
  CHECK(contains(error_of<ConfigError>([&] { convert_model(directory / "windows", directory / "w.gguf"); }),
                 "its windows is not what a GGUF file can say"));
  // A file name that reaches out of the folder.
  make_folder(stored("llama"), directory / "good");
  convert_model(directory / "good", directory / "good.gguf");
  std::string bytes = read_file(directory / "good.gguf");
  const std::string name = "merit.file.merit.json";
  bytes.replace(bytes.find(name), name.size(), "merit.file.../rit.jso");
  write_file_atomically(directory / "bad.gguf", bytes);
  CHECK(contains(error_of<DataError>([&] { convert_model(directory / "bad.gguf", directory / "d"); }),
                 "expected the name of a file inside the folder"));
  CHECK_FALSE(fs::exists(directory / "d"));
}

}  // namespace convert_model_test
