// Scores of rollouts as rewards, advantages and returns, for trainers that ask for them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
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
#include "merit/serve/known_fields.hpp"
#include "merit/serve/request_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What a request for rewards says beside its rollouts. Lists are of one entry a rollout, and empty where they are not given.
struct RewardRequest {
  RewardTiming timing = RewardTiming::terminal;
  TerminalPlace place = TerminalPlace::last_token;  // of a terminal reward
  StepReward worth = StepReward::score;             // of a dense one
  bool normalised = false;                          // by the model's card
  std::vector<std::vector<double>> values;          // of the states; none: no advantages are asked for
  std::vector<Index> lengths;                   // tokens of the completion, where its values go on behind it
  std::vector<std::vector<Index>> step_ends;    // which of the values' tokens the steps end at
  std::vector<std::vector<std::uint8_t>> mask;  // 0 for tokens that the policy did not write
  MaskedTokens masked = MaskedTokens::skip;
  double gamma = 1;
  double lambda = 0.95;
  bool whiten = false;  // advantages, over all rollouts of the request
  Centre centre = Centre::removed;

  /// Throws DataError or ConfigError.
  explicit RewardRequest(const OrderedJson& body) {
    detail::refuse_unknown(body, {"rollouts", "timing", "place", "worth", "normalised", "values", "lengths",
                                  "step_ends", "mask", "masked", "gamma", "lambda", "whiten", "centre"});
    const auto name = [&](const char* field, std::string_view usual) {
      const OrderedJson* found = detail::find_field(body, field);
      if (found == nullptr) return std::string(usual);
      if (!found->is_string()) detail::refuse_field(field, *found, "a name");
      return found->get<std::string>();
    };
    timing = reward_timing_from_name(name("timing", name_of(timing)));
    place = terminal_place_from_name(name("place", name_of(place)));
    worth = step_reward_from_name(name("worth", name_of(worth)));
    masked = masked_tokens_from_name(name("masked", name_of(masked)));
    centre = centre_from_name(name("centre", name_of(centre)));
    normalised = detail::flag_field(body, "normalised");
    whiten = detail::flag_field(body, "whiten");
    gamma = share("gamma", body, gamma);
    lambda = share("lambda", body, lambda);
    require_use(body);
    read_lists(body);
  }

  /// Throws DataError where a list that is given has not as many entries as there are rollouts, or one of them not as many
  /// as the rollout's values.
  void check_sizes(Index rollouts) const {
    const auto check = [&](const char* field, Index found) {
      if (found == 0 || found == rollouts) return;
      throw DataError(concat("the request: field '", field, "': found ", found, " lists, expected ", rollouts,
                             ", one for each rollout"));
    };
    check("values", values.size());
    check("step_ends", step_ends.size());
    check("mask", mask.size());
    if (!lengths.empty() && lengths.size() != rollouts) {
      throw DataError(concat("the request: field 'lengths': found ", lengths.size(), " numbers, expected ",
                             rollouts, ", one for each rollout"));
    }
    for (Index i = 0; i < mask.size(); ++i) {
      if (mask[i].size() == values[i].size()) continue;
      throw DataError(concat("the request: field 'mask', entry ", i, ": found ", mask[i].size(),
                             " numbers, expected ", values[i].size(), ", one for each of its values"));
    }
    for (Index i = 0; i < lengths.size(); ++i) {
      if (lengths[i] <= values[i].size()) continue;
      throw DataError(concat("the request: field 'lengths', entry ", i, ": found ", lengths[i],
                             ", expected at most ", values[i].size(), ", as many as it has values"));
    }
  }

 private:
  /// Refuses what says nothing without another field.
  void require_use(const OrderedJson& body) const {
    const auto has = [&](const char* field) { return detail::find_field(body, field) != nullptr; };
    const auto require = [&](std::initializer_list<const char*> fields, bool is_met, const char* needed) {
      for (const char* field : fields) {
        if (is_met || !has(field)) continue;
        throw DataError(concat("the request: field '", field, "': found it without ", needed));
      }
    };
    const bool dense = timing == RewardTiming::dense;
    require({"worth", "step_ends"}, dense, "the timing dense, whose rewards it is of");
    require({"place", "lengths"}, !dense, "the timing terminal, whose reward it is of");
    require({"gamma", "lambda", "whiten", "mask", "lengths", "step_ends"}, has("values"),
            "'values', of which advantages are made");
    require({"masked"}, has("mask"), "'mask', of whose tokens it is");
    require({"centre"}, whiten, "'whiten', whose mean it is about");
    if (place == TerminalPlace::one_past)
      require({"place"}, has("lengths"), "'lengths', which say where completions end before their values do");
  }

