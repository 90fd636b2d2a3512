// Models in GGUF files: names, layouts and settings against the same model as transformers has it.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <variant>
#include <vector>

#include "../io/gguf_file.hpp"
#include "../io/temporary.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/testing/values.hpp"

namespace gguf_checkpoint_test {

using namespace merit;
using namespace merit_test;
using namespace merit_test::gguf_kind;

template <class Backbone>
using ModelOf = RewardModel<Backbone, ScalarHead, PairwiseLoss, ReferenceBackend<float>>;

const Llama small{.vocabulary_size = 7,
                  .hidden_size = 8,
                  .intermediate_size = 6,
                  .layers = 2,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 4,
                  .norm_epsilon = 1e-5,
                  .rope_base = 50000,
                  .max_positions = 16,
                  .tied_embedding = false,
                  .unembedding = true,
                  .init_deviation = 0.02};  // as a file gives it that says nothing
const Gpt2 small_gpt2{.vocabulary_size = 7,
                      .hidden_size = 8,
                      .layers = 2,
                      .heads = 2,
                      .max_positions = 16,
                      .init_deviation = 0.02};

template <class Model>
std::vector<float> parameter(const Model& model, std::string_view name) {
  const auto& parameters = model.parameters();
  const Index i = parameters.find(name);
  REQUIRE(i < parameters.tensor_count());
  const float* begin = parameters.values().data + parameters.offset(i);
  return {begin, begin + parameters.element_count(i)};
}

/// Every parameter drawn anew, also those that start as ones and zeros, so that none can stand for another.
template <class Model>
void scatter(Model& model) {
  Rng rng(11);
  auto& parameters = model.parameters();
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    std::vector<float> values(parameters.element_count(i));
    for (float& value : values) value = static_cast<float>(rng.normal());
    parameters.set(i, values.data());
  }
}

/// The metadata of `llama` as llama.cpp's converter writes them.
GgufBytes header(const Llama& llama, const std::string& kind) {
  GgufBytes file;
  const auto number = [&](const char* name, Index value) {
    file.number(kind + "." + name, static_cast<std::uint32_t>(value));
  };
  file.text("general.architecture", kind);
  number("block_count", llama.layers);
  number("context_length", llama.max_positions);
  number("embedding_length", llama.hidden_size);
  number("feed_forward_length", llama.intermediate_size);
  number("attention.head_count", llama.heads);
  number("attention.head_count_kv", llama.kv_heads);
  number("attention.key_length", llama.head_width());
  number("attention.value_length", llama.head_width());
  number("rope.dimension_count", llama.head_width());
  file.real(kind + ".attention.layer_norm_rms_epsilon", static_cast<float>(llama.norm_epsilon));
  file.real(kind + ".rope.freq_base", static_cast<float>(llama.rope_base));
  return file;
}

/// What llama.cpp does with the rows of queries and keys in files of the architecture "llama": row j·half + i
/// of a head goes to 2i + j.
std::vector<float> interleaved(const std::vector<float>& rows, Index heads, Index columns) {
  std::vector<float> result(rows.size());
  const Index width = rows.size() / heads / columns;
  for (Index r = 0; r < heads * width; ++r) {
    const Index in_head = r % width;
    const Index target = r / width * width + in_head % (width / 2) * 2 + in_head / (width / 2);
    std::copy_n(rows.data() + r * columns, columns, result.data() + target * columns);
  }
  return result;
}

/// A model of the Llama family as a GGUF file.
template <class Model>
GgufBytes as_gguf(const Model& model, const std::string& kind) {
  const Llama& llama = model.config().backbone;
  GgufBytes file = header(llama, kind);
  const auto add = [&](const std::string& name, const std::string& published) {
    const auto& parameters = model.parameters();
    const std::vector<Index>& shape = parameters.spec(parameters.find(published)).shape;
    std::vector<float> values = parameter(model, published);
    if (kind == "llama" && name.find("attn_q.") != name.npos)
      values = interleaved(values, llama.heads, values.size() / shape[0]);
    if (kind == "llama" && name.find("attn_k.") != name.npos)
      values = interleaved(values, llama.kv_heads, values.size() / shape[0]);
    file.floats(name, {shape.rbegin(), shape.rend()}, values);
  };
  add("token_embd.weight", "model.embed_tokens.weight");
  add("output_norm.weight", "model.norm.weight");
  if (llama.unembedding && !llama.tied_embedding) add("output.weight", "lm_head.weight");
  add("cls.output.weight", "score.weight");
  for (Index i = 0; i < llama.layers; ++i) {
    const std::string ours = concat("blk.", i, "."), theirs = concat("model.layers.", i, ".");
    add(ours + "attn_norm.weight", theirs + "input_layernorm.weight");
    add(ours + "ffn_norm.weight", theirs + "post_attention_layernorm.weight");
    for (const char* part : {"q", "k", "v"}) {
      const std::string to = ours + "attn_" + part, from = theirs + "self_attn." + part;
      add(to + ".weight", from + "_proj.weight");
      if (llama.qkv_bias) add(to + ".bias", from + "_proj.bias");
      if (llama.head_norm && *part != 'v') add(to + "_norm.weight", from + "_norm.weight");
    }
    add(ours + "attn_output.weight", theirs + "self_attn.o_proj.weight");
    for (const char* part : {"gate", "up", "down"}) {
      add(ours + "ffn_" + part + ".weight", theirs + "mlp." + part + "_proj.weight");
    }
  }
  return file;
}

