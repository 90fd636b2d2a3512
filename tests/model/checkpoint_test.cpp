// Checkpoints: what is written is read, what others publish is read, and what does not fit is said.
#include "merit/model/checkpoint.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "../io/temporary.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"
#include "packed.hpp"

namespace checkpoint_test {

using namespace merit;
using merit_test::Packed;
using merit_test::TemporaryDirectory;

template <class Backbone, class T>
using ModelOf = RewardModel<Backbone, ScalarHead, PairwiseLoss, ReferenceBackend<T>>;
using BagModel = ModelOf<BagOfTokens, double>;

constexpr BagOfTokens small_bag{.vocabulary_size = 5, .width = 3};
const Llama small_llama{.vocabulary_size = 7,
                        .hidden_size = 8,
                        .intermediate_size = 6,
                        .layers = 2,
                        .heads = 2,
                        .kv_heads = 1,
                        .max_positions = 16};
const Gpt2 small_gpt2{.vocabulary_size = 7, .hidden_size = 8, .layers = 2, .heads = 2, .max_positions = 16};

/// All weights of a model by name, as another program would have them.
struct Weights {
  struct Tensor {
    std::string name;
    std::vector<Index> shape;
    std::vector<float> values;
  };
  std::vector<Tensor> tensors;

  template <class Model>
  explicit Weights(Model& model) {
    const auto& parameters = model.parameters();
    for (Index i = 0; i < parameters.tensor_count(); ++i) {
      const auto* data = parameters.values().data + parameters.offset(i);
      Tensor tensor{parameters.spec(i).name, parameters.spec(i).shape, {}};
      for (Index j = 0; j < parameters.element_count(i); ++j) {
        tensor.values.push_back(static_cast<float>(data[j]));
      }
      tensors.push_back(std::move(tensor));
    }
  }
  Tensor& operator[](std::string_view name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t.name == name; });
  }
  void add(std::string name, std::vector<Index> shape) {
    std::vector<float> values(*detail::element_count(shape), 0.5F);
    tensors.push_back({std::move(name), std::move(shape), std::move(values)});
  }
  void remove(std::string_view name) {
    std::erase_if(tensors, [&](const Tensor& t) { return t.name == name; });
  }
  void write(const std::filesystem::path& directory, NonFinite non_finite = NonFinite::reject) const {
    std::vector<TensorSource> sources;
    for (const Tensor& t : tensors) sources.push_back({t.name, t.shape, t.values.data()});
    SafetensorsOptions options;
    options.non_finite = non_finite;
    write_safetensors_directory(directory, sources, options);
  }
};

template <class Model>
std::vector<double> values_of(Model& model) {
  const auto values = model.parameters().values();
  return {values.begin(), values.end()};
}

template <class Model>
double score_of(Model& model, const std::vector<Token>& sequence) {
  const Packed packed({sequence});
  return static_cast<double>(model.score(packed.view())[0]);
}

/// The error that loading these weights into a fresh model gives; the model must stay as it was, unless what
/// is wrong is a number.
template <class E = DataError>
std::string load_error(const Weights& weights, BagModel::Config config = {.backbone = small_bag, .seed = 9},
                       NonFinite non_finite = NonFinite::reject) {
  const TemporaryDirectory directory;
  weights.write(directory.path(), non_finite);
  BagModel model(config);
  const std::vector<double> before = values_of(model);
  const std::string error = merit_test::error_of<E>([&] { load_model_parameters(directory.path(), model); });
  if (non_finite == NonFinite::reject) CHECK(values_of(model) == before);
  return error;
}

template <class Model, class Config>
void check_round_trip(const Config& config) {
  const TemporaryDirectory directory;
  Model model(config);
  save_model(directory / "m", model);
  const BackboneConfig read = read_backbone_config(directory / "m");
  using Backbone = typename Model::BackboneType;
  REQUIRE(std::holds_alternative<Backbone>(read));
  CHECK(std::get<Backbone>(read) == config.backbone);
  Config again = config;
  again.backbone = std::get<Backbone>(read);
  again.seed = config.seed + 1;
  Model loaded(again);
  CHECK(values_of(loaded) != values_of(model));
  const LoadReport report = load_model_parameters(directory / "m", loaded);
  CHECK(report.fresh.empty());
  CHECK(report.skipped.empty());
  CHECK(report.unexpected.empty());
  CHECK(values_of(loaded) == values_of(model));
  if constexpr (!reads_features<Backbone>) {
    CHECK(score_of(loaded, {1, 2, 3}) == score_of(model, {1, 2, 3}));
  }
}

