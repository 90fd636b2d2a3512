// The optimizer loop: shuffled records, one optimizer step at a time, each cut into forests that fit in
// memory.
#pragma once

#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <ranges>
#include <span>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/forest/pack_by_budget.hpp"
#include "merit/optim/any_optimizer.hpp"
#include "merit/optim/schedule.hpp"
#include "merit/train/sampling.hpp"
#include "merit/train/step_accuracy.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The numbers of a training run.
struct TrainOptions {
  Index epochs = 1;       // one is usual for reward models: more overfits (Ouyang et al. 2022)
  Index batch_size = 16;  // records in an optimizer step
  /// Tokens in a forest, after sharing: bounds memory, does not change the gradient.
  Index micro_batch_tokens = 8192;
  double max_gradient_norm = 1;  // of all gradients together; 0: no clipping
  AnyOptimizer optimizer = AdamW{};
  Schedule schedule = {};
  std::uint64_t seed = 0;  // of the order of records
  Sharing sharing = Sharing::yes;

  void validate() const {
    const auto positive = [](const char* field, Index value) {
      if (value == 0) throw ConfigError(detail::concat("training: ", field, " is 0, expected at least 1"));
    };
    positive("epochs", epochs);
    positive("batch_size", batch_size);
    positive("micro_batch_tokens", micro_batch_tokens);
    if (!(max_gradient_norm >= 0)) {
      throw ConfigError(
          detail::concat("training: max_gradient_norm is ", max_gradient_norm, ", expected at least 0"));
    }
    merit::validate(optimizer);
    schedule.validate();
  }
};

/// What one optimizer step did.
struct StepReport {
  Index step = 0;   // from 1
  Index steps = 0;  // of the whole run
  Index epoch = 0;  // from 1
  double loss = 0;
  double accuracy = 0;       // of the step's own pairs or labels before the update; ties ½
  Index judged = 0;          // how many those were; 0 where the loss has no right and wrong
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;
  double seconds = 0;
  Index records = 0;
  Index micro_batches = 0;
  Index tokens = 0;                 // computed
  Index tokens_before_sharing = 0;  // in the records
};

enum class StopReason : std::uint8_t { finished, requested };

/// What a run calls, each where it is set.
struct TrainHooks {
  std::function<void(const StepReport&)> on_step = {};
  Index evaluate_every = 0;                          // steps; also after the last one
  std::function<bool(Index step)> on_evaluate = {};  // returns false to stop early
  Index checkpoint_every = 0;                        // steps
  std::function<void(Index step)> on_checkpoint = {};
  const std::atomic<bool>* stop = nullptr;  // set from a signal handler: ends after the current step
};

namespace detail {

/// Throws DataError that names the first tensor whose gradient is not finite, or else the loss.
template <class Backend>
[[noreturn]] void refuse_step(const Parameters<Backend>& parameters, const StepReport& report) {
  std::vector<typename Backend::Stat> tensor;
  for (const Index i : parameters.trained()) {
    tensor.resize(parameters.element_count(i));
    Backend::to_host(parameters.handle(), parameters.gradients().data + parameters.offset(i), tensor.data(),
                     tensor.size());
    Backend::wait(parameters.handle());
    for (const auto value : tensor) {
      if (std::isfinite(value)) continue;
      throw DataError(concat("step ", report.step, ": the gradient of '", parameters.spec(i).name, "' holds ",
                             value,
                             ", expected finite numbers; the model is unchanged. A lower learning rate "
                             "may help"));
    }
  }
  throw DataError(concat("step ", report.step, ": the loss is ", report.loss, " and the gradient's norm ",
                         report.gradient_norm, ", expected finite numbers; the model is unchanged"));
}

}  // namespace detail

/// Trains a model on examples held in memory.
///
/// The run is a pure function of (initial parameters, examples, options): the order of records follows from
/// the seed and the epoch, and the state of a run is the parameters, what the optimizer keeps, and the number
/// of steps made.
template <class Model, class Example>
class Trainer {
  static_assert(
      learns_from<typename Model::Targets, Example>,
      "merit: the Loss does not learn from this kind of example: expected an append_targets() for the "
      "Loss's Targets and the Example in merit/batch/targets.hpp or beside your own type.");

 public:
  using Backend = typename Model::BackendType;

  /// The model and the examples must outlive the trainer. Throws ConfigError, or DataError for an empty set.
  Trainer(Model& model, std::span<const Example> examples, const TrainOptions& options)
      : model_(&model),
        examples_(examples),
        options_(options),
        optimizer_(bind_optimizer(options.optimizer, model.parameters())) {
    options.validate();
    if (examples.empty()) throw DataError("there are no records to train on");
    costs_.reserve(examples.size());
    for (const Example& example : examples) costs_.push_back(shared_tokens(example));
    steps_per_epoch_ = (examples.size() + options.batch_size - 1) / options.batch_size;
  }

  Index steps() const { return steps_per_epoch_ * options_.epochs; }
  Index steps_done() const { return optimizer_->steps(); }
  bool finished() const { return steps_done() >= steps(); }

