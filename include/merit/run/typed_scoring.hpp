// Models that are loaded and score, of one backbone and every head of the compiled set.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/core/error.hpp"
#include "merit/infer/score.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/run/model_set.hpp"
#include "merit/run/scoring_model.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A RewardModel as a ScoringModel, or as what is derived of it.
template <class Model, class Interface = ScoringModel>
class TypedScoring : public Interface {
 public:
  explicit TypedScoring(const typename Model::Config& config) : model_(config) {}

  Index parameters() const override { return model_.parameters().elements(); }
  ScoreMeaning meaning() const override { return Model::HeadType::meaning; }
  LoadReport load(const std::filesystem::path& from, const LoadOptions& options) override {
    return load_model_parameters(from, model_, options);
  }
  std::vector<RowScores> score(std::span<const Family> families, Index token_budget,
                               const OnProgress& on_progress) override {
    return score_rows(model_, families, token_budget, on_progress);
  }
  double merged(std::span<const double> rows) const override {
    if constexpr (requires { model_.head().merge(rows); }) {
      return model_.head().merge(rows);
    } else {
      return rows[0];
    }
  }

 protected:
  Model model_;
};

namespace detail {

/// A loss that fits the head, for a model that learns nothing.
template <class Head>
struct LossForScoring {
  using type = RegressionLoss<Head::meaning>;
};
template <class First, class Second>
struct LossForScoring<JointHead<First, Second>> {
  using type = JointLoss<RegressionLoss<First::meaning>, LanguageModelLoss>;
};

template <class Backbone, class Head>
[[noreturn]] void throw_not_carried() {
  throw ConfigError(concat("the backbone ", Backbone::name(), " cannot carry the head ", name_in_set<Head>(),
                           std::is_same_v<Backbone, Features>
                               ? ": it reads one vector a completion; use scalar, two_layer or attributes"
                               : ": that reads the logits of a language model; use llama or gpt2"));
}

template <class Backbone>
[[noreturn]] void throw_not_compiled() {
  throw ConfigError(
      concat("the backbone is ", Backbone::name(), ", which this program was compiled without"));
}

}  // namespace detail

/// A model whose parameters come from a file. Throws ConfigError where the backbone cannot carry the head.
template <class Backbone>
std::unique_ptr<ScoringModel> make_scoring_model_on(const Backbone& backbone, const AnyHead& any_head,
                                                    int threads) {
  return std::visit(
      [&]<class Head>(const Head& head) -> std::unique_ptr<ScoringModel> {
        if constexpr (!carries<Backbone, Head>) {
          detail::throw_not_carried<Backbone, Head>();
        } else {
          using Model =
              RewardModel<Backbone, Head, typename detail::LossForScoring<Head>::type, EigenBackend<float>>;
          return std::make_unique<TypedScoring<Model>>(typename Model::Config{.backbone = backbone,
                                                                              .head = head,
                                                                              .backend = {.threads = threads},
                                                                              .initial = Initial::from_file,
                                                                              .scores_only = true});
        }
      },
      any_head);
}

/// The same for a backbone chosen at run time among `Backbones`, a std::variant: a program compiles the
/// models of those alone. Throws ConfigError for another.
template <class Backbones = BackboneConfig>
std::unique_ptr<ScoringModel> make_scoring_model(const BackboneConfig& backbone, const AnyHead& head,
                                                 int threads) {
  return std::visit(
      [&]<class Backbone>(const Backbone& numbers) -> std::unique_ptr<ScoringModel> {
        if constexpr (detail::is_alternative<Backbone, Backbones>) {
          return make_scoring_model_on(numbers, head, threads);
        } else {
          detail::throw_not_compiled<Backbone>();
        }
      },
      backbone);
}

}  // namespace MERIT_ABI
}  // namespace merit
