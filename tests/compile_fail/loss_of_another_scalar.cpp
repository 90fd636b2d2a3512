// expect: the 3rd argument of RewardModel, Loss, has no term() as it is called: expected UnitLoss term(
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

struct Own {
  struct Targets {
    void clear() {}
  };
  static constexpr merit::ScoreMeaning reads = merit::ScoreMeaning::per_completion;
  static constexpr std::string_view name() { return "own"; }
  double normaliser(const Targets&) const { return 1; }
  // Of float, where the backend counts in double.
  double value_and_gradient(merit::MatrixView<const float>, const Targets&, double,
                            merit::MatrixView<float>) const {
    return 0;
  }
};
merit::RewardModel<merit::BagOfTokens, merit::ScalarHead, Own, merit::ReferenceBackend<double>> model;
