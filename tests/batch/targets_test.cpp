// What becomes of examples that a loss cannot take as they are, and of two heads' targets.
#include "merit/batch/targets.hpp"

#include <doctest/doctest.h>

#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backbone/gpt2.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/infer/score.hpp"
#include "merit/model/aliases.hpp"

namespace targets_test {

using namespace merit;

using B = ReferenceBackend<double>;
const BagOfTokens bag{.vocabulary_size = 9, .width = 4};

const Sequence one{{1, 2, 3, 4}, 2};
const Sequence two{{1, 2, 5}, 2};

template <class Model, class Example>
void build(const Model& model, const Example& example) {
  BatchBuilder<Model> builder(model);
  builder.add(example);
  builder.finish();
}

/// The pairs of a ranking whose completions, group by group, have these rows.
PairTargets pairs_of(const RankingExample& example, const std::vector<std::uint32_t>& rows) {
  RowTable table;
  for (const std::uint32_t row : rows) {
    table.tokens.push_back(row);
    table.begin.push_back(table.tokens.size());
  }
  PairTargets targets;
  append_targets(targets, example, ExampleRows(table, table, 0));
  return targets;
}

RankedGroup ranked(const std::vector<Index>& ranks) {
  return {.completions = std::vector<Sequence>(ranks.size(), one), .ranks = ranks};
}

TEST_CASE("balanced pairs weigh a prompt the same whatever K") {
  const PairTargets targets = pairs_of({{ranked({1, 0, 2}), ranked({0, 1})}}, {4, 2, 0, 1, 3});
  REQUIRE(targets.pairs.size() == 4);
  CHECK(PairwiseLoss{}.normaliser(targets) == doctest::Approx(2.0).epsilon(1e-15));
  const std::uint32_t expected[][2] = {{2, 4}, {4, 0}, {2, 0}, {1, 3}};
  for (Index i = 0; i < 4; ++i) {
    CHECK(targets.pairs[i].chosen == expected[i][0]);
    CHECK(targets.pairs[i].rejected == expected[i][1]);
    CHECK(targets.pairs[i].weight == doctest::Approx(i < 3 ? 1.0 / 3 : 1.0).epsilon(1e-15));
    CHECK(targets.pairs[i].margin == 0.0);
    CHECK(targets.pairs[i].soft_label == 1.0);
  }
}

TEST_CASE("ties make no pair, and a prompt weighs less by their share") {
  const PairTargets tied = pairs_of({{ranked({0, 1, 1, 1})}}, {0, 1, 2, 3});
  REQUIRE(tied.pairs.size() == 3);
  for (const auto& pair : tied.pairs) {
    CHECK(pair.chosen == 0);
    CHECK(pair.weight == doctest::Approx(1.0 / 6).epsilon(1e-15));
  }
  CHECK(pairs_of({{ranked({3, 3})}}, {0, 1}).pairs.empty());
}

TEST_CASE("a ranking too long for its pairs is refused before they are made") {
  const Index most = most_completions_in_pairs;
  CHECK(pairs_of({{ranked(std::vector<Index>(most, 0))}}, std::vector<std::uint32_t>(most, 0)).pairs.empty());
  CHECK_THROWS_WITH_AS(
      pairs_of({{ranked(std::vector<Index>(most + 1, 0))}}, {}),
      "a ranking has 4097 completions, expected at most 4096 for a loss over pairs; the loss "
      "plackett_luce takes any number",
      DataError);
}

TEST_CASE("a ranking without completions teaches no tokens and is refused") {
  NextTokenTargets targets;
  const RowTable table;
  CHECK_THROWS_WITH_AS(append_targets(targets, RankingExample{{RankedGroup{}}}, ExampleRows(table, table, 0)),
                       "a ranking has no completions, expected at least one, whose tokens are predicted",
                       DataError);
}

TEST_CASE("a pair has its own margin and its prompt's weight, whichever completion is better") {
  RankedGroup group = ranked({2, 0, 1});
  group.margins = {0.5, 0.25, 0.125};  // of (0,1), (0,2), (1,2)
  group.weight = 6;
  const PairTargets targets = pairs_of({{group}}, {7, 8, 9});
  REQUIRE(targets.pairs.size() == 3);
  const std::uint32_t expected[][2] = {{8, 7}, {9, 7}, {8, 9}};
  for (Index i = 0; i < 3; ++i) {
    CHECK(targets.pairs[i].chosen == expected[i][0]);
    CHECK(targets.pairs[i].rejected == expected[i][1]);
    CHECK(targets.pairs[i].margin == group.margins[i]);
    CHECK(targets.pairs[i].weight == 2.0);
  }
}

TEST_CASE("a ranking has what its loss reads for each completion") {
  RankedGroup group = ranked({0, 1, 2});
  group.margins = {0.5, 0.25};
  CHECK_THROWS_WITH_AS(pairs_of({{group}}, {0, 1, 2}), "a ranking of 3 completions has 2 margins, expected 3",
                       DataError);
  group.margins.clear();
  group.ranks = {0, 1};
  const char* const ranks = "a ranking of 3 completions has 2 ranks, expected 3";
  CHECK_THROWS_WITH_AS(pairs_of({{group}}, {0, 1, 2}), ranks, DataError);
  const PlackettLuceModel<BagOfTokens, B> listwise({.backbone = bag});
  CHECK_THROWS_WITH_AS(build(listwise, RankingExample{{group}}), ranks, DataError);
  group.ranks.clear();
  group.ratings = {1, 2};
  const AttributeModel<BagOfTokens, B> rated({.backbone = bag, .head = {.merge_weights = {1}}});
  CHECK_THROWS_WITH_AS(build(rated, RankingExample{{group}}),
                       "a ranking of 3 completions has 2 ratings, expected 3", DataError);
  group.ratings = {1, 2, 3};
  build(rated, RankingExample{{group}});
}

TEST_CASE("a loss over rankings refuses margins, which it has no place for") {
  const PlackettLuceModel<BagOfTokens, B> model({.backbone = bag});
  RankingExample ranking{{{.completions = {one, two}, .ranks = {0, 1}}}};
  build(model, ranking);
  ranking.groups[0].margins = {1};
  CHECK_THROWS_WITH_AS(build(model, ranking), "a ranking has margins, expected none for a loss over rankings",
                       DataError);
  const PreferenceExample pair{one, two, 0.5};
  CHECK_THROWS_WITH_AS(build(model, pair),
                       "a preference has a margin or a soft label, expected neither for a loss over rankings",
                       DataError);
}

TEST_CASE("ratings have an attribute for each of a head's scores") {
  const AttributeModel<BagOfTokens, B> model({.backbone = bag, .head = {.merge_weights = {0.5, 2}}});
  RankingExample rated{
      {{.completions = {one, two}, .ranks = {0, 1}, .ratings = {1, 2, 3, 4}, .attributes = 2}}};
  build(model, rated);
  rated.groups[0].attributes = 1;
  rated.groups[0].ratings = {1, 2};
  CHECK_THROWS_WITH_AS(build(model, rated),
                       "ratings have 1 attributes, expected 2, one for each of the head's scores", DataError);
  rated.groups[0].ratings.clear();
  CHECK_THROWS_WITH_AS(build(model, rated),
                       "a ranking has ranks alone, expected ratings for a loss that predicts them",
                       DataError);
}

TEST_CASE("an outcome is two classes of its completion, wrong and right") {
  using Two = TokenLogitHead<ScoreMeaning::per_completion, 2>;
  using Model = RewardModel<Gpt2, Two, CompletionCrossEntropyLoss, B>;
  const Gpt2 backbone{.vocabulary_size = 9, .hidden_size = 4, .layers = 1, .heads = 1, .max_positions = 8};
  const Model model({.backbone = backbone, .head = {{1, 2}}});
  BatchBuilder<Model> batch(model);
  const OutcomeExample outcome{.sequence = one, .label = 0.75, .weight = 2};
  batch.add(outcome);
  batch.finish();
  const ClassTargets& targets = batch.targets();
  REQUIRE(targets.labels.size() == 1);  // of the last token alone
  CHECK(targets.probabilities == std::vector<double>{0.25, 0.75});
  CHECK(targets.sequences[0].weight == 2);
  using Three = TokenLogitHead<ScoreMeaning::per_completion, 3>;
  const RewardModel<Gpt2, Three, CompletionCrossEntropyLoss, B> three(
      {.backbone = backbone, .head = {{1, 2, 3}}});
  CHECK_THROWS_WITH_AS(build(three, outcome),
                       "outcomes have labels of 2 classes, wrong and right; the head has 3", UsageError);
}

TEST_CASE("a rollout has a return and an old value for each token of its completion") {
  const ValueModel<BagOfTokens, B> model({.backbone = bag, .loss = {.clip = 0.2}});
  RolloutExample rollout{one, {1, 2}, {0.5, 0.5}};
  build(model, rollout);
  rollout.returns = {1, 2, 3};
  rollout.old_values = {0, 0, 0};
  CHECK_THROWS_WITH_AS(build(model, rollout),
                       "a rollout has 3 returns for 2 states, expected one for each token of the completion",
                       DataError);
  rollout.returns = {1, 2};
  rollout.old_values = {0.5};
  CHECK_THROWS_AS(build(model, rollout), DataError);
}

TEST_CASE("a value that may not move far must know from where") {
  ValueModel<BagOfTokens, B> model({.backbone = bag, .loss = {.clip = 0.2}});
  const RolloutExample rollout{one, {1, 2}};
  BatchBuilder<ValueModel<BagOfTokens, B>> builder(model);
  builder.add(rollout);
  builder.finish();
  model.begin_step();
  CHECK_THROWS_AS(
      model.accumulate(builder.forest(), builder.targets(), model.loss().normaliser(builder.targets())),
      DataError);
}

TEST_CASE("what a model of two heads scores with attributes first is the merged ones") {
  using Head = JointHead<AttributeHead, ValueHead>;
  using Loss = JointLoss<RegressionLoss<ScoreMeaning::per_completion>, ValueLoss>;
  RewardModel<BagOfTokens, Head, Loss, B> model(
      {.backbone = bag, .head = {.first = {.merge_weights = {0.5, -2}}}});
  const std::vector<Sequence> sequences{one, two};
  const auto rows = score_rows(model, std::span<const Sequence>(sequences));
  const auto scores = score(model, std::span<const Sequence>(sequences));
  REQUIRE(rows[0].values.size() == 2);
  for (Index i = 0; i < 2; ++i) {
    CHECK(scores[i] == 0.5 * rows[i].values[0] - 2 * rows[i].values[1]);
    CHECK(scores[i] != rows[i].values[0]);
  }
}

TEST_CASE("a head with several scores a completion that does not merge them gives no single score") {
  using Head = TokenLogitHead<ScoreMeaning::per_completion, 3>;
  RewardModel<Llama, Head, RegressionLoss<ScoreMeaning::per_completion>, B> model(
      {.backbone = {.vocabulary_size = 9,
                    .hidden_size = 4,
                    .intermediate_size = 4,
                    .layers = 1,
                    .heads = 1,
                    .kv_heads = 1}});
  const std::vector<Sequence> sequences{one};
  CHECK_THROWS_WITH_AS(
      score(model, std::span<const Sequence>(sequences)),
      "the head gives 3 scores a completion and no merge() that makes one of them, expected one "
      "score",
      UsageError);
}

}  // namespace targets_test
