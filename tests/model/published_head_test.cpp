// Which head is recognised from a configuration and tensors, what a request changes, and what is said of
// heads that are not known, do not fit, or are not there.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "../io/temporary.hpp"
#include "merit/model/gguf_weights.hpp"
#include "merit/model/head_tensors.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/published_head.hpp"
#include "merit/model/tensor_prefixes.hpp"
#include "merit/model/weight_files.hpp"

namespace published_head_test {

using namespace merit;
using merit_test::contains;
using merit_test::error_of;
using merit_test::TemporaryDirectory;
using Tensors = std::vector<PublishedTensor>;
using Names = std::vector<std::string>;

constexpr Index d = 8;

Json config_of(const std::string& architecture) {
  return {{"architectures", {architecture}}, {"hidden_size", d}, {"vocab_size", 40}};
}
Json sequence_classes(Index labels) {
  Json config = config_of("Qwen2ForSequenceClassification");
  config["id2label"] = Json::object();
  for (Index i = 0; i < labels; ++i) config["id2label"][std::to_string(i)] = "LABEL_" + std::to_string(i);
  return config;
}

/// With the tensors of a backbone beside them.
Tensors with_backbone(Tensors head) {
  for (const char* name :
       {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.norm.weight",
        "transformer.wte.weight", "transformer.h.0.attn.bias", "lm_head.weight"}) {
    head.push_back({name, {40, d}});
  }
  return head;
}

std::optional<PublishedHead> recognise(const Json& config, Tensors head, const HeadRequest& request = {}) {
  return recognise_head(config, with_backbone(std::move(head)), "m", request);
}
template <class Head>
Head settings(const std::optional<PublishedHead>& head) {
  REQUIRE(head.has_value());
  REQUIRE(std::holds_alternative<Head>(head->settings));
  return std::get<Head>(head->settings);
}
std::string error(const Json& config, Tensors head, const HeadRequest& request = {}) {
  return error_of<DataError>([&] { recognise(config, std::move(head), request); });
}
const Tensors score{{"score.weight", {1, d}}};

TEST_CASE("a language model has no head, and says so by having none") {
  CHECK(!recognise(config_of("LlamaForCausalLM"), {}));
  CHECK(!recognise(config_of("Qwen3Model"), {}));
  CHECK(!recognise(Json{{"hidden_size", d}}, {}));
  CHECK(!recognise(config_of("LlamaForCausalLM"), {{"model.vision.patches.weight", {3, 3}}}));
  CHECK(!recognise(config_of("LlamaForCausalLM"), {}, {.name = "scalar"}));  // a fresh one is to be made
  CHECK(contains(error(config_of("LlamaForSequenceClassification"), {}),
                 "m: config.json says \"LlamaForSequenceClassification\", but there is no tensor of a head, "
                 "expected score.weight or the like"));
}

TEST_CASE("a head that is not known is refused with the tensors that were seen") {
  CHECK(contains(
      error(config_of("OddRewardModel"), {{"odd_head.dense.weight", {3, d}}, {"odd_head.b", {3}}}),
      "m: the head is not known: found \"odd_head.b\" [3], \"odd_head.dense.weight\" [3, 8] with the "
      "architecture \"OddRewardModel\", expected one of score, classifier"));
  CHECK(contains(error(config_of("LlamaForCausalLM"), {{"my_scorer.weight", {1, d}}}), "not known"));
  CHECK(contains(error(config_of("LlamaForCausalLM"), {{"my_scorer.weight", {1, d}}}), "--head"));
  Tensors many;
  for (int i = 0; i < 30; ++i) many.push_back({"odd_head." + std::to_string(i), {1}});
  CHECK(contains(error(config_of("OddRewardModel"), many), " and 22 more with the architecture"));
}

TEST_CASE("of two heads one has to be named") {
  const Tensors two{
      {"score.weight", {1, d}}, {"v_head.summary.weight", {1, d}}, {"v_head.summary.bias", {1}}};
  const Json config = config_of("LlamaForCausalLM");
  CHECK(contains(error(config, two),
                 "m: there are several heads, \"score.weight\" [1, 8], \"v_head.summary.bias\" [1], "
                 "\"v_head.summary.weight\" [1, 8], expected one; say which is meant with --head NAME"));
  CHECK(settings<ValueHead>(recognise(config, two, {.name = "value"})).bias);
  const auto scalar = recognise(config, two, {.name = "scalar"});
  CHECK(!settings<ScalarHead>(scalar).bias);
  CHECK(scalar->names == decltype(scalar->names){{"score.weight", "score.weight"}});
  CHECK(contains(error(config, {{"score.weight", {1, d}}, {"module.score.weight", {1, d}}}),
                 "have one name, expected one of them"));
}

TEST_CASE("a head is what its class and its number of outputs say, or what is asked for") {
  CHECK(!settings<ScalarHead>(recognise(sequence_classes(1), score)).bias);
  const Json value = config_of("LlamaForCausalLM");
  const Tensors summary{{"v_head.summary.weight", {1, d}}, {"v_head.summary.bias", {1}}};
  CHECK(settings<ScalarHead>(recognise(value, summary)).bias);
  const auto values = recognise(value, summary, {.name = "value"});
  settings<ValueHead>(values);
  CHECK(values->names == decltype(values->names){{"value_head.weight", "v_head.summary.weight"},
                                                 {"value_head.bias", "v_head.summary.bias"}});
  settings<StepHead<1>>(recognise(value, summary, {.name = "step_logit"}));
  settings<TokenHead>(recognise(value, summary, {.name = "token"}));
  settings<StepHead<1>>(recognise(config_of("Qwen2ForPrmModel"), summary));
  CHECK(recognise(config_of("Qwen2ForPrmModel"), summary)->step_separator == "\n");

  const Tensors two{{"score.weight", {2, d}}, {"score.bias", {2}}};
  const Json tokens = config_of("Qwen2ForTokenClassification");
  settings<StepHead<2>>(recognise(tokens, two));
  settings<AttributeHead>(recognise(tokens, two, {.name = "attributes"}));
  settings<StepHead<2>>(recognise(sequence_classes(2), two, {.name = "step_binary"}));
  // Its texts are put together as TRL does, which made models of that class.
  CHECK(recognise(tokens, two)->steps_as_trl);
  CHECK_FALSE(recognise(tokens, two, {.name = "attributes"})->steps_as_trl);
  CHECK_FALSE(recognise(sequence_classes(2), two, {.name = "step_binary"})->steps_as_trl);
  CHECK(
      contains(error(tokens, two, {.name = "scalar"}),
               "m: the head has 2 outputs and is linear: \"score.bias\" [2], \"score.weight\" [2, 8], which "
               "does not fit --head scalar"));
  for (const Tensors& head : {two, Tensors{}}) {
    CHECK(
        contains(error_of<ConfigError>([&] { recognise(tokens, head, {.name = "scalr"}); }),
                 "--head is \"scalr\", expected one of: scalar, completion_binary, two_layer, attributes, "));
  }
  CHECK(contains(error(tokens, {{"score.weight", {5, d}}}),
                 "does not fit the architecture \"Qwen2ForTokenClassification\""));

  const Tensors deep{
      {"score.0.weight", {6, d}}, {"score.0.bias", {6}}, {"score.2.weight", {2, 6}}, {"score.2.bias", {2}}};
  const auto prm = recognise(config_of("Qwen2ForProcessRewardModel"), deep);
  CHECK(settings<TwoLayerStepHead>(prm) == TwoLayerStepHead{.inner = 6});
  CHECK(prm->step_separator == "<extra_0>");
  CHECK(prm->step_split == "\n\n");
  CHECK(contains(error(config_of("Qwen2ForRewardModel"), deep),
                 "does not fit the architecture \"Qwen2ForRewardModel\""));
}

TEST_CASE("several labels become one number by what the configuration says of them") {
  const auto weights = [](const Json& config, Index outputs, const HeadRequest& request = {}) {
    return settings<AttributeHead>(recognise(config, {{"score.weight", {outputs, d}}}, request))
        .merge_weights;
  };
  CHECK(weights(sequence_classes(2), 2) == std::vector<double>{-1, 1});
  CHECK(weights(sequence_classes(5), 5) == std::vector<double>{-1, -0.5, 0, 0.5, 1});
  Json regression = sequence_classes(3);
  regression["problem_type"] = "regression";
  CHECK(weights(regression, 3) == std::vector<double>{1, 1, 1});
  CHECK(weights(sequence_classes(3), 3, {.merge_weights = {0, 0, 2}}) == std::vector<double>{0, 0, 2});
  CHECK_THROWS_WITH_AS(weights(sequence_classes(3), 3, {.merge_weights = {1}}),
                       "m: there are 1 merge weights, expected one for each of the head's 3 outputs",
                       ConfigError);
  // Labels that transformers made up are no labels; others are kept in order.
  CHECK(recognise(sequence_classes(3), {{"score.weight", {3, d}}})->labels.empty());
  Json named = sequence_classes(2);
  named["id2label"] = {{"1", "good"}, {"0", "bad"}};
  CHECK(recognise(named, {{"score.weight", {2, d}}})->labels == Names{"bad", "good"});
  named["id2label"] = {{"1", "good"}, {"7", "bad"}};
  CHECK(contains(error(named, {{"score.weight", {2, d}}}), "m: field \"id2label\" has no label 0 of 2"));
  // The number of labels in either layout of the configuration must be the head's.
  CHECK(contains(error(sequence_classes(2), score),
                 "m: config.json names 2 labels, but the head has 1 outputs: \"score.weight\" [1, 8]"));
  Json older = config_of("LlamaForSequenceClassification");
  older["num_labels"] = 3;
  CHECK(contains(error(older, score), "names 3 labels"));
  older["num_labels"] = 1;
  settings<ScalarHead>(recognise(older, score));
}

TEST_CASE("where a head is read follows its class and the pad, or what is asked for") {
  const auto rule = [](Json config, const Tensors& head, const Json& pad, const HeadRequest& request = {}) {
    config["pad_token_id"] = pad;
    return name_of(recognise(config, head, request)->reading);
  };
  const Tensors deep{{"score.0.weight", {d, d}}, {"score.2.weight", {1, d}}};
  CHECK(rule(sequence_classes(1), score, nullptr) == "last");
  CHECK(rule(sequence_classes(1), score, -1) == "last");
  CHECK(rule(sequence_classes(1), score, 5) == "last_not_pad:5");
  CHECK(rule(sequence_classes(1), score, 5, {.reading = ReadingRule{}}) == "last");
  CHECK(rule(config_of("INFORMForSequenceClassification"), deep, 5) == "before_first_pad:5");
  CHECK(rule(config_of("Qwen2ForRewardModel"), deep, 5) == "before_first_pad:5");
  CHECK(rule(config_of("Qwen2ForRewardModel"), deep, nullptr) == "last");
  CHECK(rule(config_of("LlamaForCausalLM"), {{"v_head.weight", {1, d}}}, 0) == "before_first_pad:0");
  CHECK(rule(config_of("LlamaForCausalLM"), {{"v_head.summary.weight", {1, d}}}, 0) == "last");
  CHECK(rule(config_of("Qwen2ForTokenClassification"), {{"score.weight", {2, d}}}, 5) == "last");
  Json intern = config_of("InternLM2ForRewardModel");
  intern["reward_token_id"] = 9;
  CHECK(rule(intern, {{"v_head.weight", {1, d}}}, 5) == "appended:9");
  Json shared = sequence_classes(1);
  shared["eos_token_id"] = {2, 5};
  shared["pad_token_id"] = 5;
  CHECK(contains(recognise(shared, score)->note, "token 5 is both the pad and the end of sequence"));
  shared["eos_token_id"] = 2;
  CHECK(recognise(shared, score)->note.empty());
  shared["pad_token_id"] = "x";
  CHECK(contains(error(shared, score), "m: field \"pad_token_id\""));
}

TEST_CASE("named tokens of a language model are a head of their own") {
  const Json config = config_of("MistralForCausalLM");
  const auto steps = recognise(config, {}, {.name = "token_logits", .tokens = {7, 3}});
  CHECK(settings<TokenLogitHead<ScoreMeaning::per_step, 2>>(steps).tokens == std::array<Token, 2>{7, 3});
  CHECK(steps->labels == Names{"bad", "good"});
  CHECK(settings<AnswerLogitHead>(recognise(config, {}, {.name = "answer_logits", .tokens = {3}})).tokens ==
        std::vector<Token>{3});
  const auto config_error = [&](const HeadRequest& request) {
    return error_of<ConfigError>([&] { recognise(config, {}, request); });
  };
  CHECK(contains(config_error({.name = "token_logits", .tokens = {7}}),
                 "m: --head token_logits has 1 tokens, expected 2, bad and good"));
  CHECK(contains(config_error({.name = "answer_logits"}), "has 0 tokens, expected 1, or 2, bad and good"));
  CHECK(contains(config_error({.name = "answer_logits", .tokens = {40}}),
                 "names token 40, expected one below 40, the model's vocabulary"));
}

TEST_CASE("a gate's layers must follow each other, with the ratings for as many attributes") {
  const Json config = config_of("LlamaForRewardModelWithGating");
  const Tensors whole{{"regression_layer.weight", {3, d}}, {"gating.layers.0.weight", {4, d}},
                      {"gating.layers.0.bias", {4}},       {"gating.layers.1.weight", {3, 4}},
                      {"gating.layers.1.bias", {3}},       {"gating.logit_scale", {1}},
                      {"reward_transform_matrix", {3, 3}}};
  const auto head = recognise(config, whole);
  CHECK(settings<GatedRegressionHead>(head) == GatedRegressionHead{.attributes = 3, .gate_widths = {4}});
  CHECK(name_of(head->reading) == "last;gate:128009,128006,78191,128007,271");
  const auto changed = [&](Index which, std::vector<Index> shape) {
    Tensors tensors = whole;
    tensors[which].shape = std::move(shape);
    return error(config, tensors);
  };
  CHECK(contains(changed(0, {4, d}), "has 4 rows, expected 1 for each of the gate's 3 attributes"));
  CHECK(contains(changed(0, {3, d + 1}), "expected 8 in dimension 1, the width of a hidden row"));
  CHECK(contains(changed(1, {4, 7}), "expected 8 in dimension 1, the width of what comes in"));
  CHECK(contains(changed(2, {5}), "expected 4 in dimension 0, the layer's own width"));
  CHECK(contains(changed(3, {0, 4}), "none of them 0"));
  CHECK(contains(changed(5, {2}), "expected 1 in dimension 0, one number"));
  CHECK(contains(changed(6, {3, 2}), "the number of attributes"));
  Tensors without = whole;
  without.erase(without.begin());
  CHECK(contains(error(config, without), "the head is not known"));
  Json many = config;
  many["num_quantiles"] = std::numeric_limits<Index>::max();
  CHECK(contains(error(many, whole), "has 3 rows"));
  Tensors norm = whole;
  for (const char* part : {"weight", "bias", "running_mean", "running_var"}) {
    norm.push_back({std::string("gating.layers.2.") + part, {3}});
  }
  CHECK(contains(error(config, norm), "the gate ends in no linear layer"));
}

TEST_CASE("networks of ratings in bins and of their weights are read, whatever the class is called") {
  const Tensors whole{
      {"regression_layer.network.0.weight", {7, d}},  {"regression_layer.network.0.bias", {7}},
      {"regression_layer.network.2.weight", {12, 7}}, {"regression_layer.network.2.bias", {12}},
      {"gating_layer.network.0.weight", {5, d}},      {"gating_layer.network.0.bias", {5}},
      {"gating_layer.network.3.weight", {3, 5}},      {"gating_layer.network.3.bias", {3}}};
  GatedRegressionHead expected{.attributes = 3,
                               .gate_widths = {5},
                               .temperature = 1,
                               .rating_widths = {7},
                               .bins = 4,
                               .activation = ActivationFunction::leaky_relu,
                               .gate_softmax = false,
                               .gate_at_end = true};
  for (const char* name : {"Gemma2Model", "LDLRewardModel27B", "Gemma2ForSequenceClassification"}) {
    Json config = config_of(name);
    config["pad_token_id"] = 0;
    const auto head = recognise(config, whole);
    CHECK(settings<GatedRegressionHead>(head) == expected);
    CHECK(name_of(head->reading) == "before_first_pad:0");
    CHECK(head->names.size() == 8);
    CHECK(head->names[2] == std::pair<std::string, std::string>("regression_layer.network.2.weight",
                                                                "regression_layer.network.2.weight"));
    CHECK(head->names[7] ==
          std::pair<std::string, std::string>("gating.layers.1.bias", "gating_layer.network.3.bias"));
  }
  Json config = config_of("Gemma2Model");
  CHECK(name_of(recognise(config, whole)->reading) == "last");  // no pad
  config["softmax"] = true;
  config["temperature"] = 2.5;
  expected.gate_softmax = true;
  expected.temperature = 2.5;
  CHECK(settings<GatedRegressionHead>(recognise(config, whole)) == expected);
  const auto changed = [&](Index which, std::vector<Index> shape) {
    Tensors tensors = whole;
    tensors[which].shape = std::move(shape);
    return error(config, tensors);
  };
  const auto without = [&](Index first, Index count) {
    Tensors tensors = whole;
    tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(first),
                  tensors.begin() + static_cast<std::ptrdiff_t>(first + count));
    return error(config, tensors);
  };
  CHECK(contains(changed(0, {7, d + 1}), "expected 8 in dimension 1, the width of what comes in"));
  CHECK(contains(changed(2, {12, 6}), "expected 7 in dimension 1, the width of what comes in"));
  CHECK(contains(changed(5, {4}), "expected 5 in dimension 0, the layer's own width"));
  CHECK(contains(changed(6, {5, 5}), "expected 5 in dimension 0, the layer's own width"));
  Tensors uneven = whole;
  uneven[2].shape = {11, 7};
  uneven[3].shape = {11};
  CHECK(contains(error(config, uneven),
                 "the ratings have 11 outputs, expected at least two bins for each of the gate's 3"));
  CHECK(contains(without(1, 1), "the head has no tensor \"regression_layer.network.0.bias\"; it has "));
  CHECK(contains(without(0, 4),
                 "the head has no layers \"regression_layer.network.N.weight\"; it has \"gating_layer"));
  CHECK(contains(without(4, 4), "the head is not known: found \"regression_layer.network.0.bias\""));
  uneven = whole;
  uneven.erase(uneven.begin() + 2, uneven.begin() + 4);
  CHECK(contains(error(config, uneven), "the ratings have one layer, expected two or more"));
}

