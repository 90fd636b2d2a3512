// Models from one format to another and back.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../io/gguf_file.hpp"
#include "../io/temporary.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/quantized.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/torch_file.hpp"
#include "merit/io/write_safetensors.hpp"
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

/// Changes the settings of a folder's config.json.
void configure(const fs::path& folder, const Json& changes) {
  Json config = read_json(folder / "config.json");
  config.update(changes);
  write_json(folder / "config.json", config);
}

/// A copy of the last layer of a folder of the Llama family, behind it.
void add_layer(const fs::path& folder, Index last) {
  const SafetensorsDirectory weights(folder);
  const std::string of_last = concat("model.layers.", last, "."),
                    of_new = concat("model.layers.", last + 1, ".");
  std::vector<TensorSource> tensors;
  std::vector<std::vector<float>> values;
  values.reserve(2 * weights.names().size());  // tensors point into them
  for (const std::string& name : weights.names()) {
    values.emplace_back(weights.at(name).elements);
    weights.read(name, VectorView<float>(values.back()));
    const float* const numbers = values.back().data();
    tensors.push_back({name, weights.at(name).shape, numbers, Dtype::f32});
    if (!name.starts_with(of_last)) continue;
    tensors.push_back({of_new + name.substr(of_last.size()), weights.at(name).shape, numbers, Dtype::f32});
  }
  write_safetensors_directory(folder, tensors);
}

/// That the weights of a folder and of the GGUF file made of it are the same numbers under the same names.
void check_same_weights(const fs::path& folder, const fs::path& gguf) {
  const auto ours = open_weights(gguf), theirs = open_weights(folder);
  CHECK(ours->names() == theirs->names());
  for (const std::string& name : theirs->names()) {
    const TensorInfo& info = *theirs->find(name);
    REQUIRE(ours->find(name) != nullptr);
    CHECK(ours->find(name)->shape == info.shape);
    std::vector<float> a(info.elements), b(info.elements);
    ours->read(name, VectorView<float>(a));
    theirs->read(name, VectorView<float>(b));
    CHECK_MESSAGE(a == b, name);
    const auto stored = ours->stored(name);
    if (!stored) continue;
    detail::copy_numbers(stored->dtype, static_cast<const std::byte*>(stored->data), a.size(), a.data());
    CHECK_MESSAGE(a == b, name);
  }
}

/// Round trip to a GGUF file and back, with all that stands beside the weights.
void check_round_trip(const fs::path& folder, const std::string& architecture) {
  const fs::path gguf = folder.string() + ".gguf", again = folder.string() + "-again";
  const ConvertReport report = convert_model(folder, gguf);
  CHECK(report.kept.empty());
  // The tokenizer here is that of a larger vocabulary.
  REQUIRE(report.left_out.size() == 1);
  CHECK(contains(report.left_out[0], "the tokenizer for llama.cpp: it has "));
  convert_model(gguf, again);
  const auto before = content(folder), after = content(again);
  CHECK(after.size() == before.size());
  for (const auto& entry : before)
    CHECK_MESSAGE((after.contains(entry.first) && after.at(entry.first) == entry.second), entry.first);
  check_same_weights(folder, gguf);
  const GgufFile file(gguf);
  CHECK(file.require<std::string>("general.architecture") == architecture);
  if (file.find_tensor("cls.output.weight") != nullptr) {
    CHECK(file.require<std::vector<std::string>>(architecture + ".classifier.output_labels").size() == 1);
  }
}