  void read_lists(const OrderedJson& body) {
    read_each("values", body, "a list of a list of numbers for each rollout", values,
              [](const OrderedJson& one) -> std::optional<double> {
                return one.is_number() ? std::optional(one.get<double>()) : std::nullopt;
              });
    read_each("step_ends", body, "a list of a list of places for each rollout, the first of which is 0",
              step_ends, [](const OrderedJson& one) -> std::optional<Index> {
                const auto number = whole_number(one);
                return number && *number >= 0 ? std::optional(static_cast<Index>(*number)) : std::nullopt;
              });
    read_each("mask", body, "a list of a list of 0 and 1 for each rollout", mask,
              [](const OrderedJson& one) -> std::optional<std::uint8_t> {
                if (one.is_boolean()) return one.get<bool>() ? 1 : 0;
                const auto number = whole_number(one);
                return number && (*number == 0 || *number == 1)
                           ? std::optional(static_cast<std::uint8_t>(*number))
                           : std::nullopt;
              });
    const OrderedJson* all = detail::find_field(body, "lengths");
    if (all == nullptr) return;
    constexpr const char* expected = "a list of a whole number of at least 1 for each rollout";
    if (!all->is_array() || all->empty()) detail::refuse_field("lengths", *all, expected);
    for (const OrderedJson& one : *all) {
      const auto number = whole_number(one);
      if (!number || *number < 1) detail::refuse_field("lengths", one, expected);
      lengths.push_back(static_cast<Index>(*number));
    }
  }

  /// `read` gives nothing for what is no entry of such a list.
  template <class T, class Read>
  static void read_each(const char* field, const OrderedJson& body, const char* expected,
                        std::vector<std::vector<T>>& lists, const Read& read) {
    const OrderedJson* all = detail::find_field(body, field);
    if (all == nullptr) return;
    if (!all->is_array() || all->empty()) detail::refuse_field(field, *all, expected);
    for (const OrderedJson& list : *all) {
      if (!list.is_array() || list.empty()) detail::refuse_field(field, list, expected);
      std::vector<T>& own = lists.emplace_back();
      for (const OrderedJson& one : list) {
        const std::optional<T> value = read(one);
        if (!value) detail::refuse_field(field, one, expected);
        own.push_back(*value);
      }
    }
  }

  static double share(const char* field, const OrderedJson& body, double usual) {
    const OrderedJson* found = detail::find_field(body, field);
    if (found == nullptr) return usual;
    if (!found->is_number() || !(found->get<double>() >= 0 && found->get<double>() <= 1))
      detail::refuse_field(field, *found, "a number from 0 to 1");
    return found->get<double>();
  }
};

/// What a model says of a rollout.
struct RolloutScore {
  double score = 0;               // of the whole
  std::vector<double> rows = {};  // of its tokens or steps, for dense rewards
  Index steps = 0;                // that it has, of a model of steps: more than rows where it was cut
};

