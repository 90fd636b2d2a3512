// HingeLoss by hand, against central differences and at extremes; PyTorch's values are in
// more_losses_golden_test.cpp.
#include "merit/loss/hinge_loss.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "loss/loss_checks.hpp"

namespace hinge_loss_test {

using namespace merit;
using loss_checks::evaluate;

PairTargets pairs_of_six() {
  PairTargets targets;
  targets.pairs = {{0, 1, 0, 1, 1}, {2, 1, 0.5, 2, 0.75}, {3, 5, -0.25, 0.5, 1}, {4, 0, 0, 1, 0.5}};
  return targets;
}

TEST_CASE("a pair pulls until it is won by the margin") {
  PairTargets one;
  one.pairs = {{0, 1, 0, 1, 1}};
  std::vector<double> gradient;
  const HingeLoss loss{.margin = 2, .scale = 0.5};
  CHECK(evaluate(loss, one, std::vector<double>{1, 0}, gradient) == 1.5);  // 2 - 0.5 * 1
  CHECK(gradient == std::vector<double>{-0.5, 0.5});
  CHECK(evaluate(loss, one, std::vector<double>{0, 3}, gradient) == 3.5);
  CHECK(gradient == std::vector<double>{-0.5, 0.5});
  CHECK(evaluate(loss, one, std::vector<double>{9, 0}, gradient) == 0);
  CHECK(gradient == std::vector<double>{0, 0});
  CHECK(evaluate(loss, one, std::vector<double>{4, 0}, gradient) == 0);  // at the kink
  CHECK(gradient == std::vector<double>{0, 0});
  one.pairs[0].margin = 1;  // the pair's own, on top
  CHECK(evaluate(loss, one, std::vector<double>{4, 0}, gradient) == 1);
}

TEST_CASE("a soft label mixes both directions, and a tie pulls nothing that is within the margin") {
  PairTargets one;
  one.pairs = {{0, 1, 0, 1, 0.75}};
  std::vector<double> gradient;
  CHECK(evaluate(HingeLoss{}, one, std::vector<double>{0.5, 0}, gradient) == 0.75 * 0.5 + 0.25 * 1.5);
  CHECK(gradient == std::vector<double>{-0.5, 0.5});
  CHECK(evaluate(HingeLoss{}, one, std::vector<double>{3, 0}, gradient) == 0.25 * 4);
  CHECK(gradient == std::vector<double>{0.25, -0.25});
  one.pairs[0].soft_label = 0.5;
  CHECK(evaluate(HingeLoss{}, one, std::vector<double>{0.5, 0}, gradient) == 1);
  CHECK(gradient == std::vector<double>{0, 0});
}

TEST_CASE("the hinge's gradient agrees with central differences, also far apart, and shares add up") {
  const HingeLoss loss{.margin = 0.8, .scale = 1.3};
  const PairTargets whole = pairs_of_six();
  Rng rng(7);
  for (int i = 0; i < 20; ++i)  // a step across a kink is as unlikely as 1e-5
    loss_checks::check_differences(loss, whole, loss_checks::random_scores(rng, 6));
  loss_checks::check_differences(loss, whole, loss_checks::far_scores, loss_checks::far_step);
  std::vector<PairTargets> parts(2);
  parts[0].pairs = {whole.pairs[0], whole.pairs[2]};
  parts[1].pairs = {whole.pairs[1], whole.pairs[3]};
  loss_checks::check_shares(loss, whole, parts, loss_checks::random_scores(rng, 6));
}

TEST_CASE("a score that is no number is no pair well won") {
  PairTargets one;
  one.pairs = {{0, 1}};
  std::vector<double> gradient;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(evaluate(HingeLoss{}, one, std::vector<double>{nan, 0}, gradient)));
}

TEST_CASE("a margin or scale that is none is refused") {
  CHECK_THROWS_WITH_AS(validate(HingeLoss{.margin = 0}), "hinge: margin is 0, expected a number above 0",
                       ConfigError);
  CHECK_THROWS_AS(validate(HingeLoss{.scale = -1}), ConfigError);
}

}  // namespace hinge_loss_test
