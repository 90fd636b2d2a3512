// Small models in every layout that reward models are published in, against the scores of their own classes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "../io/temporary.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/forest/apply_reading.hpp"
#include "merit/infer/probabilities.hpp"
#include "merit/infer/score.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/loss/regression_loss.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/published_head.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/testing/tolerance.hpp"
#include "stored.hpp"

namespace published_models_test {

using namespace merit;
namespace fs = std::filesystem;
using merit_test::TemporaryDirectory;
using Names = std::vector<std::string>;

fs::path golden() {
  return merit_test::stored("published");
}

/// What a case is expected to be recognised as.
struct Expected {
  std::string head;
  std::string reading = "last";
  std::string score = "raw";
  Names labels = {};
};

const std::map<std::string, Expected> cases{
    {"llama_score", {"scalar"}},
    {"mistral_score", {"scalar", "last_not_pad:3"}},
    {"qwen2_score", {"scalar", "last_not_pad:3"}},
    {"qwen3_score", {"scalar", "last_not_pad:3"}},
    {"gpt2_score", {"scalar", "last_not_pad:3"}},
    {"llama_two_labels", {"attributes", "last", "log_odds", {"toxic", "fine"}}},
    {"gpt2_two_labels", {"attributes", "last", "log_odds"}},
    {"mistral_three_labels", {"attributes", "last", "weighted", {"bad", "so-so", "good"}}},
    {"qwen2_ratings", {"attributes", "last", "weighted"}},
    {"qwen2_token", {"step_binary", "last", "softmax", {"bad", "good"}}},
    {"llama_token", {"step_ternary", "last", "softmax", {"bad", "neutral", "good"}}},
    {"mistral_token", {"step_logit", "last", "sigmoid"}},
    {"qwen3_token", {"step_binary", "last", "softmax", {"bad", "good"}}},
    {"gpt2_token", {"step_binary", "last", "softmax", {"bad", "good"}}},
    {"qwen2_math_rm", {"two_layer", "before_first_pad:3"}},
    {"llama_inf_orm", {"two_layer", "before_first_pad:3"}},
    {"llama_grm", {"two_layer"}},
    {"llama_grm_short", {"two_layer"}},
    {"mistral_grm", {"scalar"}},
    {"gpt2_trl", {"scalar"}},
    {"mistral_ultra", {"scalar"}},
    {"llama_starling", {"scalar", "before_first_pad:3"}},
    {"llama_value_head", {"scalar"}},
    {"llama_beaver_reward", {"scalar"}},
    {"llama_beaver_cost", {"attributes", "last", "negative"}},
    {"qwen2_math_prm", {"step_two_layer", "tag:7", "softmax", {"bad", "good"}}},
    {"qwen2_skywork_prm", {"step_logit", "tag:7", "sigmoid"}},
    {"llama_armo", {"gated_regression", "before_first_pad:3;gate:5,6", "gated"}},
    {"llama_qrm", {"gated_regression", "before_first_pad:3;gate:5,6", "gated"}},
    {"gemma2_ldl", {"gated_regression", "before_first_pad:3", "gated"}},
    {"gemma2_ldl_softmax", {"gated_regression", "before_first_pad:3", "gated"}},
    {"mistral_shepherd", {"token_logits", "tag:7", "softmax", {"bad", "good"}}},
    {"qwen3_reranker", {"answer_logits", "last", "log_odds", {"bad", "good"}}},
    {"llama_one_logit", {"answer_logits"}},
    {"gpt2_yes_no", {"answer_logits", "last", "log_odds", {"bad", "good"}}},
    {"gemma2_yes_no", {"answer_logits", "last", "log_odds", {"bad", "good"}}},
    {"gemma2_shepherd", {"token_logits", "tag:7", "softmax", {"bad", "good"}}},
    {"llama_turns", {"token_logits", "before_tag:7", "softmax", {"bad", "good"}}},
};

HeadRequest request_of(const Json& json) {
  HeadRequest request;
  request.name = json.value("name", "");
  request.tokens = json.value("tokens", std::vector<Token>{});
  if (json.contains("reading"))
    request.reading = reading_rule_from_name(json.at("reading").get<std::string>());
  return request;
}

/// A case as a folder: the weights of the backbone and of the head as two shards, or the head's in files of
/// their own.
void publish(const std::string& name, const Json& document, const fs::path& folder) {
  fs::create_directories(folder);
  Json map = Json::object();
  const auto add = [&](const fs::path& file, const char* shard) {
    if (!fs::exists(file)) return;
    fs::copy_file(file, folder / shard);
    const SafetensorsFile weights(file);
    for (const TensorInfo& tensor : weights.tensors()) map[tensor.name] = shard;
  };
  add(golden() / ("backbone_" + document.at("backbone").get<std::string>() + ".safetensors"),
      "model-00001-of-00002.safetensors");
  add(golden() / (name + ".safetensors"), "model-00002-of-00002.safetensors");
  for (const char* part : {"regression_layer.pt", "gating_layer.pt"}) {
    const fs::path file = golden() / (name + "." + part);
    if (fs::exists(file)) fs::copy_file(file, folder / part);
  }
  write_json(folder / "model.safetensors.index.json",
             {{"metadata", {{"total_size", 0}}}, {"weight_map", map}});
  write_json(folder / "config.json", document.at("config"));
}

std::vector<Sequence> sequences_of(const Json& document, const ReadingRule& rule) {
  std::vector<Sequence> sequences;
  for (const Json& row : document.at("sequences")) {
    Sequence& sequence = sequences.emplace_back();
    sequence.tokens = row.at("tokens").get<std::vector<Token>>();
    sequence.completion_begin = row.at("completion_begin");
    // Of a stock class of steps the separator is the tag's token, which a tokenizer would have put there.
    for (Index t = sequence.completion_begin; t < sequence.tokens.size(); ++t) {
      if (sequence.tokens[t] == 7) sequence.step_ends.push_back(t);
    }
    apply(rule, sequence);
  }
  return sequences;
}

/// What the cases need: each model more is a second of compiling.
template <class Backbone, class Head>
constexpr bool is_compiled = false;
template <class Head>
constexpr bool is_compiled<Llama, Head> =
    !std::is_same_v<Head, TokenHead> && !std::is_same_v<Head, ValueHead> && !is_joint_head<Head>;
template <>
constexpr bool is_compiled<Gpt2, ScalarHead> = true;
template <>
constexpr bool is_compiled<Gpt2, AttributeHead> = true;
template <>
constexpr bool is_compiled<Gpt2, StepHead<2>> = true;
template <>
constexpr bool is_compiled<Gpt2, AnswerLogitHead> = true;

/// The numbers that the published code gives, of what our head gives.
template <class Head>
std::vector<double> published_numbers(const PublishedHead& head, const Head& settings,
                                      const RowScores& rows) {
  std::vector<double> numbers;
  if constexpr (Head::meaning != ScoreMeaning::per_completion) {
    for (Index i = 0; i < rows.rows(); ++i) numbers.push_back(good_probability(rows.row(i)));
  } else if constexpr (requires { settings.merge(rows.values); }) {
    const double merged = settings.merge(rows.values);
    numbers.push_back(head.score == "log_odds" ? sigmoid(merged) : merged);
  } else {
    numbers.push_back(rows.values[0]);
  }
  return numbers;
}

/// What the model writes, transformers scores alike: `generate_published.py check` reads it.
template <class Model>
void check_written(const std::string& name, const PublishedHead& head, Model& model,
                   const std::vector<Sequence>& sequences, const std::vector<RowScores>& rows) {
  const TemporaryDirectory directory;
  fs::path out = directory / "m";
  const char* keep = std::getenv("MERIT_WRITE_CHECKPOINTS");
  if (keep != nullptr) {
    fs::create_directories(keep);
    out = fs::path(keep) / name;
  }
  ModelCard card;
  card.labels = head.labels;
  card.reading = name_of(head.reading);
  save_model(out, model, card);
  auto config = model.config();
  config.seed = 77;
  Model again(config);
  const LoadReport report = load_model_parameters(out, again);
  CHECK(report.fresh.empty());
  CHECK(report.unexpected.empty());
  const auto same = score_rows(again, std::span<const Sequence>(sequences));
  for (Index i = 0; i < rows.size(); ++i) CHECK(same[i].values == rows[i].values);
  CHECK(read_model_card(out)->reading == name_of(head.reading));
  if (keep == nullptr) return;
  Json list = Json::array();
  for (Index i = 0; i < rows.size(); ++i) {
    list.push_back(
        {{"tokens", sequences[i].tokens},
         {"positions", sequences[i].step_ends.empty() ? std::vector<Index>{sequences[i].tokens.size() - 1}
                                                      : sequences[i].step_ends},
         {"rows", rows[i].values}});
  }
  Json scores = {{"sequences", list}};
  if constexpr (requires { model.head().tokens; }) scores["tokens"] = model.head().tokens;
  write_json(out / "scores.json", scores);
}

template <class B, class Backbone, class Head>
void check_scores(const std::string& name, const fs::path& folder, const Json& document,
                  const PublishedHead& head, Backbone backbone, const Head& settings) {
  if constexpr (reads_unembedding<Head> && requires { backbone.unembedding; }) backbone.unembedding = true;
  using Model = RewardModel<Backbone, Head, RegressionLoss<Head::meaning>, B>;
  Model model({.backbone = backbone, .head = settings});
  const LoadReport report =
      load_model_parameters(folder, model, {.names = head.names, .computed = head.computed});
  CHECK(report.fresh.empty());
  for (const std::string& left : report.unexpected) {
    INFO(left);
    CHECK((left.starts_with("normalizer.") || left.ends_with("num_batches_tracked")));
  }
  const std::vector<Sequence> sequences = sequences_of(document, head.reading);
  const auto rows = score_rows(model, std::span<const Sequence>(sequences));  // all in one batch
  std::vector<double> published, expected, given, expected_rows;  // of all sequences: one may be near 0
  for (Index i = 0; i < sequences.size(); ++i) {
    const Json& row = document.at("sequences").at(i);
    const auto append = [](std::vector<double>& all, const std::vector<double>& some) {
      all.insert(all.end(), some.begin(), some.end());
    };
    append(published, published_numbers(head, settings, rows[i]));
    append(expected, row.at("published").get<std::vector<double>>());
    if constexpr (std::is_same_v<Head, GatedRegressionHead>) {
      if (row.contains("ratings")) {
        append(published, settings.ratings(rows[i].values));
        append(expected, row.at("ratings").get<std::vector<double>>());
        append(published, settings.weights(rows[i].values));
        append(expected, row.at("weights").get<std::vector<double>>());
      }
    }
    if (!row.contains("rows")) continue;  // of a gate that reads another row
    append(given, rows[i].values);
    append(expected_rows, row.at("rows").get<std::vector<double>>());
  }
  CHECK(relative_error(published, expected) < Tolerance<typename Model::Score>::value);
  CHECK(relative_error(given, expected_rows) < Tolerance<typename Model::Score>::value);
  if constexpr (Head::meaning == ScoreMeaning::per_completion) {  // the same by the short way
    const auto merged = score(model, std::span<const Sequence>(sequences));
    for (Index i = 0; i < sequences.size(); ++i) {
      const double number = published_numbers(head, settings, rows[i])[0];
      CHECK((head.score == "log_odds" ? sigmoid(merged[i]) : merged[i]) == number);
    }
  }
  check_written(name, head, model, sequences, rows);
}

template <class B>
void check_case(const std::string& name, const Json& document, const fs::path& folder) {
  INFO(name);
  const auto source = open_weights(folder);
  const auto tensors = tensors_of(*source);
  const auto head = recognise_head(read_json(folder / "config.json"), tensors, folder.string(),
                                   request_of(document.at("request")));
  REQUIRE(head.has_value());
  const Expected& expected = cases.at(name);
  CHECK(std::visit([](const auto& one) { return std::string(one.name()); }, head->settings) == expected.head);
  CHECK(name_of(head->reading) == expected.reading);
  CHECK(head->score == expected.score);
  CHECK(head->labels == expected.labels);
  std::visit(
      [&](const auto& backbone, const auto& settings) {
        using Backbone = std::decay_t<decltype(backbone)>;
        if constexpr (is_compiled<Backbone, std::decay_t<decltype(settings)>>) {
          check_scores<B>(name, folder, document, *head, backbone, settings);
        } else {
          FAIL("a backbone and a head that this test does not compile");
        }
      },
      read_backbone_config(folder), head->settings);
}

TEST_CASE("every published layout gives the published scores") {
  Index count = 0;
  for (const auto& entry : fs::directory_iterator(golden())) {
    if (entry.path().extension() != ".json") continue;
    const std::string name = entry.path().stem().string();
    REQUIRE(cases.contains(name));
    const Json document = read_json(entry.path());
    const TemporaryDirectory directory;
    publish(name, document, directory / "m");
    check_case<ReferenceBackend<float>>(name, document, directory / "m");
    ++count;
  }
  CHECK(count == cases.size());
}

/// The same folder with every tensor under another name, as a wrapper or an older program would write it.
void check_renamed(const std::string& name, const std::string& from, const std::string& to) {
  INFO(name, ": ", from, " as ", to);
  const Json document = read_json(golden() / (name + ".json"));
  const TemporaryDirectory directory;
  publish(name, document, directory / "m");
  const auto source = open_weights(directory / "m");
  std::vector<std::vector<float>> values;
  std::vector<TensorSource> tensors;
  values.reserve(source->names().size());
  for (const std::string& old : source->names()) {
    const TensorInfo* tensor = source->find(old);
    source->read(old, VectorView<float>(values.emplace_back(tensor->elements)));
    const std::string renamed = old.starts_with(from) ? to + old.substr(from.size()) : old;
    tensors.push_back({renamed, tensor->shape, values.back().data()});
  }
  fs::create_directories(directory / "renamed");
  write_safetensors_directory(directory / "renamed", tensors, {});
  write_json(directory / "renamed" / "config.json", document.at("config"));
  check_case<ReferenceBackend<float>>(name, document, directory / "renamed");
}

TEST_CASE("prefixes of wrappers and of older programs change nothing") {
  check_renamed("llama_score", "", "module.");
  check_renamed("llama_grm", "model.", "pretrained_model.model.");
  check_renamed("gpt2_trl", "transformer.", "");
  check_renamed("gpt2_token", "", "module.");
  check_renamed("llama_starling", "model.", "transformer.");
  check_renamed("qwen2_math_rm", "model.", "");
  check_renamed("llama_one_logit", "", "module.");
}

TEST_CASE("configurations of transformers 4 are read alike, and an unused lm_head changes nothing") {
  for (const std::string name : {"qwen2_score", "llama_two_labels", "qwen2_math_rm"}) {
    Json document = read_json(golden() / (name + ".json"));
    Json& config = document.at("config");
    config["rope_theta"] = config.at("rope_parameters").at("rope_theta");
    config.erase("rope_parameters");
    if (config.contains("dtype")) config["torch_dtype"] = config.at("dtype");
    config.erase("dtype");
    if (config.contains("id2label")) config["num_labels"] = config.at("id2label").size();
    const TemporaryDirectory directory;
    publish(name, document, directory / "m");
    const std::vector<float> table(40 * 8, 0.5f);
    const fs::path shard = directory / "m" / "model-00003-of-00003.safetensors";
    write_safetensors(shard, std::vector<TensorSource>{{"lm_head.weight", {40, 8}, table.data()}});
    Json index = read_json(directory / "m" / "model.safetensors.index.json");
    index.at("weight_map")["lm_head.weight"] = shard.filename().string();
    write_json(directory / "m" / "model.safetensors.index.json", index);
    check_case<ReferenceBackend<float>>(name, document, directory / "m");
  }
}

TEST_CASE("a published tensor that the model's head has no place for is an error, not left out") {
  const Json document = read_json(golden() / "mistral_grm.json");
  const TemporaryDirectory directory;
  publish("mistral_grm", document, directory / "m");
  using Model = RewardModel<Llama, ScalarHead, RegressionLoss<>, ReferenceBackend<float>>;
  Model model({.backbone = read_backbone_config<Llama>(directory / "m")});
  CHECK_THROWS_WITH_AS(
      load_model_parameters(
          directory / "m", model,
          {.names = {{"score.weight", "v_head.summary.weight"}, {"score.bias", "v_head.summary.bias"}}}),
      doctest::Contains("the head has a tensor \"v_head.summary.bias\", but the model's head has no "
                        "\"score.bias\" for it"),
      DataError);
}

}  // namespace published_models_test
