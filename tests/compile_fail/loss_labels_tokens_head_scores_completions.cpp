// expect: Head and Loss do not fit: the Loss labels tokens, expected a score for each, but the Head
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::BagOfTokens, merit::ScalarHead, merit::BinaryCrossEntropyLoss<>,
                   merit::ReferenceBackend<double>>
    model;
