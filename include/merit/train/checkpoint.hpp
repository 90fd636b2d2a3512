// A training run on disk: the model's checkpoint directory with the optimizer's state beside the weights. A
// run that goes on from it makes the same bits as one that never stopped.
#pragma once

#include <bit>
#include <filesystem>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/hash.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/train/trainer.hpp"

namespace merit::inline MERIT_ABI {
namespace detail {

inline constexpr const char* run_file = "training.json";
inline constexpr const char* optimizer_file = "optimizer.safetensors";

/// A number that changes when the examples or their order in memory do. Hexadecimal, as JSON numbers lose
/// bits.
template <class Example>
std::string fingerprint(std::span<const Example> examples) {
  std::uint64_t hash = fnv1a("examples");
  const auto mix = [&hash](std::uint64_t value) {
    for (int byte = 0; byte < 8; ++byte) hash = (hash ^ ((value >> (8 * byte)) & 0xFF)) * 0x100000001B3u;
  };
  const auto mix_sequence = [&](const Sequence& sequence) {
    mix(sequence.tokens.size());
    mix(sequence.completion_begin);
    for (const Token token : sequence.tokens) mix(token);
    mix(sequence.step_ends.size());
    for (const Index end : sequence.step_ends) mix(end);
    for (const float value : sequence.features) mix(std::bit_cast<std::uint32_t>(value));
  };
  for (const Example& example : examples) {
    for_each_sequence(example, mix_sequence);
    for_each_number(example, [&](double value) { mix(std::bit_cast<std::uint64_t>(value)); });
  }
  std::ostringstream text;
  text << std::hex << hash;
  return text.str();
}

/// Everything that must be the same for a run to go on.
template <class Model, class Example>
Json run_identity(const Trainer<Model, Example>& trainer) {
  const TrainOptions& options = trainer.options();
  const auto& model = trainer.model().config();
  Index frozen_layers = 0;  // which config.json does not hold
  if constexpr (requires { model.backbone.frozen_layers; }) frozen_layers = model.backbone.frozen_layers;
  return {{"backbone", backbone_config_json(model.backbone)},
          {"frozen_layers", frozen_layers},
          {"head", policy_json(model.head)},
          {"loss", policy_json(model.loss)},
          {"examples", trainer.examples().size()},
          {"fingerprint", fingerprint(trainer.examples())},
          {"epochs", options.epochs},
          {"batch_size", options.batch_size},
          {"micro_batch_tokens", options.micro_batch_tokens},
          {"max_gradient_norm", options.max_gradient_norm},
          {"seed", options.seed},
          {"sharing", options.sharing == Sharing::yes},
          {"beta1", options.optimizer.beta1},
          {"beta2", options.optimizer.beta2},
          {"epsilon", options.optimizer.epsilon},
          {"weight_decay", options.optimizer.weight_decay},
          {"learning_rate", options.schedule.peak},
          {"warmup", options.schedule.warmup},
          {"decay", std::string(name_of(options.schedule.decay))},
          {"floor", options.schedule.floor},
          {"precision", std::string(name_of(dtype_of<typename Model::BackendType::Scalar>()))},
          {"backend", std::string(Model::BackendType::name())}};
}

}  // namespace detail

/// Replaces `directory` by the model's checkpoint and the run's state. Killed at any moment, the old one or
/// the new one is there, complete. `notes` is what the calling program wants back from read_run_notes().
template <class Model, class Example>
void save_run(const std::filesystem::path& directory, Model& model, Trainer<Model, Example>& trainer,
              const ModelCard& card, const Json& notes = Json::object(), const SaveOptions& options = {}) {
  using Backend = typename Model::BackendType;
  using T = typename Backend::Scalar;
  AtomicDirectory atomic(directory, "merit.json");
  write_model(atomic.staging(), model, card, options);

  const auto& parameters = model.parameters();
  std::vector<Buffer<T>> blocks;
  std::vector<TensorSource> tensors;
  for (const auto& [prefix, moments] : {std::pair{"first_moment.", trainer.optimizer().first_moments()},
                                        std::pair{"second_moment.", trainer.optimizer().second_moments()}}) {
    Buffer<T> host(moments.size);
    Backend::to_host(model.handle(), moments.data, host.data(), host.size());
    for (Index i = 0; i < parameters.tensor_count(); ++i) {
      const T* data = host.data() + parameters.offset(i);
      tensors.push_back({prefix + parameters.spec(i).name, parameters.spec(i).shape, data});
    }
    blocks.push_back(std::move(host));
  }
  write_safetensors(atomic.staging() / detail::optimizer_file, tensors);
  write_json(atomic.staging() / detail::run_file, {{"step", trainer.steps_done()},
                                                   {"steps", trainer.steps()},
                                                   {"run", detail::run_identity(trainer)},
                                                   {"notes", notes}});
  atomic.commit();
}

/// True if `directory` holds a run that has not ended.
inline bool has_run(const std::filesystem::path& directory) {
  recover_directory(directory);
  std::error_code ignored;
  return std::filesystem::exists(directory / detail::run_file, ignored);
}

/// The `notes` of the run that save_run left in `directory`.
inline Json read_run_notes(const std::filesystem::path& directory) {
  recover_directory(directory);
  const std::filesystem::path file = directory / detail::run_file;
  return optional<Json>(read_json(file), "notes", file.string()).value_or(Json::object());
}

/// Puts a run back where save_run left it. `trainer` must have been made with the same options and examples,
/// otherwise a ConfigError names what differs. Returns the number of steps already made.
template <class Model, class Example>
Index resume_run(const std::filesystem::path& directory, Model& model, Trainer<Model, Example>& trainer) {
  using Backend = typename Model::BackendType;
  using T = typename Backend::Scalar;
  recover_directory(directory);
  const std::filesystem::path file = directory / detail::run_file;
  const Json state = read_json(file);
  const Json expected = detail::run_identity(trainer);
  const Json found = require<Json>(state, "run", file.string());
  std::vector<std::string> differences;
  detail::list_differences("run", found, expected, differences);
  if (!differences.empty()) {
    std::string text;
    for (const std::string& difference : differences) text += (text.empty() ? "" : "; ") + difference;
    throw ConfigError(detail::concat(file.string(), ": this run was started otherwise: ", text,
                                     ". Give the same data and options to go on with it"));
  }
  const Index step = require<Index>(state, "step", file.string());
  if (step > trainer.steps()) {
    throw DataError(
        detail::concat(file.string(), ": field \"step\" is ", step, ", expected at most ", trainer.steps()));
  }

  const auto& parameters = model.parameters();
  const SafetensorsFile moments(directory / detail::optimizer_file);
  Buffer<T> first(parameters.size());
  Buffer<T> second(parameters.size());
  for (Index i = 0; i < parameters.tensor_count(); ++i) {
    const VectorView<T> first_view(first.data() + parameters.offset(i), parameters.element_count(i));
    const VectorView<T> second_view(second.data() + parameters.offset(i), parameters.element_count(i));
    moments.read(detail::concat("first_moment.", parameters.spec(i).name), first_view);
    moments.read(detail::concat("second_moment.", parameters.spec(i).name), second_view);
  }
  load_model_parameters(directory, model);
  Backend::from_host(model.handle(), first.data(), trainer.optimizer().first_moments().data, first.size());
  Backend::from_host(model.handle(), second.data(), trainer.optimizer().second_moments().data, second.size());
  trainer.optimizer().set_steps(step);
  return step;
}

}  // namespace merit::inline MERIT_ABI
