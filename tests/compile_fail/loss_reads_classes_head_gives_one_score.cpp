// expect: Head and Loss do not fit: the Loss reads a score for each class, expected a Head with one output a
// class
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::BagOfTokens, merit::StepHead<1>, merit::CrossEntropyLoss,
                   merit::ReferenceBackend<double>>
    model;
