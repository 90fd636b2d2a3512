// expect: the Loss does not learn from this kind of example: expected an append_targets() for the
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/train/trainer.hpp"

using Model = merit::RewardModel<merit::BagOfTokens, merit::ScalarHead, merit::PairwiseLoss,
                                 merit::ReferenceBackend<double>>;

void train(Model& model, const std::vector<merit::OutcomeExample>& examples) {
  merit::Trainer trainer(model, examples, {});
}
