// A training run on disk: the model's checkpoint directory with the optimizer's state beside the weights. A
// run that goes on from it makes the same bits as one that never stopped.
#pragma once

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "merit/comm/comm.hpp"
#include "merit/core/buffer.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/safetensors.hpp"
#include "merit/io/write_safetensors.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/policy_json.hpp"
#include "merit/train/trainer.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

inline constexpr const char* run_file = "training.json";
inline constexpr const char* optimizer_file = "optimizer.safetensors";

/// The parts of a run's identity that a model and its examples have, as text where they are types.
struct RunParts {
  Json backbone, head, loss;
  Index frozen_layers = 0;  // which config.json does not hold
  Json adapter = {};        // null: none
  Index examples = 0;
  std::string fingerprint;
  std::string_view precision, backend;
};

Json identity_of(const RunParts& parts, const TrainOptions& options);

/// 0 for a backbone that has no layers to freeze.
template <class Backbone>
Index frozen_layers_of(const Backbone& backbone) {
  const auto own = [](const auto& one) -> Index {
    if constexpr (requires { one.frozen_layers; }) {
      return one.frozen_layers;
    } else {
      return 0;
    }
  };
  if constexpr (std::is_convertible_v<const Backbone&, BackboneConfig>) {
    const BackboneConfig& any = backbone;
    return std::visit(own, any);
  } else {
    return own(backbone);
  }
}

/// Everything that must be the same for a run to go on. Not in it is what moves no gradient: the threads, and
/// how many tokens are computed at once.
template <class Model, class Example>
Json run_identity(const Trainer<Model, Example>& trainer) {
  const auto& model = trainer.model().config();
  const RunParts parts{.backbone = backbone_config_json(model.backbone),
                       .head = policy_json(model.head),
                       .loss = policy_json(model.loss),
                       .frozen_layers = frozen_layers_of(model.backbone),
                       .adapter = model.adapters.empty() ? Json() : lora_json(model.adapters.front().lora),
                       .examples = trainer.example_count(),
                       .fingerprint = trainer.fingerprint(),
                       .precision = name_of(dtype_of<typename Model::BackendType::Stat>()),
                       .backend = Model::BackendType::name()};
  return identity_of(parts, trainer.options());
}

/// A tensor of the optimizer's in host memory.
template <class T>
struct KeptTensor {
  std::string name;
  std::vector<Index> shape;
  Buffer<T> values;
};

/// All that the optimizers of all ranks keep, on rank 0; elsewhere nothing. All ranks call it.
template <class Backend>
std::vector<KeptTensor<typename Backend::Stat>> gather_optimizer(Comm& comm,
                                                                 const Parameters<Backend>& parameters,
                                                                 BoundOptimizer<Backend>& optimizer) {
  using T = typename Backend::Stat;
  std::vector<KeptTensor<T>> own;
  Json list = Json::array();
  for (OptimizerTensor<Backend>& tensor : optimizer.state()) {
    Buffer<T> host(tensor.values.size);
    Backend::to_host(parameters.handle(), static_cast<const T*>(tensor.values.data), host.data(),
                     host.size());
    list.push_back({{"name", tensor.name}, {"shape", tensor.shape}});
    own.push_back({std::move(tensor.name), std::move(tensor.shape), std::move(host)});
  }
  Backend::wait(parameters.handle());
  if (comm.size() == 1) return own;

  const std::vector<std::string> lists = gather_texts(comm, json_text(list, "what the optimizer keeps"));
  std::vector<std::vector<KeptTensor<T>>> of_rank(comm.size());
  Index rounds = 0;
  for (Index r = 0; r < comm.size(); ++r) {
    const Json tensors = Json::parse(lists[r]);
    rounds = std::max(rounds, Index{tensors.size()});
    if (comm.rank() != 0) continue;
    for (const Json& tensor : tensors) {
      std::vector<Index> shape = tensor["shape"];
      Index count = 1;
      for (const Index extent : shape) count *= extent;
      of_rank[r].push_back({tensor["name"], std::move(shape), Buffer<T>(r == 0 ? 0 : count)});
    }
  }
  for (Index n = 0; n < rounds; ++n) {  // one tensor of each rank at a time
    std::vector<std::span<const std::byte>> out(comm.size());
    std::vector<std::span<std::byte>> in(comm.size());
    if (n < own.size() && comm.rank() != 0)
      out[0] = std::as_bytes(std::span<const T>(std::as_const(own[n].values).data(), own[n].values.size()));
    for (Index r = 1; r < comm.size(); ++r)
      if (n < of_rank[r].size())
        in[r] =
            std::as_writable_bytes(std::span<T>(of_rank[r][n].values.data(), of_rank[r][n].values.size()));
    comm.exchange(out, in);
  }
  if (comm.rank() != 0) return {};
  for (std::vector<KeptTensor<T>>& others : of_rank) {
    if (&others == &of_rank[0]) continue;
    for (KeptTensor<T>& tensor : others) own.push_back(std::move(tensor));
  }
  return own;
}

