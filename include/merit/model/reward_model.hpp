// RewardModel: a backbone, a head, a loss and a machine, put together at compile time.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "merit/backbone/backbone.hpp"
#include "merit/backend/operations.hpp"
#include "merit/core/field.hpp"
#include "merit/forest/places.hpp"
#include "merit/fwd.hpp"
#include "merit/head/head.hpp"
#include "merit/loss/loss.hpp"
#include "merit/model/adapter.hpp"
#include "merit/model/fit.hpp"
#include "merit/model/objective.hpp"
#include "merit/model/policy_members.hpp"
#include "merit/nn/dropout_keys.hpp"
#include "merit/tape/memory_estimate.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

// One line for each way in which four types may not make a model. What the user reads names the policy that
// is wrong, what was expected, and what to use instead; tests/compile_fail pins each.
template <class Backbone, class Head, class Loss, class Backend>
struct CheckPolicies {
  static constexpr PolicyFault fault = policy_fault<Backbone, Head, Loss, Backend>();
  static_assert(
      fault != PolicyFault::order,
      "merit: the arguments of RewardModel are in another order: expected RewardModel<Backbone, Head, Loss, Backend>.");
  static_assert(
      fault != PolicyFault::backend_numbers,
      "merit: the 4th argument of RewardModel, Backend, counts in a type that is none of its: expected float or double, as in EigenBackend<float>.");
  static_assert(
      fault != PolicyFault::backend,
      "merit: the 4th argument of RewardModel, Backend, is not a backend: expected a type with every operation of merit/backend/operations.hpp. Use EigenBackend<float> or ReferenceBackend<double>.");
  static_assert(
      fault != PolicyFault::backbone_name,
      "merit: the 1st argument of RewardModel, Backbone, has no name(): expected static constexpr std::string_view name().");
  static_assert(
      fault != PolicyFault::backbone_limits,
      "merit: the 1st argument of RewardModel, Backbone, lacks a limit: expected Index token_limit() const and Index position_limit() const, 0 for none.");
  static_assert(
      fault != PolicyFault::backbone_bound,
      "merit: the 1st argument of RewardModel, Backbone, has no Bound: expected template <class B> class Bound with Bound(const Backbone&, Parameters<B>&).");
  static_assert(
      fault != PolicyFault::backbone_width,
      "merit: the 1st argument of RewardModel, Backbone, has no hidden_width() in its Bound: expected Index hidden_width() const.");
  static_assert(
      fault != PolicyFault::backbone_forward,
      "merit: the 1st argument of RewardModel, Backbone, has no forward() as it is called: expected Var forward(Tape<B>& tape, const typename BackendTypes<B>::Forest& forest) in its Bound<B>.");
  static_assert(
      fault != PolicyFault::backbone,
      "merit: the 1st argument of RewardModel, Backbone, is not a backbone: expected the members of merit/backbone/backbone.hpp. Use Llama, Gpt2, BagOfTokens or Features.");
  static_assert(
      fault != PolicyFault::head_name,
      "merit: the 2nd argument of RewardModel, Head, has no name(): expected static constexpr std::string_view name().");
  static_assert(
      fault != PolicyFault::head_meaning,
      "merit: the 2nd argument of RewardModel, Head, has no meaning: expected static constexpr ScoreMeaning meaning, such as ScoreMeaning::per_completion.");
  static_assert(
      fault != PolicyFault::head_bound,
      "merit: the 2nd argument of RewardModel, Head, has no Bound: expected template <class B> class Bound with Bound(const Head&, Index hidden_width, Parameters<B>&), and an Unembedding behind them where reads_unembedding is true.");
  static_assert(
      fault != PolicyFault::head_forward,
      "merit: the 2nd argument of RewardModel, Head, has no forward() as it is called: expected Var forward(Tape<B>& tape, Var hidden) in its Bound<B>.");
  static_assert(
      fault != PolicyFault::head_rows,
      "merit: the 2nd argument of RewardModel, Head, has rows() that cannot be called: expected void rows(const SequenceShape& sequence, std::vector<Index>& out) const.");
  static_assert(
      fault != PolicyFault::head,
      "merit: the 2nd argument of RewardModel, Head, is not a head: expected the members of merit/head/head.hpp. Use ScalarHead for one score a completion.");
  static_assert(
      fault != PolicyFault::loss_name,
      "merit: the 3rd argument of RewardModel, Loss, has no name(): expected static constexpr std::string_view name().");
  static_assert(
      fault != PolicyFault::loss_reads,
      "merit: the 3rd argument of RewardModel, Loss, does not say what it reads: expected static constexpr ScoreMeaning reads, such as ScoreMeaning::per_completion.");
  static_assert(
      fault != PolicyFault::loss_targets,
      "merit: the 3rd argument of RewardModel, Loss, has no Targets: expected a type Targets with void clear().");
  static_assert(
      fault != PolicyFault::loss_normaliser,
      "merit: the 3rd argument of RewardModel, Loss, has no normaliser(): expected double normaliser(const Targets& targets) const.");
  static_assert(
      fault != PolicyFault::loss_term,
      "merit: the 3rd argument of RewardModel, Loss, has no term() as it is called: expected UnitLoss term(const Unit& unit, double normaliser, const UnitNumbers& numbers) const for the units of its Targets, or double value_and_gradient(MatrixView<const Score> scores, const Targets&, double normaliser, MatrixView<Score> gradient) const with the Score of the Backend.");
  static_assert(
      fault != PolicyFault::loss,
      "merit: the 3rd argument of RewardModel, Loss, is not a loss: expected the members of merit/loss/loss.hpp. Use PairwiseLoss for chosen and rejected completions.");
  /// A misfit is reported only where both policies are what they should be.
  static constexpr bool misfit(Fit why) {
    if constexpr (fault == PolicyFault::none) {
      return merit::fit<Head, Loss> == why;
    } else {
      return false;
    }
  }
  /// Whether the loss, or that of its parts which does not fit, reads this meaning and the head gives
  /// another.
  static constexpr bool misread(ScoreMeaning reads) {
    if constexpr (fault == PolicyFault::none) {
      return merit::fit<Head, Loss> == Fit::other_meaning && FitOf<Head, Loss>::reads == reads;
    } else {
      return false;
    }
  }
  static_assert(
      !misread(ScoreMeaning::per_completion),
      "merit: Head and Loss do not fit: the Loss judges whole completions, expected scores of them, but "
      "the Head scores tokens, steps or states. Use ScalarHead with this Loss.");
  static_assert(
      !misread(ScoreMeaning::per_token),
      "merit: Head and Loss do not fit: the Loss labels tokens, expected a score for each, but the Head "
      "scores completions, steps or states. Use TokenHead with this Loss, or PairwiseLoss with ScalarHead.");
  static_assert(
      !misread(ScoreMeaning::per_step),
      "merit: Head and Loss do not fit: the Loss labels reasoning steps, expected scores for each, but the "
      "Head scores completions, tokens or states. Use StepHead with this Loss, or PairwiseLoss with "
      "ScalarHead.");
  static_assert(
      !misread(ScoreMeaning::per_state),
      "merit: Head and Loss do not fit: the Loss reads the value of each state, expected one before each "
      "token, but the Head scores completions, tokens or steps. Use ValueHead with this Loss.");
  static_assert(
      !misread(ScoreMeaning::next_token),
      "merit: Head and Loss do not fit: the Loss reads logits of the next token, expected one for each of "
      "the vocabulary, but the Head gives rewards. Use JointHead<your Head, LanguageModelHead> with "
      "JointLoss<its Loss, LanguageModelLoss>.");
  static_assert(
      !misfit(Fit::one_score),
      "merit: Head and Loss do not fit: the Loss reads one score a row, expected a Head with one output, "
      "but the Head gives several. Use ScalarHead, TokenHead, ValueHead or StepHead<1> with this Loss, or "
      "CrossEntropyLoss for classes and RegressionLoss for attributes.");
  static_assert(
      !misfit(Fit::several_scores),
      "merit: Head and Loss do not fit: the Loss reads a score for each class, expected a Head with one "
      "output a class, but the Head gives one score. Use StepHead<3> or StepHead<2> with this Loss, or "
      "BinaryCrossEntropyLoss with one logit.");
  static_assert(!misfit(Fit::joint_head),
                "merit: Head and Loss do not fit: a JointHead has two heads, expected a loss for each. Use "
                "JointLoss<first Loss, second Loss>.");