template <class Backbone>
void check_same(const ModelOf<Backbone>& a, const ModelOf<Backbone>& b) {
  for (Index i = 0; i < a.parameters().tensor_count(); ++i) {
    const std::string& name = a.parameters().spec(i).name;
    CHECK_MESSAGE(parameter(a, name) == parameter(b, name), name);
  }
}

/// The model that `file` holds has the backbone and the parameters of `expected`; as a file and as the one of
/// a directory.
template <class Backbone>
void check_loads(const GgufBytes& file, const ModelOf<Backbone>& expected) {
  const TemporaryDirectory directory;
  put(directory / "some-model.gguf", file.bytes());
  for (const auto& path : {directory / "some-model.gguf", directory.path()}) {
    const BackboneConfig config = read_backbone_config(path);
    REQUIRE(std::holds_alternative<Backbone>(config));
    Backbone backbone = std::get<Backbone>(config);
    if constexpr (requires { backbone.unembedding; }) {
      CHECK(backbone.tied_embedding == expected.config().backbone.tied_embedding);
      backbone.unembedding = true;  // is a setting of use, not of the file
    }
    CHECK((backbone == expected.config().backbone));
    ModelOf<Backbone> model({.backbone = backbone, .initial = Initial::from_file});
    const LoadReport report = load_model_parameters(path, model);
    CHECK(report.fresh.empty());
    CHECK(report.skipped.empty());
    CHECK(report.unexpected.empty());
    check_same(model, expected);
    ModelOf<Backbone> scoring({.backbone = backbone, .initial = Initial::from_file, .scores_only = true});
    load_model_parameters(path, scoring);
    for (Index i = 0; i < model.parameters().tensor_count(); ++i) {
      INFO(model.parameters().spec(i).name);
      CHECK(values_of(scoring.parameters(), i) == values_of(model.parameters(), i));
    }
  }
}

TEST_CASE("a file of llama, with the rows of queries and keys as llama.cpp turns them, loads") {
  ModelOf<Llama> model({.backbone = small});
  scatter(model);
  check_loads(as_gguf(model, "llama"), model);
  Llama tied = small;
  tied.tied_embedding = true;
  ModelOf<Llama> other({.backbone = tied});
  scatter(other);
  check_loads(as_gguf(other, "llama"), other);
}

TEST_CASE("files of qwen2 with biases and of qwen3 with norms of heads load, nothing turned") {
  Llama qwen2 = small;
  qwen2.qkv_bias = true;
  ModelOf<Llama> biased({.backbone = qwen2});
  scatter(biased);
  check_loads(as_gguf(biased, "qwen2"), biased);
  check_loads(as_gguf(biased, "llama"), biased);  // turned, also the biases
  Llama qwen3 = small;
  qwen3.head_norm = true;
  qwen3.head_dim = 6;
  ModelOf<Llama> normed({.backbone = qwen3});
  scatter(normed);
  check_loads(as_gguf(normed, "qwen3"), normed);
}

