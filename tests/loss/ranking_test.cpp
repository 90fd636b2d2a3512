// Rankings: PlackettLuceLoss, and margins.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "loss/loss_checks.hpp"
#include "merit/loss/margin.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/loss/plackett_luce_loss.hpp"

namespace ranking_test {

using namespace merit;
using namespace loss_checks;

using Rows = std::vector<std::uint32_t>;
using Ranks = std::vector<Index>;

RankingTargets one_group(const Rows& rows, const Ranks& ranks) {
  RankingTargets targets;
  targets.add(rows, ranks);
  return targets;
}

TEST_CASE("Plackett-Luce of two completions equals the pairwise loss bit for bit") {
  Rng rng(1);
  for (int round = 0; round < 200; ++round) {
    const double spread = std::pow(10.0, rng.uniform() * 6 - 2);  // 0.01 to 1e4
    const auto scores = random_scores(rng, 8, spread);
    RankingTargets rankings;
    PairTargets pairs;
    for (std::uint32_t i = 0; i < 4; ++i) {
      const double weight = 0.5 + rng.uniform();
      const std::uint32_t chosen = 2 * i + static_cast<std::uint32_t>(rng.below(2));
      const std::uint32_t rejected = 4 * i + 1 - chosen;
      rankings.add(Rows{rejected, chosen}, Ranks{7, 3}, weight);  // given worst first
      pairs.pairs.push_back({chosen, rejected, 0, weight, 1});
    }
    const std::vector<float> narrow(scores.begin(), scores.end());
    std::vector<double> a, b;
    std::vector<float> c, d;
    for (const PlackettLuceLoss loss : {PlackettLuceLoss{}, PlackettLuceLoss{1, Ties::breslow, true}}) {
      CHECK(evaluate(loss, rankings, scores, a) == evaluate(PairwiseLoss{}, pairs, scores, b));
      CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0);
      CHECK(evaluate(loss, rankings, narrow, c) == evaluate(PairwiseLoss{}, pairs, narrow, d));
      CHECK(std::memcmp(c.data(), d.data(), c.size() * sizeof c[0]) == 0);
    }
  }
}

TEST_CASE("Plackett-Luce gradients agree with central differences, with ties and tops, near and far") {
  Rng rng(2);
  for (int round = 0; round < 20; ++round) {
    const PlackettLuceLoss loss{.top = static_cast<Index>(rng.below(4)),
                                .ties = rng.below(2) == 0 ? Ties::efron : Ties::breslow,
                                .divide_by_choices = rng.below(2) == 0};
    RankingTargets targets;
    for (int group = 0; group < 3; ++group) {
      Ranks ranks;
      for (int i = 0; i < 6; ++i) ranks.push_back(rng.below(group == 0 ? 100 : 3));
      targets.add(Rows{0, 1, 2, 3, 4, 5}, ranks, 0.5 + rng.uniform());
    }
    check_differences(loss, targets, random_scores(rng, 6));
    check_differences(loss, targets, far_scores, far_step);
  }
}

TEST_CASE("ties are those of Cox regression") {
  const std::vector<double> scores{0.3, -0.8, 1.1};
  const double a = std::exp(0.3), b = std::exp(-0.8), c = std::exp(1.1);
  const RankingTargets targets = one_group({0, 1, 2}, {0, 0, 1});  // 0 and 1 tied above 2
  std::vector<double> gradient;
  CHECK(evaluate(PlackettLuceLoss{}, targets, scores, gradient) ==
        doctest::Approx(std::log(a + b + c) + std::log((a + b) / 2 + c) - 0.3 + 0.8).epsilon(1e-14));
  CHECK(evaluate(PlackettLuceLoss{.ties = Ties::breslow}, targets, scores, gradient) ==
        doctest::Approx(2 * std::log(a + b + c) - 0.3 + 0.8).epsilon(1e-14));
}

TEST_CASE("Plackett-Luce is right for scores up to 1e4, and keeps the digits of a sure ranking") {
  std::vector<double> gradient;
  const RankingTargets three = one_group({0, 1, 2}, {0, 1, 2});
  CHECK(evaluate(PlackettLuceLoss{}, three, {1e4, 0.0, -1e4}, gradient) == 0.0);
  CHECK(evaluate(PlackettLuceLoss{}, three, {-1e4, 0.0, 1e4}, gradient) == 3e4);
  CHECK(gradient == std::vector<double>{-1, -1, 2});
  CHECK(evaluate(PlackettLuceLoss{}, three, {100.0, 50.0, 0.0}, gradient) ==
        doctest::Approx(2 * std::exp(-50.0)).scale(0).epsilon(1e-12));
  CHECK(gradient[0] == doctest::Approx(-std::exp(-50.0)).scale(0).epsilon(1e-12));
  CHECK(gradient[2] == doctest::Approx(std::exp(-50.0)).scale(0).epsilon(1e-12));
}

TEST_CASE("the shares of rankings add up, and a group of one counts nothing") {
  RankingTargets whole = one_group({0, 1, 2}, {2, 0, 1});
  whole.add(Rows{3, 4, 5, 0}, Ranks{0, 0, 1, 2}, 2.5);
  RankingTargets second;
  second.add(Rows{3, 4, 5, 0}, Ranks{0, 0, 1, 2}, 2.5);
  RankingTargets nothing = one_group({5}, {0});
  nothing.add(Rows{}, Ranks{});
  const std::vector<double> scores{0.4, -1.0, 2.0, 0.1, -0.3, 0.9};
  const PlackettLuceLoss loss{.divide_by_choices = true};
  CHECK(loss.normaliser(whole) == 3.5);
  CHECK(loss.normaliser(nothing) == 0.0);
  check_shares(loss, whole, {one_group({0, 1, 2}, {2, 0, 1}), second, nothing}, scores);
  std::vector<double> gradient;
  CHECK(evaluate(loss, nothing, scores, gradient) == 0.0);
  CHECK(gradient == std::vector<double>(6, 0.0));
  whole.clear();
  CHECK(loss.normaliser(whole) == 0.0);
}

TEST_CASE("margins come from the record, the ratings, a table or the user") {
  const MarginInput input{.record = 0.7, .chosen_rating = 5, .rejected_rating = 2, .strength = 1};
  CHECK(NoMargin{}(input) == 0.0);
  CHECK(RecordMargin{}(input) == 0.7);
  CHECK(RatingMargin{}(input) == 3.0);
  CHECK(RatingMargin{.scale = 0.5}(input) == 1.5);
  CHECK(StrengthMargin::llama2_small()(input) == doctest::Approx(1.0 / 3));
  CHECK(StrengthMargin::llama2_small().table.back() == 1.0);
  CHECK(StrengthMargin::llama2_large()(input) == 1.0);
  CHECK(StrengthMargin::llama2_large().table.back() == 3.0);
  CHECK_THROWS_WITH_AS(StrengthMargin::llama2_large()({.strength = 4}),
                       "the strength of a preference is 4, expected less than 4, the size of the table of "
                       "margins",
                       DataError);
}

TEST_CASE("rankings that cannot be are named") {
  RankingTargets targets;
  CHECK_THROWS_WITH_AS(targets.add(Rows{0, 1, 2}, Ranks{0, 1}),
                       "a ranking has 3 completions and 2 ranks, expected as many", DataError);
  CHECK_THROWS_WITH_AS(validate(PlackettLuceLoss{.ties = static_cast<Ties>(9)}),
                       "plackett_luce: ties is 9, expected one of: efron, breslow", ConfigError);
}

}  // namespace ranking_test
