// Rewards for reinforcement learning from what a model says: at the end, or on the way.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/infer/advantages.hpp"
#include "merit/infer/rerank.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// When a completion is rewarded.
enum class RewardTiming : std::uint8_t {
  terminal,  // once: the score of the whole completion, where TerminalPlace says
  dense,     // at each row: each token of an outcome model, the last token of each step of a process model
};

template <>
inline constexpr std::array<std::string_view, 2> enum_names<RewardTiming>{"terminal", "dense"};
template <>
inline constexpr std::array<std::string_view, 2> enum_names<StepReward>{"score", "change"};

namespace detail {

/// Sequences with one prompt that follow each other, together; ones without a prompt each by itself.
inline std::vector<PromptCompletions> by_prompt(std::span<const Sequence> sequences) {
  const auto prompt = [](const Sequence& sequence) {
    return std::span(sequence.tokens).first(sequence.completion_begin);
  };
  std::vector<PromptCompletions> prompts;
  Index begin = 0;
  for (Index i = 1; i <= sequences.size(); ++i) {
    if (i < sequences.size() && !prompt(sequences[begin]).empty() &&
        std::ranges::equal(prompt(sequences[i]), prompt(sequences[begin])))
      continue;
    prompts.push_back({sequences.subspan(begin, i - begin)});
    begin = i;
  }
  return prompts;
}

}  // namespace detail

/// "terminal" or "dense". Throws ConfigError for another name.
inline RewardTiming reward_timing_from_name(std::string_view name) {
  return value_from_name<RewardTiming>("reward timing", name);
}

/// "score" or "change". Throws ConfigError for another name.
inline StepReward step_reward_from_name(std::string_view name) {
  return value_from_name<StepReward>("step reward", name);
}

/// Rewards at every token. (width) The scores are those of the completion's tokens, from the first; what is
/// left of the width is 0. With StepReward::change a token earns what it adds to the score before it, so that
/// the sum of the rewards is the last token's score. Throws UsageError when there are more scores than width.
inline std::vector<double> token_rewards(std::span<const double> scores, Index width,
                                         StepReward worth = StepReward::score) {
  if (scores.size() > width) {
    throw UsageError(
        concat("token_rewards: found ", scores.size(), " scores, expected at most the width ", width));
  }
  std::vector<Index> ends(scores.size());
  std::iota(ends.begin(), ends.end(), Index{0});
  return step_rewards(scores, ends, width, worth);
}

/// How a model's scores become rewards.
struct RewardOptions {
  RewardTiming timing = RewardTiming::terminal;
  TerminalPlace place = TerminalPlace::last_token;  // of a terminal reward
  StepReward worth = StepReward::score;             // of a dense one
  RerankOptions scoring = {};                       // rows to probabilities, and those to a terminal score
};

/// The rewards of each sequence's tokens from one score or from the probabilities of its rows, `width` of
/// them (the padded length of a batch; 0: as many as the completion has tokens). The first is that of the
/// completion's first token.
///
/// A model of whole completions gives terminal rewards alone: ConfigError when dense ones are asked of it.
/// UsageError when a completion is empty or longer than the width. Completions of one prompt that follow each
/// other are scored as one tree.
template <class Model>
std::vector<std::vector<double>> score_rewards(Model& model, std::span<const Sequence> sequences,
                                               const RewardOptions& options = {}, Index width = 0) {
  constexpr ScoreMeaning meaning = Model::HeadType::meaning;
  const bool dense = options.timing == RewardTiming::dense;
  if (dense && meaning == ScoreMeaning::per_completion) {
    throw ConfigError(
        "score_rewards: found dense rewards asked of a model that scores whole completions, expected "
        "terminal ones");
  }
  const auto tokens_of = [](const Sequence& sequence) {
    return sequence.tokens.size() - sequence.completion_begin;
  };
  const std::vector<PromptCompletions> prompts = detail::by_prompt(sequences);
  std::vector<std::vector<double>> rewards;
  if (!dense) {
    for (const auto& scores : score_candidates(model, std::span(prompts), options.scoring)) {
      for (const double score : scores) {
        const Index tokens = tokens_of(sequences[rewards.size()]);
        rewards.push_back(terminal_rewards(score, tokens, width == 0 ? tokens : width, options.place));
      }
    }
    return rewards;
  }
  for (const auto& probabilities : score_probabilities(
           model, std::span(prompts), options.scoring.probabilities, options.scoring.token_budget)) {
    const Sequence& sequence = sequences[rewards.size()];
    const Index places = width == 0 ? tokens_of(sequence) : width;
    if (meaning == ScoreMeaning::per_token) {
      rewards.push_back(token_rewards(probabilities, places, options.worth));
    } else {
      std::vector<Index> ends = sequence.step_ends;
      for (Index& end : ends) end -= sequence.completion_begin;
      rewards.push_back(step_rewards(probabilities, ends, places, options.worth));
    }
  }
  return rewards;
}

}  // namespace MERIT_ABI
}  // namespace merit
