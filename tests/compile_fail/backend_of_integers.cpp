// expect: the 4th argument of RewardModel, Backend, counts in a type that is none of its: expected float or double
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

#include "merit/backend/eigen/eigen_backend.hpp"
merit::RewardModel<merit::BagOfTokens, merit::ScalarHead, merit::PairwiseLoss, merit::EigenBackend<int>>
    model;
