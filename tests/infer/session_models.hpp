// Small decoders of every family for the tests of sessions, and the scores of whole sequences to compare with.
#pragma once

#include <span>
#include <vector>

#include "merit/backbone/gpt_neox.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/core/rng.hpp"
#include "merit/forest/forest.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/infer/session.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"
#include "model/forest_equivalence.hpp"

namespace merit_test {

using namespace merit;

/// As Gemma 2 and 3: windows in some layers, rotary positions of their own there, soft caps, norms on both sides.
inline Llama small_gemma() {
  Llama llama = tiny_llama();
  llama.windows = {3, 0, 5};
  llama.window_rope_base = 100;
  llama.soft_cap = 2;
  llama.head_norm = true;
  llama.norm_place = NormPlace::both;
  llama.kv_heads = 1;
  return llama;
}
/// A layer without positions, biases, and windows in all layers.
inline Llama small_windowed() {
  Llama llama = tiny_llama();
  llama.windows = {4, 4, 4};
  llama.unrotated = {1};
  llama.qkv_bias = true;
  return llama;
}
inline GptNeox small_neox() {
  return {.vocabulary_size = 16,
          .hidden_size = 12,
          .intermediate_size = 14,
          .layers = 2,
          .heads = 3,
          .max_positions = 64,
          .rotary_width = 2,
          .init_deviation = 0.4};
}

template <class Backend, class Backbone, class Head = ScalarHead>
using SmallModel = RewardModel<Backbone, Head, PairwiseLoss, Backend>;

inline std::vector<Token> random_tokens(Rng& rng, Index most) {
  std::vector<Token> tokens(1 + rng.below(most));
  for (Token& token : tokens) token = static_cast<Token>(rng.below(16));
  return tokens;
}

/// Scores at the last tokens of whole sequences, as one forest.
template <class Model>
std::vector<double> whole_scores(Model& model, const std::vector<std::vector<Token>>& sequences) {
  ForestBuilder builder;
  const std::vector<std::span<const Token>> spans(sequences.begin(), sequences.end());
  builder.add_tree(spans);
  std::vector<std::uint32_t> last;
  for (Index i = 0; i < sequences.size(); ++i) {
    last.push_back(builder.index(0, i, sequences[i].size() - 1));
    builder.want_row(last.back());
  }
  builder.finish();
  const auto scores = model.score(builder.view());
  std::vector<double> result;
  for (const std::uint32_t token : last) result.push_back(static_cast<double>(scores[builder.row_of(token)]));
  return result;
}

/// A node of a random tree: what stands on its path, and its score when it was made.
struct GrownNode {
  SessionNode node;
  std::vector<Token> path;
  double score = 0;
};

/// Grows a tree in random order, several branches at a time. Some branches are scored and not kept: `check(score, path)` is
/// called for each, and for each node at the end.
template <class Model, class Check>
void grow_and_check(Session<Model>& session, Rng& rng, Index calls, const Check& check) {
  std::vector<GrownNode> grown{{}};
  std::vector<double> scores;
  std::vector<std::vector<Token>> paths;
  for (Index call = 0; call < calls; ++call) {
    const Index count = 1 + rng.below(3);
    std::vector<std::vector<Token>> tokens;
    std::vector<Index> parents;
    for (Index i = 0; i < count; ++i) {
      parents.push_back(rng.below(grown.size()));
      tokens.push_back(random_tokens(rng, 4));
    }
    if (rng.below(3) == 0) {
      std::vector<Sequence> sequences;
      for (const auto& one : tokens) sequences.push_back({.tokens = one});
      const GrownNode& at = grown[parents[0]];
      const auto several = session.score(at.node, sequences);
      for (Index i = 0; i < count; ++i) {
        paths.push_back(at.path);
        paths.back().insert(paths.back().end(), tokens[i].begin(), tokens[i].end());
        scores.push_back(several[i]);
      }
      continue;
    }
    std::vector<SessionBranch> branches;
    for (Index i = 0; i < count; ++i) branches.push_back({grown[parents[i]].node, tokens[i]});
    const auto nodes = session.extend(branches);
    for (Index i = 0; i < count; ++i) {
      GrownNode next{nodes[i], grown[parents[i]].path, static_cast<double>(session.scores()[i])};
      next.path.insert(next.path.end(), tokens[i].begin(), tokens[i].end());
      paths.push_back(next.path);
      scores.push_back(next.score);
      grown.push_back(std::move(next));
    }
  }
  const std::vector<double> whole = whole_scores(session.model(), paths);
  for (Index i = 0; i < paths.size(); ++i) check(scores[i], whole[i]);
}

}  // namespace merit_test
