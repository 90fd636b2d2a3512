// The trainer of a model on examples of one kind: what of the loop is theirs.
#pragma once

#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <vector>

#include "merit/batch/batch.hpp"
#include "merit/comm/comm.hpp"
#include "merit/core/temporary.hpp"
#include "merit/train/example_source.hpp"
#include "merit/train/fingerprint.hpp"
#include "merit/train/gradient_exchange.hpp"
#include "merit/train/rank_facts.hpp"
#include "merit/train/step_accuracy.hpp"
#include "merit/train/train_loop.hpp"
#include "merit/train/train_options.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Trains a model on examples, held in memory or taken from a source when their turn comes.
///
/// The run is a pure function of (initial parameters, examples, options): the order of records follows from
/// the seed and the epoch, and the state of a run is the parameters, what the optimizer keeps, and the number
/// of steps made.
template <class Model, class Example>
class Trainer : private detail::StepWork {
  static_assert(
      learns_from<typename Model::Targets, Example>,
      "merit: the Loss does not learn from this kind of example: expected an append_targets() for the "
      "Loss's Targets and the Example in merit/batch/targets.hpp or beside your own type.");

 public:
  using Backend = typename Model::BackendType;

  /// The model and the examples must outlive the trainer. Throws ConfigError, or DataError for an empty set.
  Trainer(Model& model, std::span<const Example> examples, const TrainOptions& options)
      : model_(&model), examples_(examples), loop_(model.parameters(), options, costs_of(model), {}) {}
  /// Among ranks that train this model together, each with the same options and examples. They must outlive the trainer.
  Trainer(Model& model, std::span<const Example> examples, const TrainOptions& options, Comm& comm)
      : model_(&model),
        examples_(examples),
        loop_(model.parameters(), options, costs_of(model), among(comm, options)) {}
  /// The same of a source: the same run to the bit, with the examples of a micro-batch in memory, and the tokens of a step's
  /// micro-batches, on a device of two steps'.
  Trainer(Model& model, const ExampleSource<Example>& source, const TrainOptions& options)
      : model_(&model), source_(&source), loop_(model.parameters(), options, costs_of(model), {}) {}
  Trainer(Model& model, const ExampleSource<Example>& source, const TrainOptions& options, Comm& comm)
      : model_(&model),
        source_(&source),
        loop_(model.parameters(), options, costs_of(model), among(comm, options)) {}
  /// Examples, or a source of them, that end with the call: keep them in a variable that outlives the trainer.
  template <class... Ranks>
  Trainer(Model& model, const ExampleSource<Example>&& source, const TrainOptions& options,
          Ranks&...) = delete;
  template <ends_with_the_call Examples, class... Ranks>
  Trainer(Model& model, Examples&& examples, const TrainOptions& options, Ranks&...) = delete;

  // What ranks compare is asked of this object.
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  Index steps() const { return loop_.steps(); }
  Index steps_per_epoch() const { return loop_.steps_per_epoch(); }
  Index steps_done() const { return loop_.steps_done(); }
  bool finished() const { return loop_.finished(); }

  /// One optimizer step over the next batch_size records. Throws DataError, before anything is changed, when
  /// the loss or gradient is not finite, naming the first such tensor.
  StepReport step() { return loop_.step(*this); }

  /// Steps until the end, a stop request, or an evaluation that asks to stop.
  StopReason run(const TrainHooks& hooks = {}) { return loop_.run(*this, hooks); }

  BoundOptimizer<Backend>& optimizer() { return loop_.optimizer(); }
  const Model& model() const { return *model_; }
  const TrainOptions& options() const { return loop_.options(); }
  /// Those that train together; one alone has one too.
  Comm& comm() { return loop_.comm(); }
  Index example_count() const { return source_ != nullptr ? source_->size() : examples_.size(); }
  /// Calls f(example) for each, in the order in which they were given.
  template <class F>
  void for_each_example(const F& f) const {
    for (const Example& example : examples_) f(example);
    for (Index i = 0; source_ != nullptr && i < source_->size(); ++i) f(source_->at(i));
  }
  /// What tells the examples from others; computed once.
  const std::string& fingerprint() const {
    if (fingerprint_.empty()) {
      detail::Fingerprint of_all;
      for_each_example([&](const Example& example) { of_all.add(example); });
      fingerprint_ = of_all.text();
    }
    return fingerprint_;
  }