  static constexpr bool head_reads_vectors() {
    if constexpr (fault == PolicyFault::none) {
      return !reads_features<Backbone> || scores_completions<Head>;
    } else {
      return true;
    }
  }
  static_assert(
      head_reads_vectors(),
      "merit: Backbone and Head do not fit: the Backbone Features has one vector a completion, expected a "
      "Head that scores completions, but the Head scores tokens, steps or states. Use ScalarHead, or a "
      "Backbone that reads tokens.");
  static constexpr bool has_unembedding() {
    if constexpr (fault == PolicyFault::none) {
      return !reads_unembedding<Head> || unembedding_backbone<Backbone, Backend>;
    } else {
      return true;
    }
  }
  static_assert(
      has_unembedding(),
      "merit: Backbone and Head do not fit: the Head reads the logits of a language model, expected a "
      "Backbone with an unembedding, but this one has none. Use Llama or Gpt2 with this Head.");
  static constexpr bool value = true;
};

/// What would read outside a table, said in one sentence. A limit of 0 positions is none.
inline void check_tokens(std::span<const Token> tokens, Index token_limit, Index depth,
                         Index position_limit) {
  for (const Token token : tokens) {
    if (token >= token_limit) {
      throw DataError(concat("token ", token, " is outside the model's vocabulary of ", token_limit,
                             ": the tokenizer does not belong to this model"));
    }
  }
  if (position_limit != 0 && depth > position_limit) {
    throw DataError(concat("a sequence has ", depth, " tokens, expected at most ", position_limit,
                           ", the model's positions: cut it with a truncation policy"));
  }
}

}  // namespace detail

