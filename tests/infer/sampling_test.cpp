// From logits to a token: what transformers' filters leave, and tokens as often as their probabilities say.
#include "merit/infer/sampling.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "merit/core/rng.hpp"
#include "merit/io/json.hpp"
#include "stored.hpp"

namespace sampling_test {

using namespace merit;

TEST_CASE("filters of logits leave what transformers' leave, in the same order") {
  const Json golden = read_json(merit_test::stored("generation.json"));
  const auto logits = golden.at("logits").get<std::vector<double>>();
  const auto before = golden.at("before").get<std::vector<Token>>();
  for (const Json& one : golden.at("filtered")) {
    CAPTURE(one.at("settings").dump());
    const Json& said = one.at("settings");
    const Sampling sampling{.repetition_penalty = said.value("repetition_penalty", 1.0),
                            .temperature = said.value("temperature", 1.0),
                            .top_k = said.value("top_k", Index{0}),
                            .top_p = said.value("top_p", 1.0),
                            .min_p = said.value("min_p", 0.0)};
    const auto found = token_probabilities(std::span<const double>(logits), sampling, before);
    const auto expected = one.at("probabilities").get<std::vector<double>>();
    REQUIRE(found.size() == expected.size());
    for (Index i = 0; i < found.size(); ++i) {
      CHECK((found[i] == 0) == (expected[i] == 0));
      CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-5));  // theirs are float
    }
  }
}

TEST_CASE("tokens are drawn as often as their probabilities say") {
  const std::vector<double> probabilities{0.1, 0, 0.55, 0.05, 0.3, 0};
  std::vector<double> counts(6);
  Rng rng(4);
  constexpr int draws = 200'000;
  for (int i = 0; i < draws; ++i) ++counts[drawn_token(probabilities, rng.uniform())];
  for (Index i = 0; i < counts.size(); ++i) {
    const double p = probabilities[i], deviation = std::sqrt(p * (1 - p) / draws);
    CHECK(std::abs(counts[i] / draws - p) <= 4 * deviation);
  }
  CHECK(drawn_token(probabilities, 0) == 0);
  CHECK(drawn_token(probabilities, 0.1) == 2);
  CHECK(drawn_token(probabilities, std::nextafter(1.0, 0.0)) ==
        4);  // although rounding may leave a sum below it
}

TEST_CASE("without a temperature the most likely token is taken, the first of equals, after the penalty") {
  const std::vector<float> logits{1, 3, 3, -1};
  const auto greedy = [&](const Sampling& sampling, std::vector<Token> before) {
    return drawn_token(token_probabilities(std::span<const float>(logits), sampling, before), 0.999);
  };
  CHECK(greedy({.temperature = 0}, {}) == 1);
  CHECK(greedy({.repetition_penalty = 2, .temperature = 0}, {1, 1}) == 2);
  CHECK(greedy({.repetition_penalty = 4, .temperature = 0}, {1, 2}) == 0);
}

TEST_CASE("at least one token is left, and equal ones by top_k all") {
  const std::vector<double> logits{2, 2, 2, 1};
  const auto left = [&](const Sampling& sampling) {
    const auto probabilities = token_probabilities(std::span<const double>(logits), sampling);
    return probabilities.size() -
           static_cast<Index>(std::count(probabilities.begin(), probabilities.end(), 0.0));
  };
  CHECK(left({.top_k = 1}) == 3);
  CHECK(left({.top_p = 1e-9}) == 1);
  CHECK(left({.min_p = 1}) == 3);
}

TEST_CASE("settings and logits that cannot be are refused") {
  const std::vector<double> logits{1, 2};
  const auto with = [&](const Sampling& sampling) {
    return token_probabilities(std::span<const double>(logits), sampling);
  };
  CHECK_THROWS_AS(with({.repetition_penalty = 0}), ConfigError);
  CHECK_THROWS_AS(with({.temperature = -1}), ConfigError);
  CHECK_THROWS_AS(with({.top_p = 0}), ConfigError);
  CHECK_THROWS_AS(with({.top_p = 1.5}), ConfigError);
  CHECK_THROWS_AS(with({.min_p = 2}), ConfigError);
  CHECK_THROWS_WITH_AS(token_probabilities(std::span<const double>(), {}),
                       "sampling: there are no logits, expected one for each token", UsageError);
  const std::vector<double> broken{1, std::numeric_limits<double>::quiet_NaN()};
  CHECK_THROWS_AS(token_probabilities(std::span<const double>(broken), {}), DataError);
}

}  // namespace sampling_test