TEST_CASE("what is saved is loaded: same configuration, same bits, same scores") {
  check_round_trip<BagModel>(BagModel::Config{.backbone = small_bag, .head = {.bias = true}, .seed = 3});
  using FeatureModel = ModelOf<Features, double>;
  check_round_trip<FeatureModel>(FeatureModel::Config{.backbone = {.width = 4}});
}

TEST_CASE("a model saved in shards or in half precision loads") {
  const TemporaryDirectory directory;
  BagModel model({.backbone = small_bag});
  save_model(directory / "shards", model, {}, {.max_shard_bytes = 40});
  CHECK(std::filesystem::exists(directory / "shards/model.safetensors.index.json"));
  BagModel loaded({.backbone = small_bag, .seed = 1});
  load_model_parameters(directory / "shards", loaded);
  CHECK(values_of(loaded) == values_of(model));

  save_model(directory / "half", model, {}, {.dtype = Dtype::bf16});
  load_model_parameters(directory / "half", loaded);
  const auto a = values_of(model), b = values_of(loaded);
  for (Index i = 0; i < a.size(); ++i) {
    CHECK(b[i] == static_cast<double>(from_bf16(to_bf16(static_cast<float>(a[i])))));
  }
}

TEST_CASE("a tensor that is missing, of another shape, or not finite is named") {
  BagModel source({.backbone = small_bag});
  {
    Weights weights(source);
    weights.remove("embedding.weight");
    const std::string error = load_error(weights);
    CHECK(merit_test::contains(error, "model.safetensors: there is no tensor \"embedding.weight\""));
    CHECK(merit_test::contains(error, "[5, 3]"));
  }
  {
    Weights weights(source);
    weights["embedding.weight"].shape = {3, 5};
    const std::string error = load_error(weights);
    CHECK(merit_test::contains(error, "\"embedding.weight\" has shape [3, 5], expected [5, 3]"));
  }
  {
    Weights weights(source);
    weights["score.weight"].values[1] = std::numeric_limits<float>::infinity();
    const std::string error = load_error(weights, {.backbone = small_bag, .seed = 9}, NonFinite::allow);
    CHECK(merit_test::contains(error, "\"score.weight\": element 1 is inf"));
  }
}

TEST_CASE("a weight that is not finite is not saved, and the old checkpoint stays") {
  const TemporaryDirectory directory;
  BagModel model({.backbone = small_bag});
  save_model(directory / "m", model);
  const std::string before = read_file(directory / "m/model.safetensors");
  model.parameters().values()[0] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(save_model(directory / "m", model), DataError);
  CHECK(read_file(directory / "m/model.safetensors") == before);
  CHECK(directory.count() == 1);
}

TEST_CASE("a language model without a head loads when that is allowed, and the head stays fresh") {
  BagModel source({.backbone = small_bag});
  Weights weights(source);
  weights.remove("score.weight");
  weights.add("lm_head.weight", {5, 3});
  weights.add("model.layers.0.self_attn.rotary_emb.inv_freq", {2});
  weights.add("something.else", {1});
  CHECK(merit_test::contains(load_error(weights), "there is no tensor \"score.weight\""));

  const TemporaryDirectory directory;
  weights.write(directory.path());
  BagModel model({.backbone = small_bag, .seed = 9});
  const double fresh = model.parameters().values()[model.parameters().offset(1)];
  const LoadReport report = load_model_parameters(directory.path(), model, {.allow_missing_head = true});
  CHECK(report.fresh == std::vector<std::string>{"score.weight"});
  CHECK(report.skipped ==
        std::vector<std::string>{"lm_head.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"});
  CHECK(report.unexpected == std::vector<std::string>{"something.else"});
  CHECK(model.parameters().spec(1).name == "score.weight");
  CHECK(model.parameters().values()[model.parameters().offset(1)] == fresh);
}

