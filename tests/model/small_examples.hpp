// Small random examples of every kind, and small backbones to run them.
#pragma once

#include <string>
#include <vector>

#include "merit/backbone/bag_of_tokens.hpp"
#include "merit/backbone/gpt2.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/core/rng.hpp"
#include "merit/forest/example.hpp"

namespace merit_test {

using merit::Index;
using merit::Token;

inline constexpr Index small_vocabulary = 11;

inline merit::Llama tiny_reward_llama() {
  return {.vocabulary_size = small_vocabulary,
          .hidden_size = 8,
          .intermediate_size = 6,
          .layers = 2,
          .heads = 2,
          .kv_heads = 1,
          .init_deviation = 0.4};
}
inline merit::Gpt2 tiny_reward_gpt2() {
  return {.vocabulary_size = small_vocabulary,
          .hidden_size = 8,
          .layers = 2,
          .heads = 2,
          .max_positions = 64,
          .init_deviation = 0.4};
}
inline merit::BagOfTokens tiny_bag() {
  return {.vocabulary_size = small_vocabulary, .width = 5};
}

inline void append_random(merit::Rng& rng, Index count, std::vector<Token>& out) {
  for (Index i = 0; i < count; ++i) out.push_back(static_cast<Token>(rng.below(small_vocabulary)));
}

/// Completions of one prompt, some of which go together for a while; each in steps of one or two tokens.
inline std::vector<merit::Sequence> completions_of_one_prompt(merit::Rng& rng, Index count) {
  std::vector<Token> prompt;
  append_random(rng, 2 + rng.below(3), prompt);
  std::vector<Token> common;
  append_random(rng, 2, common);
  std::vector<merit::Sequence> result(count);
  for (Index k = 0; k < count; ++k) {
    merit::Sequence& sequence = result[k];
    sequence.tokens = prompt;
    sequence.completion_begin = prompt.size();
    if (k % 2 == 0) sequence.tokens.insert(sequence.tokens.end(), common.begin(), common.end());
    append_random(rng, 1 + rng.below(4), sequence.tokens);
    sequence.tokens.push_back(static_cast<Token>(k));  // no two are equal
    for (Index t = prompt.size() + 1; t < sequence.tokens.size(); t += 2) sequence.step_ends.push_back(t);
  }
  return result;
}

inline std::vector<merit::PreferenceExample> random_preferences(Index count, std::uint64_t seed = 1) {
  merit::Rng rng(seed);
  std::vector<merit::PreferenceExample> examples;
  for (Index i = 0; i < count; ++i) {
    const auto sides = completions_of_one_prompt(rng, 2);
    examples.push_back({sides[0], sides[1]});
    examples.back().weight = 0.5 + rng.uniform();
  }
  return examples;
}

/// Four completions each, with a tie now and then, and `attributes` ratings of each.
inline std::vector<merit::RankingExample> random_rankings(Index count, Index attributes = 1,
                                                          std::uint64_t seed = 2) {
  merit::Rng rng(seed);
  std::vector<merit::RankingExample> examples;
  for (Index i = 0; i < count; ++i) {
    merit::RankedGroup group;
    group.completions = completions_of_one_prompt(rng, 4);
    for (Index k = 0; k < 4; ++k) {
      group.ranks.push_back(k == 3 && i % 2 == 1 ? 1 : (k + i) % 4);
      for (Index a = 0; a < attributes; ++a) group.ratings.push_back(rng.normal());
    }
    group.attributes = attributes;
    group.weight = 0.5 + rng.uniform();
    examples.push_back({{group}});
  }
  return examples;
}

inline std::vector<merit::OutcomeExample> random_outcomes(Index count, std::uint64_t seed = 3) {
  merit::Rng rng(seed);
  std::vector<merit::OutcomeExample> examples;
  for (Index i = 0; i < count; ++i) {
    examples.push_back(
        {completions_of_one_prompt(rng, 2)[i % 2], i % 3 == 0 ? 0.0 : 1.0, 0.5 + rng.uniform()});
  }
  return examples;
}

/// Every fourth step has no label, every fifth a soft one.
inline std::vector<merit::StepsExample> random_steps(Index count, std::uint64_t seed = 4) {
  merit::Rng rng(seed);
  std::vector<merit::StepsExample> examples;
  Index step = 0;
  for (Index i = 0; i < count; ++i) {
    merit::StepsExample example{completions_of_one_prompt(rng, 2)[i % 2], {}, 0.5 + rng.uniform()};
    for (Index k = 0; k < example.sequence.step_ends.size(); ++k, ++step) {
      merit::StepLabel label;
      (rng.below(2) == 0 ? label.bad : label.good) = 1;
      if (step % 5 == 0) label = {0.25, 0.5, 0.25};
      example.labels.push_back(step % 4 == 3 ? std::nullopt : std::optional(label));
    }
    examples.push_back(example);
  }
  return examples;
}

inline std::vector<merit::RolloutExample> random_rollouts(Index count, std::uint64_t seed = 5) {
  merit::Rng rng(seed);
  std::vector<merit::RolloutExample> examples;
  for (Index i = 0; i < count; ++i) {
    merit::RolloutExample example;
    example.sequence = completions_of_one_prompt(rng, 2)[i % 2];
    for (Index t = example.sequence.completion_begin; t < example.sequence.tokens.size(); ++t) {
      example.returns.push_back(rng.normal());
      example.old_values.push_back(0.3 * rng.normal());
    }
    example.weight = 0.5 + rng.uniform();
    examples.push_back(example);
  }
  return examples;
}

}  // namespace merit_test
