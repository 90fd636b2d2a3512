// A score is the sequence's own: models on random forests against the same sequences one by one. Templates
// over the model, so that each backend is a compile unit of its own.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "merit/backbone/gpt2.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/core/rng.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/testing/random_forest.hpp"

namespace merit_test {

using merit::ForestBuilder;
using merit::Index;
using merit::RandomForest;
using merit::Rng;
using merit::Token;

// Small, but with every feature; weights so large that attention is far from uniform.
inline merit::Llama tiny_llama() {
  return {.vocabulary_size = 16,
          .hidden_size = 12,
          .intermediate_size = 10,
          .layers = 3,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 4,
          .max_positions = 64,
          .init_deviation = 0.4};
}
inline merit::Llama tiny_llama_with_all() {
  merit::Llama llama = tiny_llama();
  llama.qkv_bias = true;
  llama.head_norm = true;
  llama.kv_heads = 1;
  return llama;
}
inline merit::Llama tiny_llama_with_bias() {
  merit::Llama llama = tiny_llama();
  llama.qkv_bias = true;
  return llama;
}
inline merit::Gpt2 tiny_gpt2() {
  return {.vocabulary_size = 16,
          .hidden_size = 12,
          .layers = 3,
          .heads = 3,
          .max_positions = 64,
          .init_deviation = 0.4};
}

template <class Backbone, class Backend>
using ScalarModel = merit::RewardModel<Backbone, merit::ScalarHead, merit::PairwiseLoss, Backend>;

/// A model whose biases and norms are not the zeros and ones they start with.
template <class Model>
void shake(Model& model) {
  Rng rng(77);
  const auto values = model.parameters().values();
  using T = typename Model::BackendType::Stat;
  for (T& value : values) value += static_cast<T>(0.1 * rng.normal());
}

/// The n-th random forest of the tests: many shapes, from one token to about two hundred.
inline RandomForest nth_forest(std::uint64_t n) {
  Rng rng(n, 4711);
  merit::RandomForestShape shape;
  shape.groups = 1 + n % 3;
  shape.depth = 1 + n % 4;
  shape.run = n % 5 == 0 ? 1 : 4;
  shape.vocabulary = n % 2 == 0 ? 3 : 16;
  return merit::random_forest(rng, shape);
}

inline std::uint32_t row_in(const ForestBuilder& builder, const RandomForest::Row& row) {
  return builder.row_of(builder.index(row.group, row.sequence, row.position));
}

/// The scores of a forest's wanted rows, in the order of `forest.rows`.
template <class Model>
std::vector<double> packed_scores(Model& model, const RandomForest& forest) {
  ForestBuilder builder;
  forest.build(builder);
  const auto scores = model.score(builder.view());
  std::vector<double> result;
  for (const RandomForest::Row& row : forest.rows) {
    result.push_back(static_cast<double>(scores[row_in(builder, row)]));
  }
  return result;
}

/// The same, each sequence in a forest of its own with one wanted row.
template <class Model>
std::vector<double> single_scores(Model& model, const RandomForest& forest) {
  std::vector<double> result;
  for (const RandomForest::Row& row : forest.rows) {
    RandomForest one;
    one.groups = {{forest.groups[row.group][row.sequence]}};
    one.rows = {{0, 0, row.position}};
    result.push_back(packed_scores(model, one)[0]);
  }
  return result;
}

/// A pair of rows of a random forest, as numbers into its `rows`.
struct RowPair {
  Index chosen, rejected;
  double margin, weight, soft_label;
};

inline std::vector<RowPair> random_pairs(const RandomForest& forest, Index count, std::uint64_t seed) {
  Rng rng(seed, 99);
  std::vector<RowPair> pairs;
  for (Index i = 0; i < count; ++i) {
    pairs.push_back({rng.below(forest.rows.size()), rng.below(forest.rows.size()), rng.uniform(),
                     0.5 + rng.uniform(), rng.uniform()});
  }
  return pairs;
}

/// A forest and the pairs in it: what one accumulate() takes.
struct MicroBatch {
  ForestBuilder builder;
  merit::PairTargets targets;
};

/// Which rows beside the targets' a forest asks for.
enum class Rows { wanted, all };

/// All pairs on the packed forest.
inline MicroBatch packed_batch(const RandomForest& forest, const std::vector<RowPair>& pairs,
                               Rows rows = Rows::wanted) {
  RandomForest asked = forest;
  if (rows == Rows::all) {
    for (Index g = 0; g < forest.groups.size(); ++g) {
      for (Index s = 0; s < forest.groups[g].size(); ++s) {
        for (Index p = 0; p < forest.groups[g][s].size(); ++p) asked.rows.push_back({g, s, p});
      }
    }
  }
  MicroBatch batch;
  asked.build(batch.builder);
  for (const RowPair& pair : pairs) {
    batch.targets.pairs.push_back({row_in(batch.builder, forest.rows[pair.chosen]),
                                   row_in(batch.builder, forest.rows[pair.rejected]), pair.margin,
                                   pair.weight, pair.soft_label});
  }
  return batch;
}

/// Some of the pairs, each with its two sequences in a group of its own, shared or apart.
inline MicroBatch pair_batch(const RandomForest& forest, std::span<const RowPair> pairs,
                             merit::Sharing sharing) {
  MicroBatch batch{ForestBuilder(sharing), {}};
  std::vector<std::uint32_t> tokens;
  for (const RowPair& pair : pairs) {
    const RandomForest::Row& a = forest.rows[pair.chosen];
    const RandomForest::Row& b = forest.rows[pair.rejected];
    const std::vector<std::span<const Token>> sequences{forest.groups[a.group][a.sequence],
                                                        forest.groups[b.group][b.sequence]};
    const Index group = batch.builder.add_tree(sequences);
    tokens.push_back(batch.builder.index(group, 0, a.position));
    tokens.push_back(batch.builder.index(group, 1, b.position));
  }
  for (const std::uint32_t token : tokens) batch.builder.want_row(token);
  batch.builder.finish();
  for (Index i = 0; i < pairs.size(); ++i) {
    batch.targets.pairs.push_back({batch.builder.row_of(tokens[2 * i]),
                                   batch.builder.row_of(tokens[2 * i + 1]), pairs[i].margin, pairs[i].weight,
                                   pairs[i].soft_label});
  }
  return batch;
}

/// One optimizer step cut into these micro-batches: its loss and gradient.
struct Step {
  double loss = 0;
  std::vector<double> gradient;  // the flat block
};

template <class Model>
Step run_step(Model& model, const std::vector<MicroBatch>& batches) {
  double normaliser = 0;
  for (const MicroBatch& batch : batches) normaliser += model.loss().normaliser(batch.targets);
  Step step;
  model.begin_step();
  for (const MicroBatch& batch : batches) {
    step.loss += model.accumulate(batch.builder.view(), batch.targets, normaliser);
  }
  model.end_step();
  const auto gradients = model.parameters().gradients();
  step.gradient.assign(gradients.begin(), gradients.end());
  return step;
}

template <class Model>
Step run_step(Model& model, MicroBatch batch) {
  std::vector<MicroBatch> batches;
  batches.push_back(std::move(batch));
  return run_step(model, batches);
}

/// The largest difference in any tensor over the largest magnitude in it, or over 1e-3 where all of it is
/// less: a gradient may be nothing but rounding, as that of GPT-2's last bias, which no difference of scores
/// sees, or every gradient of a pair whose two sequences are equal.
template <class Model>
double gradient_error(const Model& model, const Step& a, const Step& b) {
  const auto largest = [](const std::vector<double>& values, Index begin, Index count) {
    double m = 0;
    for (Index i = begin; i < begin + count; ++i) m = std::max(m, std::abs(values[i]));
    return m;
  };
  const double floor = 1e-3;
  double error = 0;
  for (Index i = 0; i < model.parameters().tensor_count(); ++i) {
    const Index begin = model.parameters().offset(i);
    const Index count = model.parameters().element_count(i);
    const double scale =
        std::max({floor, largest(a.gradient, begin, count), largest(b.gradient, begin, count)});
    for (Index j = begin; j < begin + count; ++j) {
      const double difference = std::abs(a.gradient[j] - b.gradient[j]);
      if (!(difference <= error * scale)) error = std::isfinite(difference) ? difference / scale : INFINITY;
    }
  }
  return error;
}

/// The largest difference of scores over the largest score; 0 only for equal bits.
inline double score_error(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = a.size() == b.size() ? 0 : INFINITY;
  double scale = 0;
  for (Index i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!(std::abs(a[i] - b[i]) <= difference)) difference = std::abs(a[i] - b[i]);
    scale = std::max({scale, std::abs(a[i]), std::abs(b[i])});
  }
  return difference == 0 ? 0 : difference / scale;
}

