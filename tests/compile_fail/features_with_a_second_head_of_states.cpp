// expect: Backbone and Head do not fit: the Backbone Features has one vector a completion, expected a Head
// that scores completions
#include "merit/backbone/features.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/joint_head.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/joint_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/loss/value_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::Features, merit::JointHead<merit::ScalarHead, merit::ValueHead>,
                   merit::JointLoss<merit::PairwiseLoss, merit::ValueLoss>, merit::ReferenceBackend<double>>
    model;
