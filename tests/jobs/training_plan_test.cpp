// What a run would be, and how a record is seen.
#include "merit/jobs/training_plan.hpp"

#include <doctest/doctest.h>

#include <string>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/run/typed_model.hpp"
#include "run/letter_model.hpp"

namespace training_plan_test {

using merit_test::contains;

using Model = merit::RewardModel<merit::AnyBackbone, merit::ScalarHead, merit::PairwiseLoss,
                                 merit::EigenBackend<float>>;

const merit::AnyTokenizer bytes = merit::make_tokenizer("bytes");

TEST_CASE("rows are marked where the head reads them") {
  merit::Sequence sequence{
      .tokens = {'Q', '\n', 'a', '.', 'b', '.'}, .completion_begin = 2, .step_ends = {3, 5}};
  CHECK(merit::marked_rows(bytes, merit::ScalarHead{}, sequence) == "Q\\n|a.b.^");
  CHECK(merit::marked_rows(bytes, merit::TernaryStepHead{}, sequence) == "Q\\n|a.^b.^");
  CHECK(merit::marked_rows(bytes, merit::TokenHead{}, sequence) == "Q\\n|a^.^b^.^");
  CHECK(merit::marked_rows(bytes, merit::ValueHead{}, sequence) == "Q\\n^|a^.^b^.");
  CHECK(merit::marked_rows(merit::make_tokenizer("ids:300"), merit::ScalarHead{}, sequence) ==
        "81 10|97 46 98 46^");
  // Hashes of words are the words of the record; what is not among them stays a number.
  const merit::AnyTokenizer words = merit::make_tokenizer("words:65536");
  merit::Sequence of_words;
  words.encode("What now? Wait, a Moment", of_words.tokens);
  of_words.completion_begin = 3;
  const std::string texts[] = {"Wait, a Moment", "what now?"};
  CHECK(merit::marked_rows(words, merit::ScalarHead{}, of_words, texts) == "what now ?|Wait , a Moment^");
  const std::string last = " " + std::to_string(of_words.tokens.back());
  CHECK(merit::marked_rows(words, merit::ScalarHead{}, of_words, std::span(texts).subspan(1))
            .ends_with(last + "^"));
  sequence.tokens.push_back(bytes.eos());
  CHECK(merit::marked_rows(bytes, merit::ScalarHead{}, sequence) == "Q\\n|a.b.<eos>^");
  sequence.features = {1, 2};
  CHECK(merit::marked_rows(bytes, merit::ScalarHead{}, sequence) == "a vector of 2 features");
}

TEST_CASE("a plan counts what a run would do") {
  std::string lines;
  for (int i = 0; i < 10; ++i) {
    lines += "{\"prompt\": \"p\", \"chosen\": \"" + std::string(static_cast<std::size_t>(i) + 1, 'a') +
             "\", \"rejected\": \"b\"}\n";
  }
  const merit::RecordSet set = merit_test::read_lines(merit::RecordKind::preference, lines);
  merit::TypedModel<Model> model(
      {.backbone = {merit::BagOfTokens{.vocabulary_size = 257, .width = 8}}, .seed = 5});
  const merit::TrainingPlan plan =
      merit::plan_training(model, set, bytes, {.epochs = 3, .batch_size = 4, .schedule = {.peak = 0.1}});
  CHECK(plan.parameters == 257 * 8 + 8);
  CHECK(plan.trained_parameters == 257 * 8 + 8);
  CHECK(plan.records == 10);
  CHECK(plan.sequences == 20);
  CHECK(plan.lengths.least == 2);  // prompt and letter
  CHECK(plan.lengths.most == 11);
  CHECK(plan.lengths.median == 2);  // of ten of 2, then of 2 to 11
  CHECK(plan.steps_per_epoch == 3);
  CHECK(plan.steps == 9);
  CHECK(plan.tokens_before_sharing == 10 * 2 + (2 + 11) * 10 / 2);
  CHECK(plan.tokens == plan.tokens_before_sharing - 10);  // each prompt is computed once
  CHECK(plan.seconds > 0);
  CHECK(plan.peak_bytes > 1e6);
  const double all = 4 * (257 * 8 + 8);
  CHECK(plan.weight_bytes == all);
  CHECK(plan.gradient_bytes >= all);
  CHECK(plan.gradient_bytes < all + 256);  // but for alignment
  CHECK(plan.optimizer_bytes == 2 * all);
  CHECK(plan.tokens_at_once > 4 * 5);
  CHECK(plan.bytes_per_token > 4 * 8);
  CHECK(contains(plan.record, "p|a"));
  CHECK(merit::to_json(plan).at("lengths").at("most") == 11);
  CHECK(contains(merit::text_of(plan), "steps         9, 3 an epoch\n"));
}

TEST_CASE("a plan counts the visits of an epoch to parts of the set") {
  std::string lines;
  for (int i = 0; i < 10; ++i)
    lines +=
        "{\"prompt\": \"p\", \"chosen\": \"" + std::string(i < 4 ? 5 : 2, 'a') + "\", \"rejected\": \"b\"}\n";
  merit::RecordSet set = merit_test::read_lines(merit::RecordKind::preference, lines);
  set.parts = {{4, 3}, {6, 0.5}};
  merit::TypedModel<Model> model(
      {.backbone = {merit::BagOfTokens{.vocabulary_size = 257, .width = 8}}, .seed = 5});
  const merit::TrainingPlan plan =
      merit::plan_training(model, set, bytes, {.epochs = 2, .batch_size = 4, .schedule = {.peak = 0.1}});
  CHECK(plan.records == 10);
  CHECK(plan.steps_per_epoch == 4);  // of 15 visits
  CHECK(plan.steps == 8);
  CHECK(plan.tokens_before_sharing == 12 * (6 + 2) + 3 * (3 + 2));
  CHECK(plan.tokens == plan.tokens_before_sharing - 15);
}

TEST_CASE("a plan says what recomputed layers save before they are") {
  std::string lines;
  for (int i = 0; i < 4; ++i)
    lines += "{\"prompt\": \"p\", \"chosen\": \"" + std::string(40, 'a') + "\", \"rejected\": \"b\"}\n";
  const merit::RecordSet set = merit_test::read_lines(merit::RecordKind::preference, lines);
  const auto plan = [&](merit::Index recompute, merit::Index frozen) {
    merit::TypedModel<Model> model({.backbone = {merit::Llama{.vocabulary_size = 257,
                                                              .hidden_size = 16,
                                                              .intermediate_size = 44,
                                                              .layers = 13,
                                                              .heads = 4,
                                                              .kv_heads = 4,
                                                              .frozen_layers = frozen,
                                                              .recompute = recompute}},
                                    .backend = {.threads = 1}});
    return merit::plan_training(model, set, bytes, {.batch_size = 2, .schedule = {.peak = 0.1}});
  };
  for (const merit::Index frozen : {merit::Index{0}, merit::Index{4}}) {
    const merit::Index most = 12 - frozen;
    const merit::TrainingPlan none = plan(0, frozen), half = plan(most / 2, frozen),
                              all = plan(merit::all_layers, frozen);
    for (const merit::TrainingPlan* one : {&none, &half, &all}) {
      REQUIRE(one->recompute.size() == 3);
      CHECK(one->recompute[0].layers == 0);
      CHECK(one->recompute[1].layers == most / 2);
      CHECK(one->recompute[2].layers == most);
      CHECK(one->recompute[0].bytes_per_token == doctest::Approx(none.bytes_per_token).epsilon(0.03));
      CHECK(one->recompute[1].bytes_per_token == doctest::Approx(half.bytes_per_token).epsilon(0.03));
      CHECK(one->recompute[2].bytes_per_token == doctest::Approx(all.bytes_per_token).epsilon(0.03));
    }
    CHECK(half.recompute[1].chosen);
    CHECK(all.recompute[2].chosen);
    CHECK_FALSE(all.recompute[0].chosen);
    CHECK(all.bytes_per_token < 0.5 * none.bytes_per_token);
    CHECK(none.recompute[0].time == 1);
    CHECK(none.recompute[2].time > 1.15);
  }
  const merit::TrainingPlan five = plan(5, 0);
  CHECK(five.recompute.size() == 4);
  CHECK(contains(merit::text_of(five), ", 5 ("));
  CHECK(merit::to_json(five).at("recompute").at(1).at("chosen") == true);
}

}  // namespace training_plan_test
