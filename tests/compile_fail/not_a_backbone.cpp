// expect: the 1st argument of RewardModel, Backbone, is not a backbone
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::ScalarHead, merit::ScalarHead, merit::PairwiseLoss, merit::ReferenceBackend<double>>
    model;
