// expect: the 3rd argument of RewardModel, Loss, is not a loss
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::BagOfTokens, merit::ScalarHead, merit::ScalarHead, merit::ReferenceBackend<double>>
    model;
