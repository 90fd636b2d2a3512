// A model of the compiled set behind one interface: to be trained, measured, saved and scored with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "merit/forest/example.hpp"
#include "merit/infer/score.hpp"
#include "merit/model/model_card.hpp"
#include "merit/run/model_set.hpp"
#include "merit/run/scoring_model.hpp"
#include "merit/train/trainer.hpp"

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

/// What a model says of a set.
struct ScoredSet {
  std::vector<RowScores> rows;  // of every sequence of every example, in order
  std::optional<double> loss;   // the model's own, if it learns from this kind
};

/// One run of training. It holds on to its model and examples.
class AnyRun {
 public:
  virtual ~AnyRun() = default;
  virtual Index steps() const = 0;
  virtual Index steps_done() const = 0;
  bool finished() const { return steps_done() >= steps(); }
  virtual StopReason run(const TrainHooks& hooks) = 0;
  virtual void save(const std::filesystem::path& directory, const ModelCard& card, const Json& notes,
                    const SaveOptions& options) = 0;
  virtual void resume(const std::filesystem::path& directory) = 0;
};

/// A model that can also be trained, measured and saved.
class AnyModel : public ScoringModel {
 public:
  virtual ModelCard described(const ModelCard& card) const = 0;
  virtual void save(const std::filesystem::path& directory, const ModelCard& card,
                    const SaveOptions& options) = 0;
  virtual std::unique_ptr<AnyRun> train(const Examples& examples, const TrainOptions& options) = 0;
  virtual ScoredSet measure(const Examples& examples, Index token_budget, const OnProgress& on_progress) = 0;
};

/// What a model is made of besides its backbone.
struct ModelSettings {
  AnyHead head;
  AnyLoss loss;
  int threads = 0;  // 0: all
  std::uint64_t seed = 0;
  Initial initial = Initial::drawn;
  bool scores_only = false;
};

}  // namespace MERIT_ABI
}  // namespace merit
