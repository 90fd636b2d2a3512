// expect: Head and Loss do not fit: a JointHead has two heads, expected a loss for each
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/joint_head.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::BagOfTokens, merit::JointHead<merit::ScalarHead, merit::ValueHead>,
                   merit::PairwiseLoss, merit::ReferenceBackend<double>>
    model;
