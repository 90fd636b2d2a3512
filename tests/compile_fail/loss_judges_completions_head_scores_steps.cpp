// expect: Head and Loss do not fit: the Loss judges whole completions, expected scores of them, but the Head
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::BagOfTokens, merit::StepHead<1>, merit::PairwiseLoss,
                   merit::ReferenceBackend<double>>
    model;
