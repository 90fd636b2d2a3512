// A model chosen at run time: any backbone with any head and loss of the compiled set, behind one interface.
// Each backbone's models are compiled once, in models_….cpp, and shared by the programs.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backbone/features.hpp"
#include "merit/backbone/gpt2.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/data/example.hpp"
#include "merit/infer/score.hpp"
#include "merit/model/aliases.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/train/trainer.hpp"

namespace programs {

using merit::Index;
using merit::ScoreMeaning;

// ---- The compiled set ---

/// Cobbe et al.'s verifier: one token's logit, beside the language model.
using VerifierHead = merit::JointHead<merit::LmGainBiasHead, merit::LanguageModelHead>;
using VerifierLoss =
    merit::JointLoss<merit::BinaryCrossEntropyLoss<ScoreMeaning::per_token>, merit::LanguageModelLoss>;

using AnyHead = std::variant<merit::ScalarHead, merit::TwoLayerHead, merit::AttributeHead, merit::TokenHead,
                             VerifierHead, merit::StepHead<3>, merit::StepHead<2>, merit::StepHead<1>,
                             merit::TokenLogitHead<ScoreMeaning::per_step, 2>, merit::ValueHead>;
using AnyLoss = std::variant<
    merit::PairwiseLoss, merit::PlackettLuceLoss, merit::RegressionLoss<ScoreMeaning::per_completion>,
    merit::BinaryCrossEntropyLoss<ScoreMeaning::per_completion>,
    merit::BinaryCrossEntropyLoss<ScoreMeaning::per_token>, VerifierLoss,
    merit::BinaryCrossEntropyLoss<ScoreMeaning::per_step>, merit::CrossEntropyLoss, merit::ValueLoss>;

/// Whether a head and a loss are compiled: what fits, but of the losses on two layers the pairwise one alone.
template <class Head, class Loss>
inline constexpr bool is_compiled = merit::fit<Head, Loss> == merit::Fit::yes &&
                                    (!std::is_same_v<Head, merit::TwoLayerHead> ||
                                     std::is_same_v<Loss, merit::PairwiseLoss>);

/// Whether a backbone can carry a head: vectors have no tokens to score, and a bag of tokens no unembedding.
template <class Backbone, class Head>
inline constexpr bool carries = std::is_same_v<Backbone, merit::Llama> ||
                                std::is_same_v<Backbone, merit::Gpt2> ||
                                (!merit::reads_unembedding<Head> &&
                                 (!std::is_same_v<Backbone, merit::Features> ||
                                  Head::meaning == ScoreMeaning::per_completion));

/// "scalar", "token", …; "verifier" for the joint head.
std::string name_of(const AnyHead& head);
/// "pairwise", …; "joint" for the verifier's.
std::string name_of(const AnyLoss& loss);
ScoreMeaning meaning_of(const AnyHead& head);

/// A head by its name, with its defaults; nothing for a name that no head has.
std::optional<AnyHead> head_named(const std::string& name);
/// The loss of that name that fits the head; nothing when none does.
std::optional<AnyLoss> loss_named(const std::string& name, const AnyHead& head);
/// The head that a model card describes. Throws DataError.
AnyHead head_from(const merit::Json& card_head, const std::string& where);

// ---- What models learn from and score ---

/// All examples of a set, which are of one kind.
using Examples = std::variant<std::vector<merit::PreferenceExample>, std::vector<merit::RankingExample>,
                              std::vector<merit::OutcomeExample>, std::vector<merit::StepsExample>,
                              std::vector<merit::RolloutExample>>;

inline Index size_of(const Examples& examples) {
  return std::visit([](const auto& list) { return list.size(); }, examples);
}

/// Sequences to be scored together as one tree, so that what they share is computed once.
struct Family {
  std::vector<const merit::Sequence*> members;
};
template <class F>
void for_each_sequence(const Family& family, const F& f) {
  for (const merit::Sequence* sequence : family.members) f(*sequence);
}

/// What a model says of a set.
struct ScoredSet {
  std::vector<merit::RowScores> rows;  // of every sequence of every example, in order
  std::optional<double> loss;          // the model's own, if it learns from this kind
};

/// One run of training. It holds on to its model and examples.
class AnyRun {
 public:
  virtual ~AnyRun() = default;
  virtual Index steps() const = 0;
  virtual Index steps_done() const = 0;
  bool finished() const { return steps_done() >= steps(); }
  virtual merit::StopReason run(const merit::TrainHooks& hooks) = 0;
  virtual void save(const std::filesystem::path& directory, const merit::ModelCard& card,
                    const merit::Json& notes) = 0;
  virtual void resume(const std::filesystem::path& directory) = 0;
};

class AnyModel {
 public:
  virtual ~AnyModel() = default;
  virtual Index parameters() const = 0;
  virtual ScoreMeaning meaning() const = 0;
  virtual merit::ModelCard described(const merit::ModelCard& card) const = 0;
  virtual void save(const std::filesystem::path& directory, const merit::ModelCard& card) = 0;
  virtual merit::LoadReport load(const std::filesystem::path& directory,
                                 const merit::LoadOptions& options) = 0;
  virtual std::unique_ptr<AnyRun> train(const Examples& examples, const merit::TrainOptions& options) = 0;
  virtual std::vector<merit::RowScores> score(std::span<const Family> families, Index token_budget,
                                              const merit::OnProgress& on_progress) = 0;
  virtual ScoredSet score(const Examples& examples, Index token_budget,
                          const merit::OnProgress& on_progress) = 0;
  /// One number of a completion's only row: the score, or its attributes merged.
  virtual double merged(std::span<const double> row) const = 0;
};

/// What a model is made of besides its backbone.
struct ModelSettings {
  AnyHead head;
  AnyLoss loss;
  int threads = 0;
  std::uint64_t seed = 0;
};

/// Builds a model with fresh parameters. Throws ConfigError for what is not in the compiled set.
std::unique_ptr<AnyModel> make_model(const merit::BackboneConfig& backbone, const ModelSettings& settings);

// One file each.
std::unique_ptr<AnyModel> make_model(const merit::Llama& backbone, const ModelSettings& settings);
std::unique_ptr<AnyModel> make_model(const merit::Gpt2& backbone, const ModelSettings& settings);
std::unique_ptr<AnyModel> make_model(const merit::BagOfTokens& backbone, const ModelSettings& settings);
std::unique_ptr<AnyModel> make_model(const merit::Features& backbone, const ModelSettings& settings);

}  // namespace programs
