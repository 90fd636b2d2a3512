// A model of the compiled set behind one interface: to be trained, measured, saved and scored with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "merit/batch/targets.hpp"
#include "merit/comm/comm.hpp"
#include "merit/forest/example.hpp"
#include "merit/infer/score.hpp"
#include "merit/model/adapter_shelf.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/lora.hpp"
#include "merit/model/model_card.hpp"
#include "merit/run/any_backbone.hpp"
#include "merit/run/any_session.hpp"
#include "merit/run/any_targets.hpp"
#include "merit/run/backend_choice.hpp"
#include "merit/run/model_set.hpp"
#include "merit/train/stored_examples.hpp"
#include "merit/train/train_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

// ---- What models learn from and score ---

/// All examples of a set, which are of one kind.
using Examples =
    std::variant<std::vector<PreferenceExample>, std::vector<RankingExample>, std::vector<OutcomeExample>,
                 std::vector<StepsExample>, std::vector<RolloutExample>>;

inline Index size_of(const Examples& examples) {
  return std::visit([](const auto& list) { return list.size(); }, examples);
}

/// The same in a file, of a set that is larger than memory: to be trained on.
using StoredExampleSet = std::variant<StoredExamples<PreferenceExample>, StoredExamples<RankingExample>,
                                      StoredExamples<OutcomeExample>, StoredExamples<StepsExample>,
                                      StoredExamples<RolloutExample>>;

/// Sequences to be scored together as one tree, so that what they share is computed once.
struct Family {
  std::vector<const Sequence*> members;
};
template <class F>
void for_each_sequence(const Family& family, const F& f) {
  for (const Sequence* sequence : family.members) f(*sequence);
}

/// What a model says of a set.
struct ScoredSet {
  std::vector<RowScores> rows;  // of every sequence of every example, in order
  std::optional<double> loss;   // the model's own, if it learns from this kind
};

/// What a model is made of besides its backbone.
struct ModelSettings {
  AnyHead head;
  AnyLoss loss;
  BackendChoice backend = BackendChoice::eigen;
  int threads = 0;                 // 0: all
  int device = 0;                  // for a backend on GPUs: which of them, modulo their number
  std::string product_plans = {};  // as of ThrustBackend; other backends choose nothing by timing
  std::uint64_t seed = 0;
  Initial initial = Initial::drawn;
  bool scores_only = false;
  std::vector<Adapter> adapters = {};  // as of RewardModel
};

/// What a model holds, in bytes.
struct ModelMemory {
  Index weights = 0;    // as they are held, also where that is in a file's memory
  Index gradients = 0;  // of what is trained
  Index working = 0;    // activations and their gradients, of the largest batch so far
  // Of that what one layer's activations take, and what of them a layer keeps that is recomputed.
  Index layer = 0, layer_recomputed = 0;
};

/// One run of training. Its model and examples must outlive it.
class AnyRun {
 public:
  virtual ~AnyRun() = default;
  virtual Index steps() const = 0;
  virtual Index steps_per_epoch() const = 0;
  virtual Index steps_done() const = 0;
  /// What the optimizer keeps between steps, in bytes.
  virtual Index optimizer_bytes() = 0;
  bool finished() const { return steps_done() >= steps(); }
  virtual StopReason run(const TrainHooks& hooks) = 0;
  virtual void save(const std::filesystem::path& directory, const ModelCard& card, const Json& notes,
                    const SaveOptions& options) = 0;
  virtual void resume(const std::filesystem::path& directory) = 0;
  /// What must be the same for a run to go on: data, options, the model's settings.
  virtual Json identity() const = 0;
};

// ---- The model ---

/// A model whose backbone, head, loss and backend are chosen at run time, made by make_model(). The library's
/// own batches and scoring take it as they take a RewardModel, and are compiled once for all of them, its
/// trainer and checkpoints once for each backend (AnyModelOn); a head and a loss have a few functions to
/// themselves.
class AnyModel {
 public:
  using BackboneType = AnyBackbone;
  using HeadType = AnyHead;
  using LossType = AnyLoss;
  using Score = float;
  using Targets = AnyTargets;
  using Normaliser = AnyNormaliser;
  using Forest = ForestView<HostSpace>;

  struct Config {
    AnyBackbone backbone;
    AnyHead head;
    AnyLoss loss;
    std::vector<Adapter> adapters = {};  // as of RewardModel
  };

  virtual ~AnyModel() = default;

