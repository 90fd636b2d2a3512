// Rewards, returns, advantages and whitening against numbers computed independently
// (tests/golden/generate_rl.py).
#include <doctest/doctest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "merit/infer/advantages.hpp"
#include "merit/infer/normalise.hpp"
#include "stored.hpp"

namespace advantages_test {

using namespace merit;

using Numbers = std::vector<double>;
using Mask = std::vector<std::uint8_t>;

nlohmann::json golden(const char* part) {
  std::ifstream file(merit_test::stored("rl.json"));
  REQUIRE(file.good());
  return nlohmann::json::parse(file).at(part);
}

void check_equal(const Numbers& found, const Numbers& expected, double tolerance) {
  REQUIRE(found.size() == expected.size());
  for (Index i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(found[i] - expected[i]) <= tolerance * (1 + std::abs(expected[i])));
  }
}

TEST_CASE("advantages and returns are the stored ones, with both treatments of masked tokens") {
  const nlohmann::json cases = golden("generalised_advantages");
  CHECK(cases.size() >= 9);
  for (const auto& json : cases) {
    INFO(json.at("name").get<std::string>());
    const Mask mask = json.at("mask");
    const Numbers rewards = json.at("rewards"), values = json.at("values");
    const Advantages found =
        generalised_advantages(rewards, values, json.at("gamma"), json.at("lambda"), mask,
                               masked_tokens_from_name(json.at("masked").get<std::string>()));
    check_equal(found.advantages, json.at("advantages"), 1e-13);
    check_equal(found.returns, json.at("returns"), 1e-13);
  }
}

TEST_CASE("skip and zero differ only when tokens are masked between others") {
  const Numbers rewards{0, 0, 0, 1}, values{0.1, 0.2, 0.3, 0.4};
  const auto run = [&](const Mask& mask, MaskedTokens masked) {
    return generalised_advantages(rewards, values, 0.9, 0.8, mask, masked).advantages;
  };
  CHECK(run({}, MaskedTokens::skip) == run({1, 1, 1, 1}, MaskedTokens::zero));
  CHECK(run({1, 1, 1, 0}, MaskedTokens::skip) == run({1, 1, 1, 0}, MaskedTokens::zero));
  const Numbers skip = run({1, 0, 1, 1}, MaskedTokens::skip), zero = run({1, 0, 1, 1}, MaskedTokens::zero);
  CHECK(skip[2] == zero[2]);
  CHECK(skip[0] != zero[0]);
  CHECK(skip[1] == 0);
  CHECK(zero[1] == 0);
}

TEST_CASE("with γ = λ = 1 the return is the sum of what is to come, whatever the values") {
  const Numbers rewards{0.5, -1, 2}, values{3, -7, 11};
  check_equal(generalised_advantages(rewards, values, 1, 1).returns, discounted_returns(rewards, 1), 1e-14);
  CHECK(discounted_returns(rewards, 1) == Numbers{1.5, 1, 2});
  CHECK(discounted_returns(rewards, 0.5) == Numbers{0.5, 0, 2});
  CHECK(discounted_returns({}, 0.5).empty());
}

TEST_CASE("a terminal score lands on the last token or one past it where there is room") {
  CHECK(terminal_rewards(2, 3, 3) == Numbers{0, 0, 2});
  CHECK(terminal_rewards(2, 3, 5) == Numbers{0, 0, 2, 0, 0});
  CHECK(terminal_rewards(2, 3, 5, TerminalPlace::one_past) == Numbers{0, 0, 0, 2, 0});
  CHECK(terminal_rewards(2, 3, 3, TerminalPlace::one_past) == Numbers{0, 0, 2});
  CHECK(terminal_place_from_name("one_past") == TerminalPlace::one_past);
  CHECK(terminal_place_from_name("last_token") == TerminalPlace::last_token);
  CHECK_THROWS_WITH_AS(terminal_place_from_name("end"),
                       "found terminal place \"end\", expected one of: last_token, one_past", ConfigError);
  CHECK_THROWS_AS(masked_tokens_from_name("drop"), ConfigError);
  CHECK_THROWS_AS(terminal_rewards(2, 0, 3), UsageError);
  CHECK_THROWS_WITH_AS(terminal_rewards(2, 4, 3),
                       "terminal_rewards: found 4 tokens, expected from 1 to the width 3", UsageError);
}