TEST_CASE("a folder becomes a GGUF file and a folder again, the same to the bit") {
  for (const auto& one : std::map<std::string, std::string>{{"llama", "llama"},
                                                            {"llama_biases", "llama"},
                                                            {"qwen2", "qwen2"},
                                                            {"qwen3", "qwen3"},
                                                            {"mistral", "llama"},
                                                            {"gpt2", "gpt2"},
                                                            {"llama_rope_linear", "llama"},
                                                            {"llama_rope_yarn", "llama"},
                                                            {"qwen3_moe", "qwen3moe"},
                                                            {"phi3", "phi3"},
                                                            {"olmo", "olmo"},
                                                            {"olmo2", "olmo2"},
                                                            {"olmo3", "olmo2"},
                                                            {"internlm2", "internlm2"},
                                                            {"gpt_neox", "gptneox"},
                                                            {"bert", "bert"},
                                                            {"modernbert", "modern-bert"},
                                                            {"modernbert_mean", "modern-bert"}}) {
    const std::string &name = one.first, &architecture = one.second;
    CAPTURE(name);
    const TemporaryDirectory directory;
    make_folder(stored(name), directory / "m");
    check_round_trip(directory / "m", architecture);
    // The file alone tells the same.
    CHECK(read_model_card(directory / "m.gguf")->backbone == "llama");
    const TextFiles text = text_files_of_gguf(GgufFile(directory / "m.gguf")),
                    folder = *read_text_files(directory / "m");
    std::vector<Token> tokens, expected;
    text.tokenizer.encode("words of some text", tokens);
    folder.tokenizer.encode("words of some text", expected);
    CHECK(!tokens.empty());
    CHECK(tokens == expected);
    CHECK(text.chat_templates == folder.chat_templates);
  }
}

TEST_CASE("models with settings that llama.cpp takes for granted convert where they have them") {
  const TemporaryDirectory directory;
  make_folder(stored("smollm3"), directory / "smollm3");
  CHECK(contains(error_of<ConfigError>([&] { convert_model(directory / "smollm3", directory / "a.gguf"); }),
                 "its unrotated is not what a GGUF file can say"));
  add_layer(directory / "smollm3", 2);
  configure(directory / "smollm3", {{"num_hidden_layers", 4}, {"no_rope_layers", nullptr}});
  check_round_trip(directory / "smollm3", "smollm3");
  make_folder(stored("qwen3_moe_shares"), directory / "shares");
  CHECK(contains(error_of<ConfigError>([&] { convert_model(directory / "shares", directory / "a.gguf"); }),
                 "its normalised_experts is not what a GGUF file can say"));
  make_folder(stored("gpt_neox_serial"), directory / "serial");
  CHECK(contains(error_of<ConfigError>([&] { convert_model(directory / "serial", directory / "a.gguf"); }),
                 "its activation is not what a GGUF file can say"));
  configure(directory / "serial", {{"hidden_act", "gelu"}});
  check_round_trip(directory / "serial", "gptneox");
  for (const char* name : {"electra", "albert", "distilbert", "deberta"}) {
    make_folder(stored(name), directory / name);
    CHECK(contains(error_of<ConfigError>([&] { convert_model(directory / name, directory / "a.gguf"); }),
                   name == std::string("deberta")
                       ? "the backbone deberta-v2 is not written to GGUF files"
                       : concat("the backbone ", name, " is not written to GGUF files")));
  }
  CHECK_FALSE(fs::exists(directory / "a.gguf"));
}

