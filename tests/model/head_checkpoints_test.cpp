// Models with every head on disk: what is written is read to the same bits and settings, under the names that
// others use.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "../io/temporary.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/infer/score.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/model/aliases.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/testing/values.hpp"
#include "small_examples.hpp"

namespace head_checkpoints_test {

using namespace merit;
using namespace merit_test;
using B = ReferenceBackend<double>;

template <class Model>
std::vector<double> values_of(const Model& model) {
  std::vector<double> all;
  for (Index i = 0; i < model.parameters().tensor_count(); ++i) {
    const std::vector<double> tensor = merit::values_of(model.parameters(), i);
    all.insert(all.end(), tensor.begin(), tensor.end());
  }
  return all;
}

template <class Model>
std::vector<double> scores_of(Model& model) {
  Rng rng(3);
  std::vector<double> result;
  for (const RowScores& rows :
       score_rows(model, std::span<const Sequence>(completions_of_one_prompt(rng, 3)))) {
    result.insert(result.end(), rows.values.begin(), rows.values.end());
  }
  return result;
}

/// Saves, reads config, settings and weights back, and compares. The names of the head's own tensors.
template <class Model>
std::vector<std::string> check_round_trip(const typename Model::Config& config) {
  INFO(std::string(Model::BackboneType::name()), " ", std::string(Model::HeadType::name()));
  const TemporaryDirectory directory;
  Model model(config);
  Rng rng(6);
  auto& parameters = model.parameters();  // but not the gaps between tensors, which are no part of a model
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    double* tensor = parameters.values().data + parameters.offset(i);
    for (Index j = 0; j < parameters.element_count(i); ++j) tensor[j] += 0.1 * rng.normal();
  }
  ModelCard card;
  card.kind = "some";
  card.labels = {"a", "b"};
  save_model(directory / "m", model, card);

  auto again = config;
  again.seed = config.seed + 1;
  again.backbone = std::get<typename Model::BackboneType>(read_backbone_config(directory / "m"));
  if constexpr (requires { again.backbone.unembedding; }) {
    again.backbone.unembedding = config.backbone.unembedding;
  }
  CHECK(again.backbone == config.backbone);
  const auto read = read_model_card(directory / "m");
  REQUIRE(read.has_value());
  CHECK(read->kind == "some");
  CHECK(read->labels == card.labels);
  again.head = {};
  read_settings(read->head, "merit.json: head", again.head);
  CHECK(detail::policy_json(again.head) == detail::policy_json(config.head));

  Model loaded(again);
  CHECK(loaded.outputs() == model.outputs());
  const LoadReport report = load_model_parameters(directory / "m", loaded);
  CHECK(report.fresh.empty());
  CHECK(report.skipped.empty());
  CHECK(report.unexpected.empty());
  CHECK(values_of(loaded) == values_of(model));
  CHECK(scores_of(loaded) == scores_of(model));

  std::vector<std::string> heads;
  for (const std::string& name : SafetensorsDirectory(directory / "m").names()) {
    if (!name.starts_with("model.") && !name.starts_with("transformer.")) heads.push_back(name);
  }
  std::sort(heads.begin(), heads.end());
  return heads;
}

using Names = std::vector<std::string>;

