// Losses where scores stay on a device: what the loop on the host gives.
#include "merit/loss/device_loss.hpp"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "backend/backends.hpp"
#include "merit/core/buffer.hpp"
#include "merit/core/rng.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/loss/evaluate_loss.hpp"
#include "merit/loss/hinge_loss.hpp"
#include "merit/loss/joint_loss.hpp"
#include "merit/loss/language_model_loss.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/loss/plackett_luce_loss.hpp"
#include "merit/loss/regression_loss.hpp"
#include "merit/loss/value_loss.hpp"

namespace device_loss_test {

using namespace merit_test;
#ifdef MERIT_TEST_DEVICE
using B = ThrustBackend<Single, CudaSystem>;
constexpr double tolerance = Tolerance<float>::value;  // exp and log are the device's own
#else
using B = ThrustBackend<Single, OmpSystem>;
constexpr double tolerance = 0;
#endif

std::uint32_t random_row(Rng& rng, Index rows) {
  return static_cast<std::uint32_t>(rng.below(rows));
}

/// The loss and gradient of the device's loop, twice, the second time onto the first at half the weight, beside the host's.
template <class Loss>
void check_loss(const Loss& loss, const typename Loss::Targets& targets, Index rows, Index columns) {
  static_assert(runs_on_device<Loss, B>);
  Rng rng(7);
  std::vector<float> scores(rows * columns);
  for (float& score : scores) score = static_cast<float>(2 * rng.normal());
  const double normaliser = loss.normaliser(targets);

  std::vector<float> gradient(scores.size()), expected(scores.size());
  Buffer<double> scratch(scratch_size(loss, targets));
  const double value = evaluate_loss(
      loss, targets, normaliser,
      LossArrays<float>{{scores.data(), rows, columns}, {gradient.data(), rows, columns}, scratch.view()});
  for (const double weight : {1.0, 0.5})
    for (Index i = 0; i < gradient.size(); ++i)
      expected[i] += static_cast<float>(weight * static_cast<double>(gradient[i]));

  Machine<B> m;
  DeviceLoss<B> on_device(m.handle);
  const Copied<B, float> there(m, scores);
  Copied<B, float> slopes(m, std::vector<float>(scores.size()));
  Copied<B, double> total(m, std::vector<double>{9});
  const MatrixView<const float, DeviceSpace> of_scores{there.data(), rows, columns};
  const MatrixView<float, DeviceSpace> of_slopes{slopes.mutable_view().data, rows, columns};
  double* const sum = total.mutable_view().data;
  on_device.begin(sum);
  for (const double weight : {1.0, 0.5})
    on_device.add(loss, targets, normaliser, weight, of_scores, of_slopes, sum);
  CHECK(relative_error(total.values(), Numbers{value + 0.5 * value}) <=
        (targets.unit_count() > SumLosses::part ? 1e-14 : tolerance));
  const std::vector<float> found = slopes.values();
  CHECK(relative_error(Numbers(found.begin(), found.end()), Numbers(expected.begin(), expected.end())) <=
        tolerance);

  // Without a gradient the loss is the same.
  on_device.begin(sum);
  on_device.add(loss, targets, normaliser, 1, of_scores, {}, sum);
  CHECK(slopes.values() == found);
  CHECK(total.values()[0] != 0);
}

PairTargets random_pairs(Rng& rng, Index count, Index rows) {
  PairTargets targets;
  for (Index i = 0; i < count; ++i)
    targets.pairs.push_back({random_row(rng, rows), random_row(rng, rows), 0.1 * rng.normal(),
                             rng.uniform() + 0.1, rng.uniform()});
  return targets;
}

TEST_CASE("pairs, which may share scores") {
  Rng rng(1);
  for (const Index count : {Index{1}, Index{7}, Index{300}}) {
    const PairTargets targets = random_pairs(rng, count, 9);
    check_loss(PairwiseLoss{.label_smoothing = 0.1, .scale = 2, .centering = 0.01}, targets, 11, 1);
    check_loss(HingeLoss{}, targets, 11, 1);
  }
}

TEST_CASE("rankings with ties, and groups of one, which say nothing") {
  Rng rng(2);
  RankingTargets targets;
  for (const Index size : {Index{4}, Index{1}, Index{9}, Index{2}}) {
    std::vector<std::uint32_t> rows;
    std::vector<Index> ranks;
    for (Index i = 0; i < size; ++i) {
      rows.push_back(random_row(rng, 20));
      ranks.push_back(rng.below(5));
    }
    targets.add(rows, ranks, rng.uniform() + 0.5);
  }
  check_loss(PlackettLuceLoss{}, targets, 20, 1);
  check_loss(PlackettLuceLoss{.top = 2, .ties = Ties::breslow, .divide_by_choices = true}, targets, 20, 1);
}

TEST_CASE("labels of rows by completion, more than are summed at a time") {
  Rng rng(3);
  BinaryTargets labels;
  ClassTargets classes(3), halves(2);
  for (Index sequence = 0; sequence < 50; ++sequence) {
    labels.begin_sequence(rng.uniform());
    classes.begin_sequence(rng.uniform());
    halves.begin_sequence();
    for (Index i = 0; i < 60; ++i) {
      labels.add(random_row(rng, 400), rng.uniform());
      classes.add(random_row(rng, 400), rng.below(3), sequence == 3 ? 0 : rng.uniform());
      halves.add(random_row(rng, 400), rng.below(2));
    }
  }
  REQUIRE(labels.unit_count() > 2 * SumLosses::part);
  for (const Denominator denominator : {Denominator::per_token, Denominator::per_sequence}) {
    check_loss(BinaryCrossEntropyLoss<ScoreMeaning::per_token>{.denominator = denominator, .focal = 1.5},
               labels, 400, 1);
    check_loss(CrossEntropyLoss{.denominator = denominator, .label_smoothing = 0.1}, classes, 400, 3);
  }
  check_loss(CrossEntropyLoss{.class_weights = {0.5, 2, 1}}, classes, 400, 3);
  check_loss(CompletionCrossEntropyLoss{}, halves, 400, 2);
  CHECK_THROWS_WITH_AS(check_loss(CrossEntropyLoss{}, classes, 400, 2),
                       doctest::Contains("3 classes and the scores 2"), UsageError);
}

TEST_CASE("values and attributes") {
  Rng rng(4);
  ValueTargets values;
  RegressionTargets ratings;
  for (Index i = 0; i < 70; ++i) {
    values.values.push_back({random_row(rng, 30), rng.normal(), rng.normal(), rng.uniform() + 0.1});
    ratings.values.push_back(
        {random_row(rng, 30), rng.normal(), rng.uniform() + 0.1, static_cast<std::uint32_t>(rng.below(4))});
  }
  check_loss(ValueLoss{.clip = 0.5}, values, 30, 1);
  check_loss(RegressionLoss<ScoreMeaning::per_completion>{}, ratings, 30, 4);
}

TEST_CASE("two losses of a device's are one, a loss of one's own or of a language model is the host's") {
  struct Own : PairwiseLoss {};
  static_assert(runs_on_device<JointLoss<PairwiseLoss, HingeLoss>, B>);
  static_assert(!runs_on_device<JointLoss<PairwiseLoss, LanguageModelLoss>, B>);
  static_assert(!runs_on_device<Own, B>);
  static_assert(!runs_on_device<PairwiseLoss, ReferenceBackend<float>>);
  // Nothing to learn from: nothing is added.
  Machine<B> m;
  DeviceLoss<B> on_device(m.handle);
  Copied<B, double> total(m, std::vector<double>{9});
  on_device.begin(total.mutable_view().data);
  on_device.add(PairwiseLoss{}, PairTargets{}, 1, 1, {}, {}, total.mutable_view().data);
  CHECK(total.values()[0] == 0);
}

}  // namespace device_loss_test
