// expect: the 2nd argument of RewardModel, Head, is not a head
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::BagOfTokens, merit::PairwiseLoss, merit::PairwiseLoss,
                   merit::ReferenceBackend<double>>
    model;