TEST_CASE("a model with any head is saved and loaded: the same settings, bits and scores") {
  const Llama llama = tiny_reward_llama();
  const Gpt2 gpt2 = tiny_reward_gpt2();
  const Names linear{"score.bias", "score.weight"};
  CHECK(check_round_trip<BradleyTerryModel<Llama, B>>({.backbone = llama, .head = {.bias = true}}) == linear);
  CHECK(check_round_trip<AttributeModel<Llama, B>>(
            {.backbone = llama, .head = {.merge_weights = {0.5, -1, 0.1}}}) == linear);
  CHECK(check_round_trip<RewardModel<Llama, CompletionClassHead, CompletionCrossEntropyLoss, B>>(
            {.backbone = llama}) == Names{"score.weight"});
  CHECK(check_round_trip<OutcomeRewardModel<Llama, B>>({.backbone = llama}) == linear);
  CHECK(check_round_trip<ProcessRewardModel<Llama, B>>({.backbone = llama}) == linear);
  CHECK(check_round_trip<BinaryProcessRewardModel<Llama, B>>({.backbone = llama, .head = {.bias = false}}) ==
        Names{"score.weight"});
  CHECK(check_round_trip<ProcessRewardModel<Gpt2, B>>({.backbone = gpt2}) ==
        Names{"classifier.bias", "classifier.weight"});
  CHECK(check_round_trip<BradleyTerryModel<Gpt2, B>>({.backbone = gpt2}) == Names{"score.weight"});
  CHECK(check_round_trip<ValueModel<Llama, B>>({.backbone = llama}) ==
        Names{"value_head.bias", "value_head.weight"});
  CHECK(check_round_trip<
            RewardModel<Llama, JointHead<ScalarHead, ValueHead>, JointLoss<PairwiseLoss, ValueLoss>, B>>(
            {.backbone = llama}) == Names{"score.weight", "value_head.bias", "value_head.weight"});
  CHECK(check_round_trip<RewardModel<Llama, TwoLayerHead, PairwiseLoss, B>>(
            {.backbone = llama, .head = {.inner = 5, .activation = ActivationFunction::gelu}}) ==
        Names{"score.0.bias", "score.0.weight", "score.2.bias", "score.2.weight"});
  Llama untied = llama;
  untied.tied_embedding = false;
  untied.unembedding = true;
  CHECK(check_round_trip<TokenProcessRewardModel<Llama, B>>({.backbone = untied, .head = {{7, 3}}}) ==
        Names{"lm_head.weight"});
  CHECK(check_round_trip<TokenProcessRewardModel<Gpt2, B>>({.backbone = gpt2, .head = {{7, 3}}}).empty());
  CHECK(check_round_trip<RewardModel<Llama, TwoLayerStepHead, CrossEntropyLoss, B>>(
            {.backbone = llama, .head = {.inner = 5}}) ==
        Names{"score.0.bias", "score.0.weight", "score.2.bias", "score.2.weight"});
  CHECK(check_round_trip<RewardModel<Llama, AnswerLogitHead, RegressionLoss<>, B>>(
            {.backbone = untied, .head = {{7}}}) == Names{"lm_head.weight"});
  const GatedRegressionHead gated{.attributes = 3, .gate_widths = {5, 4}, .temperature = 2.5};
  GatedRegressionHead read;
  read_settings(detail::policy_json(gated), "merit.json: head", read);
  CHECK(read == gated);
  CHECK(check_round_trip<VerifierModel<Llama, B>>(
            {.backbone = llama, .head = {.first = {.token = 9}, .second = {}}}) ==
        Names{"score.bias", "score.gain"});
}

/// The class that config.json names, of a model with this head.
template <class Backbone, class Head>
std::string class_of(const Backbone& backbone, const Head& head) {
  RewardModel<Backbone, Head, RegressionLoss<Head::meaning>, B> model({.backbone = backbone, .head = head});
  return detail::config_json(model, "", {}).at("architectures").at(0);
}

TEST_CASE("what is saved names the class that gives its scores, and the reading rule's pad and the labels") {
  const Llama llama = tiny_reward_llama();
  CHECK(class_of(llama, ScalarHead{}) == "LlamaForSequenceClassification");
  CHECK(class_of(llama, StepHead<2>{}) == "LlamaForTokenClassification");
  CHECK(class_of(llama, TwoLayerHead{}) == "LlamaForRewardModel");
  CHECK(class_of(llama, TwoLayerStepHead{}) == "LlamaForProcessRewardModel");
  CHECK(class_of(llama, GatedRegressionHead{}) == "LlamaForRewardModelWithGating");
  CHECK(class_of(llama, GatedRegressionHead{.bins = 2}) == "LlamaForRewardModel");
  CHECK(class_of(llama, AnswerLogitHead{{7}}) == "LlamaForCausalLM");
  CHECK(class_of(llama, TokenLogitHead<>{{7, 3}}) == "LlamaForCausalLM");
  CHECK(class_of(tiny_reward_gpt2(), AnswerLogitHead{{7}}) == "GPT2LMHeadModel");
  CHECK(class_of(tiny_reward_gpt2(), StepHead<2>{}) == "GPT2ForTokenClassification");
  BradleyTerryModel<Llama, B> model({.backbone = llama});
  CHECK(detail::config_json(model, "", {}).at("pad_token_id").is_null());
  CHECK(detail::config_json(model, "last", {}).at("pad_token_id").is_null());
  CHECK(detail::config_json(model, "last_not_pad:5", {}).at("pad_token_id") == 5);
  CHECK(detail::config_json(model, "", {"good"}).at("id2label") == Json{{"0", "good"}});
  CHECK(detail::config_json(model, "", {"good", "more"}).at("id2label") == Json{{"0", "LABEL_0"}});
  CHECK_THROWS_AS(detail::config_json(model, "nowhere", {}), ConfigError);
}

