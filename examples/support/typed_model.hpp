// The models of one backbone behind AnyModel. Included by models_….cpp alone, so that each is compiled once.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "any_model.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/infer/score.hpp"
#include "merit/train/checkpoint.hpp"

namespace programs {

/// Whether the labels of an example are about what the head scores.
template <class Example>
constexpr bool is_about(ScoreMeaning meaning) {
  if (std::is_same_v<Example, merit::StepsExample>) return meaning == ScoreMeaning::per_step;
  if (std::is_same_v<Example, merit::RolloutExample>) return meaning == ScoreMeaning::per_state;
  if (std::is_same_v<Example, merit::OutcomeExample> && meaning == ScoreMeaning::per_token) return true;
  return meaning == ScoreMeaning::per_completion;
}

template <class Model, class Example>
inline constexpr bool learns =
    merit::learns_from<typename Model::Targets, Example>&& is_about<Example>(Model::HeadType::meaning);

template <class Model, class Example>
class TypedRun final : public AnyRun {
 public:
  TypedRun(Model& model, const std::vector<Example>& examples, const merit::TrainOptions& options)
      : model_(model), trainer_(model, std::span<const Example>(examples), options) {}
  Index steps() const override { return trainer_.steps(); }
  Index steps_done() const override { return trainer_.steps_done(); }
  merit::StopReason run(const merit::TrainHooks& hooks) override { return trainer_.run(hooks); }
  void save(const std::filesystem::path& directory, const merit::ModelCard& card,
            const merit::Json& notes) override {
    merit::save_run(directory, model_, trainer_, merit::described(model_, card), notes);
  }
  void resume(const std::filesystem::path& directory) override {
    merit::resume_run(directory, model_, trainer_);
  }

 private:
  Model& model_;
  merit::Trainer<Model, Example> trainer_;
};

template <class Model>
class TypedModel final : public AnyModel {
 public:
  explicit TypedModel(const typename Model::Config& config) : model_(config) {}

  Index parameters() const override { return model_.parameters().elements(); }
  ScoreMeaning meaning() const override { return Model::HeadType::meaning; }
  merit::ModelCard described(const merit::ModelCard& card) const override {
    return merit::described(model_, card);
  }
  void save(const std::filesystem::path& directory, const merit::ModelCard& card) override {
    merit::save_model(directory, model_, described(card));
  }
  merit::LoadReport load(const std::filesystem::path& directory, const merit::LoadOptions& options) override {
    return merit::load_model_parameters(directory, model_, options);
  }

  std::unique_ptr<AnyRun> train(const Examples& examples, const merit::TrainOptions& options) override {
    return std::visit(
        [&]<class Example>(const std::vector<Example>& list) -> std::unique_ptr<AnyRun> {
          if constexpr (learns<Model, Example>) {
            return std::make_unique<TypedRun<Model, Example>>(model_, list, options);
          } else {
            throw merit::ConfigError(merit::detail::concat("the loss ", Model::LossType::name(),
                                                           " does not learn from this kind of record"));
          }
        },
        examples);
  }

  std::vector<merit::RowScores> score(std::span<const Family> families, Index token_budget,
                                      const merit::OnProgress& on_progress) override {
    return merit::score_rows(model_, families, token_budget, on_progress);
  }

  ScoredSet score(const Examples& examples, Index token_budget,
                  const merit::OnProgress& on_progress) override {
    return std::visit([&](const auto& list) { return score_list(list, token_budget, on_progress); },
                      examples);
  }

  double merged(std::span<const double> row) const override {
    if constexpr (requires { model_.head().merge(row); }) {
      return model_.head().merge(row);
    } else {
      return row[0];
    }
  }

 private:
  using Score = typename Model::Score;

  template <class Example>
  ScoredSet score_list(const std::vector<Example>& examples, Index token_budget,
                       const merit::OnProgress& on_progress) {
    ScoredSet set;
    if constexpr (learns<Model, Example>) {
      // What the loss divides by is counted first, as in training.
      merit::BatchBuilder<Model> counter(model_);
      typename Model::Normaliser normaliser{};
      for (const Example& example : examples) {
        counter.clear();
        counter.add(example);
        counter.finish();
        normaliser += model_.loss().normaliser(counter.targets());
      }
      using merit::is_positive;  // a number; what a joint loss divides by brings its own
      const bool counts = is_positive(normaliser);
      std::vector<Score> gradient;
      double loss = 0;
      merit::for_each_scored(
          model_, std::span<const Example>(examples), token_budget,
          [&](Index i, const merit::BatchBuilder<Model>& builder, Index number, auto scores) {
            append_rows_of(examples[i], builder, number, scores, set.rows);
            const bool first_of_batch = number == 0;
            if (!counts || !first_of_batch) return;
            gradient.resize(scores.size());
            const Index width = model_.outputs();
            const Index rows = scores.size() / width;
            loss += model_.loss().value_and_gradient(
                merit::MatrixView<const Score>{scores.data(), rows, width}, builder.targets(), normaliser,
                merit::MatrixView<Score>{gradient.data(), rows, width});
          },
          on_progress);
      set.loss = loss;
    } else {
      std::vector<Family> families;
      for (const Example& example : examples) {
        Family& family = families.emplace_back();
        for_each_sequence(example,
                          [&](const merit::Sequence& sequence) { family.members.push_back(&sequence); });
      }
      set.rows = score(families, token_budget, on_progress);
    }
    return set;
  }

  template <class Example>
  void append_rows_of(const Example& example, const merit::BatchBuilder<Model>& builder, Index number,
                      std::span<const Score> scores, std::vector<merit::RowScores>& out) const {
    for_each_sequence(example, [&](const merit::Sequence&) {
      merit::RowScores& rows = out.emplace_back(merit::RowScores{{}, model_.reward_outputs()});
      for (const std::uint32_t row : builder.rows(number)) {
        for (Index k = 0; k < rows.width; ++k) {
          rows.values.push_back(static_cast<double>(scores[row * model_.outputs() + k]));
        }
      }
      ++number;
    });
  }

  Model model_;
};

/// The body of make_model() for one backbone.
template <class Backbone>
std::unique_ptr<AnyModel> make_typed_model(const Backbone& backbone, const ModelSettings& settings) {
  return std::visit(
      [&]<class Head, class Loss>(const Head& head, const Loss& loss) -> std::unique_ptr<AnyModel> {
        if constexpr (!carries<Backbone, Head>) {
          throw merit::ConfigError(merit::detail::concat(
              "the backbone ", Backbone::name(), " cannot carry the head ", name_of(settings.head),
              std::is_same_v<Backbone, merit::Features>
                  ? ": it reads one vector a completion; use scalar, two_layer or attributes"
                  : ": that reads the logits of a language model; use llama or gpt2"));
        } else if constexpr (!is_compiled<Head, Loss>) {
          throw merit::ConfigError("the head " + name_of(settings.head) + " and the loss " +
                                   name_of(settings.loss) + " do not go together in this program");
        } else {
          using Model = merit::RewardModel<Backbone, Head, Loss, merit::EigenBackend<float>>;
          return std::make_unique<TypedModel<Model>>(
              typename Model::Config{.backbone = backbone,
                                     .head = head,
                                     .loss = loss,
                                     .backend = {.threads = settings.threads},
                                     .seed = settings.seed});
        }
      },
      settings.head, settings.loss);
}

}  // namespace programs
