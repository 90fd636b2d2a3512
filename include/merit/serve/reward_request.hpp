// Scores of rollouts as rewards, advantages and returns, for trainers that ask for them.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/infer/advantages.hpp"
#include "merit/infer/rewards.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record_fields.hpp"
#include "merit/run/record_scorer.hpp"
#include "merit/serve/request_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a request for rewards says beside its rollouts.
struct RewardRequest {
  RewardTiming timing = RewardTiming::terminal;
  StepReward worth = StepReward::score;  // of a dense reward
  bool normalised = false;               // terminal rewards by the model's card
  std::vector<std::vector<double>>
      values;  // of the states of each rollout; none: no advantages are asked for
  double gamma = 1;
  double lambda = 0.95;
  bool whiten = false;  // advantages, over all rollouts of the request

  /// Throws DataError or ConfigError.
  explicit RewardRequest(const OrderedJson& body) {
    const auto name = [&](const char* field, const std::string& usual) {
      const OrderedJson* found = detail::find_field(body, field);
      if (found == nullptr) return usual;
      if (!found->is_string()) detail::refuse_field(field, *found, "a name");
      return found->get<std::string>();
    };
    timing = reward_timing_from_name(name("timing", "terminal"));
    worth = step_reward_from_name(name("worth", "score"));
    normalised = detail::flag_field(body, "normalised");
    whiten = detail::flag_field(body, "whiten");
    gamma = share("gamma", body, gamma);
    lambda = share("lambda", body, lambda);
    const OrderedJson* lists = detail::find_field(body, "values");
    if (timing == RewardTiming::terminal && detail::find_field(body, "worth") != nullptr)
      refuse_idle("worth", "the timing dense, whose rewards it is of");
    if (lists == nullptr) {
      for (const char* field : {"gamma", "lambda", "whiten"})
        if (detail::find_field(body, field) != nullptr)
          refuse_idle(field, "'values', of which advantages are made");
      return;
    }
    constexpr const char* expected = "a list of a list of numbers for each rollout";
    if (!lists->is_array()) detail::refuse_field("values", *lists, expected);
    for (const OrderedJson& list : *lists) {
      if (!list.is_array() || list.empty()) detail::refuse_field("values", list, expected);
      std::vector<double>& own = values.emplace_back();
      for (const OrderedJson& value : list) {
        if (!value.is_number()) detail::refuse_field("values", value, expected);
        own.push_back(value.get<double>());
      }
    }
  }

 private:
  [[noreturn]] static void refuse_idle(std::string_view field, std::string_view needed) {
    throw DataError(concat("the request: field '", field, "': found it without ", needed));
  }
  static double share(const char* field, const OrderedJson& body, double usual) {
    const OrderedJson* found = detail::find_field(body, field);
    if (found == nullptr) return usual;
    if (!found->is_number() || !(found->get<double>() >= 0 && found->get<double>() <= 1))
      detail::refuse_field(field, *found, "a number from 0 to 1");
    return found->get<double>();
  }
};

/// `rewards` of each rollout, and with values its `advantages` and `returns`. A terminal reward, which `terminal` has for each
/// rollout, stands at the last of the rollout's values, or alone where there are none; dense ones are one for each row (token
/// or step) that the model scores. Throws DataError where values and rewards are not as many.
inline Json rewards_of(const RewardRequest& request, const std::vector<CompletionScore>& scores,
                       const std::vector<double>& terminal) {
  const bool with_values = !request.values.empty();
  if (with_values && request.values.size() != scores.size()) {
    throw DataError(concat("the request: field 'values': found ", request.values.size(), " lists, expected ",
                           scores.size(), ", one for each rollout"));
  }
  Json out{{"rewards", Json::array()}};
  std::vector<double> joined;  // the advantages of all
  std::vector<Advantages> of_each;
  for (Index i = 0; i < scores.size(); ++i) {
    std::vector<double> rewards;
    if (request.timing == RewardTiming::dense) {
      rewards = token_rewards(scores[i].rows, scores[i].rows.size(), request.worth);
      if (with_values && rewards.size() != request.values[i].size()) {
        throw DataError(concat("the request: field 'values', entry ", i, ": found ", request.values[i].size(),
                               " values, expected ", rewards.size(), ", one for each row of the rollout"));
      }
    } else {
      const Index width = with_values ? request.values[i].size() : 1;
      rewards = terminal_rewards(terminal[i], width, width);
    }
    if (with_values) {
      of_each.push_back(generalised_advantages(rewards, request.values[i], request.gamma, request.lambda));
      joined.insert(joined.end(), of_each.back().advantages.begin(), of_each.back().advantages.end());
    }
    out["rewards"].push_back(std::move(rewards));
  }
  if (!with_values) return out;
  if (request.whiten) joined = whiten(joined);
  // JSON has no word for what values close to the largest number come to.
  const auto finite = [](double value) { return std::isfinite(value); };
  Index begin = 0;
  for (const Advantages& one : of_each) {
    const auto first = joined.begin() + static_cast<std::ptrdiff_t>(begin);
    begin += one.advantages.size();
    if (!std::all_of(first, joined.begin() + static_cast<std::ptrdiff_t>(begin), finite) ||
        !std::all_of(one.returns.begin(), one.returns.end(), finite)) {
      throw DataError(concat("the request: field 'values', entry ", out["returns"].size(),
                             ": its advantages or returns are not finite, expected smaller values"));
    }
    out["advantages"].push_back(
        std::vector<double>(first, joined.begin() + static_cast<std::ptrdiff_t>(begin)));
    out["returns"].push_back(one.returns);
  }
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
