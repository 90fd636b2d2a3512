// Rewards for reinforcement learning: where scores land on tokens, returns, advantages, whitening.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/infer/aggregate.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Where the score of a whole completion lands.
enum class TerminalPlace {
  last_token,  // on the completion's last token
  one_past,    // on the position after it where there is one, else on the last token (TRL's PPO)
};

/// What happens at tokens that the policy did not write (a tool's output), which the mask marks with 0.
enum class MaskedTokens {
  skip,  // as if they were not there: value and advantage are carried across them (verl)
  zero,  // their reward and value are 0, and γ and λ go on counting (OpenRLHF)
};

template <>
inline constexpr std::array<std::string_view, 2> enum_names<TerminalPlace>{"last_token", "one_past"};
template <>
inline constexpr std::array<std::string_view, 2> enum_names<MaskedTokens>{"skip", "zero"};

namespace detail {

inline void require_mask(std::string_view who, std::span<const std::uint8_t> mask, Index size) {
  if (!mask.empty() && mask.size() != size)
    throw UsageError(concat(who, ": the mask has ", mask.size(), " entries, expected ", size, " or none"));
}

}  // namespace detail

/// "last_token" or "one_past". Throws ConfigError for another name.
inline TerminalPlace terminal_place_from_name(std::string_view name) {
  return value_from_name<TerminalPlace>("terminal place", name);
}

/// "skip" or "zero". Throws ConfigError for another name.
inline MaskedTokens masked_tokens_from_name(std::string_view name) {
  return value_from_name<MaskedTokens>("masked tokens", name);
}

/// Rewards that are 0 but for the score of the whole completion. (width)
/// `tokens` is the completion's own length, `width` the padded one (at least `tokens`). Throws UsageError
/// when the completion is empty or longer than the width.
inline std::vector<double> terminal_rewards(double score, Index tokens, Index width,
                                            TerminalPlace place = TerminalPlace::last_token) {
  if (tokens == 0 || tokens > width) {
    throw UsageError(
        concat("terminal_rewards: found ", tokens, " tokens, expected from 1 to the width ", width));
  }
  std::vector<double> rewards(width, 0.0);
  rewards[place == TerminalPlace::one_past && tokens < width ? tokens : tokens - 1] = score;
  return rewards;
}

/// What a step is worth.
enum class StepReward {
  score,   // its score
  change,  // its score less that of the step before, so that with γ = 1 the sum is the last score
};

/// Rewards that are 0 but for the scores of steps, each on its step's last token. (width)
/// `ends` are those tokens, ascending. Throws UsageError when they are not, or as many as the scores.
inline std::vector<double> step_rewards(std::span<const double> scores, std::span<const Index> ends,
                                        Index width, StepReward worth = StepReward::score) {
  if (scores.size() != ends.size())
    throw UsageError(
        concat("step_rewards: found ", scores.size(), " scores, expected ", ends.size(), ", one a step"));
  std::vector<double> rewards(width, 0.0);
  for (Index k = 0; k < ends.size(); ++k) {
    if (ends[k] >= width || (k > 0 && ends[k] <= ends[k - 1])) {
      throw UsageError(concat("step_rewards: step ", k, " ends at token ", ends[k],
                              ", expected ascending positions under ", width));
    }
    rewards[ends[k]] = scores[k] - (worth == StepReward::change && k > 0 ? scores[k - 1] : 0.0);
  }
  return rewards;
}

/// Discounted sums of what is to come: G_t = r_t + γ·G_{t+1}. (T)
inline std::vector<double> discounted_returns(std::span<const double> rewards, double gamma) {
  std::vector<double> returns(rewards.begin(), rewards.end());
  for (Index t = returns.size(); t-- > 1;) returns[t - 1] += gamma * returns[t];
  return returns;
}

/// Advantages, and the returns that a value function learns. (T) each
struct Advantages {
  std::vector<double> advantages;
  std::vector<double> returns;
};

/// Generalised advantage estimation (Schulman et al. 2016), backwards from A_T = V_T = 0:
/// δ_t = r_t + γ·V_{t+1} − V_t, A_t = δ_t + γλ·A_{t+1}, R_t = A_t + V_t.
/// `values` are of the state before each token. `mask` is 1 for the tokens of the policy, empty when all are;
/// both results are 0 where it is 0, and so is what a reward there would add: place rewards on tokens of the
/// policy. Throws UsageError when the lengths differ.
inline Advantages generalised_advantages(std::span<const double> rewards, std::span<const double> values,
                                         double gamma, double lambda, std::span<const std::uint8_t> mask = {},
                                         MaskedTokens masked = MaskedTokens::skip) {
  if (rewards.size() != values.size()) {
    throw UsageError(concat("generalised_advantages: found ", values.size(), " values, expected ",
                            rewards.size(), " as rewards"));
  }
  detail::require_mask("generalised_advantages", mask, rewards.size());
  Advantages result{std::vector<double>(rewards.size(), 0.0), std::vector<double>(rewards.size(), 0.0)};
  double next_value = 0;
  double next_advantage = 0;
  for (Index t = rewards.size(); t-- > 0;) {
    if (!mask.empty() && mask[t] == 0) {
      if (masked == MaskedTokens::zero) {
        next_advantage = gamma * next_value + gamma * lambda * next_advantage;
        next_value = 0;
      }
      continue;
    }
    const double delta = rewards[t] + gamma * next_value - values[t];
    next_advantage = delta + gamma * lambda * next_advantage;
    next_value = values[t];
    result.advantages[t] = next_advantage;
    result.returns[t] = next_advantage + values[t];
  }
  return result;
}

/// What whitening does with the mean.
enum class Centre {
  removed,
  kept,  // added back: only the scale changes, as is done to rewards
};

template <>
inline constexpr std::array<std::string_view, 2> enum_names<Centre>{"removed", "kept"};

/// "removed" or "kept". Throws ConfigError for another name.
inline Centre centre_from_name(std::string_view name) {
  return value_from_name<Centre>("centre", name);
}

/// (x − μ) / √(var + 1e-8), var Bessel-corrected, over all entries whose mask is 1 (all when it is empty).
/// Whiten a whole batch at once: join its sequences first. Entries under a mask of 0 become 0. Throws
/// DataError when fewer than two entries count or one of them is not finite.
inline std::vector<double> whiten(std::span<const double> values, Centre centre = Centre::removed,
                                  std::span<const std::uint8_t> mask = {}) {
  detail::require_mask("whiten", mask, values.size());
  const auto counts = [&](Index i) { return mask.empty() || mask[i] != 0; };
  double n = 0;
  double mean = 0;
  for (Index i = 0; i < values.size(); ++i) {
    if (!counts(i)) continue;
    if (!std::isfinite(values[i]))
      throw DataError(concat("whiten: entry ", i, " is ", values[i], ", expected finite numbers"));
    n += 1;
    mean += values[i];
  }
  if (n < 2) throw DataError(concat("whiten: found ", n, " numbers, expected at least 2 for a variance"));
  mean /= n;
  double squares = 0;
  for (Index i = 0; i < values.size(); ++i) {
    if (counts(i)) squares += (values[i] - mean) * (values[i] - mean);
  }
  const double scale = 1 / std::sqrt(squares / (n - 1) + 1e-8);
  std::vector<double> result(values.size(), 0.0);
  for (Index i = 0; i < values.size(); ++i) {
    if (counts(i)) result[i] = (values[i] - mean) * scale + (centre == Centre::kept ? mean : 0.0);
  }
  return result;
}

}  // namespace MERIT_ABI
}  // namespace merit