/// A loss as its card says it, read back.
template <class Loss>
void check_loss(const Loss& loss) {
  const Json written = detail::policy_json(loss);
  INFO(written.dump());
  CHECK(written != detail::policy_json(Loss{}));  // else nothing would have to be read
  Loss read;
  read_settings(written, "merit.json: loss", read);
  CHECK(detail::policy_json(read) == written);
}

TEST_CASE("a card's loss is read back with its settings, and a wrong one is an error that names the field") {
  using TokenLoss = BinaryCrossEntropyLoss<ScoreMeaning::per_token>;
  TokenLoss tokens{
      .denominator = Denominator::per_sequence, .positive_weight = 2, .focal = 1, .label_smoothing = 0.25};
  check_loss(PairwiseLoss{.label_smoothing = 0.125, .scale = 2, .centering = 0.5});
  check_loss(PlackettLuceLoss{.top = 3, .ties = Ties::breslow, .divide_by_choices = true});
  check_loss(tokens);
  check_loss(CrossEntropyLoss{
      .denominator = Denominator::per_sequence, .class_weights = {1, 2, 3}, .label_smoothing = 0.25});
  check_loss(ValueLoss{.clip = 0.5});
  JointLoss<TokenLoss, LanguageModelLoss> joint;
  joint.first = tokens;
  joint.first_weight = 3;
  joint.second_weight = 0.5;
  check_loss(joint);

  PlackettLuceLoss ties;
  const std::string error = error_of<DataError>([&] {
    read_settings(Json{{"ties", "cox"}}, "merit.json: loss", ties);
  });
  CHECK(contains(error, "merit.json: loss: field \"ties\" is \"cox\", expected one of: efron, breslow"));
  CHECK_THROWS_WITH_AS(read_settings(Json{{"denominator", 1}}, "merit.json: loss", tokens),
                       doctest::Contains("\"denominator\""), DataError);
}

/// A checkpoint in which tensors are called otherwise, as another program would have written it.
template <class Model>
void write_renamed(const std::filesystem::path& directory, Model& model, const std::string& from,
                   const std::string& to) {
  std::vector<TensorSource> tensors;
  const auto& parameters = model.parameters();
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    std::string name = parameters.spec(i).name;
    if (name.starts_with(from)) name = to + name.substr(from.size());
    tensors.push_back({name, parameters.spec(i).shape, parameters.values().data + parameters.offset(i)});
  }
  write_safetensors_directory(directory, tensors, {});
}

template <class Model>
void check_renamed(const typename Model::Config& config, const std::string& from, const std::string& to) {
  INFO(to);
  const TemporaryDirectory directory;
  Model source(config);
  write_renamed(directory.path(), source, from, to);
  auto other = config;
  other.seed = 9;
  Model model(other);
  const LoadReport report = load_model_parameters(directory.path(), model);
  CHECK(report.unexpected.empty());
  CHECK(values_of(model) == values_of(source));
}

TEST_CASE("heads load under the names that other programs give them") {
  const Llama llama = tiny_reward_llama();
  check_renamed<ValueModel<Llama, B>>({.backbone = llama}, "value_head.", "v_head.summary.");
  check_renamed<ValueModel<Llama, B>>({.backbone = llama}, "value_head.", "value_head.summary.");
  check_renamed<ProcessRewardModel<Gpt2, B>>({.backbone = tiny_reward_gpt2()}, "score.", "classifier.");
  check_renamed<OutcomeRewardModel<Llama, B>>({.backbone = llama}, "score.", "classifier.");
}

