// Folders of adapters opened to score text: the base beside them, their heads, several of one base, and what is refused.
#include <doctest/doctest.h>

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/temporary.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/infer/score.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/run/scorer.hpp"
#include "merit/run/typed_model.hpp"

namespace adapter_test {

using merit::Json;
using merit_test::contains;
using merit_test::error_of;
namespace fs = std::filesystem;
using Model =
    merit::RewardModel<merit::Llama, merit::ScalarHead, merit::PairwiseLoss, merit::EigenBackend<float>>;

constexpr merit::Llama backbone{.vocabulary_size = 257,
                                .hidden_size = 16,
                                .intermediate_size = 32,
                                .layers = 2,
                                .heads = 2,
                                .kv_heads = 1};

/// A language model without a head, and adapters of it with heads of their own.
struct Folders {
  merit_test::TemporaryDirectory temporary;
  fs::path base = temporary / "base";

  Folders() {
    Model model({.backbone = backbone, .seed = 3});
    merit::save_model(base, model, {.tokenizer = "bytes"});
    fs::remove(base / "merit.json");
    std::vector<std::vector<float>> values;
    std::vector<merit::TensorSource> list;
    for (merit::Index i = 0; i < model.parameters().tensor_count(); ++i) {
      const auto& spec = model.parameters().spec(i);
      if (spec.name == "score.weight") continue;
      values.emplace_back(model.parameters().element_count(i));
      model.parameters().get(i, values.back().data());
      list.push_back({spec.name, spec.shape, {}});
    }
    for (merit::Index i = 0; i < list.size(); ++i) list[i].data = static_cast<const float*>(values[i].data());
    merit::write_safetensors(base / "model.safetensors", list);
    Json config = merit::read_json(base / "config.json");
    config["architectures"] = {"LlamaForCausalLM"};
    merit::write_json(base / "config.json", config);
  }

