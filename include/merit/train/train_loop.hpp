// The optimizer loop of every model and kind of example: compiled once for a backend.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "merit/comm/comm.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/rng.hpp"
#include "merit/core/sizes.hpp"
#include "merit/tape/parameters.hpp"
#include "merit/train/micro_batches.hpp"
#include "merit/train/sampling.hpp"
#include "merit/train/step_accuracy.hpp"
#include "merit/train/step_exchange.hpp"
#include "merit/train/train_options.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Throws DataError that names the first tensor whose gradient is not finite, or else the loss. A rank looks at what it has
/// the sums of, and all throw the same.
template <class Backend>
[[noreturn]] void refuse_step(Comm& comm, const Parameters<Backend>& parameters, const OptimizerShard& shard,
                              const StepReport& report) {
  struct Found {
    Index tensor;
    double value;
  };
  const auto first_of = [&]() -> Found {
    std::vector<typename Backend::Stat> tensor;
    for (const Index i : tensors_of(parameters, shard)) {
      tensor.resize(parameters.element_count(i));
      Backend::to_host(parameters.handle(), parameters.gradients().data + parameters.offset(i), tensor.data(),
                       tensor.size());
      Backend::wait(parameters.handle());
      for (const auto value : tensor)
        if (!std::isfinite(value)) return {i, static_cast<double>(value)};
    }
    return {parameters.tensor_count(), 0};
  };
  Found first{parameters.tensor_count(), 0};
  for (const Found& one : gather_values(comm, first_of()))
    if (one.tensor < first.tensor) first = one;
  if (first.tensor < parameters.tensor_count()) {
    throw DataError(concat("step ", report.step, ": the gradient of '", parameters.spec(first.tensor).name,
                           "' holds ", first.value,
                           ", expected finite numbers; the model is unchanged. A lower learning rate "
                           "may help"));
  }
  throw DataError(concat("step ", report.step, ": the loss is ", report.loss, " and the gradient's norm ",
                         report.gradient_norm, ", expected finite numbers; the model is unchanged"));
}

/// What a micro-batch adds to a step's report.
struct BatchShare {
  double loss = 0;
  RightCount right;
  Index tokens = 0;
  Index tokens_before_sharing = 0;
};

/// What a step asks of a model and its examples. Two sets of micro-batches may be there, numbers 0 and 1: one that is
/// computed, and the next.
class StepWork {
 public:
  /// Whether what a step's losses are divided by is finite, and above 0.
  struct Weight {
    bool finite = true;
    bool positive = false;
  };

  virtual ~StepWork() = default;
  /// A set without micro-batches, from here on.
  virtual void begin_batches(Index set) = 0;
  /// Makes micro-batch number `batch` of these examples, and counts tokens in `share`.
  virtual void build(Index set, Index batch, std::span<const Index> examples, BatchShare& share) = 0;
  /// What all ranks' micro-batches together are divided by.
  virtual Weight weigh(Index set, Comm& comm) = 0;
  virtual void begin_step() = 0;
  /// Adds the gradient of a micro-batch: a device does it later.
  virtual void issue(Index set, Index batch) = 0;
  /// After the last: the share of the loss that a micro-batch has, and in `right` what it gets right.
  virtual double collect(Index set, Index batch, RightCount& right) = 0;
  virtual void end_step() = 0;
};

/// The ranks that a loop is given; without any nothing is set.
struct LoopRanks {
  Comm* comm = nullptr;
  /// Null for one rank without fixed_tree, which adds as it computes.
  std::unique_ptr<StepExchange> exchange = {};
  /// Throw ConfigError where ranks have not the same: before the first step, and before each run. Of one rank not set.
  std::function<void()> agree_on_start = {};
  std::function<void(const TrainHooks& hooks)> agree_on_hooks = {};
};

/// Shuffled records, one optimizer step at a time, each cut into micro-batches under a budget of tokens, which ranks share.
template <class Backend>
class TrainLoop {
 public:
  /// `costs`: tokens after sharing of each example. The parameters must outlive the loop.
  TrainLoop(Parameters<Backend>& parameters, const TrainOptions& options, std::vector<Index> costs,
            LoopRanks ranks)
      : parameters_(&parameters),
        options_(validated(options, ranks)),
        ranks_(std::move(ranks)),
        optimizer_(
            bind_optimizer(options.optimizer, parameters,
                           ranks_.exchange != nullptr ? ranks_.exchange->shard() : whole_shard(parameters))),
        costs_(std::move(costs)) {
    if (costs_.empty()) throw DataError("there are no records to train on");
    epoch_size_ = epoch_size(costs_.size(), options.parts);
    steps_per_epoch_ = epoch_size_ / options.batch_size + (epoch_size_ % options.batch_size != 0 ? 1 : 0);
    size_product(steps_per_epoch_, options.epochs, "training: steps of an epoch and epochs");
  }

