// expect: Backbone and Head do not fit: the Backbone Features has one vector a completion, expected a Head
// that scores completions
#include "merit/backbone/features.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::Features, merit::TokenHead, merit::BinaryCrossEntropyLoss<>,
                   merit::ReferenceBackend<double>>
    model;
