// Every kind of head against values from transformers: what they publish is read to the same scores, and what
// is written is what they would publish.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "../io/temporary.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/infer/score.hpp"
#include "merit/io/json.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/model/aliases.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/testing/tolerance.hpp"
#include "stored.hpp"

namespace golden_heads_test {

using namespace merit;
namespace fs = std::filesystem;
using B = ReferenceBackend<float>;

constexpr double tolerance = 1e-5;  // as for golden.hpp

fs::path golden(const std::string& name) {
  return merit_test::stored("heads/" + name);
}

std::vector<Sequence> sequences_of(const Json& expected) {
  std::vector<Sequence> sequences;
  for (const Json& row : expected.at("sequences")) {
    Sequence sequence;
    sequence.tokens = row.at("tokens").get<std::vector<Token>>();
    sequence.completion_begin = row.at("completion_begin");
    for (Index t = 0; t < sequence.tokens.size(); ++t) sequence.step_ends.push_back(t);  // every token
    sequences.push_back(std::move(sequence));
  }
  return sequences;
}

template <class Backbone>
Backbone backbone_of(const std::string& name) {
  return std::get<Backbone>(read_backbone_config(golden(name)));
}

/// The scores of all rows of all sequences.
template <class Model>
std::vector<double> all_scores(Model& model, const std::vector<Sequence>& sequences) {
  std::vector<double> result;
  for (const RowScores& rows : score_rows(model, std::span<const Sequence>(sequences))) {
    result.insert(result.end(), rows.values.begin(), rows.values.end());
  }
  return result;
}

/// The same field of all sequences, of each the part from `begin(sequence)` on.
template <class Begin>
std::vector<double> expected_numbers(const Json& expected, const char* field, const Begin& begin) {
  std::vector<double> result;
  for (const Json& row : expected.at("sequences")) {
    const auto numbers = row.at(field).get<std::vector<double>>();
    const auto from = static_cast<std::ptrdiff_t>(begin(row));
    result.insert(result.end(), numbers.begin() + from, numbers.end());
  }
  return result;
}
Index from_start(const Json&) {
  return 0;
}

void check_report(const LoadReport& report) {
  CHECK(report.fresh.empty());
  CHECK(report.unexpected.empty());
}

/// Saves what was loaded and compares names, shapes and bits with what transformers had written.
template <class Model>
void check_written(const std::string& name, Model& model, const std::vector<Sequence>& sequences,
                   Index labels = 3) {
  const merit_test::TemporaryDirectory directory;
  fs::path out = directory / "m";
  const char* keep = std::getenv("MERIT_WRITE_CHECKPOINTS");  // for generate_heads.py check
  if (keep != nullptr) {
    fs::create_directories(keep);
    out = fs::path(keep) / name;
  }
  save_model(out, model);
  const SafetensorsFile ours(out / "model.safetensors");
  const SafetensorsFile theirs(golden(name) / "model.safetensors");
  REQUIRE(ours.tensors().size() == theirs.tensors().size());
  for (const TensorInfo& tensor : theirs.tensors()) {
    INFO(tensor.name);
    const TensorInfo* same = ours.find(tensor.name);
    REQUIRE(same != nullptr);
    CHECK(same->shape == tensor.shape);
    std::vector<float> a(*detail::element_count(tensor.shape)), b(a.size());
    ours.read(tensor.name, VectorView<float>(a));
    theirs.read(tensor.name, VectorView<float>(b));
    CHECK(a == b);
  }
  const Json config = read_json(out / "config.json");
  const Json published = read_json(golden(name) / "config.json");
  CHECK(config.at("architectures") == published.at("architectures"));
  CHECK(config.at("model_type") == published.at("model_type"));
  CHECK(config.at("id2label").size() == labels);
  if (keep == nullptr) return;
  Json rows = Json::array();
  for (const Sequence& sequence : sequences) {
    rows.push_back({{"tokens", sequence.tokens}, {"scores", all_scores(model, {sequence})}});
  }
  write_json(out / "scores.json", rows);
}

template <class Backbone>
void check_token_classification(const std::string& name) {
  INFO(name);
  const Json expected = read_json(golden(name) / "expected.json");
  const auto sequences = sequences_of(expected);
  ProcessRewardModel<Backbone, B> model({.backbone = backbone_of<Backbone>(name)});
  check_report(load_model_parameters(golden(name), model));
  CHECK(relative_error(all_scores(model, sequences), expected_numbers(expected, "scores", from_start)) <
        tolerance);
  check_written(name, model, sequences);
}

TEST_CASE("a step head has the scores of transformers' token classification, read and written") {
  check_token_classification<Llama>("llama_token");
  check_token_classification<Gpt2>("gpt2_token");
}

TEST_CASE("a completion's two classes have the scores and the loss of transformers, read and written") {
  const std::string name = "llama_two_labels";
  const Json expected = read_json(golden(name) / "expected.json");
  const auto sequences = sequences_of(expected);
  RewardModel<Llama, CompletionClassHead, CompletionCrossEntropyLoss, B> model(
      {.backbone = backbone_of<Llama>(name)});
  check_report(load_model_parameters(golden(name), model));
  const std::vector<double> scores = all_scores(model, sequences);
  CHECK(relative_error(scores, expected_numbers(expected, "scores", from_start)) < tolerance);
  std::vector<OutcomeExample> examples;
  for (Index i = 0; i < sequences.size(); ++i) {
    const Json& row = expected.at("sequences")[i];
    examples.push_back({.sequence = sequences[i], .label = row.at("label").get<double>()});
  }
  BatchBuilder batch(model);
  for (const OutcomeExample& example : examples) batch.add(example);
  batch.finish();
  CHECK(model.loss_value(batch.forest(), batch.targets()) ==
        doctest::Approx(expected.at("loss").get<double>()).epsilon(tolerance));
  check_written(name, model, sequences, 2);
}

TEST_CASE("a head of two layers has the scores of a published one") {
  const std::string name = "qwen2_two_layer";
  const Json expected = read_json(golden(name) / "expected.json");
  RewardModel<Llama, TwoLayerHead, PairwiseLoss, B> model({.backbone = backbone_of<Llama>(name)});
  check_report(load_model_parameters(golden(name), model));
  CHECK(relative_error(all_scores(model, sequences_of(expected)),
                       expected_numbers(expected, "scores", from_start)) < tolerance);
}

TEST_CASE("named tokens, the loss of the next token and TRL's value head agree with transformers") {
  for (const std::string name : {"llama_lm_value", "llama_lm_value_tied", "gemma2_lm_value"}) {
    INFO(name);
    const Json expected = read_json(golden(name) / "expected.json");
    const auto sequences = sequences_of(expected);
    Llama backbone = backbone_of<Llama>(name);
    CHECK(backbone.tied_embedding == (name != "llama_lm_value"));
    CHECK(backbone.logit_soft_cap == (name == "gemma2_lm_value" ? 0.6 : 0.0));
    backbone.unembedding = true;
    {
      using Head = TokenLogitHead<ScoreMeaning::per_step, 3>;
      RewardModel<Llama, Head, CrossEntropyLoss, B> model(
          {.backbone = backbone, .head = {expected.at("named_tokens").get<std::array<Token, 3>>()}});
      const LoadReport report = load_model_parameters(golden(name), model);
      CHECK(report.fresh.empty());
      CHECK(report.unexpected == std::vector<std::string>{"v_head.summary.bias", "v_head.summary.weight"});
      CHECK(relative_error(all_scores(model, sequences),
                           expected_numbers(expected, "named_logits", from_start)) < tolerance);
    }
    {
      RewardModel<Llama, LanguageModelHead, LanguageModelLoss, B> model({.backbone = backbone});
      load_model_parameters(golden(name), model);
      BatchBuilder<decltype(model)> builder(model);
      std::vector<OutcomeExample> examples;
      for (const Sequence& sequence : sequences) examples.push_back({sequence});
      for (const OutcomeExample& example : examples) builder.add(example);
      builder.finish();
      CHECK(model.loss_value(builder.forest(), builder.targets()) ==
            doctest::Approx(expected.at("loss").get<double>()).epsilon(tolerance));
      model.begin_step();
      model.accumulate(builder.forest(), builder.targets(), model.loss().normaliser(builder.targets()));
      model.end_step();
      const auto& parameters = model.parameters();
      const Index norm = parameters.find("model.norm.weight");
      const float* const begin = parameters.gradients().data + parameters.offset(norm);
      CHECK(relative_error(std::vector<double>(begin, begin + parameters.element_count(norm)),
                           expected.at("norm_gradient").get<std::vector<double>>()) < tolerance);
    }
    {
      ValueModel<Llama, B> model({.backbone = backbone});
      check_report(load_model_parameters(golden(name), model));
      std::vector<double> want;  // of the token before each of the completion
      for (const Json& row : expected.at("sequences")) {
        const auto values = row.at("values").get<std::vector<double>>();
        const Index begin = row.at("completion_begin");
        for (Index t = std::max<Index>(begin, 1); t < values.size(); ++t) want.push_back(values[t - 1]);
      }
      CHECK(relative_error(all_scores(model, sequences), want) < tolerance);
    }
  }
}

}  // namespace golden_heads_test