/// A reward model.
///
///   RewardModel<Llama, ScalarHead, PairwiseLoss, EigenBackend<float>> model({.backbone = {.layers = 4}});
///
/// It owns its parameters, gradients and working memory. It is moved, not copied: what refers to it, such as a
/// Trainer, is made after the move, and one that was moved from may only be assigned to or destroyed. One
/// thread at a time may use it; the backend's own threads work inside each call.
template <class Backbone, class Head, class Loss, class Backend>
class RewardModel {
  static_assert(detail::CheckPolicies<Backbone, Head, Loss, Backend>::value);

 public:
  using BackboneType = Backbone;
  using HeadType = Head;
  using LossType = Loss;
  using BackendType = Backend;
  using Score = typename Backend::Score;
  using Targets = typename Loss::Targets;
  using Normaliser = NormaliserOf<Loss>;
  using Forest = ForestView<HostSpace>;

  /// All numbers of a model. An aggregate: name what differs from the defaults.
  struct Config {
    Backbone backbone = {};
    Head head = {};
    Loss loss = {};
    Backend backend = {};
    std::uint64_t seed = 0;            // of the initial parameters
    Initial initial = Initial::drawn;  // from_file: load_model_parameters follows, and nothing is drawn now
    bool scores_only = false;  // nothing is trained: weights are held as a file stores them, and no more
    /// What is trained in place of the backbone's own weights, which are then frozen: one; or several to choose from
    /// where the model only scores.
    std::vector<Adapter> adapters = {};
  };

  /// Builds the model with fresh parameters. Throws ConfigError about the first number that cannot be.
  explicit RewardModel(const Config& config = {}) : state_(std::make_unique<State>(config)) {}
  RewardModel(RewardModel&&) noexcept = default;
  RewardModel& operator=(RewardModel&&) noexcept = default;

  /// The scores of a forest's rows, (R, k) row by row. Valid until the next call on this model.
  std::span<const Score> score(const Forest& forest) {
    check(forest);
    state_->tape.reset();
    return score_rows(forest);
  }
  /// The same of tokens that follow others, whose keys and values `earlier` has: a step of a session (infer/session.hpp).
  std::span<const Score> score(const Forest& forest, EarlierTokens<Backend>& earlier) {
    check(forest);
    state_->tape.reset();
    state_->tape.set_earlier_tokens(earlier);
    return score_rows(forest);
  }

  /// A new optimizer step: gradients count as unwritten. Throws UsageError where the model only scores.
  void begin_step() {
    if (state_->config.scores_only) {
      throw UsageError("the model was made with scores_only: expected one without it to be trained");
    }
    if (state_->parameters.merged_adapter() != LowRankMaps::no_adapter) {
      throw UsageError(
          "the adapter is merged into the weights: expected unmerge_adapter() before it is trained");
    }
    if (std::as_const(state_->parameters).gradients().empty())
      detail::require_memory_to_train(state_->parameters);
    state_->issued = 0;
    state_->parameters.begin_gradients();
    state_->parameters.next_dropout_step();
  }

