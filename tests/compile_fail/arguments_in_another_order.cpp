// expect: the arguments of RewardModel are in another order: expected RewardModel<Backbone, Head, Loss, Backend>
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::BagOfTokens, merit::PairwiseLoss, merit::ScalarHead,
                   merit::ReferenceBackend<double>>
    model;
