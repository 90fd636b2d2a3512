// Models of the compiled set: the same numbers and bytes as of the types they stand for, and what is refused.
#include "merit/run/any_model.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "io/temporary.hpp"
#include "letter_model.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/comm/thread_comm.hpp"
#include "merit/infer/score.hpp"
#include "merit/io/file.hpp"
#include "merit/jobs/training_choice.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/run/typed_model.hpp"
#include "merit/train/checkpoint.hpp"
#include "merit/train/trainer.hpp"
#include "model/small_examples.hpp"

namespace any_model_test {

using merit::ConfigError;
using merit::EigenBackend;
using merit::Index;
using merit_test::contains;
using merit_test::error_of;
namespace fs = std::filesystem;

using Plain = merit::RewardModel<merit::Llama, merit::ScalarHead, merit::PairwiseLoss, EigenBackend<float>>;
using Any =
    merit::RewardModel<merit::AnyBackbone, merit::ScalarHead, merit::PairwiseLoss, EigenBackend<float>>;

constexpr merit::Llama backbone{.vocabulary_size = 257,
                                .hidden_size = 16,
                                .intermediate_size = 32,
                                .layers = 2,
                                .heads = 2,
                                .kv_heads = 2,
                                .frozen_layers = 1};

merit::RecordSet pairs() {
  return merit_test::read_lines(merit::RecordKind::preference,
                                "{\"prompt\": \"p\", \"chosen\": \"ab\", \"rejected\": \"c\"}\n"
                                "{\"prompt\": \"q\", \"chosen\": \"d\", \"rejected\": \"ee\"}\n");
}

// What a run or a scorer looks at is someone else's: what ends with the call does not compile.
template <class Argument>
concept trains_on = requires(merit::AnyModel& model, Argument&& examples) {
  model.train(std::forward<Argument>(examples), merit::TrainOptions{});
};
static_assert(trains_on<const merit::Examples&> && !trains_on<merit::Examples>);
template <class Saved, class Reads>
constexpr bool scores_with =
    std::is_constructible_v<merit::RecordScorer, merit::AnyModel&, Saved, Reads, Index>;
static_assert(scores_with<const merit::SavedModel&, const merit::Reading&>);
static_assert(!scores_with<merit::SavedModel, const merit::Reading&>);
static_assert(!scores_with<const merit::SavedModel&, merit::Reading>);

TEST_CASE("a model of any backbone scores, trains and saves as one of that backbone alone") {
  Plain plain({.backbone = backbone, .head = {.init_deviation = 0.5}, .seed = 3});
  merit::TypedModel<Any> any({.backbone = {backbone}, .head = {.init_deviation = 0.5}, .seed = 3});
  const merit::RecordSet set = pairs();
  const auto& examples = std::get<std::vector<merit::PreferenceExample>>(set.examples);
  const std::span<const merit::PreferenceExample> list(examples);
  const merit::TrainOptions options{.epochs = 3, .batch_size = 1};

  const merit_test::TemporaryDirectory folder;
  merit::Trainer trainer(plain, examples, options);
  CHECK(trainer.run() == merit::StopReason::finished);
  const auto run = any.train(set.examples, options);
  CHECK(run->steps() == 6);
  CHECK(run->run({}) == merit::StopReason::finished);
  CHECK(run->finished());

  const auto expected = merit::score_rows(plain, list);
  const merit::ScoredSet found = any.measure(set.examples, 8192);
  REQUIRE(found.rows.size() == expected.size());
  for (Index i = 0; i < expected.size(); ++i) CHECK(found.rows[i].values == expected[i].values);
  double loss = 0;
  merit::BatchBuilder<Plain> batch(plain);
  for (const auto& example : examples) batch.add(example);
  batch.finish();
  loss = plain.loss_value(batch.forest(), batch.targets());
  CHECK(*found.loss == doctest::Approx(loss));

  merit::save_run(folder / "plain", plain, trainer, {});
  run->save(folder / "any", {}, merit::Json::object(), {});
  for (const char* file :
       {"config.json", "merit.json", "model.safetensors", "training.json", "optimizer.safetensors"}) {
    INFO(std::string(file));
    const bool same = merit::read_file(folder / "plain" / file) == merit::read_file(folder / "any" / file);
    CHECK(same);
  }
}

TEST_CASE("a model works among ranks for as long as it is asked to, also where that ends in an error") {
  merit::TypedModel<Any> model({.backbone = {backbone}, .seed = 3});
  const merit::Comm* const alone = &model.comm();
  CHECK(alone->size() == 1);
  merit::SoloComm own, of_a_run;
  model.work_among(&own);
  try {
    const merit::WorkAmong among(model, &of_a_run);
    CHECK(&model.comm() == &of_a_run);
    const merit::WorkAmong as_before(model, nullptr);
    CHECK(&model.comm() == &of_a_run);
    throw merit::DataError("a run that cannot begin");
  } catch (const merit::DataError&) {
    CHECK(&model.comm() == &own);
  }
  model.work_among(nullptr);
  CHECK(&model.comm() == alone);
}

TEST_CASE("ranks that measure a set together have the bits of one, on all of them") {
  const auto random_pairs = merit_test::random_preferences(9);
  const auto random_outcomes = merit_test::random_outcomes(9);
  const auto check = [](merit::Examples examples) {
    const auto measure = [&](merit::Comm* comm, Index* batches = nullptr) {
      merit::TypedModel<Any> model({.backbone = {backbone}, .head = {.init_deviation = 0.5}, .seed = 3});
      model.work_among(comm);
      merit::ScoredSet set = model.measure(examples, 20, [&](Index, Index total) {
        if (batches != nullptr) ++*batches;
        CHECK(total == 9);
      });
      std::vector<std::vector<double>> rows;
      for (const merit::RowScores& one : set.rows) rows.push_back(one.values);
      return std::pair(rows, set.loss);
    };
    Index all = 0;
    const auto alone = measure(nullptr, &all);
    CHECK(all > 3);
    for (const Index ranks : {Index{2}, Index{3}, Index{12}}) {  // the last: more than there are batches
      std::vector<decltype(measure(nullptr))> found(ranks);
      std::vector<Index> own(ranks);
      merit::run_ranks(ranks,
                       [&](merit::Comm& comm) { found[comm.rank()] = measure(&comm, &own[comm.rank()]); });
      Index together = 0;
      for (Index r = 0; r < ranks; ++r) {
        CHECK(found[r] == alone);
        CHECK(own[r] <= all / ranks + 1);
        together += own[r];
      }
      CHECK(together == all);
    }
  };
  SUBCASE("of which the loss is told") {
    check(random_pairs);
  }
  SUBCASE("from which the model does not learn") {
    check(random_outcomes);
  }
}

TEST_CASE("weights of other settings are refused by name") {
  const merit_test::TemporaryDirectory folder;
  Plain plain({.backbone = backbone});
  merit::save_model(folder / "m", plain);
  merit::Llama other = backbone;
  other.norm_epsilon = 1e-3;
  merit::TypedModel<Any> any({.backbone = {other}});
  CHECK(contains(error_of<ConfigError>([&] { any.load(folder / "m", {}); }), "rms_norm_eps"));
}

TEST_CASE("what a backbone cannot carry, and from what a model does not learn") {
  const merit::BackboneConfig bag = merit::BagOfTokens{};
  const merit::BackboneConfig vectors = merit::Features{.width = 2};
  CHECK(
      error_of<ConfigError>([&] { merit::check_carried(bag, merit::VerifierHead{}); }) ==
      "the backbone bag_of_tokens cannot carry the head verifier: that reads the logits of a language model; use "
      "llama, gpt2 or gpt_neox");
  CHECK(
      error_of<ConfigError>([&] { merit::check_carried(vectors, merit::TokenHead{}); }) ==
      "the backbone features cannot carry the head token: it reads one vector a completion; use scalar, two_layer "
      "or attributes");
  merit::check_carried(vectors, merit::TwoLayerHead{});
  merit::check_carried(bag, merit::TokenHead{});
  merit::check_carried(merit::Gpt2{}, merit::VerifierHead{});

  merit_test::LetterModel model(merit::ScalarHead{}, merit::PairwiseLoss{});
  const merit::RecordSet outcomes = merit_test::read_lines(
      merit::RecordKind::outcome, "{\"prompt\": \"p\", \"completion\": \"a\", \"label\": 1}\n");
  CHECK(error_of<ConfigError>([&] { model.train(outcomes.examples, {}); }) ==
        "the loss pairwise does not learn from this kind of record");
}

TEST_CASE("heads and losses by kind and name") {
  const auto chosen = [](merit::RecordKind kind, const char* head, const char* loss, const char* usual) {
    const merit::PolicyPair pair = merit::choose_policies(kind, head, loss, usual);
    return std::string(pair.head) + " " + std::string(pair.loss);
  };
  using merit::RecordKind;
  CHECK(chosen(RecordKind::preference, "", "", "") == "scalar pairwise");
  CHECK(chosen(RecordKind::preference, "", "hinge", "") == "scalar hinge");
  CHECK(chosen(RecordKind::steps, "", "", "step_ternary") == "step_ternary cross_entropy");
  CHECK(chosen(RecordKind::outcome, "verifier", "", "token") == "verifier joint");
  CHECK(error_of<ConfigError>([&] { chosen(RecordKind::rollout, "scalar", "", ""); }) ==
        "found --head scalar, expected for records of the kind value one of: value with value");
}

}  // namespace any_model_test