TEST_CASE("RoBERTa becomes the BERT that llama.cpp has in its place") {
  const TemporaryDirectory directory;
  make_folder(stored("roberta"), directory / "m");
  const ConvertReport report = convert_model(directory / "m", directory / "m.gguf");
  REQUIRE(report.left_out.size() == 2);  // the tokenizer is of a larger vocabulary
  CHECK(contains(report.left_out[0], "the first 2 rows of positions"));
  const GgufFile file(directory / "m.gguf");
  CHECK(file.require<std::string>("general.architecture") == "bert");
  CHECK(file.tensor("position_embd.weight").shape == std::vector<Index>{38, 16});
  Bert expected = std::get<Bert>(read_backbone_config(directory / "m"));
  expected.family = BertFamily::bert;
  expected.max_positions -= expected.first_position;
  expected.first_position = 0;
  convert_model(directory / "m.gguf", directory / "again");
  for (const char* place : {"m.gguf", "again"}) {
    Bert found = std::get<Bert>(read_backbone_config(directory / place));
    found.init_deviation = expected.init_deviation;
    CHECK(found == expected);
    const auto ours = open_weights(directory / place), theirs = open_weights(directory / "m");
    CHECK(ours->names().size() == theirs->names().size());
    for (const auto& names : std::map<std::string, std::string>{
             {"classifier.weight", "classifier.out_proj.weight"},
             {"bert.pooler.dense.bias", "classifier.dense.bias"},
             {"bert.embeddings.position_embeddings.weight", "roberta.embeddings.position_embeddings.weight"},
             {"bert.encoder.layer.1.output.dense.weight", "roberta.encoder.layer.1.output.dense.weight"}}) {
      CAPTURE(names.first);
      REQUIRE(ours->find(names.first) != nullptr);
      std::vector<float> a(ours->find(names.first)->elements), b(theirs->find(names.second)->elements);
      ours->read(names.first, VectorView<float>(a));
      theirs->read(names.second, VectorView<float>(b));
      CHECK(std::equal(a.rbegin(), a.rend(), b.rbegin()));
      CHECK(b.size() - a.size() == (b.size() == 40 * 16 ? 2 * 16 : 0));
    }
  }
}

TEST_CASE("tensors lie in files as llama.cpp's converter lays them out") {
  const Json expected = read_json(stored("gguf/tensors.json"));
  CHECK(expected.size() == 14);
  for (const auto& model : expected.items()) {
    const std::string name = model.key();
    CAPTURE(name);
    const TemporaryDirectory directory;
    make_folder(stored(name), directory / "m");
    if (name == "smollm3") {
      add_layer(directory / "m", 2);
      configure(directory / "m", {{"num_hidden_layers", 4}, {"no_rope_layers", nullptr}});
    }
    convert_model(directory / "m", directory / "m.gguf");
    const GgufFile file(directory / "m.gguf");
    Index compared = 0;
    for (const auto& tensor : model.value().items()) {
      const std::string key = tensor.key();
      REQUIRE_MESSAGE(file.find_tensor(key) != nullptr, key);
      const std::vector<std::byte> bytes = file.tensor_bytes(key);
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      char hash[17];
      std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(fnv1a(text)));
      CHECK_MESSAGE(std::string(hash) == tensor.value(), key);
      ++compared;
    }
    CHECK(compared > 10);
  }
}

TEST_CASE("factors for long sequences come along") {
  const TemporaryDirectory directory;
  make_folder(stored("phi3"), directory / "m");
  configure(directory / "m", {{"original_max_position_embeddings", 32},
                              {"rope_parameters",
                               {{"rope_type", "longrope"},
                                {"rope_theta", 10000.0},
                                {"partial_rotary_factor", 0.5},
                                {"short_factor", {1.0, 1.2}},
                                {"long_factor", {1.1, 2.5}}}}});
  check_round_trip(directory / "m", "phi3");
  const Json config = gguf_config_json(GgufFile(directory / "m.gguf"));
  CHECK(config.at("rope_scaling").at("long_factor") == Json({1.1, 2.5}));
  CHECK_FALSE(config.at("rope_scaling").contains("attention_factor"));
  const GgufFile file(directory / "m.gguf");
  CHECK(file.require<double>("phi3.rope.scaling.attn_factor") ==
        doctest::Approx(std::sqrt(1 + std::log(2) / std::log(32))));
}

