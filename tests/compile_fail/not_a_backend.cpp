// expect: the 4th argument of RewardModel, Backend, is not a backend
#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

merit::RewardModel<merit::BagOfTokens, merit::ScalarHead, merit::PairwiseLoss, double> model;