  /// A random adapter in a folder; the scores that it gives to tokens.
  double add(const std::string& name, merit::Lora lora, std::uint64_t seed, bool with_card,
             std::vector<merit::Token> tokens) const {
    lora.base = base.string();
    Model model({.backbone = backbone,
                 .head = {.init_deviation = 0.5},
                 .seed = seed,
                 .initial = merit::Initial::from_file,
                 .adapters = {{.lora = lora}}});
    merit::load_model_parameters(base, model, {.allow_missing_head = true});
    merit::Rng rng(seed);
    for (const merit::Index i : model.parameters().trained()) {
      std::vector<float> values(model.parameters().element_count(i));
      for (float& value : values) value = static_cast<float>(0.3 * rng.normal());
      model.parameters().set(i, values.data());
    }
    merit::save_model(temporary / name, model, {.tokenizer = "bytes"});
    if (!with_card) fs::remove(temporary / name / "merit.json");
    const std::vector<merit::Sequence> sequences{{.tokens = std::move(tokens)}};
    return static_cast<double>(merit::score(model, std::span<const merit::Sequence>(sequences))[0]);
  }
};

/// As load_saved_model(), for this one kind of model: the whole compiled set takes long to build.
merit::Scorer open_scalar(const fs::path& place, const merit::OpenOptions& options = {}) {
  merit::SavedModel saved = merit::read_saved_model(place, options);
  if (!saved.has_head) throw merit::DataError(merit::headless_sentence(saved));
  using Typed = merit::TypedModel<Model>;
  auto model = std::make_unique<Typed>(Model::Config{.backbone = std::get<merit::Llama>(saved.backbone),
                                                     .head = std::get<merit::ScalarHead>(saved.head),
                                                     .initial = merit::Initial::from_file,
                                                     .scores_only = true,
                                                     .adapters = saved.adapters});
  model->load(saved.place, merit::load_options(saved));
  if (saved.adapter_places.size() > 1) model->load_adapters(saved.adapter_places, merit::load_options(saved));
  std::vector<merit::SavedModel> others = merit::read_other_adapters(saved, options);
  return merit::Scorer(std::move(saved), std::move(model), std::move(others));
}

const std::vector<merit::Token> tokens{'h', 'o', 'w', ' ', 's', 'o', 256};

TEST_CASE("the folder of an adapter opens to a scorer, by its card and as PEFT leaves it") {
  const Folders folders;
  for (const bool with_card : {true, false}) {
    for (const bool dora : {true, false}) {
      CAPTURE(with_card);
      const merit::Lora lora{.rank = 2, .dora = dora, .targets = {"q_proj", "up_proj"}};
      const double expected = folders.add("adapter", lora, 5, with_card, tokens);
      const merit::OpenOptions bytes{.tokenizer = with_card ? "" : "bytes"};
      merit::Scorer scorer = open_scalar(folders.temporary / "adapter", bytes);
      CHECK(scorer.score("how", " so") == doctest::Approx(expected).epsilon(1e-5));
      scorer.model().merge_adapter();
      CHECK(scorer.score("how", " so") == doctest::Approx(expected).epsilon(1e-5));
      scorer.model().unmerge_adapter();
      CHECK(scorer.score("how", " so") == doctest::Approx(expected).epsilon(1e-5));
      fs::remove_all(folders.temporary / "adapter");
    }
  }
}

TEST_CASE("several adapters of one base are chosen by name, each with its own head and biases") {
  const Folders folders;
  const double first = folders.add("first", {.rank = 2}, 5, true, tokens);
  const double second =
      folders.add("second", {.rank = 3, .dora = true, .targets = {"v_proj", "down_proj"}}, 6, true, tokens);
  const double third = folders.add("third", {.rank = 2, .also_trained = {"norm"}}, 7, true, tokens);
  merit::Scorer scorer = open_scalar(
      folders.temporary / "first",
      {.adapters = {{"second", folders.temporary / "second"}, {"third", folders.temporary / "third"}}});
  const auto score = [&] { return scorer.score("how", " so"); };
  CHECK(score() == doctest::Approx(first).epsilon(1e-5));
  for (int round = 0; round < 2; ++round) {
    scorer.use_adapter("third");
    CHECK(score() == doctest::Approx(third).epsilon(1e-5));
    scorer.use_adapter("second");
    CHECK(score() == doctest::Approx(second).epsilon(1e-5));
    scorer.use_adapter("default");
    CHECK(score() == doctest::Approx(first).epsilon(1e-5));
  }
  CHECK(error_of<merit::ConfigError>([&] { scorer.use_adapter("fourth"); }) ==
        "there is no adapter \"fourth\", expected one of: default, second, third");
  CHECK(scorer.about().place == folders.temporary / "first");
  scorer.model().merge_adapter();
  CHECK_THROWS_AS(scorer.use_adapter("second"), merit::UsageError);
}

TEST_CASE("a base opens with adapters beside it, each read by its own card") {
  const Folders folders;
  const double first = folders.add("first", {.rank = 2}, 5, true, tokens);
  const double second = folders.add("second", {.rank = 3, .targets = {"v_proj"}}, 6, true, tokens);
  const fs::path one = folders.temporary / "first", two = folders.temporary / "second";
  Json card = merit::read_json(two / "merit.json");
  card["truncation"] = "error";
  card["max_tokens"] = 3;
  merit::write_json(two / "merit.json", card);
  merit::Scorer scorer = open_scalar(folders.base, {.adapters = {{"helpful", one}, {"harmless", two}}});
  CHECK(scorer.score("how", " so") == doctest::Approx(first).epsilon(1e-5));
  scorer.use_adapter("harmless");
  CHECK(scorer.about().place == two);
  CHECK_THROWS_AS(scorer.score("how", " so"), merit::Error);  // 7 tokens
  const std::vector<merit::Sequence> sequence{{.tokens = tokens}};
  CHECK(scorer.score(std::span<const merit::Sequence>(sequence))[0] == doctest::Approx(second).epsilon(1e-5));
  scorer.use_adapter("helpful");
  CHECK(scorer.score("how", " so") == doctest::Approx(first).epsilon(1e-5));

  merit::Scorer alone = open_scalar(folders.base, {.adapters = {{"helpful", one}}});
  CHECK(alone.score("how", " so") == doctest::Approx(first).epsilon(1e-5));
  alone.use_adapter("helpful");
  CHECK(error_of<merit::ConfigError>([&] { alone.use_adapter("harmless"); }) ==
        "there is no adapter \"harmless\", expected one of: helpful");

  const auto why = [&](const fs::path& place, const merit::OpenOptions& options) {
    return error_of<merit::ConfigError>([&] { open_scalar(place, options); });
  };
  CHECK(contains(why(folders.base, {.adapters = {{"a", one}, {"a", two}}}), "two adapters are called \"a\""));
  CHECK(contains(why(one, {.adapters = {{"default", two}}}), "is called \"default\", expected a name"));
  CHECK(contains(why(folders.base, {.adapters = {{"a", folders.base}}}), "holds no adapter"));
  CHECK(contains(why(one, {.adapters = {{"a", folders.base}}}), "holds no adapter"));
  CHECK(contains(why(folders.base, {.base = folders.base, .adapters = {{"a", one}}}), "--base is given"));
  card["head"]["bias"] = true;
  merit::write_json(two / "merit.json", card);
  CHECK(contains(why(folders.base, {.adapters = {{"a", one}, {"b", two}}}),
                 "adapters that are used in turn have one head"));
}

TEST_CASE("an adapter without a head, without its base, and what is no adapter say so") {
  const Folders folders;
  folders.add("adapter", {.rank = 2, .targets = {"q_proj"}}, 5, false, tokens);
  const fs::path folder = folders.temporary / "adapter";
  const merit::OpenOptions bytes{.tokenizer = "bytes"};
  CHECK(contains(error_of<merit::ConfigError>([&] { open_scalar(folders.base, {.base = "x"}); }),
                 "--base is given, but "));
  {
    std::vector<std::vector<float>> values;
    std::vector<merit::TensorSource> list;
    {
      const merit::SafetensorsFile file(folder / "adapter_model.safetensors");
      for (const merit::TensorInfo& tensor : file.tensors()) {
        if (tensor.name == "base_model.model.score.weight") continue;
        values.emplace_back(tensor.elements);
        file.read(tensor.name, merit::VectorView<float>(values.back()));
        list.push_back({tensor.name, tensor.shape, {}});
      }
    }
    for (merit::Index i = 0; i < list.size(); ++i) list[i].data = static_cast<const float*>(values[i].data());
    merit::write_safetensors(folder / "adapter_model.safetensors", list);
  }
  CHECK(contains(error_of<merit::DataError>([&] { open_scalar(folder, bytes); }),
                 "the adapter holds no head, nor does its base model"));
  Json config = merit::read_json(folder / "adapter_config.json");
  config["base_model_name_or_path"] = "someone/somewhere";
  merit::write_json(folder / "adapter_config.json", config);
  CHECK(contains(
      error_of<merit::IoError>([&] { open_scalar(folder, bytes); }),
      "the base model is \"someone/somewhere\", which is no folder here, expected one: say where it is with --base"));
  CHECK(contains(
      error_of<merit::DataError>([&] { open_scalar(folder, {.base = folders.base, .tokenizer = "bytes"}); }),
      "the adapter holds no head"));
}

}  // namespace adapter_test