  /// Scores a micro-batch, adds its share of the step's gradient, returns its share of the step's loss.
  /// `normaliser` is the sum of normaliser(targets) over all micro-batches of the step, so the step's
  /// loss and gradient do not depend on how it is cut. Call begin_step() before the first and end_step()
  /// after the last.
  double accumulate(const Forest& forest, const Targets& targets, const Normaliser& normaliser) {
    issue(forest, targets, normaliser, 0);
    return collect(0);
  }
  /// accumulate() in two: a device is given the work on micro-batch `number`, from 0, of a step, and the host goes on. After the
  /// last of a step collect() gives the loss of each; scores() are then its.
  void issue(const Forest& forest, const Targets& targets, const Normaliser& normaliser, Index number) {
    check(forest);
    state_->tape.reset();
    state_->tape.set_recording(true);
    state_->tape.drive_watch();
    if (state_->parameters.has_dropout()) state_->turn_dropout_on(forest);
    state_->batch = Backend::prepare(state_->handle, state_->placed(forest));
    state_->hidden = state_->backbone.forward(state_->tape, state_->batch);  // (R, d)
    state_->objective.issue(state_->tape, state_->hidden, targets, normaliser, 1, number);
    state_->issued = number + 1;
    state_->tape.backward();
  }
  double collect(Index number) {
    if (number >= state_->issued)
      throw UsageError(concat("micro-batch ", number, " has no loss: expected issue() before collect()"));
    return state_->objective.collect(number);
  }
  void end_step() {
    state_->parameters.end_gradients();
    state_->hidden = {};
    state_->tape.reset();  // joins the memory of this step, so that the next one asks for none
  }

  /// The scores of the last accumulate() or score(), (R, k): none after accumulate() where the reward is a
  /// language model's logits, which are then never all there.
  std::span<const Score> scores() const { return state_->objective.scores(); }

  /// The loss of a forest alone, without gradients: 0 where nothing in it counts.
  double loss_value(const Forest& forest, const Targets& targets) {
    score(forest);
    return loss_of_scored(targets, normaliser(targets));
  }
  /// The share that the forest of the last score() has in a loss divided by `normaliser`.
  double loss_of_scored(const Targets& targets, const Normaliser& normaliser) {
    if (!state_->hidden.present())
      throw UsageError("there are no scores yet: expected score() before loss_of_scored()");
    return state_->objective.loss(state_->tape, state_->hidden, targets, normaliser);
  }

  const Config& config() const { return state_->config; }
  const Head& head() const { return state_->config.head; }
  const Loss& loss() const { return state_->config.loss; }
  /// What accumulate() divides by, of one micro-batch.
  Normaliser normaliser(const Targets& targets) const { return state_->config.loss.normaliser(targets); }
  /// Scores of a row: of a JointHead those of its first part, which is the reward.
  Index outputs() const { return state_->objective.outputs(); }
  /// What the second of two losses reads of a row: scores of a JointHead's second part, or the same.
  Index second_outputs() const {
    if constexpr (is_joint_head<Head>) {
      return state_->objective.second_outputs();
    } else {
      return outputs();
    }
  }
  /// What a token sees: under Sight::tree every sequence of a forest has to be a tree by itself.
  Sight sight() const { return sight_of(state_->config.backbone); }
  /// See ForestBuilder.
  std::optional<Token> pair_separator() const { return pair_separator_of(state_->config.backbone); }
  /// Whether it scores feature vectors and no tokens.
  bool wants_features() const { return merit::wants_features(state_->config.backbone); }
  Parameters<Backend>& parameters() { return state_->parameters; }
  const Parameters<Backend>& parameters() const { return state_->parameters; }
  typename Backend::Handle& handle() { return state_->handle; }
  Tape<Backend>& tape() { return state_->tape; }
  /// The backbone bound to this model, for uses beyond scores (its unembedding, its hidden rows).
  typename Backbone::template Bound<Backend>& backbone() { return state_->backbone; }

  /// Gives back the working memory that the largest batch so far has left; what is asked for next is allocated
  /// again. Scores and targets of the last call are gone.
  void trim() {
    state_->hidden = {};
    state_->issued = 0;
    state_->objective.trim();
    state_->tape.trim();
  }

