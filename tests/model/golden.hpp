// The comparison of a model with the values that transformers gave, for one backend. The values and how they
// were made: tests/golden/README.md.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/io/json.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/run/any_backbone.hpp"
#include "merit/testing/tolerance.hpp"
#include "packed.hpp"
#include "stored.hpp"

namespace merit_test {

/// The measure for everything here: the largest difference over the largest magnitude of the tensor, which
/// transformers' own fp32 arithmetic misses by up to 3e-6.
inline constexpr double golden_tolerance = 1e-5;

/// The directories of tests/golden that hold a model: those with a config.json.
inline std::vector<std::filesystem::path> golden_models() {
  std::vector<std::filesystem::path> models;
  for (const auto& entry : std::filesystem::directory_iterator(stored("."))) {
    if (std::filesystem::exists(entry.path() / "config.json")) models.push_back(entry.path());
  }
  std::sort(models.begin(), models.end());
  return models;
}

inline std::vector<std::vector<merit::Token>> golden_sequences(const merit::Json& expected) {
  std::vector<std::vector<merit::Token>> sequences;
  for (const merit::Json& row : expected.at("sequences")) {
    sequences.push_back(row.at("tokens").get<std::vector<merit::Token>>());
  }
  return sequences;
}

/// Copies a matrix of the backend's memory.
template <class Model>
std::vector<double> fetched(Model& model, merit::Var v) {
  using Backend = typename Model::BackendType;
  const auto value = model.tape().value(v);
  std::vector<typename Backend::Stat> host(value.rows * value.cols);
  Backend::to_host(model.handle(), value.data, host.data(), host.size());
  return {host.begin(), host.end()};
}

/// Compares rows of `found` (R, width) with a field of the expected sequences.
inline double row_error(const Packed& packed, const std::vector<double>& found, const merit::Json& sequences,
                        const char* field) {
  std::vector<double> ours, theirs;
  for (merit::Index s = 0; s < sequences.size(); ++s) {
    const auto want = sequences[s].at(field).is_array() ? sequences[s].at(field).get<std::vector<double>>()
                                                        : std::vector<double>{sequences[s].at(field)};
    theirs.insert(theirs.end(), want.begin(), want.end());
    const auto row = found.begin() + static_cast<std::ptrdiff_t>(packed.row(s) * want.size());
    ours.insert(ours.end(), row, row + static_cast<std::ptrdiff_t>(want.size()));
  }
  return merit::relative_error(ours, theirs);
}

template <class Model>
double hidden_error(Model& model, const Packed& packed, const merit::Json& expected) {
  model.tape().reset();
  model.tape().set_recording(false);
  const merit::Var hidden = model.backbone().forward(model.tape(), packed.view());
  return row_error(packed, fetched(model, hidden), expected.at("sequences"), "hidden");
}

/// A step over the stored pairs, which leaves its gradients, and its loss.
template <class Model>
void check_step(Model& model, const Packed& packed, const merit::Json& expected) {
  merit::PairTargets targets;
  for (const merit::Json& pair : expected.at("pairs")) {
    targets.pairs.push_back({packed.row(pair.at(0)), packed.row(pair.at(1))});
  }
  model.begin_step();
  const double loss = model.accumulate(packed.view(), targets, model.loss().normaliser(targets));
  model.end_step();
  CHECK(loss == doctest::Approx(expected.at("loss").get<double>()).epsilon(golden_tolerance));
}

/// As transformers calls a parameter of a model.
template <class Model>
std::string published_name(const Model& model, std::string name) {
  if (name.starts_with("score.")) name.replace(0, 5, merit::head_name_of(model.config().backbone));
  return name;
}

/// Scores, loss, last hidden rows and the gradient of every parameter, all sequences packed in one forest.
template <class Model>
void check_scalar_model(const std::filesystem::path& directory, Model& model, const merit::Json& expected) {
  using Backend = typename Model::BackendType;
  const merit::LoadReport report = merit::load_model_parameters(directory, model);
  CHECK(report.fresh.empty());
  CHECK(report.unexpected.empty());

  const Packed packed(golden_sequences(expected),
                      merit::ForestBuilder(merit::sharing_of(model), model.pair_separator()));
  const auto scores = model.score(packed.view());
  CHECK(row_error(packed, {scores.begin(), scores.end()}, expected.at("sequences"), "score") <
        golden_tolerance);
  CHECK(hidden_error(model, packed, expected) < golden_tolerance);

  if (expected.contains("with_pads")) {  // of a backbone that does not count their positions
    const merit::Json& texts = expected.at("with_pads");
    const Packed padded(golden_sequences({{"sequences", texts}}),
                        merit::ForestBuilder(merit::sharing_of(model), model.pair_separator()));
    const auto of_texts = model.score(padded.view());
    CHECK(row_error(padded, {of_texts.begin(), of_texts.end()}, texts, "score") < golden_tolerance);
  }

  check_step(model, packed, expected);

  const merit::SafetensorsFile gradients(directory / "gradients.safetensors");
  const auto& parameters = model.parameters();
  std::set<std::string> names;
  for (merit::Index i = 0; i < parameters.tensor_count(); ++i) {
    const merit::ParameterSpec& spec = parameters.spec(i);
    names.insert(spec.stored_in.present() ? spec.stored_in.tensor : published_name(model, spec.name));
  }
  CHECK(gradients.tensors().size() == names.size());
  std::vector<typename Backend::Stat> block(parameters.size());
  Backend::to_host(model.handle(), parameters.gradients().data, block.data(), block.size());
  const auto zero = expected.at("zero_gradients").get<std::vector<std::string>>();
  for (merit::Index i = 0; i < parameters.tensor_count(); ++i) {
    const std::string name = published_name(model, parameters.spec(i).name);
    INFO("gradient of ", name);
    std::vector<double> want(parameters.element_count(i));
    const merit::ParameterSpec& spec = parameters.spec(i);
    if (spec.stored_in.present()) {
      merit::detail::read_stored_rows(gradients, spec.stored_in.tensor, spec,
                                      merit::VectorView<double>(want));
    } else {
      gradients.read(name, merit::VectorView<double>(want));
    }
    const auto begin = block.begin() + static_cast<std::ptrdiff_t>(parameters.offset(i));
    const std::vector<double> found(begin, begin + static_cast<std::ptrdiff_t>(want.size()));
    if (std::find(zero.begin(), zero.end(), name) == zero.end()) {
      CHECK(merit::relative_error(found, want) < golden_tolerance);
    } else {  // terms of both signs that cancel: nothing but rounding is left
      for (const double g : found) CHECK(std::abs(g) < golden_tolerance);
    }
  }
}

/// Logits and last hidden rows of a language model.
template <class Model>
void check_language_model(const std::filesystem::path& directory, Model& model, const merit::Json& expected) {
  const merit::LoadReport report =
      merit::load_model_parameters(directory, model, {.allow_missing_head = true});
  CHECK(report.fresh == std::vector<std::string>{"score.weight"});
  CHECK(report.unexpected.empty());
  const Packed packed(golden_sequences(expected));
  CHECK(hidden_error(model, packed, expected) < golden_tolerance);
  auto& tape = model.tape();
  tape.reset();
  const merit::Var logits =
      merit::linear(tape, model.backbone().forward(tape, packed.view()), model.backbone().unembedding());
  CHECK(row_error(packed, fetched(model, logits), expected.at("sequences"), "logits") < golden_tolerance);
}

template <class Backend>
void check_golden(const std::filesystem::path& directory, merit::AnyBackbone backbone,
                  const merit::Json& expected) {
  using Model = merit::RewardModel<merit::AnyBackbone, merit::ScalarHead, merit::PairwiseLoss, Backend>;
  const bool scalar = expected.at("sequences").at(0).contains("score");
  if (expected.contains("separator")) {  // config.json does not hold it, but the tokenizer
    std::visit(
        [&](auto& one) {
          if constexpr (requires { one.separator; })
            one.separator = expected.at("separator").get<merit::Index>();
        },
        backbone.config);
  }
  if (!scalar) {
    std::visit(
        [](auto& one) {
          if constexpr (requires { one.unembedding; }) one.unembedding = true;
        },
        backbone.config);
  }
  Model model({.backbone = backbone, .head = {.bias = expected.value("head_bias", false)}});
  if (scalar) {
    check_scalar_model(directory, model, expected);
  } else {
    check_language_model(directory, model, expected);
  }
}

/// Every model of tests/golden. Returns how many were compared.
template <class Backend>
int check_all_golden() {
  int compared = 0;
  for (const std::filesystem::path& directory : golden_models()) {
    INFO("golden model ", directory.filename().string());
    const merit::Json expected = merit::read_json(directory / "expected.json");
    const merit::BackboneConfig config = merit::read_backbone_config(directory);
    check_golden<Backend>(directory, merit::AnyBackbone{config}, expected);
    ++compared;
  }
  return compared;
}

}  // namespace merit_test