TEST_CASE("a file of gpt2, whose matrices are (out, in), loads as (in, out)") {
  ModelOf<Gpt2> model({.backbone = small_gpt2});
  scatter(model);
  GgufBytes file;
  file.text("general.architecture", "gpt2").number("gpt2.block_count", 2).number("gpt2.context_length", 16);
  file.number("gpt2.embedding_length", 8).number("gpt2.feed_forward_length", 32);
  file.number("gpt2.attention.head_count", 2).real("gpt2.attention.layer_norm_epsilon", 1e-5f);
  const auto add = [&](const std::string& name, const std::string& published) {
    const auto& parameters = model.parameters();
    const std::vector<Index>& shape = parameters.spec(parameters.find(published)).shape;
    std::vector<float> values = parameter(model, published);
    std::vector<std::uint64_t> dimensions(shape.rbegin(), shape.rend());
    if (published.find(".c_") != published.npos && shape.size() == 2) {
      std::swap(dimensions[0], dimensions[1]);
      const std::vector<float> before = values;
      for (Index i = 0; i < shape[0]; ++i) {
        for (Index j = 0; j < shape[1]; ++j) values[j * shape[0] + i] = before[i * shape[1] + j];
      }
    }
    file.floats(name, dimensions, values);
  };
  add("token_embd.weight", "transformer.wte.weight");
  add("position_embd.weight", "transformer.wpe.weight");
  add("cls.output.weight", "score.weight");
  for (const char* ending : {".weight", ".bias"}) {
    const std::string end = ending;
    add("output_norm" + end, "transformer.ln_f" + end);
    for (const char* layer : {"0", "1"}) {
      const std::string ours = std::string("blk.") + layer + ".",
                        theirs = std::string("transformer.h.") + layer;
      add(ours + "attn_norm" + end, theirs + ".ln_1" + end);
      add(ours + "attn_qkv" + end, theirs + ".attn.c_attn" + end);
      add(ours + "attn_output" + end, theirs + ".attn.c_proj" + end);
      add(ours + "ffn_norm" + end, theirs + ".ln_2" + end);
      add(ours + "ffn_up" + end, theirs + ".mlp.c_fc" + end);
      add(ours + "ffn_down" + end, theirs + ".mlp.c_proj" + end);
    }
  }
  const TemporaryDirectory directory;
  put(directory / "m.gguf", file.bytes());
  Gpt2 expected = small_gpt2;
  expected.intermediate_size = 32;  // said, not left to the default of 4 · 8
  ModelOf<Gpt2> said({.backbone = expected});
  for (Index i = 0; i < said.parameters().tensor_count(); ++i) {
    said.parameters().set(i, parameter(model, said.parameters().spec(i).name).data());
  }
  check_loads(file, said);
}

/// The configuration of a file of llama with a few entries more.
Llama config_of(const GgufBytes& file) {
  const TemporaryDirectory directory;
  put(directory / "m.gguf", file.bytes());
  return read_backbone_config<Llama>(directory / "m.gguf");
}
template <class E = ConfigError>
std::string config_error(const GgufBytes& file) {
  return error_of<E>([&] { config_of(file); });
}
GgufBytes plain(const std::string& kind = "llama") {
  return header(small, kind).floats("token_embd.weight", {8, 7}, std::vector<float>(56));
}

TEST_CASE("numbers stored as floats are the decimals that were meant") {
  const Llama llama = config_of(plain());
  CHECK(llama.norm_epsilon == 1e-5);
  CHECK(llama.rope_base == 50000);
  CHECK(llama.tied_embedding);
  CHECK(llama.head_width() == 4);
}

TEST_CASE("rotary scaling comes from the metadata, that of Llama 3 from its factors") {
  using Kind = RotaryScaling::Kind;
  CHECK(config_of(plain().text("llama.rope.scaling.type", "none")).rope_scaling.kind == Kind::none);
  Llama llama =
      config_of(plain().text("llama.rope.scaling.type", "linear").real("llama.rope.scaling.factor", 2.5f));
  CHECK(llama.rope_scaling.kind == Kind::linear);
  CHECK(llama.rope_scaling.factor == 2.5);
  CHECK(config_of(plain().real("llama.rope.scale_linear", 4)).rope_scaling.factor == 4);
  llama = config_of(plain()
                        .text("llama.rope.scaling.type", "yarn")
                        .real("llama.rope.scaling.factor", 4)
                        .number("llama.rope.scaling.original_context_length", 8));
  CHECK(llama.rope_scaling.kind == Kind::yarn);
  CHECK(llama.rope_scaling.original_positions == 8);

  // Llama 3.2's, as its converter computes them, with the arithmetic of its page.
  Llama wide = small;
  wide.head_dim = 64;
  wide.rope_base = 500000;
  std::vector<float> factors;
  for (int i = 0; i < 32; ++i) {
    const double wavelength = 2 * std::numbers::pi * std::pow(500000.0, i / 32.0);
    double factor = 1;
    if (wavelength > 8192) {
      factor = 32;
    } else if (wavelength >= 8192 / 4.0) {
      const double smooth = (8192 / wavelength - 1) / (4 - 1);
      factor = 1 / ((1 - smooth) / 32 + smooth);
    }
    factors.push_back(static_cast<float>(factor));
  }
  const auto with = [&](const std::vector<float>& values) {
    return header(wide, "llama")
        .floats("token_embd.weight", {8, 7}, std::vector<float>(56))
        .floats("rope_freqs.weight", {values.size()}, values);
  };
  llama = config_of(with(factors));
  CHECK(llama.rope_scaling.kind == Kind::llama3);
  CHECK(llama.rope_scaling.factor == 32);
  CHECK(llama.rope_scaling.low_frequency_factor == 1);
  CHECK(llama.rope_scaling.high_frequency_factor == 4);
  CHECK(llama.rope_scaling.original_positions == 8192);
  CHECK(config_of(with(std::vector<float>(32, 1.0f))).rope_scaling.kind == Kind::none);
  factors[20] *= 1.001f;
  CHECK(
      contains(config_error(with(factors)), "tensor \"rope_freqs.weight\": expected the factors of Llama 3"));
  factors.pop_back();
  CHECK(contains(config_error(with(factors)), "has 31 elements, expected 32"));
}