TEST_CASE("shapes that do not fit are errors that name the tensor") {
  const Json config = config_of("LlamaForSequenceClassification");
  CHECK(contains(
      error(config, {{"score.weight", {1, 9}}}),
      "m: tensor \"score.weight\" of the head has shape [1, 9], expected 8 in dimension 1, the width "
      "of a hidden row"));
  CHECK(contains(error(config, {{"score.weight", {d}}}), "expected 2 dimensions, none of them 0"));
  CHECK(contains(error(config, {{"score.weight", {0, d}}}), "none of them 0"));
  CHECK(
      contains(error(config, {{"score.weight", {1, d}}, {"score.bias", {2}}}), "expected 1 in dimension 0"));
  const Json deep = config_of("Qwen2ForRewardModel");
  CHECK(contains(error(deep, {{"score.0.weight", {4, d}}}), "m: the head has no tensor \"score.2.weight\""));
  CHECK(contains(error(deep, {{"score.0.weight", {4, d}}, {"score.2.weight", {1, 5}}}),
                 "expected 4 in dimension 1"));
  CHECK(contains(error(deep, {{"score.0.weight", {4, d}}, {"score.0.bias", {4}}, {"score.2.weight", {1, 4}}}),
                 "both with a bias or none"));
  CHECK(contains(
      error(deep, {{"score.0.weight", {4, d}}, {"score.2.weight", {4, 4}}, {"score.4.weight", {1, 4}}}),
      "expected the layers 0 and 2"));
  CHECK(contains(error(Json::array(), {}), "expected an object"));
}