 private:
  /// Behind a pointer, as tape and backbone point to what stands beside them.
  struct State {
    explicit State(const Config& numbers)
        : config(validated(numbers)),
          handle(config.backend),
          parameters(handle),
          backbone(config.backbone, parameters),
          backbone_tensors(parameters.tensor_count()),
          objective(config.head, config.loss, backbone.hidden_width(), parameters, unembedding()),
          tape(handle, parameters),
          batch(Backend::prepare(handle, Forest{})) {
      detail::attach_adapters(parameters, config.adapters, backbone_tensors, config.scores_only);
      if (config.scores_only) parameters.freeze();
      detail::require_memory_for_weights(parameters, config.initial);
      parameters.allocate(Rng(config.seed), config.initial);
      if (config.initial == Initial::drawn) detail::start_magnitudes(parameters);
      if constexpr (reads_unembedding<Head>)
        static_cast<void>(backbone.unembedding());  // throws if it is not held
      if (head_width<Head> != 0 && objective.outputs() != head_width<Head>) {
        throw UsageError(concat("the head ", Head::name(), " gives ", objective.outputs(),
                                " scores a row, expected ", head_width<Head>,
                                " as its `width` says (1 where it says nothing)"));
      }
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    static const Config& validated(const Config& numbers) {
      validate(numbers.backbone);
      validate(numbers.head);
      validate(numbers.loss);
      return numbers;
    }

    Unembedding unembedding() {
      if constexpr (unembedding_backbone<Backbone, Backend>) {
        double soft_cap = 0;
        if constexpr (requires { backbone.logit_soft_cap(); }) soft_cap = backbone.logit_soft_cap();
        return {[this] { return backbone.unembedding(); }, soft_cap};
      } else {
        return {};
      }
    }

    /// The forest with its tokens' places, where the backbone has a table that does not count all of them.
    Forest placed(Forest forest) {
      if (const std::optional<Token> pad = uncounted_token_of(config.backbone)) {
        set_places(forest, *pad, places);
        forest.places = places;
      }
      return forest;
    }

    void turn_dropout_on(const Forest& forest) {
      const std::uint64_t root = dropout_root(parameters.dropout_seed(), parameters.dropout_step());
      dropout_keys(forest, root, row_keys);
      const auto place = tape.template room<std::uint64_t>(row_keys.size());
      Backend::from_host(handle, std::as_const(row_keys).data(), place.data, row_keys.size());
      const VectorView<const std::uint64_t, typename Backend::Space> all{place.data, place.size};
      tape.set_dropout_keys({all.subview(0, forest.token_count()),
                             all.subview(forest.token_count(), forest.row_count()), root});
    }

    Config config;
    typename Backend::Handle handle;
    Parameters<Backend> parameters;
    typename Backbone::template Bound<Backend> backbone;
    Index backbone_tensors;  // the others are the head's and the adapters'
    detail::Objective<Head, Loss, Backend> objective;
    Tape<Backend> tape;
    typename Backend::Batch batch;        // of the last forest: the tape's nodes point to it
    Var hidden;                           // its hidden rows
    Index issued = 0;                     // micro-batches of this step so far
    std::vector<std::uint64_t> row_keys;  // of the last forest that was dropped from
    std::vector<std::uint32_t> places;    // of the last forest
  };

  std::span<const Score> score_rows(const Forest& forest) {
    state_->tape.set_recording(false);
    state_->batch = Backend::prepare(state_->handle, state_->placed(forest));
    state_->hidden = state_->backbone.forward(state_->tape, state_->batch);  // (R, d)
    return state_->objective.score(state_->tape, state_->hidden);
  }

  void check(const Forest& forest) const {
    if (forest.row_count() == 0) throw UsageError("the forest has no rows: nothing to score");
    if (sight() == Sight::tree && forest.segment_count() != forest.tree_count()) {
      throw UsageError(
          "the forest has trees that branch, expected each sequence by itself (Sharing::no): a token of this "
          "backbone sees all of its tree");
    }
    if (!wants_features()) {
      detail::check_tokens(forest.tokens, state_->config.backbone.token_limit(), forest.depth,
                           state_->config.backbone.position_limit());
    }
  }

  std::unique_ptr<State> state_;
};

}  // namespace MERIT_ABI
}  // namespace merit