TEST_CASE("what merit does not compute is refused by name") {
  const auto has = [](const GgufBytes& file, const char* text) {
    const std::string error = config_error(file);
    CHECK_MESSAGE(contains(error, text), error);
    CHECK(contains(error, "m.gguf"));
  };
  has(plain("mamba"), "expected one of llama, qwen2, qwen3, qwen3moe, gemma, ");
  has(plain("mamba"), ", found \"mamba\"");
  has(plain().number("llama.expert_count", 8), "\"llama.expert_count\": expected no such field, or 0");
  CHECK_NOTHROW(config_of(plain().number("llama.expert_count", 0)));
  has(plain().real("llama.attention.scale", 0.1f), "\"llama.attention.scale\"");
  has(plain().real("llama.logit_scale", 8), "\"llama.logit_scale\"");
  has(plain().entry("llama.attention.causal", boolean, std::string(1, '\0')), "expected true, found false");
  has(plain().text("llama.rope.scaling.type", "longrope").real("llama.rope.scaling.factor", 2),
      "expected one of none, linear, yarn, found \"longrope\"");
  const GgufBytes half = plain().floats("rope_factors_long.weight", {2}, {1, 1});
  CHECK(contains(config_error<DataError>(half), "has no \"llama.rope.scaling.original_context_length\""));
  has(plain().entry("split.count", u16, gguf_bytes(std::uint16_t{3})), "one of 3 files of a split model");
  Llama other = small;
  GgufBytes partial = header(other, "llama");
  CHECK(contains(config_error<DataError>(partial), "there is no tensor \"token_embd.weight\""));
  GgufBytes none;
  CHECK(contains(config_error<DataError>(none), "the metadata has no \"general.architecture\""));
  none.text("general.architecture", "llama").text("llama.embedding_length", "8");
  CHECK(contains(config_error<DataError>(none), "\"llama.embedding_length\": expected a whole number"));
}

TEST_CASE("a directory of several GGUF files is an error that names them; safetensors go first") {
  const TemporaryDirectory directory;
  put(directory / "b.gguf", plain().bytes());
  put(directory / "a.gguf", plain().bytes());
  const std::string error = error_of<DataError>([&] { read_backbone_config(directory.path()); });
  CHECK(contains(error, "holds 2 GGUF files (\"a.gguf\", \"b.gguf\"), expected one"));
  put(directory / "model.safetensors", "");
  CHECK_FALSE(find_gguf(directory.path()));
  CHECK(contains(error_of<ConfigError>([&] { read_backbone_config<Gpt2>(directory / "a.gguf"); }),
                 "a.gguf: holds the backbone llama, expected gpt2"));
}

TEST_CASE("weights of other settings, missing tensors and rows for no whole heads are refused") {
  ModelOf<Llama> model({.backbone = small});
  const TemporaryDirectory directory;
  put(directory / "m.gguf", as_gguf(model, "llama").bytes());
  Llama other = small;
  other.rope_base = 10000;
  ModelOf<Llama> wrong({.backbone = other});
  CHECK(contains(error_of<ConfigError>([&] { load_model_parameters(directory / "m.gguf", wrong); }),
                 "backbone.rope_theta is 50000.0, expected 10000.0"));
  put(directory / "m.gguf", plain().floats("surplus.weight", {1}, {1}).bytes());
  CHECK(contains(error_of<DataError>([&] { load_model_parameters(directory / "m.gguf", model); }),
                 "there is no tensor \"model."));
  put(directory / "m.gguf", plain().floats("blk.0.attn_q.weight", {8, 12}, std::vector<float>(96)).bytes());
  CHECK(contains(error_of<DataError>([&] { open_weights(directory / "m.gguf"); }),
                 "expected rows for 4 heads of even width"));
}

}  // namespace gguf_checkpoint_test