  virtual Index parameter_count() const = 0;
  virtual Index trained_parameter_count() const = 0;
  virtual ModelMemory memory() = 0;
  ScoreMeaning meaning() const { return meaning_of(config_.head); }
  /// One number of a completion's rows, which are one but for a head that says otherwise: the score, or what
  /// the head merges of its scores.
  double merged(std::span<const double> rows) const;

  /// See load_model_parameters() and save_model(). `described`: the card with head, loss and backbone in it.
  virtual LoadReport load(const std::filesystem::path& from, const LoadOptions& options) = 0;
  virtual void save(const std::filesystem::path& directory, const ModelCard& card,
                    const SaveOptions& options) = 0;
  ModelCard described(const ModelCard& card) const;

  /// Of a model made with several adapters and loaded from the first: all of them, of which use_adapter() then chooses.
  virtual void load_adapters(std::span<const AdapterPlace> places, const LoadOptions& options) = 0;
  virtual void use_adapter(const std::string& name) = 0;
  /// See merge_adapter() and unmerge_adapter() of model/adapter.hpp.
  virtual void merge_adapter() = 0;
  virtual void unmerge_adapter() = 0;

  /// The rows of every sequence of every family, in order.
  std::vector<RowScores> score_families(std::span<const Family> families, Index token_budget,
                                        const OnProgress& on_progress = {});
  /// See Session of infer/session.hpp. Throws ConfigError for a model that has none.
  virtual std::unique_ptr<AnySession> session(const SessionOptions& options = {}) = 0;
  /// Runs of train() and calls of measure() from here on are shared by these ranks, each of which makes the same calls with
  /// the same examples; null: the model is alone. Of measure() each has what one alone has, or the DataError of one. They
  /// must outlive the model, or be set anew before it is used again.
  void work_among(Comm* comm) { comm_ = comm; }
  /// Of a model that is alone a SoloComm.
  Comm& comm() { return comm_ == nullptr ? alone_ : *comm_; }
  /// The rows of every sequence of a set, and the loss where the model learns from its kind.
  ScoredSet measure(const Examples& examples, Index token_budget, const OnProgress& on_progress = {});
  /// Throws ConfigError for examples from which the model does not learn.
  std::unique_ptr<AnyRun> train(const Examples& examples, const TrainOptions& options);
  std::unique_ptr<AnyRun> train(const Examples&& examples, const TrainOptions& options) = delete;
  std::unique_ptr<AnyRun> train(const StoredExampleSet& examples, const TrainOptions& options);
  std::unique_ptr<AnyRun> train(const StoredExampleSet&& examples, const TrainOptions& options) = delete;

  const Config& config() const { return config_; }
  const AnyHead& head() const { return config_.head; }
  const AnyLoss& loss() const { return config_.loss; }
  bool wants_features() const { return config_.backbone.wants_features(); }
  Sight sight() const { return config_.backbone.sight(); }
  std::optional<Token> pair_separator() const { return config_.backbone.pair_separator(); }
  Normaliser normaliser(const Targets& targets) const;

  // As of RewardModel.
  virtual std::span<const float> score(const Forest& forest) = 0;
  virtual void begin_step() = 0;
  virtual void issue(const Forest& forest, const Targets& targets, const Normaliser& normaliser,
                     Index number) = 0;
  virtual double collect(Index number) = 0;
  virtual void end_step() = 0;
  virtual std::span<const float> scores() const = 0;
  virtual double loss_of_scored(const Targets& targets, const Normaliser& normaliser) = 0;
  virtual Index outputs() const = 0;
  virtual Index second_outputs() const = 0;

 protected:
  explicit AnyModel(Config config) : config_(std::move(config)) {}

 private:
  /// A run on examples from which the model learns.
  virtual std::unique_ptr<AnyRun> make_run(const Examples& examples, const TrainOptions& options) = 0;
  virtual std::unique_ptr<AnyRun> make_run(const StoredExampleSet& examples, const TrainOptions& options) = 0;

  Config config_;
  SoloComm alone_;
  Comm* comm_ = nullptr;
};

/// Has a model work among ranks for a while; null: among those that it has.
class WorkAmong {
 public:
  WorkAmong(AnyModel& model, Comm* comm) : model_(&model), before_(&model.comm()) {
    if (comm != nullptr) model.work_among(comm);
  }
  WorkAmong(const WorkAmong&) = delete;
  WorkAmong& operator=(const WorkAmong&) = delete;
  ~WorkAmong() { model_->work_among(before_); }

 private:
  AnyModel* model_;
  Comm* before_;
};

/// Targets of the loss's own kind, empty.
AnyTargets targets_for(const AnyModel& model);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/run/any_model_body.hpp"
#endif
