// expect: Head and Loss do not fit: the Loss reads the value of each state, expected one before each token
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/value_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::BagOfTokens, merit::TokenHead, merit::ValueLoss, merit::ReferenceBackend<double>>
    model;
