// The losses beside PairwiseLoss against values and gradients that PyTorch computed in float64.
#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "loss/loss_checks.hpp"
#include "merit/batch/targets.hpp"
#include "merit/loss/binary_cross_entropy_loss.hpp"
#include "merit/loss/cross_entropy_loss.hpp"
#include "merit/loss/hinge_loss.hpp"
#include "merit/loss/plackett_luce_loss.hpp"
#include "merit/loss/regression_loss.hpp"
#include "merit/loss/value_loss.hpp"
#include "stored.hpp"

namespace more_losses_golden_test {

using namespace merit;
using loss_checks::evaluate;
using Json = nlohmann::json;

RankingTargets read_groups(const Json& json) {
  RankingTargets targets;
  for (const Json& group : json.at("groups")) {
    targets.add(group.at("rows").get<std::vector<std::uint32_t>>(),
                group.at("ranks").get<std::vector<Index>>(), group.value("weight", 1.0));
  }
  return targets;
}

Denominator read_denominator(const Json& json) {
  return json.value("denominator", "per_token") == "per_sequence" ? Denominator::per_sequence
                                                                  : Denominator::per_token;
}

/// Calls add(label) for each, after begin_sequence() where another sequence begins.
template <class Targets, class Add>
void read_labels(const Json& json, Targets& targets, const Add& add) {
  int sequence = -1;
  for (const Json& label : json.at("labels")) {
    if (label[0].get<int>() != sequence) targets.begin_sequence();
    sequence = label[0].get<int>();
    add(label);
  }
}

double evaluate_ranking(const Json& json, const std::vector<double>& scores, std::vector<double>& gradient) {
  const PlackettLuceLoss loss{.top = json.value("top", Index{0}),
                              .ties = json.value("ties", "efron") == "efron" ? Ties::efron : Ties::breslow,
                              .divide_by_choices = json.value("divide_by_choices", false)};
  return evaluate(loss, read_groups(json), scores, gradient);
}

double evaluate_balanced(const Json& json, const std::vector<double>& scores, std::vector<double>& gradient) {
  RankingExample example;
  RowTable table;  // one row a completion
  for (const Json& group : json.at("groups")) {
    const auto rows = group.at("rows").get<std::vector<std::uint32_t>>();
    for (const std::uint32_t row : rows) {
      table.tokens.push_back(row);
      table.begin.push_back(table.tokens.size());
    }
    RankedGroup ranked;
    ranked.completions.resize(rows.size());
    ranked.ranks = group.at("ranks").get<std::vector<Index>>();
    ranked.weight = group.value("weight", 1.0);
    if (group.contains("ratings")) {
      const auto ratings = group.at("ratings").get<std::vector<double>>();
      for (Index i = 0; i < rows.size(); ++i) {
        for (Index j = i + 1; j < rows.size(); ++j) {
          const bool ordered = ranked.ranks[i] < ranked.ranks[j];
          ranked.margins.push_back(ordered ? ratings[i] - ratings[j] : ratings[j] - ratings[i]);
        }
      }
    }
    example.groups.push_back(ranked);
  }
  PairTargets pairs;
  append_targets(pairs, example, ExampleRows(table, table, 0));
  return evaluate(PairwiseLoss{}, pairs, scores, gradient);
}

double evaluate_binary(const Json& json, const std::vector<double>& scores, std::vector<double>& gradient) {
  const BinaryCrossEntropyLoss<> loss{.denominator = read_denominator(json),
                                      .positive_weight = json.value("positive_weight", 1.0),
                                      .focal = json.value("focal", 0.0),
                                      .label_smoothing = json.value("label_smoothing", 0.0)};
  BinaryTargets targets;
  read_labels(json, targets, [&](const Json& label) {
    targets.add(label[1].get<std::uint32_t>(), label[2].get<double>(), label[3].get<double>());
  });
  return evaluate(loss, targets, scores, gradient);
}

double evaluate_classes(const Json& json, const std::vector<double>& scores, std::vector<double>& gradient) {
  const CrossEntropyLoss loss{.denominator = read_denominator(json),
                              .class_weights = json.value("class_weights", std::vector<double>{}),
                              .label_smoothing = json.value("label_smoothing", 0.0)};
  ClassTargets targets(json.at("classes").get<Index>());
  read_labels(json, targets, [&](const Json& label) {
    targets.add(label[1].get<std::uint32_t>(), label[2].get<std::vector<double>>(), label[3].get<double>());
  });
  return evaluate(loss, targets, scores, gradient, targets.classes);
}

double evaluate_hinge(const Json& json, const std::vector<double>& scores, std::vector<double>& gradient) {
  PairTargets targets;
  for (const Json& pair : json.at("pairs")) {
    targets.pairs.push_back({pair[0].get<std::uint32_t>(), pair[1].get<std::uint32_t>(),
                             pair[2].get<double>(), pair[3].get<double>(), pair[4].get<double>()});
  }
  const HingeLoss loss{.margin = json.value("margin", 1.0), .scale = json.value("scale", 1.0)};
  return evaluate(loss, targets, scores, gradient);
}

double evaluate_regression(const Json& json, const std::vector<double>& scores,
                           std::vector<double>& gradient) {
  RegressionTargets targets;
  for (const Json& value : json.at("values")) {
    targets.values.push_back({value[0].get<std::uint32_t>(), value[1].get<double>(), value[2].get<double>()});
  }
  return evaluate(RegressionLoss<>{}, targets, scores, gradient);
}

double evaluate_value(const Json& json, const std::vector<double>& scores, std::vector<double>& gradient) {
  ValueTargets targets;
  for (const Json& value : json.at("values")) {
    targets.values.push_back({value[0].get<std::uint32_t>(), value[1].get<double>(), value[2].get<double>(),
                              value[3].get<double>()});
  }
  return evaluate(ValueLoss{.clip = json.value("clip", 0.0)}, targets, scores, gradient);
}

TEST_CASE("each loss and its gradient equal the stored values of an independent implementation") {
  std::ifstream file(merit_test::stored("more_losses.json"));
  REQUIRE(file.good());
  const Json golden = Json::parse(file);
  const std::map<std::string, double (*)(const Json&, const std::vector<double>&, std::vector<double>&)>
      functions{{"ranking", evaluate_ranking}, {"balanced", evaluate_balanced},
                {"binary", evaluate_binary},   {"classes", evaluate_classes},
                {"hinge", evaluate_hinge},     {"regression", evaluate_regression},
                {"value", evaluate_value}};
  CHECK(golden.at("cases").size() == 44);
  for (const Json& json : golden.at("cases")) {
    CAPTURE(json.at("kind").get<std::string>());
    CAPTURE(json.at("name").get<std::string>());
    std::vector<double> gradient;
    const double loss = functions.at(json.at("kind").get<std::string>())(
        json, json.at("scores").get<std::vector<double>>(), gradient);
    const auto expected = json.at("loss").get<double>();
    CHECK(std::abs(loss - expected) <= 1e-12 * std::max(1.0, std::abs(expected)));
    const auto slopes = json.at("gradient").get<std::vector<double>>();
    REQUIRE(slopes.size() == gradient.size());
    for (std::size_t i = 0; i < slopes.size(); ++i) {
      CAPTURE(i);
      CHECK(std::abs(gradient[i] - slopes[i]) <= 1e-12 * std::max(1.0, std::abs(slopes[i])));
    }
  }
}

}  // namespace more_losses_golden_test
