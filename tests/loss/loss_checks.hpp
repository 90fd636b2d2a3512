// What the tests of every loss ask: central differences, and the loss of float scores.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "merit/core/rng.hpp"
#include "merit/loss/evaluate_loss.hpp"

namespace loss_checks {

using namespace merit;

/// The loss of scores (R, columns), as if they were the whole step. Every element of `gradient` must be
/// assigned.
template <class Loss, class Targets, class Score = double>
double evaluate(const Loss& loss, const Targets& targets, const std::vector<Score>& scores,
                std::vector<Score>& gradient, Index columns = 1) {
  static_assert(merit::loss<Loss, Score>);
  gradient.assign(scores.size(), Score{777});
  const Index rows = scores.size() / columns;
  std::vector<double> scratch(scratch_size(loss, targets), 777);
  return evaluate_loss(
      loss, targets, loss.normaliser(targets),
      LossArrays<Score>{{scores.data(), rows, columns}, {gradient.data(), rows, columns}, scratch});
}

template <class Loss, class Targets>
void check_differences(const Loss& loss, const Targets& targets, const std::vector<double>& scores,
                       double step = 1e-5, Index columns = 1) {
  std::vector<double> gradient;
  std::vector<double> unused;
  CHECK(std::isfinite(evaluate(loss, targets, scores, gradient, columns)));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    auto up = scores;
    auto down = scores;
    up[i] += step;
    down[i] -= step;
    const double slope =
        (evaluate(loss, targets, up, unused, columns) - evaluate(loss, targets, down, unused, columns)) /
        (up[i] - down[i]);
    CAPTURE(i);
    CHECK(std::abs(slope - gradient[i]) < 1e-8 * std::max(1.0, std::abs(slope)));
  }
}

/// Scores so far apart that every loss of differences is straight around them; a step of 2⁻¹⁰ is exact.
inline const std::vector<double> far_scores{1e4, -1e4, 5e3, -40.0, 700.0, 0.0};
inline constexpr double far_step = 0x1p-10;

/// Targets that were cut into parts: the shares of the loss and gradient add up to the whole's.
template <class Loss, class Targets>
void check_shares(const Loss& loss, const Targets& whole, const std::vector<Targets>& parts,
                  const std::vector<double>& scores, Index columns = 1) {
  std::vector<double> gradient;
  const double value = evaluate(loss, whole, scores, gradient, columns);
  const Index rows = scores.size() / columns;
  double normaliser = 0;
  for (const Targets& part : parts) normaliser += loss.normaliser(part);
  double sum = 0;
  std::vector<double> gradient_sum(scores.size());
  for (const Targets& part : parts) {
    std::vector<double> share(scores.size(), 777.0);
    std::vector<double> scratch(scratch_size(loss, part));
    sum += evaluate_loss(
        loss, part, normaliser,
        LossArrays<double>{{scores.data(), rows, columns}, {share.data(), rows, columns}, scratch});
    for (std::size_t i = 0; i < share.size(); ++i) gradient_sum[i] += share[i];
  }
  CHECK(sum == doctest::Approx(value).epsilon(1e-14));
  for (std::size_t i = 0; i < gradient.size(); ++i) CHECK(std::abs(gradient_sum[i] - gradient[i]) < 1e-13);
}

inline std::vector<double> random_scores(Rng& rng, std::size_t count, double spread = 2) {
  std::vector<double> scores(count);
  for (double& score : scores) score = spread * rng.normal();
  return scores;
}

}  // namespace loss_checks
