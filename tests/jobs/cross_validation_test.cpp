// Ways of training, judged on the prompts that each model has not seen.
#include "merit/jobs/cross_validation.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <set>
#include <string>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/run/typed_model.hpp"
#include "run/letter_model.hpp"

namespace cross_validation_test {

using merit::Index;
using merit_test::contains;

using Model = merit::RewardModel<merit::AnyBackbone, merit::ScalarHead, merit::PairwiseLoss,
                                 merit::EigenBackend<float>>;

std::unique_ptr<merit::AnyModel> make(std::uint64_t seed) {
  return std::make_unique<merit::TypedModel<Model>>(
      Model::Config{.backbone = {merit::BagOfTokens{.vocabulary_size = 257, .width = 8}}, .seed = seed});
}

/// Pairs whose chosen side holds `better`, two a prompt.
merit::RecordSet pairs(int prompts, const std::string& better, const std::string& worse) {
  std::string lines;
  for (int i = 0; i < 2 * prompts; ++i) {
    lines += "{\"prompt\": \"" + std::to_string(i / 2) + "\", \"chosen\": \"" + better +
             "\", \"rejected\": \"" + worse + "\"}\n";
  }
  return merit_test::read_lines(merit::RecordKind::preference, lines);
}

const merit::CrossValidationOptions options{
    .folds = 4,
    .seeds = 2,
    .training = {.epochs = 3, .batch_size = 4, .schedule = {.peak = 0.1, .warmup = 0}, .seed = 5}};

TEST_CASE("what can be learned is better than length, by as much as there is") {
  Index models = 0, told = 0;
  const auto result = merit::cross_validate(
      pairs(9, "a", "bb"), {},
      [&](std::uint64_t seed) {
        CHECK(seed == 5 + models++ / 4);
        return make(seed);
      },
      options,
      [&](Index done, Index total) {
        CHECK(done == ++told);
        CHECK(total == 8);
      });
  CHECK(models == 8);
  CHECK(told == 8);
  CHECK(result.records == 18);
  CHECK(result.prompts == 9);
  REQUIRE(result.figures.size() >= 2);
  CHECK(result.figures[0].name == "accuracy");
  CHECK(result.figures[0].baseline == "longer wins");
  CHECK(result.figures[0].model.value == 1);
  CHECK(result.figures[0].other == 0);
  CHECK(result.figures[0].difference.low == 1);
  CHECK(result.figures[0].folds == 8);
  CHECK(result.figures[1].baseline == "shorter wins");
  CHECK(result.figures[1].difference.value == 0);
  const std::string text = merit::text_of(result);
  CHECK(contains(text, "longer wins 0.000: the model's less this +1.000 (+1.000 to +1.000)\n"));
  CHECK(contains(text,
                 "shorter wins 1.000: the model's less this +0.000 (+0.000 to +0.000), no difference shown"));
  CHECK(merit::to_json(result).at("figures")[0].at("difference").at("value") == 1);
}

TEST_CASE("equal sides are judged as ties in the part that is held out, and not trained on") {
  std::string lines;
  for (int i = 0; i < 24; ++i) {
    const char* rejected = i < 16 ? "bb" : "a";
    lines +=
        merit::concat("{\"prompt\": \"", i, "\", \"chosen\": \"a\", \"rejected\": \"", rejected, "\"}\n");
  }
  lines += "{\"prompt\": \"long\", \"chosen\": \"aaaaaaaaaaaa\", \"rejected\": \"b\"}\n";
  merit::RecordSetOptions judged;
  judged.tokenize.to_judge = true;
  judged.tokenize.max_tokens = 10;
  const auto result = merit::cross_validate(
      merit_test::read_lines(merit::RecordKind::preference, lines, judged), {}, make, options);
  CHECK(result.records == 24);
  CHECK((result.read == 25 && result.left_out == 1));
  CHECK(result.figures[0].model.value == doctest::Approx(20.0 / 24));  // folds are alike in size
  CHECK(contains(merit::text_of(result), "; 1 of 25 read were dropped. Means"));
  CHECK(merit::to_json(result).at("left_out") == 1);

  lines.clear();
  for (int i = 0; i < 4; ++i)
    lines += merit::concat("{\"prompt\": \"", i, "\", \"chosen\": \"a\", \"rejected\": \"a\"}\n");
  CHECK_THROWS_WITH_AS(
      merit::cross_validate(merit_test::read_lines(merit::RecordKind::preference, lines, judged), {}, make,
                            options),
      doctest::Contains("the 3 records of a fold's training part teach nothing"), merit::DataError);
}

TEST_CASE("records of one prompt are held out together: what is told by the prompt alone is not learned") {
  // Which of two letters is chosen is a matter of the prompt; both orders have each prompt's pair twice.
  std::string lines;
  for (int i = 0; i < 40; ++i) {
    const bool first = (i / 2) % 2 == 0;
    lines += "{\"prompt\": \"" + std::to_string(i / 2) + "\", \"chosen\": \"" + (first ? "a" : "b") +
             "\", \"rejected\": \"" + (first ? "b" : "a") + "\"}\n";
  }
  const auto result =
      merit::cross_validate(merit_test::read_lines(merit::RecordKind::preference, lines), {}, make, options);
  CHECK(result.figures[0].model.value < 0.75);  // 1 where the other pair of a prompt is trained on
  CHECK(result.prompts == 20);
}

TEST_CASE("copies of records without a prompt are held out together") {
  std::string lines;
  for (int copy = 0; copy < 4; ++copy) {
    for (int i = 0; i < 10; ++i)
      lines += merit::concat("{\"chosen\": \"a", i, "\", \"rejected\": \"b", i, "\"}\n");
  }
  const auto result =
      merit::cross_validate(merit_test::read_lines(merit::RecordKind::preference, lines), {}, make, options);
  CHECK(result.records == 40);
  CHECK(result.prompts == 10);
}

TEST_CASE("the turns of joined conversations are held out together, each conversation by itself") {
  std::string lines;
  for (int i = 0; i < 8; ++i) {
    const std::string first(1, static_cast<char>('a' + i));
    for (const std::string& prompt : {first, first + "x", first})
      lines += merit::concat("{\"prompt\": \"", prompt,
                             "\", \"completions\": [\"x\", \"y\"], \"ranks\": [0, 1]}\n");
  }
  merit::RecordSet set = merit_test::read_lines(merit::RecordKind::ranking, lines);
  merit::join_conversations(set);
  CHECK(merit::cross_validate(set, {}, make, options).prompts == 8);
}

TEST_CASE("a share has an interval among shares, a difference has not") {
  // Which letter is chosen is drawn for each prompt, so that folds differ.
  std::string lines;
  for (int i = 0; i < 8; ++i) {
    const bool first = i == 0 || i == 3 || i == 5;
    lines += merit::concat("{\"prompt\": \"", i, "\", \"chosen\": \"", first ? "a" : "bb",
                           "\", \"rejected\": \"", first ? "bb" : "a", "\"}\n");
  }
  const merit::RecordSet set = merit_test::read_lines(merit::RecordKind::preference, lines);
  auto two = options;
  two.folds = 2;
  two.seeds = 1;
  bool wider = false;
  for (const merit::ComparedFigure& figure : merit::cross_validate(set, {}, make, two).figures) {
    CHECK(figure.model.low >= 0);
    CHECK(figure.model.high <= 1);
    CHECK(figure.model.low <= figure.model.value);
    CHECK(figure.model.value <= figure.model.high);
    wider = wider || figure.difference.low < -1 || figure.difference.high > 1;
  }
  CHECK(wider);
}

TEST_CASE("steps are trained on less than the other folds hold, which widens their intervals") {
  using merit::detail::cross_validation::test_to_train;
  CHECK(test_to_train(merit::RecordKind::preference, 5) == 0.25);
  CHECK(test_to_train(merit::RecordKind::steps, 5) == doctest::Approx(1 / (4 * 0.875)).epsilon(1e-14));
}

TEST_CASE("steps are judged at a threshold of other prompts") {
  std::string lines;
  for (int i = 0; i < 40; ++i) {
    lines += "{\"prompt\": \"" + std::to_string(i) + "\", \"completions\": [\"a\", \"" +
             (i % 2 == 0 ? "a" : "b") + "\"], \"labels\": [1, " + (i % 2 == 0 ? "1" : "0") + "]}\n";
  }
  merit::RecordSet set = merit_test::read_lines(merit::RecordKind::steps, lines, {.wants_steps = true});
  using Steps = merit::RewardModel<merit::AnyBackbone, merit::BinaryStepHead, merit::CrossEntropyLoss,
                                   merit::EigenBackend<float>>;
  const auto result = merit::cross_validate(
      set, {.meaning = merit::ScoreMeaning::per_step},
      [](std::uint64_t seed) {
        return std::make_unique<merit::TypedModel<Steps>>(Steps::Config{
            .backbone = {merit::BagOfTokens{.vocabulary_size = 257, .width = 8}}, .seed = seed});
      },
      options);
  std::set<std::string> names;
  for (const merit::ComparedFigure& figure : result.figures) names.insert(figure.name);
  CHECK(names == std::set<std::string>{"first-error F1", "first error named exactly",
                                       "area under the curve of steps", "steps judged right"});
  CHECK(result.figures[0].model.value > 0.5);
}

TEST_CASE("epochs of files mean nothing where parts are held out, or turns joined") {
  merit::RecordSet set = pairs(9, "a", "bb");
  set.parts = {{18, 2}};
  CHECK(contains(
      merit_test::error_of<merit::ConfigError>([&] { merit::cross_validate(set, {}, make, options); }),
      "found epochs of files that are cross-validated on, expected none"));
  set = merit_test::read_lines(merit::RecordKind::ranking,
                               "{\"prompt\": \"p\", \"completions\": [\"a\", \"b\"], \"ranks\": [0, 1]}\n");
  set.parts = {{1, 2}};
  CHECK(contains(merit_test::error_of<merit::ConfigError>([&] { merit::join_conversations(set); }),
                 "found epochs of files whose conversations are to be joined, expected none"));
}

TEST_CASE("too few prompts or folds are one sentence") {
  auto refused = options;
  CHECK_THROWS_WITH_AS(merit::cross_validate(pairs(3, "a", "b"), {}, make, options),
                       doctest::Contains("found 3 prompts, expected at least as many as folds, 4"),
                       merit::DataError);
  refused.folds = 1;
  CHECK_THROWS_WITH_AS(merit::cross_validate(pairs(9, "a", "b"), {}, make, refused),
                       doctest::Contains("folds is 1, expected at least 2"), merit::ConfigError);
}

}  // namespace cross_validation_test