TEST_CASE("value heads load under the names that other programs give them") {
  BagModel source({.backbone = small_bag, .head = {.bias = true}});
  for (const std::string name : {"v_head.summary.", "value_head.", "value_head.summary."}) {
    INFO(name);
    Weights weights(source);
    weights["score.bias"].values[0] = 0.25F;
    weights["score.weight"].name = name + "weight";
    weights["score.bias"].name = name + "bias";
    const TemporaryDirectory directory;
    weights.write(directory.path());
    BagModel model({.backbone = small_bag, .head = {.bias = true}, .seed = 9});
    const LoadReport report = load_model_parameters(directory.path(), model);
    CHECK(report.fresh.empty());
    CHECK(report.unexpected.empty());
    CHECK(score_of(model, {1, 2}) == doctest::Approx(score_of(source, {1, 2}) + 0.25).epsilon(1e-6));
    // A head without a bias would lose the constant.
    const std::string error = load_error(weights);
    CHECK(merit_test::contains(error, name + "bias"));
    CHECK(merit_test::contains(error, "the model's head has none"));
  }
}

TEST_CASE("a head of two layers is refused by name, also where a missing head is allowed") {
  BagModel source({.backbone = small_bag});
  Weights weights(source);
  weights.remove("score.weight");
  weights.add("score.0.weight", {3, 3});
  weights.add("score.2.weight", {1, 3});
  CHECK(merit_test::contains(load_error(weights), "several layers (score.0.weight, score.2.weight)"));
  const TemporaryDirectory directory;
  weights.write(directory.path());
  BagModel model({.backbone = small_bag});
  CHECK_THROWS_AS(load_model_parameters(directory.path(), model, {.allow_missing_head = true}), DataError);
}

template <class Backbone>
void check_prefix(const Backbone& backbone, std::string_view prefix, const char* extra) {
  using Model = ModelOf<Backbone, float>;
  Model source({.backbone = backbone});
  Weights weights(source);
  for (auto& tensor : weights.tensors) {
    if (tensor.name.starts_with(prefix)) tensor.name = tensor.name.substr(prefix.size());
  }
  weights.add(extra, {1, 1, 2, 2});
  const TemporaryDirectory directory;
  weights.write(directory.path());
  Model model({.backbone = backbone, .seed = 9});
  const LoadReport report = load_model_parameters(directory.path(), model);
  CHECK(report.skipped == std::vector<std::string>{extra});
  CHECK(report.unexpected.empty());
  CHECK(values_of(model) == values_of(source));
}

TEST_CASE("base models without the prefix of their names load") {
  check_prefix(small_llama, "model.", "layers.0.self_attn.rotary_emb.inv_freq");
  check_prefix(small_gpt2, "transformer.", "h.0.attn.bias");
}

TEST_CASE("a model with separate biases and norms is saved as the kind of model that has them") {
  for (const bool bias : {false, true}) {
    for (const bool norm : {false, true}) {
      Llama llama = small_llama;
      llama.qkv_bias = bias;
      llama.head_norm = norm;
      llama.head_dim = 6;
      const Json json = backbone_config_json(llama);
      const char* kind = bias && norm ? "merit_llama" : bias ? "qwen2" : norm ? "qwen3" : "llama";
      CHECK(json.at("model_type") == kind);
      CHECK((read_backbone_config(json, "test") == BackboneConfig(llama)));
    }
  }
}

TEST_CASE("every rotary scaling survives being written and read") {
  using Kind = RotaryScaling::Kind;
  for (const Kind kind :
       {Kind::none, Kind::linear, Kind::dynamic, Kind::yarn, Kind::llama3, Kind::longrope}) {
    Llama llama = small_llama;
    RotaryScaling& scaling = llama.rope_scaling;
    scaling.kind = kind;
    if (kind == Kind::linear || kind == Kind::dynamic || kind == Kind::yarn || kind == Kind::llama3) {
      scaling.factor = 4;
    }
    if (kind == Kind::yarn || kind == Kind::llama3 || kind == Kind::longrope) {
      scaling.original_positions = 8;
      scaling.attention_factor = kind == Kind::llama3 ? 0 : 1.25;
    }
    if (kind == Kind::yarn) {
      scaling.beta_fast = 20;
      scaling.beta_slow = 2;
      scaling.mscale = 0.7;
      scaling.mscale_all_dim = 0.9;
      scaling.truncate = false;
    }
    if (kind == Kind::llama3) {
      scaling.low_frequency_factor = 1.5;
      scaling.high_frequency_factor = 5;
    }
    if (kind == Kind::longrope) scaling.short_factors = {1.0, 1.5};
    INFO(name_of(kind));
    CHECK((read_backbone_config(backbone_config_json(llama), "test") == BackboneConfig(llama)));
  }
}