TEST_CASE("folders whose weights are not read say what they hold") {
  const TemporaryDirectory directory;
  const auto put = [&](const char* name) { std::ofstream(directory / name) << "{}"; };
  const auto folder_error = [&] { return error_of<DataError>([&] { open_weights(directory.path()); }); };
  check_weight_files(directory.path());  // nothing is there: whoever reads says so
  check_weight_files(directory / "no folder");
  put("other.bin");
  CHECK(contains(folder_error(), "holds weights as pickles only (other.bin), which may run code"));
  put("another.pt");
  CHECK(contains(folder_error(), "(another.pt, …)"));
  put("pytorch_model.bin");  // which is looked into
  CHECK(contains(folder_error(), "pytorch_model.bin: not a file of torch.save: it begins with \"{}\""));
  put("model.safetensors");
  check_weight_files(directory.path());
  CHECK(contains(folder_error(), "model.safetensors: "));  // which comes before pytorch_model.bin
  const auto why = [&] { return error_of<DataError>([&] { check_weight_files(directory.path()); }); };
  std::ofstream(directory / "tokenizer.json")
      << "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
  CHECK(contains(why(), "tokenizer.json: found a pointer of Git LFS in place of the file"));
}

TEST_CASE("names of backbones and of heads are told apart, with whatever a class puts before them") {
  for (const std::string_view prefix : detail::backbone_prefixes) {
    CAPTURE(prefix);
    const std::string name = concat(prefix, "layers.0.norm.weight");
    CHECK(detail::is_backbone_tensor(name));
    const Names others = detail::published_names(name);
    CHECK(std::ranges::find(others, "layers.0.norm.weight") != others.end());
  }
  for (const char* name : {"embed_in.weight", "final_layer_norm.bias", "embed_out.weight", "lm_head.weight"})
    CHECK_MESSAGE(detail::is_backbone_tensor(name), name);
  for (const char* name :
       {"score.0.weight", "v_head.summary.2.bias", "classifier.0.weight", "rm_head.0.bias"}) {
    CHECK_MESSAGE(detail::is_deep_head(name), name);
    CHECK_MESSAGE(detail::is_head_layer(name), name);
  }
  for (const char* name : {"score.weight", "v_head.summary.bias", "classifier.out_proj.weight"}) {
    CHECK_MESSAGE(!detail::is_deep_head(name), name);
    CHECK_MESSAGE(detail::is_head_layer(name), name);
    CHECK_MESSAGE(!detail::is_backbone_tensor(name), name);
  }
}

}  // namespace published_head_test