  /// One optimizer step over the next batch_size records. Throws DataError, before anything is changed, when
  /// the loss or gradient is not finite, naming the first such tensor.
  StepReport step() {
    const auto start = std::chrono::steady_clock::now();
    StepReport report;
    report.step = steps_done() + 1;
    report.steps = steps();
    report.epoch = steps_done() / steps_per_epoch_ + 1;
    report.learning_rate = options_.schedule.rate(steps_done(), steps());

    auto normaliser = build_batches(report);
    require_weight(normaliser, report.step);
    model_->begin_step();
    RightCount right;
    for (Index m = 0; m < report.micro_batches; ++m) {
      const BatchBuilder<Model>& batch = *batches_[m];
      report.loss += model_->accumulate(batch.forest(), batch.targets(), normaliser);
      right += count_right(batch.targets(), model_->scores(), model_->outputs());
    }
    model_->end_step();
    report.accuracy = right.share();
    report.judged = right.counted;

    Parameters<Backend>& parameters = model_->parameters();
    report.gradient_norm =
        std::sqrt(Backend::sum_of_squares(parameters.handle(), std::as_const(parameters).gradients()));
    if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm))
      detail::refuse_step(parameters, report);
    const bool clip = options_.max_gradient_norm > 0 && report.gradient_norm > options_.max_gradient_norm;
    optimizer_->update(report.learning_rate, clip ? options_.max_gradient_norm / report.gradient_norm : 1.0);
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  }

  /// Steps until the end, a stop request, or an evaluation that asks to stop.
  StopReason run(const TrainHooks& hooks = {}) {
    while (!finished()) {
      if (hooks.stop != nullptr && hooks.stop->load()) return StopReason::requested;
      const StepReport report = step();
      if (hooks.on_step) hooks.on_step(report);
      const auto due = [&](Index every) { return every != 0 && report.step % every == 0; };
      if (hooks.on_evaluate && (due(hooks.evaluate_every) || finished()) && !hooks.on_evaluate(report.step)) {
        return StopReason::requested;
      }
      // After the evaluation, so that a run that goes on from the checkpoint has not missed one.
      if (hooks.on_checkpoint && due(hooks.checkpoint_every) && !finished()) hooks.on_checkpoint(report.step);
    }
    return StopReason::finished;
  }

  BoundOptimizer<Backend>& optimizer() { return *optimizer_; }
  const Model& model() const { return *model_; }
  const TrainOptions& options() const { return options_; }
  std::span<const Example> examples() const { return examples_; }

 private:
  /// Builds the step's forests; the sum of their normalisers.
  typename Model::Normaliser build_batches(StepReport& report) {
    const Index epoch = report.epoch - 1;
    if (order_.empty() || order_epoch_ != epoch) {
      order_ = epoch_order(examples_.size(), options_.seed, epoch);
      order_epoch_ = epoch;
    }
    const Index begin = (steps_done() % steps_per_epoch_) * options_.batch_size;
    report.records = std::min(options_.batch_size, examples_.size() - begin);
    step_costs_.clear();
    for (Index i = begin; i < begin + report.records; ++i) step_costs_.push_back(costs_[order_[i]]);
    pack_by_budget(step_costs_, options_.micro_batch_tokens, cuts_);
    report.micro_batches = cuts_.size() - 1;
    while (batches_.size() < report.micro_batches) {
      batches_.push_back(std::make_unique<BatchBuilder<Model>>(*model_, options_.sharing));
    }
    typename Model::Normaliser normaliser{};
    for (Index m = 0; m < report.micro_batches; ++m) {
      BatchBuilder<Model>& batch = *batches_[m];
      batch.clear();
      for (Index i = cuts_[m]; i < cuts_[m + 1]; ++i) batch.add(examples_[order_[begin + i]]);
      batch.finish();
      normaliser += model_->loss().normaliser(batch.targets());
      report.tokens += batch.token_count();
      report.tokens_before_sharing += batch.tokens_before_sharing();
    }
    return normaliser;
  }

  /// A step without anything to learn from, such as one of ties alone, has no gradient. A whole epoch of them
  /// is an error.
  void require_weight(typename Model::Normaliser& normaliser, Index step) {
    if (!is_finite(normaliser)) {
      throw DataError(detail::concat("step ", step, ": the weights of its records are not finite"));
    }
    empty_steps_ = is_positive(normaliser) ? 0 : empty_steps_ + 1;
    if (empty_steps_ == steps_per_epoch_) {
      throw DataError(
          detail::concat("step ", step, ": the weights of the last ", empty_steps_ * options_.batch_size,
                         " records, a whole epoch, sum to 0, expected more: there is nothing to learn"));
    }
  }

  Model* model_;
  std::span<const Example> examples_;
  TrainOptions options_;
  std::unique_ptr<BoundOptimizer<Backend>> optimizer_;
  std::vector<Index> costs_;  // tokens after sharing of each example
  Index steps_per_epoch_ = 0;
  std::vector<Index> order_;
  Index order_epoch_ = 0;
  Index empty_steps_ = 0;
  std::vector<Index> step_costs_;
  std::vector<Index> cuts_;
  std::vector<std::unique_ptr<BatchBuilder<Model>>> batches_;  // one a micro-batch, reused
};

/// `Trainer trainer(model, examples, options)` for a vector, a span, an array of examples.
template <class Model, std::ranges::contiguous_range Examples>
Trainer(Model&, const Examples&, const TrainOptions&) -> Trainer<Model, std::ranges::range_value_t<Examples>>;

}  // namespace MERIT_ABI
}  // namespace merit
