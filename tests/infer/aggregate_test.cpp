// Scores of tokens and steps to one number, votes, and ensembles.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "merit/infer/aggregate.hpp"
#include "merit/infer/ensemble.hpp"
#include "merit/infer/vote.hpp"

namespace aggregate_test {

using namespace merit;

using Numbers = std::vector<double>;
using Words = std::vector<std::string>;
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

TEST_CASE("each aggregation gives what its name says") {
  const Numbers steps{0.9, 0.5, 0.8, 0.6};
  CHECK(aggregate(steps, Aggregation::mean) == doctest::Approx(2.8 / 4).epsilon(1e-14));
  CHECK(aggregate(steps, Aggregation::minimum) == 0.5);
  CHECK(std::exp(aggregate(steps, Aggregation::product)) ==
        doctest::Approx(0.9 * 0.5 * 0.8 * 0.6).epsilon(1e-14));
  CHECK(aggregate(steps, Aggregation::last) == 0.6);
  CHECK(aggregate(steps, Aggregation::mean_of_last, {.last = 2}) == doctest::Approx(0.7).epsilon(1e-14));
  CHECK(aggregate(steps, Aggregation::mean_of_last, {.last = 9}) == aggregate(steps, Aggregation::mean));
  CHECK(aggregate(steps, Aggregation::weighted) ==
        doctest::Approx((0.9 + 2 * 0.5 + 3 * 0.8 + 4 * 0.6) / 10).epsilon(1e-14));
  CHECK(aggregate(steps, Aggregation::none_below) == 1);  // none is under one half
  CHECK(aggregate(steps, Aggregation::none_below, {.threshold = 0.51}) == 0);
  CHECK(first_below(steps, 0.7) == 1);
  CHECK(first_below(steps, 0.5) == std::nullopt);
}

TEST_CASE("one score is itself under every aggregation but the product and the flag") {
  for (const char* name : {"mean", "minimum", "last", "mean_of_last", "weighted"})
    CHECK(aggregate(Numbers{0.3}, aggregation_from_name(name)) == 0.3);
  CHECK(aggregate(Numbers{0.3}, Aggregation::product) == std::log(0.3));
  CHECK(aggregate(Numbers{0.3}, Aggregation::none_below) == 0);
}

TEST_CASE("a product of many probabilities, zeros among them, stays finite and in order") {
  const Numbers many(5000, 0.5), with_zero{0, 1}, small{1e-300, 1};
  CHECK(aggregate(many, Aggregation::product) == doctest::Approx(5000 * std::log(0.5)).epsilon(1e-12));
  CHECK(std::isfinite(aggregate(with_zero, Aggregation::product)));
  CHECK(aggregate(with_zero, Aggregation::product) < aggregate(small, Aggregation::product));
  CHECK(aggregate(Numbers{1, 1}, Aggregation::product) == 0);
}

TEST_CASE("aggregations and rules have names, and an unknown one lists them") {
  for (const std::string_view name : enum_names<Aggregation>)
    CHECK(name_of(aggregation_from_name(name)) == name);
  for (const std::string_view name : enum_names<EnsembleRule>)
    CHECK(name_of(ensemble_rule_from_name(name)) == name);
  CHECK(name_of(Aggregation::none_below) == "none_below");
  CHECK(name_of(EnsembleRule::mean_minus_deviation) == "mean_minus_deviation");
  CHECK_THROWS_WITH_AS(aggregation_from_name("max"),
                       "found aggregation \"max\", expected one of: mean, minimum, product, last, "
                       "mean_of_last, weighted, none_below",
                       ConfigError);
  CHECK_THROWS_WITH_AS(ensemble_rule_from_name("best"),
                       "found ensemble rule \"best\", expected one of: mean, worst, mean_minus_deviation",
                       ConfigError);
}

TEST_CASE("no scores, scores that are no numbers, and no probabilities are refused") {
  for (const std::string_view name : enum_names<Aggregation>) {
    const Aggregation value = aggregation_from_name(name);
    CHECK_THROWS_WITH_AS(aggregate({}, value), "aggregate: there are no scores, expected at least one",
                         DataError);
    CHECK_THROWS_AS(aggregate(Numbers{0.5, not_a_number}, value), DataError);
  }
  CHECK_THROWS_WITH_AS(aggregate(Numbers{0.5, 1.5}, Aggregation::product),
                       "aggregate: found 1.5, expected probabilities from 0 to 1 for the product", DataError);
  CHECK_THROWS_AS(aggregate(Numbers{-0.1}, Aggregation::product), DataError);
  CHECK_THROWS_AS(aggregate(Numbers{0.5}, Aggregation::mean_of_last, {.last = 0}), ConfigError);
  CHECK(aggregate(Numbers{-7, 3}, Aggregation::mean) == -2);  // raw scores are fine elsewhere
}

TEST_CASE("the best is picked, and ties are told") {
  CHECK(pick_best(Numbers{1, 5, 3}).index == 1);
  CHECK(pick_best(Numbers{1, 5, 3}).tied == std::vector<Index>{1});
  CHECK(pick_best(Numbers{-4, -2, -2}).tied == std::vector<Index>{1, 2});
  CHECK(pick_best(Numbers{-4, -2, -2}).index == 1);
  CHECK_THROWS_AS(pick_best({}), DataError);
  CHECK_THROWS_AS(pick_best(Numbers{1, not_a_number}), DataError);
}

TEST_CASE("the majority counts equal answers, and weights can overrule it") {
  const Words answers{"7", "12", "7", "9", "12", "7"};
  const Vote plain = majority(answers);
  CHECK(plain.pick.index == 0);
  CHECK(plain.pick.tied == std::vector<Index>{0});
  CHECK(plain.votes == 3);
  CHECK(plain.total == 6);
  const Vote weighted = weighted_majority(answers, Numbers{0.1, 0.9, 0.2, 0.5, 0.3, 0.1});
  CHECK(answers[weighted.pick.index] == "12");
  CHECK(weighted.pick.index == 1);
  CHECK(weighted.votes == doctest::Approx(1.2).epsilon(1e-14));
  CHECK(weighted.total == doctest::Approx(2.1).epsilon(1e-14));
  CHECK(majority(std::vector<int>{3, 4, 4}).pick.index == 1);  // answers of any type that can be ordered
}

TEST_CASE("tied answers are told by their first candidates, whatever the order of their weights") {
  const Vote tie = majority(Words{"b", "a", "c", "a", "b"});
  CHECK(tie.pick.tied == std::vector<Index>{0, 1});
  CHECK(tie.pick.index == 0);
  // 0.1 + 0.2 + 0.7 added in two orders gives two numbers; the answers have the same weights and tie.
  CHECK(0.1 + 0.2 + 0.7 != 0.7 + 0.2 + 0.1);
  const Vote same =
      weighted_majority(Words{"x", "x", "x", "y", "y", "y"}, Numbers{0.1, 0.2, 0.7, 0.7, 0.2, 0.1});
  CHECK(same.pick.tied == std::vector<Index>{0, 3});
}

TEST_CASE("votes without answers, without matching weights, or with negative ones are refused") {
  CHECK_THROWS_AS(majority(Words{}), DataError);
  CHECK_THROWS_WITH_AS(weighted_majority(Words{"a"}, Numbers{1, 2}), "vote: found 2 weights, expected 1",
                       UsageError);
  CHECK_THROWS_WITH_AS(
      weighted_majority(Words{"a", "b"}, Numbers{1, -2}),
      "vote: found the weight -2, expected none below 0; turn scores into probabilities first", DataError);
}

TEST_CASE("an ensemble gives the mean, the worst, or the mean less its doubt") {
  const Numbers scores{1, 4, 7};
  const double deviation = std::sqrt(6.0);
  CHECK(combine_scores(scores, EnsembleRule::mean) == 4);
  CHECK(combine_scores(scores, EnsembleRule::worst) == 1);
  CHECK(combine_scores(scores, EnsembleRule::mean_minus_deviation, 0.5) ==
        doctest::Approx(4 - 0.5 * deviation).epsilon(1e-14));
  CHECK(combine_scores(scores, EnsembleRule::mean_minus_deviation, 0) == 4);
  CHECK(combine_scores(Numbers{3}, EnsembleRule::mean_minus_deviation) == 3);  // one model has no doubt
  const std::vector<Numbers> models{{1, 0}, {3, 0}};
  CHECK(combine_models(models, EnsembleRule::mean_minus_deviation, 2) == Numbers{0, 0});
  CHECK(combine_models(models, EnsembleRule::mean) == Numbers{2, 0});
}

TEST_CASE("an ensemble of nothing, or of models that scored different numbers, is refused") {
  CHECK_THROWS_AS(combine_scores({}, EnsembleRule::mean), DataError);
  CHECK_THROWS_AS(combine_scores(Numbers{1, not_a_number}, EnsembleRule::worst), DataError);
  CHECK_THROWS_AS(combine_models({}, EnsembleRule::mean), UsageError);
  CHECK_THROWS_WITH_AS(combine_models(std::vector<Numbers>{{1, 2}, {1}}, EnsembleRule::mean),
                       "combine_models: model 1 has 1 scores, expected 2 like the first", UsageError);
}

}  // namespace aggregate_test
