// PairwiseLoss against values computed in high precision elsewhere, against central differences, and at
// extremes.
#include "merit/loss/pairwise_loss.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "loss_checks.hpp"
#include "merit/core/rng.hpp"
#include "stored.hpp"

namespace pairwise_loss_test {

using namespace merit;

struct Case {
  PairwiseLoss loss;
  PairTargets targets;
  std::vector<double> scores;  // chosen 0, rejected 0, chosen 1, …
};

/// A column of per-pair numbers in the golden file, or a default.
std::vector<double> column(const nlohmann::json& json, const char* field, std::size_t size,
                           double otherwise) {
  return json.contains(field) ? json.at(field).get<std::vector<double>>()
                              : std::vector<double>(size, otherwise);
}

Case read_case(const nlohmann::json& json) {
  Case result;
  result.loss = {json.value("label_smoothing", 0.0), json.value("beta", 1.0), json.value("centering", 0.0)};
  const auto chosen = json.at("chosen").get<std::vector<double>>();
  const auto rejected = json.at("rejected").get<std::vector<double>>();
  const auto margin = column(json, "margin", chosen.size(), 0);
  const auto weight = column(json, "weight", chosen.size(), 1);
  const auto soft_label = column(json, "soft_label", chosen.size(), 1);
  for (std::uint32_t i = 0; i < chosen.size(); ++i) {
    result.scores.push_back(chosen[i]);
    result.scores.push_back(rejected[i]);
    result.targets.pairs.push_back({2 * i, 2 * i + 1, margin[i], weight[i], soft_label[i]});
  }
  return result;
}

double evaluate(const Case& c, const std::vector<double>& scores, std::vector<double>& gradient) {
  return loss_checks::evaluate(c.loss, c.targets, scores, gradient);
}

Case random_case(std::uint64_t seed, double spread) {
  Rng rng(seed);
  Case c;
  c.loss = {0.1, 1.7, 0.01};
  for (int i = 0; i < 6; ++i) c.scores.push_back(spread * rng.normal());
  for (int i = 0; i < 9; ++i) {  // rows take part in several pairs
    const auto a = static_cast<std::uint32_t>(rng.below(6));
    const auto b = static_cast<std::uint32_t>((a + 1 + rng.below(5)) % 6);
    c.targets.pairs.push_back({a, b, rng.normal(), 0.5 + rng.uniform(), rng.uniform()});
  }
  return c;
}

TEST_CASE("pairwise loss and gradient equal the stored values of an independent implementation") {
  std::ifstream file(merit_test::stored("losses.json"));
  REQUIRE(file.good());
  const auto golden = nlohmann::json::parse(file);
  CHECK(golden.at("cases").size() >= 10);
  for (const auto& json : golden.at("cases")) {
    CAPTURE(json.at("name").get<std::string>());
    const Case c = read_case(json);
    std::vector<double> gradient;
    const double loss = evaluate(c, c.scores, gradient);
    CHECK(loss == doctest::Approx(json.at("loss").get<double>()).epsilon(1e-12));
    const auto chosen = json.at("grad_chosen").get<std::vector<double>>();
    const auto rejected = json.at("grad_rejected").get<std::vector<double>>();
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      CHECK(std::abs(gradient[2 * i] - chosen[i]) <= 1e-12 * std::abs(chosen[i]));
      CHECK(std::abs(gradient[2 * i + 1] - rejected[i]) <= 1e-12 * std::abs(rejected[i]));
    }
  }
}

TEST_CASE("pairwise gradient agrees with central differences") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Case c = random_case(seed, 2.0);
    std::vector<double> gradient;
    std::vector<double> unused;
    evaluate(c, c.scores, gradient);
    for (std::size_t i = 0; i < c.scores.size(); ++i) {
      auto up = c.scores;
      auto down = c.scores;
      up[i] += 1e-5;
      down[i] -= 1e-5;
      const double slope = (evaluate(c, up, unused) - evaluate(c, down, unused)) / 2e-5;
      CHECK(std::abs(slope - gradient[i]) < 1e-8);
    }
  }
}

TEST_CASE("pairwise loss is finite and right for scores up to 1e4") {
  Case c;
  c.targets.pairs = {{0, 1, 0, 1, 1}};
  std::vector<double> gradient;
  CHECK(evaluate(c, {1e4, -1e4}, gradient) == 0.0);
  CHECK(gradient[0] == 0.0);
  CHECK(evaluate(c, {-1e4, 1e4}, gradient) == 2e4);
  CHECK(gradient[0] == -1.0);
  CHECK(gradient[1] == 1.0);
  CHECK(evaluate(c, {40.0, 0.0}, gradient) ==
        doctest::Approx(std::exp(-40.0)).scale(0).epsilon(1e-12));  // the tail is not rounded to 0
  CHECK(gradient[0] == doctest::Approx(-std::exp(-40.0)).scale(0).epsilon(1e-12));

  std::vector<float> narrow;
  CHECK(loss_checks::evaluate(c.loss, c.targets, std::vector<float>{-1e4f, 1e4f}, narrow) == 2e4);
  CHECK(narrow == std::vector<float>{-1, 1});
}

TEST_CASE("the shares of micro-batches add up to the step's loss") {
  const Case whole = random_case(5, 1.0);
  std::vector<PairTargets> parts;
  for (const PairTargets::Pair& pair : whole.targets.pairs) parts.push_back({{pair}});
  loss_checks::check_shares(whole.loss, whole.targets, parts, whole.scores);
}

TEST_CASE("a tie of 0.5 pulls the two scores together and label smoothing mixes in the flipped pair") {
  Case tie;
  tie.targets.pairs = {{0, 1, 0, 1, 0.5}};
  std::vector<double> gradient;
  evaluate(tie, {2.0, 0.0}, gradient);
  CHECK(gradient[0] > 0);  // the higher one goes down
  evaluate(tie, {1.0, 1.0}, gradient);
  CHECK(gradient[0] == 0.0);

  Case smooth;
  smooth.loss.label_smoothing = 0.2;
  smooth.targets.pairs = {{0, 1, 0, 1, 1}};
  Case straight = smooth;
  straight.loss.label_smoothing = 0;
  Case flipped = straight;
  flipped.targets.pairs = {{1, 0, 0, 1, 1}};
  std::vector<double> unused;
  const std::vector<double> scores{0.7, -0.4};
  CHECK(evaluate(smooth, scores, unused) ==
        doctest::Approx(0.8 * evaluate(straight, scores, unused) + 0.2 * evaluate(flipped, scores, unused)));
}

TEST_CASE("options that cannot be are named") {
  CHECK_THROWS_WITH_AS(validate(PairwiseLoss{.label_smoothing = 0.6}),
                       "pairwise: label_smoothing is 0.6, expected 0 to 0.5", ConfigError);
  CHECK_THROWS_WITH_AS(validate(PairwiseLoss{.scale = 0}), "pairwise: scale is 0, expected a number above 0",
                       ConfigError);
  CHECK_THROWS_AS(validate(PairwiseLoss{.scale = std::nan("")}), ConfigError);
  CHECK_THROWS_WITH_AS(validate(PairwiseLoss{.centering = -1}),
                       "pairwise: centering is -1, expected a number of at least 0", ConfigError);
}

}  // namespace pairwise_loss_test