/// The error of a configuration in which one field is something else.
std::string config_error(const char* field, const Json& value, const char* kind = "llama") {
  Json json = backbone_config_json(small_llama);
  if (std::string_view(kind) == "gpt2") json = backbone_config_json(small_gpt2);
  json["model_type"] = kind;
  json[field] = value;
  return merit_test::error_of<ConfigError>([&] { read_backbone_config(json, "m/config.json"); });
}

TEST_CASE("a configuration that we do not compute is refused with the file and the field") {
  using merit_test::contains;
  CHECK(contains(config_error("hidden_act", "relu6"), "m/config.json: field \"hidden_act\""));
  CHECK(contains(config_error("hidden_act", "relu6"), "\"relu6\""));
  CHECK(contains(config_error("attention_bias", true, "mistral"), "\"attention_bias\""));
  CHECK(contains(config_error("mlp_bias", true, "qwen3"), "\"mlp_bias\""));
  CHECK(contains(config_error("model_type", "t5"), "\"t5\""));
  CHECK(contains(config_error("clip_qkv", 8.0, "olmo"), "\"clip_qkv\""));
  CHECK(contains(config_error("use_bidirectional_attention", true, "gemma2"),
                 "\"use_bidirectional_attention\""));
  CHECK(contains(config_error("query_pre_attn_scalar", 0, "gemma2"), "\"query_pre_attn_scalar\""));
  CHECK(contains(config_error("layer_types", {"full_attention"}, "gemma2"), "\"layer_types\" has 1 names"));
  CHECK(contains(config_error("layer_types", {"full_attention", "linear_attention"}, "gemma2"),
                 "names \"linear_attention\""));
  CHECK(contains(config_error("no_rope_layer_interval", 0, "smollm3"), "\"no_rope_layer_interval\""));
  CHECK(contains(config_error("moe_intermediate_size", nullptr, "qwen3_moe"),
                 "\"moe_intermediate_size\" is null"));
  CHECK(contains(config_error("model_type", 3), "\"model_type\": expected a string"));
  CHECK(contains(config_error("hidden_size", -8), "\"hidden_size\""));
  CHECK(contains(config_error("hidden_size", nullptr), "\"hidden_size\" is null"));
  CHECK(contains(config_error("num_key_value_heads", 3), "m/config.json: llama: kv_heads is 3"));
  CHECK(
      contains(config_error("rope_scaling", {{"rope_type", "mrope"}}), "rope_scaling: field \"rope_type\""));
  CHECK(contains(config_error("rope_scaling", {{"type", "linear"}}), "\"factor\" is missing"));
  CHECK(contains(config_error("rope_scaling", {{"type", "linear"}, {"factor", 0.5}}), "factor is 0.5"));
  CHECK(contains(config_error("rope_scaling", 7), "rope_scaling"));
  CHECK(contains(config_error("partial_rotary_factor", 0.5), "partial_rotary_factor"));
  CHECK(contains(config_error("partial_rotary_factor", 1.5, "phi3"), "partial_rotary_factor"));
  CHECK(contains(config_error("rope_parameters",
                              {{"full_attention", {{"rope_type", "default"}}},
                               {"sliding_attention", {{"rope_type", "linear"}, {"factor", 2}}}},
                              "gemma3_text"),
                 "sliding_attention: field \"rope_type\""));
  CHECK(contains(config_error("activation_function", "mish", "gpt2"), "\"activation_function\""));
  CHECK(contains(config_error("scale_attn_by_inverse_layer_idx", true, "gpt2"), "scale_attn"));

  Json qwen = backbone_config_json(small_llama);
  qwen["model_type"] = "qwen2";
  qwen.update({{"use_sliding_window", true}, {"sliding_window", 4}, {"max_window_layers", 1}});
  CHECK(std::get<Llama>(read_backbone_config(qwen, "test")).windows == std::vector<Index>{0, 4});
  qwen["use_sliding_window"] = false;
  CHECK(std::get<Llama>(read_backbone_config(qwen, "test")).windows.empty());
}

