// expect: the 2nd argument of RewardModel, Head, has no forward() as it is called: expected Var forward(Tape<B>& tape, Var hidden)
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

struct Own {
  template <class B>
  class Bound {
   public:
    Bound(const Own&, merit::Index, merit::Parameters<B>&) {}
    merit::Var forward(merit::Var hidden, merit::Tape<B>&) { return hidden; }
  };
  static constexpr merit::ScoreMeaning meaning = merit::ScoreMeaning::per_completion;
  static constexpr std::string_view name() { return "own"; }
};
merit::RewardModel<merit::BagOfTokens, Own, merit::PairwiseLoss, merit::ReferenceBackend<double>> model;