namespace detail {

/// The rewards of one rollout, and which of its tokens count: all, where there is no mask.
struct RolloutRewards {
  std::vector<double> rewards;
  std::vector<std::uint8_t> mask;
};

inline RolloutRewards terminal_rewards_of(const RewardRequest& request, const RolloutScore& scored, Index i) {
  const Index width = request.values.empty() ? 1 : request.values[i].size();
  const Index tokens = request.lengths.empty() ? width : request.lengths[i];
  RolloutRewards own;
  own.rewards = terminal_rewards(scored.score, tokens, width, request.place);
  const Index place = request.place == TerminalPlace::one_past && tokens < width ? tokens : tokens - 1;
  if (!request.mask.empty()) own.mask = request.mask[i];
  if (!own.mask.empty() && own.mask[place] == 0) {
    throw DataError(concat("the request: field 'mask', entry ", i, ": found 0 for token ", place,
                           ", where the terminal reward stands and would be lost, expected 1"));
  }
  if (place + 1 == width) return own;
  own.mask.resize(width, 1);
  std::fill(own.mask.begin() + static_cast<std::ptrdiff_t>(place) + 1, own.mask.end(), std::uint8_t{0});
  return own;
}

inline RolloutRewards dense_rewards_of(const RewardRequest& request, const RolloutScore& scored, Index i) {
  const Index rows = scored.rows.size();
  if (request.values.empty()) return {token_rewards(scored.rows, rows, request.worth), {}};
  const Index width = request.values[i].size();
  RolloutRewards own;
  if (!request.mask.empty()) own.mask = request.mask[i];
  if (request.step_ends.empty()) {
    if (rows != width) {
      throw DataError(concat(
          "the request: field 'values', entry ", i, ": found ", width, " values, expected ", rows,
          scored.steps == 0
              ? ", one for each row of the rollout"
              : ", one for each step of the rollout, or 'step_ends' that say at which tokens they end"));
    }
    if (!own.mask.empty() && request.worth == StepReward::change) {
      throw DataError(
          "the request: field 'worth': found change beside a mask, expected score: what changes at tokens that the mask "
          "takes out would be lost");
    }
    own.rewards = token_rewards(scored.rows, width, request.worth);
    for (Index t = 0; t < own.mask.size(); ++t) {
      if (own.mask[t] == 0) own.rewards[t] = 0;
    }
    return own;
  }
  const std::string at = concat("the request: field 'step_ends', entry ", i, ": found ");
  if (scored.steps == 0) throw DataError(at + "it asked of a model that scores no steps, expected none");
  const std::vector<Index>& ends = request.step_ends[i];
  if (ends.size() != rows) {
    throw DataError(concat(at, ends.size(), " places, expected ", rows, ", one for each step",
                           rows < scored.steps ? " that the cut left" : ""));
  }
  for (Index k = 0; k < ends.size(); ++k) {
    if (ends[k] >= width || (k > 0 && ends[k] <= ends[k - 1])) {
      throw DataError(concat(at, ends[k], ", expected ascending places under ", width,
                             ", as many as the rollout has values"));
    }
    if (!own.mask.empty() && own.mask[ends[k]] == 0) {
      throw DataError(concat(
          at, ends[k], ", which the mask takes out with the step's reward, expected a token of the policy"));
    }
  }
  own.rewards = step_rewards(scored.rows, ends, width, request.worth);
  return own;
}

}  // namespace detail

/// `rewards` of each rollout, and with values its `advantages` and `returns`. A terminal reward stands where the request says
/// among the rollout's values, or alone where there are none; dense ones are one for each row (token or step) that the model
/// scores, or stand where the steps end. Behind a terminal reward nothing counts. Throws DataError where the lists do not fit.
inline Json rewards_of(const RewardRequest& request, const std::vector<RolloutScore>& scores) {
  request.check_sizes(scores.size());
  Json out{{"rewards", Json::array()}};
  std::vector<double> joined;             // the advantages of all
  std::vector<std::uint8_t> joined_mask;  // and which of them count
  std::vector<Advantages> of_each;
  for (Index i = 0; i < scores.size(); ++i) {
    detail::RolloutRewards own = request.timing == RewardTiming::dense
                                     ? detail::dense_rewards_of(request, scores[i], i)
                                     : detail::terminal_rewards_of(request, scores[i], i);
    if (!request.values.empty()) {
      of_each.push_back(generalised_advantages(own.rewards, request.values[i], request.gamma, request.lambda,
                                               own.mask, request.masked));
      own.mask.resize(own.rewards.size(), 1);
      joined.insert(joined.end(), of_each.back().advantages.begin(), of_each.back().advantages.end());
      joined_mask.insert(joined_mask.end(), own.mask.begin(), own.mask.end());
    }
    out["rewards"].push_back(std::move(own.rewards));
  }
  if (request.values.empty()) return out;
  if (request.whiten) joined = whiten(joined, request.centre, joined_mask);
  // JSON has no word for what values close to the largest number come to.
  const auto finite = [](double value) { return std::isfinite(value); };
  Index begin = 0;
  for (const Advantages& one : of_each) {
    const auto first = joined.begin() + static_cast<std::ptrdiff_t>(begin);
    begin += one.advantages.size();
    const auto last = joined.begin() + static_cast<std::ptrdiff_t>(begin);
    if (!std::all_of(first, last, finite) || !std::all_of(one.returns.begin(), one.returns.end(), finite)) {
      throw DataError(concat("the request: field 'values', entry ", out["returns"].size(),
                             ": its advantages or returns are not finite, expected smaller values"));
    }
    out["advantages"].push_back(std::vector<double>(first, last));
    out["returns"].push_back(one.returns);
  }
  return out;
}

}  // namespace MERIT_ABI
}  // namespace merit
