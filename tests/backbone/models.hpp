// What the tests of this room share: small models, and forests with a pair for a loss.
#pragma once

#include <doctest/doctest.h>

#include <span>
#include <vector>

#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backbone/features.hpp"
#include "merit/backbone/gpt2.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/forest/forest.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

namespace merit_test {

using merit::Index;
using B = merit::ReferenceBackend<double>;
template <class Backbone>
using Model = merit::RewardModel<Backbone, merit::ScalarHead, merit::PairwiseLoss, B>;

inline merit::Llama small_llama() {
  return {.vocabulary_size = 11,
          .hidden_size = 8,
          .intermediate_size = 6,
          .layers = 3,
          .heads = 2,
          .kv_heads = 1,
          .init_deviation = 0.4};
}
inline merit::Gpt2 small_gpt2() {
  return {.vocabulary_size = 11,
          .hidden_size = 8,
          .layers = 3,
          .heads = 2,
          .max_positions = 12,
          .init_deviation = 0.4};
}

/// Three sequences of one prompt, a row at the end of each, and two pairs among them.
struct Batch {
  merit::ForestBuilder builder;
  merit::ForestView<> view;
  merit::PairTargets targets;
  std::vector<Index> row;  // of each sequence

  explicit Batch(merit::Sharing sharing = merit::Sharing::yes,
                 const std::vector<std::vector<merit::Token>>& sequences = {{1, 2, 3, 4, 5},
                                                                            {1, 2, 3, 9},
                                                                            {1, 2, 7, 7, 7, 0}})
      : builder(sharing) {
    const std::vector<std::span<const merit::Token>> spans(sequences.begin(), sequences.end());
    const Index group = builder.add_tree(spans);
    std::vector<std::uint32_t> last;
    for (Index s = 0; s < sequences.size(); ++s) {
      last.push_back(builder.index(group, s, sequences[s].size() - 1));
      builder.want_row(last.back());
    }
    builder.finish();
    view = builder.view();
    for (const std::uint32_t token : last) row.push_back(builder.row_of(token));
    for (Index s = 1; s < sequences.size(); ++s) {
      targets.pairs.push_back({static_cast<std::uint32_t>(row[0]), static_cast<std::uint32_t>(row[s]),
                               0.1 * static_cast<double>(s), 1, 0.9});
    }
  }
};

struct StepResult {
  double loss = 0;
  std::vector<double> gradient;
  Index nodes = 0;  // on the tape
};
template <class Model>
StepResult step(Model& model, const Batch& batch) {
  StepResult result;
  model.begin_step();
  result.loss = model.accumulate(batch.view, batch.targets, model.loss().normaliser(batch.targets));
  result.nodes = model.tape().node_count();
  model.end_step();
  const auto gradients = model.parameters().gradients();
  result.gradient.assign(gradients.begin(), gradients.end());
  return result;
}

}  // namespace merit_test
