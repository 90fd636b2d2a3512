// Training on every kind of example: the same bits each time, also where a run stops and goes on.
#include <doctest/doctest.h>

#include "../io/temporary.hpp"
#include "../model/small_examples.hpp"
#include "fixtures.hpp"
#include "merit/model/aliases.hpp"
#include "merit/train/stored_examples.hpp"

namespace kinds_test {

using namespace merit;
using namespace merit_test;
using B = ReferenceBackend<double>;

TrainOptions options() {
  TrainOptions options;
  options.epochs = 2;
  options.batch_size = 3;
  options.micro_batch_tokens = 40;
  options.schedule.peak = 0.02;
  return options;
}

/// Runs of four steps have the same losses and end with the same bits: a first, one that is saved after the first step and
/// goes on in new objects with its examples in a file, and one the other way round.
template <class Model, class Example>
void check_kind(const std::vector<Example>& examples, const typename Model::Config& config) {
  INFO(std::string(Model::HeadType::name()), " ", std::string(Model::LossType::name()));
  std::vector<double> losses[3];
  std::vector<double> values[3];
  const TemporaryDirectory directory;
  StoredExamples<Example> stored(directory / "examples");
  for (const Example& example : examples) stored.add(example);
  for (const int run : {0, 1, 2}) {
    auto model = std::make_unique<Model>(config);
    const auto make = [&](bool from_file) {
      return from_file ? std::make_unique<Trainer<Model, Example>>(*model, stored, options())
                       : std::make_unique<Trainer<Model, Example>>(*model, examples, options());
    };
    auto trainer = make(run == 2);
    REQUIRE(trainer->steps() == 4);
    while (!trainer->finished()) {
      if (run != 0 && trainer->steps_done() == 1) {
        save_run(directory / "run", *model, *trainer, {});
        trainer.reset();
        auto other = config;
        other.seed = 99;
        model = std::make_unique<Model>(other);
        trainer = make(run == 1);
        resume_run(directory / "run", *model, *trainer);
      }
      const StepReport report = trainer->step();
      CHECK(report.loss > 0);
      CHECK(report.gradient_norm > 0);
      losses[run].push_back(report.loss);
    }
    values[run] = training::values_of(*model);
  }
  for (const int run : {1, 2}) {
    CHECK(losses[0] == losses[run]);
    CHECK(values[0] == values[run]);
  }
  Model fresh(config);
  CHECK(training::values_of(fresh) != values[0]);
}

TEST_CASE("every kind trains to the same bits, also where it stops and goes on") {
  const BagOfTokens bag = tiny_bag();
  check_kind<BradleyTerryModel<BagOfTokens, B>>(random_preferences(6), {.backbone = bag});
  check_kind<PlackettLuceModel<BagOfTokens, B>>(random_rankings(6), {.backbone = bag});
  check_kind<AttributeModel<BagOfTokens, B>>(random_rankings(6, 2),
                                             {.backbone = bag, .head = {.merge_weights = {1, 2}}});
  check_kind<OutcomeRewardModel<BagOfTokens, B>>(random_outcomes(6), {.backbone = bag});
  check_kind<ProcessRewardModel<BagOfTokens, B>>(random_steps(6), {.backbone = bag});
  check_kind<ValueModel<BagOfTokens, B>>(random_rollouts(6), {.backbone = bag});
  check_kind<VerifierModel<Llama, B>>(random_outcomes(6), {.backbone = tiny_reward_llama()});
}

TEST_CASE("a run does not go on with examples whose labels are others") {
  using Model = ProcessRewardModel<BagOfTokens, B>;
  auto examples = random_steps(6);
  const TemporaryDirectory directory;
  Model model({.backbone = tiny_bag()});
  Trainer trainer(model, examples, options());
  trainer.step();
  save_run(directory / "run", model, trainer, {});
  auto others = examples;
  others[2].labels[0].reset();
  Trainer other(model, others, options());
  CHECK(contains(error_of<ConfigError>([&] { resume_run(directory / "run", model, other); }), "fingerprint"));
  others = examples;
  others[1].sequence.step_ends[0] += 1;
  Trainer moved(model, others, options());
  CHECK_THROWS_AS(resume_run(directory / "run", model, moved), ConfigError);
}

TEST_CASE("a step of ties alone changes no weight; a whole epoch of them is an error") {
  using Model = BradleyTerryModel<BagOfTokens, B>;
  auto examples = random_rankings(4);
  for (auto& example : examples) example.groups[0].ranks = {0, 0, 0, 0};
  const auto tied = examples;
  examples[3].groups[0].ranks = {0, 1, 2, 3};
  TrainOptions one_each;
  one_each.batch_size = 1;
  one_each.epochs = 2;
  one_each.optimizer = merit::AdamW{.weight_decay = 0};
  Model model({.backbone = tiny_bag()});
  {
    Trainer trainer(model, examples, one_each);
    Index learned = 0;
    for (Index step = 0; step < 4; ++step) {
      const StepReport report = trainer.step();
      learned += report.judged > 0;
      CHECK((report.judged > 0) == (report.loss > 0));
      CHECK((report.judged > 0) == (report.gradient_norm > 0));
    }
    CHECK(learned == 1);
    CHECK_NOTHROW(trainer.run());
  }
  Trainer trainer(model, tied, one_each);
  for (Index step = 0; step < 3; ++step) {
    CHECK(trainer.step().loss == 0);
  }
  const auto before = training::values_of(model);
  CHECK_THROWS_WITH_AS(
      trainer.step(),
      "step 4: the weights of all 4 records, a whole epoch, sum to 0, expected more: there is nothing "
      "to learn",
      DataError);
  CHECK(training::values_of(model) == before);
}

TEST_CASE("a step's accuracy counts pairs, labels and classes by the side of the score") {
  const std::vector<double> scores{2, -1, 0.5, 0.5, 3};
  const std::span<const double> view(scores);
  PairTargets pairs;
  pairs.pairs.push_back({0, 1});
  pairs.pairs.push_back({1, 2});
  pairs.pairs.push_back({2, 3});  // a tie
  CHECK(count_right(pairs, view, 1).right == 1.5);
  CHECK(count_right(pairs, view, 1).counted == 3);
  CHECK(count_right(pairs, view, 1).share() == 0.5);
  pairs.pairs[0].soft_label = 0.5;   // not counted
  pairs.pairs[1].soft_label = 0.25;  // the rejected one is likelier, and scores higher
  CHECK(count_right(pairs, view, 1).right == 1.5);
  CHECK(count_right(pairs, view, 1).counted == 2);

  RankingTargets ranking;  // 0 over 1 and 4, which tie in rank; 1 and 4 are not compared
  ranking.add(std::vector<std::uint32_t>{1, 0, 4}, std::vector<Index>{1, 0, 1});
  CHECK(count_right(ranking, view, 1).right == 1);
  CHECK(count_right(ranking, view, 1).counted == 2);

  BinaryTargets labels;
  labels.begin_sequence();
  labels.add(0, 1);
  labels.add(1, 0.25);
  labels.add(2, 0);
  labels.add(4, 0.5);  // neither right nor wrong
  CHECK(count_right(labels, view, 1).right == 2);
  CHECK(count_right(labels, view, 1).counted == 3);

  const std::vector<double> rows{1, 2, 3, 9, 0, 0, 1, 5, 0};  // (3, 3)
  ClassTargets classes(3);
  classes.begin_sequence();
  classes.add(0, 2);
  classes.add(1, 1);
  classes.add(2, std::vector<double>{0.2, 0.5, 0.3});
  CHECK(count_right(classes, std::span<const double>(rows), 3).right == 2);
  CHECK(count_right(classes, std::span<const double>(rows), 3).counted == 3);

  JointTargets<BinaryTargets, NextTokenTargets> joint;
  joint.first.begin_sequence();
  joint.first.add(1, 1);  // of rows of three scores the first: 9
  joint.second.next.push_back({0, 1, 1});
  CHECK(count_right(joint, std::span<const double>(rows), 3).right == 1);
  CHECK(count_right(joint, std::span<const double>(rows), 3).counted == 1);

  CHECK(count_right(RegressionTargets{}, view, 1).counted == 0);
  CHECK(RightCount{}.share() == 0);
}

}  // namespace kinds_test
