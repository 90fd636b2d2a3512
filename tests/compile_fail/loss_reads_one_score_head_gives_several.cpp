// expect: Head and Loss do not fit: the Loss reads one score a row, expected a Head with one output, but the
// Head
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/attribute_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::BagOfTokens, merit::AttributeHead, merit::PairwiseLoss,
                   merit::ReferenceBackend<double>>
    model;
