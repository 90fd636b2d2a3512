// expect: Head and Loss do not fit: the Loss labels reasoning steps, expected scores for each, but the Head
// scores completions or tokens
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/scalar_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

struct StepLoss : merit::PairwiseLoss {
  static constexpr merit::ScoreMeaning reads = merit::ScoreMeaning::per_step;
};

merit::RewardModel<merit::BagOfTokens, merit::ScalarHead, StepLoss, merit::ReferenceBackend<double>> model;