TEST_CASE("step scores land on their last tokens, whole or as changes that add up to the last") {
  const Numbers scores{0.5, 0.25, 1};
  const std::vector<Index> ends{1, 2, 5};
  CHECK(step_rewards(scores, ends, 7) == Numbers{0, 0.5, 0.25, 0, 0, 1, 0});
  const Numbers changes = step_rewards(scores, ends, 6, StepReward::change);
  CHECK(changes == Numbers{0, 0.5, -0.25, 0, 0, 0.75});
  CHECK(discounted_returns(changes, 1)[0] == scores.back());
  CHECK_THROWS_AS(step_rewards(scores, ends, 5), UsageError);
  CHECK_THROWS_AS(step_rewards(scores, std::vector<Index>{1, 1, 2}, 5), UsageError);
  CHECK_THROWS_AS(step_rewards(scores, std::vector<Index>{1, 2}, 5), UsageError);
}

TEST_CASE("whitening gives the stored numbers, with the mean taken out or kept") {
  const nlohmann::json cases = golden("whiten");
  CHECK(cases.size() >= 6);
  for (const auto& json : cases) {
    const Mask mask = json.at("mask");
    const Numbers values = json.at("values");
    const Centre centre = json.at("kept").get<bool>() ? Centre::kept : Centre::removed;
    check_equal(whiten(values, centre, mask), json.at("whitened"), 1e-13);
  }
}

TEST_CASE("whitening equal numbers gives zeros, and whitening one is an error") {
  CHECK(whiten(Numbers{3, 3, 3}) == Numbers{0, 0, 0});
  CHECK(whiten(Numbers{3, 3}, Centre::kept) == Numbers{3, 3});
  CHECK_THROWS_WITH_AS(whiten(Numbers{3}), "whiten: found 1 numbers, expected at least 2 for a variance",
                       DataError);
  CHECK_THROWS_AS(whiten({}), DataError);
  CHECK_THROWS_AS(whiten(Numbers{3, 4}, Centre::removed, Mask{0, 1}), DataError);
  CHECK_THROWS_AS(whiten(Numbers{3, 4, 5}, Centre::removed, Mask{0, 1}), UsageError);
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(whiten(Numbers{3, infinity}), DataError);
  CHECK(whiten(Numbers{1, infinity, 2}, Centre::removed, Mask{1, 0, 1})[1] ==
        0);  // what is masked does not count
  CHECK_THROWS_AS(generalised_advantages(Numbers{1}, Numbers{1, 2}, 1, 1), UsageError);
  CHECK_THROWS_AS(generalised_advantages(Numbers{1}, Numbers{1}, 1, 1, Mask{1, 1}), UsageError);
}

TEST_CASE("mean, deviation, temperature and Platt scaling are fitted as general optimisers find them") {
  const nlohmann::json cases = golden("fits");
  CHECK(cases.size() >= 3);
  for (const auto& json : cases) {
    INFO(json.at("name").get<std::string>());
    const Numbers scores = json.at("scores"), labels = json.at("labels");
    const Normalisation unit = fit_normalisation(scores);
    CHECK(unit.mean == doctest::Approx(json.at("mean").get<double>()).epsilon(1e-12));
    CHECK(unit.deviation == doctest::Approx(json.at("deviation").get<double>()).epsilon(1e-12));
    CHECK(unit(unit.mean + 2 * unit.deviation) == doctest::Approx(2).epsilon(1e-12));
    CHECK(fit_temperature(scores, labels).value ==
          doctest::Approx(json.at("temperature").get<double>()).epsilon(1e-9));
    const PlattScaling smoothed = fit_platt(scores, labels);
    const PlattScaling as_given = fit_platt(scores, labels, PlattTargets::as_given);
    check_equal({smoothed.slope, smoothed.intercept}, json.at("smoothed"), 1e-8);
    check_equal({as_given.slope, as_given.intercept}, json.at("as_given"), 1e-8);
  }
}

