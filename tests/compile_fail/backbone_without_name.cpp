// expect: the 1st argument of RewardModel, Backbone, has no name(): expected static constexpr std::string_view name()
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

struct Own {
  template <class B>
  class Bound {
   public:
    Bound(const Own&, merit::Parameters<B>&) {}
    merit::Index hidden_width() const { return 1; }
    merit::Var forward(merit::Tape<B>&, const typename merit::BackendTypes<B>::Forest&) { return {}; }
  };
  merit::Index token_limit() const { return 1; }
  merit::Index position_limit() const { return 0; }
};
merit::RewardModel<Own, merit::ScalarHead, merit::PairwiseLoss, merit::ReferenceBackend<double>> model;