/// Packed against one by one: the largest differences of scores and of the gradients of all parameters over
/// the forests given so far, and how many tokens they had.
struct PackingErrors {
  double score = 0, gradient = 0;
  Index shared = 0, total = 0;

  /// `loss_tolerance`: relative.
  template <class Model>
  void add(Model& model, const RandomForest& forest, const std::vector<RowPair>& pairs,
           double loss_tolerance) {
    score = std::max(score, score_error(packed_scores(model, forest), single_scores(model, forest)));
    MicroBatch packed = packed_batch(forest, pairs);
    total += packed.builder.tokens_before_sharing();
    shared += packed.builder.token_count();
    const Step one = run_step(model, std::move(packed));
    std::vector<MicroBatch> apart;
    for (const RowPair& pair : pairs) {
      apart.push_back(pair_batch(forest, {&pair, 1}, merit::Sharing::no));
    }
    const Step many = run_step(model, apart);
    CHECK(one.loss == doctest::Approx(many.loss).epsilon(loss_tolerance));
    gradient = std::max(gradient, gradient_error(model, one, many));
  }
};

template <class Backend, class Backbone>
void check_packing(const Backbone& backbone, std::uint64_t forests, double score_tolerance,
                   double gradient_tolerance) {
  ScalarModel<Backbone, Backend> model({.backbone = backbone});
  shake(model);
  PackingErrors errors;
  for (std::uint64_t n = 0; n < forests; ++n) {
    const RandomForest forest = nth_forest(n);
    errors.add(model, forest, random_pairs(forest, 1 + n % 5, n), std::max(1e-12, gradient_tolerance));
  }
  CHECK(3 * errors.shared < 2 * errors.total);  // the forests are forests
  CHECK(errors.score <= score_tolerance);
  CHECK(errors.gradient <= gradient_tolerance);
}

}  // namespace merit_test