TEST_CASE("a head of other classes, or another head, is refused by name") {
  const TemporaryDirectory directory;
  ProcessRewardModel<Llama, B> three({.backbone = tiny_reward_llama()});
  save_model(directory / "m", three);
  BinaryProcessRewardModel<Llama, B> one({.backbone = tiny_reward_llama(), .seed = 4});
  const auto before = values_of(one);
  std::string error = error_of<DataError>([&] { load_model_parameters(directory / "m", one); });
  CHECK(contains(error, "\"score.weight\" has shape [3, 8], expected [1, 8]"));
  CHECK(values_of(one) == before);
  RewardModel<Llama, TwoLayerHead, PairwiseLoss, B> deep({.backbone = tiny_reward_llama()});
  error = error_of<DataError>([&] { load_model_parameters(directory / "m", deep); });
  CHECK(contains(error, "there is no tensor \"score.0.weight\""));
  save_model(directory / "deep", deep);
  error = error_of<DataError>([&] { load_model_parameters(directory / "deep", one); });
  CHECK(contains(error, "the head has several layers (score.0.bias, score.0.weight"));
}

TEST_CASE("where a head may be missing, one of another kind starts anew as a whole, and is named") {
  const TemporaryDirectory directory;
  BradleyTerryModel<Llama, B> pairs({.backbone = tiny_reward_llama()});
  save_model(directory / "pairs", pairs);  // score.weight has the shape that a step's score has, too
  using Steps = RewardModel<Llama, StepHead<1>, BinaryCrossEntropyLoss<ScoreMeaning::per_step>, B>;
  Steps steps({.backbone = tiny_reward_llama(), .seed = 4});
  const auto before = values_of(steps);
  const LoadReport report = load_model_parameters(directory / "pairs", steps, {.allow_missing_head = true});
  CHECK(report.other_head == "scalar");
  CHECK(report.fresh == Names{"score.weight", "score.bias"});
  CHECK(report.unexpected == Names{"score.weight"});
  const auto tensor = [](auto& model, const std::string& name) {
    const auto& parameters = model.parameters();
    const Index i = parameters.find(name);
    const double* data = parameters.values().data + parameters.offset(i);
    return std::vector<double>(data, data + parameters.element_count(i));
  };
  const std::string of_backbone = pairs.parameters().spec(0).name;
  CHECK(tensor(steps, of_backbone) == tensor(pairs, of_backbone));
  Steps untouched({.backbone = tiny_reward_llama(), .seed = 4});
  CHECK(tensor(steps, "score.weight") == tensor(untouched, "score.weight"));
  CHECK(values_of(steps) != before);

  // The way back: a bias that the model has no place for is no obstacle, as nothing of that head is read.
  save_model(directory / "steps", steps);
  CHECK(load_model_parameters(directory / "steps", pairs, {.allow_missing_head = true}).other_head ==
        steps.head().name());
  // The same kind of head without its bias: that alone is fresh.
  BradleyTerryModel<Llama, B> biased({.backbone = tiny_reward_llama(), .head = {.bias = true}, .seed = 5});
  const LoadReport some = load_model_parameters(directory / "pairs", biased, {.allow_missing_head = true});
  CHECK(some.fresh == Names{"score.bias"});
  CHECK(some.other_head.empty());
  CHECK(tensor(biased, "score.weight") == tensor(pairs, "score.weight"));
}

TEST_CASE("weights of other settings are refused although the shapes agree") {
  using Deep = RewardModel<Llama, TwoLayerHead, PairwiseLoss, B>;
  const TemporaryDirectory directory;
  Deep saved({.backbone = tiny_reward_llama()});
  save_model(directory / "m", saved);

  Deep gelu({.backbone = tiny_reward_llama(), .head = {.activation = ActivationFunction::gelu}, .seed = 4});
  const auto before = values_of(gelu);
  std::string error = error_of<ConfigError>([&] { load_model_parameters(directory / "m", gelu); });
  CHECK(contains(error, "a different model: head.activation is \"relu\", expected \"gelu\""));
  CHECK(values_of(gelu) == before);
  load_model_parameters(directory / "m", gelu, {.allow_other_settings = true});
  CHECK(values_of(gelu) == values_of(saved));

  Llama turned = tiny_reward_llama();
  turned.rope_base = 20;
  Deep other({.backbone = turned});
  error = error_of<ConfigError>([&] { load_model_parameters(directory / "m", other); });
  CHECK(contains(error, "backbone.rope_theta is 10000.0, expected 20.0"));

  // What changes no score is no difference.
  Llama longer = tiny_reward_llama();
  longer.max_positions += 1;
  longer.init_deviation = 0.5;
  longer.frozen_layers = 1;
  longer.recompute = all_layers;
  Deep same({.backbone = longer, .seed = 5});
  load_model_parameters(directory / "m", same);
  CHECK(values_of(same) == values_of(saved));
}

}  // namespace head_checkpoints_test
