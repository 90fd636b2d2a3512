// expect: Head and Loss do not fit: the Loss labels tokens, expected a score for each, but the Head scores
// completions or steps
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/scalar_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

struct TokenLoss : merit::PairwiseLoss {
  static constexpr merit::ScoreMeaning reads = merit::ScoreMeaning::per_token;
};

merit::RewardModel<merit::BagOfTokens, merit::ScalarHead, TokenLoss, merit::ReferenceBackend<double>> model;