TEST_CASE("to the weights of Gemma's norms 1 is added, and taken away again") {
  for (const auto& one : std::map<std::string, std::string>{
           {"gemma", "gemma"}, {"gemma2", "gemma2"}, {"gemma3_text", "gemma3"}}) {
    const std::string &name = one.first, &architecture = one.second;
    CAPTURE(name);
    const TemporaryDirectory directory;
    make_folder(stored(name), directory / "m");
    if (name == "gemma2") {
      CHECK(contains(error_of<ConfigError>([&] { convert_model(directory / "m", directory / "a.gguf"); }),
                     "its attention_scale is not what a GGUF file can say"));
      configure(directory / "m", {{"query_pre_attn_scalar", 6}});
    }
    // Bfloat16, as they are published, loses nothing where numbers are not tiny.
    convert_model(directory / "m", directory / "half", {.type = Dtype::bf16});
    check_round_trip(directory / "half", architecture);
    convert_model(directory / "m", directory / "m.gguf");
    const GgufFile file(directory / "m.gguf");
    const auto weights = open_weights(directory / "m.gguf"), whole = open_weights(directory / "m");
    std::vector<float> in_file(16), read(16), expected(16);
    file.read("output_norm.weight", VectorView<float>(in_file));
    weights->read("model.norm.weight", VectorView<float>(read));
    whole->read("model.norm.weight", VectorView<float>(expected));
    for (Index i = 0; i < 16; ++i) {
      CHECK(in_file[i] == 1 + expected[i]);
      CHECK(std::abs(read[i] - expected[i]) <= 6e-8f);
    }
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

TEST_CASE("K types: of matrices with rows of whole blocks, and read as what they say") {
  const TemporaryDirectory directory;
  make_folder(stored("llama"), directory / "m");
  // An embedding of 256 columns, which is all that a block of it asks for.
  std::vector<float> values(4 * 256);
  for (Index i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  const TensorSource wide{"wide.weight", {4, 256}, std::as_const(values).data(), Dtype::f32};
  write_safetensors(directory / "m" / "model-wide.safetensors", std::vector<TensorSource>{wide});
  fs::rename(directory / "m" / "model.safetensors", directory / "m" / "model-rest.safetensors");
  Json index = {{"weight_map", {{"wide.weight", "model-wide.safetensors"}}}};
  const SafetensorsFile rest(directory / "m" / "model-rest.safetensors");
  for (const TensorInfo& info : rest.tensors()) index["weight_map"][info.name] = "model-rest.safetensors";
  write_json(directory / "m" / "model.safetensors.index.json", index);
  const ConvertReport report = convert_model(directory / "m", directory / "k.gguf", {.type = Dtype::q4_k});
  const GgufFile file(directory / "k.gguf");
  CHECK(file.tensor("wide.weight").type->name == "Q4_K");
  CHECK(file.tensor("token_embd.weight").type->name == "F32");
  CHECK_FALSE(report.kept.empty());
  std::vector<float> read(values.size());
  file.read("wide.weight", VectorView<float>(read));
  for (Index i = 0; i < read.size(); ++i) CHECK(std::abs(read[i] - values[i]) < 0.1f);
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

TEST_CASE("of the files beside the weights those of the model go into a GGUF file, and the others are said") {
  const TemporaryDirectory directory;
  make_folder(stored("llama"), directory / "m");
  fs::create_directories(directory / "m" / "additional_chat_templates");
  write_file_atomically(directory / "m" / "additional_chat_templates" / "tool_use.jinja", "{{ tools }}");
  fs::create_directories(directory / "m" / ".cache");
  for (const char* name : {"README.md", ".cache/notes.json", "generation_config.json"})
    write_file_atomically(directory / "m" / name, "{}");
  const ConvertReport report = convert_model(directory / "m", directory / "m.GGUF");
  REQUIRE(report.left_out.size() == 2);  // the tokenizer is of a larger vocabulary
  CHECK(report.left_out[0] == ".cache/notes.json, README.md: no part of the model");
  convert_model(directory / "m.GGUF", directory / "again");
  auto before = content(directory / "m");
  CHECK(before.erase("README.md") + before.erase(".cache/notes.json") == 2);
  CHECK(content(directory / "again") == before);
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
  CHECK(contains(refused("c.gguf", Dtype::iq4_xs), "the type IQ4_XS is not written to GGUF files"));
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
