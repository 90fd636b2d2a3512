// Models of one backbone and every head and loss of the compiled set, to be trained and scored with.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/infer/score.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/typed_scoring.hpp"
#include "merit/train/checkpoint.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Whether the labels of an example are about what the head scores.
template <class Example>
constexpr bool is_about(ScoreMeaning meaning) {
  if (std::is_same_v<Example, StepsExample>) return meaning == ScoreMeaning::per_step;
  if (std::is_same_v<Example, RolloutExample>) return meaning == ScoreMeaning::per_state;
  if (std::is_same_v<Example, OutcomeExample> && meaning == ScoreMeaning::per_token) return true;
  return meaning == ScoreMeaning::per_completion;
}

/// Whether a model learns from such examples. A head with a gate reads two rows of a completion and learns
/// from none.
template <class Model, class Example>
inline constexpr bool learns =
    learns_from<typename Model::Targets, Example>&& is_about<Example>(Model::HeadType::meaning) &&
    !std::is_same_v<typename Model::HeadType, GatedRegressionHead>;

template <class Model, class Example>
class TypedRun final : public AnyRun {
 public:
  TypedRun(Model& model, const std::vector<Example>& examples, const TrainOptions& options)
      : model_(model), trainer_(model, std::span<const Example>(examples), options) {}
  Index steps() const override { return trainer_.steps(); }
  Index steps_done() const override { return trainer_.steps_done(); }
  StopReason run(const TrainHooks& hooks) override { return trainer_.run(hooks); }
  void save(const std::filesystem::path& directory, const ModelCard& card, const Json& notes,
            const SaveOptions& options) override {
    save_run(directory, model_, trainer_, merit::described(model_, card), notes, options);
  }
  void resume(const std::filesystem::path& directory) override { resume_run(directory, model_, trainer_); }

 private:
  Model& model_;
  Trainer<Model, Example> trainer_;
};

template <class Model>
class TypedModel final : public TypedScoring<Model, AnyModel> {
  using Base = TypedScoring<Model, AnyModel>;

 public:
  using Base::Base;

  ModelCard described(const ModelCard& card) const override { return merit::described(this->model_, card); }
  void save(const std::filesystem::path& directory, const ModelCard& card,
            const SaveOptions& options) override {
    save_model(directory, this->model_, described(card), options);
  }

  std::unique_ptr<AnyRun> train(const Examples& examples, const TrainOptions& options) override {
    return std::visit(
        [&]<class Example>(const std::vector<Example>& list) -> std::unique_ptr<AnyRun> {
          if constexpr (learns<Model, Example>) {
            return std::make_unique<TypedRun<Model, Example>>(this->model_, list, options);
          } else {
            throw ConfigError(detail::concat("the loss ", Model::LossType::name(),
                                             " does not learn from this kind of record"));
          }
        },
        examples);
  }

  ScoredSet measure(const Examples& examples, Index token_budget, const OnProgress& on_progress) override {
    return std::visit([&](const auto& list) { return measure_list(list, token_budget, on_progress); },
                      examples);
  }

 private:
  using Score = typename Model::Score;

  template <class Example>
  ScoredSet measure_list(const std::vector<Example>& examples, Index token_budget,
                         const OnProgress& on_progress) {
    ScoredSet set;
    if constexpr (learns<Model, Example>) {
      // What the loss divides by is counted first, as in training.
      BatchBuilder<Model> counter(this->model_);
      typename Model::Normaliser normaliser{};
      for (const Example& example : examples) {
        counter.clear();
        counter.add(example);
        counter.finish();
        normaliser += this->model_.loss().normaliser(counter.targets());
      }
      double loss = 0;
      for_each_scored(
          this->model_, std::span<const Example>(examples), token_budget,
          [&](Index i, const BatchBuilder<Model>& builder, Index number, auto scores) {
            append_rows_of(examples[i], builder, number, scores, set.rows);
            const bool first_of_batch = number == 0;
            if (first_of_batch) loss += this->model_.loss_of_scored(builder.targets(), normaliser);
          },
          on_progress);
      set.loss = loss;
    } else {
      std::vector<Family> families;
      for (const Example& example : examples) {
        Family& family = families.emplace_back();
        for_each_sequence(example, [&](const Sequence& sequence) { family.members.push_back(&sequence); });
      }
      set.rows = this->score(families, token_budget, on_progress);
    }
    return set;
  }

  template <class Example>
  void append_rows_of(const Example& example, const BatchBuilder<Model>& builder, Index number,
                      std::span<const Score> scores, std::vector<RowScores>& out) const {
    for_each_sequence(example, [&](const Sequence&) {
      RowScores& rows = out.emplace_back(RowScores{{}, this->model_.outputs()});
      for (const std::uint32_t row : builder.rows(number)) {
        for (Index k = 0; k < rows.width; ++k) {
          rows.values.push_back(static_cast<double>(scores[row * this->model_.outputs() + k]));
        }
      }
      ++number;
    });
  }
};

/// Builds a model with fresh parameters. Throws ConfigError for what is not in the compiled set.
template <class Backbone>
std::unique_ptr<AnyModel> make_model_on(const Backbone& backbone, const ModelSettings& settings) {
  return std::visit(
      [&]<class Head, class Loss>(const Head& head, const Loss& loss) -> std::unique_ptr<AnyModel> {
        if constexpr (!carries<Backbone, Head>) {
          detail::throw_not_carried<Backbone, Head>();
        } else if constexpr (!is_compiled<Head, Loss>) {
          throw ConfigError("the head " + name_of(settings.head) + " and the loss " + name_of(settings.loss) +
                            " do not go together in this program");
        } else {
          using Model = RewardModel<Backbone, Head, Loss, EigenBackend<float>>;
          return std::make_unique<TypedModel<Model>>(
              typename Model::Config{.backbone = backbone,
                                     .head = head,
                                     .loss = loss,
                                     .backend = {.threads = settings.threads},
                                     .seed = settings.seed,
                                     .initial = settings.initial,
                                     .scores_only = settings.scores_only});
        }
      },
      settings.head, settings.loss);
}

/// The same for a backbone chosen at run time among `Backbones`, a std::variant: a program compiles the
/// models of those alone. Throws ConfigError for another.
template <class Backbones = BackboneConfig>
std::unique_ptr<AnyModel> make_model(const BackboneConfig& backbone, const ModelSettings& settings) {
  return std::visit(
      [&]<class Backbone>(const Backbone& numbers) -> std::unique_ptr<AnyModel> {
        if constexpr (detail::is_alternative<Backbone, Backbones>) {
          return make_model_on(numbers, settings);
        } else {
          detail::throw_not_compiled<Backbone>();
        }
      },
      backbone);
}

}  // namespace MERIT_ABI
}  // namespace merit