/// What the optimizer keeps, beside the weights, and where the run stands.
template <class T>
void write_run(const std::filesystem::path& directory, const std::vector<KeptTensor<T>>& kept,
               const Json& state) {
  std::vector<TensorSource> tensors;
  for (const KeptTensor<T>& tensor : kept)
    tensors.push_back({tensor.name, tensor.shape, tensor.values.data()});
  write_safetensors(directory / optimizer_file, tensors);
  write_json(directory / run_file, state);
}

/// All ranks call it, and rank 0 writes.
template <class Backend>
void save_run_files(const std::filesystem::path& directory, Comm& comm, const Parameters<Backend>& parameters,
                    const ModelFiles& files, BoundOptimizer<Backend>& optimizer, Index steps,
                    const Json& identity, const Json& notes, const SaveOptions& options) {
  const auto kept = gather_optimizer(comm, parameters, optimizer);
  if (comm.rank() != 0) return;
  AtomicDirectory atomic(directory, "merit.json");
  write_files(atomic.staging(), parameters, files, options);
  write_run(atomic.staging(), kept,
            {{"step", optimizer.steps()}, {"steps", steps}, {"run", identity}, {"notes", notes}});
  atomic.commit();
}

/// Where a run is another than `expected`, one sentence each.
std::vector<std::string> run_differences(Json found, const Json& expected);

/// The steps that the run in `directory` has made. Throws ConfigError that lists where it is another run than
/// `expected`, DataError where it is further than `steps`.
Index read_run(const std::filesystem::path& directory, const Json& expected, Index steps);

/// What write_run wrote of the optimizer, in host memory: all of it is read before any of it is set.
template <class Backend>
class SavedOptimizer {
 public:
  SavedOptimizer(const std::filesystem::path& directory, BoundOptimizer<Backend>& optimizer)
      : tensors_(optimizer.state()) {
    const SafetensorsFile file(directory / optimizer_file);
    for (const OptimizerTensor<Backend>& tensor : tensors_) {
      const std::vector<Index>& found = file.at(tensor.name).shape;
      if (found != tensor.shape) {
        throw DataError(concat(file.path().string(), ": tensor ", quote(tensor.name), " has shape ",
                               shape_text(found), ", expected ", shape_text(tensor.shape)));
      }
      values_.emplace_back(tensor.values.size);
      file.read(tensor.name, values_.back().view());
      if (is_mean_of_squares(tensor.name)) require_not_negative(file, tensor.name);
    }
  }
  void set(typename Backend::Handle& handle) const {
    for (Index i = 0; i < tensors_.size(); ++i)
      Backend::from_host(handle, values_[i].data(), tensors_[i].values.data, values_[i].size());
    Backend::wait(handle);
  }

 private:
  /// A mean of squares is no number below 0: its root would be none.
  static bool is_mean_of_squares(std::string_view name) {
    for (const std::string_view prefix : {"second_moment.", "row_moment.", "column_moment."}) {
      if (name.starts_with(prefix)) return true;
    }
    return false;
  }
  void require_not_negative(const SafetensorsFile& file, const std::string& name) const {
    for (const auto value : values_.back().view()) {
      if (value >= 0) continue;
      throw DataError(concat(file.path().string(), ": tensor ", quote(name), " holds ", value,
                             ", a mean of squares, expected numbers of at least 0"));
    }
  }

  std::vector<OptimizerTensor<Backend>> tensors_;
  std::vector<Buffer<typename Backend::Stat>> values_;
};

}  // namespace detail

/// Replaces `directory` by the model's checkpoint and the run's state. Killed at any moment, the old one or
/// the new one is there, complete. `notes` is what the calling program wants back from read_run_notes(). Of several ranks
/// all call it, and rank 0 writes all of it: the run may go on with any number of them.
template <class Model, class Example>
void save_run(const std::filesystem::path& directory, Model& model, Trainer<Model, Example>& trainer,
              const ModelCard& card, const Json& notes = Json::object(), const SaveOptions& options = {}) {
  detail::save_run_files(directory, trainer.comm(), model.parameters(),
                         detail::files_of(model, card, options), trainer.optimizer(), trainer.steps(),
                         detail::run_identity(trainer), notes, options);
}

/// True if `directory` holds a run that has not ended.
inline bool has_run(const std::filesystem::path& directory) {
  recover_directory(directory);
  return file_exists(directory / detail::run_file);
}

/// The `notes` of the run that save_run left in `directory`.
Json read_run_notes(const std::filesystem::path& directory);

/// Puts a run back where save_run left it. `trainer` must have been made with the same options and examples,
/// otherwise a ConfigError names what differs. Returns the number of steps already made.
template <class Model, class Example>
Index resume_run(const std::filesystem::path& directory, Model& model, Trainer<Model, Example>& trainer) {
  recover_directory(directory);
  const Index step = detail::read_run(directory, detail::run_identity(trainer), trainer.steps());
  const detail::SavedOptimizer optimizer(directory, trainer.optimizer());
  load_model_parameters(directory, model);
  optimizer.set(model.parameters().handle());
  trainer.optimizer().set_steps(step);
  return step;
}

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/train/checkpoint_body.hpp"
#endif
