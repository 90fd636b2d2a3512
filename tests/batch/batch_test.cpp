// From examples to a forest with rows and targets, and the scores of many sequences.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backbone/features.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/infer/score.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/testing/archetypes.hpp"

namespace batch_test {

using namespace merit;

using B = ReferenceBackend<double>;
using TokenModel = RewardModel<Llama, ScalarHead, PairwiseLoss, B>;
using FeatureModel = RewardModel<Features, ScalarHead, PairwiseLoss, B>;

TokenModel::Config small() {
  return {.backbone = {.vocabulary_size = 9,
                       .hidden_size = 8,
                       .intermediate_size = 6,
                       .layers = 2,
                       .heads = 2,
                       .kv_heads = 1,
                       .init_deviation = 0.4}};
}
Sequence tokens(std::vector<Token> ids, Index completion_begin = 0) {
  return {std::move(ids), completion_begin, {}};
}
Sequence features(std::vector<float> values) {
  return {{}, 0, std::move(values)};
}
PreferenceExample pair(Sequence chosen, Sequence rejected) {
  return {std::move(chosen), std::move(rejected)};
}

/// Many sequences of many lengths, some of them twice.
std::vector<Sequence> many() {
  Rng rng(5);
  std::vector<Sequence> sequences;
  for (Index i = 0; i < 30; ++i) {
    std::vector<Token> ids(1 + rng.below(7));
    for (Token& id : ids) id = static_cast<Token>(rng.below(3));
    sequences.push_back(tokens(ids));
  }
  sequences.push_back(sequences[3]);
  return sequences;
}

TEST_CASE("a batch of pairs shares prompts and points its targets at the last token of each side") {
  const TokenModel model(small());
  BatchBuilder<TokenModel> builder(model);  // ready as made, without clear()
  PreferenceExample first = pair(tokens({1, 2, 3, 4}, 2), tokens({1, 2, 5}, 2));
  first.margin = 0.25, first.weight = 2, first.soft_label = 0.75;
  CHECK(builder.add(first) == 0);
  const PreferenceExample second =
      pair(tokens({1, 2, 3}), tokens({1, 2, 3, 4}));  // one side inside the other
  CHECK(builder.add(second) == 2);
  builder.finish();
  CHECK(builder.records() == 2);
  CHECK(builder.token_count() == 5 + 4);
  CHECK(builder.tokens_before_sharing() == 14);
  const auto& forest = builder.forest();
  CHECK(forest.row_count() == 4);
  const auto token_of = [&](Index sequence) {
    REQUIRE(builder.rows(sequence).size() == 1);
    return forest.tokens[forest.rows[builder.rows(sequence)[0]]];
  };
  CHECK(token_of(0) == 4);
  CHECK(token_of(1) == 5);
  CHECK(token_of(2) == 3);
  CHECK(token_of(3) == 4);
  const auto& pairs = builder.targets().pairs;
  REQUIRE(pairs.size() == 2);
  CHECK(pairs[0].chosen == builder.rows(0)[0]);
  CHECK(pairs[0].rejected == builder.rows(1)[0]);
  CHECK(pairs[0].margin == 0.25);
  CHECK(pairs[0].weight == 2);
  CHECK(pairs[0].soft_label == 0.75);
  CHECK(pairs[1].chosen == builder.rows(2)[0]);
  CHECK(pairs[1].rejected == builder.rows(3)[0]);
}

TEST_CASE("a pair of equal sides is one row in both places") {
  const TokenModel model(small());
  BatchBuilder<TokenModel> builder(model);
  const PreferenceExample equal = pair(tokens({1, 2}), tokens({1, 2}));
  builder.add(equal);
  builder.finish();
  CHECK(builder.forest().row_count() == 1);
  CHECK(builder.targets().pairs[0].chosen == builder.targets().pairs[0].rejected);
}

TEST_CASE("a builder cleared starts anew, also after a record that it refused") {
  const TokenModel model(small());
  BatchBuilder<TokenModel> builder(model);
  builder.add(tokens({1, 2, 3}));
  CHECK_THROWS_AS(builder.add(tokens({})), UsageError);
  CHECK(builder.records() == 1);
  builder.clear();
  CHECK(builder.add(tokens({7, 8})) == 0);
  builder.finish();
  CHECK(builder.records() == 1);
  CHECK(builder.token_count() == 2);
  CHECK(builder.rows(0)[0] == 0);
  CHECK(builder.targets().pairs.empty());
}

TEST_CASE("without sharing every sequence is a tree of its own") {
  const TokenModel model(small());
  BatchBuilder<TokenModel> builder(model, Sharing::no);
  const PreferenceExample example = pair(tokens({1, 2, 3}), tokens({1, 2, 4}));
  builder.add(example);
  builder.finish();
  CHECK(builder.token_count() == 6);
  CHECK(builder.forest().tree_count() == 2);
}

TEST_CASE("vectors and tokens are kept apart, each with its sentence") {
  const TokenModel token_model(small());
  BatchBuilder<TokenModel> of_tokens(token_model);
  const char* has = "a record has feature vectors, expected text or token ids for this backbone";
  CHECK_THROWS_WITH_AS(of_tokens.add(features({1, 2})), has, DataError);
  const PreferenceExample mixed = pair(tokens({1}), features({1, 2}));
  CHECK_THROWS_WITH_AS(of_tokens.add(mixed), has, DataError);
  const FeatureModel feature_model({.backbone = {.width = 2}});
  BatchBuilder<FeatureModel> of_features(feature_model);
  const char* lacks = "a record has no feature vectors, expected them for the features backbone";
  CHECK_THROWS_WITH_AS(of_features.add(tokens({1})), lacks, DataError);
  const PreferenceExample half = pair(features({1, 2}), tokens({1}));
  CHECK_THROWS_WITH_AS(of_features.add(half), lacks, DataError);
  of_features.clear();
  of_features.add(features({1, 2}));
  CHECK_THROWS_WITH_AS(of_features.add(features({1, 2, 3})),
                       "forest: feature vector 1 has 3 numbers, expected 2 like the first.", DataError);
  of_features.clear();
  const PreferenceExample vectors = pair(features({1, 2}), features({3, 4}));
  CHECK(of_features.add(vectors) == 0);
  CHECK(of_features.add(features({5, 6})) == 2);
  of_features.finish();
  CHECK(of_features.forest().features.rows == 3);
  for (Index s = 0; s < 3; ++s) CHECK(of_features.rows(s)[0] == s);
}

TEST_CASE("a sequence's score is its own, whatever the budget and the order") {
  TokenModel model(small());
  const std::vector<Sequence> sequences = many();
  const std::vector<double> scores = score(model, sequences);
  REQUIRE(scores.size() == sequences.size());
  CHECK(scores[3] == scores.back());
  CHECK(*std::max_element(scores.begin(), scores.end()) > *std::min_element(scores.begin(), scores.end()));
  for (const Index budget : {Index{1}, Index{5}, Index{17}}) CHECK(score(model, sequences, budget) == scores);
  std::vector<Sequence> reversed(sequences.rbegin(), sequences.rend());
  std::vector<double> back = score(model, reversed, 11);
  std::reverse(back.begin(), back.end());
  CHECK(back == scores);
  CHECK(score(model, std::span<const Sequence>{}).empty());
  CHECK_THROWS_AS(score(model, sequences, 0), ConfigError);
}

TEST_CASE("pairs are scored in order, each side as by itself, with progress") {
  TokenModel model(small());
  const std::vector<Sequence> sequences = many();
  const std::vector<double> alone = score(model, sequences);
  std::vector<PreferenceExample> pairs;
  for (Index i = 0; i + 1 < sequences.size(); ++i) pairs.push_back(pair(sequences[i], sequences[i + 1]));
  std::vector<Index> seen;
  const std::vector<PairScores> scores = score(model, pairs, 20, [&](Index done, Index total) {
    CHECK(total == pairs.size());
    seen.push_back(done);
  });
  REQUIRE(scores.size() == pairs.size());
  for (Index i = 0; i < pairs.size(); ++i) {
    CHECK(scores[i].chosen == alone[i]);
    CHECK(scores[i].rejected == alone[i + 1]);
  }
  CHECK(seen.size() > 2);
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  CHECK(seen.back() == pairs.size());
}

TEST_CASE("what a pair costs is what its forest holds") {
  const TokenModel model(small());
  BatchBuilder<TokenModel> builder(model);
  const auto check = [&](const PreferenceExample& example) {
    builder.clear();
    builder.add(example);
    builder.finish();
    CHECK(shared_tokens(example) == builder.token_count());
  };
  check(pair(tokens({1, 2, 3}), tokens({1, 2, 4, 5})));
  check(pair(tokens({1, 2, 3}), tokens({1, 2})));
  check(pair(tokens({1}), tokens({2})));
  CHECK(shared_tokens(pair(features({1, 2}), features({3, 4}))) == 2);
  CHECK(shared_tokens(tokens({1, 2, 3})) == 3);
  CHECK(shared_tokens(features({1, 2})) == 1);
}

TEST_CASE("scoring asks for no more of a model than the concepts do") {
  using Least = RewardModel<BackboneArchetype, HeadArchetype<>, LossArchetype<>, B>;
  Least model;
  const std::vector<Sequence> sequences{tokens({0}), tokens({0, 0})};
  CHECK(score(model, sequences) == std::vector<double>{0, 0});
}

}  // namespace batch_test