  Index steps() const {
    return options_.max_steps != 0 ? options_.max_steps : steps_per_epoch_ * options_.epochs;
  }
  Index steps_per_epoch() const { return steps_per_epoch_; }
  Index steps_done() const { return optimizer_->steps(); }
  bool finished() const { return steps_done() >= steps(); }
  BoundOptimizer<Backend>& optimizer() { return *optimizer_; }
  const TrainOptions& options() const { return options_; }
  Comm& comm() { return ranks_.comm != nullptr ? *ranks_.comm : alone_; }

  StepReport step(StepWork& work) {
    const auto start = std::chrono::steady_clock::now();
    StepReport report;
    report.step = steps_done() + 1;
    report.steps = steps();
    report.epoch = steps_done() / steps_per_epoch_ + 1;
    report.learning_rate = options_.schedule.rate(steps_done(), steps());

    if (!std::exchange(agreed_, true) && ranks_.agree_on_start) ranks_.agree_on_start();
    round_weights(true);
    Plan& planned = plan_of(report.step);
    if (planned.step != report.step) plan(work, report.step);
    planned.step = 0;  // it serves once: what ranks gather takes the place of this one's
    report.records = planned.records;
    report.micro_batches = planned.batches.cuts.size() - 1;
    require_weight(work.weigh(set_of(report.step), comm()), report.step);
    work.begin_step();
    compute(work, report);
    work.end_step();
    report.gradient_norm = std::sqrt(
        ranks_.exchange != nullptr
            ? ranks_.exchange->sum_of_squares()
            : Backend::sum_of_squares(parameters_->handle(), std::as_const(*parameters_).gradients()));
    if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm))
      refuse_step(comm(), *parameters_, optimizer_->shard(), report);
    const bool clip = options_.max_gradient_norm > 0 && report.gradient_norm > options_.max_gradient_norm;
    optimizer_->update(report.learning_rate, clip ? options_.max_gradient_norm / report.gradient_norm : 1.0);
    if (ranks_.exchange != nullptr) ranks_.exchange->spread_values();
    round_weights(false);
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  }

  StopReason run(StepWork& work, const TrainHooks& hooks) {
    if (ranks_.agree_on_hooks) ranks_.agree_on_hooks(hooks);
    while (!finished()) {
      if (!all_of_ranks(hooks.stop == nullptr || !hooks.stop->load())) return StopReason::requested;
      const StepReport report = step(work);
      if (hooks.on_step) hooks.on_step(report);
      const auto due = [&](Index every) { return every != 0 && report.step % every == 0; };
      if (due(hooks.evaluate_every) || due(hooks.checkpoint_every) || finished()) require_finite(report);
      if ((due(hooks.evaluate_every) || finished()) &&
          !all_of_ranks(!hooks.on_evaluate || hooks.on_evaluate(report.step))) {
        return StopReason::requested;
      }
      // After the evaluation, so that a run that goes on from the checkpoint has not missed one.
      if (hooks.on_checkpoint && due(hooks.checkpoint_every) && !finished()) hooks.on_checkpoint(report.step);
    }
    return StopReason::finished;
  }

 private:
  static const TrainOptions& validated(const TrainOptions& options, const LoopRanks& ranks) {
    options.validate();
    if (options.stochastic_rounding && !narrow_activations<Backend>)
      throw ConfigError(concat(
          "training: stochastic_rounding is for weights that products read rounded, expected a backend "
          "with narrow activations, such as ThrustBackend<BFloat16, CudaSystem>, found ",
          Backend::name()));
    if (options.fixed_tree && ranks.exchange == nullptr)
      throw ConfigError(
          "training: fixed_tree is an order of sums over ranks, expected a trainer that is given them: one "
          "alone is a SoloComm");
    return options;
  }

  /// Before weights are judged or saved: a step too far leaves what the next one would find.
  void require_finite(const StepReport& report) const {
    if (std::isfinite(Backend::sum_of_squares(parameters_->handle(), std::as_const(*parameters_).values())))
      return;
    throw DataError(
        concat("step ", report.step,
               ": the weights are not finite after it: the training diverged at the learning rate ",
               report.learning_rate, ", expected a lower one"));
  }

  /// The micro-batches of a step. A device's host makes those of the next while this one is computed.
  struct Plan {
    Index step = 0;  // from 1; 0: of none
    Index records = 0;
    MicroBatches batches;
    std::vector<BatchShare> shares;  // of this rank's, then of all
  };
  static constexpr bool plans_ahead = !std::is_same_v<typename Backend::Space, HostSpace>;
  static Index set_of(Index step) { return plans_ahead ? step % 2 : 0; }
  Plan& plan_of(Index step) { return plans_[set_of(step)]; }

  void plan(StepWork& work, Index step) {
    Plan& plan = plan_of(step);
    plan.step = 0;
    const Index epoch = (step - 1) / steps_per_epoch_;
    if (order_.empty() || order_epoch_ != epoch) {
      order_ = epoch_order(costs_.size(), options_.parts, options_.seed, epoch);
      order_epoch_ = epoch;
    }
    const Index begin = ((step - 1) % steps_per_epoch_) * options_.batch_size;
    plan.records = std::min(options_.batch_size, epoch_size_ - begin);
    const std::span<const Index> examples = std::span<const Index>(order_).subspan(begin, plan.records);
    step_costs_.clear();
    for (const Index example : examples) step_costs_.push_back(costs_[example]);
    cut_step(step_costs_, options_.micro_batch_tokens, comm().size(), options_.fixed_tree, plan.batches);
    work.begin_batches(set_of(step));
    plan.shares.clear();
    for (Index m = plan.batches.ranks[comm().rank()]; m < plan.batches.ranks[comm().rank() + 1]; ++m) {
      batch_.clear();
      for (const Index record : plan.batches.batch(m)) batch_.push_back(examples[record]);
      plan.shares.emplace_back();
      work.build(set_of(step), plan.shares.size() - 1, batch_, plan.shares.back());
    }
    plan.step = step;
  }

  /// What cannot be made is said when its turn comes.
  void plan_ahead(StepWork& work, Index step) {
    if constexpr (plans_ahead) {
      if (step > steps()) return;
      try {
        plan(work, step);
      } catch (...) {
      }
    }
  }

  /// How what is trained is rounded for products from here on. By chance in a step alone, where it is a function of the steps
  /// made, so that a run that stops and goes on draws alike; what is judged between steps is what will be read from a file.
  void round_weights(bool in_step) {
    if constexpr (narrow_activations<Backend>) {
      if (options_.stochastic_rounding && !in_step) parameters_->set_rounding({});
      if (options_.stochastic_rounding && in_step)
        parameters_->set_rounding({.by_chance = true, .seed = rounding_seed_, .step = steps_done()});
    }
  }

  /// This rank's micro-batches, and what all together say.
  void compute(StepWork& work, StepReport& report) {
    const Index set = set_of(report.step);
    Plan& plan = plan_of(report.step);
    std::vector<BatchShare>& shares = plan.shares;
    const Index first = plan.batches.ranks[comm().rank()];
    if (ranks_.exchange != nullptr) ranks_.exchange->begin();
    for (Index m = 0; m < shares.size(); ++m) {
      if (ranks_.exchange != nullptr) ranks_.exchange->before_batch(m == 0, m + 1 == shares.size());
      work.issue(set, m);
      if (ranks_.exchange != nullptr) ranks_.exchange->after_batch(first + m);
    }
    if (ranks_.exchange != nullptr) ranks_.exchange->finish();
    plan_ahead(work, report.step + 1);
    for (Index m = 0; m < shares.size(); ++m) shares[m].loss = work.collect(set, m, shares[m].right);
    if (comm().size() > 1) shares = gather_lists(comm(), shares);
    RightCount right;
    for (const BatchShare& share : shares) {  // in the order of all ranks' batches
      report.loss += share.loss;
      right += share.right;
      report.tokens += share.tokens;
      report.tokens_before_sharing += share.tokens_before_sharing;
    }
    report.accuracy = right.share();
    report.judged = right.counted;
  }

  /// Whether this holds on all ranks.
  bool all_of_ranks(bool own) {
    if (comm().size() == 1) return own;
    const std::vector<char> all = gather_values(comm(), static_cast<char>(own ? 1 : 0));
    return std::find(all.begin(), all.end(), char{0}) == all.end();
  }

  /// A step without anything to learn from, such as one of ties alone, has no gradient. A whole epoch of them
  /// is an error.
  void require_weight(const StepWork::Weight& weight, Index step) {
    if (!weight.finite) throw DataError(concat("step ", step, ": the weights of its records are not finite"));
    empty_steps_ = weight.positive ? 0 : empty_steps_ + 1;
    if (empty_steps_ == steps_per_epoch_) {
      throw DataError(concat("step ", step, ": the weights of all ", costs_.size(),
                             costs_.size() == 1 ? " record" : " records",
                             ", a whole epoch, sum to 0, expected more: there is nothing to learn"));
    }
  }

  Parameters<Backend>* parameters_;
  TrainOptions options_;
  SoloComm alone_;
  LoopRanks ranks_;
  std::unique_ptr<BoundOptimizer<Backend>> optimizer_;
  std::vector<Index> costs_;
  Index epoch_size_ = 0;  // visits to examples
  Index steps_per_epoch_ = 0;
  std::vector<Index> order_;
  Index order_epoch_ = 0;
  Index empty_steps_ = 0;
  std::vector<Index> step_costs_;
  std::uint64_t rounding_seed_ = Rng(options_.seed).split(fnv1a("rounding")).next();
  Plan plans_[2];
  std::vector<Index> batch_;  // the examples of a micro-batch
  bool agreed_ = false;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