 private:
  std::vector<Index> costs_of(const Model& model) const {
    std::vector<Index> costs;
    costs.reserve(example_count());
    for_each_example(
        [&](const Example& example) { costs.push_back(shared_tokens(example, sharing_of(model))); });
    return costs;
  }

  /// What the loop is given: a trainer that is given no ranks compiles none of it.
  detail::LoopRanks among(Comm& comm, const TrainOptions& options) {
    detail::LoopRanks ranks{.comm = &comm};
    if (comm.size() > 1 || options.fixed_tree) {
      ranks.exchange =
          std::make_unique<detail::GradientExchange<Backend>>(model_->parameters(), comm, options.fixed_tree);
    }
    if (comm.size() > 1) {
      ranks.agree_on_start = [this] { agree_on_start(); };
      ranks.agree_on_hooks = [&comm](const TrainHooks& hooks) {
        RankFacts facts;
        detail::add_hook_facts(hooks, facts);
        require_same_facts(comm, facts);
      };
    }
    return ranks;
  }
  /// Ranks that have not the same would each learn something else.
  void agree_on_start() {
    RankFacts facts;
    detail::add_option_facts(options(), facts);
    facts.add("examples", concat(example_count()));
    facts.add("the examples' hash", fingerprint());
    if constexpr (requires { model_->config().loss.name(); }) {
      detail::add_policy_facts("head", model_->config().head, facts);
      detail::add_policy_facts("loss", model_->config().loss, facts);
    }
    facts.add("steps made", concat(steps_done()));
    facts.add("the weights' hash", concat(detail::hash_of_weights(model_->parameters())));
    require_same_facts(comm(), facts);
  }

  void begin_batches(Index set) override { sets_[set].normalisers.clear(); }

  void build(Index set, Index m, std::span<const Index> examples, detail::BatchShare& share) override {
    auto& batches = sets_[set].batches;
    if (m == batches.size()) {
      batches.push_back(std::make_unique<BatchBuilder<Model>>(*model_, loop_.options().sharing));
    }
    BatchBuilder<Model>& batch = *batches[m];
    batch.clear();
    if (source_ == nullptr) {
      for (const Index i : examples) batch.add(examples_[i]);
    } else {
      taken_.clear();
      for (const Index i : examples) taken_.push_back(source_->at(i));
      for (const Example& example : taken_) batch.add(example);
    }
    batch.finish();
    sets_[set].normalisers.push_back(model_->normaliser(batch.targets()));
    share.tokens = batch.token_count();
    share.tokens_before_sharing = batch.tokens_before_sharing();
  }

  Weight weigh(Index set, Comm& comm) override {
    auto& normalisers = sets_[set].normalisers;
    if (comm.size() > 1) normalisers = gather_lists(comm, normalisers);
    normaliser_ = {};
    for (const auto& one : normalisers) normaliser_ += one;
    return {is_finite(normaliser_), is_positive(normaliser_)};
  }
  void begin_step() override {
    model_->parameters().set_dropout_place(loop_.options().seed, loop_.steps_done());
    model_->begin_step();
  }
  void issue(Index set, Index m) override {
    const BatchBuilder<Model>& batch = *sets_[set].batches[m];
    model_->issue(batch.forest(), batch.targets(), normaliser_, m);
  }
  double collect(Index set, Index m, RightCount& right) override {
    const double loss = model_->collect(m);
    right += count_right(sets_[set].batches[m]->targets(), model_->scores(), model_->outputs());
    return loss;
  }
  void end_step() override { model_->end_step(); }

  Model* model_;
  std::span<const Example> examples_;
  const ExampleSource<Example>* source_ = nullptr;  // in their place
  std::vector<Example> taken_;                      // from it: of a micro-batch, until it is built
  mutable std::string fingerprint_;
  detail::TrainLoop<Backend> loop_;
  /// The micro-batches of a step, reused.
  struct BatchSet {
    std::vector<std::unique_ptr<BatchBuilder<Model>>> batches;
    std::vector<typename Model::Normaliser> normalisers;  // of each
  };
  BatchSet sets_[2];
  typename Model::Normaliser normaliser_{};  // of the step
};

/// `Trainer trainer(model, examples, options)` for a vector, a span, an array of examples; and among ranks.
template <class Model, std::ranges::contiguous_range Examples, class... Ranks>
Trainer(Model&, const Examples&, const TrainOptions&, Ranks&...)
    -> Trainer<Model, std::ranges::range_value_t<Examples>>;

}  // namespace MERIT_ABI
}  // namespace merit
