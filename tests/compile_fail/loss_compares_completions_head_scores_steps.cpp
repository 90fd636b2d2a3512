// expect: Head and Loss do not fit: the Loss compares whole completions, expected one score each, but the
// Head scores tokens or steps
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/scalar_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

struct StepHead : merit::ScalarHead {
  static constexpr merit::ScoreMeaning meaning = merit::ScoreMeaning::per_step;
};

merit::RewardModel<merit::BagOfTokens, StepHead, merit::PairwiseLoss, merit::ReferenceBackend<double>> model;