TEST_CASE("a card is kept with all it says, also what this version does not know") {
  const TemporaryDirectory directory;
  BagModel model({.backbone = small_bag, .loss = {.label_smoothing = 0.1}});
  ModelCard card;
  card.tokenizer = "bytes";
  card.template_name = "plain";
  card.template_hash = "12ab";
  card.truncation = "drop";
  card.max_tokens = 512;
  card.without_prompt = true;
  card.append_eos = false;
  card.raw_scores = false;
  card.reward_mean = 0.5;
  card.reward_deviation = 1.5;
  card.other = {{"from_the_future", {1, 2}}};
  save_model(directory / "m", model, card);
  const auto read = read_model_card(directory / "m");
  REQUIRE(read.has_value());
  CHECK(to_json(*read) == to_json(described(model, card)));
  CHECK(read->head == Json{{"name", "scalar"}, {"bias", false}, {"start", {{"init_deviation", 0.02}}}});
  CHECK(read->loss.at("label_smoothing") == 0.1);
  CHECK(read->other == card.other);

  merit_test::put(directory / "m/merit.json", R"({"merit_version": "0.1.0", "max_tokens": "many"})");
  CHECK_THROWS_WITH_AS(read_model_card(directory / "m"), doctest::Contains("\"max_tokens\""), DataError);
  std::filesystem::remove(directory / "m/merit.json");
  CHECK(!read_model_card(directory / "m").has_value());
}

TEST_CASE("loading as another model is an error that names every difference") {
  BagModel model({.backbone = small_bag});
  ModelCard card;
  card.tokenizer = "bytes";
  card.truncation = "drop";
  const ModelCard found = described(model, card);
  CHECK_NOTHROW(require_same(found, found, "m"));
  ModelCard expected = found;
  expected.tokenizer = "words:100";
  expected.loss["scale"] = 2.0;
  expected.max_tokens = 9;
  expected.truncation = "";  // not known: not compared
  expected.reward_mean = 3;  // not part of what a score means
  const std::string error = merit_test::error_of<ConfigError>([&] { require_same(found, expected, "m"); });
  CHECK(merit_test::contains(error, "tokenizer is \"bytes\", expected \"words:100\""));
  CHECK(merit_test::contains(error, "loss.scale is 1.0, expected 2.0"));
  CHECK(merit_test::contains(error, "max_tokens is 0, expected 9"));
  CHECK(differences(found, expected).size() == 3);
}

TEST_CASE("a directory of other files is not replaced by a model") {
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "home");
  merit_test::put(directory / "home/letter.txt", "dear");
  BagModel model({.backbone = small_bag});
  CHECK_THROWS_AS(save_model(directory / "home", model), IoError);
  CHECK(read_file(directory / "home/letter.txt") == "dear");
}

TEST_CASE("killed at any moment while saving, one whole checkpoint remains") {
  const TemporaryDirectory directory;
  const std::filesystem::path path = directory / "m";
  BagModel model({.backbone = {.vocabulary_size = 400, .width = 16}});
  std::fill(model.parameters().values().begin(), model.parameters().values().end(), 0.0);
  save_model(path, model, {}, {.max_shard_bytes = 20000});
  BagModel loaded({.backbone = {.vocabulary_size = 400, .width = 16}});
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {  // writes checkpoints whose numbers all agree, until it is killed
      for (double number = 1;; ++number) {
        std::fill(model.parameters().values().begin(), model.parameters().values().end(), number);
        ModelCard card;
        card.reward_mean = number;
        save_model(path, model, card, {.max_shard_bytes = 20000});
      }
    }
    REQUIRE(child > 0);
    ::usleep(static_cast<useconds_t>(1000 + 1700 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    load_model_parameters(path, loaded);
    const double number = loaded.parameters().values()[0];
    const auto& parameters = loaded.parameters();
    for (Index i = 0; i < parameters.tensor_count(); ++i) {
      const auto* values = parameters.values().data + parameters.offset(i);
      CHECK(std::all_of(values, values + parameters.element_count(i), [&](double v) { return v == number; }));
    }
    const auto card = read_model_card(path);
    REQUIRE(card.has_value());
    CHECK(card->reward_mean.value_or(0) == number);
  }
}

}  // namespace checkpoint_test
