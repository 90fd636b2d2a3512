// A model of the compiled set on one backend: what is compiled once for each of them.
#pragma once

#include <filesystem>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/backend/thrust/nccl_comm.hpp"
#include "merit/infer/session.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/any_targets.hpp"
#include "merit/train/checkpoint.hpp"
#include "merit/train/trainer.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Ranks whose models are on GPUs reach each other over NCCL, where that is built in; null: by `host` alone, as always with
/// a fixed tree.
template <class Handle>
std::unique_ptr<Comm> comm_of_devices(Comm& host, Handle& handle, bool fixed_tree) {
  if constexpr (std::is_same_v<Handle, ThrustHandle<CudaSystem>>) {
    if (host.size() > 1 && !fixed_tree && NcclComm::is_available())
      return std::make_unique<NcclComm>(host, handle);
  }
  return nullptr;
}

template <class Model, class Example>
class TypedRun final : public AnyRun {
 public:
  /// A list of examples, or a source of them.
  template <class Examples>
  TypedRun(Model& model, const Examples& examples, const TrainOptions& options)
      : model_(model),
        comm_(comm_of_devices(model.comm(), model.parameters().handle(), options.fixed_tree)),
        trainer_(model, examples, options, comm_ != nullptr ? *comm_ : model.comm()) {}
  Index steps() const override { return trainer_.steps(); }
  Index steps_per_epoch() const override { return trainer_.steps_per_epoch(); }
  Index steps_done() const override { return trainer_.steps_done(); }
  Index optimizer_bytes() override {
    Index bytes = 0;
    for (const auto& tensor : trainer_.optimizer().state())
      bytes += tensor.values.size * sizeof(typename Model::BackendType::Stat);
    return bytes;
  }
  StopReason run(const TrainHooks& hooks) override { return trainer_.run(hooks); }
  void save(const std::filesystem::path& directory, const ModelCard& card, const Json& notes,
            const SaveOptions& options) override {
    save_run(directory, model_, trainer_, card, notes, options);
  }
  void resume(const std::filesystem::path& directory) override { resume_run(directory, model_, trainer_); }
  Json identity() const override { return run_identity(trainer_); }

 private:
  Model& model_;
  std::unique_ptr<Comm> comm_;
  Trainer<Model, Example> trainer_;
};

template <class Model>
class TypedSession final : public AnySession {
 public:
  TypedSession(Model& model, const SessionOptions& options) : session_(model, options) {}
  std::vector<SessionNode> extend(std::span<const SessionBranch> branches) override {
    return session_.extend(branches);
  }
  std::vector<SessionNode> extend_whole(std::span<const SessionBranch> paths) override {
    return session_.extend_whole(paths);
  }
  std::span<const float> scores() const override { return session_.scores(); }
  std::span<const float> scores_at(std::span<const SessionNode> nodes) override {
    return session_.scores_at(nodes);
  }
  std::vector<RowScores> score_rows(const SessionNode& node, std::span<const Sequence> sequences) override {
    return session_.score_rows(node, sequences);
  }
  std::vector<RowScores> score_whole_rows(const SessionNode& node,
                                          std::span<const Sequence> sequences) override {
    return session_.score_whole_rows(node, sequences);
  }
  std::vector<RowScores> score_families(std::span<const SessionFamily> families,
                                        std::vector<SessionNode>& nodes) override {
    return session_.score_families(families, nodes);
  }
  void release(const SessionNode& node) override { session_.release(node); }
  void disown(const SessionNode& node) override { session_.disown(node); }
  bool holds(const SessionNode& node) const override { return session_.holds(node); }
  bool is_kept(const SessionNode& node) const override { return session_.is_kept(node); }
  Index length(const SessionNode& node) const override { return session_.length(node); }
  std::vector<Token> tokens(const SessionNode& node) const override { return session_.tokens(node); }
  SessionCounts counts() const override { return session_.counts(); }

 private:
  Session<Model> session_;
};

}  // namespace detail

/// The library's trainer and checkpoints take it as they take a RewardModel.
template <class B>
class AnyModelOn : public AnyModel {
 public:
  using BackendType = B;

  using AnyModel::score;
  /// As of RewardModel: a step of a session.
  virtual std::span<const float> score(const Forest& forest, EarlierTokens<B>& earlier) = 0;
  virtual Parameters<B>& parameters() = 0;
  virtual const Parameters<B>& parameters() const = 0;

  Index parameter_count() const final { return parameters().elements(); }
  Index trained_parameter_count() const final {
    Index count = 0;
    for (const Index i : parameters().trained()) count += parameters().element_count(i);
    return count;
  }
  ModelMemory memory() final {
    const Parameters<B>& held = std::as_const(*this).parameters();
    const Working now = working();
    ModelMemory memory{.gradients = held.size() * sizeof(typename B::Stat),
                       .working = now.held,
                       .layer = now.layer,
                       .layer_recomputed = now.layer_recomputed};
    for (Index i = 0; i < held.tensor_count(); ++i) {
      const bool is_set = held.is_set(i);
      memory.weights +=
          stored_bytes(is_set ? held.stored(i).dtype : dtype_of<typename B::Stat>(), held.element_count(i));
    }
    return memory;
  }
  LoadReport load(const std::filesystem::path& from, const LoadOptions& options) final {
    return load_model_parameters(from, *this, options);
  }
  void save(const std::filesystem::path& directory, const ModelCard& card, const SaveOptions& options) final {
    save_model(directory, *this, card, options);
  }

  std::unique_ptr<AnySession> session(const SessionOptions& options) final {
    return std::make_unique<detail::TypedSession<AnyModelOn>>(*this, options);
  }
  void load_adapters(std::span<const AdapterPlace> places, const LoadOptions& options) final {
    shelf_.load(parameters(), places, options);
  }
  void use_adapter(const std::string& name) final { shelf_.use(parameters(), name); }
  void merge_adapter() final { merit::merge_adapter(parameters()); }
  void unmerge_adapter() final { merit::unmerge_adapter(parameters()); }

 protected:
  explicit AnyModelOn(Config config) : AnyModel(std::move(config)) {}

  struct Working {
    Index held, layer, layer_recomputed;  // as of ModelMemory
  };

 private:
  virtual Working working() = 0;
  std::unique_ptr<AnyRun> make_run(const Examples& examples, const TrainOptions& options) final {
    return std::visit(
        [&]<class Example>(const std::vector<Example>& list) -> std::unique_ptr<AnyRun> {
          return std::make_unique<detail::TypedRun<AnyModelOn, Example>>(*this, list, options);
        },
        examples);
  }
  std::unique_ptr<AnyRun> make_run(const StoredExampleSet& examples, const TrainOptions& options) final {
    return std::visit(
        [&]<class Example>(const StoredExamples<Example>& list) -> std::unique_ptr<AnyRun> {
          return std::make_unique<detail::TypedRun<AnyModelOn, Example>>(*this, list, options);
        },
        examples);
  }

  AdapterShelf<B> shelf_;
};

/// What the targets of a model that is chosen at run time are, for its batches.
template <class B>
AnyTargets targets_for(const AnyModelOn<B>& model) {
  return targets_for(static_cast<const AnyModel&>(model));
}

}  // namespace MERIT_ABI
}  // namespace merit
