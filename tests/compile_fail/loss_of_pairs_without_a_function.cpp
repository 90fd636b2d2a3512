// expect: a PairLoss is a function of two scores, expected a member
#include "merit/loss/evaluate_loss.hpp"
#include "merit/loss/expression_loss.hpp"

struct OfOneScore : merit::PairLoss<OfOneScore> {
  auto operator()(auto chosen) const { return chosen; }
};

double value = merit::evaluate_loss(OfOneScore{}, {}, 1.0, merit::LossArrays<double>{});