TEST_CASE("scaling a score keeps its order and gives probabilities") {
  const Temperature flat{4};
  CHECK(flat(0) == 0.5);
  CHECK(flat(4) == sigmoid(1));
  const PlattScaling platt{2, -1};
  CHECK(platt(0.5) == 0.5);
  CHECK(platt(1) == sigmoid(1));
  // Labels a threshold separates have a best fit when they are smoothed.
  const Numbers scores{-2, -1, 1, 3}, labels{0, 0, 1, 1};
  const PlattScaling fitted = fit_platt(scores, labels);
  CHECK(fitted.slope > 0);
  CHECK(fitted(3) > fitted(1));
  // Turned around, the slope turns too.
  const PlattScaling turned = fit_platt(scores, Numbers{1, 1, 0, 0});
  CHECK(turned.slope == doctest::Approx(-fitted.slope).epsilon(1e-8));
  CHECK(fit_platt(Numbers{-2e4, 1e4, -1e4, 2e4}, Numbers{0, 0, 1, 1}).slope > 0);
}

TEST_CASE("a weight is so many times the same score: 0 is none of it") {
  const Numbers scores{-2, -1, 0.5, 1, 3, -3}, labels{0, 1, 1, 0, 1, 1}, weights{1, 2, 3, 1, 2, 0};
  Numbers copies, their_labels;
  for (merit::Index i = 0; i < scores.size(); ++i) {
    for (double k = 0; k < weights[i]; ++k) {
      copies.push_back(scores[i]);
      their_labels.push_back(labels[i]);
    }
  }
  CHECK(fit_temperature(scores, labels, weights).value ==
        doctest::Approx(fit_temperature(copies, their_labels).value).epsilon(1e-12));
  for (const PlattTargets targets : {PlattTargets::smoothed, PlattTargets::as_given}) {
    const PlattScaling fitted = fit_platt(scores, labels, targets, weights);
    const PlattScaling of_copies = fit_platt(copies, their_labels, targets);
    CHECK(fitted.slope == doctest::Approx(of_copies.slope).epsilon(1e-8));
    CHECK(fitted.intercept == doctest::Approx(of_copies.intercept).epsilon(1e-8));
  }
  CHECK(fit_temperature(scores, labels, weights).value != fit_temperature(scores, labels).value);
  CHECK_THROWS_AS(fit_temperature(scores, labels, Numbers{1}), UsageError);
  CHECK_THROWS_AS(fit_temperature(scores, labels, Numbers(6, 0)), DataError);
  CHECK_THROWS_AS(fit_platt(scores, labels, PlattTargets::smoothed, Numbers{1, 1, -1, 1, 1, 1}), DataError);
}

TEST_CASE("a fit that has no best value is refused with the reason") {
  const Numbers scores{-2, -1, 1, 3};
  CHECK_THROWS_AS(fit_temperature(scores, Numbers{1, 1, 0, 0}), DataError);  // no better than a guess
  CHECK_THROWS_AS(fit_temperature(Numbers{0, 0}, Numbers{1, 0}), DataError);
  CHECK_THROWS_AS(fit_temperature(scores, Numbers{0, 0, 1, 1}), DataError);  // no mistakes
  CHECK_THROWS_AS(fit_platt(scores, Numbers{0, 0, 1, 1}, PlattTargets::as_given), DataError);
  CHECK_THROWS_AS(fit_platt(scores, Numbers{1, 1, 0, 0}, PlattTargets::as_given), DataError);
  CHECK_THROWS_AS(fit_platt(scores, Numbers{1, 1, 1, 1}), DataError);
  CHECK_THROWS_AS(fit_platt(Numbers{2, 2}, Numbers{0, 1}), DataError);
  CHECK_THROWS_AS(fit_platt(scores, Numbers{0, 1, 2, 0}), DataError);
  CHECK_THROWS_AS(fit_platt(scores, Numbers{0, 1}), UsageError);
  CHECK_THROWS_WITH_AS(fit_normalisation(Numbers{4, 4}),
                       "all 2 scores are 4, expected at least two that differ", DataError);
  CHECK_THROWS_AS(fit_normalisation(Numbers{4}), DataError);
  CHECK_THROWS_AS(fit_normalisation({}), DataError);
}

}  // namespace advantages_test
