// Evaluations of every kind against numbers that a hand computes.
#include "merit/run/evaluation.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "io/temporary.hpp"
#include "letter_model.hpp"
#include "merit/core/error.hpp"
#include "merit/run/evaluation_choice.hpp"

namespace evaluation_test {

using merit::Evaluation;
using merit::RecordKind;
using merit::RecordSet;
using merit::ScoreMeaning;
using merit_test::contains;
using merit_test::error_of;
using merit_test::LetterModel;
using merit_test::read_lines;

Evaluation evaluate(LetterModel& model, const RecordSet& set) {
  return merit::evaluate(model, set, merit::reading_of({}, model.meaning(), false), 0.5, 8192);
}
LetterModel scalar(merit::AnyLoss loss) {
  return {merit::ScalarHead{}, std::move(loss)};
}

TEST_CASE("pairs: accuracy, margins and the model's own loss") {
  LetterModel model = scalar(merit::PairwiseLoss{});
  const RecordSet set = read_lines(RecordKind::preference,
                                   "{\"prompt\": \"p\", \"chosen\": \"z\", \"rejected\": \"a\"}\n"
                                   "{\"prompt\": \"q\", \"chosen\": \"b\", \"rejected\": \"y\"}\n");
  const Evaluation evaluation = evaluate(model, set);
  CHECK(evaluation.scores == std::vector<double>{13, -12, -11, 12});
  REQUIRE(evaluation.pairs);
  CHECK(evaluation.pairs->accuracy.value == 0.5);
  CHECK(evaluation.pairs->mean_margin == doctest::Approx((25 - 23) / 2.0));
  CHECK(evaluation.pairs->min_score == -12);
  CHECK(evaluation.headline() == 0.5);
  CHECK(std::string(evaluation.headline_name()) == "accuracy");
  CHECK(evaluation.loss == 0.25);
  CHECK(contains(merit::text_of(evaluation), "accuracy      0.500 (95% interval"));
  CHECK(merit::to_json(evaluation).at("kind") == "preference");
  CHECK(merit::to_json(evaluation).at("pairs") == 2);

  const Evaluation given = merit::evaluate_scores(set, evaluation.scores, {}, 0.5);  // which came otherwise
  CHECK(merit::to_json(given) == merit::to_json(evaluation));
  CHECK(!given.loss);
  const Evaluation second = merit::evaluate_some(&model, set, evaluation, {1}, {}, 0.5);
  CHECK(second.pairs->accuracy.value == 0);
  const merit::LabelledLogits logits = merit::labelled_logits(set, evaluation, {});
  CHECK(logits.logits == std::vector<double>{25, -23});
  CHECK(logits.labels == std::vector<double>{1, 1});
}

TEST_CASE("a score that is no number is told with its record, and what is fitted counts by weight") {
  LetterModel model = scalar(merit::PairwiseLoss{});
  const RecordSet set = read_lines(RecordKind::preference,
                                   "{\"chosen\": \"z\", \"rejected\": \"a\", \"weight\": 2}\n"
                                   "\n{\"chosen\": \"b\", \"rejected\": \"~\"}\n");
  std::string said;
  try {
    evaluate(model, set);
  } catch (const merit::DataError& error) {
    said = error.what();
  }
  CHECK(contains(said, "records.jsonl:3: the model gives a score that is not a finite number"));
  const RecordSet weighted =
      read_lines(RecordKind::preference, "{\"chosen\": \"z\", \"rejected\": \"a\", \"weight\": 2}\n");
  CHECK(merit::labelled_logits(weighted, evaluate(model, weighted), {}).weights == std::vector<double>{2});
}

TEST_CASE("rankings and ratings: pairs in order, correlation") {
  LetterModel model = scalar(merit::PlackettLuceLoss{});
  const Evaluation ranks = evaluate(
      model,
      read_lines(RecordKind::ranking,
                 "{\"prompt\": \"p\", \"completions\": [\"a\", \"z\", \"m\"], \"ranks\": [1, 0, 2]}\n"));
  REQUIRE(ranks.rankings);
  CHECK(ranks.rankings->pairs == 3);
  CHECK(ranks.rankings->model.pair_accuracy.value == doctest::Approx(2.0 / 3));  // a is not above m
  CHECK(ranks.rankings->model.top.value == 1);
  CHECK(std::string(ranks.headline_name()) == "pair accuracy");

  LetterModel regression = scalar(merit::RegressionLoss<>{});
  const RecordSet rated =
      read_lines(RecordKind::ratings,
                 "{\"prompt\": \"p\", \"completions\": [\"k\", \"m\", \"o\"], \"scores\": [-2, 0, 5]}\n");
  const Evaluation ratings = evaluate(regression, rated);
  REQUIRE(ratings.ratings);
  CHECK(ratings.ratings->model.spearman->value == doctest::Approx(1));
  CHECK(ratings.ratings->mean_squared_error->value == doctest::Approx(3.0));  // (0 + 0 + 9) / 3
  CHECK(error_of<merit::ConfigError>([&] { merit::labelled_logits(rated, ratings, {}); }) ==
        "ratings are numbers of their own scale, expected a model whose scores are logits to calibrate");

  // A deviation from the mean reward is on no scale of stars.
  merit::Reading standardised = merit::reading_of({}, regression.meaning(), false);
  standardised.standardised = true;
  standardised.deviation = 2;
  const Evaluation normalised = merit::evaluate(regression, rated, standardised, 0.5, 8192);
  CHECK(normalised.ratings->model.spearman->value == doctest::Approx(1));
  CHECK(merit::to_json(normalised).at("mean_squared_error").is_null());
  CHECK(contains(merit::text_of(normalised),
                 "squared error not defined: normalised scores are on another scale"));
}

TEST_CASE("intervals of pairs and rankings are over prompts, those without one by their completions") {
  const auto twenty = [](const std::string& right, const std::string& wrong) {
    std::string lines;
    for (int i = 0; i < 20; ++i) lines += i % 2 == 0 ? right : wrong;
    return lines;
  };
  const auto check_whole = [](const merit::Estimate& accuracy) {
    CHECK(accuracy.value == 0.5);
    CHECK(accuracy.low == 0);
    CHECK(accuracy.high == 1);
  };
  LetterModel pairs = scalar(merit::PairwiseLoss{});
  const auto accuracy = [&](const std::string& lines) {
    return evaluate(pairs, read_lines(RecordKind::preference, lines)).pairs->accuracy;
  };
  check_whole(accuracy(twenty("{\"prompt\": \"p\", \"chosen\": \"z\", \"rejected\": \"a\"}\n",
                              "{\"prompt\": \"q\", \"chosen\": \"b\", \"rejected\": \"y\"}\n")));
  check_whole(accuracy(
      twenty("{\"chosen\": \"z\", \"rejected\": \"a\"}\n", "{\"chosen\": \"b\", \"rejected\": \"y\"}\n")));
  LetterModel ranks = scalar(merit::PlackettLuceLoss{});
  const RecordSet set =
      read_lines(RecordKind::ranking,
                 twenty("{\"prompt\": \"p\", \"completions\": [\"z\", \"a\"], \"ranks\": [0, 1]}\n",
                        "{\"prompt\": \"q\", \"completions\": [\"z\", \"a\"], \"ranks\": [1, 0]}\n"));
  check_whole(evaluate(ranks, set).rankings->model.pair_accuracy);
  check_whole(evaluate(ranks, set).rankings->model.top);
}

TEST_CASE("ratings and values count as much as their records weigh") {
  LetterModel regression = scalar(merit::RegressionLoss<>{});
  const Evaluation ratings = evaluate(
      regression,
      read_lines(
          RecordKind::ratings,
          "{\"prompt\": \"p\", \"completions\": [\"k\", \"m\"], \"scores\": [-2, 2]}\n"
          "{\"prompt\": \"q\", \"completions\": [\"k\", \"m\"], \"scores\": [-2, 0], \"weight\": 3}\n"));
  REQUIRE(ratings.ratings);
  CHECK(ratings.ratings->mean_squared_error->value == doctest::Approx(4.0 / 8));
  LetterModel value(merit::ValueHead{}, merit::ValueLoss{});
  const Evaluation values = evaluate(
      value, read_lines(RecordKind::rollout,
                        "{\"prompt\": \"p\", \"completion\": \"a\", \"reward\": 1}\n"
                        "{\"prompt\": \"p\", \"completion\": \"c\", \"reward\": 0, \"weight\": 3}\n"));
  REQUIRE(values.values);
  CHECK(values.values->mean_squared_error.value == doctest::Approx((4 + 3 * 9) / 4.0));  // p is 3
}

TEST_CASE("a ranking too long for all of its pairs is refused before they are made") {
  RecordSet set;
  set.kind = RecordKind::ranking;
  merit::RankedGroup group;
  const merit::Index many = merit::most_completions_in_pairs + 1;
  group.completions.resize(many);
  for (merit::Index i = 0; i < many; ++i) group.ranks.push_back(i);
  set.examples = std::vector<merit::RankingExample>{{{group}}};
  Evaluation evaluation;
  evaluation.scores.assign(many, 0.0);
  CHECK(error_of<merit::DataError>([&] { merit::labelled_logits(set, evaluation, {}); }) ==
        "a ranking has 4097 completions, expected at most 4096 to calibrate on, as every pair of them is "
        "looked at");
}

TEST_CASE("outcomes, steps and values by what their heads score") {
  LetterModel verifier(merit::TokenHead{}, merit::BinaryCrossEntropyLoss<ScoreMeaning::per_token>{});
  const Evaluation outcomes =
      evaluate(verifier, read_lines(RecordKind::outcome,
                                    "{\"prompt\": \"p\", \"completion\": \"zz\", \"label\": 1}\n"
                                    "{\"prompt\": \"p\", \"completion\": \"yy\", \"label\": 0}\n"
                                    "{\"prompt\": \"p\", \"completion\": \"aa\", \"label\": 0}\n"));
  REQUIRE(outcomes.outcomes);
  CHECK(outcomes.outcomes->accuracy.value == doctest::Approx(2.0 / 3));  // yy is taken for right
  CHECK(outcomes.outcomes->area_under_curve->value == doctest::Approx(1));
  CHECK(outcomes.outcomes->problems == 1);
  CHECK(outcomes.rows[0].values == std::vector<double>{13, 13});

  LetterModel process(merit::StepHead<1>{}, merit::BinaryCrossEntropyLoss<ScoreMeaning::per_step>{});
  const RecordSet solved = read_lines(
      RecordKind::steps,
      "{\"prompt\": \"p\", \"completions\": [\"z\", \"z\", \"a\"], \"labels\": [true, false, false]}\n");
  const Evaluation steps = evaluate(process, solved);
  REQUIRE(steps.steps);
  CHECK(steps.steps->steps == 3);
  CHECK(steps.steps->step_accuracy.value == doctest::Approx(2.0 / 3));
  CHECK(steps.rows[0].values == std::vector<double>{13, 13, -12});
  CHECK(merit::labelled_logits(solved, steps, merit::reading_of({}, ScoreMeaning::per_step, false)).labels ==
        std::vector<double>{1, 0, 0});

  LetterModel value(merit::ValueHead{}, merit::ValueLoss{});
  const RecordSet rollouts = read_lines(RecordKind::rollout,
                                        "{\"prompt\": \"p\", \"completion\": \"ab\", \"reward\": 1}\n"
                                        "{\"prompt\": \"p\", \"completion\": \"cd\", \"reward\": 0}\n");
  const Evaluation values = evaluate(value, rollouts);
  REQUIRE(values.values);
  CHECK(values.values->states == 4);
  // p and a are 3 and −12 for returns of 1, p and c 3 and −10 for returns of 0.
  CHECK(values.values->mean_squared_error.value == doctest::Approx((4 + 169 + 9 + 100) / 4.0));
  CHECK(contains(error_of<merit::ConfigError>([&] { merit::labelled_logits(rollouts, values, {}); }),
                 "a value function gives returns"));
}

TEST_CASE("a kind from which the model does not learn is scored without a loss") {
  LetterModel model = scalar(merit::PairwiseLoss{});
  const Evaluation evaluation = evaluate(
      model, read_lines(RecordKind::outcome, "{\"prompt\": \"p\", \"completion\": \"z\", \"label\": 1}\n"));
  CHECK_FALSE(evaluation.loss);
  CHECK(evaluation.scores == std::vector<double>{13});
}

TEST_CASE("the loss is of the probabilities that are read") {
  LetterModel model = scalar(merit::BinaryCrossEntropyLoss{});
  const RecordSet set = read_lines(RecordKind::outcome,
                                   "{\"prompt\": \"p\", \"completion\": \"n\", \"label\": 1, \"weight\": 3}\n"
                                   "{\"prompt\": \"q\", \"completion\": \"l\", \"label\": 1}\n");
  CHECK(evaluate(model, set).loss == 0.25);  // the model's own
  merit::Reading reading = merit::reading_of({}, model.meaning(), false);
  reading.calibrated = true;
  reading.scale = 2;
  reading.offset = 1;
  const double of_three = std::log1p(std::exp(-3.0));  // the logits of 1 and −1 are read as 3 and −1
  const double of_one = std::log1p(std::exp(1.0));
  CHECK(*merit::evaluate(model, set, reading, 0.5, 8192).loss ==
        doctest::Approx((3 * of_three + of_one) / 4));
}

TEST_CASE("steps of one class say what is not defined") {
  LetterModel model{merit::StepHead<1>{}, merit::BinaryCrossEntropyLoss<ScoreMeaning::per_step>{}};
  const RecordSet set = read_lines(
      RecordKind::steps, "{\"prompt\": \"p\", \"completions\": [\"z\", \"a\"], \"labels\": [true, true]}\n");
  const Evaluation report = evaluate(model, set);
  CHECK(contains(merit::text_of(report), "not defined: no solution is erroneous; accepted 0.000 of 1"));
  CHECK(contains(merit::text_of(report), "- of bad ones (there are none)"));
  const merit::Json json = merit::to_json(report);
  CHECK(json.at("found").is_null());
  CHECK(json.at("accepted").at("value") == 0);
  CHECK(json.at("f1_of_bad").is_null());
  CHECK(json.at("macro_f1").is_null());
}

TEST_CASE("which kinds a model is evaluated on, and its threshold") {
  merit::SavedModel saved;
  saved.head = merit::StepHead<1>{};
  merit::check_meaning(RecordKind::outcome, saved);
  CHECK(error_of<merit::ConfigError>([&] { merit::check_meaning(RecordKind::ranking, saved); }) ==
        "the head of the model is step_logit, which says nothing about records of the kind ranking; it is "
        "evaluated on those of: steps, outcome");
  merit::Reading reading = merit::reading_of({}, ScoreMeaning::per_step, false);
  CHECK(merit::fitted_threshold(saved, reading) == 0.5);
  saved.card.emplace();
  saved.card->other["step_threshold"] = 0.25;
  CHECK(merit::fitted_threshold(saved, reading) == 0.25);
  reading.calibrated = true;
  reading.scale = 2;  // odds of a third, squared
  CHECK(merit::fitted_threshold(saved, reading) == doctest::Approx(0.1));
}

TEST_CASE("what was cut or has no order is told beside the figure of a ranking") {
  LetterModel model = scalar(merit::PairwiseLoss{});
  merit::RecordSetOptions options;
  options.tokenize = {.max_tokens = 4, .truncation = merit::Truncation::cut_right, .to_judge = true};
  const std::string cut = R"({"prompt": "p", "completions": ["b", "zzzzzz"], "ranks": [1, 0]}
)";
  const std::string equal = R"({"prompt": "q", "completions": ["b", "b", "b"], "ranks": [0, 1, 2]}
)";
  const Evaluation found = evaluate(model, read_lines(RecordKind::ranking, cut + equal, options));
  CHECK(found.rankings->model.top.value == doctest::Approx((0 + 1.0 / 3) / 2));
  CHECK(found.rankings->kendall.value == 0.5);
  const std::string text = merit::text_of(found);
  CHECK(contains(text, "; 1 completion was cut and ranked below those read whole"));
  CHECK(contains(text, "; 1 of 2 groups have equal scores alone, which count 0"));
  CHECK(merit::to_json(found).at("cut") == 1);
  CHECK(merit::to_json(found).at("without_correlation") == 1);
  const Evaluation pairs = evaluate(
      model, read_lines(RecordKind::preference, R"({"prompt": "p", "chosen": "zzzzzz", "rejected": "b"}
)",
                        options));
  CHECK(pairs.pairs->cut == 1);
  CHECK(contains(merit::text_of(pairs), "in 1 pair, 1 of which a side was cut"));
}

TEST_CASE("records that repeat another are said beside the figure, which they stay in") {
  LetterModel model = scalar(merit::PairwiseLoss{});
  const std::string good = R"({"prompt": "p", "chosen": "z", "rejected": "b"}
)";
  const std::string bad = R"({"prompt": "p", "chosen": "b", "rejected": "z"}
)";
  const std::string heavy = R"({"prompt": "p", "chosen": "z", "rejected": "b", "weight": 2}
)";
  const RecordSet set = read_lines(RecordKind::preference, good + bad + good + heavy + good);
  const Evaluation found = evaluate(model, set);
  CHECK(found.repeats == 2);
  CHECK(found.pairs->accuracy.value == doctest::Approx(5.0 / 6));
  CHECK(contains(merit::text_of(found), "in 5 pairs; 2 records repeat another, and each counts\n"));
  CHECK(merit::to_json(found).at("repeats") == 2);
  CHECK(merit::evaluate_some(&model, set, found, {1, 2}, {}, 0.5).repeats == 0);
}

}  // namespace evaluation_test
