// expect: Backbone and Head do not fit: the Head reads the logits of a language model, expected a Backbone
// with an unembedding
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/token_logit_head.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::BagOfTokens, merit::TokenLogitHead<>, merit::CrossEntropyLoss,
                   merit::ReferenceBackend<double>>
    model;
